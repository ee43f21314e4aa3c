"""Arguments that several commands take."""

import sys
from collections.abc import Callable, Sequence

from ticketsearch.errors import CorruptStore, UsageError


def leave_out(strict: bool) -> Callable[[CorruptStore], None]:
    """What to do with rounds of which a file is damaged: stop at the first, or say so and go on without them."""

    def refuse(error: CorruptStore) -> None:
        raise error

    def warn(error: CorruptStore) -> None:
        sys.stderr.write(f"warning: left out a round: {error.what}\n  {error.right}\n")

    return refuse if strict else warn


def only_out(arguments: Sequence[str], command: str) -> str:
    """The outputs folder of a command that takes nothing else.

    Raises:
        UsageError: something else is there.
    """
    out = "outputs"
    for argument in arguments:
        if not argument.startswith("out=") or argument == "out=":
            raise UsageError(
                f"cannot read {argument!r}", "the only argument is out=FOLDER", f"ticketsearch {command} out=outputs"
            )
        out = argument.removeprefix("out=")
    return out
