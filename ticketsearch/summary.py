"""A search in one line, before and after: what it is, how long it takes, where its results are."""

from collections.abc import Sequence

from ticketsearch.console import duration
from ticketsearch.errors import CorruptStore
from ticketsearch.experiment import Experiment


def opening(search: Experiment) -> str:
    """The first line: data, recipe, rounds, metrics, time, and where results go."""
    config, data = search.config, search.data
    images = f"{len(data.train):,} to train on, {len(data.val):,} for validation, {len(data.test):,} to test on"
    what = f"{config.label} on {config.names['dataset']} ({images}) with {config.names['model']}"
    how = f"recipe {config.names['recipe']} ({config.recipe.epochs} epochs), {_plural(len(config.rounds), 'round')}"
    how += f", {_plural(len(config.seeds), 'seed')}"
    how += f", with the controls {' '.join(c.label.partition(' ')[2] for c in config.controls)}" * bool(config.controls)
    return f"{what}; {how}; metrics {_metrics(search)}; {_estimate(search)}; results in {search.run.path}"


def measuring(search: Experiment, stages: Sequence[Experiment]) -> str:
    """The first line of an evaluation: what is measured on what."""
    count = sum(len(stage.cells()) for stage in stages)
    return f"{search.config.label} in {search.run.path}: {_plural(count, 'trained ticket')}; metrics {_metrics(search)}"


def _metrics(search: Experiment) -> str:
    return " ".join(search.config.metrics)


def ending(search: Experiment) -> str:
    """The last line: where the results are and what to do with them."""
    out = search.config.options.out
    return f"done: {search.run.path}\n  next: ticketsearch plot" + ("" if out == "outputs" else f" out={out}")


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" + "s" * (count != 1)


def to_train(search: Experiment) -> int:
    """How many cells of the search, and of what it starts from, are not trained yet."""
    return sum(not cell.committed for stage in search.stages for cell in stage.cells())


def _estimate(search: Experiment) -> str:
    """The time that the missing trainings take at the speed of the dense one; nothing is made up when there is none."""
    todo = to_train(search)
    dense = search.dense.run.cell(search.config.seeds[0], 0)
    if not todo:
        return "everything is trained"
    tickets = f"{_plural(todo, 'ticket')} to train"
    if not dense.committed:
        return tickets
    try:
        seconds = todo * search.config.pruner.epochs * dense.manifest["seconds"]
    except CorruptStore:  # it is made again when its turn comes
        return tickets
    return f"{tickets}, about {duration(seconds)}"
