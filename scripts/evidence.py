"""What a published claim looks like in one's own rows: paired over seeds, never rounded in its favour.

    python scripts/evidence.py frankle_mnist                 from ./outputs
    python scripts/evidence.py frankle_mnist --out /scratch/outputs

`frankle_mnist` (Frankle & Carbin 2019): a ticket with 21 % of its weights is as good as the dense network; with less
than 5 % it is better than the same mask with fresh weights, and than random masks.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from ticketsearch.analysis.epochs import trained_epochs
from ticketsearch.analysis.seeds import measured
from ticketsearch.errors import TicketError, UsageError
from ticketsearch.results import load_results

DATASET, MODEL, TICKET = "mnist", "lenet300", "lth_layerwise"
SAME, FEW = 0.21, 0.05
"""Shares of the weights that are left: where the ticket must be as good as dense, and where controls must lose."""


def trained(out: Path, runs: list[str]) -> str:
    """For how many epochs the tickets of each run were trained."""
    epochs = trained_epochs(load_results(out))
    return "\n".join(f"{run}: {count} epochs" for run, count in epochs.items() if run in runs)


def accuracies(out: Path) -> pd.DataFrame:
    """Test accuracy in percent of every ticket of the claim: columns run, label, kept, sparsity, seed, value, base.

    Raises:
        TicketError: there are no such runs.
    """
    rows = load_results(out)
    rows = rows[(rows["dataset"] == DATASET) & (rows["model"] == MODEL)]
    rows = measured(rows[(rows["metric"] == "accuracy") & (rows["split"] == "test") & (rows["variant"] == "")])
    if TICKET not in set(rows["label"]):
        raise TicketError(f"no runs of {TICKET} in {out}", "`ticketsearch run experiment=frankle_mnist` makes them")
    rows = rows.assign(value=rows["value"] * 100)
    runs = rows[rows["round"] > 0].groupby("label")["run"].unique()
    if runs.map(len).max() > 1 or rows["dense"].nunique() > 1:
        names = " ".join(sorted(rows["run"].unique()))
        raise UsageError(
            f"several recipes or schedules of one pruner: {names}", "compare them in a folder of their own"
        )
    dense = rows[rows["round"] == 0].drop_duplicates(["dense", "seed"]).set_index(["dense", "seed"])["value"]
    rows = rows[rows["round"] > 0]
    return rows.assign(base=[dense[key] for key in zip(rows["dense"], rows["seed"], strict=True)])


def table(found: pd.DataFrame) -> str:
    """Mean and standard deviation over seeds, a line for each number of weights that is left, a column a label."""
    base = found.drop_duplicates("seed")["base"]
    cells = found.groupby(["kept", "label"])["value"].agg(["mean", "std"])
    text = cells.apply(lambda cell: f"{cell['mean']:.2f} ± {cell['std']:.2f}", axis=1).unstack().fillna("")
    text.insert(0, "left", [f"{100 * (1 - sparsity):.2f} %" for sparsity in found.groupby("kept")["sparsity"].mean()])
    head = f"dense {base.mean():.2f} ± {base.std():.2f} ({len(base)} seeds)"
    return f"{head}\n{text.sort_index(ascending=False).to_string()}"


def paired(found: pd.DataFrame, kept: int, other: str | None) -> str:
    """The ticket's accuracy less another's with as many weights, seed by seed: mean, and the extremes."""
    at = found[found["kept"] == kept]
    ticket = at[at["label"] == TICKET].set_index("seed")
    rival = ticket["base"] if other is None else at[at["label"] == other].set_index("seed")["value"]
    less = (ticket["value"] - rival).dropna()
    what = f"{TICKET} - {other or 'dense'} with {100 * (1 - ticket['sparsity'].mean()):.2f} % left"
    if less.empty:
        return f"{what}: not measured"
    spread = f"from {less.min():+.2f} to {less.max():+.2f}, standard deviation {less.std():.2f}"
    return f"{what}: {less.mean():+.2f} points, {spread}, {len(less)} seeds"


def main() -> int:
    """Print the evidence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claim", choices=["frankle_mnist"])
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="where the runs are")
    options = parser.parse_args()
    try:
        found = accuracies(options.out)
    except TicketError as error:
        sys.stderr.write(f"error: {error.what}\n  {error.right}\n  try: {error.attempt}\n")
        return error.exit_code
    lines = [table(found), "", trained(options.out, sorted(found["run"].unique())), ""]
    left = 1 - found[found["label"] == TICKET].groupby("kept")["sparsity"].mean()
    lines.append(paired(found, int((left - SAME).abs().idxmin()), None))
    for kept in left.index[left <= FEW]:
        lines += [paired(found, int(kept), other) for other in sorted(set(found["label"]) - {TICKET})]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
