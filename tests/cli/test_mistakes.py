"""What people mistype: exit code 2, three lines that help, nothing created, no traceback."""

import shlex
from pathlib import Path

import pytest
import torch
from commands import small, typed

from ticketsearch.cli import main

MISTAKES = [
    # unknown keys, in whatever form Hydra would force them through
    ("run prunr=lth", "unknown key prunr", "did you mean 'pruner'?"),
    ("run +prunr=lth", "unknown key prunr", "did you mean 'pruner'?"),
    ("run ++prunr=lth", "unknown key prunr", "did you mean 'pruner'?"),
    ("run schedule.round=3", "unknown key schedule.round", "schedule.rounds=3"),
    ("run recipe.warm_up=3", "unknown key recipe.warm_up", "did you mean 'warmup'?"),
    ("run pruner=supermask rest=freeze_or_zero", "pruner=supermask trains nothing", "rest=zero"),
    ("run replicate=3", "unknown key replicate", "did you mean 'replicates'?"),
    ("run foo.bar=3", "unknown key foo", "choices:"),
    ("run dataset.classes=10", "unknown key dataset.classes", "choices:"),
    ("run metrics.accuracy.bins=3", "unknown key metrics.accuracy.bins", ""),
    ("run pruner._partial_=true", "unknown key pruner._partial_", ""),
    ("run --cfg job prunr=lth", "unknown key prunr", "did you mean 'pruner'?"),
    ("run ~nope", "nope", ""),
    # names
    ("run pruner=lht", "no pruner named 'lht'", "pruner=lth"),
    ("run pruner=", "no pruner named", "choices: anneal channel_l1"),
    ("run model=resnet20s", "no model named 'resnet20s'", "did you mean 'resnet20'?"),
    ("run model=../../model/resnet20", "no model named", "resnet20"),
    ("run schedule=geometrical", "no schedule named", "did you mean 'geometric'?"),
    ("run rewind=steps", "no rewind named", "did you mean 'step'?"),
    ("run recipe=digit", "no recipe named", "did you mean 'digits'?"),
    ("run experiment=smok", "no experiment named", "did you mean 'smoke'?"),
    ("run metrics=[foo]", "no metrics named 'foo'", "choices: accuracy"),
    ("run metrics=[acuracy]", "no metrics named 'acuracy'", "did you mean 'accuracy'?"),
    ("run ~pruner", "pruner", ""),
    # types and ranges
    ("run schedule.rounds=abc", "schedule.rounds=abc", "integer"),
    ("run schedule.rounds=1.5", "schedule.rounds=1.5", "integer"),
    ("run schedule.rounds=-1", "schedule.rounds=-1", "greater than or equal to 0"),
    ("run schedule.rate=0", "schedule.rate=0", "greater than 0"),
    ("run schedule.rate=1", "schedule.rate=1", "less than 1"),
    ("run schedule.rate=nan", "schedule.rate=nan", ""),
    ("run recipe.lr=fast", "recipe.lr=fast", "number"),
    ("run recipe.epochs=0", "recipe.epochs=0", "greater than or equal to 1"),
    ("run recipe.momentum=1", "recipe.momentum=1", "less than 1"),
    ("run recipe.decay=linear", "recipe.decay=linear", "'cosine'"),
    ("run recipe.decay_at=[0.5,1.5]", "recipe.decay_at=", "less than 1"),
    ("run dataset.subset=0", "dataset.subset=0", "greater than or equal to 1"),
    ("run seed=-1", "seed=-1", "greater than or equal to 0"),
    ("run seed=one", "seed=one", "integer"),
    ("run replicates=0", "replicates=0", "greater than or equal to 1"),
    ("run threads=0", "threads=0", "greater than or equal to 1"),
    ("run order_seed=-1", "order_seed=-1", "greater than or equal to 0"),
    ("run precision=float16", "precision=float16", "'bfloat16'"),
    ("run engine=warp", "engine=warp", "'eager'"),
    ("run rewind.weights=stp", "rewind.weights=stp", "'step'"),
    ("run pruner.source=before", "pruner.source=before", "'previous'"),
    ("run pruner.source=twin", "names the twin's pruner", "settings of Pruner must fit together"),
    ("run pruner.score=magnitud", "no score named 'magnitud'", "did you mean 'magnitude'?"),
    ("run pruner.scope=erkk", "no scope named 'erkk'", "did you mean 'erk'?"),
    ("run pruner.scope=rates pruner.scope.conv=0.1", "pruner.scope has settings and no class: conv", "scopes.Rates"),
    ("run pruner=snip pruner.score=grasp pruner.score.temperature=2", "no class: temperature", "saliency.Grasp"),
    ("run pruner=same_sign pruner.score=lamp", "ranks nothing", "settings of SameSign must fit together"),
    ("run metrics.calibration.bins=0", "metrics.calibration.bins=0", "greater than or equal to 1"),
    # combinations that cannot be
    ("run schedule=one_shot schedule.rounds=3", "schedule.rounds=3", "less than 2"),
    ("run schedule=one_shot schedule.sparsities=[0.5]", "unknown key schedule.sparsities", "did you mean 'sparsity'?"),
    ("run schedule=explicit schedule.sparsities=[0.5,0.4]", "sparsities must rise", ""),
    ("run schedule=explicit schedule.sparsities=[]", "sparsities", ""),
    ("run schedule=explicit schedule.sparsities=[0.5] schedule.rounds=2", "rounds=2", "only 1"),
    ("run schedule=iterative schedule.rounds=0", "schedule.rounds=0", "greater than or equal to 1"),
    ("run rewind.at=3ep", "at=3ep", "nothing resumes from there"),
    ("run rewind=step rewind.at=0ep", "at=0ep", ""),
    ("run rewind=step rewind.at=-1ep", "at", "'-1ep'"),
    ("run rewind=step rewind.at=2ep", "rewind.at=2ep is not before the end", "2 epochs"),
    ("run rewind=step rewind.at=99it", "rewind.at=99it is not before the end", ""),
    ("run recipe.nesterov=true recipe.momentum=0", "nesterov needs momentum", ""),
    ("run pruner=dense pruner.epochs=2", "dense model", "recipe.epochs"),
    ("run model.depth=9", "depth must be 6n + 2", "not 9"),
    ("run dataset.validation=1400", "1400", "validation"),
    ("run dataset.subset=5000", "5000", "train"),
    # classes outside the fence, or that are none
    ("run pruner._target_=os.system", "os.system is outside the fence", "extensions"),
    ("run pruner.score._target_=os.system", "os.system is outside the fence", "extensions"),
    ("run 'pruner.score={_target_:builtins.eval}'", "builtins.eval is outside the fence", "extensions"),
    ("run pruner._target_=ticketsearch", "outside the fence", ""),
    ("run pruner._target_=ticketsearch.cli.main", "ticketsearch.cli.main is no dataclass", ""),
    ("run pruner._target_=ticketsearch.errors.UsageError", "is no dataclass", ""),
    ("run pruner._target_=ticketsearch.cli.os.system", "cannot be imported", ""),
    ("run pruner._target_=ticketsearch.pruners.base.Nope", "cannot be imported", "Nope"),
    ("run pruner._target_=ticketsearch.schedule.Geometric", "ticketsearch.schedule.Geometric", "must be a Pruner"),
    ("run extensions=[nosuch] pruner._target_=nosuch.X", "no package 'nosuch'", ""),
    # words that are no arguments, and commands that are none
    ("run pruner", "cannot read 'pruner'", "key=value"),
    ("run --rounds=3", "run takes no --rounds", "settings have no dashes"),
    ("run --cfg all", "--cfg", "try: ticketsearch run --cfg job"),
    ("run seed==3", "cannot read 'seed==3'", "key=value"),
    ("rum pruner=lth", "no command 'rum'", "did you mean 'run'?"),
    ("--foo", "no command '--foo'", "try: ticketsearch --help"),
    ("plot figure=curve", "no figure named 'curve'", "did you mean 'curves'?"),
    ("plot bands=std", "unknown key bands", "did you mean 'band'?"),
    ("plot band=wide", "band=wide", "'std'"),
    ("plot", "no runs in", "try: ticketsearch run"),
    ("plot lth", "cannot read lth", "key=value"),
    ("results", "no runs in", "try: ticketsearch run"),
    ("results --to rows.txt", "cannot save to rows.txt", ".parquet or .csv"),
    ("results --to", "--to lacks its value", "--to VALUE"),
    ("results out=a out=b", "out is given twice", ""),
    ("plot band=std band=none", "band is given twice", ""),
    ("list prunrs", "no list of 'prunrs'", "try: ticketsearch list pruners"),
    ("list pruner=lth", "cannot read 'pruner=lth'", "choices:"),
    ("list --jsn", "list takes no --jsn", "did you mean '--json'?"),
    ("completion tcsh", "no completion for 'tcsh'", "choices: bash fish zsh"),
    ("completion", "which shell?", "try: ticketsearch completion bash"),
    ("status runs", "cannot read 'runs'", "out=FOLDER"),
    ("run --yes=no", "cannot read --yes=no", "takes no value"),
    ("run -x", "run takes no -x", "try: ticketsearch run --help"),
    ("run --version", "run takes no --version", "try: ticketsearch run --help"),
    ("run -- seed=1", "run takes no --", "try: ticketsearch run --help"),
    ("runn pruner=lth", "no command 'runn'", "try: ticketsearch run pruner=lth"),
    ("run out=", "out=", "at least 1 character"),
    ("run _target_=x", "unknown key _target_", "choices: controls"),
    ("plot dpi=0", "dpi=0", "greater than or equal to 20"),
    ("plot formats=[]", "formats=[]", ""),
    ("plot split=tst", "split=tst", "'test'"),
    ("plot dataset.root=x", "unknown key dataset.root", ""),
    ("run --yes --yes", "--yes is given twice", ""),
    ("run --cfg", "--cfg lacks its value", ""),
    ("run --config-dir nowhere", "no folder nowhere", "pruner/mine.yaml"),
    ("run figure=curves", "unknown key figure", "try: ticketsearch plot figure=curves"),
    ("run pruner/lth=3", "unknown key pruner/lth", ""),
    ("run pruner@model=lth", "unknown key pruner@model", ""),
    ("run -m hydra/launcher=device", "no launcher 'device'", "did you mean 'devices'?"),
    ("run -m hydra/launcher=devices hydra.launcher.slot=2", "unknown key hydra.launcher.slot", "did you mean 'slots'?"),
    ("run -m hydra/launcher=devices hydra.launcher.slots=0", "hydra.launcher.slots=0", "greater than or equal to 1"),
    ("run -m hydra/launcher=devices hydra.launcher.devices=gpu", "hydra.launcher: no device 'gpu'", "cuda"),
    ("run -m hydra/launcher=devices hydra.launcher.devices=cpu,cuda:0", "cpu stands alone", ""),
    ("run -m hydra/launcher=devices device=cpu", "device is typed", "hydra.launcher.devices=cpu"),
    ("run -m hydra.launcher.slots=2", "unknown key hydra.launcher.slots", "hydra/launcher=devices"),
    ("run -m hydra.launcher.slot=2", "unknown key hydra.launcher.slot", "did you mean 'hydra.launcher.slots'?"),
    ("run -m hydra/launcher=devices hydra.launcher.devices=cpu hydra.launcher.per_device=2", "per_device=2", "slots"),
    ("run -m hydra/launcher=devices hydra.launcher.devices=cpu threads=3", "threads=3 is typed", "threads=3"),
    ("run hydra/launcher=devices", "there is nothing to launch", "-m makes one"),
    ("run -m hydra/launcher=slrm", "no launcher 'slrm'", "did you mean 'slurm'?"),
    ("run -m hydra/launcher=slurm hydra.launcher.partion=x", "unknown key hydra.launcher.partion", "'partition'?"),
    ("run -m hydra/launcher=slurm hydra.launcher.mem_gb=lots", "hydra.launcher.mem_gb=lots", "number"),
    ("run -m hydra/launcher=slurm hydra.launcher.gpus_per_node=2", "gpus_per_node=2", "less than or equal to 1"),
    ("run -m hydra/launcher=submitit_slurm device=cpu", "device is typed", "hydra.launcher.gpus_per_node=0"),
    ("run -m hydra.launcher.partition=x", "unknown key hydra.launcher.partition", "hydra/launcher=slurm"),
    ("run launcher=slurm", "unknown key launcher", "hydra/launcher=slurm"),
    ("run -m --dense seed=0,1", "--dense is of one run", ""),
    ("run -m hydra/launcher=devices seed=0,x", "seed=x", "integer"),
    ("run hydra/sweeper=optuna", "unknown key hydra/sweeper", ""),
    ("run debug=tny", "no debug named 'tny'", "did you mean 'tiny'?"),
    ("run extensions=[../evil]", "no package '../evil'", ""),
    ("run -m seed=interval(0,1)", "seed=interval(0,1) names no values", "range(3)"),
    ("run -m pruner=lth,nope", "no pruner named 'nope'", "choices:"),
    ("results --too rows.csv", "results takes no --too", "did you mean '--to'?"),
]
LESS_OBVIOUS = [
    # what Hydra, yaml or Python would let through
    ("run pruner=lth,random", "pruner=lth,random", ""),
    ("run metrics=accuracy,calibration", "metrics=accuracy,calibration", "[accuracy,calibration]"),
    ("run pruner=[lth]", "pruner", "choices: anneal channel_l1"),
    ("run schedule=[geometric,explicit]", "schedule", "choices: explicit"),
    ("run metrics=[all,accuracy]", "metrics", ""),
    ("run recipe.lr=inf", "recipe.lr=inf", ""),
    ("run pruner.epochs=inf", "pruner.epochs=inf", ""),
    ("run pruner.score._target_=ticketsearch.schedule.OneShot", "pruner.score", ""),
    ("run pruner.scope._target_=ticketsearch.config.Options", "pruner.scope", ""),
    ("run device=meta", "device", "cpu"),
    ("run seed=99999999999999999999999", "seed=99999999999999999999999", ""),
    ("run threads=99999999999", "threads=99999999999", ""),
    ("run hydra.run.dir=elsewhere", "hydra", ""),
    ("run _target_=ticketsearch.config.Options", "unknown key _target_", ""),
    ("run seed=1 seed=2", "seed", "twice"),
    ("run pruner=lth pruner=random", "pruner", "twice"),
    ("run seed.x=3", "seed", "integer"),
    ("run =3", "cannot read '=3'", "key=value"),
]


def mistaken(line: str) -> list[str]:
    """The arguments of a line; a run that should start after all is a small one."""
    arguments = shlex.split(line)
    if arguments[0] != "run" or "--cfg" in arguments:
        return arguments
    groups = {text.partition("=")[0].lstrip("+~") for text in arguments}
    kept = [text for text in small(*arguments[1:]) if text in arguments or text.split(".")[0] not in groups]
    return ["run", *kept]


def check_refusal(code: int, out: str, err: str, folder: Path, *words: str) -> None:
    """Assert that this is how a usage error is told, and that it left nothing behind."""
    lines = err.splitlines()
    assert (code, out) == (2, ""), err
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("  ")
    assert lines[1].strip()
    assert [line[:20] for line in lines[2:]] == ["  try: ticketsearch "]
    assert all(word in err for word in words), err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("line", "wrong", "right"), MISTAKES + LESS_OBVIOUS)
def test_a_mistake_is_told_in_three_lines(
    line: str, wrong: str, right: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    code = main(mistaken(line))
    printed = capsys.readouterr()
    check_refusal(code, printed.out, printed.err, tmp_path, right)
    assert wrong in printed.err.splitlines()[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:99"])
def test_a_gpu_that_is_not_there_is_refused(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    code = main(["run", *small(f"device={device}")])
    printed = capsys.readouterr()
    check_refusal(code, printed.out, printed.err, tmp_path, f"no device {device!r}", "device=cpu")


MENDED = [
    ("prunr=omp model=resnet20", "pruner=omp model=resnet20"),
    ("seed=1 +prunr=omp", "seed=1 pruner=omp"),
    ("scheduel.rate=0.1 pruner=omp", "schedule.rate=0.1 pruner=omp"),
    ("recipe.decya=cosine", "recipe.decay=cosine"),
    ("pruner=opm seed=3", "pruner=omp seed=3"),
    ("-m pruner=lth,opm seed=0,1", "-m pruner=lth,omp seed=0,1"),
    ("'metrics=[accuracy,calibraton]'", "'metrics=[accuracy,calibration]'"),
    ("--yes schedule.rate=2 pruner=omp", "--yes schedule.rate=0.2 pruner=omp"),
    ("'out=a b' prunr=omp", "'out=a b' pruner=omp"),
    ("-m seed=0,-1,2", "-m seed=0,2"),
    ("-m pruner=lth,lht", "-m pruner=lth"),
    ("seed=1 pruner=control pruner.of=dense out=x", "seed=1 pruner=control pruner.of=lth out=x"),
    ("--pruner=omp seed=1", "pruner=omp seed=1"),
    ("pruner._target_=mine.X debug=tiny", "pruner._target_=mine.X debug=tiny 'extensions=[YOUR_PACKAGE]'"),
    ("'seed=0, 1'", "-m 'seed=0, 1'"),
    ("pruner=lth,omp model=resnet20", "-m pruner=lth,omp model=resnet20"),
    ("pruner=omp metrics=accuracy,ticket", "pruner=omp 'metrics=[accuracy,ticket]'"),
    ("recipe.epochs=0 pruner=omp", "recipe.epochs=12 pruner=omp"),  # the recipe's, not 160 as for CIFAR
    ("experiment=smoke schedule.rounds=x", "experiment=smoke schedule.rounds=3"),
    ("pruner.epochs=-1", "pruner.epochs=1.0"),
    ("--yess pruner=omp", "--yes pruner=omp"),
    ("metrics.calibration.bns=20", "metrics.calibration.bins=20"),
]


@pytest.mark.parametrize(("line", "mended"), MENDED)
def test_the_last_line_is_what_was_typed_with_the_mistake_mended(
    line: str, mended: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *shlex.split(line)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"  try: ticketsearch run {mended}"
    assert main(["run", *shlex.split(mended), "--cfg", "job"]) == (2 if "YOUR_PACKAGE" in mended else 0)


def test_other_commands_mend_too(out: Path, capsys: pytest.CaptureFixture) -> None:
    for line, mended in (
        ("plot band=wide dataset=digits", "plot band=std dataset=digits"),
        ("plot 'pruner=[dense,lht]' dpi=50", "plot 'pruner=[dense,lth]' dpi=50"),
        ("evaluate prunr=lth metrics=fast", "evaluate pruner=lth metrics=fast"),
        ("evaluate 'metrics=[acuracy,ticket]' pruner=lth", "evaluate 'metrics=[accuracy,ticket]' pruner=lth"),
    ):
        assert main([*shlex.split(line), f"out={out}"]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == f"  try: ticketsearch {mended} out={out}"


def test_a_suggested_command_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Whoever types the last line of an error is not told off again."""
    monkeypatch.chdir(tmp_path)
    refused = {}
    for line in ("schedule=explicit schedule.sparsities=0.5", "rewind=step rewind.at=3", "recipe.epochs=0"):
        assert main(["run", *line.split()]) == 2
        attempt = shlex.split(capsys.readouterr().err.splitlines()[-1])
        assert attempt[:3] == ["try:", "ticketsearch", "run"]
        if main([*attempt[2:], "--cfg", "job"]):
            refused[line] = capsys.readouterr().err
        capsys.readouterr()
    assert refused == {}


def test_a_file_in_place_of_the_output_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "out").write_text("mine")
    assert main(["run", *small(out=tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: cannot write to ")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_process_tells_a_mistake_the_same_way(tmp_path: Path) -> None:
    finished = typed("run", "pruner._target_=os.system", cwd=tmp_path)
    check_refusal(finished.returncode, finished.stdout, finished.stderr, tmp_path, "outside the fence")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    finished = typed("rum", "--debug", cwd=tmp_path)
    assert finished.returncode == 2  # as without it
    assert "Traceback" in finished.stderr
    assert "no command 'rum'" in finished.stderr
