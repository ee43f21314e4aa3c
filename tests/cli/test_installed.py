"""However it is installed, and wherever it is called from: the yamls are found, and the numbers are the same."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

import hydra
import pytest
from commands import identities, small, tickets

from ticketsearch.cli import main
from ticketsearch.compose import compose

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CODE = ("ticketsearch", "conf", "pyproject.toml")
LIBRARIES = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def call(*command: object, cwd: Path, **environment: str) -> str:
    """What a command that must succeed without a word on stderr prints; nothing of this process reaches it."""
    finished = attempt(*command, cwd=cwd, **environment)
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stderr
    return finished.stdout


def attempt(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    return subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=200)


def needs(*packages: str) -> None:
    """Skip where one is not installed. Looking for `pip` as a module would leave this process without the distutils of
    setuptools, which is what setuptools does for pip, and what torch's compiler stumbles over later.
    """
    missing = [name for name in packages if not any(distributions(name=name))]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: they are in the extra `dev`")


def copied(to: Path, names: Sequence[str]) -> Path:
    """A copy of files and folders of this checkout."""
    to.mkdir(parents=True)
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, to / name)
    return to


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder with nothing in it to be called from."""
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


@pytest.fixture
def python(tmp_path: Path, empty: Path) -> Path:
    """The interpreter of a new environment that has every library, and no ticketsearch.

    The path of a line of a .pth file is taken as it is: the .pth files that lie there, such as that of an editable
    ticketsearch, are not read.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    folder = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=empty).strip()
    (Path(folder) / "libraries.pth").write_text("".join(f"{path}\n" for path in LIBRARIES))
    refused = attempt(python, "-c", "import hydra, ticketsearch", cwd=empty)
    assert "No module named 'ticketsearch'" in refused.stderr
    return python


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What is in git as far as an installation needs it, and what else may lie in such a folder."""
    to = copied(tmp_path / "checkout", [*CODE, "README.md", "LICENSE"])
    for litter in ("tests/test_it.py", "outputs/some-run/config.yaml", "outputs/some-run/conf/mine.yaml"):
        (to / litter).parent.mkdir(parents=True, exist_ok=True)
        (to / litter).write_text("")
    return to


def install(python: Path, *arguments: object) -> None:
    """Install into the environment of an interpreter with this environment's pip, without a network."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--quiet"]
    done = attempt(*pip, "--no-deps", "--no-index", "--no-build-isolation", *arguments, cwd=python.parent)
    assert done.returncode == 0, done.stderr


def conf_of(python: Path, cwd: Path, **environment: str) -> Path:
    """Where the yamls are found."""
    code = "from ticketsearch.conf import conf_dir; print(conf_dir())"
    return Path(call(python, "-c", code, cwd=cwd, **environment).strip())


def check_works(command: Sequence[object], cwd: Path, finished: Path, **environment: str) -> None:
    """Assert that a way to call it has the version, lists what there is, and makes the tickets of this checkout."""
    assert call(*command, "--version", cwd=cwd, **environment) == f"{VERSION}\n"
    listed = json.loads(call(*command, "list", "pruners", "--json", cwd=cwd, **environment))
    assert {"dense", "lth", "omp", "random"} <= {pruner["name"] for pruner in listed}
    told = call(*command, "run", *small("pruner=lth"), cwd=cwd, **environment)
    assert "done: outputs/digits-resnet20-lth-" in told
    assert tickets(cwd / "outputs") == tickets(finished)
    assert [path.name for path in cwd.iterdir()] == ["outputs"]


def test_a_checkout_that_is_not_installed_works_from_any_folder(
    python: Path, empty: Path, tmp_path: Path, finished: Path
) -> None:
    bare = copied(tmp_path / "bare", CODE)
    assert conf_of(python, empty, PYTHONPATH=str(bare)) == bare / "conf"
    check_works([python, "-m", "ticketsearch"], empty, finished, PYTHONPATH=str(bare))


@pytest.mark.slow
def test_in_an_editable_install_the_yamls_of_the_checkout_are_live(
    python: Path, empty: Path, checkout: Path, finished: Path
) -> None:
    needs("pip", "hatchling", "editables")
    install(python, "--editable", checkout)
    script = python.with_name("ticketsearch")
    assert conf_of(python, empty) == checkout / "conf"
    check_works([script], empty, finished)
    lth = (checkout / "conf/pruner/lth.yaml").read_text()
    (checkout / "conf/pruner/mine.yaml").write_text(lth)
    told = call(script, "list", "pruners", "--json", cwd=empty)
    assert "mine" in {pruner["name"] for pruner in json.loads(told)}
    assert call(script, "run", "pruner=mine", "--cfg", "job", cwd=empty).startswith("# digits-resnet20-mine-")


@pytest.fixture
def wheel(checkout: Path, tmp_path: Path) -> Path:
    needs("hatchling", "build")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "wheels", checkout]
    done = attempt(*build, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    (wheel,) = tmp_path.glob("wheels/*.whl")
    return wheel


def test_a_wheel_holds_the_code_and_every_yaml_and_nothing_else(wheel: Path, checkout: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if ".dist-info/" not in name}
    yamls = {f"ticketsearch/{path.relative_to(checkout)}" for path in checkout.glob("conf/**/*.yaml")}
    code = [path for kind in ("py", "yaml", "csv") for path in checkout.glob(f"ticketsearch/**/*.{kind}")]
    assert held == yamls | {str(path.relative_to(checkout)) for path in code}
    assert "ticketsearch/published/chen2022.csv" in held
    assert len(yamls) > 20


@pytest.mark.slow
def test_a_wheel_works_where_it_is_installed(
    python: Path, empty: Path, wheel: Path, checkout: Path, tmp_path: Path, finished: Path
) -> None:
    needs("pip")
    install(python, wheel)
    shutil.rmtree(checkout)  # nothing may look back
    conf = conf_of(python, empty)
    assert conf.is_relative_to(tmp_path / "venv")
    assert conf.parts[-3:] == ("site-packages", "ticketsearch", "conf")
    check_works([python.with_name("ticketsearch")], empty, finished)


# Folders of any name.

NAMES = ['it\'s "mine"', "r\u00e9sultats \u8a9e, a=b", "50% $HOME;&#(x)?*~", "2026_09", "a\\b\\"]
"""The fourth is a number where yaml reads it."""


@pytest.mark.parametrize("name", [*NAMES[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[2:])])
def test_outputs_may_lie_in_a_folder_of_any_name(
    name: str, finished: Path, empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(empty)
    shutil.copytree(finished, name)
    before = identities(empty)
    plot = ["plot", f"to={name}/{name}", "formats=[png]", "metrics=[accuracy]"]
    for command in (["run", *small("pruner=lth")], ["evaluate"], ["status"], ["verify"], ["results"], plot):
        assert main([*command, f"out={name}"]) == 0, capsys.readouterr().err
    assert identities(empty) == before
    assert [path.name for path in empty.iterdir()] == [name]
    assert len(list((empty / name / name).iterdir())) == 2


def test_the_next_command_that_is_named_can_be_typed(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(empty)
    assert main(["run", *small("pruner=lth", "schedule.rounds=1"), f"out={NAMES[0]}"]) == 0
    (following,) = re.findall(r"^  next: ticketsearch (.*)$", capsys.readouterr().out, re.M)
    assert shlex.split(following) == ["plot", f"out={NAMES[0]}"]


@pytest.mark.parametrize("name", NAMES)
def test_yamls_may_lie_in_a_folder_of_any_name(
    name: str, empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(empty)
    (empty / name / "pruner").mkdir(parents=True)
    shutil.copy(ROOT / "conf/pruner/omp.yaml", empty / name / "pruner/mine.yaml")
    for folder in (name, empty / name):
        assert main(["run", "--cfg", "job", f"--config-dir={folder}", "pruner=mine"]) == 0, capsys.readouterr().err
        assert capsys.readouterr().out.startswith("# digits-resnet20-mine-")


# A newer Hydra than the one that is installed here.


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Hydra 1.4 and its OmegaConf, to put before everything else."""
    needs("pip")
    folder = tmp_path_factory.mktemp("hydra")
    wanted = ["--pre", "--no-deps", "--target", folder, "hydra-core==1.4.*", "omegaconf>=2.4.1rc1,<2.5"]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--retries", "1"]
    done = attempt(*pip, *wanted, cwd=folder)
    if done.returncode:
        pytest.skip(f"pip cannot get Hydra 1.4: {done.stderr.strip().splitlines()[-1]}")
    return folder


def under(newer: Path, *arguments: str, cwd: Path) -> str:
    return call(sys.executable, "-m", "ticketsearch", *arguments, cwd=cwd, PYTHONPATH=f"{newer}:{ROOT}")


@pytest.mark.slow
def test_hydra_1_4_makes_the_same_tickets(newer: Path, empty: Path, finished: Path) -> None:
    code = "import hydra; print(hydra.__version__)"
    assert call(sys.executable, "-c", code, cwd=empty, PYTHONPATH=str(newer)).startswith("1.4.")
    assert "2 runs in out" in under(newer, "run", "-m", *small("pruner=dense,lth"), "out=out", cwd=empty)
    assert tickets(empty / "out") == tickets(finished)
    words = ["debug=tiny", "model.depth=8", "model.width=4"]
    under(newer, "run", *words, cwd=empty)
    config = compose(words)
    cells = [path.relative_to(empty / "outputs/debug") for path in empty.glob("outputs/debug/*/seed-0/round-*/")]
    assert {path.parts[0] for path in cells} == {config.run_name, config.dense.run_name}


@pytest.mark.slow
@pytest.mark.skipif(not hydra.__version__.startswith("1.3"), reason="Hydra 1.3 is not installed: nothing to compare")
@pytest.mark.parametrize(
    "line",
    [
        "run --cfg job debug=tiny pruner=control pruner.of=omp",
        "run --cfg job experiment=paper_c10_wrn debug=tiny",
        "run --cfg job -m pruner=glob([l*,o*,r*]) seed=range(2) metrics=[accuracy] rewind=step rewind.at=1ep",
        "run --cfg job -m experiment=smoke schedule=geometric,iterative prunable=choice(all,conv)",
        "list",
    ],
)
def test_hydra_1_4_composes_what_hydra_1_3_does(
    newer: Path, empty: Path, line: str, capsys: pytest.CaptureFixture
) -> None:
    """The whole configuration, the ids in it."""
    assert main(line.split()) == 0, capsys.readouterr().err
    assert under(newer, *line.split(), cwd=empty) == capsys.readouterr().out


@pytest.mark.slow
def test_hydra_1_4_takes_yamls_from_a_folder_of_any_name(newer: Path, empty: Path, tmp_path: Path) -> None:
    folder = tmp_path / "it's, a=conf (1)" / "pruner"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "conf/pruner/omp.yaml", folder / "mine.yaml")
    told = under(newer, "run", "--cfg", "job", "--config-dir", str(folder.parent), "pruner=mine", cwd=empty)
    assert told.startswith("# digits-resnet20-mine-")


@pytest.mark.slow
@pytest.mark.parametrize("word", ["prunr=lth", "+schedule.round=3", "pruner=lht", "pruner=lth,omp"])
def test_hydra_1_4_refuses_the_same_in_the_same_words(
    newer: Path, empty: Path, word: str, capsys: pytest.CaptureFixture
) -> None:
    command = [sys.executable, "-m", "ticketsearch", "run", word]
    refused = attempt(*command, cwd=empty, PYTHONPATH=f"{newer}:{ROOT}")
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 3)
    assert main(["run", word]) == 2
    assert refused.stderr == capsys.readouterr().err
    assert list(empty.iterdir()) == []
