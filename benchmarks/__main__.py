"""Every case, one after the other, and a table of what each has said of its goals: `python -m benchmarks [CASE ...]`.

A case is a process of its own. Its lines with a goal, and what it says instead where it fails, are the table; the exit
code is 1 where a goal is missed. Each case takes minutes at most on two cores. There is none of sparse inference: no
sparse export exists yet.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.goals import machine

CASES = {
    "loader": "run --case loader",
    "lenet300-mnist": "run --case lenet300-mnist",
    "resnet20-cifar": "run --case resnet20-cifar",
    "corruptions": "corruptions --images 200",
    "evaluation": "evaluation",
    "hessian": "hessian",
    "explanation": "explanation",
    "families": "families --rounds 1",
    "rows": "rows",
    "scoring": "scoring",
    "models": "models",
    "checkpoint": "ticket_bytes",
    "framework": "framework",
    "scaling": "framework --scaling",
    "resume-overhead": "resume",
    "sweep-2proc": "packing",
    "fleet": "fleet",
    "engines": "engines",
}
"""Name -> the module and what is typed behind it."""
TOLD = r"\b(met|missed|VOID|goal|ratio)\b.*\d|\d.*\b(met|missed|VOID|goal|ratio)\b| / ours"
"""The lines that say what was found."""


def told(output: str, code: int) -> list[str]:
    """The lines of a case that say what was found; the last one where none does."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    found = [line for line in lines if re.search(TOLD, line)]
    return found or [*lines[-1:], *([f"it ended with {code}"] if code else [])] or [f"it ended with {code}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases and print the table; 1 where one of them has failed or missed its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"all, or some of: {', '.join(CASES)}")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.cases if name not in CASES]:
        parser.error(f"no case {unknown[0]!r}; there are {', '.join(CASES)}")
    sys.stdout.write(f"{machine()}\n\n| case | seconds | found |\n|---|---|---|\n")
    failed = False
    for name in asked.cases or CASES:
        module, *more = CASES[name].split()
        began = time.monotonic()
        command = [sys.executable, "-m", f"benchmarks.{module}", *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        failed |= done.returncode != 0
        found = "<br>".join(told(done.stdout + done.stderr * (done.returncode != 0), done.returncode))
        sys.stdout.write(f"| {name} | {time.monotonic() - began:.0f} | {found} |\n")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
