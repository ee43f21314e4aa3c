"""Remembered compositions are Hydra's."""

import shlex
from pathlib import Path

import pytest

from ticketsearch.compositions import Compositions
from ticketsearch.conf import OWN, Conf
from ticketsearch.overrides import checked, composed

SWEEP = [
    "",
    "pruner=lth",
    "pruner=omp model=lenet5 seed=3",
    "pruner=control pruner.of=omp pruner.action=shuffle",
    "model=lenet5 recipe=mnist recipe.epochs=4 recipe.lr=null",
    "experiment=smoke pruner=omp",
    "experiment=smoke recipe=mnist",
    "experiment=smoke recipe=mnist recipe.epochs=2",
    "experiment=null debug=tiny seed=1",
    "experiment=controls debug=tiny",
    "metrics=[accuracy,fgsm] metrics.fgsm.images=7",
    "metrics=as_published metrics.ood={images:3}",
    "metrics=fast 'dataset.only=[1,2]' out='a b' extensions=[]",
    "schedule=explicit schedule.sparsities=[0.5,0.75]",
    "unknown.key=3 recipe.unknown={a:{b:1},c:[1,x]}",
    "recipe=digits recipe.epochs='${recipe.batch_size}'",
]


def words(line: str) -> list[str]:
    return [checked(word, OWN) for word in shlex.split(line)]


@pytest.mark.parametrize("times", [1, 2])
def test_each_run_of_a_sweep_is_what_hydra_makes_of_it(times: int) -> None:
    remembered = Compositions()
    for line in SWEEP * times:
        names, node = remembered(words(line), OWN)
        expected, values = composed(words(line), OWN)
        assert (names, node) == (expected, values), line


def test_what_one_run_sets_is_not_the_next_ones() -> None:
    remembered = Compositions()
    _, first = remembered(["++recipe.epochs=3", "++dataset.only=[1,2]"], OWN)
    first["dataset"]["only"].append(9)
    _, second = remembered(["++recipe.lr=1.0"], OWN)
    assert second == composed(["++recipe.lr=1.0"], OWN)[1]


def test_hydra_is_asked_once_for_each_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(overrides: list[str], conf: Conf, resolve: bool = True) -> object:
        asked.append(overrides)
        return composed(overrides, conf, resolve)

    monkeypatch.setattr("ticketsearch.compositions.composed", counted)
    remembered = Compositions()
    for pruner in ("lth", "omp"):
        for model in ("resnet20", "lenet5"):
            for seed in range(5):
                remembered([f"pruner={pruner}", f"model={model}", f"++seed={seed}"], OWN)
    assert len(asked) == 1 + 2 + 2


def test_a_users_yaml_with_an_interpolation(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text(
        "_target_: ticketsearch.training.recipe.Recipe\nepochs: ${schedule.rounds}\nlr: 0.5\n"
    )
    conf, remembered = Conf.beside(tmp_path), Compositions()
    for rounds in (3, 5):
        overrides = ["recipe=mine", f"++schedule.rounds={rounds}"]
        assert remembered(overrides, conf) == composed(overrides, conf)
        assert remembered(overrides, conf)[1]["recipe"]["epochs"] == rounds
