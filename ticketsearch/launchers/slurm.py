"""The launcher `slurm`: a task of a job array for each run of a sweep, on the nodes of a cluster."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MinLen

from ticketsearch.launchers.launcher import Launcher

if TYPE_CHECKING:
    from ticketsearch.config import Config

_WORD = r"[^\s\"'\\#%]+"
"""What can stand behind `#SBATCH --option=` as it is."""
_MINUTE = 60
OURS = (
    *("array", "chdir", "dependency", "error", "export", "input", "job-name", "ntasks", "nodes", "open-mode", "output"),
    *("parsable", "requeue", "no-requeue", "signal", "wait", "wrap", "test-only", "clusters"),
)
"""Options of sbatch that the launcher sets itself, or that would change what it does."""


@dataclass(frozen=True)
class Slurm(Launcher):
    """Settings of `hydra/launcher=slurm`, those of Hydra's submitit launcher by its names. null: as the cluster has it.

    Attributes:
        name: of the jobs.
        partition: or several, with commas between them.
        account: that pays.
        qos: quality of service.
        constraint: features that a node must have.
        exclude: nodes that are not to be taken.
        timeout_min: minutes after which SLURM ends a task.
        gpus_per_node: of a run: 1, or 0 for the CPU.
        gres: the GPU as a generic resource, `gpu:a100:1`, in place of gpus_per_node.
        cpus_per_task: cores, and threads, of a run.
        mem_gb: memory of a run, in GiB; less than one GiB is a fraction.
        array_parallelism: tasks at a time; null: as many as the cluster runs.
        max_num_timeout: how often a task that has reached its time limit is requeued, and goes on where it was.
        signal_delay_s: seconds before its time limit at which a task is asked to keep where it is.
        setup: lines for the shell before Python starts: `module load cuda`.
        additional_parameters: any other long option of sbatch -> its value; true: it has none.
        device: what a run is told; null: cuda with a GPU, else cpu.
        wait: tell what comes of the jobs, in their order; else the command is over when they are queued.
    """

    on_cpu: ClassVar[str] = "gpus_per_node=0"
    name: Annotated[str, MinLen(1)] = "ticketsearch"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    timeout_min: Annotated[int, Ge(1)] | None = None
    gpus_per_node: Annotated[int, Ge(0), Le(1)] | None = None
    gres: str | None = None
    cpus_per_task: Annotated[int, Ge(1), Le(1024)] = 1
    mem_gb: Annotated[float, Gt(0)] | None = None
    array_parallelism: Annotated[int, Ge(1)] | None = None
    max_num_timeout: Annotated[int, Ge(0)] = 10
    signal_delay_s: Annotated[int, Ge(1), Le(65535)] = 120
    setup: tuple[str, ...] = ()
    additional_parameters: Mapping[str, str | int | bool] | None = None
    device: Literal["auto", "cpu", "cuda"] | None = None
    wait: bool = True

    def __post_init__(self) -> None:
        if self.gres is not None and self.gpus_per_node is not None:
            raise ValueError("gres and gpus_per_node both say which GPUs a run gets: one of them is enough")
        if self.timeout_min is not None and self.signal_delay_s >= _MINUTE * self.timeout_min:
            raise ValueError(f"signal_delay_s={self.signal_delay_s} is no shorter than timeout_min={self.timeout_min}")
        for key in self.additional_parameters or ():
            if (option := _long(key)) in OURS:
                raise ValueError(f"additional_parameters has {option}, which the launcher sets itself")
        for option, value in self.options():
            if not re.fullmatch(r"[a-z][a-z0-9-]*", option):
                raise ValueError(f"additional_parameters has {option!r}, which is no long option of sbatch")
            if value is not None and not re.fullmatch(_WORD, value):
                raise ValueError(f"{option}={value!r} has a character that cannot stand in an option of sbatch")
        names = [option for option, _ in self.options()]
        if twice := [option for option in names if names.count(option) > 1]:
            raise ValueError(f"{twice[0]} is given twice, once in additional_parameters")
        if not re.fullmatch(_WORD, self.name):
            raise ValueError(f"name={self.name!r} has a character that cannot stand in an option of sbatch")

    def launch(self, configs: "Sequence[Config]", ask: Callable[[float], None]) -> None:
        """A task for each run, dense models first: see `Launcher.launch`. Nothing is asked."""
        from ticketsearch.launchers.submit import launch

        launch(configs, self)

    @property
    def told(self) -> str:
        """The `device` of a run."""
        gpu = self.gres is None or "gpu" in self.gres
        return self.device or ("cuda" if gpu and self.gpus_per_node != 0 else "cpu")

    def options(self) -> list[tuple[str, str | None]]:
        """What the settings ask SLURM for, as long options of sbatch and their values; None: it has none."""
        gpus = 1 if self.gpus_per_node is None and self.gres is None else self.gpus_per_node
        found = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "exclude": self.exclude,
            "time": self.timeout_min,
            "gpus-per-node": gpus or None,
            "gres": self.gres,
            "cpus-per-task": self.cpus_per_task,
            "mem": None if self.mem_gb is None else f"{round(1024 * self.mem_gb)}M",
        }
        return [*((key, str(value)) for key, value in found.items() if value is not None), *self._further()]

    def _further(self) -> Iterator[tuple[str, str | None]]:
        for key, value in (self.additional_parameters or {}).items():
            if value is not False:
                yield _long(key), None if value is True else str(value)


def _long(key: str) -> str:
    """The long option of sbatch that a key is."""
    return key.replace("_", "-")
