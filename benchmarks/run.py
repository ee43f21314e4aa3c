"""Times the product against what a careful user would write; `--help` says how."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from benchmarks.cases import CASES, Images, Job, case
from benchmarks.images import found, make_up
from benchmarks.ratios import isa, lines, results
from benchmarks.rounds import measure
from ticketsearch.data.cifar import Cifar10
from ticketsearch.errors import DataMissing, TicketError, UsageError

HELP, COMMAND = "python -m benchmarks.run --help", "python -m benchmarks.run --case"
SIZES = {
    "images": "training images",
    "validation": "images that are looked at after each epoch",
    "tests": "images that are looked at in the end",
    "epochs": "of each level, or passes of the loader",
}
ABOUT = """\
cases:
{cases}

Three sides do the same work in turn, each in a process of its own with one thread. What counts is CPU seconds, user and
system, after the imports. `ours` is the product. `plain` is what a careful user writes today: torch.nn.utils.prune, a
DataLoader over PIL images, torch.optim. `tensors` is that on tensors in memory. A run is void, and ends with 1, unless
all began with the same weights, saw the same images in the same order, kept as many weights, and learned alike.

examples:
  python -m benchmarks.run --case loader
  python -m benchmarks.run --case lenet300-mnist --rounds 5 --json lenet.json
  python -m benchmarks.run --case resnet20-cifar --data synthetic --images 512 --rounds 1
"""


class _Parser(argparse.ArgumentParser):
    """Refuses in three lines, as the product does."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, "every flag is said in the help", HELP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a case; 0: done, 1: void, and the codes of `ticketsearch.errors`."""
    try:
        return _run(_parser().parse_args(arguments))
    except TicketError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def _parser() -> _Parser:
    cases = "\n".join(f"  {name:15} {found.summary}" for name, found in CASES.items())
    kept = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        "python -m benchmarks.run", description=__doc__, epilog=ABOUT.format(cases=cases), formatter_class=kept
    )
    parser.add_argument("--case", required=True, help="what to measure")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each side does the work (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the file to write the results to")
    parser.add_argument("--data", choices=("real", "synthetic"), help="real where $TICKETSEARCH_DATA has it")
    for name, meant in SIZES.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"{meant}, where not the case's")
    return parser


def _run(typed: argparse.Namespace) -> int:
    chosen, here = case(typed.case), isa()
    sizes = {name: getattr(typed, name) for name in SIZES}
    sizes = {name: value for name, value in sizes.items() if value is not None}
    wrong = [f"--{name} {value}" for name, value in {**sizes, "rounds": typed.rounds}.items() if value < 1]
    if wrong:
        raise UsageError(" ".join(wrong), "these are counted from 1", HELP)
    official = Cifar10().folder
    here_already = found(typed.case, official)
    if typed.data == "real" and not here_already:
        right = "TICKETSEARCH_DATA names the folder that holds them, as for dataset=mnist and dataset=cifar10"
        raise DataMissing(
            f"no official images of {typed.case} in {official}", right, f"{COMMAND} {typed.case} --data synthetic"
        )
    data: Images = typed.data or ("real" if here_already else "synthetic")
    with tempfile.TemporaryDirectory() as folder:
        root = str(official) if data == "real" else folder
        job = replace(chosen.job(typed.case, data, root, here), **sizes)
        if data == "synthetic":
            make_up(job)
        return _measure(job, typed.rounds, typed.json)


def _measure(job: Job, rounds: int, file: Path | None) -> int:
    times = f"{job.epochs} epochs of {job.levels + 1} levels" if CASES[job.case].trains else f"{job.epochs} passes"
    _say(f"{job.case}: {job.images:,} {job.data} images, {times}")
    told = results(measure(job, rounds, _say))
    for line in lines(told):
        _say(line)
    if file:
        file.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return 1 if told["void"] else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
