"""Configurations: what belongs to the identity of a run and what does not, and that every yaml works."""

import json
import shlex
from functools import cache
from itertools import islice, permutations
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ticketsearch.cli import main
from ticketsearch.compose import compose
from ticketsearch.conf import OWN, conf_dir
from ticketsearch.config import PARTS, Config
from ticketsearch.launchers.chosen import taken_off
from ticketsearch.overrides import expanded

GOLDEN = {
    "pruner=lth": "89c9361f",
    "pruner=random": "a42465e4",
    "pruner=omp": "92e16278",
    "pruner=dense": "feb5d809",
    "pruner=lth schedule.rate=0.1": "fba5a3c5",
    "pruner=lth schedule=one_shot schedule.sparsity=0.9": "d364af8f",
    "pruner=omp schedule=iterative": "5a444d5a",
    "pruner=lth schedule=explicit schedule.sparsities=[0.5,0.9]": "59756e5b",
    "pruner=lth rewind=step rewind.at=3ep": "e7f5720a",
    "pruner=lth rewind=lr": "9507af4b",
    "pruner=lth rewind=keep": "841f40f6",
    "pruner=omp rewind=reinit": "3ab968de",
    "pruner=lth prunable=all": "bb188b48",
    "pruner=lth order_seed=1": "aa8b715a",
    "pruner=lth precision=bfloat16": "56d5236f",
    "pruner=dense model.depth=8 model.width=4 dataset.subset=100 recipe.epochs=2": "170ea8a7",
    "pruner=control pruner.of=lth pruner.action=shuffle": "ec5fd765",
    "pruner=control pruner.of=omp pruner.action=reorder pruner.repeat=2": "f09282bd",
    "pruner=random experiment=smoke": "a59fa6d8",
    "pruner=lth dataset.only=[3,5]": "25b15ada",
    "pruner=lth dataset.label_noise=0.2": "228e9238",
    "pruner=lth recipe.optimiser=adam": "69a4077d",
    "pruner=omp dataset=mnist model=lenet5 recipe=mnist_openlth": "d595d619",
    "pruner=omp dataset=cifar10 recipe=cifar_renda": "959d2bfa",
    "pruner=dense dataset=svhn": "7940ea6e",
    "experiment=frankle_mnist": "3ce29e92",
    "experiment=paper_c10_r20s": "c63c85d9",
    "experiment=paper_c100_r20s": "71175071",
}
"""Whoever changes one of these makes every stored run of it unfindable: raise a `revision` when numbers change, and
give new fields a default that means what was done before.
"""
YAMLS = [path.relative_to(conf_dir()) for path in sorted(conf_dir().rglob("*.yaml"))]
EXPLICIT = "schedule=explicit schedule.sparsities=[0.5,0.9]"


@cache
def composed(line: str) -> Config:
    """Composing takes a tenth of a second, so no line is composed twice."""
    return compose(line.split())


def id_of(line: str) -> str:
    return composed(line).id


@pytest.mark.parametrize("line", GOLDEN)
def test_ids_stay_as_they_are(line: str) -> None:
    assert id_of(line) == GOLDEN[line]


def test_the_golden_ids_differ() -> None:
    assert len(set(GOLDEN.values())) == len(GOLDEN) >= 10


def test_the_run_is_named_after_what_it_is() -> None:
    config = composed("pruner=random")
    assert config.run_name == f"digits-resnet20-random-{config.id}"
    assert len(config.id) == 8
    assert set(config.id) <= set("0123456789abcdef")


def test_the_order_of_overrides_does_not_matter() -> None:
    overrides = ["pruner=omp", "schedule.rate=0.3", "recipe.lr=0.05", "order_seed=4"]
    assert len({compose(order).id for order in islice(permutations(overrides), 0, None, 5)}) == 1


@pytest.mark.parametrize(
    "line",
    [
        "schedule.rounds=3",
        "replicates=4",
        "metrics=[accuracy]",
        "metrics.calibration.bins=10",
        "device=cpu",
        "threads=2",
        "engine=eager",
        "out=elsewhere",
        "dataset.root=/somewhere",
        "extensions=[numpy]",
        "precision=float32",
        "recipe=digits",
        "recipe.lr=0.1",
        "schedule.rate=0.2",
        "prunable=default",
        "order_seed=null",
        "++pruner=lth",
        "pruner.source=previous",
        "model.depth=20",
    ],
)
def test_what_changes_no_number_is_not_in_the_id(line: str) -> None:
    assert id_of(line) == id_of("pruner=lth")


def test_rounds_of_prefixes_are_not_in_the_id() -> None:
    assert id_of(EXPLICIT) == id_of(f"{EXPLICIT} schedule.rounds=1")
    assert id_of("schedule=one_shot") == id_of("schedule=one_shot schedule.rounds=0")


def test_what_changes_a_number_is_in_the_id() -> None:
    lines = [
        "pruner=lth",
        "pruner=random",
        "pruner.epochs=0.5",
        "pruner.scope={_target_:ticketsearch.pruners.scopes.Layerwise}",
        "schedule.rate=0.3",
        "schedule=one_shot",
        "schedule=one_shot schedule.sparsity=0.8",
        "schedule=iterative",
        "schedule=iterative schedule.rounds=5",
        EXPLICIT,
        "schedule=explicit",
        *(f"rewind={name}" for name in ("step", "lr", "keep", "reinit")),
        "rewind=step rewind.at=2ep",
        "rewind=step rewind.lr=restart",
        "rewind.buffers=init",
        "prunable=conv",
        "prunable=all",
        "order_seed=0",
        "order_seed=1",
        "precision=bfloat16",
        "recipe.epochs=13",
        "recipe.lr=0.2",
        "recipe.channels_last=true",
        "dataset.subset=100",
        "dataset.validation=100",
        "dataset.pad=1",
        "dataset.flip=true",
        "model.depth=8",
        "model.width=8",
    ]
    ids = {line: id_of(line) for line in lines}
    assert len(set(ids.values())) == len(ids), ids


def test_numbers_written_differently_are_the_same() -> None:
    assert id_of("recipe.lr=1") == id_of("recipe.lr=1.0")
    assert id_of("schedule=explicit schedule.sparsities=[0.50,0.9]") == id_of(EXPLICIT)
    assert id_of("precision=bfloat16") == id_of("recipe.precision=bfloat16")


@pytest.mark.parametrize(
    ("pruner", "schedule"),
    [*((name, "geometric") for name in OWN.choices("pruner")), *(("dense", name) for name in OWN.choices("schedule"))],
)
def test_the_dense_model_is_shared(pruner: str, schedule: str) -> None:
    config = composed(f"pruner={pruner} schedule={schedule} rewind=keep prunable=all")
    dense = composed("pruner=dense")
    assert config.dense.run_name == dense.run_name
    assert config.dense.stored() == dense.stored()
    assert (config.run_name == dense.run_name) == (pruner == "dense")


@pytest.mark.parametrize("line", ["recipe.epochs=13", "order_seed=1", "dataset.subset=100", "model.depth=8"])
def test_the_dense_model_is_another_when_its_training_is(line: str) -> None:
    assert composed(line).dense.id != composed("pruner=lth").dense.id
    assert composed(line).dense.id == id_of(f"{line} pruner=dense schedule.rounds=7")


@pytest.mark.parametrize("path", YAMLS, ids=str)
def test_every_yaml_begins_with_a_command_that_chooses_it(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    lines = (conf_dir() / path).read_text().splitlines()
    first = lines[1] if lines[0].startswith("# @package") else lines[0]
    words = shlex.split(first.removeprefix("# "))
    assert words[:2] in (["ticketsearch", "run"], ["ticketsearch", "plot"])
    wanted = [f"{'hydra/' * (path.parent.name == 'launcher')}{path.parent}={path.stem}"]
    if len(path.parts) == 3:  # debug/model/tiny_NAME.yaml is what debug=tiny makes of model=NAME
        debug, _, name = path.stem.partition("_")
        wanted = [f"debug={debug}", f"{path.parts[1]}={name}"]
    assert path.parent == Path() or set(wanted) <= {word.replace("[", "").rstrip("]") for word in words}
    if words[1] == "plot":
        assert main([*words[1:], f"out={tmp_path}"]) == 2
        assert capsys.readouterr().err.startswith("error: no runs in ")  # the last thing that is checked
        return
    about_runs, _ = taken_off([word for word in words[2:] if word != "-m"], sweep=True)
    config = composed(" ".join(expanded(about_runs, OWN)[0]))
    assert str(path.parent) not in PARTS or config.names[str(path.parent)] in (path.stem, "digits")  # auto is digits
    stored = json.loads(json.dumps(config.stored()))
    assert OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(OmegaConf.create(stored)))) == stored


@pytest.mark.parametrize(
    "path", [path for path in YAMLS if str(path.parent) in (*PARTS, "metrics", "figure", "launcher")], ids=str
)
def test_every_yaml_says_in_a_line_what_it_is(path: Path) -> None:
    second = (conf_dir() / path).read_text().splitlines()[1]
    assert second.startswith("# ")
    assert second.endswith(".")


def test_recipe_auto_is_the_datasets() -> None:
    config = composed("recipe=auto")
    assert config.names["recipe"] == config.dataset.recipe == "digits"
    assert config.recipe == composed("recipe=digits").recipe
    assert config.recipe.epochs == 12
    assert composed("recipe.epochs=7").recipe.epochs == 7  # what is typed wins
    assert compose(["recipe=auto", "recipe.lr=0.3"]).recipe.lr == 0.3


def test_metrics_all_is_every_family() -> None:
    files = {path.stem for path in (conf_dir() / "metrics").glob("*.yaml")} - {"all", "fast", "as_published"}
    assert set(OWN.families()) == files
    assert set(composed("metrics=all").metrics) == set(composed("pruner=lth").metrics) == files
    assert set(compose(["metrics=[ticket,accuracy]"]).metrics) == {"ticket", "accuracy"}
    assert set(composed("metrics=accuracy").metrics) == {"accuracy"}
    assert set(composed("metrics=fast").metrics) <= files
    assert composed("metrics.calibration.bins=10").metrics["calibration"].bins == 10


def test_the_smoke_preset_is_small_and_can_be_changed() -> None:
    config, whole = composed("experiment=smoke"), composed("pruner=lth")
    assert 0 < config.schedule.last < whole.schedule.last
    assert config.recipe.epochs < whole.recipe.epochs
    assert config.dataset.subset < 1000
    config = compose(["experiment=smoke", "schedule.rounds=1", "pruner=random", "dataset.subset=50"])
    assert (config.schedule.last, config.dataset.subset, config.names["pruner"]) == (1, 50, "random")


@pytest.mark.parametrize("name", OWN.choices("experiment"))
def test_every_preset_can_be_made_tiny_and_typed_values_win(name: str) -> None:
    preset, tiny = composed(f"experiment={name}"), composed(f"experiment={name} debug=tiny")
    assert tiny.names | {"debug": None} == preset.names
    assert (tiny.dataset.subset, tiny.schedule.last, tiny.recipe.epochs) == (100, 2, 2)
    assert (tiny.options.out, tiny.options.controls) == ("outputs/debug", preset.options.controls)
    other = composed(f"experiment={name} debug=tiny pruner=omp out=elsewhere recipe.epochs=1 replicates=2")
    assert (other.names["pruner"], other.options.out, other.recipe.epochs) == ("omp", "elsewhere", 1)
    assert list(other.seeds) == [0, 1]


def test_tiny_makes_wide_networks_narrow_and_goes_back_to_an_epoch_that_there_is_and_typed_values_win() -> None:
    tiny = composed("experiment=paper_c10_wrn debug=tiny")
    assert (tiny.model.width, tiny.rewind.at, tiny.rewind.weights) == (4, "1ep", "step")
    assert composed("model=wrn28_10 debug=tiny").model.width == 4
    other = composed("experiment=paper_c10_wrn debug=tiny model.width=32 rewind.at=1it")
    assert (other.model.width, other.rewind.at) == (32, "1it")
    whole = composed("experiment=paper_c10_wrn")
    assert (whole.model.width, whole.rewind.at) == (160, "3ep")
    assert composed("experiment=paper_c10_wrn debug=tiny model=resnet20").model.width == 16


def test_seeds_are_counted_from_the_first() -> None:
    assert list(compose(["seed=3", "replicates=2"]).seeds) == [3, 4]
    assert composed("seed=3").order_seed(3) == 3
    assert compose(["seed=3", "order_seed=9"]).order_seed(3) == 9


def test_the_shown_configuration_composes_to_itself(capsys: pytest.CaptureFixture) -> None:
    overrides = ["pruner=omp", "schedule.rate=0.3", "metrics=[accuracy]", "seed=2"]
    assert main(["run", *overrides, "--cfg", "job"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == f"# {compose(overrides).run_name}"
    found = OmegaConf.create(shown)
    assert (found.schedule.rate, found.seed, found.recipe.epochs, list(found.metrics)) == (0.3, 2, 12, ["accuracy"])


def test_composing_creates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compose(["out=results", "pruner=omp"])
    assert list(tmp_path.iterdir()) == []


def test_another_class_under_the_same_name_is_another_run() -> None:
    ids = [compose(extra).id for extra in ([], ["schedule._target_=ticketsearch.schedule.OneShot"])]
    assert ids[0] != ids[1]
