"""From what was typed to a checked configuration. Imports no torch itself.

Hydra composes yaml; what is accepted is decided here. Every override of a value reaches Hydra as `++key=value`, so that
Hydra refuses none, and the strict check against the dataclasses refuses each that they do not have.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Any, get_args

from ticketsearch.build import build, importable, quoted
from ticketsearch.compositions import Composing
from ticketsearch.conf import OWN, Conf
from ticketsearch.config import METRIC, PARTS, Config, Options
from ticketsearch.errors import UsageError, closest
from ticketsearch.overrides import checked, parsed

CONTROL = "control"
"""The choice of `conf/pruner` that `controls=true` adds in each of its variants."""
_CHOSEN = ("metrics", "experiment", "debug")
"""The groups that are no part of a configuration themselves."""
_ONE = Composing()


def compose(overrides: Sequence[str] = (), conf: Conf = OWN, composing: Composing = _ONE) -> Config:
    """Compose and check a configuration; nothing is created by it.

    Args:
        overrides: as typed: `pruner=lth`, `schedule.rounds=3`, `metrics=[accuracy]`.
        conf: what can be chosen.
        composing: how; `Compositions` where there are many.

    Raises:
        UsageError: a key, name, type or value is not acceptable; the message says which and what would be.
    """
    keys = [_key(text) for text in overrides]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"{key} is given twice", "each key takes one value", "ticketsearch run --help")
    try:
        config = _config(overrides, conf, composing)
    except UsageError as error:
        raise _with_usual_value(error, overrides, conf) from error
    if config.pruner.of is not None:
        config = _beside(config, _twin(config, composing))
    return replace(config, controls=_controls(config)) if config.options.controls else config


def _config(overrides: Sequence[str], conf: Conf, composing: Composing = _ONE) -> Config:
    """The configuration by itself, without what stands beside it."""
    typed = [checked(text, conf) for text in overrides]
    names, node = composing(typed, conf)
    options = _options(names, node, overrides)  # before anything that imports torch: most mistakes are among these keys
    names, node = _filled_in(names, node, typed, options, conf, composing)
    parts = {part: composing.built(node.get(part), part, options.extensions, base) for part, base in PARTS.items()}
    parts["model"] = parts["model"].settled()
    if options.precision != "auto":
        parts["recipe"] = replace(parts["recipe"], precision=options.precision)
    asked = node.get("metrics") or {}
    if not isinstance(asked, dict):
        right = "its keys are families: `mine: {_target_: ...}`"
        raise UsageError(f"metrics is {asked!r}", right, "ticketsearch list metrics")
    built = partial(composing.built, extensions=options.extensions, base=METRIC)
    families = {name: built(asked[name], f"metrics.{name}") for name in sorted(asked)}
    config = Config(names, options, families=families, overrides=tuple(overrides), conf=conf, **parts)
    _ = config.metrics  # a setting that does not fit is refused now
    return config.dense if names["pruner"] == "dense" else config


def _with_usual_value(error: UsageError, overrides: Sequence[str], conf: Conf) -> UsageError:
    """An error of a setting, with the value that it has when nothing is typed as the one to try: the yaml's, where
    that of the class is for other data.
    """
    key, equals, _ = error.wrong.partition("=")
    if not equals or not error.attempt.startswith("ticketsearch run "):
        return error
    try:
        chosen = [text for text in overrides if _key(text) in (*conf.groups, "extensions")]
        usual = reduce(lambda node, part: node[part], key.split("."), _config(chosen, conf).shown())
    except (UsageError, KeyError, TypeError):  # what was chosen is wrong by itself, or has no such setting
        return error
    if isinstance(usual, dict) or key in conf.groups:
        return error
    return UsageError(error.what, error.right, f"ticketsearch run {quoted(key, usual)}", error.wrong)


def _options(names: dict[str, str], node: dict[str, Any], overrides: Sequence[str]) -> Options:
    """The keys at the top level; nothing but groups may stand beside them."""
    top = {key: value for key, value in node.items() if key not in (*PARTS, "metrics")}
    for key in top.keys() & {"experiment", "debug"}:
        right = "its first line must be `# @package _global_`, so that it changes keys of the top level"
        raise UsageError(f"{key}/{names[key]}.yaml sets keys below `{key}`", right)
    if "_target_" in top:
        raise closest("_target_", node.keys() - {"_target_"}, "unknown key _target_")
    options: Options = build({"_target_": "ticketsearch.config.Options", **top}, "", known=(*PARTS, *_CHOSEN))
    if options.extensions and "extensions" not in map(_key, overrides):
        right = "what may be imported is typed, so that no yaml can let it in"
        attempt = f"ticketsearch run 'extensions=[{','.join(options.extensions)}]'"
        raise UsageError("a yaml lists `extensions`", right, attempt)
    importable(options.extensions)
    return options


def _filled_in(
    names: dict[str, str], node: dict[str, Any], typed: list[str], options: Options, conf: Conf, composing: Composing
) -> tuple[dict[str, str], dict[str, Any]]:
    """The chosen names and the composed values, `auto` and `all` replaced by what they mean."""
    chosen: dict[str, str] = {}
    if names.get("recipe") == "auto":
        built = partial(composing.built, extensions=options.extensions)
        model, dataset = (built(node.get(part), part, base=PARTS[part]) for part in ("model", "dataset"))
        chosen["recipe"] = model.recipe or dataset.recipe
    if names.get("metrics") == "all":
        chosen["metrics"] = f"[{','.join(conf.families())}]"
    more = [f"{group}={name}" for group, name in chosen.items()] + _debugged(names, conf)
    if not more:
        return names, node
    return composing([text for text in typed if text.partition("=")[0] not in chosen] + more, conf)


def _debugged(names: dict[str, str], conf: Conf) -> list[str]:
    """What `debug` makes of choices: the yamls debug/GROUP/DEBUG_NAME, found here as Hydra 1.4 interpolates no null."""
    found = ((group, f"{names.get('debug')}_{name}") for group, name in names.items())
    return [f"+debug/{group}@_global_={name}" for group, name in found if name in conf.choices(f"debug/{group}")]


def _twin(config: Config, composing: Composing) -> Config:
    """The run that differs from this one in its pruner only, and in what `pruner.of_overrides` says."""
    name, more = str(config.pruner.of), config.pruner.of_overrides
    known = config.conf.choices("pruner")
    if name not in known:
        attempt = "ticketsearch run pruner=control pruner.of={}"
        raise closest(name, known, f"no pruner named {name!r}", attempt, "ticketsearch list pruners")
    if "extensions" in map(_key, more):
        right = "what may be imported is typed, so that no yaml can let it in"
        attempt = "ticketsearch run 'extensions=[YOUR_PACKAGE]'"
        raise UsageError("pruner.of_overrides lists `extensions`", right, attempt)
    replaced = {"pruner", "controls", *map(_key, more)}
    kept = [text for text in config.overrides if _key(text) not in replaced and not _key(text).startswith("pruner.")]
    twin = compose([*kept, f"pruner={name}", *more], config.conf, composing)
    return replace(twin, overrides=config.overrides)


def _key(text: str) -> str:
    return str(parsed(text).key_or_group)


def _beside(config: Config, twin: Config) -> Config:
    """A configuration with its twin.

    Raises:
        UsageError: the twin's tickets are of no use to it.
    """
    try:
        if (twin.dataset, twin.model, twin.options.prunable) != (config.dataset, config.model, config.options.prunable):
            raise ValueError("its twin has another dataset, model or choice of prunable weights")
        theirs, mine = twin.options, config.options
        if (twin.seeds, theirs.order_seed, theirs.out) != (config.seeds, mine.order_seed, mine.out):
            raise ValueError("its twin has other seeds, another order_seed or another folder")
        if twin.controls:
            raise ValueError("its twin has controls of its own: run them by themselves")
        return replace(config, pruner=config.pruner.beside(config, twin), twin=twin)
    except ValueError as error:
        wrong = f"pruner.of={config.pruner.of}: {error}"
        raise UsageError(wrong, "a twin's tickets must fit", "ticketsearch run pruner=control pruner.of=lth") from error


def _controls(config: Config) -> tuple[Config, ...]:
    """Every control of a configuration that makes sense; a dense model and a control have none."""
    if not config.rounds or config.twin or config.rounds[0] == 0:
        return ()
    of = {"of": config.names["pruner"], "of_overrides": [t for t in config.overrides if _key(t).startswith("pruner.")]}
    names, found = dict(config.names) | {"pruner": CONTROL}, []
    node = OWN.load("pruner", CONTROL)
    for action in get_args(build(node, "pruner").__dataclass_fields__["action"].type):
        control = replace(config, names=names, pruner=build(node | of | {"action": action}, "pruner"))
        try:
            found.append(_beside(control, config))
        except UsageError:
            continue
    return tuple(found)
