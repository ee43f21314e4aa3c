"""What every launcher is: settings that can be typed and kept, and what is done with the runs of a sweep."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ticketsearch.config import Config


@dataclass(frozen=True)
class Launcher(ABC):
    """Settings of a launcher, a yaml of `conf/launcher`; its fields are typed as `hydra.launcher.FIELD=VALUE`.

    Attributes:
        on_cpu: the setting with which runs take place on the CPU.
    """

    on_cpu: ClassVar[str]

    @abstractmethod
    def launch(self, configs: "Sequence[Config]", ask: Callable[[float], None]) -> None:
        """Run each configuration, and tell what comes of it.

        Args:
            configs: of the runs.
            ask: given the seconds that it takes about on a CPU of this machine, raises where that is not meant.

        Raises:
            SweepFailed: some runs could not be finished; the others are done.
            TicketError: nothing was begun.
        """
