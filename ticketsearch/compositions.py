"""Compositions of a sweep, remembered: what a choice means is composed and built once, however many runs make it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from ticketsearch.build import build
from ticketsearch.conf import Conf
from ticketsearch.errors import UsageError
from ticketsearch.overrides import composed, parsed

Composed = tuple[dict[str, str], dict[str, Any]]


class Composing:
    """Composes and builds one run as if there were no others."""

    def __call__(self, overrides: list[str], conf: Conf) -> Composed:
        """The chosen names and the composed values.

        Args:
            overrides: in the form that Hydra takes.
            conf: what can be chosen.

        Raises:
            UsageError: they do not compose.
        """
        return composed(overrides, conf)

    def built(self, node: Any, path: str, extensions: tuple[str, ...], base: str) -> Any:
        """What `build` makes of a node.

        Raises:
            UsageError: as `build` does.
        """
        return build(node, path, extensions, base)


class Compositions(Composing):
    """Composes what Hydra does, in a hundredth of the time where it knows the choices already.

    A choice that changes nothing but its own group's values can be put beside any other such; a preset changes others,
    so what is chosen with it is composed whole, once. Values are set last, as Hydra does. Where a yaml or a value has
    an interpolation, Hydra composes every run. Equal nodes are one object, which is frozen. Yamls must not change while
    one of these is used: it is made anew for every sweep.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Composed] = {}
        self._together: dict[tuple[str, ...], tuple[dict[str, str], dict[str, Any], bool]] = {}
        self._built: dict[tuple[Any, ...], Any] = {}

    def __call__(self, overrides: list[str], conf: Conf) -> Composed:
        choices = tuple(sorted(text for text in overrides if not text.startswith("++")))
        values = [text for text in overrides if text.startswith("++")]
        if choices not in self._together:
            names, node = self._of(choices, conf)
            self._together[choices] = (names, node, "${" in json.dumps(node, default=str))
        names, node, interpolated = self._together[choices]
        if interpolated or any("${" in text for text in values):
            return composed(overrides, conf)
        for text in values:
            override = parsed(text)
            node = _with(node, override.get_key_element().lstrip("+").split("."), override.value())
        return dict(names), node

    def built(self, node: Any, path: str, extensions: tuple[str, ...], base: str) -> Any:
        key = (repr(node), path, extensions, base)  # 1, 1.0 and True are equal, and not the same
        if key not in self._built:
            self._built[key] = super().built(node, path, extensions, base)
        return self._built[key]

    def _of(self, choices: tuple[str, ...], conf: Conf) -> Composed:
        """What choices mean together: each by itself, if none changes anything but its own group."""
        names, node = self._whole((), conf)
        found: tuple[dict[str, Any], dict[str, Any]] = dict(names), dict(node)
        for choice in choices:
            own_names, own = self._whole((choice,), conf)
            group = choice.partition("=")[0]
            if _without(own, group) != _without(node, group) or _without(own_names, group) != _without(names, group):
                return self._whole(choices, conf)
            for mine, theirs in zip(found, (own_names, own), strict=True):
                mine.pop(group, None)
                if group in theirs:  # a list of families is no name
                    mine[group] = theirs[group]
        return found

    def _whole(self, choices: tuple[str, ...], conf: Conf) -> Composed:
        """As Hydra composes them; interpolations stay as they are."""
        if choices not in self._known:
            plain = self._in_place(choices[0], conf) if len(choices) == 1 else None
            self._known[choices] = plain or composed(list(choices), conf, resolve=False)
        return self._known[choices]

    def _in_place(self, choice: str, conf: Conf) -> Composed | None:
        """What Hydra makes of a choice whose yaml holds its group's values and nothing else, where the usual choice is
        of that kind too and all that there is in the group; None: it is another choice.
        """
        group, _, name = choice.partition("=")
        names, node = self._whole((), conf)
        usual = names.get(group)
        if usual is None or not all(_is_plain(conf, group, each) for each in (usual, name)):
            return None
        try:
            before, now = conf.load(group, usual), conf.load(group, name)
        except UsageError:  # Hydra is asked about what is no yaml of keys too
            return None
        return (names | {group: name}, node | {group: now}) if node.get(group, {}) == before else None


def _is_plain(conf: Conf, group: str, name: str) -> bool:
    """Whether a yaml is there, takes the place of its group, and brings no other with it."""
    text = conf.file(group, name).read_text(encoding="utf-8") if conf.has(group, name) else "defaults"
    return not re.search(r"^\s*#\s*@package|^defaults\b", text, re.M)


def _without(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def _with(node: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """A node with a value set, which shares what is not on its way; a dictionary is merged with what is there."""
    first, *below = path
    new = node.get(first)
    if below:
        new = _with(new if isinstance(new, dict) else {}, below, value)
    elif isinstance(value, dict) and isinstance(new, dict):
        for name, inner in value.items():
            new = _with(new, [str(name)], inner)
    else:
        new = value
    return node | {first: new}
