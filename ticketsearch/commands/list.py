"""`ticketsearch list`."""

import json
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ticketsearch.commands import Command
from ticketsearch.errors import UsageError, closest

if TYPE_CHECKING:
    from ticketsearch.conf import Conf

_HELP = """\
List what can be chosen, with a sentence and its reference for each. Imports no torch.

usage: ticketsearch list [KIND ...] [--json] [--config-dir FOLDER]

kinds:
{kinds}

Pruners come with what they look at (source), what they remove (unit) and whether they keep exactly what the schedule
says (exact); models with their parameters, and how many of those are prunable, for the images that they were made for.

examples:
  ticketsearch list                      every kind
  ticketsearch list pruners
  ticketsearch list models metrics
  ticketsearch list pruners --json       a list of objects with name, summary, reference, source, unit, exact
"""
FACTS = {"pruner": ("source", "unit", "exact"), "model": ("parameters", "prunable")}
"""What is told of a kind besides name, summary and reference."""


def help_text() -> str:
    """The help, with the kinds."""
    from ticketsearch.conf import OWN

    return _HELP.format(kinds="\n".join(f"  {kind:<12} {len(OWN.choices(group))}" for kind, group in _kinds().items()))


def words() -> Sequence[str]:
    """The kinds."""
    return tuple(_kinds())


def main(arguments: list[str]) -> int:
    """Print the list.

    Raises:
        UsageError: there is no such kind, or an argument is wrong.
    """
    from ticketsearch.commands.arguments import sort_out
    from ticketsearch.conf import Conf

    typed = sort_out(arguments, "list", COMMAND.switches, COMMAND.valued)
    conf = Conf.beside(typed.flags.get("--config-dir"), "list")
    kinds = _kinds()
    asked = list(dict.fromkeys(_kind(word, kinds) for word in typed.words)) or list(kinds)
    found = {kind: [_about(conf, kinds[kind], name) for name in conf.choices(kinds[kind])] for kind in asked}
    if "--json" in typed.flags:
        sys.stdout.write(json.dumps(found[asked[0]] if len(typed.words) == 1 else found, indent=2) + "\n")
        return 0
    width = shutil.get_terminal_size((120, 0)).columns if sys.stdout.isatty() else None
    sys.stdout.write("\n".join(_table(kind, found[kind], width) for kind in asked))
    return 0


def _kinds() -> dict[str, str]:
    """Kind -> group, as in `config.yaml`: `pruners` are the yamls of `pruner`."""
    from ticketsearch.settings import defaults

    alone = ("rest", "debug")  # words that have no plural
    groups = [*defaults(), "launcher", "figure"]
    return {group if group.endswith("s") or group in alone else f"{group}s": group for group in groups}


def _kind(word: str, kinds: Mapping[str, str]) -> str:
    """The kind that a word means; the name of its group will do."""
    for kind, group in kinds.items():
        if word in (kind, group):
            return kind
    if "=" in word:
        raise UsageError(f"cannot read {word!r}", f"(choices: {' '.join(kinds)})", "ticketsearch list pruners")
    raise closest(word, kinds, f"no list of {word!r}", "ticketsearch list {}", "ticketsearch list --help")


def _about(conf: "Conf", group: str, name: str) -> dict[str, Any]:
    """One choice as an object."""
    from ticketsearch.settings import node, settings

    head = conf.head(group, name)
    about: dict[str, Any] = {"name": name, "summary": head.summary, "reference": head.reference}
    if group == "model":
        numbers = {key: head.facts.get(key, "").replace(",", "") for key in FACTS[group]}
        return about | {key: int(text) if text.isdecimal() else None for key, text in numbers.items()}
    if group == "pruner":
        read = node(conf, group, name)
        known = {key: setting.default for key, setting in settings(str(read.get("_target_"))).items()}
        facts = {key: read.get(key, known.get(key)) for key in FACTS[group]}
        return about | facts | {"exact": {"true": True, "false": False}.get(str(facts["exact"]).lower())}
    return about


def _table(kind: str, objects: Sequence[Mapping[str, Any]], width: int | None) -> str:
    """A line each, folded to the width of a terminal."""
    facts = [key for key in (objects[0] if objects else ()) if key not in ("name", "summary", "reference")]
    lines = [[kind, *facts, ""]] + [[o["name"], *(_shown(o[key]) for key in facts), o["summary"]] for o in objects]
    widths = [max(len(line[column]) for line in lines) for column in range(len(facts) + 1)]
    text = ""
    for line in lines:
        start = "  ".join(cell.ljust(space) for cell, space in zip(line, widths, strict=False)) + "  "
        room = None if width is None else width - len(start)
        folded = [line[-1]] if room is None or room < 20 else textwrap.wrap(line[-1], room) or [""]
        text += ("\n" + " " * len(start)).join([start + folded[0], *folded[1:]]).rstrip() + "\n"
    return text


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value or "?")


COMMAND = Command(main, help_text, switches=("--json",), valued={"--config-dir": ()}, words=words)
