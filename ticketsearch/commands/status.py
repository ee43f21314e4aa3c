"""`ticketsearch status`."""

import sys
from pathlib import Path

from ticketsearch.commands import Command

HELP = """\
Show where every search stands: a mark for each round, and who works on what. Reads names, manifests and locks only;
`ticketsearch verify` reads every byte.

usage: ticketsearch status [out=outputs]

marks:  #  trained     >  a process works on it     -  begun and interrupted     !  damaged     .  not begun

examples:
  ticketsearch status
  watch -n 5 ticketsearch status out=sweep
"""


def main(arguments: list[str]) -> int:
    """Print the status.

    Raises:
        UsageError: an argument is wrong or there are no runs.
    """
    from ticketsearch.commands.arguments import only_out
    from ticketsearch.status import status

    shown = None
    for seed in status(Path(only_out(arguments, "status"))):
        if seed.run != shown:
            sys.stdout.write(f"{seed.run}\n")
            shown = seed.run
        sys.stdout.write(f"  seed {seed.seed:<4} {seed.marks}  {seed.done} of {len(seed.marks)} trained\n")
        sys.stdout.writelines(f"    {note}\n" for note in seed.notes)
    return 0


COMMAND = Command(main, lambda: HELP, keys=lambda typed, conf: {"out": ()})
