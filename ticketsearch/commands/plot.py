"""`ticketsearch plot`."""

import sys
from pathlib import Path
from typing import Any

from ticketsearch.errors import UsageError

HELP = """\
Draw a figure from the rows of every run; prints the files that it wrote. Imports no torch, trains nothing.

usage: ticketsearch plot [figure=curves] [out=outputs] [to=OUT/figures] [key=value ...] [--strict]

A round of which rows are damaged or lost is left out, with a warning; with --strict it is an error (exit code 6).

keys of every figure:  dataset model pruner prunable settings (one or a list: what to draw; all if left out),
                       formats dpi
keys of curves:        metrics tolerance band split

examples:
  ticketsearch plot
  ticketsearch plot 'metrics=[accuracy,ece,nll]' 'pruner=[lth,random]'
  ticketsearch plot dataset=digits 'formats=[pdf,svg]' to=paper/figures
"""


def main(arguments: list[str]) -> int:
    """Draw one figure.

    Raises:
        UsageError: an argument is wrong, or there are no rows for it.
        CorruptStore: with --strict: a stored file is not what its checksum says.
    """
    strict = "--strict" in arguments
    keys = _parse([argument for argument in arguments if argument != "--strict"])
    name, out = str(keys.pop("figure", "curves")), Path(str(keys.pop("out", "outputs")))
    folder = Path(str(keys.pop("to", out / "figures")))

    from ticketsearch.build import build, closest
    from ticketsearch.commands.arguments import leave_out
    from ticketsearch.conf import choices, load_node
    from ticketsearch.results import load_results

    if name not in choices("figure"):
        raise closest(name, choices("figure"), f"no figure named {name!r}", "figure=", command="plot")
    figure = build(load_node("figure", name) | keys, "", (), "ticketsearch.figures.base.Figure", command="plot")
    for path in figure.draw(load_results(out, leave_out(strict)), folder):
        sys.stdout.write(f"{path}\n")
    return 0


def _parse(arguments: list[str]) -> dict[str, Any]:
    """`key=value` as a dictionary; a single word where a figure takes a list becomes a list of one."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        if any("=" not in argument for argument in arguments):
            raise ValueError(arguments)
        keys = dict(OmegaConf.to_container(OmegaConf.from_dotlist(arguments)))  # type: ignore[arg-type]
    except (ValueError, OmegaConfBaseException) as error:
        raise UsageError(
            f"cannot read {' '.join(arguments)}", "arguments are key=value", "ticketsearch plot --help"
        ) from error
    lists = ("dataset", "model", "pruner", "prunable", "settings", "metrics", "formats")
    return {str(key): [value] if key in lists and isinstance(value, str) else value for key, value in keys.items()}
