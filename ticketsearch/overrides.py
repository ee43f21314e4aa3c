"""What was typed, in the form that Hydra takes: every override of a value as `++key=value`, choices checked here."""

from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ticketsearch.build import closest
from ticketsearch.conf import choices, conf_dir, families
from ticketsearch.errors import UsageError

_PATHS = ("out", "dataset.root")


def checked(text: str) -> str:
    """An override in the form that Hydra takes without asking back; group choices are checked here."""
    override = parsed(text)
    key = override.key_or_group
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        raise UsageError(f"unknown key {key}", "where and how things run is ours to say", "ticketsearch run --help")
    if override.is_sweep_override():
        value = text.partition("=")[2]
        raise UsageError(
            f"{text} asks for several runs",
            "one command is one run; a list is written [a,b]",
            f"ticketsearch run '{key}=[{value}]'",
        )
    if override.is_delete():
        raise UsageError(
            f"cannot leave out {key}", "everything has a default; choose another value", "ticketsearch run --help"
        )
    if not (conf_dir() / key).is_dir():
        return "++" + str(override.input_line).lstrip("+")
    chosen = override.value()
    several = isinstance(chosen, list) and key == "metrics"
    allowed = families() if several else choices(key)
    for name in chosen if isinstance(chosen, list) and several else [chosen]:
        if name not in allowed:
            raise closest(str(name), allowed, f"no {key} named {name!r}", f"{key}=")
    return text.lstrip("+")


def parsed(text: str) -> Override:
    """An override as Hydra reads it; the names of folders may hold whatever the file system lets them."""
    key, _, value = text.partition("=")
    if key.lstrip("+") in _PATHS and value and value[0] not in "'\"[{":
        text = f"{key}='" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    try:
        if not key.strip("+~ "):
            raise ValueError(text)
        return OverridesParser.create().parse_override(text)
    except (HydraException, ValueError) as error:
        raise UsageError(f"cannot read {text!r}", "arguments are key=value", "ticketsearch run --help") from error


def composed(overrides: list[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """The chosen names and the composed values."""
    version = {"version_base": "1.3"} if hydra.__version__.startswith("1.3") else {}
    try:
        with hydra.initialize_config_dir(str(conf_dir()), job_name="ticketsearch", **version):
            composed = hydra.compose("config", overrides, return_hydra_config=True)
            names = dict(composed.hydra.runtime.choices)
            OmegaConf.set_struct(composed, False)
            composed.pop("hydra")
            return names, dict(OmegaConf.to_container(composed, resolve=True))  # type: ignore[arg-type]
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(str(error).splitlines()[0], "arguments are key=value", "ticketsearch run --help") from error
