"""Controls of finished searches: each is its twin's ticket with one thing changed."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import Child, Recorder, folder, identities, killed_at, manifests, rows, run_here, small
from torch import Tensor

import ticketsearch
from ticketsearch.cell import Cell
from ticketsearch.cli import main
from ticketsearch.compose import compose
from ticketsearch.config import Config, Options
from ticketsearch.console import Display
from ticketsearch.experiment import Experiment
from ticketsearch.files import decode_state
from ticketsearch.store import Run
from ticketsearch.ticket import Mask, Ticket
from ticketsearch.training.state import Assignment, Start

ACTIONS = ("reinit", "shuffle", "reshuffle", "invert", "reorder")
FEW = ("recipe=digits", "recipe.batch_size=40", "metrics=[accuracy]")
"""Batches of 40, 40 and 20, so that the order of the data matters; and no more measured than the figure needs."""
PER_EPOCH = 3
HALF = ("schedule=explicit", "schedule.sparsities=[0.5]", "schedule.rounds=1")
each_action = pytest.mark.parametrize("action", ACTIONS)
each_round = pytest.mark.parametrize("round_", [1, 2])


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of one LTH run; nothing is added to them."""
    out = tmp_path_factory.mktemp("searched") / "out"
    run_here(out, *FEW, "pruner=lth")
    return out


@pytest.fixture(scope="module")
def asked(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Recorder]:
    """The same with its controls: the outputs, the folder that was given back, and what was trained for them."""
    out = shutil.copytree(searched, tmp_path_factory.mktemp("controls") / "out")
    return out, *run_here(out, *FEW, "pruner=lth", "controls=true")


@pytest.fixture(scope="module")
def out(asked: tuple[Path, Path, Recorder]) -> Path:
    """The outputs of LTH and its controls; nothing is trained there any more."""
    return asked[0]


@pytest.fixture(scope="module")
def more(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs to which tests add runs, so that all of them share one dense model."""
    return shutil.copytree(searched, tmp_path_factory.mktemp("more") / "out")


@pytest.fixture(scope="module")
def dense(searched: Path) -> Experiment:
    """What trains a ticket again."""
    return Experiment.open(compose(small(*FEW, "pruner=dense", out=searched)), Display())


def control(out: Path, action: str) -> Path:
    """The only control of its kind."""
    (found,) = (run for run in out.glob("*-control-*") if Run(run).config()["pruner"]["action"] == action)
    return found


def mask(run: Path, round_: int) -> Mask:
    return ticketsearch.load(run, 0, round_)[1].mask


def weights(run: Path, round_: int) -> dict[str, Tensor]:
    """The trained weights."""
    return dict(ticketsearch.load(run, 0, round_)[1].start)


def begun(run: Path, round_: int) -> dict[str, Tensor]:
    """The start weights of a ticket that brought its own."""
    given = Cell(run, 0, round_).start()
    assert given is not None
    return dict(given.start)


def point(out: Path, step: int) -> dict[str, Tensor]:
    """The dense model after some updates."""
    return decode_state((folder(out, "dense") / f"seed-0/rewind-{step}/state.safetensors").read_bytes())[0].weights


def fresh() -> dict[str, Tensor]:
    """The weights of `rewind=reinit`."""
    config = compose(small())
    return dict(config.model.initial(config.dataset, 0, "reinit").state_dict())


def values(run: Path, column: str, **chosen: object) -> set:
    """What a column of a run's own rows holds."""
    found = rows(run.parent)
    found = found[(found.run == run.name) & (found["round"] > 0)]
    for name, value in chosen.items():
        found = found[found[name] == value]
    return set(found[column])


def bit_by_bit(tensor: Tensor) -> np.ndarray:
    return tensor.contiguous().numpy().reshape(-1).view(np.uint8 if tensor.dtype == torch.bool else np.uint32)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(bit_by_bit(one[k]), bit_by_bit(other[k])) for k in one)


def trained(dense: Experiment, ticket: Ticket, order_seed: int = 0, start: Start = Start()) -> dict[str, Tensor]:  # noqa: B008
    """What the recipe makes of a mask and start weights, with nothing of a pruner in between."""
    job = Assignment(ticket, 0, order_seed, start=start)
    ((_, found),) = dense.train([job])
    return found.weights


# What is run.


def test_the_controls_of_a_finished_search_are_all_that_is_trained(
    asked: tuple[Path, Path, Recorder], searched: Path
) -> None:
    out, path, recorder = asked
    assert path == folder(out, "lth")
    assert {Run(run).config()["pruner"]["action"] for run in out.glob("*-control-*")} == set(ACTIONS)
    runs = {control(out, action).name for action in ACTIONS}
    assert sorted(recorder.epochs) == sorted((run, 0, n, epoch) for run in runs for n in (1, 2) for epoch in (1, 2))
    assert recorder.notices == []
    before = {name: (out / name).read_bytes() for name in identities(searched)}
    assert before == {name: (searched / name).read_bytes() for name in before}
    assert len(list(out.glob("*-dense-*"))) == 1


def test_a_control_typed_alone_finds_what_is_there(out: Path) -> None:
    before = identities(out)
    path, recorder = run_here(out, *FEW, "pruner=control", "pruner.action=reshuffle")
    assert path == control(out, "reshuffle")
    assert recorder.epochs == []
    assert identities(out) == before


@each_action
def test_a_stored_control_is_read_back_as_what_it_is(out: Path, action: str) -> None:
    run = control(out, action)
    restored = Config.restored(run, Options(out=str(out)), {})
    assert (restored.run_name, restored.label) == (run.name, f"lth {action}")
    assert restored.twin is not None
    assert restored.twin.run_name == folder(out, "lth").name
    for n in (1, 2):
        Cell(run, 0, n).check()
        source = Cell(run, 0, n).manifest["source"]
        assert (source["run"], source["round"]) == (folder(out, "lth").name, n)
        assert source["sha256"] == Cell(folder(out, "lth"), 0, n).sha


def test_rows_say_which_control_they_are_of(out: Path) -> None:
    for action in ACTIONS:
        run = control(out, action)
        assert values(run, "label") == {f"lth {action}"}
        assert values(run, "pruner") == {"control"}
        assert values(run, "kept") == values(folder(out, "lth"), "kept") == {3715, 2972}
        assert values(run, "status") == {"ok"}


# What each changes, and what not.


@each_round
@each_action
def test_every_control_is_what_training_makes_of_its_start(
    out: Path, dense: Experiment, action: str, round_: int
) -> None:
    """Rebuilt from what the control is said to be, the start trains to the very same bits."""
    run, initial = control(out, action), point(out, 0)
    given = {"reinit": fresh, "reshuffle": lambda: begun(run, round_)}
    start = given.get(action, lambda: initial)()
    of = run if action in ("shuffle", "invert") else folder(out, "lth")
    (order_seed,) = values(run, "order_seed") if action == "reorder" else (0,)
    assert same(trained(dense, Ticket(mask(of, round_), start), int(order_seed)), weights(run, round_))


@each_round
def test_reinit_has_the_mask_and_other_weights_everywhere(out: Path, round_: int) -> None:
    run, initial, new = control(out, "reinit"), point(out, 0), fresh()
    kept = mask(run, round_)
    assert kept == mask(folder(out, "lth"), round_)
    start = begun(run, round_)
    assert same(start, Ticket(kept, new).masked(new))
    for name, alive in kept.items():
        assert (start[name][alive] != initial[name][alive]).all()


@each_round
def test_shuffle_keeps_the_density_of_every_layer(out: Path, round_: int) -> None:
    mine, theirs = mask(control(out, "shuffle"), round_), mask(folder(out, "lth"), round_)
    assert mine.layer_kept == theirs.layer_kept
    differing = [name for name, alive in mine.items() if not torch.equal(alive, theirs[name])]
    assert differing == [name for name, alive in theirs.items() if 0 < int(alive.sum()) < alive.numel()]
    assert len(differing) >= 5
    # A random mask shares with the twin's, of each layer, kept x kept / weights on average.
    shared = sum(int((alive & theirs[name]).sum()) for name, alive in mine.items())
    mean = sum(kept * kept / mine[name].numel() for name, kept in theirs.layer_kept.items())
    variance = 0.0
    for name, kept in theirs.layer_kept.items():  # of the hypergeometric distribution
        size = mine[name].numel()
        variance += kept * kept / size * ((size - kept) / size) ** 2 * size / (size - 1)
    assert abs(shared - mean) < 4 * variance**0.5


def test_shuffled_masks_are_nested_like_those_they_come_from(out: Path) -> None:
    for run in (folder(out, "lth"), control(out, "shuffle")):
        assert mask(run, 2).issubset(mask(run, 1))
        assert mask(run, 2).kept < mask(run, 1).kept


def test_another_repeat_is_another_permutation(out: Path, more: Path) -> None:
    again, _ = run_here(more, *FEW, "pruner=control", "pruner.action=shuffle", "pruner.repeat=2", "schedule.rounds=1")
    first = control(out, "shuffle")
    assert again.name != first.name
    assert mask(again, 1).layer_kept == mask(first, 1).layer_kept
    assert mask(again, 1) not in (mask(first, 1), mask(folder(out, "lth"), 1))
    assert values(again, "label") == {"lth shuffle 2"}


@each_round
def test_reshuffle_moves_the_start_values_of_each_layer(out: Path, round_: int) -> None:
    run, initial = control(out, "reshuffle"), point(out, 0)
    kept = mask(run, round_)
    assert kept == mask(folder(out, "lth"), round_)
    start = begun(run, round_)
    assert same({k: v for k, v in start.items() if k not in kept}, {k: v for k, v in initial.items() if k not in kept})
    for name, alive in kept.items():
        mine, theirs = bit_by_bit(start[name][alive]), bit_by_bit(initial[name][alive])
        assert np.array_equal(np.sort(mine), np.sort(theirs))
        assert not bit_by_bit(start[name][~alive]).any()
        assert (mine != theirs).sum() > len(mine) / 2  # a permutation leaves one in its place on average


@each_round
def test_invert_keeps_the_smallest_of_the_twins_round_before(out: Path, round_: int) -> None:
    before = weights(folder(out, "lth"), round_ - 1)
    layers = mask(folder(out, "lth"), round_)
    seen = mask(folder(out, "lth"), round_ - 1)
    assert seen.kept == (seen.total if round_ == 1 else 3715)
    size = np.concatenate([np.abs(before[name].numpy()).ravel() for name in layers])
    living = np.flatnonzero(np.concatenate([seen[name].numpy().ravel() for name in layers]))
    expected = np.zeros(size.size, bool)
    expected[living[np.argsort(size[living], kind="stable")[: layers.kept]]] = True
    found = mask(control(out, "invert"), round_)
    assert np.array_equal(np.concatenate([found[name].numpy().ravel() for name in layers]), expected)
    assert found.issubset(seen)
    assert not found.issubset(layers)


def test_invert_parts_the_weights_with_its_twin_when_half_are_kept(more: Path) -> None:
    """From the dense model, or from scores of its own: what one keeps the other prunes, to the last weight."""
    for pruner in ("omp", "random"):
        run, recorder = run_here(more, *FEW, *HALF, "pruner=control", f"pruner.of={pruner}", "pruner.action=invert")
        assert recorder.cells == {(pruner, 0, 1), ("control", 0, 1)}  # a twin that is not there is trained first
        mine, theirs = mask(run, 1), mask(folder(more, pruner), 1)
        assert mine.kept == theirs.kept == mine.total // 2
        assert all(torch.equal(alive, ~theirs[name]) for name, alive in mine.items())


@each_round
def test_reorder_is_the_same_ticket_in_another_order(out: Path, round_: int) -> None:
    run, lth = control(out, "reorder"), folder(out, "lth")
    assert mask(run, round_) == mask(lth, round_)
    assert same(begun(run, round_), Ticket(mask(lth, round_), {}).masked(point(out, 0)))
    (order_seed,) = values(run, "order_seed")
    assert 0 <= order_seed < 2**31  # one can type it
    assert pd.isna([*values(lth, "order_seed")]).all()  # the same as the seed
    mine, theirs = weights(run, round_), weights(lth, round_)
    assert not any(torch.equal(mine[name], theirs[name]) for name in mask(run, round_))


# How long, and from where.


def test_controls_resume_where_their_twin_does(more: Path, dense: Experiment) -> None:
    late = (*FEW, "rewind=step", "rewind.at=1ep", "recipe.epochs=2", "schedule.rounds=1")
    _, recorder = run_here(more, *late, "pruner=lth", "controls=true")
    names = {name for name, *_ in recorder.epochs}
    assert len(names) == 1 + len(ACTIONS)
    for run in (more / name for name in names):
        assert values(run, "value", metric="steps") == {PER_EPOCH}  # of the six updates of a whole training
        assert [epoch for name, *_, epoch in recorder.epochs if name == run.name] == [2]
        action = Run(run).config()["pruner"].get("action")  # None: the twin
        if action in (None, "shuffle", "invert"):
            ticket = Ticket(mask(run, 1), point(more, PER_EPOCH))
            start = Start(lr_step=PER_EPOCH, data_step=PER_EPOCH)
            assert same(trained(dense, ticket, start=start), weights(run, 1)), action


def overrides(text: str) -> str:
    return f'pruner.of_overrides=["{text}"]'


def test_trained_weights_are_those_that_the_twin_began_with(more: Path, dense: Experiment) -> None:
    """With rewind=lr a ticket starts from what its pruner looked at; a control starts from the same."""
    lr = (*FEW, "rewind=lr")
    reorder, _ = run_here(more, *lr, "pruner=control", "pruner.action=reorder")
    invert, _ = run_here(more, *lr, "pruner=control", "pruner.action=invert")
    twin = more / str(Run(invert).config()["twin"])
    assert Run(reorder).config()["twin"] == twin.name
    for n in (1, 2):
        before = weights(twin, n - 1)
        assert same(begun(reorder, n), Ticket(mask(twin, n), before).masked(before))
        assert same(trained(dense, Ticket(mask(invert, n), before)), weights(invert, n))
        start = Cell(invert, 0, n).manifest["start"]
        assert (start["action"], start["of"]) == ("rewind:source", twin.name)


# What is refused, and what is lost.


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["pruner.of=control"], "a control of a control"),
        (["pruner.of=dense"], "the dense model has no tickets"),
        (["pruner.of=lht"], "no pruner named 'lht'"),
        (["pruner.action=invert", "pruner.repeat=2"], "one way to invert"),
        (["pruner.action=shuffle", "rewind=keep"], "zero where a shuffled mask"),
        ([overrides("rewind=keep")], "another recipe, schedule, rewind or rest"),
        ([overrides("recipe.epochs=9")], "another recipe, schedule, rewind or rest"),
        ([overrides("controls=true")], "controls of its own"),
        (["pruner.epochs=2"], "score, scope and epochs are the twin's"),
        ([overrides("prunable=all")], "its twin has another"),
        ([overrides("seed=3")], "other seeds"),
        ([overrides("out=elsewhere")], "another folder"),
        (["pruner=lth", "pruner.source=twin"], "`of` names the twin's pruner"),
        (["pruner=lth", "pruner.of=omp"], "`of` names the twin's pruner"),
    ],
)
def test_a_twin_that_does_not_fit_is_refused_before_anything_is_created(
    words: list[str], wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    pruner = [] if words[0].startswith("pruner=") else ["pruner=control"]
    assert main(["run", *small("recipe=digits", *pruner, *words)]) == 2
    printed = capsys.readouterr()
    assert wrong in printed.err.splitlines()[0]
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_control_that_is_killed_again_and_again_arrives(out: Path, searched: Path, tmp_path: Path) -> None:
    """Each process gets as far as thirteen writes: through an epoch and into the commit, then through that."""
    one = (*FEW, "pruner=control", "pruner.action=reshuffle", "schedule.rounds=1")
    killed, outputs, code = shutil.copytree(searched, tmp_path / "out"), [], -9
    while code:
        assert len(outputs) < 10
        child = Child(tmp_path / "log", "run", *small(*one, out=killed), prepare=partial(killed_at, 14))
        code = child.code()
        assert code in (0, -9), child.output()
        outputs.append(child.output())
    assert any("epoch 2/2" in text and "epoch 1/2" not in text for text in outputs)  # one went on after an epoch
    again, whole = control(killed, "reshuffle"), control(out, "reshuffle")
    assert again.name == whole.name
    for name in ("ticket.safetensors", "start.safetensors"):
        assert (again / "seed-0/round-01" / name).read_bytes() == (whole / "seed-0/round-01" / name).read_bytes()
    cell = f"{whole.name}/seed-0/round-01"
    assert manifests(killed)[cell] == manifests(out)[cell]
    mine, theirs = (rows(folder).query(f"run == '{whole.name}' and round == 1") for folder in (killed, out))
    assert len(mine) > 10
    pd.testing.assert_frame_equal(mine.reset_index(drop=True), theirs.reset_index(drop=True), check_exact=True)


# The figure.


def test_the_figure_names_every_control(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["plot", f"out={out}", f"to={tmp_path}", "metrics=[accuracy]", "formats=[svg]"]) == 0
    paths = {path.suffix: path for path in map(Path, capsys.readouterr().out.splitlines())}
    points = pd.read_csv(paths[".csv"])
    names = {"lth", *(f"lth {action}" for action in ACTIONS)}
    assert names <= set(points.label) <= names | {"dense"}
    assert set(points[points.label == "lth shuffle"]["round"]) == {0, 1, 2}
    assert set(points[points.label == "lth shuffle"].run) == {control(out, "shuffle").name}
    drawn = paths[".svg"].read_text()
    assert all(f"<!-- {name} -->" in drawn for name in names)  # the words of the legend
