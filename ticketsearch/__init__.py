"""ticketsearch: draw lottery tickets, train them, and measure everything the field asks of them."""

from typing import TYPE_CHECKING, Any

from ticketsearch import torchvision_ops

if TYPE_CHECKING:
    from ticketsearch.api import launch as launch
    from ticketsearch.api import load as load
    from ticketsearch.api import run as run
    from ticketsearch.results import load_results as load_results

__all__ = ["launch", "load", "load_results", "run"]

torchvision_ops.install()


def __getattr__(name: str) -> Any:
    """The Python interface, imported when it is first used so that `--help` needs no torch."""
    if name == "load_results":
        from ticketsearch.results import load_results

        return load_results
    if name in ("run", "launch", "load"):
        from ticketsearch import api

        return getattr(api, name)
    raise AttributeError(f"module 'ticketsearch' has no attribute {name!r}")
