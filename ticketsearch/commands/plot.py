"""`ticketsearch plot`."""

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticketsearch.commands import Command
from ticketsearch.errors import UsageError, closest

if TYPE_CHECKING:
    from ticketsearch.conf import Conf

_HELP = """\
Draw a figure from the rows of every run; prints the files that it wrote. Imports no torch, trains nothing.

usage: ticketsearch plot [figure=curves] [out=outputs] [to=OUT/figures] [key=value ...] [--strict]
                         [--config-dir FOLDER]

A round of which rows are damaged or lost is left out, with a warning; with --strict it is an error (exit code 6).

figures and their keys; `ticketsearch list figures` says what each shows:
  all                  dataset model pruner prunable settings (one or a list: what to draw; all if left out),
                       formats dpi
{keys}
figures of your own:   --config-dir FOLDER with figure/NAME.yaml, its package in extensions

examples:
  ticketsearch plot
  ticketsearch plot 'metrics=[accuracy,ece,nll]' 'pruner=[lth,random]'
  ticketsearch plot panels=paper published=chen2022 'dataset=[cifar10,cifar100]'
  ticketsearch plot dataset=digits 'formats=[pdf,svg]' to=paper/figures
"""
_BASE = "ticketsearch.figures.base.Figure"
_FIGURE = "curves"
"""What is drawn when no figure is named."""


def help_text() -> str:
    """The help, with the figures."""
    from ticketsearch.conf import OWN
    from ticketsearch.settings import node, settings

    lines = []
    for name in OWN.choices("figure"):
        own = [key for key in settings(node(OWN, "figure", name)["_target_"]) if key not in settings(_BASE)]
        folded = textwrap.wrap(" ".join(own), 80)
        lines += [f"  {name:<20} {folded[0]}", *(f"{'':<23}{line}" for line in folded[1:])] if own else [f"  {name}"]
    return _HELP.format(keys="\n".join(lines))


def keys(typed: Mapping[str, str], conf: "Conf") -> Mapping[str, Sequence[str]]:
    """The figure, its settings, and where things are."""
    from ticketsearch.settings import below, node

    settings = below("", node(conf, "figure", typed.get("figure", _FIGURE)), lists=True)
    choices = {group: tuple(conf.choices(group)) for group in ("figure", "dataset", "model", "pruner")}
    return {key.removeprefix("."): values for key, values in settings.items()} | choices | dict.fromkeys(_PLACES, ())


LISTS = ("dataset", "model", "pruner", "prunable", "settings", "metrics", "formats", "extensions")
_PLACES = ("out", "to", "extensions")


def main(arguments: list[str]) -> int:
    """Draw one figure.

    Raises:
        UsageError: an argument is wrong, or there are no rows for it.
        CorruptStore: with --strict: a stored file is not what its checksum says.
    """
    from ticketsearch.build import build, importable
    from ticketsearch.commands.arguments import leave_out, pairs, sort_out
    from ticketsearch.conf import Conf
    from ticketsearch.settings import settings

    flagged = sort_out(arguments, "plot", COMMAND.switches, COMMAND.valued)
    conf = Conf.beside(flagged.flags.get("--config-dir"), "plot")
    typed = pairs(flagged.words, "plot", LISTS, ("out", "to"))
    name, out = str(typed.pop("figure", _FIGURE)), Path(str(typed.pop("out", "outputs")))
    folder, extensions = Path(str(typed.pop("to", out / "figures"))), tuple(typed.pop("extensions", ()))
    if name not in conf.choices("figure"):
        attempt, otherwise = "ticketsearch plot figure={}", "ticketsearch list figures"
        raise closest(name, conf.choices("figure"), f"no figure named {name!r}", attempt, otherwise, f"figure={name}")
    importable(extensions)
    chosen = conf.load("figure", name)
    several = {key for key, setting in settings(str(chosen.get("_target_"))).items() if setting.many}
    typed |= {key: _listed(value) for key, value in typed.items() if key in several}
    figure = build(chosen | typed, "", extensions, _BASE, (*_PLACES, "figure"), command="plot")

    from ticketsearch.results import load_results

    rows = load_results(out, leave_out("--strict" in flagged.flags))
    try:
        drawn = figure.draw(rows, folder)
    except OSError as error:
        right = "`to` must be a folder that you may write to"
        raise UsageError(f"cannot write to {folder}: {error.strerror or error}", right) from error
    sys.stdout.writelines(f"{path}\n" for path in drawn)
    return 0


def _listed(value: Any) -> Any:
    """A list, of which one may type a single member, or all with commas between them."""
    return value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]


COMMAND = Command(main, help_text, switches=("--strict",), valued={"--config-dir": ()}, keys=keys, lists=LISTS)
