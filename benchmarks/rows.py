"""How long the verdict and the curves take on many rows, and how much memory: no training, rows are made up.

    python -m benchmarks.rows                    500 runs x 21 rounds x 11 metrics, 3 seeds
    python -m benchmarks.rows --corruptions      with an error for each corruption and severity, of which mCE is made

The rows lie in a `results.parquet`, as `ticketsearch results` leaves them; reading it is part of the time.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ticketsearch.analysis.criteria import METRICS
from ticketsearch.analysis.findings import findings
from ticketsearch.analysis.page import markdown, page
from ticketsearch.analysis.passing import passing
from ticketsearch.analysis.verdict import verdict
from ticketsearch.figures.curves import Curves
from ticketsearch.results import SCHEMA

GOAL = 10.0
"""Seconds that the verdict may take."""
UP = {"accuracy", "ood_auroc", "fgsm_accuracy"}
PRUNERS = ("lth", "omp", "random", "snip", "grasp", "synflow", "rigl", "anneal", "channel_l1", "supermask")
CORRUPTIONS = [f"{kind:02d}-{severity}" for kind in range(15) for severity in range(1, 6)]


def made_up(runs: int, rounds: int, seeds: int, corruptions: bool = False, cells: int = 50) -> pd.DataFrame:
    """Tidy rows of runs spread over datasets and models, round 0 included; values fall with the rounds, with noise over
    seeds.

    Args:
        runs: how many.
        rounds: of each, round 0 not counted.
        seeds: of each round.
        corruptions: 75 rows of `corruption_error` and a clean one in place of the row `mce`.
        cells: datasets and models, so that the runs of one are drawn together.
    """
    plain = [metric for metric in METRICS if not (corruptions and metric == "mce")]
    kinds = [(metric, "") for metric in [*plain, "majority_share"]]
    kinds += [("corruption_error", variant) for variant in [*CORRUPTIONS, "clean"]] if corruptions else []
    shape = (runs, seeds, rounds + 1, len(kinds))
    run, seed, round, kind = (axis.ravel() for axis in np.indices(shape))
    rng, metric = np.random.default_rng(0), np.array([name for name, _ in kinds])[kind]
    better = np.array([1 if name in UP else -1 for name, _ in kinds])[kind]
    value = 0.9 - better * 0.001 * round * (run % 10) + 0.002 * rng.standard_normal(len(run))
    cell, pruner = run % cells, np.array(PRUNERS)[run // cells % len(PRUNERS)]
    model = np.char.add("model", cell.astype(str))
    name = np.char.add(np.char.add(np.char.add(model, "-"), pruner), np.char.add("-", run.astype(str)))
    rows = {
        "run": np.char.add("made-", name), "dense": np.char.add("made-dense-", model), "label": pruner,
        "dataset": "made", "model": model, "pruner": pruner, "schedule": "geometric", "rewind": "init",
        "recipe": "made", "seed": seed, "round": round, "sparsity": 1 - 0.8**round, "prunable": "default",
        "family": metric, "metric": metric, "variant": np.array([variant for _, variant in kinds])[kind],
        "value": value, "stderr": 0.01, "better": better, "unit": "", "split": "test", "weights": "last", "at": "end",
        "settings": "made", "sequence": 0, "status": "ok",
    }  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=SCHEMA.names)


def peak() -> float:
    """The most memory that this process has had, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(arguments: Sequence[str] | None = None) -> int:
    """Time both; 1 where the verdict takes longer than its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--corruptions", action="store_true")
    parser.add_argument("--cells", type=int, default=50, help="datasets and models: each is a page of curves")
    parser.add_argument(
        "--curves", nargs="*", metavar="METRIC", help="`plot figure=curves` too, of all metrics or these"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.parquet"
        made_up(options.runs, options.rounds, options.seeds, options.corruptions, options.cells).to_parquet(file)
        before, started, cpu = peak(), time.perf_counter(), time.process_time()
        rows = pd.read_parquet(file)
        found = verdict(rows)
        told, checks = passing(found), findings(found)
        markdown(page(found, told, checks, ()))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        sys.stdout.write(
            f"{len(rows):,} rows of {len(told)} runs: verdict {seconds:.1f} s (CPU {cpu:.1f} s), {len(checks)} "
            f"checks; peak {peak():.2f} GiB, of which {before:.2f} GiB were there before; goal {GOAL:.0f} s: "
            f"{'met' if seconds <= GOAL else 'missed'}\n"
        )
        if options.curves is not None:
            started, cpu = time.perf_counter(), time.process_time()
            drawn = Curves(metrics=tuple(options.curves)).draw(pd.read_parquet(file), Path(folder))
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
            sys.stdout.write(f"{len(drawn)} files of curves {seconds:.1f} s (CPU {cpu:.1f} s), peak {peak():.2f} GiB\n")
    return int(seconds > GOAL)


if __name__ == "__main__":
    sys.exit(main())
