"""`ticketsearch status`."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ticketsearch.commands import Command

if TYPE_CHECKING:
    from ticketsearch.status import SeedStatus

HELP = """\
Show where every search stands: a mark for each round; who works on what, since when, what it said last and how long ago
that was; which locks were left behind; and how much is done of all that was asked for. Reads names, manifests, locks
and the ends of logs only; `ticketsearch verify` reads every byte.

usage: ticketsearch status [out=outputs] [--json]

marks:  #  trained     >  a process works on it     -  begun and interrupted     !  damaged     .  not begun

--json   one object: what is done of all, and the seeds of every run, with who works on them

examples:
  ticketsearch status
  watch -n 5 ticketsearch status out=sweep
  ticketsearch status --json | jq '.seeds[].work[] | select(.state != "working")'
"""
BAR = 20
"""Characters of the bar."""


def main(arguments: list[str]) -> int:
    """Print the status.

    Raises:
        UsageError: an argument is wrong or there are no runs.
    """
    from ticketsearch.commands.arguments import only_out, sort_out
    from ticketsearch.mounts import network
    from ticketsearch.status import status

    typed = sort_out(arguments, "status", COMMAND.switches)
    out = Path(only_out(typed.words, "status"))
    found, on = list(status(out)), network(out)
    if "--json" in typed.flags:
        sys.stdout.write(json.dumps(_object(found, on), indent=1) + "\n")
        return 0
    if on:
        counts = "a lock of another host counts by its heartbeat there, so clocks must agree to a minute"
        sys.stderr.write(f"warning: {out} is on {on}: {counts}\n")
    _print(found)
    return 0


def _print(found: "Sequence[SeedStatus]") -> None:
    shown = None
    for seed in found:
        if seed.run != shown:
            sys.stdout.write(f"{seed.run}\n")
            shown = seed.run
        sys.stdout.write(f"  seed {seed.seed:<4} {seed.marks}  {seed.done} of {len(seed.marks)} trained\n")
        sys.stdout.writelines(f"    {note}\n" for note in seed.notes)
    sys.stdout.write(f"{_whole(found)}\n")


def _whole(found: "Sequence[SeedStatus]") -> str:
    """The last line: how far everything is."""
    from ticketsearch.status import BROKEN, HELD, STARTED

    marks = "".join(seed.marks for seed in found)
    done, runs = sum(seed.done for seed in found), len({seed.run for seed in found})
    of = f"{len(marks)} rounds of {runs} run{'s' * (runs > 1)}"
    bar = f"{'=' * (BAR * done // max(len(marks), 1)):<{BAR}}"
    more = {"in progress": HELD, "interrupted": STARTED, "damaged": BROKEN}
    parts = [f"{marks.count(mark)} {word}" for word, mark in more.items() if mark in marks]
    stale = sum(work.stale for seed in found for work in seed.work)
    parts += [f"{stale} left by processes that are gone or silent"] if stale else []
    return ", ".join([f"[{bar}] {done} of {of} trained", *parts])


def _object(found: "Sequence[SeedStatus]", on: str) -> dict[str, object]:
    """What `--json` prints."""
    seeds = [
        {**asdict(seed), "done": seed.done, "work": [{**asdict(work), "stale": work.stale} for work in seed.work]}
        for seed in found
    ]
    whole = {"done": sum(seed.done for seed in found), "rounds": sum(len(seed.marks) for seed in found)}
    return {**whole, "network": on, "seeds": seeds}


COMMAND = Command(main, lambda: HELP, switches=("--json",), keys=lambda typed, conf: {"out": ()})
