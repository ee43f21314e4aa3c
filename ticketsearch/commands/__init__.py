"""The subcommands, a module each; every one of them defines a `COMMAND`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ticketsearch.conf import Conf

COMMANDS = ("run", "plan", "plot", "verdict", "evaluate", "results", "status", "verify", "list", "completion")


def _no_keys(typed: Mapping[str, str], conf: "Conf") -> Mapping[str, Sequence[str]]:
    return {}


@dataclass(frozen=True)
class Command:
    """A subcommand. Importing its module imports nothing heavy, so that help and completion answer at once.

    Attributes:
        main: does it, given the arguments; the exit code.
        help: what `--help` shows: usage, and examples that can be copied.
        switches: the flags that take no value.
        valued: the flags that take a value -> what it can be; () for what is no list, such as files.
        keys: the keys that it takes, given what is typed already -> their values; () for what is no list.
        words: the words that it takes that are neither flags nor keys.
        lists: the keys whose value may be a list.
    """

    main: Callable[[list[str]], int]
    help: Callable[[], str]
    switches: tuple[str, ...] = ()
    valued: Mapping[str, Sequence[str]] = field(default_factory=dict)
    keys: Callable[[Mapping[str, str], "Conf"], Mapping[str, Sequence[str]]] = _no_keys
    words: Callable[[], Sequence[str]] = tuple
    lists: Sequence[str] = ()


def command(name: str) -> Command:
    """A subcommand by its name."""
    return cast(Command, import_module(f"ticketsearch.commands.{name}").COMMAND)
