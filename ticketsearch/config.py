"""One checked configuration: typed objects, what belongs to its identity, and the id. Imports no torch itself."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen

from ticketsearch.build import build
from ticketsearch.conf import NAME, OWN, Conf
from ticketsearch.errors import CorruptStore
from ticketsearch.seal import REMEDY, digest, unsealed

if TYPE_CHECKING:
    from ticketsearch.data.base import Dataset
    from ticketsearch.metrics.base import Metric
    from ticketsearch.models.base import Model
    from ticketsearch.pruners.base import Pruner
    from ticketsearch.rest import Rest
    from ticketsearch.rewind import Rewind
    from ticketsearch.schedule import Schedule
    from ticketsearch.training.recipe import Recipe

PARTS = {
    "dataset": "ticketsearch.data.base.Dataset",
    "model": "ticketsearch.models.base.Model",
    "pruner": "ticketsearch.pruners.base.Pruner",
    "schedule": "ticketsearch.schedule.Schedule",
    "rewind": "ticketsearch.rewind.Rewind",
    "rest": "ticketsearch.rest.Rest",
    "recipe": "ticketsearch.training.recipe.Recipe",
}
"""The groups whose choice is one object each, and the class that it is an instance of; checked in this order."""
METRIC = "ticketsearch.metrics.base.Metric"
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
    controls: bool = False
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    engine: Literal["auto", "eager", "compiled", "graph"] = "auto"
    wave: Annotated[int, Ge(1), Le(64)] = 1
    threads: Annotated[int, Ge(1), Le(1024)] | None = None
    out: Annotated[str, MinLen(1)] = "outputs"
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """One checked configuration.

    Attributes:
        names: group -> the name that was chosen in it.
        options: the keys at the top level.
        families: family -> metric, as asked for, whatever the dataset.
        overrides: what was typed.
        twin: the configuration that this one borrows tickets from; None unless its pruner looks at a twin.
        controls: the control runs that were asked for with it.
        conf: what could be chosen.
        The others are the objects that the groups of their names chose.
    """

    names: Mapping[str, str]
    options: Options
    dataset: "Dataset"
    model: "Model"
    pruner: "Pruner"
    schedule: "Schedule"
    rewind: "Rewind"
    rest: "Rest"
    recipe: "Recipe"
    families: Mapping[str, "Metric"]
    overrides: tuple[str, ...] = ()
    twin: "Config | None" = None
    controls: "tuple[Config, ...]" = ()
    conf: Conf = OWN

    @cached_property
    def metrics(self) -> "Mapping[str, Metric]":
        """Family -> metric, with what its settings leave to the dataset.

        Raises:
            UsageError: a setting does not fit the dataset.
        """
        return {family: metric.suited(self.dataset) for family, metric in self.families.items()}

    @property
    def seeds(self) -> range:
        """The seeds that are run."""
        return range(self.options.seed, self.options.seed + self.options.replicates)

    @property
    def rounds(self) -> range:
        """The rounds that the pruner draws: those of its twin, if it has one."""
        return self.twin.rounds if self.twin else self.pruner.rounds(self.schedule.last)

    @property
    def label(self) -> str:
        """What figures call it."""
        return self.pruner.label(self.names["pruner"])

    def order_seed(self, seed: int) -> int:
        """The seed of data order and augmentation."""
        return self.pruner.order_seed(seed if self.options.order_seed is None else self.options.order_seed)

    @cached_property
    def dense(self) -> "Config":
        """The configuration of the dense model that this one starts from: everything about pruning at its default."""
        names = dict(self.names) | {"pruner": "dense"} | _DEFAULTS
        parts = {part: _load(part, names[part]) for part in ("pruner", *_DEFAULTS)}
        options = replace(self.options, prunable="default")
        return replace(self, names=names, options=options, twin=None, controls=(), **parts)

    def identity(self) -> dict[str, Any]:
        """What the id is made of: names, revisions, and identity fields that differ from their dataclass defaults."""
        result: dict[str, Any] = {}
        for part in PARTS:
            chosen, name = getattr(self, part), self.names[part]
            content = difference(chosen) | self._another_class(part)
            if part in _ALWAYS or name != _DEFAULTS[part] or content or chosen.revision > 1:
                result[part] = {"name": name, "revision": chosen.revision} | content
        options = {"order_seed": self.options.order_seed, "prunable": self.options.prunable}
        twin = {"twin": self.twin.id} if self.twin else {}
        return result | twin | {key: value for key, value in options.items() if value != getattr(Options, key)}

    def _another_class(self, part: str) -> dict[str, str]:
        """The class of a part, where it is not the one that our own yaml of its name says; a name of the user's may
        mean another class tomorrow.
        """
        name, target = self.names[part], _target(getattr(self, part))
        return {} if OWN.target(part, name) == target else {"class": target}

    @cached_property
    def id(self) -> str:
        """Eight hexadecimal digits of the identity: runs of different methods have different ids. What may
        move last digits (device, threads, torch, engine) is told in each round's manifest instead.
        """
        return digest(self.identity())[:8]

    @property
    def typed(self) -> tuple[str, ...]:
        """The arguments that say this again."""
        return (*self.overrides, *(["--config-dir", str(self.conf.folder)] if self.conf.folder else []))

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
        twin = {"twin": self.twin.run_name} if self.twin else {}
        sample = {"sample": self.dataset.sample}  # no part of the identity, but what `evaluate` goes on with
        return {"id": self.id, "identity": self.identity(), **parts, **options, **sample, **twin}

    @classmethod
    def restored(cls, run: Path, options: Options, families: "Mapping[str, Metric]") -> "Config":
        """The configuration of a stored run, from its `config.yaml`: data, built within the fence.

        Args:
            run: the run's folder.
            options: what does not belong to the identity is taken from here.
            families: family -> metric, as asked for.

        Raises:
            CorruptStore: the file cannot be read.
            UsageError: it names a class outside the fence, or one that is no more.
        """
        stored = unsealed(run / "config.yaml")
        try:
            names = {part: str(stored[part].pop("name")) for part in PARTS}
            if not all(re.fullmatch(NAME, name) for name in names.values()):
                raise TypeError(f"folders are named by them: {names}")
            parts = {part: build(stored[part], part, options.extensions, base) for part, base in PARTS.items()}
            if "sample" in stored:
                parts["dataset"] = replace(parts["dataset"], sample=int(stored["sample"]))
            options = replace(options, order_seed=stored["order_seed"], prunable=stored["prunable"])
            beside = Path(stored["twin"]).name if "twin" in stored else None
            if beside in ("", "..", run.name):
                raise TypeError(f"no run's twin: {beside}")
            twin = cls.restored(run.parent / beside, options, families) if beside else None
        except (KeyError, AttributeError, TypeError) as error:
            raise CorruptStore(f"{run / 'config.yaml'} is no stored configuration", REMEDY) from error
        return cls(names, options, families=families, twin=twin, **parts)


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
        return {"class": class_name(value), **difference(value), **({"revision": revision} if revision > 1 else {})}
    if isinstance(value, Enum):
        return value.value
    return [_canonical(item) for item in value] if isinstance(value, tuple) else value


def class_name(value: Any) -> str:
    """What an id knows a class by: those of others with their module, ours without, so that it may move."""
    own = type(value).__module__.startswith("ticketsearch.")
    return type(value).__name__ if own else f"{type(value).__module__}.{type(value).__qualname__}"


def full(value: Any, identity_only: bool = True) -> dict[str, Any]:
    """A dataclass instance as a yaml node: `_target_` and every field, or every one that belongs to the identity."""
    node: dict[str, Any] = {"_target_": _target(value)}
    for field in fields(value):
        if field.metadata.get("identity", True) or not identity_only:
            mine = getattr(value, field.name)
            node[field.name] = full(mine, identity_only) if is_dataclass(mine) else _canonical(mine)
    return node


def _target(value: Any) -> str:
    """The class of an object, as a yaml names it."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _load(group: str, name: str) -> Any:
    return _loaded(group, json.dumps(OWN.load(group, name)))


@lru_cache(maxsize=64)  # every run of a sweep has a dense model
def _loaded(group: str, node: str) -> Any:
    return build(json.loads(node), group, (), PARTS[group])
