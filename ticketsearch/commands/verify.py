"""`ticketsearch verify`."""

import sys
from pathlib import Path

from ticketsearch.commands import Command

HELP = """\
Read every stored byte and compare it with its checksum: tickets (and how many weights each mask keeps), rows, logits,
rewind points, rounds in progress, notes, and every pointer from one to another. Changes nothing.

usage: ticketsearch verify [out=outputs]

exit code: 0 all is as it was written, 6 something is not; the next `run` of that search makes it again

examples:
  ticketsearch verify
  ticketsearch verify out=copied/outputs     a copy, also one that may only be read
"""


def main(arguments: list[str]) -> int:
    """Check every run.

    Raises:
        UsageError: an argument is wrong or there are no runs.
        CorruptStore: something is damaged; every fault has been told before.
    """
    from ticketsearch.commands.arguments import only_out

    out = Path(only_out(arguments, "verify"))

    from ticketsearch.errors import CorruptStore
    from ticketsearch.seal import REMEDY
    from ticketsearch.verify import derived, verify

    faults = 0
    for checked in verify(out):
        aside = f", {checked.aside} set aside before" if checked.aside else ""
        state = "ok" if not checked.wrong else f"{len(checked.wrong)} WRONG"
        size = f"{checked.cells} cells, {checked.size / 1e6:.1f} MB"
        sys.stdout.write(f"{checked.run.name}  {size}{aside}: {state}\n")
        sys.stdout.writelines(f"  {line}\n" for line in checked.wrong)
        sys.stdout.flush()
        faults += len(checked.wrong)
    for line in derived(out):
        sys.stdout.write(f"{line}\n")
        faults += 1
    if not faults:
        return 0
    told = f"{faults} stored {'file is' if faults == 1 else 'files are'} not as written"
    raise CorruptStore(told, REMEDY)


COMMAND = Command(main, lambda: HELP, keys=lambda typed, conf: {"out": ()})
