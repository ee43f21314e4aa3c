"""`evaluate`: rows are added to tickets that are trained; nothing is trained, and nothing is measured twice."""

import re
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest
from commands import epochs_in, folder, identities, rows, run_here, tickets

import ticketsearch
from tests.official import WRITERS, parts
from ticketsearch.cli import main
from ticketsearch.conf import OWN
from ticketsearch.seal import sealed_yaml, unsealed
from ticketsearch.verify import verify


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished searches of which the accuracy alone was measured; tests take a copy."""
    out = tmp_path_factory.mktemp("bare") / "out"
    for pruner in ("lth", "random"):
        run_here(out, f"pruner={pruner}", "metrics=[accuracy]")
    return out


@pytest.fixture
def out(bare: Path, tmp_path: Path) -> Path:
    """A copy of the searches."""
    return shutil.copytree(bare, tmp_path / "out")


def evaluate(out: Path, capsys: pytest.CaptureFixture, *arguments: str, code: int = 0) -> tuple[str, str]:
    """What it prints and what it says of errors; nothing is trained, whatever happens."""
    capsys.readouterr()
    before, stored = identities(out), tickets(out)
    assert main(["evaluate", f"out={out}", *arguments]) == code
    printed = capsys.readouterr()
    assert epochs_in(printed.out) == []
    assert (identities(out), tickets(out)) == (before, stored)
    return printed.out, printed.err


def measured(out: Path) -> dict[str, set[tuple[str, int]]]:
    """Family -> (pruner, round) of which a file of rows is there."""
    found: dict[str, set[tuple[str, int]]] = {}
    for path in out.glob("*/seed-0/round-*/metrics/*-*.parquet"):
        cell = (path.parts[-5].split("-")[2], int(path.parts[-3][6:]))
        found.setdefault(path.name.partition("-")[0], set()).add(cell)
    return found


def files(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every measurement."""
    found = out.glob("*/seed-0/round-*/metrics/*-*")
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


DENSE, LTH, RANDOM = {("dense", 0)}, {("lth", 1), ("lth", 2)}, {("random", 1), ("random", 2)}
EVERY = DENSE | LTH | RANDOM


def test_a_family_is_added_to_every_ticket(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    before = files(out)
    printed, _ = evaluate(out, capsys, "metrics=[calibration]")
    assert measured(out) == {"accuracy": EVERY, "calibration": EVERY}
    assert files(out).items() >= before.items()
    assert len(re.findall(r"^digits\S+ seed 0 round +\d done: ", printed, re.M)) == len(EVERY)
    whole = tmp_path / "whole"
    for pruner in ("lth", "random"):
        run_here(whole, f"pruner={pruner}", "metrics=[accuracy,calibration]")
    pd.testing.assert_frame_equal(rows(out), rows(whole), check_exact=True)
    assert [line for checked in verify(out) for line in checked.wrong] == []


@pytest.mark.slow
def test_every_family_is_measured_unless_said_otherwise_and_only_once(out: Path, capsys: pytest.CaptureFixture) -> None:
    evaluate(out, capsys)
    assert measured(out) == dict.fromkeys(OWN.families(), EVERY)
    before = files(out)
    printed, _ = evaluate(out, capsys)
    assert files(out) == before
    assert "done: sparsity" not in printed
    assert len(re.findall("cells? (?:was|were) complete already", printed)) == 3  # one for each run
    assert run_here(out, "pruner=lth")[1].epochs == []
    assert files(out) == before
    assert set(ticketsearch.load_results(out).family) == {*OWN.families(), "training", "cost", "speed"}


@pytest.mark.parametrize(
    ("filters", "cells"),
    [
        (["pruner=dense"], DENSE),
        (["pruner=[lth,dense]"], DENSE | LTH),
        (["dataset=digits", "model=resnet20", "pruner=random"], DENSE | RANDOM),
        (["run=RANDOM"], DENSE | RANDOM),
    ],
)
def test_filters_choose_runs(
    out: Path, filters: list[str], cells: set[tuple[str, int]], capsys: pytest.CaptureFixture
) -> None:
    named = [text.replace("RANDOM", folder(out, "random").name) for text in filters]
    evaluate(out, capsys, "metrics=[calibration]", *named)
    assert measured(out) == {"accuracy": EVERY, "calibration": cells}


@pytest.mark.parametrize(
    ("text", "what", "there", "attempt"),
    [
        ("pruner=lht", "no run of pruner 'lht'", "lth", "pruner=lth"),
        ("pruner=random,lht", "no run of pruner 'lht'", "lth", "pruner=random,lth"),
        ("dataset=cifar10", "no run of dataset 'cifar10'", "digits", "--help"),
        ("model=resnet18", "no run of model 'resnet18'", "resnet20", "model=resnet20"),
        ("run=nope", "no run of run 'nope'", "digits-resnet20-lth-", "--help"),
    ],
)
def test_a_filter_that_nothing_passes_is_told(
    out: Path, text: str, what: str, there: str, attempt: str, capsys: pytest.CaptureFixture
) -> None:
    _, told = evaluate(out, capsys, text, code=2)
    said, right, tried = told.splitlines()
    assert said == f"error: {what}"
    assert there in right
    assert tried.startswith("  try: ticketsearch evaluate ")
    assert attempt in tried.split()


@pytest.mark.slow
def test_names_with_commas_are_a_list(out: Path, capsys: pytest.CaptureFixture) -> None:
    printed, _ = evaluate(out, capsys, "pruner=lth,random", "metrics.calibration.bins=21")
    assert printed.count("\ndone: ") == 2


def test_another_setting_is_another_measurement(out: Path, capsys: pytest.CaptureFixture) -> None:
    evaluate(out, capsys, "metrics=[calibration]")
    expected, before = rows(out), files(out)
    evaluate(out, capsys, "metrics=[calibration]", "metrics.calibration.bins=20", "pruner=lth")
    assert files(out).items() >= before.items()
    found = rows(out)
    then = expected[expected.family == "calibration"]
    old = set(then.settings)
    ours = found[(found.family == "calibration") & ~found.settings.isin(old)]
    assert (len(old), ours.settings.nunique(), set(ours.metric)) == (1, 1, set(then.metric))
    assert set(ours.run) == {folder(out, "lth").name, folder(out, "dense").name, folder(out, "random").name}
    assert set(zip(ours.pruner, ours["round"], strict=True)) == DENSE | LTH | {("lth", 0), ("random", 0)}
    kept = found[~((found.family == "calibration") & ~found.settings.isin(old))].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, expected, check_exact=True)
    keys = ["run", "round", "metric", "variant", "split"]
    both = ours.merge(expected, on=keys, suffixes=("", "_15"))
    ece = both[(both.metric == "ece") & (both.variant == "")]
    assert (ece.value != ece.value_15).any()
    nll = both[both.metric == "nll"]
    assert (nll.value == nll.value_15).all()


def test_a_damaged_ticket_is_told_and_the_others_are_measured(out: Path, capsys: pytest.CaptureFixture) -> None:
    path = folder(out, "lth") / "seed-0/round-01/ticket.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    printed, told = evaluate(out, capsys, "metrics=[calibration]", code=6)
    assert f"{path} is not what its checksum says\n" in printed
    assert told.startswith(f"error: {path} is not what its checksum says\n")
    assert measured(out)["calibration"] == EVERY - {("lth", 1)}
    assert path.is_file()  # set aside by the search that can make it again
    assert not list(out.glob("*/aside"))


def test_a_damaged_dense_ticket_costs_no_measurement_of_others(out: Path, capsys: pytest.CaptureFixture) -> None:
    """Of a cell with a damaged manifest nobody knows which ticket it was; what was compared with it is left alone."""
    path = folder(out, "dense") / "seed-0/round-00/manifest.json"
    path.write_bytes(path.read_bytes()[:-7])
    before = files(out)
    _, told = evaluate(out, capsys, "metrics=[calibration]", "pruner=lth", code=6)
    assert told.startswith(f"error: {path} is not what its checksum says")
    assert files(out) == before
    assert not list(out.glob("*/aside"))


def test_a_damaged_measurement_is_set_aside_and_made_again(out: Path, capsys: pytest.CaptureFixture) -> None:
    expected = rows(out)
    (path,) = out.glob("*-lth-*/seed-0/round-01/metrics/accuracy-*")
    path.write_bytes(path.read_bytes()[:-7])
    printed, _ = evaluate(out, capsys, "metrics=[accuracy]")
    assert f"{path} is not what its checksum says: it is now " in printed
    pd.testing.assert_frame_equal(rows(out), expected)


@pytest.mark.parametrize("part", ["pruner", "dataset"])
def test_a_stored_class_outside_the_fence_is_refused(
    out: Path, tmp_path: Path, part: str, capsys: pytest.CaptureFixture
) -> None:
    canary = tmp_path / "fenced_out.py"
    canary.write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\nclass Thing: pass\n")
    stored = unsealed(folder(out, "lth") / "config.yaml")
    stored[part]["_target_"] = "fenced_out.Thing"
    (folder(out, "lth") / "config.yaml").write_bytes(sealed_yaml(stored))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        before = files(out)
        _, told = evaluate(out, capsys, "pruner=lth", code=2)
    assert told.startswith(f"error: {part}._target_=fenced_out.Thing is outside the fence\n")
    assert len(told.splitlines()) == 3
    assert not (tmp_path / "imported").exists()
    assert files(out) == before


# As typed.


def test_the_examples_of_the_help_are_accepted(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["evaluate", "--help"]) == 0
    examples = re.findall(r"^  ticketsearch (\S+(?: \S+)*)", capsys.readouterr().out.partition("examples:")[2], re.M)
    assert len(examples) >= 3
    for example in examples:
        assert main([*shlex.split(example), f"out={tmp_path}"]) == 2
        assert capsys.readouterr().err.splitlines()[:2] == ["error: no run fits", f"  there are no runs in {tmp_path}"]
    assert list(tmp_path.iterdir()) == []


MISTAKES = [
    ("prunr=lth", "evaluate takes no key prunr", "did you mean 'pruner'?"),
    ("recipe.epochs=3", "evaluate takes no key recipe.epochs", "choices:"),
    ("seed=1", "evaluate takes no key seed", "choices:"),
    ("lth", "cannot read 'lth'", "key=value"),
    ("--strict", "evaluate takes no --strict", "--config-dir"),
    ("metrics=[acuracy]", "no metrics named 'acuracy'", "did you mean 'accuracy'?"),
    ("metrics.calibration.bns=3", "unknown key metrics.calibration.bns", "did you mean 'bins'?"),
    ("metrics.calibration.bins=0", "metrics.calibration.bins=0", "greater than or equal to 1"),
    ("pruner=[]", "nothing is chosen", "at least one run"),
]


@pytest.mark.parametrize(("word", "what", "right"), MISTAKES, ids=[word for word, *_ in MISTAKES])
def test_mistakes_are_told_in_three_lines(
    bare: Path, word: str, what: str, right: str, capsys: pytest.CaptureFixture
) -> None:
    _, told = evaluate(bare, capsys, word, code=2)
    lines = told.splitlines()
    assert len(lines) == 3
    assert lines[0] == f"error: {what}"
    assert right in lines[1]
    assert lines[2].startswith("  try: ticketsearch evaluate ")


def test_the_datasets_settings_are_those_of_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the dataset that stands in the command because none was typed."""
    data, out = tmp_path / "data", tmp_path / "out"
    WRITERS["mnist"](data, monkeypatch, *parts((1, 28, 28), 10, (60, 30)))
    words = ["dataset=mnist", f"dataset.root={data}", "dataset.validation=10", "model=lenet300", "pruner=dense"]
    ticketsearch.run([*words, "recipe.epochs=1", "metrics=[accuracy]", f"out={out}"])
    asked = ["metrics=[ood]", "metrics.ood.scores=[max_softmax]", f"out={out}", f"dataset.root={data}"]
    assert main(["evaluate", *asked]) == 0
    found = ticketsearch.load_results(out)
    found = found[found.metric == "ood_auroc"]
    assert set(found.variant) == {"", "kmnist", "patches", "gaussian"}
    assert set(found[found.variant.isin(["", "kmnist"])].status) == {"skipped"}
    assert set(found[found.variant.isin(["patches", "gaussian"])].status) == {"ok"}
    WRITERS["fashion_mnist"](data, monkeypatch, *parts((1, 28, 28), 10, (60, 30)))
    assert main(["evaluate", *asked]) == 0  # it is there now
    again = ticketsearch.load_results(out)
    again = again[(again.metric == "ood_auroc") & (again.sequence == again.sequence.max())]
    assert set(again[again.variant == ""].status) == {"ok"}
    before = len(list(out.glob("*/seed-0/round-00/metrics/*")))
    assert main(["evaluate", *asked]) == 0  # nothing has changed since
    assert len(list(out.glob("*/seed-0/round-00/metrics/*"))) == before
