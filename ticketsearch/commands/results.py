"""`ticketsearch results`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ticketsearch.commands import Command
from ticketsearch.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

HELP = """\
Collect the rows of every run into OUT/results.parquet (rebuilt when it is stale) and print the main ones.

usage: ticketsearch results [out=outputs] [--to FILE.parquet|FILE.csv] [--strict]

A round of which rows are damaged or lost is left out, with a warning; with --strict it is an error (exit code 6).

examples:
  ticketsearch results                        accuracy, NLL and ECE on the test images, a line per run, seed and round
  ticketsearch results --to results.csv       every row of every run
  ticketsearch results out=elsewhere
"""

_SHOWN = ("accuracy", "nll", "ece")


def main(arguments: list[str]) -> int:
    """Collect, then print or save.

    Raises:
        UsageError: an argument is wrong or there are no runs.
        CorruptStore: with --strict: a stored file is not what its checksum says.
    """
    from ticketsearch.commands.arguments import leave_out, only_out, sort_out

    typed = sort_out(arguments, "results", COMMAND.switches, COMMAND.valued)
    out, target = only_out(typed.words, "results"), Path(typed.flags["--to"]) if "--to" in typed.flags else None
    if target and target.suffix not in (".parquet", ".csv"):
        right = "the file must end in .parquet or .csv"
        raise UsageError(f"cannot save to {target}", right, "ticketsearch results --to results.csv")

    from ticketsearch.results import load_results

    rows = load_results(out, leave_out("--strict" in typed.flags))
    if target is None:
        sys.stdout.write(_table(rows).to_string() + "\n")
        return 0
    try:
        rows.to_csv(target, index=False) if target.suffix == ".csv" else rows.to_parquet(target, index=False)
    except OSError as error:
        right = "it must be a file in a folder that is there and that you may write to"
        raise UsageError(f"cannot save to {target}: {error.strerror or error}", right) from error
    return 0


def _table(rows: "pd.DataFrame") -> "pd.DataFrame":
    from ticketsearch.analysis.seeds import measured

    shown = measured(rows[(rows.split == "test") & (rows.variant == "") & rows.metric.isin(_SHOWN)])
    table = shown.pivot_table("value", ["run", "label", "seed", "round", "sparsity", "kept"], "metric", aggfunc="last")
    return table.reindex(columns=[name for name in _SHOWN if name in table]).round(4)


COMMAND = Command(main, lambda: HELP, switches=("--strict",), valued={"--to": ()}, keys=lambda typed, conf: {"out": ()})
