"""Kill a search at random moments, and damage what it has stored bit by bit: nothing may come out differently.

    python scripts/chaos.py                          5 minutes of both
    python scripts/chaos.py --seconds 20 --seed 1
    python scripts/chaos.py --kills 30 --flips 0     so many kills
    python scripts/chaos.py --kills 0 --flips 1 --first 17   one damage again, number 17 of this seed

An uninterrupted search is the reference. In others of the same command the process is killed (-9) until they are
finished after all; in a copy of the reference one stored file at a time is flipped by a bit, truncated, emptied or
deleted. Exits with 1 when anything differs; then the folders stay.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos_flips import DAMAGES, KINDS, Flips, verify
from chaos_kills import PHASES, Kills, Reference

SECONDS = 300.0
EVERY = 10.0
"""Seconds between two lines of progress."""


@dataclass
class Chaos:
    """Kills and flips in turn, both for the same time.

    Attributes:
        kills: what is killed.
        flips: what is damaged.
        limits: how many of both there are to be; None: as many as there is time for.
        end: when the time is up.
        first: the number of the first search and of the first flip.
    """

    kills: Kills
    flips: Flips
    limits: tuple[int | None, int | None]
    end: float
    first: int = 0
    differences: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Until the time or the counts are used up."""
        spent, told = {"kills": 0.0, "flips": 0.0}, time.monotonic()
        while todo := [name for name in spent if self._more(name)]:
            name, begun = min(todo, key=spent.__getitem__), time.monotonic()
            found = self._kill() if name == "kills" else self._flip()
            spent[name] += time.monotonic() - begun
            for line in found:
                say(f"DIFFERENCE: {line}")
            self.differences += found
            if time.monotonic() > told + EVERY:
                told = time.monotonic()
                say(self.summary())

    def _more(self, name: str) -> bool:
        """Whether there is to be another; of each kind at least one, however slow the machine is."""
        count, limit = (self.kills.count, self.limits[0]) if name == "kills" else (self.flips.count, self.limits[1])
        if limit is not None:
            return count < limit
        return count == 0 or time.monotonic() < self.end

    def _kill(self) -> list[str]:
        return self.kills.search(self.first + self.kills.searches, lambda: self._more("kills"))

    def _flip(self) -> list[str]:
        return self.flips.flip(self.first + self.flips.count)

    def summary(self) -> str:
        """How much of all there was."""
        return f"{self.kills.count} kills, {self.flips.count} flips, {len(self.differences)} differences"

    def table(self) -> str:
        """All counts, as text."""
        lines = [f"{'killed while':20}{'times':>10}"]
        lines += [f"{phase:20}{self.kills.phases[phase]:10}" for phase in PHASES]
        lines += [f"between the first and the last commit: {self.kills.between} of {self.kills.count} kills"]
        lines += [f"searches that were finished: {self.kills.searches}", ""]
        lines += [f"{'damaged':20}" + "".join(f"{damage:>10}" for damage in DAMAGES)]
        tally = self.flips.tally
        lines += [f"{kind:20}" + "".join(f"{tally[kind, damage]:10}" for damage in DAMAGES) for kind in KINDS]
        totals = [sum(tally[kind, damage] for kind in KINDS) for damage in DAMAGES]
        return "\n".join([*lines, f"{'all':20}" + "".join(f"{total:10}" for total in totals)])


def say(text: str) -> None:
    """One line, now."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def asked(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description="kill a search and damage its files; nothing may come out differently")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long, where no count is given")
    parser.add_argument("--seed", type=int, default=0, help="of what is done when")
    parser.add_argument("--kills", type=int, help="exactly so many kills")
    parser.add_argument("--flips", type=int, help="exactly so many damaged files")
    parser.add_argument("--first", type=int, default=0, help="number of the first search and of the first flip")
    return parser.parse_args(arguments)


def main() -> int:
    """Run it; 1 when there is a difference."""
    options, begun = asked(), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    reference = Reference.make(folder)
    say(f"the search takes {reference.seconds['all']:.1f} s without being disturbed; each is done in {folder}")
    kills = Kills(reference, folder, options.seed, verify)
    flips = Flips(reference, folder, options.seed)
    limits = (options.kills, options.flips)
    chaos = Chaos(kills, flips, limits, begun + options.seconds, options.first)
    chaos.run()
    say(f"\n{chaos.table()}\n")
    for line in chaos.differences:
        say(f"DIFFERENCE: {line}")
    say(chaos.summary())
    if not chaos.differences:
        shutil.rmtree(folder)
    return int(bool(chaos.differences))


if __name__ == "__main__":
    sys.exit(main())
