"""A sweep in SLURM: what is missing and not queued yet becomes arrays of jobs, and what comes of each is told."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ticketsearch.config import Config
from ticketsearch.console import console
from ticketsearch.errors import RunFailed
from ticketsearch.launchers import cluster
from ticketsearch.launchers.arrays import Array, arrays
from ticketsearch.launchers.batch import options, script
from ticketsearch.launchers.board import board
from ticketsearch.launchers.job import Job, jobs
from ticketsearch.launchers.launch import tell
from ticketsearch.launchers.outcome import Outcome
from ticketsearch.launchers.slurm import Slurm
from ticketsearch.launchers.watch import Task, Watch
from ticketsearch.summary import plural


@dataclass(frozen=True)
class Submission:
    """The tasks of a sweep.

    Attributes:
        folder: of the scripts, of what SLURM writes itself, and of the notes on what is queued.
        settings: what each task asks for.
    """

    folder: Path
    settings: Slurm

    def submit(self, found: Sequence[Job]) -> list[Task]:
        """Queue what is not queued already: a task for each job, and one for each dense model that several share.

        Raises:
            RunFailed: SLURM refuses; what was queued before stays.
        """
        tasks = dict[Job, Task]()
        known = self._queued()
        for array in arrays(found, together=self.settings.array_parallelism is not None):
            tasks |= {job: Task(known[job.typed], job, 0) for job in array.jobs if job.typed in known}
            new = tuple(job for job in array.jobs if job not in tasks)
            if new:
                after = [tasks[job].id for job in array.after]
                tasks |= self._submit(Array(new, array.after), after)
        return list(tasks.values())

    def _submit(self, array: Array, after: Sequence[str]) -> dict[Job, Task]:
        made = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        text = script(array.jobs, self.settings, self.folder, after)
        since = {job: job.log.stat().st_size if job.log.exists() else 0 for job in array.jobs}
        try:
            number = cluster.submit(text, options(array.jobs, self.settings, self.folder, after))
        except RunFailed:
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()
            raise
        (self.folder / f"{number}.sh").write_text(text, encoding="utf-8")
        note = {f"{number}_{n}": job.typed for n, job in enumerate(array.jobs)}
        (self.folder / f"{number}.json").write_text(json.dumps(note), encoding="utf-8")
        behind = f", after {' '.join(after)}" if after else ""
        console.print(f"job {number}: {plural(len(array.jobs), 'task')}{behind}", markup=False)
        return {job: Task(f"{number}_{n}", job, since[job]) for n, job in enumerate(array.jobs)}

    def _queued(self) -> dict[tuple[str, ...], str]:
        """The arguments of every run that an earlier command has queued and that is not over -> its task."""
        notes = sorted(self.folder.glob("*.json"))
        queue = (cluster.queued() if notes else None) or {}
        found = dict[tuple[str, ...], str]()
        for path in notes:
            with suppress(OSError, ValueError, AttributeError, TypeError):  # it is a note, and no more
                note = json.loads(path.read_text(encoding="utf-8"))
                found |= {tuple(typed): task for task, typed in note.items() if task in queue}
        return found


def launch(configs: Sequence[Config], settings: Slurm) -> None:
    """Queue a task for each configuration that is not done, and wait for them if that is asked for.

    Args:
        configs: of the runs.
        settings: what SLURM is asked for.

    Raises:
        SweepFailed: some runs could not be finished; the others are done.
        TicketError: nothing was queued: a run is impossible, or SLURM refuses.
    """
    cluster.there()
    each, left = jobs(configs, "cpu" if settings.told == "cpu" else "cuda", timed=False)
    found = list(dict.fromkeys(each))
    missing = [job for job in found if not job.done]
    names = ", ".join(dict.fromkeys(config.options.out for config in configs))
    train = f"{plural(len(left.cells), 'ticket')} to train" if left.cells else "everything is trained"
    console.print(f"{plural(len(found), 'run')} in {names} by sbatch; {train}", markup=False)
    submission, begun = Submission(found[0].log.parent / "slurm", settings), time.monotonic()
    tasks = submission.submit(missing)
    if tasks:
        told = f"logs in {found[0].log.parent}, scripts and what SLURM says itself in {submission.folder}"
        console.print(f"{told}; {scancel(tasks)} takes them back", markup=False)
    if settings.wait:
        there = [Outcome(job, "there") for job in found if job not in missing]
        tell([*there, *_waited(tasks, there, submission.folder)], time.monotonic() - begun)


def _waited(tasks: Sequence[Task], there: Sequence[Outcome], folder: Path) -> list[Outcome]:
    """What came of each task; who does not wait for that loses nothing."""
    with board(len(tasks) + len(there)) as shown:
        for outcome in there:
            shown.end(outcome)
        try:
            return Watch(tasks, folder, shown).run()
        except KeyboardInterrupt:
            shown.notice(
                f"the jobs stay in SLURM, and the same command waits for them again; {scancel(tasks)} ends them"
            )
            raise


def scancel(tasks: Sequence[Task]) -> str:
    """The command that takes tasks back."""
    return f"scancel {' '.join(dict.fromkeys(task.id.partition('_')[0] for task in tasks))}"
