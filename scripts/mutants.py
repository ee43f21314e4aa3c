"""Break the package line by line: for each row of tests/mutants.toml, the named test must fail on the broken copy.

    python scripts/mutants.py               every row
    python scripts/mutants.py momentum tie  rows whose name contains one of the words
    python scripts/mutants.py --jobs 4
    python scripts/mutants.py --eighth 2    every eighth row, from the third on; 10 is the same eighth

Exits with 1 when a mutant survives, with 2 when a row does not fit the code or a test fails without any mutant.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("ticketsearch", "conf", "docs", "tests", "pyproject.toml")
FAILED = 1
"""Pytest's exit code when tests ran and some failed; others mean that none was found or none could be collected."""

Row = dict[str, str]


@contextmanager
def copy() -> Iterator[Path]:
    """A copy of the package, its yamls and its tests that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        for name in COPIED:
            source, target = ROOT / name, Path(folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        yield Path(folder)


def mutate(folder: Path, row: Row) -> None:
    """Put the fault into the copy.

    Raises:
        ValueError: the old text is not there exactly once.
    """
    path = folder / row["file"]
    text = path.read_text()
    if text.count(row["old"]) != 1:
        raise ValueError(f"old text occurs {text.count(row['old'])} times in {row['file']}")
    path.write_text(text.replace(row["old"], row["new"]))


def pytest(folder: Path, tests: list[str]) -> tuple[int, str]:
    """Exit code and output of tests run within a copy. The folder itself comes first on the path."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", *tests]
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    return done.returncode, done.stdout + done.stderr


def verdict(row: Row) -> str:
    """`killed`, `SURVIVED`, or `ERROR` and why."""
    with copy() as folder:
        try:
            mutate(folder, row)
        except (OSError, ValueError) as error:
            return f"ERROR: {error}"
        code, output = pytest(folder, [row["test"]])
    if code == FAILED:
        return "killed"
    return "SURVIVED" if code == 0 else f"ERROR: pytest exit code {code}\n{output}"


def healthy(rows: list[Row]) -> bool:
    """Whether every named test passes without a mutant; what fails is told."""
    with copy() as folder:
        code, output = pytest(folder, sorted({row["test"] for row in rows}))
    if code:
        sys.stdout.write(f"the tests do not pass as the code is:\n{output}")
    return code == 0


def main() -> int:
    """Run the table."""
    parser = argparse.ArgumentParser(description="break the package line by line; a test must notice each time")
    parser.add_argument("words", nargs="*", help="only mutants whose name contains one of these")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--eighth", type=int, help="only every eighth row; with each next number, the next ones")
    options = parser.parse_args()
    rows: list[Row] = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text())["mutant"]
    if options.words:
        rows = [row for row in rows if any(word in row["name"] for word in options.words)]
    if options.eighth is not None:
        rows = rows[options.eighth % 8 :: 8]
    if not rows or not healthy(rows):
        return 2
    width, found = max(len(row["name"]) for row in rows), []
    with ThreadPoolExecutor(options.jobs) as pool:
        for row, result in zip(rows, pool.map(verdict, rows), strict=True):
            sys.stdout.write(f"{row['name']:{width}}  {result}\n")
            sys.stdout.flush()
            found.append(result)
    survived, broken = found.count("SURVIVED"), sum(result.startswith("ERROR") for result in found)
    sys.stdout.write(f"{len(rows)} mutants: {found.count('killed')} killed, {survived} survived, {broken} errors\n")
    return 2 if broken else int(survived > 0)


if __name__ == "__main__":
    sys.exit(main())
