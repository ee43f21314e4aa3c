"""Numbers that are none, pruners and metrics that break their contract, and folders that nobody may write to."""

import sys
import textwrap
from pathlib import Path

import pytest
from commands import Child, folder, rows, run_here, small, tickets

import ticketsearch
from ticketsearch.cli import main
from ticketsearch.errors import RunFailed

PACKAGE = """
    from dataclasses import dataclass

    import torch

    from ticketsearch.metrics.base import Metric, Value
    from ticketsearch.pruners.view import Score


    @dataclass(frozen=True)
    class Nan(Score):
        def __call__(self, at, ctx):
            scores = {name: at.weights[name].abs() for name in at.mask}
            if at.mask.kept < at.mask.total:  # from round 2 on
                scores["blocks.0.conv1.weight"][0] = float("nan")
            return scores


    @dataclass(frozen=True)
    class Classifier(Score):
        def __call__(self, at, ctx):
            return {name: torch.full(at.mask[name].shape, float(at.layers[name].is_classifier)) for name in at.mask}


    @dataclass(frozen=True)
    class Careless(Metric):
        how: str = "weights"

        def __call__(self, model, data, ctx):
            if self.how == "mode":
                model.train()
            else:
                with torch.no_grad():
                    next(model.parameters()).add_(1)
            if self.how == "logits":
                ctx.logits("test", data.test)  # others would find them there
            if self.how == "raise":
                raise ValueError("in the middle of it")
            return [Value("careless", 1.0, None)]
"""


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Somebody else's pruners and metric, in a package of theirs."""
    root = tmp_path_factory.mktemp("package")
    (root / "careless_package").mkdir()
    (root / "careless_package" / "__init__.py").write_text(textwrap.dedent(PACKAGE))
    sys.path.insert(0, str(root))
    yield "careless_package"
    sys.path.remove(str(root))


def scored_by(package: str, name: str) -> list[str]:
    return [f"extensions=[{package}]", f"pruner.score={{_target_:{package}.{name}}}"]


def test_a_diverging_training_commits_nothing_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    typed = small("pruner=dense", "recipe.lr=1e9", "recipe.epochs=5", "recipe.batch_size=10", out=out)
    assert main(["run", *typed]) == 7
    told = capsys.readouterr().err
    assert "became nan at step" in told
    assert "lr " in told
    assert "last finite loss was" in told
    assert "ticketsearch run recipe.lr=1e+08" in told
    assert tickets(out) == {}
    run_here(out, "pruner=dense")  # what is sane goes on in the same folder
    assert len(tickets(out)) == 1


def test_a_score_that_is_no_number_draws_no_ticket(package: str, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"round 2 of seed 0: the scores of blocks\.0\.conv1\.weight are not numbers"):
        run_here(tmp_path / "out", "pruner=lth", *scored_by(package, "Nan"))
    assert [Path(name).parent.name for name in tickets(tmp_path / "out")] == ["round-00", "round-01"]
    assert not list(tmp_path.glob("out/*-lth-*/seed-0/round-02*/"))


def test_a_layer_that_is_pruned_whole_is_told_and_the_round_completes(package: str, tmp_path: Path) -> None:
    """Everything but the classifier is pruned: 160 weights of 4,804 stay."""
    out = tmp_path / "out"
    asked = ["pruner=omp", "prunable=all", "schedule=explicit", "schedule.sparsities=[0.9667]", "schedule.rounds=1"]
    path, recorder = run_here(out, *asked, *scored_by(package, "Classifier"))
    collapsed = [text for text in recorder.notices if "prunes all of" in text]
    _, ticket = ticketsearch.load(path, 0, 1)
    empty = [name for name, kept in ticket.mask.layer_kept.items() if kept == 0]
    assert len(collapsed) == len(empty) == len(ticket.mask) - 1
    found = rows(out).query("metric == 'collapsed_layers' and round == 1 and pruner == 'omp'")
    assert found.value.tolist() == [len(empty)]


@pytest.mark.parametrize("how", ["weights", "mode", "logits", "raise"])
def test_a_metric_that_changes_the_model_is_an_error_and_spoils_no_other(
    package: str, tmp_path: Path, how: str
) -> None:
    out, alone = tmp_path / "out", tmp_path / "alone"
    for outputs in (out, alone):  # trained before: what training knows of logits would be taken in place of theirs
        run_here(outputs, "pruner=omp", "schedule.rounds=1", "metrics=[ticket]")
    node = f"++metrics.aaa={{_target_:{package}.Careless,how:{how}}}"  # the first in the alphabet is measured first
    run_here(out, "pruner=omp", "schedule.rounds=1", f"extensions=[{package}]", node)
    run_here(alone, "pruner=omp", "schedule.rounds=1")
    found = rows(out)
    careless = found[found.family == "aaa"]
    assert set(careless.status) == {"error"}
    assert ("changed the model" in careless.error.iloc[0]) == (how != "raise")
    others = found[found.family != "aaa"].reset_index(drop=True)
    assert others.equals(rows(alone))


def test_the_same_command_twice_gives_the_same_numbers(tmp_path: Path) -> None:
    for name in ("one", "two"):
        child = Child(tmp_path / f"{name}.log", "run", *small("pruner=lth", out=tmp_path / name))
        assert child.code() == 0, child.output()
    assert tickets(tmp_path / "one") == tickets(tmp_path / "two")
    assert rows(tmp_path / "one").equals(rows(tmp_path / "two"))
    assert folder(tmp_path / "one", "lth").name == folder(tmp_path / "two", "lth").name


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null", "{file}/below"])
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_trained(
    tmp_path: Path, place: str, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    out = place.format(file=tmp_path / "file")
    assert main(["run", *small("pruner=dense"), f"out={out}"]) == 2
    captured = capsys.readouterr()
    assert f"cannot write to {out}" in captured.err
    assert "epoch" not in captured.out
