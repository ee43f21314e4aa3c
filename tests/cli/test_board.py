"""The live table of a sweep on several slots, on terminals of several widths."""

import re
from pathlib import Path

import pytest
from commands import small
from test_display import Terminal

FOOTER = r"^\S* *(\d) of 3 runs over(?:, (\d) failed)?(?:, (\d) running)?(?:, (\d) waiting)?$"
HEADER = r"^slot +time +run +now$"
SWEEP = (
    "run", "-m", "hydra/launcher=devices", "hydra.launcher.devices=cpu", "hydra.launcher.slots=2",
    *small("pruner=dense", "metrics=[accuracy]", "recipe.epochs=30", "recipe.lr=0.1,0.2,1e30"),
)  # fmt: skip


@pytest.mark.parametrize("columns", [100, 40])
@pytest.mark.slow
def test_every_slot_has_a_line_and_counts_stand_below(columns: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    terminal = Terminal(*SWEEP, f"out={out}", columns=columns, lines=30)
    assert terminal.code() == 5, terminal.text
    running = [found for picture in terminal.pictures if (found := re.search(FOOTER, picture, re.M))]
    counts = [tuple(int(number or 0) for number in found.groups()) for found in running]
    assert counts, terminal.text
    assert all(sum(count) - count[1] == 3 for count in counts)  # those that failed are over
    assert [count[0] for count in counts] == sorted(count[0] for count in counts)
    assert max(count[2] for count in counts) == 2
    pictures = [picture for picture in terminal.pictures if re.search(HEADER, picture, re.M)]
    assert pictures
    for picture in pictures:
        _, table = re.split(HEADER, picture, flags=re.M)  # one table, however often it was drawn
        lines = table.strip("\n").splitlines()
        assert len(lines) <= 3, picture  # two slots and the counts
        assert re.match(FOOTER, lines[-1]), picture
        assert all(re.match(r"cpu/[12] +\d+ (?:s|min) +\S", line) for line in lines[:-1]), picture
        assert len({line[:5] for line in lines[:-1]}) == len(lines) - 1
        assert all(len(line) <= columns for line in lines)
    assert columns < 80 or any(re.search(r"seed 0 round 0 epoch \d+/30", picture) for picture in pictures)
    assert not re.search(HEADER, terminal.text, re.M)  # the slots are gone, and the counts stay
    assert re.findall(FOOTER, terminal.text, re.M) == [("3", "1", "", "")]
    assert not terminal.screen.cursor.hidden
    ending = " ".join(terminal.text.split())
    assert re.search(r"2 of 3 runs done in \d+ s failed +reason, and log ", ending)
    assert "the loss of seed 0" in ending
    assert terminal.text.count("error: 1 run of 3 failed") == 1
