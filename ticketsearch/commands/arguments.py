"""What commands share: flags, the outputs folder, and the command that was typed with its mistake mended."""

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from ticketsearch.errors import CorruptStore, UsageError, closest

NEAR = 0.75
"""How near a flag must be to be meant (`difflib`): short words are like each other by chance."""


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
            raise _unknown(word, arguments, command, valued if equals else [*switches, *valued])
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


def _unknown(word: str, arguments: Sequence[str], command: str, known: Iterable[str]) -> UsageError:
    """The error for a flag that there is not; what it suggests starts nothing that was not typed."""
    flag, equals, value = word.partition("=")
    helped, what = f"ticketsearch {command} --help", f"{command} takes no {flag}"
    if equals and flag.strip("-"):
        plain = [f"{flag.lstrip('-')}={value}" if w is word else w for w in arguments]
        near = [name for name in known if SequenceMatcher(None, flag, name).ratio() >= NEAR]
        if not near:
            return UsageError(what, "settings have no dashes", f"ticketsearch {command} {shlex.join(plain)}", flag)
    names = [*(name for name in known if name != "--yes" or flag.startswith("--y")), "--help", "--debug"]
    whole = " ".join("{}" + word.removeprefix(flag) if w is word else shlex.quote(w) for w in arguments)
    return closest(flag, names, what, f"ticketsearch {command} {whole}", helped, flag, NEAR)


def mended(error: UsageError, command: str, arguments: Sequence[str]) -> UsageError:
    """The error with the whole command that was typed as the one to try, only the mistake in it mended.

    Args:
        error: one whose attempt is the command with flags and `key=value`; others come back as they are.
        command: the subcommand.
        arguments: as typed.
    """
    if not error.attempt:
        return UsageError(error.what, error.right, f"ticketsearch {command} --help")
    if error.wrong.startswith("-"):  # the attempt is whole already
        return error
    said = shlex.split(error.attempt)
    flags = [word for word in said[2:] if word.startswith("-")]
    pairs = [word for word in said[2:] if word not in flags]
    if said[:2] != ["ticketsearch", command] or not pairs or not all("=" in word for word in pairs):
        return error
    whole = list(arguments)
    for pair in pairs:
        key, _, value = pair.partition("=")
        wrong, _, wrong_value = (error.wrong if pair is pairs[-1] and error.wrong else key).partition("=")
        keys = [key_of(word) for word in whole]
        at = [n for n, typed in enumerate(keys) if typed == wrong]
        at = at or [n for n, typed in enumerate(keys) if typed.startswith(f"{wrong}.")]
        if len(at) > 1:
            return error
        if not at:
            whole = [*filter(None, whole), pair]
            continue
        typed, given = key_of(whole[at[0]]), whole[at[0]].partition("=")[2]
        whole[at[0]] = f"{key}{typed.removeprefix(wrong)}={_replaced(given, wrong_value, value)}"
    flags = [flag for flag in flags if flag not in whole]
    return UsageError(error.what, error.right, f"ticketsearch {command} {shlex.join([*flags, *whole])}")


def _replaced(given: str, wrong: str, right: str) -> str:
    """A typed value with what is wrong in it replaced: of a list only the item, which is not there twice then."""
    if right == "...":
        return given
    item = re.compile(rf"(?<![^,\[]){re.escape(wrong)}(?![^,\]])")
    if not wrong or not item.search(given):
        return right
    items = item.sub(lambda match: right, given, count=1)
    return items if items[:1] == "[" else ",".join(dict.fromkeys(items.split(",")))


def key_of(word: str) -> str:
    """The key of `key=value`, without Hydra's `+`."""
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
            attempt = f"ticketsearch {command} out=outputs"
            raise UsageError(f"cannot read {argument!r}", "the only argument is out=FOLDER", attempt, argument)
    if len(given) > 1:
        raise UsageError("out is given twice", "each key takes one value", f"ticketsearch {command} out={given[-1]}")
    return given[0] if given else "outputs"


def pairs(arguments: Sequence[str], command: str, lists: Sequence[str], places: Sequence[str]) -> dict[str, Any]:
    """`key=value` as a dictionary, values read as yaml.

    Args:
        arguments: words that are no flags.
        command: the subcommand, for messages.
        lists: keys whose value is a list: one word, or words with commas, become one.
        places: keys whose value is taken as it is typed: folders.

    Raises:
        UsageError: a word is no `key=value`, is given twice, or cannot be read.
    """
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    helped, found = f"ticketsearch {command} --help", dict[str, Any]()
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key or (key in places and not value):
            raise UsageError(f"cannot read {argument}", "arguments are key=value", helped)
        if "." in key or key.startswith("_"):
            raise UsageError(f"unknown key {key}", f"the settings of {command} are one word each", helped)
        if key in found:
            raise UsageError(f"{key} is given twice", "each key takes one value", helped)
        try:
            read = value if key in places else OmegaConf.to_container(OmegaConf.from_dotlist([argument]))[key]  # type: ignore[call-overload,index]
        except (ValueError, OmegaConfBaseException, yaml.YAMLError) as error:
            raise UsageError(f"cannot read {argument}", "arguments are key=value", helped) from error
        found[key] = read.split(",") if key in lists and isinstance(read, str) else read
    return found
