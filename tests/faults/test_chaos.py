"""A little of `make chaos`: searches killed at random moments, stored files damaged at random places."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "chaos.py"


@pytest.mark.slow
def test_kills_and_flips_make_no_difference() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--seconds", "20"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    kills, flips, differences = map(int, re.findall(r"\d+", done.stdout.splitlines()[-1]))
    assert kills > 0
    assert flips > 0
    assert differences == 0
