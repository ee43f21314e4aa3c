"""A search in one line, before and after: what it is, how long it takes, where its results are."""

import shlex
from collections.abc import Sequence

from ticketsearch.console import duration
from ticketsearch.estimate import Estimate
from ticketsearch.experiment import Experiment


def opening(search: Experiment, left: Estimate) -> str:
    """The first line: data, recipe, rounds, metrics, time, and where results go."""
    config, data = search.config, search.data
    images = f"{len(data.train):,} to train on, {len(data.val):,} for validation, {len(data.test):,} to test on"
    what = f"{config.label} on {config.names['dataset']} ({images}) with {config.names['model']}"
    how = f"recipe {config.names['recipe']} ({config.recipe.epochs} epochs), {plural(len(config.rounds), 'round')}"
    how += f", {plural(len(config.seeds), 'seed')}"
    how += f", with the controls {' '.join(c.label.partition(' ')[2] for c in config.controls)}" * bool(config.controls)
    return f"{what}; {how}; metrics {_metrics(search)}; {remaining(left)}; results in {search.run.path}"


def measuring(search: Experiment, stages: Sequence[Experiment]) -> str:
    """The first line of an evaluation: what is measured on what."""
    count = sum(len(stage.cells()) for stage in stages)
    return f"{search.config.label} in {search.run.path}: {plural(count, 'trained ticket')}; metrics {_metrics(search)}"


def _metrics(search: Experiment) -> str:
    return " ".join(search.config.metrics)


def ending(search: Experiment) -> str:
    """The last line: where the results are and what to do with them."""
    out = search.config.options.out
    where = "" if out == "outputs" else f" {shlex.quote(f'out={out}')}"
    return f"done: {search.run.path}\n  next: ticketsearch plot{where}"


def plural(count: int, word: str) -> str:
    """A count and its word: 1 round, 2 rounds."""
    return f"{count} {word}" + "s" * (count != 1)


def remaining(left: Estimate) -> str:
    """What is left to train, and how long it takes."""
    if not left.cells:
        return "everything is trained"
    return f"{plural(len(left.cells), 'ticket')} to train, about {duration(left.seconds)}"
