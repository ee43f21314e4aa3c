"""Stored files that are damaged one at a time: `verify` must tell, `run` must say so and mend it, and afterwards
everything must be as if nothing had happened.
"""

import functools
import io
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_kills import COMMAND, Reference
from commands import Child  # found because of the line above

DAMAGES = ("flipped", "truncated", "emptied", "deleted")
ORDER = ("flipped", "deleted", "flipped", "flipped", "emptied", "flipped", "flipped", "truncated", "flipped", "flipped")
"""What happens to files of one kind, one after the other; each kind begins elsewhere, so that few show all."""
CORRUPT = 6
HARMLESS = {("round in progress", "deleted"), ("rewind folder", "deleted")}
"""What is made again when it is needed, so that its absence is no damage."""
DERIVED = ("results.parquet", "results.json")
"""Rows collected from the others; deleting them is no damage either."""
CELL = "*/seed-0/round-*"
KINDS = {
    "config.yaml": "*/config.yaml",
    "invocations.jsonl": "*/invocations.jsonl",
    "pointer to dense": "*/seed-0/round-00.json",
    "ticket": f"{CELL}/ticket.safetensors",
    "training rows": f"{CELL}/training.parquet",
    "manifest": f"{CELL}/manifest.json",
    "metric rows": f"{CELL}/metrics/*.parquet",
    "logits": f"{CELL}/metrics/logits-*.safetensors",
    "index of metrics": f"{CELL}/metrics/index.json",
    "rewind state": "*/seed-0/rewind-*/state.safetensors",
    "rewind manifest": "*/seed-0/rewind-*/manifest.json",
    "rewind folder": "*/seed-0/rewind-*/",
    "round in progress": "*/seed-0/round-*.part",
    "results.parquet": "results.parquet",
    "results.json": "results.json",
}
"""Every kind of stored file, and where they lie. Locks are notes, not results."""


def command(*words: str) -> tuple[int, str]:
    """What a command ends with and says; in this process, because hundreds are run."""
    from ticketsearch.cli import main

    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = main(words)
    return code, said.getvalue()


def verify(out: Path) -> tuple[int, str]:
    """`ticketsearch verify`."""
    return command("verify", f"out={out}")


def compose_once() -> None:
    """From here on, this process composes each command's configuration once: it takes longer than all reading does, and
    no stored file has a part in it.
    """
    from ticketsearch import compose

    composed, found = compose.compose, dict[tuple[str, ...], Any]()

    def remembered(words: list[str], *conf: Any) -> Any:
        key = tuple(words)
        if key not in found:
            found[key] = composed(words, *conf)
        return found[key]

    compose.compose = remembered  # type: ignore[assignment]


def die_within_round(round_: int) -> None:
    """From here on, this process kills itself as soon as it has stored a state of this round."""
    from ticketsearch import points

    save = points.save_part

    def saved(path: Path, *arguments: Any) -> None:
        save(path, *arguments)
        if path.name == f"round-{round_:02d}.part":
            os.kill(os.getpid(), signal.SIGKILL)

    points.save_part = saved


class Bench:
    """A copy of a folder that can be damaged, and put back by copying only what changed."""

    def __init__(self, whole: Path, work: Path) -> None:
        self.whole, self.work = whole, work
        self._files = self._about(whole)

    @staticmethod
    def _about(folder: Path) -> dict[Path, tuple[int, int] | None]:
        """Size and time of every file; None for folders."""
        found = {path.relative_to(folder): path for path in folder.rglob("*")}
        about = {name: path.stat() for name, path in found.items() if path.is_file()}
        return {name: (about[name].st_size, about[name].st_mtime_ns) if name in about else None for name in found}

    def restore(self) -> None:
        """Make the copy what it was copied from."""
        now = self._about(self.work)
        for name in sorted(now.keys() - self._files.keys(), reverse=True):
            (self.work / name).rmdir() if now[name] is None else (self.work / name).unlink()
        for name, about in sorted(self._files.items()):
            if about is None:
                (self.work / name).mkdir(parents=True, exist_ok=True)
            elif now.get(name) != about:
                shutil.copy2(self.whole / name, self.work / name)

    def of_kind(self, kind: str) -> list[Path]:
        """Its files of one kind."""
        return sorted(self.work.glob(KINDS[kind]))

    def unknown(self) -> list[Path]:
        """Files that are of no kind, so that a new one is not forgotten here."""
        known = {path for pattern in KINDS.values() for path in self.whole.glob(pattern)}
        files = (path for path in self.whole.rglob("*") if path.is_file() and path.suffix != ".lock")
        return [path for path in files if path not in known]


@dataclass
class Flips:
    """Files that are damaged.

    Attributes:
        reference: what must come out.
        folder: where it happens.
        seed: of the choices; each is a function of it and of its number.
        tally: how many of each kind were damaged in which way.
    """

    reference: Reference
    folder: Path
    seed: int
    tally: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        compose_once()
        self._finished = Bench(self.reference.out, self.folder / "finished")
        begun, die = self.folder / "begun", functools.partial(die_within_round, 2)
        Child(self.folder / "begun.log", *COMMAND, f"out={begun}", prepare=die).code(300)
        self._begun = Bench(begun, self.folder / "going-on")
        for bench in (self._finished, self._begun):
            code, told = verify(bench.whole)
            if code or bench.unknown():
                raise RuntimeError(f"before any damage, verify ends with {code}:\n{told}\n{bench.unknown()}")
            bench.restore()
        lacking = [kind for kind in KINDS if not self._bench(kind).of_kind(kind)]
        if lacking:
            raise RuntimeError(f"there is nothing to damage: {lacking}")

    def _bench(self, kind: str) -> Bench:
        return self._begun if kind == "round in progress" else self._finished

    @property
    def count(self) -> int:
        """How many there were."""
        return self.tally.total()

    def flip(self, number: int) -> list[str]:
        """One damage: told, said, mended; what is wrong with that."""
        dice, (turn, which) = random.Random(f"{self.seed} flip {number}"), divmod(number, len(KINDS))  # noqa: S311
        kind = [*KINDS][which]
        bench = self._bench(kind)
        bench.restore()
        path = dice.choice(bench.of_kind(kind))
        damage = "deleted" if path.is_dir() else ORDER[(turn + which) % len(ORDER)]
        how = _do(path, damage, dice)
        self.tally[kind, damage] += 1
        name = path.relative_to(bench.work)
        return [f"seed {self.seed}, number {number}, {name} {how}: {line}" for line in self._wrong(path, kind, damage)]

    def _wrong(self, path: Path, kind: str, damage: str) -> Iterator[str]:
        """What did not happen as it must, when one file was damaged."""
        out = self._bench(kind).work
        derived = kind in DERIVED
        harmless = (kind, damage) in HARMLESS or (derived and damage == "deleted")
        code, told = verify(out)
        if code != (0 if harmless else CORRUPT):
            yield f"verify ends with {code}:\n{told}"
        elif not harmless and not _names(told, path):
            yield f"verify does not name it:\n{told}"
        code, told = command("results", f"out={out}") if derived else command(*COMMAND, f"out={out}")
        if code:
            yield f"{'results' if derived else 'run'} ends with {code}:\n{told}"
        elif not harmless and not derived and not _names(told, path):
            yield f"run does not name it:\n{told}"
        yield from self.reference.content.differences(out)
        code, told = verify(out)
        if code:
            yield f"verify ends with {code} after it was mended:\n{told}"


def _do(path: Path, damage: str, dice: random.Random) -> str:
    """Damage a file; in words, how."""
    if damage == "deleted":
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return damage
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        bit = dice.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        return f"with bit {bit} flipped"
    size = dice.randrange(1, len(content)) if damage == "truncated" else 0
    path.write_bytes(content[:size])
    return f"{damage} to {size} of {len(content)} bytes"


def _names(told: str, path: Path) -> bool:
    """Whether an output speaks of a file, or of the cell or rewind point that it is part of."""
    whole = [folder for folder in path.parents if folder.name.startswith(("round-", "rewind-"))]
    told = "\n".join(line for line in told.splitlines() if "drawn from" not in line)
    if path.name in DERIVED:
        return str(path.with_suffix("")) in told
    return any(str(name) in told for name in (path, *whole))
