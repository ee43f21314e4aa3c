"""What can be set, read from yamls and source text: completion and help answer before torch could be imported."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ticketsearch.conf import Conf, conf_dir

_ROOT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Setting:
    """One field of a class, or one of its class variables.

    Attributes:
        values: what it can be, as one types it; () for numbers and whatever else is no list.
        default: as one types it; None where that is no constant.
        target: the dotted name of the class of its default, where it is an object with settings of its own.
        settable: a field; class variables are not.
        many: a list of such values.
    """

    values: tuple[str, ...]
    default: str | None
    target: str | None
    settable: bool
    many: bool


def top_level() -> list[tuple[str, str, str]]:
    """The keys of `config.yaml` that are no groups: key, default, meaning."""
    found = re.findall(r"^(\w+): (\S+) +# (.*)$", _config_yaml(), re.M)
    return [(key, value, said) for key, value, said in found]


def defaults() -> dict[str, str]:
    """Every group that a run chooses from -> the choice when nothing is typed, in the order of `config.yaml`."""
    return dict(re.findall(r"^ +- (\w+): (\w+)", _config_yaml(), re.M))


def _config_yaml() -> str:
    return (conf_dir() / "config.yaml").read_text(encoding="utf-8")


def node(conf: Conf, group: str, name: str) -> dict[str, Any]:
    """The yaml of a choice, as it is written; {} when there is no such choice or it is no dictionary."""
    import yaml

    if name not in conf.choices(group):
        return {}
    try:
        read = yaml.safe_load(conf.file(group, name).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):  # it is told when it is chosen
        return {}
    return read if isinstance(read, dict) else {}


def of_a_run(typed: Mapping[str, str], conf: Conf) -> dict[str, tuple[str, ...]]:
    """Every key of `ticketsearch run` -> its values.

    Args:
        typed: what is typed already: a chosen yaml decides which settings there are.
        conf: what can be chosen.
    """
    names = {group: typed.get(group, name) for group, name in defaults().items()}
    found = {group: tuple(conf.choices(group)) for group in names}
    found |= {name: setting.values for name, setting in settings("ticketsearch.config.Options").items()}
    for group, name in names.items():
        found |= below(group, node(conf, group, _meant(name, group, names, conf)))
    for family in _families(names["metrics"], conf):
        read = node(conf, "metrics", family).get(family)
        found |= below(f"metrics.{family}", read if isinstance(read, dict) else {})
    return found


def _families(metrics: str, conf: Conf) -> list[str]:
    """The families that a choice of metrics, or a list of them, means."""
    if metrics == "all":
        return conf.families()
    listed = node(conf, "metrics", metrics).get("defaults", [metrics])
    return [str(name) for name in listed] if metrics[:1] != "[" else metrics.strip("[]").split(",")


def _meant(name: str, group: str, names: Mapping[str, str], conf: Conf) -> str:
    """The choice behind `recipe=auto`: the model's, else the dataset's."""
    if (group, name) != ("recipe", "auto"):
        return name
    for part in ("model", "dataset"):
        setting = settings(str(node(conf, part, names[part]).get("_target_"))).get("recipe")
        if setting and setting.default not in (None, "null"):
            return str(setting.default)
    return name


def below(
    path: str, read: Mapping[str, Any], otherwise: str | None = None, lists: bool = False
) -> dict[str, tuple[str, ...]]:
    """Every key below a node, nested ones too -> its values.

    Args:
        path: of the node: `pruner`.
        read: the node, from its yaml.
        otherwise: the class, where the node names none.
        lists: whether a list has values too, since one of them may be typed in its place.
    """
    target, found = read.get("_target_", otherwise), dict[str, tuple[str, ...]]()
    for name, setting in settings(str(target)).items() if target else ():
        nested = read.get(name)
        inner = below(f"{path}.{name}", nested if isinstance(nested, dict) else {}, setting.target, lists)
        if setting.settable:
            found |= inner or {f"{path}.{name}": setting.values if lists or not setting.many else ()}
    return found


@cache
def settings(target: str) -> dict[str, Setting]:
    """The fields and class variables of one of our classes, those of its bases first; {} for classes of others.

    Args:
        target: its dotted name.
    """
    found = _class(target)
    if found is None:
        return {}
    module, cls = found
    result: dict[str, Setting] = {}
    for base in cls.bases:
        result |= settings(module.dotted(base))
    for line in cls.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            result[line.target.id] = _setting(module, line)
    return result


class _Module:
    """The names that a source file knows."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.known: dict[str, str] = {}
        self.assigned: dict[str, ast.expr] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        for line in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(line, ast.ImportFrom):
                self.known |= {alias.asname or alias.name: f"{line.module}.{alias.name}" for alias in line.names}
            elif isinstance(line, ast.ClassDef):
                self.classes[line.name] = line
                self.known[line.name] = f"{name}.{line.name}"
            elif isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                self.assigned[line.targets[0].id] = line.value

    def dotted(self, expression: ast.expr) -> str:
        """The dotted name that an expression stands for; '' if it is none that is known."""
        if isinstance(expression, ast.Attribute):
            return f"{self.dotted(expression.value)}.{expression.attr}"
        return self.known.get(expression.id, "") if isinstance(expression, ast.Name) else ""


@cache
def _module(name: str) -> _Module | None:
    path = _ROOT.joinpath(*name.split(".")[1:]).with_suffix(".py")
    return _Module(name, path) if name.startswith("ticketsearch.") and path.is_file() else None


def _class(target: str) -> tuple[_Module, ast.ClassDef] | None:
    name, _, cls = target.rpartition(".")
    module = _module(name)
    return (module, module.classes[cls]) if module and cls in module.classes else None


def _setting(module: _Module, line: ast.AnnAssign) -> Setting:
    annotation, default = line.annotation, line.value
    constant = isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "ClassVar"
    if isinstance(default, ast.Call) and ast.unparse(default.func) == "field":
        named = {keyword.arg: keyword.value for keyword in default.keywords}
        constant = constant or ast.unparse(named.get("init", ast.Constant(True))) == "False"
        default = named.get("default")
    target = module.dotted(default.func) if isinstance(default, ast.Call) else ""
    many = "tuple[" in ast.unparse(annotation)
    return Setting(_values(module, annotation), _typed(module, default), target or None, not constant, many)


def _values(module: _Module, annotation: ast.expr) -> tuple[str, ...]:
    """What a value of this type can be."""
    if isinstance(annotation, ast.BinOp):
        found = _values(module, annotation.left) + _values(module, annotation.right)
        return found if found != ("null",) else ()  # null alone is no list of what it can be
    if isinstance(annotation, ast.Constant):
        return ("null",) if annotation.value is None else ()
    if isinstance(annotation, ast.Subscript):
        inside = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if ast.unparse(annotation.value) == "Literal":
            return tuple(str(item.value) for item in inside if isinstance(item, ast.Constant))
        return _values(module, inside[0])  # Annotated, tuple, ClassVar
    return _named_values(module, annotation) if isinstance(annotation, ast.Name) else ()


def _named_values(module: _Module, name: ast.Name) -> tuple[str, ...]:
    """The same for a type that has a name: bool, an enum, or what a module has assigned to it."""
    if name.id == "bool":
        return ("true", "false")
    target = module.dotted(name) or f"{module.name}.{name.id}"
    home, _, last = target.rpartition(".")
    there = _module(home)
    if there and last in there.assigned:
        return _values(there, there.assigned[last])
    return tuple(_members(target).values())


def _typed(module: _Module, default: ast.expr | None) -> str | None:
    """A default as one types it."""
    if isinstance(default, ast.Constant):
        plain = str(default.value)
        return "null" if default.value is None else plain.lower() if isinstance(default.value, bool) else plain
    if isinstance(default, ast.Attribute):
        return _members(module.dotted(default.value)).get(default.attr)
    return None


@cache
def _members(target: str) -> dict[str, str]:
    """The members of an enum of ours: name -> value."""
    found = _class(target)
    if found is None or not any(ast.unparse(base).endswith("Enum") for base in found[1].bases):
        return {}
    lines = [line for line in found[1].body if isinstance(line, ast.Assign)]
    return {ast.unparse(line.targets[0]): str(ast.literal_eval(line.value)) for line in lines}
