"""What the first lines of a yaml say of it."""

from pathlib import Path

import pytest

from ticketsearch.conf import OWN, Conf, Head

COMMAND = "ticketsearch run pruner=mine"


@pytest.mark.parametrize(
    ("lines", "head"),
    [
        ([COMMAND, "Mine (Me 2020)."], Head(COMMAND, "Mine (Me 2020).", "Me 2020", {})),
        (["conf/pruner/mine.yaml", COMMAND, "Mine."], Head(COMMAND, "Mine.", "", {})),
        (["@package _global_", COMMAND, "Mine (of 3)."], Head(COMMAND, "Mine (of 3).", "", {})),
        ([COMMAND, "A net (He et al. 2016, section 4.2).", "native: 1x8x8, 10 classes", "parameters: 4,810"],
         Head(COMMAND, "A net (He et al. 2016, section 4.2).", "He et al. 2016, section 4.2",
              {"native": "1x8x8, 10 classes", "parameters": "4,810"})),
        (["Mine."], Head("", "Mine.", "", {})),
        ([COMMAND], Head(COMMAND, "", "", {})),
        ([], Head("", "", "", {})),
    ],
)  # fmt: skip
def test_the_first_lines_say_what_it_is(lines: list[str], head: Head, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("".join(f"# {line}\n" for line in lines) + "a: 1  # no part of it\n# nor this\n")
    assert Head.of(path) == head


def test_a_folder_adds_to_what_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "pruner").mkdir()
    (tmp_path / "pruner/mine.yaml").write_text("a: 1\n")
    conf = Conf.beside(tmp_path)
    assert conf.choices("pruner") == sorted([*OWN.choices("pruner"), "mine"])
    assert conf.load("pruner", "mine") == {"a": 1}
    assert conf.load("pruner", "lth") == OWN.load("pruner", "lth")
    assert Conf.beside(None) == OWN
