"""The yamls: where they are and which choices there are. Imports no torch."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf


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
