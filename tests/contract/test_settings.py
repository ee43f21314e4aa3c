"""What is read from source text is what the classes say; the classes themselves are asked here, by other means."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import yaml

from ticketsearch import settings
from ticketsearch.build import build
from ticketsearch.compose import compose
from ticketsearch.conf import OWN, Conf, conf_dir
from ticketsearch.config import PARTS, Options, full
from ticketsearch.errors import UsageError
from ticketsearch.overrides import composed

OPTIONS = "ticketsearch.config.Options"


def imported(target: str) -> type:
    module, _, name = target.rpartition(".")
    return getattr(import_module(module), name)


def named(node: Any) -> Iterator[str]:
    """Every `_target_` in a yaml, however deep."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield node["_target_"]
        for inner in node.values():
            yield from named(inner)


def whole(targets: set[str]) -> set[str]:
    """These classes, their bases, and the classes of the objects that are defaults of theirs."""
    found = set(targets)
    for target in targets:
        for cls in imported(target).__mro__:
            defaults = [f.default for f in fields(cls) if is_dataclass(f.default)] if is_dataclass(cls) else []
            found |= {f"{c.__module__}.{c.__qualname__}" for c in (cls, *map(type, defaults)) if is_dataclass(c)}
    return found if found == targets else whole(found)


YAMLS = [(group, name) for group in OWN.groups for name in OWN.choices(group)]
TARGETS = sorted(whole({OPTIONS} | {target for choice in YAMLS for target in named(OWN.load(*choice))}))
PART_YAMLS = [(part, name) for part in PARTS for name in OWN.choices(part) if "_target_" in OWN.load(part, name)]
every_class = pytest.mark.parametrize("target", TARGETS)
every_part = pytest.mark.parametrize(("part", "name"), PART_YAMLS)


def values(hint: Any) -> tuple[str, ...]:
    """What a value of a type can be, as one types it; of a list: an item."""
    if hint is type(None):
        return ("null",)
    if hint is bool:
        return ("true", "false")
    if isinstance(hint, type) and issubclass(hint, Enum):
        return tuple(member.value for member in hint)
    if get_origin(hint) is Literal:
        return tuple(map(str, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        found = tuple(value for part in get_args(hint) for value in values(part))
        return found if found != ("null",) else ()  # a number or nothing is no list
    return values(get_args(hint)[0]) if get_origin(hint) in (Annotated, ClassVar, tuple) and get_args(hint) else ()


def typed(value: Any) -> str:
    """A value as one types it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{typed(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(typed, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value.value) if isinstance(value, Enum) else str(value)


def leaves(path: str, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value; an object without settings is a value itself."""
    found: dict[str, Any] = {}
    for key, value in shown.items():
        inner = leaves(f"{path}.{key}", value) if isinstance(value, Mapping) else {}
        found |= inner if inner else {} if key == "_target_" else {f"{path}.{key}": value}
    return found


# The classes.


def test_the_classes_of_all_yamls_and_of_their_parts_are_asked() -> None:
    names = {target.rpartition(".")[2] for target in TARGETS}
    assert {"Digits", "Pruner", "Control", "Magnitude", "Global", "Recipe", "Rewind", "Zero", "Geometric"} <= names
    assert {"SmallImageResNet", "Calibration", "Curves", "Figure", "Options"} <= names
    assert {group for group, name in YAMLS} == {path.name for path in conf_dir().iterdir() if path.is_dir()}


@every_class
def test_the_settings_are_the_fields_in_their_order(target: str) -> None:
    found = settings.settings(target)
    assert [name for name, setting in found.items() if setting.settable] == [
        field.name for field in fields(imported(target)) if field.init
    ]


@every_class
def test_class_variables_are_known_and_cannot_be_set(target: str) -> None:
    hints = get_type_hints(imported(target), include_extras=True)
    constant = {name for name, hint in hints.items() if ClassVar in (hint, get_origin(hint))}
    constant |= {field.name for field in fields(imported(target)) if not field.init}
    assert {name for name, setting in settings.settings(target).items() if not setting.settable} == constant
    for name in constant:
        with pytest.raises(UsageError, match=f"unknown key {name}"):
            build({"_target_": target, name: 1}, "")


@every_class
def test_what_a_setting_can_be_is_what_its_type_says(target: str) -> None:
    hints = get_type_hints(imported(target), include_extras=True)
    found = {name: setting.values for name, setting in settings.settings(target).items()}
    assert found == {name: values(hints[name]) for name in found}


@every_class
def test_defaults_are_those_of_the_class(target: str) -> None:
    cls = imported(target)
    for name, setting in settings.settings(target).items():
        default = getattr(cls, name, ())
        plain = default is None or isinstance(default, (bool, int, float, str))  # members of our enums are strings
        assert setting.default == (typed(default) if plain else None), name
        theirs = f"{type(default).__module__}.{type(default).__qualname__}" if is_dataclass(default) else None
        assert setting.target == theirs, name


@pytest.mark.parametrize(
    "target",
    ["torch.nn.Linear", "mine.movement.Movement", "os.path.join", "ticketsearch", "ticketsearch.pruners", "None", "",
     "ticketsearch.pruners.base.Nothing", "ticketsearch.nothing.Nothing", "ticketsearch.compose.compose"],
)  # fmt: skip
def test_what_is_none_of_our_classes_has_no_settings(target: str) -> None:
    assert settings.settings(target) == {}
    assert settings.below("pruner", {"_target_": target, "score": {"bins": 3}}) == {}


# The yamls.


@every_part
def test_the_keys_below_a_part_are_those_that_it_shows(part: str, name: str) -> None:
    shown = leaves(part, full(build(OWN.load(part, name), part), identity_only=False))
    assert set(settings.below(part, settings.node(OWN, part, name))) == set(shown)


@every_part
def test_every_key_below_a_part_is_accepted_with_its_value(part: str, name: str) -> None:
    """All at once: each that is not a key of the part would be refused."""
    chosen = build(OWN.load(part, name), part)
    shown = leaves(part, full(chosen, identity_only=False))
    keys = settings.below(part, settings.node(OWN, part, name))
    words = [f"{part}={name}", *(f"{key}={typed(shown[key])}" for key in keys)]
    assert getattr(compose(words), part) == chosen


@pytest.mark.parametrize("family", OWN.families())
def test_the_settings_of_a_family_are_its_fields(family: str) -> None:
    cls = imported(OWN.load("metrics", family)[family]["_target_"])
    offered = {key for key in settings.of_a_run({}, OWN) if key.startswith(f"metrics.{family}.")}
    assert offered == {f"metrics.{family}.{field.name}" for field in fields(cls)}


def test_an_object_within_another_is_set_by_its_own_settings() -> None:
    node = {"_target_": "ticketsearch.pruners.base.Pruner", "score": {"_target_": "mine.movement.Movement"}}
    assert "pruner.score" in settings.below("pruner", node)  # whose settings nobody knows before it is imported
    node["score"] = {"_target_": "ticketsearch.pruners.base.Pruner", "scope": {"_target_": OPTIONS}}
    keys = settings.below("pruner", node)
    assert keys["pruner.score.source"] == ("init", "dense", "previous", "twin")
    assert keys["pruner.score.scope.prunable"] == ("default", "conv", "all")
    assert "pruner.scope" in keys
    assert not {"pruner.score", "pruner.score.scope", "pruner.score.unit"} & keys.keys()


def test_a_node_that_names_no_class_has_the_settings_of_the_default() -> None:
    assert settings.below("x", {"at": "3ep"}, "ticketsearch.rewind.Rewind")["x.lr"] == ("restart", "resume", "last")
    assert settings.below("x", {}) == {}


def test_a_yaml_is_read_as_it_is_written_and_what_is_none_is_empty() -> None:
    assert settings.node(OWN, "pruner", "lth") == OWN.load("pruner", "lth")
    for group, name in (("pruner", "lht"), ("pruners", "lth"), ("recipe", "auto"), ("metrics", "all")):
        assert settings.node(OWN, group, name) == {}


# A run.


def test_the_keys_of_a_run_are_those_that_it_shows() -> None:
    shown = compose([]).shown()
    parts = {key: value for key, value in shown.items() if key in (*PARTS, "metrics")}
    settable = {key for part, inner in parts.items() for key in leaves(part, inner)}
    empty = {f"metrics.{family}" for family, inner in shown["metrics"].items() if set(inner) == {"_target_"}}
    offered = set(settings.of_a_run({}, OWN))
    assert offered == (settable - empty) | (shown.keys() - {*PARTS, "metrics"}) | set(settings.defaults())


def test_every_key_of_a_run_is_accepted_with_its_value() -> None:
    shown = compose([]).shown()
    every = {key: value for part in (*PARTS, "metrics") for key, value in leaves(part, shown[part]).items()}
    every |= {key: value for key, value in shown.items() if key not in every}
    every |= {group: name for group, name in settings.defaults().items() if name != "null"}
    words = [f"{key}={typed(every[key])}" for key in settings.of_a_run({}, OWN) if key in every]
    assert len(words) == len(settings.of_a_run({}, OWN)) - len(("experiment", "debug"))
    assert compose(words).shown() == shown


def test_what_is_typed_decides_which_keys_a_run_has() -> None:
    usual, other = settings.of_a_run({}, OWN), settings.of_a_run({"schedule": "explicit", "pruner": "control"}, OWN)
    assert {"schedule.rate"} == {key for key in usual if key not in other}
    assert {"schedule.sparsities", "pruner.action", "pruner.repeat"} == {key for key in other if key not in usual}
    assert settings.of_a_run({"recipe": "digits"}, OWN).keys() == usual.keys()  # what `auto` means for digits
    assert not [key for key in settings.of_a_run({"pruner": "lht"}, OWN) if key.startswith("pruner.")]


def test_the_values_of_a_group_are_its_choices_also_those_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "pruner").mkdir()
    (tmp_path / "pruner" / "mine.yaml").write_text((conf_dir() / "pruner" / "lth.yaml").read_text())
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "margin.yaml").write_text("margin: {_target_: ticketsearch.rewind.Rewind}\n")
    conf = Conf.beside(tmp_path)
    keys = settings.of_a_run({"pruner": "mine"}, conf)
    assert {group: keys[group] for group in settings.defaults()} == {
        group: tuple(conf.choices(group)) for group in settings.defaults()
    }
    assert set(keys["pruner"]) >= {"lth", "mine"}
    assert "pruner.source" in keys
    assert keys["metrics.margin.optimiser"] == ("fresh", "step")


# config.yaml.


def test_the_top_level_is_the_options_with_their_defaults() -> None:
    found = settings.top_level()
    assert [key for key, _, _ in found] == [field.name for field in fields(Options)]
    assert {key: default for key, default, _ in found} == {f.name: typed(f.default) for f in fields(Options)}
    written = yaml.safe_load((conf_dir() / "config.yaml").read_text())
    assert {key: yaml.safe_load(default) for key, default, _ in found} == {
        key: value for key, value in written.items() if key != "defaults"
    }
    assert all(meaning.strip() for _, _, meaning in found)


def test_the_defaults_are_what_hydra_chooses() -> None:
    chosen = {key: name for key, name in composed([], OWN)[0].items() if not key.startswith("hydra/")}
    assert settings.defaults() == {key: typed(name) for key, name in chosen.items()}
    assert set(settings.defaults()) == set(OWN.groups) - {"figure", "launcher"}
    assert all(name in OWN.choices(group) for group, name in settings.defaults().items() if name != "null")
