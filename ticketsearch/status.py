"""Where every search stands, by a look at names, manifests, locks and the ends of logs. Imports no torch."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticketsearch.at_work import Said, Work, said, work
from ticketsearch.errors import CorruptStore, UsageError
from ticketsearch.layout import rounds, seeds
from ticketsearch.lock import Holder, holder
from ticketsearch.seal import read_manifest

UNREADABLE = (OSError, ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError)
DONE, HELD, STARTED, BROKEN, OPEN = "#", ">", "-", "!", "."
"""Marks of a round: trained; held by a process; begun and interrupted; damaged; not begun."""


@dataclass(frozen=True)
class SeedStatus:
    """One seed of one run.

    Attributes:
        run: the run's name.
        seed: of the cells.
        marks: one for each round that was ever asked for, or is there; see the constants above.
        notes: what is to say about rounds that are not done, a line each.
        work: what is known of each lock that somebody holds, or has left behind.
    """

    run: str
    seed: int
    marks: str
    notes: tuple[str, ...]
    work: tuple[Work, ...]

    @property
    def done(self) -> int:
        """How many rounds are trained."""
        return self.marks.count(DONE)


def status(out: Path) -> Iterator[SeedStatus]:
    """The status of every seed of every run under `out`.

    Raises:
        UsageError: there are no runs.
    """
    runs = [run for run in sorted(out.glob("*/")) if (run / "config.yaml").is_file() or any(seeds(run))]
    if not runs:
        raise UsageError(f"no runs in {out}", "`out` must be a folder that `ticketsearch run` has written to")
    logs = said(out)
    for run in runs:
        asked = _asked(run)
        there = {seed for seed, _ in seeds(run)}
        for seed in sorted({*asked, *there}):
            yield _seed(run, seed, asked.get(seed, set()), logs)


def _asked(run: Path) -> dict[int, set[int]]:
    """Seed -> the rounds that any command asked for; of lines that cannot be read nothing is known."""
    found: dict[int, set[int]] = {}
    log = run / "invocations.jsonl"
    for text in log.read_bytes().splitlines() if log.is_file() else []:
        try:
            line = json.loads(text)
            for seed in line["seeds"]:
                found.setdefault(int(seed), set()).update(map(int, line["rounds"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _seed(run: Path, seed: int, asked: set[int], logs: Said) -> SeedStatus:
    folder, marks, notes, works = run / f"seed-{seed}", "", [], []
    there = {round_ for suffix in ("", ".part", ".drawn") for round_, _ in rounds(folder, suffix)}
    for round_ in sorted(asked | there):
        cell = folder / f"round-{round_:02d}"
        by = holder(cell.with_suffix(".lock"))
        mark, note = _look(cell, by)
        marks += mark
        if by is not None:
            works.append(work(cell, by, logs, _record(cell.with_suffix(".part"))))
            note = "; ".join(filter(None, [note, str(works[-1])]))
        if note:
            notes.append(f"round {round_}: {note}")
    return SeedStatus(run.name, seed, marks, tuple(notes), tuple(works))


def look(cell: Path) -> tuple[str, str]:
    """The mark of a round, by its folder, and, unless it is done or not begun, what is to say about it."""
    return _look(cell, holder(cell.with_suffix(".lock")))


def _look(cell: Path, by: Holder | None) -> tuple[str, str]:
    who = f"held by {by}" if by and by.alive else ""
    there = _files(cell)
    if there is not None:
        try:
            missing = [name for name in read_manifest(cell)["files"] if name not in there]
        except CorruptStore as error:
            return BROKEN, error.what
        if missing:
            return BROKEN, f"{', '.join(missing)} missing"
        return DONE, f"trained, {who}" if who else ""
    drawn = cell.with_suffix(".drawn").is_file()
    far = " and ".join(filter(None, ["the ticket drawn" * drawn, _epoch(cell.with_suffix(".part"), drawn)]))
    if who:
        return HELD, f"{who}, {far} stored" if far else who
    return (STARTED, f"interrupted, {far} stored") if far else (OPEN, "")


def _files(cell: Path) -> set[str] | None:
    """The names of the files in a folder; None: it is none."""
    try:
        with os.scandir(cell) as found:
            return {entry.name for entry in found if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return None


def _epoch(part: Path, drawn: bool) -> str:
    """How far a round in progress is: `epoch 5`, in the first `step 7`; "" without one, or if a search is over."""
    try:
        said = _header(part)
        ended, search = _ended(said), "training" in said["about"]
        epoch = f"epoch {ended}" if ended else f"step {int(said['progress']['step'])}"
    except FileNotFoundError:
        return ""
    except UNREADABLE:
        return "something that cannot be read"
    return epoch if not search else "" if drawn else f"{epoch} of a search"


def _record(part: Path) -> str:
    """What the last epoch that is stored gave, as a run says it; "" where there is none."""
    try:
        last = _header(part)["progress"]["history"][-1]
        val = f", val {last['val_accuracy']:.2%}" if "val_accuracy" in last else ""
        return f"epoch {last['epoch']:.0f}: loss {last['loss']:.4f}, train {last['accuracy']:.2%}{val}"
    except (FileNotFoundError, *UNREADABLE):
        return ""


def stored_epoch(part: Path) -> int:
    """The epoch of its training that a round in progress goes on after; 0: it has to begin anew, or with its search."""
    try:
        said = _header(part)
        return 0 if "training" in said["about"] else _ended(said)
    except (FileNotFoundError, *UNREADABLE):
        return 0


def _header(part: Path) -> Any:
    """What a round in progress says of itself.

    Behind 32 bytes of checksum it is safetensors; of that, only the header and the tensor `json` are read.
    """
    with part.open("rb") as file:
        file.seek(32)
        length = int.from_bytes(file.read(8), "little")
        begin, end = json.loads(file.read(length))["json"]["data_offsets"]
        file.seek(40 + length + begin)
        return json.loads(file.read(end - begin))


def _ended(said: Any) -> int:
    """The epoch that ended last; 0 in the first."""
    history = said["progress"]["history"]
    return int(history[-1]["epoch"]) if history else 0
