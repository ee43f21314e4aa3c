"""`ticketsearch evaluate`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ticketsearch.commands import Command

if TYPE_CHECKING:
    from ticketsearch.conf import Conf
    from ticketsearch.errors import CorruptStore, UsageError

HELP = """\
Measure what is asked for and not yet there on every ticket that is trained. Trains nothing; rows are added.

usage: ticketsearch evaluate [out=outputs] [metrics=all] [run=NAME] [dataset=] [model=] [pruner=] [key=value ...]
                             [--config-dir FOLDER]

which runs:  run dataset model pruner (one or a list; all runs if left out, and always the dense models that they need)
how:         metrics metrics.FAMILY.SETTING device threads dataset.root dataset.sample extensions

examples:
  ticketsearch evaluate                             every family, on every run
  ticketsearch evaluate 'metrics=[calibration]' pruner=lth
  ticketsearch evaluate run=digits-resnet20-lth-89c9361f metrics=fast
  ticketsearch evaluate dataset=cifar10 'metrics=[corruption]' dataset.sample=10000
"""

FILTERS = ("dataset", "model", "pruner")
KEYS = ("out", "metrics", "device", "threads", "dataset.root", "dataset.sample", "extensions")


def keys(typed: Mapping[str, str], conf: "Conf") -> Mapping[str, Sequence[str]]:
    """Which runs, and how they are measured."""
    from ticketsearch.settings import of_a_run

    known = of_a_run(typed, conf)
    runs = tuple(path.parent.name for path in sorted(Path(typed.get("out", "outputs")).glob("*/config.yaml")))
    return {"run": runs} | {key: known[key] for key in known if key in (*FILTERS, *KEYS) or key.startswith("metrics.")}


def main(arguments: list[str]) -> int:
    """Evaluate every chosen run.

    Raises:
        UsageError: an argument is wrong, or there is no such run.
        CorruptStore: a stored file is not what its checksum says; what is whole has been measured.
    """
    from ticketsearch.stopping import stoppable

    with stoppable():
        return _main(arguments)


def _main(arguments: list[str]) -> int:
    from dataclasses import replace

    from ticketsearch.commands.arguments import sort_out
    from ticketsearch.compose import compose
    from ticketsearch.conf import Conf
    from ticketsearch.config import Config
    from ticketsearch.errors import CorruptStore, UsageError
    from ticketsearch.live import display
    from ticketsearch.runner import measure

    try:
        flagged = sort_out(arguments, "evaluate", COMMAND.switches, COMMAND.valued)
        filters, typed = _parse(flagged.words)
        asked = compose(typed, Conf.beside(flagged.flags.get("--config-dir"), "evaluate"))
    except UsageError as error:
        raise _of_evaluate(error) from error
    sample = asked.dataset.sample if any(word.startswith("dataset.sample=") for word in typed) else None
    failed: list[CorruptStore | UsageError] = []
    done: set[str] = set()
    with display() as shown:
        for run in _chosen(Path(asked.options.out), filters):
            try:
                stored = Config.restored(run, asked.options, asked.families)
                dataset = replace(stored.dataset, root=asked.dataset.root)
                dataset = dataset if sample is None else replace(dataset, sample=sample)
                measure(
                    run, replace(stored, dataset=dataset, overrides=tuple(flagged.words), conf=asked.conf), shown, done
                )
            except (CorruptStore, UsageError) as error:
                shown.notice(f"{run}: {error.what}")
                failed.append(error)
    if failed:
        raise _of_evaluate(failed[0])
    return 0


def _of_evaluate(error: "CorruptStore | UsageError") -> "CorruptStore | UsageError":
    """An error of what `run` does too, with this command in its place."""
    from ticketsearch.errors import UsageError

    if not isinstance(error, UsageError):
        return error
    attempt = error.attempt.replace("ticketsearch run", "ticketsearch evaluate", 1)
    return UsageError(error.what, error.right, attempt, error.wrong)


def _parse(arguments: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Which runs, and the overrides that say how."""
    from ticketsearch.commands.arguments import key_of
    from ticketsearch.errors import UsageError, closest
    from ticketsearch.overrides import parsed

    filters: dict[str, list[str]] = {}
    typed: list[str] = []
    for text in arguments:
        override = parsed(text)
        key, value = override.key_or_group, override.value()
        if key in (*FILTERS, "run") and override.is_discrete_sweep():
            value = [str(item) for item in override.sweep_iterator()]
        if key in filters or key in map(key_of, typed):
            raise UsageError(f"{key} is given twice", "each key takes one value", "ticketsearch evaluate --help")
        if key in (*FILTERS, "run"):
            filters[key] = [str(item) for item in value] if isinstance(value, list) else [str(value)]
        elif key in KEYS or key.startswith("metrics."):
            typed.append(text)
        else:
            names = (*FILTERS, "run", *KEYS)
            attempt, otherwise = "ticketsearch evaluate {}=...", "ticketsearch evaluate --help"
            raise closest(key, names, f"evaluate takes no key {key}", attempt, otherwise, key)
    if any(not values for values in filters.values()):
        raise UsageError("nothing is chosen", "a filter names at least one run", "ticketsearch evaluate --help")
    return filters, typed


def _chosen(out: Path, filters: dict[str, list[str]]) -> list[Path]:
    """The folders of the runs that pass every filter.

    Raises:
        UsageError: none does.
    """
    from ticketsearch.errors import CorruptStore, UsageError
    from ticketsearch.seal import unsealed

    runs = [path.parent for path in sorted(out.glob("*/config.yaml"))]
    _check_names(filters, runs)
    found = []
    for run in runs:
        try:
            stored = unsealed(run / "config.yaml")
            named = all(stored[key]["name"] in filters.get(key, [stored[key]["name"]]) for key in FILTERS)
        except (CorruptStore, KeyError, TypeError):
            # What it is of is not known; where all are meant, or it by its name, it is told.
            named = not filters.keys() - {"run"}
        if named and run.name in filters.get("run", [run.name]):
            found.append(run)
    if not found:
        there = f"there are: {' '.join(run.name for run in runs)}" if runs else f"there are no runs in {out}"
        raise UsageError("no run fits", there, "ticketsearch evaluate")
    return found


def _check_names(filters: dict[str, list[str]], runs: list[Path]) -> None:
    """Raise UsageError, with the nearest that there is, for a filter of which there is no run."""
    from ticketsearch.errors import closest

    for place, key in enumerate((*FILTERS, "run")):
        there = {run.name if key == "run" else [*run.name.split("-"), "", ""][place] for run in runs}
        for name in filters.get(key, []):
            if there and name not in there:
                attempt, otherwise = f"ticketsearch evaluate {key}={{}}", "ticketsearch evaluate --help"
                raise closest(name, there, f"no run of {key} {name!r}", attempt, otherwise, f"{key}={name}")


COMMAND = Command(main, lambda: HELP, valued={"--config-dir": ()}, keys=keys, lists=(*FILTERS, "run"))
