"""What was typed, in the form that Hydra takes: every override of a value as `++key=value`, choices checked here."""

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import product
from typing import Any

import hydra
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ticketsearch.conf import Conf, conf_dir, unreadable
from ticketsearch.errors import UsageError, closest

_PATHS = ("out", "dataset.root")
_OPTIONAL = ("experiment", "debug")
"""Groups in which nothing need be chosen."""
_NOTHING = tuple(f"{group}=null" for group in _OPTIONAL)


def checked(text: str, conf: Conf) -> str:
    """An override in the form that Hydra takes without asking back; group choices are checked here.

    Raises:
        UsageError: it is of a form that has no meaning here, or chooses what is not there.
    """
    override = parsed(text)
    key, chosen = override.key_or_group, override.value()
    _check_form(text, override)
    if key not in conf.groups:
        return "++" + str(override.input_line).lstrip("+")
    several = isinstance(chosen, list) and key == "metrics"
    allowed = conf.families() if several else conf.choices(key)
    for name in chosen if isinstance(chosen, list) and several else [chosen]:
        if name not in allowed and not (name is None and key in _OPTIONAL):
            what, attempt = f"no {key} named {name!r}", f"ticketsearch run {key}={{}}"
            raise closest(str(name), allowed, what, attempt, f"ticketsearch list {key}", f"{key}={name}")
    return text.lstrip("+")


def _check_form(text: str, override: Override) -> None:
    """Refuse what Hydra's grammar can say and a run cannot mean."""
    key, (typed, _, value) = override.key_or_group, text.partition("=")
    helped = "ticketsearch run --help"
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        raise UsageError(f"unknown key {key}", "where and how things run is ours to say", helped)
    if key == "figure":
        raise UsageError(
            "unknown key figure", "figures are drawn from the rows of runs", f"ticketsearch plot {shlex.quote(text)}"
        )
    if key == "launcher":
        right = "a sweep's launcher is chosen as hydra/launcher=NAME"
        raise UsageError("unknown key launcher", right, f"ticketsearch run -m {shlex.quote(f'hydra/{text}')}")
    if "/" in key or override.package is not None:
        raise UsageError(f"unknown key {typed}", "a group is one word, a setting is GROUP.SETTING", helped)
    if override.is_delete():
        raise UsageError(f"cannot leave out {key}", "everything has a default; choose another value", helped)
    if override.is_sweep_override():
        right, attempt = "one command is one run; -m makes a sweep of it", f"ticketsearch run -m {shlex.quote(text)}"
        if key == "metrics":
            right, attempt = f"a list is written [{value}]", f"ticketsearch run {shlex.quote(f'{key}=[{value}]')}"
        raise UsageError(f"{text} asks for several runs", right, attempt)


@lru_cache(maxsize=4096)  # a sweep reads the same words for every run
def parsed(text: str) -> Override:
    """An override as Hydra reads it; the names of folders may hold whatever the file system lets them, unless they
    begin with a quote or a bracket.
    """
    key, _, value = text.partition("=")
    if key.lstrip("+") in _PATHS and value and value != "null" and value[0] not in "'\"[{":
        text = f"{key}={quoted(value)}"
    try:
        if not key.strip("+~ "):
            raise ValueError(text)
        return OverridesParser.create().parse_override(text)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UsageError(f"cannot read {text!r}", "arguments are key=value", "ticketsearch run --help") from error


def quoted(value: str) -> str:
    """A string as Hydra's grammar takes it, whatever is in it."""
    # Its backslash is one, except before a quote.
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value) + "'"


def expanded(overrides: Sequence[str], conf: Conf) -> list[tuple[str, ...]]:
    """The overrides of each run of a sweep: `pruner=lth,omp seed=range(3)` is six, the last key changing fastest.

    Raises:
        UsageError: a value is not one of a list, a range, a choice or a glob.
    """
    return list(dict.fromkeys(product(*(_values(text, conf) for text in overrides))))


def _values(text: str, conf: Conf) -> list[str]:
    """An override once for each of its values."""
    override = parsed(text)
    if not override.is_sweep_override():
        return [text]
    key, value, names = override.get_key_element(), override.value(), list[str]()
    if isinstance(value, Glob):
        names = value.filter(conf.choices(override.key_or_group))
    elif override.is_discrete_sweep():
        with suppress(HydraException, OmegaConfBaseException, ValueError):
            names = [str(item) for item in override.sweep_string_iterator()]
    if not names:
        raise UsageError(
            f"{text} names no values", "a list (a,b), range(3) or, of choices, glob(*)", "ticketsearch run --help"
        )
    return [f"{key}={name}" for name in names]


def composed(overrides: list[str], conf: Conf, resolve: bool = True) -> tuple[dict[str, str], dict[str, Any]]:
    """The chosen names and the composed values.

    Args:
        overrides: as `checked` returns them.
        conf: what can be chosen.
        resolve: whether interpolations are replaced by what they mean.

    Raises:
        UsageError: they do not compose, or a yaml of the user's cannot be read.
    """
    version = {"version_base": "1.3"} if hydra.__version__.startswith("1.3") else {}
    overrides = [text for text in overrides if text not in _NOTHING]
    if conf.folder:
        overrides = [*overrides, f"hydra.searchpath=[{quoted(f'file://{conf.folder}')}]"]
    try:
        with hydra.initialize_config_dir(str(conf_dir()), job_name="ticketsearch", **version):
            composed = hydra.compose("config", overrides, return_hydra_config=True)
            names = {group: name for group, name in composed.hydra.runtime.choices.items() if "/" not in group}
            OmegaConf.set_struct(composed, False)
            composed.pop("hydra")
            return names, dict(OmegaConf.to_container(composed, resolve=resolve))  # type: ignore[arg-type]
    except (HydraException, OmegaConfBaseException) as error:
        what, *more = [line.strip() for line in str(error).splitlines() if line.strip()] or ["it does not compose"]
        right = " ".join(more) or "a yaml or an argument says so"
        raise UsageError(what, right, "ticketsearch run --help") from error
    except yaml.YAMLError as error:
        raise unreadable(getattr(getattr(error, "problem_mark", None), "name", "a yaml"), error) from error
    except ValueError as error:  # what Hydra finds in a yaml besides: bytes that are no UTF-8, defaults of a wrong kind
        raise unreadable("a yaml", error) from error
