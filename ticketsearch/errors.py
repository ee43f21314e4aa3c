"""What can go wrong, one class per exit code.

Every error says three things: what is wrong, what would be right, and the command to try.

| exit code | class | meaning |
|---|---|---|
| 0 | | done |
| 2 | `UsageError` | the command or its configuration is wrong; nothing was created |
| 3 | `DataMissing` | the dataset is not where it was looked for, or has changed |
| 4 | `RunFailed` | training or evaluation stopped; what was committed is kept |
| 5 | `SweepFailed` | some runs of a sweep failed; the others are done |
| 6 | `CorruptStore` | files under `out` are not what their checksums say |
| 7 | `Diverged` | a training diverged, and would again; what was committed is kept |
| 75 | `Interrupted` | stopped by the user; the same command continues |
"""

import shlex
from collections.abc import Iterable


class TicketError(Exception):
    """An error with a remedy.

    Args:
        what: what is wrong, one line.
        right: what would be right, one line.
        attempt: the command to try next, or "".
    """

    exit_code = 4
    label = "try"
    """What stands before the command."""

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
            lines.append(f"  {self.label}: {self.attempt}")
        return "\n".join(lines)


class UsageError(TicketError):
    """The command or its configuration is wrong; nothing was created.

    Args:
        what: what is wrong, one line.
        right: what would be right, one line.
        attempt: the command to try next, or "".
        wrong: what was typed in place of what is in `attempt`: a key, or `key=value`; "": the same key.
    """

    exit_code = 2

    def __init__(self, what: str, right: str, attempt: str = "", wrong: str = "") -> None:
        super().__init__(what, right, attempt)
        self.wrong = wrong


class DataMissing(TicketError):
    """A dataset is not where it was looked for, or is not the one that a run has seen before."""

    exit_code = 3


class RunFailed(TicketError):
    """Training, drawing or evaluation stopped; committed cells are kept."""

    exit_code = 4


class Diverged(RunFailed):
    """A loss or a weight is not finite. The same training would come to the same."""

    exit_code = 7


class SweepFailed(TicketError):
    """Some runs of a sweep failed; the others are done."""

    exit_code = 5


class CorruptStore(TicketError):
    """A stored file is not what its checksum says."""

    exit_code = 6


class Interrupted(TicketError):
    """Stopped by the user; the same command continues where it was."""

    exit_code = 75
    label = "resume with"


def told(error: BaseException, command: str) -> TicketError:
    """Any error as one that says what is wrong, what would be right, and the command to try.

    Args:
        error: what was raised.
        command: the command that was typed.
    """
    if isinstance(error, TicketError):
        return error
    if isinstance(error, KeyboardInterrupt):
        by = f" by {error}" if str(error) not in ("", "SIGINT") else ""
        return Interrupted(f"interrupted{by}", "what was committed is kept; the same command continues", command)
    if isinstance(error, OSError):
        what = f"{error.filename or 'where this is printed, or a file'}: {error.strerror or error}"
        return RunFailed(what, "what was committed is kept; the same command continues", command)
    what = (f"{type(error).__name__}: {error}".splitlines() or [""])[0]
    if type(error).__name__ in ("OutOfMemoryError", "AcceleratorError") or "CUDA error" in what:
        right = "the GPU is gone, or broke off; what was committed is kept, and the same command continues"
        if type(error).__name__ == "OutOfMemoryError":
            right = "the GPU is full: fewer jobs on it, a smaller wave or recipe.batch_size; what was committed is kept"
        words = [word for word in shlex.split(command) if not word.lstrip("+").startswith("device=")]
        return RunFailed(what, right, f"{shlex.join(words)} device=cpu")
    right = "a pruner, model or metric raised it, or it is a bug here; what was committed is kept"
    return RunFailed(what, right, f"{command} --debug")


def closest(
    name: str,
    names: Iterable[str],
    what: str,
    attempt: str = "",
    otherwise: str = "",
    wrong: str = "",
    cutoff: float = 0.5,
) -> UsageError:
    """The error for a name that does not exist, with the nearest that does.

    Args:
        name: what was typed.
        names: what exists.
        what: what is wrong, one line.
        attempt: the command to try, `{}` standing for the nearest name.
        otherwise: the command to try when none is near.
        wrong: see `UsageError`.
        cutoff: how near is near, in [0, 1] (`difflib`).
    """
    from difflib import get_close_matches

    names = sorted(names)
    near = get_close_matches(name, names, 1, cutoff)
    hint = f"did you mean {near[0]!r}?  " if near else ""
    said = attempt.replace("{}", near[0]) if near else otherwise
    return UsageError(what, f"{hint}(choices: {' '.join(names)})", said, wrong)
