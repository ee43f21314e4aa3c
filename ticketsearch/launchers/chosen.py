"""Which launcher was typed: `hydra/launcher=NAME` and `hydra.launcher.SETTING=VALUE`, taken off the words of a sweep.

Configurations are composed here and not by `hydra.main`, so these keys never reach Hydra; they are checked as every
other key is.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ticketsearch.conf import OWN, Conf
from ticketsearch.errors import UsageError, closest

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from ticketsearch.launchers.launcher import Launcher

GROUP, SETTINGS = "hydra/launcher", "hydra.launcher."
BASIC = "basic"
"""The word for none: one run after another in this process."""
_BASE = "ticketsearch.launchers.launcher.Launcher"


def choices(conf: Conf) -> tuple[str, ...]:
    """What can be typed behind `hydra/launcher=`."""
    return (BASIC, *conf.choices("launcher"))


def keys(name: str, conf: Conf) -> dict[str, tuple[str, ...]]:
    """Every key of a launcher -> its values, read without importing it."""
    from ticketsearch.settings import below, node

    return {GROUP: choices(conf)} | below(SETTINGS.rstrip("."), node(conf, "launcher", name))


def taken_off(words: Sequence[str], sweep: bool, conf: Conf = OWN) -> "tuple[list[str], Launcher | None]":
    """The words that are about the runs, and the launcher; None: the one that there is without.

    Args:
        words: as typed, without flags.
        sweep: whether there may be several runs.
        conf: what can be chosen.

    Raises:
        UsageError: there is no such launcher, it has no such setting, or nothing is to be launched.
    """
    about = {word: _parsed(word) for word in words if word.lstrip("+").startswith((GROUP + "=", SETTINGS))}
    left = [word for word in words if word not in about]
    values: dict[str, Any] = {}
    for override in about.values():
        key = override.key_or_group
        if key in values:
            raise UsageError(f"{key} is given twice", "each key takes one value", "ticketsearch run --help")
        values[key] = _value(override)
    name = values.pop(GROUP, BASIC)
    if name not in choices(conf):
        attempt, helped = f"ticketsearch run -m {GROUP}={{}}", "ticketsearch run --help"
        raise closest(str(name), choices(conf), f"no launcher {name!r}", attempt, helped, f"{GROUP}={name}")
    if name == BASIC:
        if values:
            raise _without_launcher(next(iter(values)), conf)
        return left, None
    if not sweep:
        right = "a launcher is for sweeps; -m makes one"
        raise UsageError("there is nothing to launch", right, f"ticketsearch run -m {GROUP}={name}")
    return left, _built(name, values, conf, left)


def _without_launcher(key: str, conf: Conf) -> UsageError:
    """What is said of a setting of a launcher that is not chosen."""
    known = {name: keys(name, conf) for name in conf.choices("launcher")}
    having, what = [name for name, settings in known.items() if key in settings], f"unknown key {key}"
    if not having:
        there = {setting for settings in known.values() for setting in settings if setting.startswith(SETTINGS)}
        return closest(key, there, what, f"ticketsearch run -m {GROUP}=NAME {{}}=VALUE", "ticketsearch run --help", key)
    right = f"it is a setting of {GROUP}={' and of '.join(having)}"
    return UsageError(what, right, f"ticketsearch run -m {GROUP}={having[0]}")


def _built(name: str, values: dict[str, Any], conf: Conf, left: Sequence[str]) -> "Launcher":
    """The launcher of a name: its yaml, and above it what is typed."""
    from ticketsearch.build import build
    from ticketsearch.settings import settings

    node = conf.load("launcher", name)
    lists = {key for key, setting in settings(str(node.get("_target_"))).items() if setting.many}
    for key, value in values.items():
        setting = key.removeprefix(SETTINGS)
        many = isinstance(value, list)
        node[setting] = value if many == (setting in lists) else ",".join(map(str, value)) if many else [value]
    launcher: Launcher = build(node, SETTINGS.rstrip("."), base=_BASE, command="run -m")
    if any(word.lstrip("+").startswith("device=") for word in left):
        right = f"{GROUP}={name} gives each run its device: {SETTINGS}{launcher.on_cpu} is the CPU"
        attempt = f"ticketsearch run -m {GROUP}={name} {SETTINGS}{launcher.on_cpu}"
        raise UsageError("device is typed", right, attempt, "device")
    return launcher


def _parsed(word: str) -> "Override":
    from ticketsearch.overrides import parsed

    return parsed(word)


def _value(override: "Override") -> Any:
    """What was typed; words with commas between them are a list here and no sweep."""
    if override.is_sweep_override() and override.is_discrete_sweep():
        return [str(getattr(item, "text", item)) for item in override.sweep_iterator()]
    return override.value()
