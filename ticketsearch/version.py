"""Which version this is."""

import tomllib
from importlib import metadata
from pathlib import Path


def version() -> str:
    """The version that is installed, else that of the checkout that this is run from."""
    try:
        return metadata.version("ticketsearch")
    except metadata.PackageNotFoundError:
        about = Path(__file__).resolve().parents[1] / "pyproject.toml"
        return str(tomllib.loads(about.read_text(encoding="utf-8"))["project"]["version"])
