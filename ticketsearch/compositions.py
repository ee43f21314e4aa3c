"""Compositions of a sweep, remembered: what a choice means is composed once, however many runs make it."""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from ticketsearch.conf import Conf
from ticketsearch.overrides import composed, parsed

Composed = tuple[dict[str, str], dict[str, Any]]
Composing = Callable[[list[str], Conf], Composed]
"""From overrides in the form that Hydra takes to the chosen names and the composed values."""


class Compositions:
    """Composes what `overrides.composed` does, in a hundredth of the time where it knows the choices already.

    A choice that changes nothing but its own group's values can be put beside any other such; a preset changes others,
    so what is chosen with it is composed whole, once. Values are set last, as Hydra does. Where a yaml or a value has
    an interpolation, Hydra composes every run. Yamls must not change while one of these is used: it is made anew for
    every sweep.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Composed] = {}

    def __call__(self, overrides: list[str], conf: Conf) -> Composed:
        """The chosen names and the composed values.

        Raises:
            UsageError: they do not compose.
        """
        choices = tuple(sorted(text for text in overrides if not text.startswith("++")))
        values = [text for text in overrides if text.startswith("++")]
        names, node = self._of(choices, conf)
        if "${" in json.dumps(node, default=str) or any("${" in text for text in values):
            return composed(overrides, conf)
        node = deepcopy(node)
        for text in values:
            override = parsed(text)
            _put(node, override.get_key_element().lstrip("+").split("."), override.value())
        return dict(names), node

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
            self._known[choices] = composed(list(choices), conf, resolve=False)
        return self._known[choices]


def _without(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def _put(node: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a value; a dictionary is merged with what is there."""
    *above, last = path
    for name in above:
        inner = node.get(name)
        if not isinstance(inner, dict):
            inner = node[name] = {}
        node = inner
    if isinstance(value, dict) and isinstance(node.get(last), dict):
        for name, inner in value.items():
            _put(node[last], [str(name)], inner)
    else:
        node[last] = value
