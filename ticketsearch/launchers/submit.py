"""A sweep in SLURM: what is missing and not queued yet becomes arrays of jobs, and what comes of each is told."""

import json
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ticketsearch.config import Config
from ticketsearch.console import console
from ticketsearch.errors import RunFailed
from ticketsearch.launchers import cluster
from ticketsearch.launchers.arrays import arrays
from ticketsearch.launchers.batch import beside, options, script
from ticketsearch.launchers.board import board
from ticketsearch.launchers.job import Job, jobs
from ticketsearch.launchers.launch import tell
from ticketsearch.launchers.outcome import Outcome
from ticketsearch.launchers.slurm import Slurm
from ticketsearch.launchers.watch import Task, Watch
from ticketsearch.stopping import deferred
from ticketsearch.summary import plural


@dataclass(frozen=True)
class Submission:
    """The tasks of a sweep.

    Attributes:
        settings: what each task asks for.
        tasks: of each job, and of each dense model that several share.
        queue: ids of all that is queued, by whatever command.
    """

    settings: Slurm
    tasks: dict[Job, Task] = field(default_factory=dict)
    queue: set[str] = field(default_factory=set)

    def submit(self, found: Sequence[Job]) -> None:
        """Queue what is not queued already.

        Args:
            found: each run that was asked for and is not done.

        Raises:
            RunFailed: SLURM refuses, or is silent; what was queued before stays.
            Stopped: this process was asked to end; what was queued before stays.
        """
        known = self._known({beside(job) for job in found})
        for array in arrays(found, together=self.settings.array_parallelism is not None):
            there = {job: known[job.digest] for job in array.jobs if job.digest in known}
            for job, (task, log) in there.items():
                self.tasks[job] = Task(task, replace(job, log=job.log.with_name(log)), 0, typed=job in found)
            new = tuple(job for job in array.jobs if job not in there)
            if new:
                since = {job: job.log.stat().st_size if job.log.exists() else 0 for job in new}
                after = cluster.shortest((self.tasks[job].id for job in array.after), self.queue)
                with deferred():  # nothing is queued without a note
                    number = self._submit(new, after)
                ids = {job: f"{number}_{n}" for n, job in enumerate(new)}
                self.tasks.update({job: Task(task, job, since[job], job in found) for job, task in ids.items()})
                self.queue.update(ids.values())

    @property
    def scancel(self) -> str:
        """The command that takes the tasks back, and nothing else."""
        return f"scancel {' '.join(cluster.shortest((task.id for task in self.tasks.values()), self.queue))}"

    def _submit(self, array: Sequence[Job], after: Sequence[str]) -> str:
        """Queue an array, and note what its tasks are; its id."""
        place = beside(array[0])
        made = [folder for folder in (place, *place.parents) if not folder.exists()]
        place.mkdir(parents=True, exist_ok=True)
        text = script(array, self.settings, place, after)
        try:
            number = cluster.submit(text, options(array, self.settings, place, after))
        except cluster.Unanswered:  # tasks may begin, and need the folder
            raise
        except RunFailed:
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()
            raise
        (place / f"{number}.sh").write_text(text, encoding="utf-8")
        note = {
            f"{number}_{n}": {"run": job.name, "asks": job.digest, "log": job.log.name} for n, job in enumerate(array)
        }
        (place / f"{number}.json").write_text(json.dumps(note), encoding="utf-8")
        behind = f", after {' '.join(after)}" if after else ""
        console.print(f"job {number}: {plural(len(array), 'task')}{behind}", markup=False)
        return number

    def _known(self, folders: Collection[Path]) -> dict[str, tuple[str, str]]:
        """What is queued by its notes, and not over: what it asks for -> its task and the name of its log."""
        notes = [path for folder in sorted(folders) for path in sorted(folder.glob("*.json"))]
        queue = cluster.queued() if notes else {}
        if queue is None:
            right = "squeue says what is queued already; nothing was queued now, since that could be twice"
            raise RunFailed("SLURM does not answer", right, "squeue --me")
        self.queue.update(queue)
        found = dict[str, tuple[str, str]]()
        for path in notes:
            with suppress(OSError, ValueError, AttributeError, TypeError, LookupError):  # it is a note, and no more
                note = json.loads(path.read_text(encoding="utf-8"))
                found |= {said["asks"]: (task, str(said["log"])) for task, said in note.items() if task in queue}
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
    submission, begun = Submission(settings), time.monotonic()
    submission.submit(missing)
    if missing:
        logs = " and ".join(dict.fromkeys(str(job.log.parent) for job in missing))
        told = f"logs in {logs}, scripts and what SLURM says itself in slurm there"
        console.print(f"{told}; {submission.scancel} takes them back", markup=False)
    if settings.wait:
        there = [Outcome(job, "there") for job in found if job not in missing]
        tell([*there, *_waited(submission, there)], time.monotonic() - begun)


def _waited(submission: Submission, there: Sequence[Outcome]) -> list[Outcome]:
    """What came of each run; who does not wait for that loses nothing."""
    tasks = list(submission.tasks.values())
    with board(sum(task.typed for task in tasks) + len(there)) as shown:
        for outcome in there:
            shown.end(outcome)
        try:
            return Watch(tasks, shown).run()
        except KeyboardInterrupt:
            stay = "the jobs stay in SLURM, and the same command waits for them again"
            shown.notice(f"{stay}; {submission.scancel} ends them")
            raise
