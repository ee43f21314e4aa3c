"""Which launcher was typed: `hydra/launcher=NAME` and `hydra.launcher.SETTING=VALUE`, taken off the words of a sweep.

Configurations are composed here and not by `hydra.main`, so these keys never reach Hydra; they are checked as every
other key is.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ticketsearch.errors import UsageError, closest

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from ticketsearch.launchers.devices import Devices

GROUP, SETTINGS = "hydra/launcher", "hydra.launcher."
LAUNCHERS = {"basic": "", "devices": "ticketsearch.launchers.devices.Devices"}
"""Name -> the class of its settings; "" runs one after another in this process, as without a launcher."""


def keys(name: str) -> dict[str, tuple[str, ...]]:
    """Every key of a launcher -> its values, read without importing it."""
    from ticketsearch.settings import below

    target = LAUNCHERS.get(name)
    found = below(SETTINGS.rstrip("."), {"_target_": target}) if target else {}
    return {GROUP: tuple(LAUNCHERS)} | found


def taken_off(words: Sequence[str], sweep: bool) -> "tuple[list[str], Devices | None]":
    """The words that are about the runs, and the launcher; None: the one that there is without.

    Args:
        words: as typed, without flags.
        sweep: whether there may be several runs.

    Raises:
        UsageError: there is no such launcher, it has no such setting, or nothing is to be launched.
    """
    from ticketsearch.build import build

    about = {word: _parsed(word) for word in words if word.lstrip("+").startswith((GROUP + "=", SETTINGS))}
    left = [word for word in words if word not in about]
    values: dict[str, Any] = {}
    for override in about.values():
        key = override.key_or_group
        if key in values:
            raise UsageError(f"{key} is given twice", "each key takes one value", "ticketsearch run --help")
        values[key] = _value(override)
    name = values.pop(GROUP, "basic")
    if name not in LAUNCHERS:
        attempt, helped = f"ticketsearch run -m {GROUP}={{}}", "ticketsearch run --help"
        raise closest(str(name), LAUNCHERS, f"no launcher {name!r}", attempt, helped, f"{GROUP}={name}")
    if LAUNCHERS[name] and not sweep:
        right = "a launcher is for sweeps; -m makes one"
        raise UsageError("there is nothing to launch", right, f"ticketsearch run -m {GROUP}={name}")
    if not LAUNCHERS[name]:
        if values:
            right = f"it is a setting of {GROUP}=devices"
            raise UsageError(f"unknown key {next(iter(values))}", right, f"ticketsearch run -m {GROUP}=devices")
        return left, None
    node = {"_target_": LAUNCHERS[name]} | {key.removeprefix(SETTINGS): value for key, value in values.items()}
    if any(word.lstrip("+").startswith("device=") for word in left):
        right = f"{GROUP}={name} gives each run its device: {SETTINGS}devices says which"
        raise UsageError(
            "device is typed", right, f"ticketsearch run -m {GROUP}={name} {SETTINGS}devices=cpu", "device"
        )
    return left, build(node, SETTINGS.rstrip("."), command="run -m")


def _parsed(word: str) -> "Override":
    from ticketsearch.overrides import parsed

    return parsed(word)


def _value(override: "Override") -> Any:
    """What was typed; words with commas between them are a list here and no sweep."""
    if override.is_sweep_override() and override.is_discrete_sweep():
        return [str(getattr(item, "text", item)) for item in override.sweep_iterator()]
    value = override.value()
    return [value] if override.key_or_group == f"{SETTINGS}devices" and not isinstance(value, list) else value
