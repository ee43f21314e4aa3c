"""From what was typed to typed objects: composition, the strict check, and the id. Imports no torch itself.

Hydra composes yaml; this module alone decides what is accepted. Every override of a value reaches Hydra as
`++key=value`, so that Hydra refuses none, and the strict check against the dataclasses refuses each that they do not
have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import hydra
from annotated_types import Ge, Le
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ticketsearch.build import build, closest
from ticketsearch.errors import UsageError
from ticketsearch.seal import digest

if TYPE_CHECKING:
    from ticketsearch.data.base import Dataset
    from ticketsearch.metrics.base import Metric
    from ticketsearch.models.base import Model
    from ticketsearch.pruners.base import Pruner
    from ticketsearch.rest import Zero
    from ticketsearch.rewind import Rewind
    from ticketsearch.schedule import Schedule
    from ticketsearch.training.recipe import Recipe

PARTS = {
    "dataset": "ticketsearch.data.base.Dataset",
    "model": "ticketsearch.models.base.Model",
    "pruner": "ticketsearch.pruners.base.Pruner",
    "schedule": "ticketsearch.schedule.Schedule",
    "rewind": "ticketsearch.rewind.Rewind",
    "rest": "ticketsearch.rest.Zero",
    "recipe": "ticketsearch.training.recipe.Recipe",
}
"""The groups whose choice is one object each, and the class that it is an instance of; checked in this order."""
_PATHS = ("out", "dataset.root")
_METRIC = "ticketsearch.metrics.base.Metric"
_ALWAYS = ("dataset", "model", "pruner", "recipe")
_DEFAULTS = {"schedule": "geometric", "rewind": "init", "rest": "zero"}


Seed = Annotated[int, Ge(0), Le(2**31 - 1)]


@dataclass(frozen=True)
class Options:
    """The keys at the top level. What each means is said in `conf/config.yaml`."""

    seed: Seed = 0
    replicates: Annotated[int, Ge(1), Le(10_000)] = 1
    order_seed: Seed | None = None
    prunable: Literal["default", "conv", "all"] = "default"
    controls: Literal[False] = False
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    engine: Literal["auto", "eager"] = "auto"
    threads: Annotated[int, Ge(1), Le(1024)] | None = None
    out: str = "outputs"
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """One checked configuration.

    Attributes:
        names: group -> the name that was chosen in it.
        options: the keys at the top level.
        metrics: family -> metric.
        overrides: what was typed.
        The others are the objects that the groups of their names chose.
    """

    names: Mapping[str, str]
    options: Options
    dataset: "Dataset"
    model: "Model"
    pruner: "Pruner"
    schedule: "Schedule"
    rewind: "Rewind"
    rest: "Zero"
    recipe: "Recipe"
    metrics: Mapping[str, "Metric"]
    overrides: tuple[str, ...] = ()

    @property
    def seeds(self) -> range:
        """The seeds that are run."""
        return range(self.options.seed, self.options.seed + self.options.replicates)

    @property
    def rounds(self) -> range:
        """The rounds that the pruner draws."""
        return self.pruner.rounds(self.schedule.last)

    def order_seed(self, seed: int) -> int:
        """The seed of data order and augmentation."""
        return seed if self.options.order_seed is None else self.options.order_seed

    @cached_property
    def dense(self) -> "Config":
        """The configuration of the dense model that this one starts from: everything about pruning at its default."""
        names = dict(self.names) | {"pruner": "dense"} | _DEFAULTS
        parts = {part: _load(part, names[part]) for part in ("pruner", *_DEFAULTS)}
        return replace(self, names=names, options=replace(self.options, prunable="default"), **parts)

    def identity(self) -> dict[str, Any]:
        """What the id is made of: names, revisions, and identity fields that differ from their dataclass defaults."""
        result: dict[str, Any] = {}
        for part in PARTS:
            chosen, name = getattr(self, part), self.names[part]
            content = difference(chosen) | self._another_class(part)
            if part in _ALWAYS or name != _DEFAULTS[part] or content or chosen.revision > 1:
                result[part] = {"name": name, "revision": chosen.revision} | content
        options = {"order_seed": self.options.order_seed, "prunable": self.options.prunable}
        return result | {key: value for key, value in options.items() if value != getattr(Options, key)}

    def _another_class(self, part: str) -> dict[str, str]:
        """The class of a part, where it is not the one that the yaml of its name says."""
        target = full(getattr(self, part))["_target_"]
        return {} if target == load_node(part, self.names[part])["_target_"] else {"class": target}

    @property
    def id(self) -> str:
        """Eight hexadecimal digits of the identity: runs whose numbers may differ have different ids."""
        return digest(self.identity())[:8]

    @property
    def run_name(self) -> str:
        """The name of the run's folder."""
        return "-".join(self.names[part] for part in ("dataset", "model", "pruner")) + f"-{self.id}"

    def shown(self) -> dict[str, Any]:
        """Everything, as one would write it in yaml."""
        parts = {part: full(getattr(self, part), identity_only=False) for part in PARTS}
        metrics = {name: full(metric, identity_only=False) for name, metric in self.metrics.items()}
        return parts | {"metrics": metrics} | {key: _canonical(value) for key, value in vars(self.options).items()}

    def stored(self) -> dict[str, Any]:
        """What `config.yaml` of a run holds: the identity, and the parts in full, so that they can be built again."""
        parts = {part: {"name": self.names[part]} | full(getattr(self, part)) for part in PARTS}
        options = {"order_seed": self.options.order_seed, "prunable": self.options.prunable}
        return {"id": self.id, "identity": self.identity(), **parts, **options}


def difference(value: Any) -> dict[str, Any]:
    """The identity fields of a dataclass instance that differ from their defaults."""
    found = {}
    for field in fields(value):
        mine = getattr(value, field.name)
        if field.metadata.get("identity", True) and mine != field.default:
            found[field.name] = _canonical(mine)
    return found


def _canonical(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        revision = getattr(value, "revision", 1)
        own = type(value).__module__.startswith("ticketsearch.")
        name = type(value).__name__ if own else f"{type(value).__module__}.{type(value).__qualname__}"
        return {"class": name, **difference(value), **({"revision": revision} if revision > 1 else {})}
    if isinstance(value, Enum):
        return value.value
    return [_canonical(item) for item in value] if isinstance(value, tuple) else value


def full(value: Any, identity_only: bool = True) -> dict[str, Any]:
    """A dataclass instance as a yaml node: `_target_` and every field, or every one that belongs to the identity."""
    node: dict[str, Any] = {"_target_": f"{type(value).__module__}.{type(value).__qualname__}"}
    for field in fields(value):
        if field.metadata.get("identity", True) or not identity_only:
            mine = getattr(value, field.name)
            node[field.name] = full(mine, identity_only) if is_dataclass(mine) else _canonical(mine)
    return node


def conf_dir() -> Path:
    """The folder of yamls: inside the package in a wheel, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    return next(folder for folder in (here / "conf", here.parent / "conf") if (folder / "config.yaml").is_file())


def choices(group: str) -> list[str]:
    """The names that can be chosen in a group."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def families() -> list[str]:
    """Every metric family: the yamls of `conf/metrics` that define the key of their own name."""
    named = {name: OmegaConf.load(conf_dir() / "metrics" / f"{name}.yaml") for name in choices("metrics")}
    return [name for name, node in named.items() if node and name in node]


def load_node(group: str, name: str) -> dict[str, Any]:
    """One yaml of a group as a dictionary."""
    return dict(OmegaConf.to_container(OmegaConf.load(conf_dir() / group / f"{name}.yaml")))  # type: ignore[arg-type]


def _load(group: str, name: str) -> Any:
    return build(load_node(group, name), group, (), PARTS[group])


def compose(overrides: Sequence[str] = ()) -> Config:
    """Compose and check a configuration; nothing is created by it.

    Args:
        overrides: as typed: `pruner=lth`, `schedule.rounds=3`, `metrics=[accuracy]`.

    Raises:
        UsageError: a key, name, type or value is not acceptable; the message says which and what would be.
    """
    typed = tuple(overrides)
    keys = [_parsed(text).key_or_group for text in overrides]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"{key} is given twice", "each key takes one value", "ticketsearch run --help")
    overrides = [_checked(text) for text in overrides]
    names, node = _compose(overrides)
    chosen: dict[str, str] = {}
    if names.get("recipe") == "auto":
        extensions = tuple(node.get("extensions") or ())
        model, dataset = (build(node.get(part), part, extensions, PARTS[part]) for part in ("model", "dataset"))
        chosen["recipe"] = model.recipe or dataset.recipe
    if names.get("metrics") == "all":
        chosen["metrics"] = f"[{','.join(families())}]"
    if chosen:
        kept = [text for text in overrides if text.partition("=")[0] not in chosen]
        names, node = _compose(kept + [f"{group}={name}" for group, name in chosen.items()])
    return replace(_config(names, node), overrides=typed)


def _config(names: dict[str, str], node: dict[str, Any]) -> Config:
    top = {key: value for key, value in node.items() if key not in (*PARTS, "metrics")}
    if "_target_" in top:
        raise closest("_target_", node, "unknown key _target_")
    options: Options = build({"_target_": "ticketsearch.config.Options", **top}, "", known=(*PARTS, "metrics"))
    parts = {part: build(node.get(part), part, options.extensions, base) for part, base in PARTS.items()}
    if options.precision != "auto":
        parts["recipe"] = replace(parts["recipe"], precision=options.precision)
    families = node.get("metrics") or {}
    metrics = {name: build(families[name], f"metrics.{name}", options.extensions, _METRIC) for name in sorted(families)}
    config = Config(names, options, metrics=metrics, **parts)
    return config.dense if names["pruner"] == "dense" else config


def _checked(text: str) -> str:
    """An override in the form that Hydra takes without asking back; group choices are checked here."""
    override = _parsed(text)
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


def _parsed(text: str) -> Override:
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


def _compose(overrides: list[str]) -> tuple[dict[str, str], dict[str, Any]]:
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
