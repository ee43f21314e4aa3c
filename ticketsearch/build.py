"""The one place where a yaml becomes an object: `_target_` within a fence, every field checked by its dataclass."""

import importlib
import importlib.util
import inspect
import math
import os
import pkgutil
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, get_type_hints

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from ticketsearch.errors import UsageError, closest


def build(
    node: Any,
    path: str,
    extensions: tuple[str, ...] = (),
    base: str = "",
    known: Iterable[str] = (),
    command: str = "run",
) -> Any:
    """The object that a node describes.

    Args:
        node: `_target_`, the dotted name of a dataclass, and what differs from its defaults.
        path: where the node stands, for messages: `pruner`; "" at the top level.
        extensions: packages besides ticketsearch that `_target_` may name.
        base: the dotted name of the class that the object must be an instance of; "": any.
        known: further keys to suggest when an unknown one is close to them.
        command: the subcommand that messages suggest.

    Raises:
        UsageError: the target is outside the fence or no dataclass; a key is unknown or missing; a value has the
            wrong type or is out of range.
    """
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise UsageError(f"{path} is {node!r}", "it must name a class in `_target_`", f"ticketsearch {command} --help")
    cls = _target(node["_target_"], path, extensions, command)
    if base and not issubclass(cls, _imported(base)):
        right = f"{path} must be a {base.rpartition('.')[2]}"
        raise UsageError(f"{path}._target_={node['_target_']} is none", right, f"ticketsearch {command} --help")
    prefix = f"{path}." if path else ""
    try:
        hints = get_type_hints(cls, include_extras=True)
    except Exception as error:  # whatever is written there is evaluated
        raise UsageError(f"{path}._target_={node['_target_']} has annotations without meaning", str(error)) from error
    allowed = {field.name: field for field in fields(cls) if field.init}
    values = {}
    for key, value in node.items():
        if key == "_target_":
            continue
        if key not in allowed:
            attempt, otherwise = f"ticketsearch {command} {prefix}{{}}=...", f"ticketsearch {command} --help"
            what, typed = f"unknown key {prefix}{key}", f"{prefix}{key}"
            raise closest(str(key), [*allowed, *known], what, attempt, otherwise, typed)
        values[key] = _value(value, hints[key], allowed[key], f"{prefix}{key}", extensions, command)
    missing = [
        name
        for name, field in allowed.items()
        if name not in values and field.default is field.default_factory is MISSING
    ]
    if missing:
        raise UsageError(
            f"{prefix}{missing[0]} is not set",
            f"{cls.__name__} needs it",
            f"ticketsearch {command} {prefix}{missing[0]}=...",
        )
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        right = f"the settings of {cls.__name__} must fit together; --cfg job shows them"
        raise UsageError(f"{path or 'configuration'}: {error}", right, f"ticketsearch {command} --help") from error


def importable(extensions: tuple[str, ...]) -> None:
    """See that the packages of the user's can be imported: where Python looks, else in the current folder.

    Raises:
        UsageError: there is no such package.
    """
    here = os.getcwd()
    if extensions and here not in sys.path:
        sys.path.append(here)  # last, so that nothing installed is replaced by what happens to lie here
    for name in extensions:
        try:
            known = re.fullmatch(r"\w+(\.\w+)*", name) and importlib.util.find_spec(name)
        except Exception:  # noqa: BLE001 - importing what it lies in raises what it will
            known = None
        if not known:
            right = f"`extensions` lists packages that Python finds: installed, or in {here}"
            raise UsageError(f"extensions: no package {name!r}", right, "ticketsearch run 'extensions=[YOUR_PACKAGE]'")


def _target(target: str, path: str, extensions: tuple[str, ...], command: str) -> type:
    module = target.rpartition(".")[0]
    if not any(module == root or module.startswith(f"{root}.") for root in ("ticketsearch", *extensions)):
        right = "only ticketsearch and the packages that you list in `extensions` may be named"
        attempt = f"ticketsearch {command} 'extensions=[{','.join((*extensions, 'YOUR_PACKAGE'))}]'"
        where = f"{path}.".lstrip(".")
        raise UsageError(f"{where}_target_={target} is outside the fence", right, attempt)
    try:
        cls = _imported(target)
    except (Exception, SystemExit) as error:  # a module of the user's raises what it will
        reason = str(error) if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: {error}"
        raise UsageError(f"{path}._target_={target} cannot be imported", reason, "") from error
    if not (isinstance(cls, type) and is_dataclass(cls)):
        raise UsageError(
            f"{path}._target_={target} is no dataclass", "settings are checked against the fields of a dataclass", ""
        )
    return cls


def _imported(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _value(value: Any, hint: Any, field: Field[Any], path: str, extensions: tuple[str, ...], command: str) -> Any:
    """A checked value: numbers and words by their type, nodes by building them."""
    nested = is_dataclass(field.default) and not isinstance(field.default, type)
    if isinstance(value, str) and inspect.isabstract(hint):
        value = {"_target_": _by_name(value, hint, path, command)}
    if isinstance(value, Mapping) and "_target_" not in value and inspect.isabstract(hint):
        known = {own.name for own in fields(field.default)} if nested else set()  # type: ignore[arg-type]
        if not known.issuperset(value):
            raise _without_class(value, hint, path, command)
    if isinstance(value, Mapping) and (nested or "_target_" in value):
        if "_target_" not in value:
            value = {"_target_": f"{type(field.default).__module__}.{type(field.default).__qualname__}", **value}
        made = build(value, path, extensions, command=command)
        if isinstance(hint, type) and not isinstance(made, hint):
            right = f"{path} must be a {hint.__name__}"
            raise UsageError(f"{path}._target_={value['_target_']} is none", right, f"ticketsearch {command} --help")
        return made
    try:
        strict = not (isinstance(hint, type) and issubclass(hint, Enum))
        checked = _adapter(hint).validate_python(_tuples(value), strict=strict)
        reason = "" if _finite(checked) else "it should be finite"
    except PydanticSchemaGenerationError as error:
        raise UsageError(f"{path}={value!r}", "it must be a node that names a class in `_target_`", "") from error
    except ValidationError as error:
        reason = error.errors()[0]["msg"].replace("Input should", "it should").replace("valid tuple", "list")
    if reason:
        example = field.metadata.get("example", None if field.default is MISSING else field.default)
        attempt = f"ticketsearch {command} {quoted(path, example)}"
        raise UsageError(f"{path}={_typed(value)}", reason, attempt, f"{path}={_typed(value)}")
    return checked


def _adapter(hint: Any) -> "TypeAdapter[Any]":
    """What checks values of a type."""
    try:
        return _remembered(hint)
    except TypeError:  # something in it has no hash
        return TypeAdapter(hint)


@lru_cache(maxsize=256)  # making one takes longer than checking a hundred values
def _remembered(hint: Any) -> "TypeAdapter[Any]":
    return TypeAdapter(hint)


def _by_name(name: str, base: type, path: str, command: str) -> str:
    """The dotted name of one of our classes of a kind, from a word such as `uniform_plus`."""
    found = _words(base)
    if name not in found:
        what = f"no {base.__name__.lower()} named {name!r}"
        raise closest(
            name, found, what, f"ticketsearch {command} {path}={{}}", f"ticketsearch {command} --help", f"{path}={name}"
        )
    return found[name]


def _without_class(value: Mapping[str, Any], base: type, path: str, command: str) -> UsageError:
    """What is said of settings without a class: a word that was typed too is gone by then, as a node replaces it."""
    fitting = [dotted for dotted in _words(base).values() if {f.name for f in fields(_imported(dotted))} >= set(value)]
    right = f"a word takes no settings beside it: name the class in {path}._target_"
    attempt = f"ticketsearch {command} {path}._target_={fitting[0]}" if fitting else f"ticketsearch {command} --help"
    return UsageError(f"{path} has settings and no class: {' '.join(map(str, value))}", right, attempt, path)


def _words(base: type) -> dict[str, str]:
    """Word -> dotted name, of our classes of a kind."""
    package = importlib.import_module(base.__module__.rpartition(".")[0])
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    found, kinds = {}, [base]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if not inspect.isabstract(kind) and kind.__module__.startswith(f"{package.__name__}."):
            found[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()] = f"{kind.__module__}.{kind.__qualname__}"
    return found


def _finite(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _typed(value: Any) -> str:
    """A value as one would type it."""
    if value is None:
        return "null"
    if isinstance(value, (tuple, list)):
        return f"[{','.join(_typed(item) for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def quoted(key: str, value: Any) -> str:
    """`key=value` as a shell needs it."""
    return shlex.quote(f"{key}={_typed(value)}")
