"""The launcher `devices`: one GPU, a share of one, or one CPU core for each run of a sweep."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Le

from ticketsearch.errors import UsageError
from ticketsearch.launchers.launcher import Launcher
from ticketsearch.launchers.slot import Slot

if TYPE_CHECKING:
    from ticketsearch.config import Config

ALONE = ("auto", "cpu", "cuda")
"""Words that mean all that there is of a kind."""


@dataclass(frozen=True)
class Devices(Launcher):
    """Settings of `hydra/launcher=devices`.

    Attributes:
        devices: `auto` (every GPU, else the CPU), `cpu`, `cuda` (every GPU), or a list such as `cuda:0,cuda:2`: of the
            GPUs that CUDA_VISIBLE_DEVICES leaves, in its order.
        per_device: runs on one GPU at a time.
        slots: runs at a time; null: per_device for each GPU, or as many as the CPU has cores for.
        threads: of a slot, which a run may use: one for networks too small to gain from two, and as many as it has
            begun with; null: 1 on the CPU, its share of the cores on a GPU.
    """

    on_cpu: ClassVar[str] = "devices=cpu"
    devices: tuple[str, ...] = field(default=("auto",), metadata={"example": "cpu"})
    per_device: Annotated[int, Ge(1), Le(64)] = 1
    slots: Annotated[int, Ge(1), Le(1024)] | None = None
    threads: Annotated[int, Ge(1), Le(1024)] | None = None

    def __post_init__(self) -> None:
        if not self.devices or len(set(self.devices)) < len(self.devices):
            raise ValueError(f"devices lists different devices, not {' '.join(self.devices) or 'none'}")
        for name in self.devices:
            if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
                raise ValueError(f"no device {name!r}: auto, cpu, cuda, or GPUs such as cuda:0")
            if name == "cpu" and self.per_device > 1:
                raise ValueError(
                    f"per_device={self.per_device} is of GPUs: slots is how many runs the CPU has at a time"
                )
            if name in ALONE and len(self.devices) > 1:
                raise ValueError(f"{name} stands alone: it means all that there is")

    def launch(self, configs: "Sequence[Config]", ask: Callable[[float], None]) -> None:
        """A process for each run, as many at a time as there are slots: see `Launcher.launch`."""
        from ticketsearch.launchers.launch import launch

        launch(configs, self.here(), ask)

    def here(self) -> list[Slot]:
        """The slots of this machine. No GPU is touched by counting them.

        Raises:
            UsageError: see `places`.
        """
        from torch import cuda

        from ticketsearch.training.device import cores

        return self.places(cuda.device_count(), cores(), os.environ.get("CUDA_VISIBLE_DEVICES"))

    def places(self, visible: int, cores: int, seen: str | None = None) -> list[Slot]:
        """The slots, those of one GPU as far from each other as there are GPUs.

        Args:
            visible: how many GPUs this process sees.
            cores: that it may use.
            seen: its CUDA_VISIBLE_DEVICES; None: not set.

        Raises:
            UsageError: a GPU is not there, or has no room for so many runs.
        """
        numbers = self._gpus(visible)
        if not numbers:
            threads = self.threads or 1
            count = self.slots or max(cores // threads, 1)
            return [Slot(f"cpu/{n + 1}", "cpu", _threads(threads) | {"CUDA_VISIBLE_DEVICES": ""}) for n in range(count)]
        ids = seen.split(",") if seen else [str(number) for number in range(visible)]
        shares = [(share, number) for share in range(self.per_device) for number in numbers]
        if self.slots and self.slots > len(shares):
            what, right = (
                f"hydra.launcher.slots={self.slots}",
                f"there is room for {len(shares)}: per_device for each GPU",
            )
            attempt = f"ticketsearch run -m hydra.launcher.per_device={-(-self.slots // len(numbers))}"
            raise UsageError(what, right, attempt)
        chosen = shares[: self.slots]
        env = _threads(self.threads or max(cores // len(chosen), 1))
        named = {True: "cuda:{number}/{share}", False: "cuda:{number}"}[self.per_device > 1]
        return [
            Slot(named.format(number=n, share=s + 1), "cuda", env | {"CUDA_VISIBLE_DEVICES": ids[n].strip()})
            for s, n in chosen
        ]

    def _gpus(self, visible: int) -> list[int]:
        """The numbers of the GPUs that are meant; none: the CPU."""
        if self.devices in (("auto",), ("cpu",)):
            return list(range(visible)) if self.devices == ("auto",) else []
        numbers = range(visible) if self.devices == ("cuda",) else [int(name[5:]) for name in self.devices]
        missing = [f"cuda:{number}" for number in numbers if number >= visible] or ([] if visible else ["cuda"])
        if missing:
            there = f"there are {visible}: cuda:0 to cuda:{visible - 1}" if visible else "there is no GPU here"
            raise UsageError(f"no device {missing[0]!r}", there, "ticketsearch run -m hydra.launcher.devices=cpu")
        return list(numbers)


def _threads(count: int) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(count)}
