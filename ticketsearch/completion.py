"""How a word on the command line can go on. Imports no torch, no Hydra and nothing of the user's."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ticketsearch.commands import COMMANDS, Command, command
from ticketsearch.conf import Conf
from ticketsearch.errors import UsageError


def complete(words: Sequence[str]) -> list[str]:
    """Every way in which the last word can go on.

    Args:
        words: what stands after `ticketsearch` up to the cursor; the last may be empty or begun.

    Returns:
        Whole words, or their beginnings where more is to come: `pruner=`, `schedule.`; none where files may follow.
    """
    *before, current = [word.lstrip("'\"") for word in words] or [""]
    before = [word.rstrip("'\"") for word in before if word != "--debug"]
    if not before:
        return _fitting([*COMMANDS, "--help", "--version"], current)
    if before[0] not in COMMANDS:
        return []
    chosen = command(before[0])
    if before[-1] in chosen.valued:
        return _fitting(chosen.valued[before[-1]], current)
    if current.startswith("-"):
        flags = [*chosen.switches, *chosen.valued, "--help", "--debug"]
        return _fitting([flag for flag in flags if flag not in before], current)
    return _keys_and_words(chosen, before, current)


def _keys_and_words(chosen: Command, before: Sequence[str], current: str) -> list[str]:
    pairs = [word.lstrip("+").split("=", 1) for word in before if "=" in word]
    typed = {pair[0]: pair[1] for pair in pairs}
    conf = _conf(before)
    keys = chosen.keys(typed, conf)
    key, equals, value = current.partition("=")
    if equals:
        start = value[: max(value.rfind(","), value.rfind("[")) + 1]  # the items of a list that are there already
        taken = start.strip("[,").split(",")
        values = _items(chosen, key, conf, keys) if "[" in start else keys.get(key, ())
        fitting = _fitting([f"{key}={start}{item}" for item in values if item not in taken], current)
        # Two ways to go on: so that no shell ends the word, nor its quotes, within a list.
        return [fitting[0] + end for end in ",]"] if "[" in start and len(fitting) == 1 else fitting
    fresh = [name for name in keys if name not in typed and name.startswith(current)]
    steps = dict.fromkeys(_step(name, current) for name in fresh)
    return [*steps, *_fitting([word for word in chosen.words() if word not in before], current)]


def _items(chosen: Command, key: str, conf: Conf, keys: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """What a list can hold."""
    if key == "metrics":
        return conf.families() if keys.get(key) else ()
    return keys.get(key, ()) if key in chosen.lists else ()


def _step(key: str, current: str) -> str:
    """As much of a key as one dot more than what is typed tells."""
    depth = current.count(".") + 1
    parts = key.split(".")
    return ".".join(parts[:depth]) + "." if len(parts) > depth else f"{key}="


def _conf(words: Sequence[str]) -> Conf:
    """What can be chosen with the `--config-dir` on the line; what is wrong with it is told when the line is run."""
    try:
        folder = next(_values(words, "--config-dir"), None)
        return Conf.beside(folder and Path(folder.strip("'\"")).expanduser())
    except UsageError:
        return Conf()


def _values(words: Sequence[str], flag: str) -> Iterator[str]:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == flag and following:
            yield following
        elif word.startswith(f"{flag}="):
            yield word.partition("=")[2]


def _fitting(candidates: Sequence[str], current: str) -> list[str]:
    return [candidate for candidate in candidates if candidate.startswith(current)]
