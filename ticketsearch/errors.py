"""What can go wrong, one class per exit code.

Every error says three things: what is wrong, what would be right, and the command to try.

| exit code | class | meaning |
|---|---|---|
| 0 | | done |
| 2 | `UsageError` | the command or its configuration is wrong; nothing was created |
| 3 | `DataMissing` | the dataset is not where it was looked for, or has changed |
| 4 | `RunFailed` | training or evaluation stopped; what was committed is kept |
| 6 | `CorruptStore` | files under `out` are not what their checksums say |
| 75 | `Interrupted` | stopped by the user; the same command continues |
"""


class TicketError(Exception):
    """An error with a remedy.

    Args:
        what: what is wrong, one line.
        right: what would be right, one line.
        attempt: the command to try next, or "".
    """

    exit_code = 4

    def __init__(self, what: str, right: str, attempt: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.right = right
        self.attempt = attempt

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        """Errors cross process borders (launchers) with all three lines."""
        return type(self), (self.what, self.right, self.attempt)

    def __str__(self) -> str:
        lines = [f"error: {self.what}", f"  {self.right}"]
        if self.attempt:
            lines.append(f"  try: {self.attempt}")
        return "\n".join(lines)


class UsageError(TicketError):
    """The command or its configuration is wrong; nothing was created."""

    exit_code = 2


class DataMissing(TicketError):
    """A dataset is not where it was looked for, or is not the one that a run has seen before."""

    exit_code = 3


class RunFailed(TicketError):
    """Training, drawing or evaluation stopped; committed cells are kept."""

    exit_code = 4


class CorruptStore(TicketError):
    """A stored file is not what its checksum says."""

    exit_code = 6


class Interrupted(TicketError):
    """Stopped by the user; the same command continues where it was."""

    exit_code = 75
