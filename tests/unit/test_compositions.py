"""Remembered compositions are Hydra's."""

import shlex
from pathlib import Path

import pytest

from ticketsearch.compose import compose
from ticketsearch.compositions import Compositions
from ticketsearch.conf import OWN, Conf
from ticketsearch.config import PARTS
from ticketsearch.errors import UsageError
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
    "schedule=one_shot rest=freeze_or_zero rewind=step",
    "dataset=cifar10 model=vgg19 pruner=rigl",
]


def words(line: str) -> list[str]:
    return [checked(word, OWN) for word in shlex.split(line)]


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
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


@pytest.mark.slow
@pytest.mark.parametrize("group", PARTS)
def test_every_choice_by_itself_is_what_hydra_makes_of_it(group: str) -> None:
    remembered = Compositions()
    for name in OWN.choices(group):
        assert remembered([f"{group}={name}"], OWN) == composed([f"{group}={name}"], OWN), name


def test_hydra_is_asked_once_for_all_choices_that_bring_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert asked == [[]]
    for _ in range(3):
        remembered(["experiment=smoke", "pruner=omp"], OWN)
        remembered(["metrics=[accuracy]"], OWN)
    assert asked[1:] == [["experiment=smoke"], ["experiment=smoke", "pruner=omp"], ["metrics=[accuracy]"]]


@pytest.mark.parametrize(
    "text",
    [
        "defaults: [lth]\nsource: init\n",
        "# @package _global_\npruner: {_target_: ticketsearch.pruners.base.Pruner}\nseed: 7\n",
        "_target_: ticketsearch.pruners.base.Pruner\nsource: ${rewind._target_}\n",
        "_target_: ticketsearch.pruners.base.Pruner\nepochs: 2.0\n",
    ],
    ids=["on top of another", "elsewhere", "from elsewhere", "plain"],
)
def test_a_users_yaml_of_any_kind(text: str, tmp_path: Path) -> None:
    (tmp_path / "pruner").mkdir()
    (tmp_path / "pruner" / "mine.yaml").write_text(text)
    conf, remembered = Conf.beside(tmp_path), Compositions()
    for overrides in (["pruner=mine"], ["model=lenet5", "pruner=mine", "++seed=3"], ["pruner=omp"]):
        assert remembered(overrides, conf) == composed(overrides, conf)


def test_what_is_the_same_in_two_runs_is_built_once_and_nothing_else() -> None:
    remembered, listed = Compositions(), OWN.listed()
    one, other, third = (
        compose(words, listed, remembered)
        for words in (["pruner=lth", "seed=1"], ["pruner=lth", "seed=2"], ["pruner=lth", "recipe.epochs=3"])
    )
    assert one.model is other.model is third.model
    assert one.families["ood"] is third.families["ood"]
    assert (one.seeds, other.seeds) == (range(1, 2), range(2, 3))
    assert (one.recipe.epochs, third.recipe.epochs) == (12, 3)
    alone = [compose(words) for words in (["pruner=lth", "seed=1"], ["pruner=lth", "recipe.epochs=3"])]
    assert [(run.id, run.shown()) for run in alone] == [(run.id, run.shown()) for run in (one, third)]


def test_equal_values_of_two_types_are_two() -> None:
    remembered = Compositions()
    assert compose(["recipe.lr=1.0"], OWN, remembered).recipe.lr == 1
    with pytest.raises(UsageError, match=r"recipe\.lr=true"):
        compose(["recipe.lr=true"], OWN, remembered)


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
