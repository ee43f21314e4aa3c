"""Write docs/pruners.md: what every pruner is, what was chosen where the literature leaves a choice, and who agrees.

    python scripts/pruner_page.py            writes it
    python scripts/pruner_page.py --print    shows it

From the yamls in conf/pruner, the classes that they name, and docs/pruners.toml for what was compared.
"""

import argparse
import inspect
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from ticketsearch.build import build
from ticketsearch.conf import OWN
from ticketsearch.config import PARTS
from ticketsearch.pruners.base import Pruner
from ticketsearch.pruners.view import Scope, Score

ROOT = Path(__file__).resolve().parents[1]
PAGE, FACTS = ROOT / "docs" / "pruners.md", ROOT / "docs" / "pruners.toml"

HEAD = """# The pruners

Written by `python scripts/pruner_page.py` from the yamls, the classes and `docs/pruners.toml`; do not edit it here.
Scores are "higher = keep" everywhere. Exactly as many weights are kept as the schedule says, ties go to the earlier
(layer, index), and dead weights do not return. What stands under "beside" was run beside this package on the same
weights of seed 0, the same 100 digits, every layer prunable: the largest difference of scores over the largest score,
and how many entries of the masks differ with 50, 90 and 98 % pruned, out of resnet20's 268,048 and lenet5's 21,150.
"""


def told(thing: object) -> str:
    """The docstring of a class in one paragraph each, without its attributes."""
    paragraphs = (inspect.getdoc(type(thing)) or "").split("\n\n")
    kept = [" ".join(part.split()) for part in paragraphs if not part.startswith(("Attributes:", "Raises:"))]
    return " ".join(kept)


def settings(thing: object) -> str:
    """The fields of a score or a scope and what they are; those of a pruner that are its own."""
    inherited = {field.name for field in fields(Pruner)} if isinstance(thing, Pruner) else set()
    own = [field.name for field in fields(thing) if field.name not in inherited]  # type: ignore[arg-type]
    return ", ".join(f"`{name}: {_shown(getattr(thing, name))}`" for name in own)


def _shown(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    return type(value).__name__ if isinstance(value, (Score, Scope)) else str(value)


def parts(name: str, pruner: Pruner) -> Iterator[tuple[str, object]]:
    """What a pruner is made of. One whose yaml names no score draws in a way of its own."""
    if type(pruner) is not Pruner:
        yield "pruner", pruner
    if "score" in OWN.load("pruner", name):
        yield from (("score", pruner.score), ("scope", pruner.scope))


def section(name: str, facts: dict[str, Any]) -> Iterator[str]:
    """The lines of one pruner."""
    head, pruner = OWN.head("pruner", name), build(OWN.load("pruner", name), "pruner", (), PARTS["pruner"])
    yield f"\n## {name}\n\n{head.summary}\n"
    yield f"* `{head.command}`"
    yield f"* reference: {head.reference or 'none'}"
    count = "exact" if pruner.exact else "as it comes"
    yield f"* looks at: {pruner.source.value}; removes: {pruner.unit}s; count: {count}"
    for kind, thing in parts(name, pruner):
        yield f"* {kind} `{type(thing).__name__}`: {told(thing)}"
        if chosen := settings(thing):
            yield f"  * {chosen}"
    yield "* tests: " + ", ".join(f"`{path}`" for path in facts["tests"][name])
    found = [row for row in facts["compared"] if name in row["pruners"]]
    for row in found:
        yield f"* beside {row['code']}, {row['what']} (changed: {row['changed']})"
        yield from (f"  * {line}" for line in compared(row))
    if not found:
        yield "* beside other code: not compared"


def compared(row: dict[str, Any]) -> Iterator[str]:
    """The lines of one comparison."""
    scores = [f"{precision} {_number(value)}" for precision, value in row["scores"].items()]
    yield "scores: " + (", ".join(scores) or "not compared")
    if row["entries"]:
        counts = (f"{model} {', '.join(f'{n:,}' for n in found)}" for model, found in row["entries"].items())
        yield "entries that differ: " + "; ".join(counts)
    if row["why"]:
        yield row["why"]


def _number(value: float) -> str:
    return "no difference" if value == 0 else f"{value:.1e}"


def page() -> str:
    """The page."""
    facts = tomllib.loads(FACTS.read_text(encoding="utf-8"))
    lines = [line for name in OWN.choices("pruner") for line in section(name, facts)]
    return HEAD + "\n".join(lines) + "\n"


def main() -> int:
    """Write the page, or show it."""
    parser = argparse.ArgumentParser(description="write docs/pruners.md")
    parser.add_argument("--print", action="store_true", help="show it and write nothing")
    if parser.parse_args().print:
        sys.stdout.write(page())
    else:
        PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
