"""A search in one line, before and after: what it is, how long it takes, where its results are."""

from ticketsearch.console import duration
from ticketsearch.experiment import Experiment


def opening(search: Experiment) -> str:
    """The first line: data, recipe, rounds, metrics, time, and where results go."""
    config, data = search.config, search.data
    images = f"{len(data.train):,} to train on, {len(data.val):,} for validation, {len(data.test):,} to test on"
    what = f"{config.names['pruner']} on {config.names['dataset']} ({images}) with {config.names['model']}"
    how = f"recipe {config.names['recipe']} ({config.recipe.epochs} epochs), {_plural(len(config.rounds), 'round')}"
    how += f", {_plural(len(config.seeds), 'seed')}"
    return f"{what}; {how}; metrics {' '.join(config.metrics)}; {_estimate(search)}; results in {search.run.path}"


def closing(search: Experiment) -> str:
    """The last line: where the results are and what to do with them."""
    out = search.config.options.out
    return f"done: {search.run.path}\n  next: ticketsearch plot" + ("" if out == "outputs" else f" out={out}")


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" + "s" * (count != 1)


def to_train(search: Experiment) -> int:
    """How many cells of the search, its dense model included, are not trained yet."""
    runs = {search.run.name: search, search.dense.run.name: search.dense}
    return sum(not cell.committed for stage in runs.values() for cell in stage.cells())


def _estimate(search: Experiment) -> str:
    """The time that the missing trainings take at the speed of the dense one; nothing is made up when there is none."""
    todo = to_train(search)
    dense = search.dense.run.cell(search.config.seeds[0], 0)
    if not todo:
        return "everything is trained"
    tickets = f"{_plural(todo, 'ticket')} to train"
    if not dense.committed:
        return tickets
    return f"{tickets}, about {duration(todo * search.config.pruner.epochs * dense.manifest['seconds'])}"
