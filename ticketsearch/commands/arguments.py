"""Arguments that several commands take: flags, the outputs folder, filters."""

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ticketsearch.errors import CorruptStore, UsageError, closest


@dataclass(frozen=True)
class Typed:
    """Arguments, sorted.

    Attributes:
        words: what is no flag, in order.
        flags: flag -> its value; "" for those that take none. Only those that were typed.
    """

    words: list[str]
    flags: dict[str, str]


def sort_out(arguments: Sequence[str], command: str, switches: Iterable[str] = (), valued: Iterable[str] = ()) -> Typed:
    """Tell flags from other words; flags may stand anywhere, `--flag VALUE` and `--flag=VALUE` are the same.

    Args:
        arguments: as typed.
        command: the subcommand, for messages.
        switches: flags without a value.
        valued: flags with one.

    Raises:
        UsageError: a flag is unknown, given twice, or lacks its value.
    """
    words, flags, rest = list[str](), dict[str, str](), list(arguments)
    helped = f"ticketsearch {command} --help"
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if not word.startswith("-"):
            words.append(word)
            continue
        if flag not in (*switches, *valued):
            known = [*switches, *valued, "--help", "--debug"]
            whole = " ".join("{}" + word.removeprefix(flag) if w is word else shlex.quote(w) for w in arguments)
            raise closest(flag, known, f"{command} takes no {flag}", f"ticketsearch {command} {whole}", helped, flag)
        if flag in flags:
            raise UsageError(f"{flag} is given twice", "once is enough", helped)
        if flag in switches and equals:
            raise UsageError(f"cannot read {word}", f"{flag} takes no value", helped)
        if flag in valued and not equals:
            value = rest.pop(0) if rest else ""
        if flag in valued and not value:
            raise UsageError(f"{flag} lacks its value", f"it is written {flag} VALUE", helped)
        flags[flag] = value
    return Typed(words, flags)


def mended(error: UsageError, command: str, arguments: Sequence[str]) -> UsageError:
    """The error with the whole command that was typed as the one to try, only the mistake in it mended.

    Args:
        error: one whose attempt is the command with flags and one `key=value`; others come back as they are.
        command: the subcommand.
        arguments: as typed.
    """
    if not error.attempt:
        return UsageError(error.what, error.right, f"ticketsearch {command} --help")
    if error.wrong.startswith("-"):  # the attempt is whole already
        return error
    said = shlex.split(error.attempt)
    *flags, last = said[2:] or [""]
    if said[:2] != ["ticketsearch", command] or "=" not in last or not all(flag.startswith("-") for flag in flags):
        return error
    key, _, value = last.partition("=")
    wrong, _, wrong_value = (error.wrong or key).partition("=")
    at = [n for n, word in enumerate(arguments) if f"{_key(word)}.".startswith(f"{wrong}.")]
    if len(at) != 1:
        return error
    typed, whole = arguments[at[0]], list(arguments)
    given = typed.partition("=")[2]
    if value != "...":  # of a list, only the item that is wrong
        item = re.compile(rf"(?<![^,\[]){re.escape(wrong_value)}(?![^,\]])")
        given = item.sub(value, given, count=1) if wrong_value and item.search(given) else value
    whole[at[0]] = f"{key}{_key(typed).removeprefix(wrong)}={given}"
    return UsageError(error.what, error.right, f"ticketsearch {command} {shlex.join([*flags, *whole])}")


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


def leave_out(strict: bool) -> Callable[[CorruptStore], None]:
    """What to do with rounds of which a file is damaged: stop at the first, or say so and go on without them."""

    def refuse(error: CorruptStore) -> None:
        raise error

    def warn(error: CorruptStore) -> None:
        sys.stderr.write(f"warning: left out a round: {error.what}\n  {error.right}\n")

    return refuse if strict else warn


def only_out(arguments: Sequence[str], command: str) -> str:
    """The outputs folder of a command that takes nothing else.

    Raises:
        UsageError: something else is there, or it is there twice.
    """
    given = [argument.removeprefix("out=") for argument in arguments if argument.startswith("out=")]
    for argument in arguments:
        if not argument.startswith("out=") or argument == "out=":
            raise UsageError(
                f"cannot read {argument!r}", "the only argument is out=FOLDER", f"ticketsearch {command} out=outputs"
            )
    if len(given) > 1:
        raise UsageError("out is given twice", "each key takes one value", f"ticketsearch {command} out={given[-1]}")
    return given[0] if given else "outputs"
