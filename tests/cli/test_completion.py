"""What the Tab key offers: nothing that is refused afterwards, and the same in bash, zsh and fish."""

import json
import os
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ticketsearch.build import build
from ticketsearch.cli import main
from ticketsearch.commands import COMMANDS, command
from ticketsearch.completion import complete
from ticketsearch.compose import compose
from ticketsearch.conf import OWN
from ticketsearch.settings import defaults

HEAVY = ("torch", "numpy", "pandas", "matplotlib", "hydra", "omegaconf", "pydantic", "sklearn", "rich", "pyarrow")
PROGRAM = Path(sys.executable).with_name("ticketsearch")


def offered(line: str) -> list[str]:
    """What is offered for the last word of a line; a blank at its end: for a new word."""
    return complete(line.split(" "))


def items(line: str) -> set[str]:
    """The same, whether a comma or a bracket follows or not."""
    return {reply.rstrip(",]") for reply in offered(line)}


def keys(line: str) -> list[str]:
    """Every key that can be reached by Tab from the end of a line, also behind dots."""
    found = [keys(f"{line.rpartition(' ')[0]} {r}") if r.endswith(".") else [r.rstrip("=")] for r in offered(line)]
    return [key for inner in found for key in inner]


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of yamls of the user's, in the user's home."""
    for path, text in (
        ("pruner/mine.yaml", "_target_: ticketsearch.pruners.control.Control\n"),
        ("metrics/margin.yaml", "margin: {_target_: ticketsearch.metrics.calibration.Calibration}\n"),
    ):
        (tmp_path / "my_conf" / path).parent.mkdir(parents=True)
        (tmp_path / "my_conf" / path).write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "my_conf"


# What is offered.


@pytest.mark.parametrize(
    ("line", "replies"),
    [
        ("", [*COMMANDS, "--help", "--version"]), ("r", ["run", "results"]), ("pl", ["plan", "plot"]),
        ("plo", ["plot"]),
        ("run pruner=om", ["pruner=omp"]), ("run 'pruner=om", ["pruner=omp"]), ('run "pruner=om', ["pruner=omp"]),
        *((f"run {group}=", [f"{group}={name}" for name in OWN.choices(group)]) for group in defaults()),
        ("run pr", ["pruner=", "prunable=", "precision=", "pruner."]), ("run schedule.ra", ["schedule.rate="]),
        ("run schedule.", ["schedule.rounds=", "schedule.rate="]), ("run schedule.rate=1 schedule.ra", []),
        ("run schedule=explicit schedule.", ["schedule.sparsities=", "schedule.rounds="]),
        ("run 'schedule=explicit' schedule.s", ["schedule.sparsities="]), ("run schedule.s", []),
        ("run pruner=control pruner.a", ["pruner.action="]), ("run pruner.a", []),
        ("run pruner=control pruner.action=in", ["pruner.action=invert"]),
        ("run metrics.cal", ["metrics.calibration."]), ("run metrics.calibration.b", ["metrics.calibration.bins="]),
        ("run metrics.ood.sc", ["metrics.ood.scores="]), ("run metrics.ood.scores=", []),  # a list stands in brackets
        ("run prunable=", ["prunable=default", "prunable=conv", "prunable=all"]), ("nonsense pruner=", []),
        ("run controls=t", ["controls=true"]), ("run nothing", []), ("run nothing=", []), ("run pruner=[l", []),
        ("run -m pruner=lth,om", ["pruner=lth,omp"]), ("run -m pruner=omp,om", []),
        ("run --cfg ", ["job"]), ("run --cf", ["--cfg"]), ("run --cfg job --cf", []), ("run --yes --y", []),
        ("run --config-dir ", []), ("run out=", []), ("run dataset.root=", []), ("results --to ", []),  # files follow
        ("plot band=r", ["band=range"]), ("plot figure=", [f"figure={name}" for name in OWN.choices("figure")]),
        ("plot formats=[png,", ["formats=[png,pdf", "formats=[png,svg"]), ("plot metrics=[cal", []),
        ("evaluate pruner=[lth,om", ["pruner=[lth,omp"]), ("evaluate dataset.", ["dataset.root=", "dataset.sample="]),
        ("status ", ["out="]), ("results --s", ["--strict"]), ("completion ", ["bash", "zsh", "fish"]),
        ("list pru", ["pruners"]), ("list rest re", ["rewinds", "recipes"]), ("nonsense ", []),
    ],
)  # fmt: skip
def test_a_word_goes_on(line: str, replies: list[str]) -> None:
    assert offered(line) == replies or ("[" in line and items(line) == set(replies))


def test_every_command_and_every_flag_is_offered() -> None:
    for name in COMMANDS:
        assert name in offered(name[:3])
        assert {*command(name).switches, *command(name).valued, "--help"} <= set(offered(f"{name} -"))


@pytest.mark.parametrize("start", ["metrics=[", "'metrics=[", '"metrics=['])
@pytest.mark.parametrize("name", ["run", "evaluate"])
def test_a_list_of_metrics_goes_on_with_families_that_are_not_in_it(name: str, start: str) -> None:
    others = set(OWN.families()) - {"accuracy"}
    assert items(f"{name} {start}") == {f"metrics=[{family}" for family in OWN.families()}
    assert items(f"{name} {start}accuracy,") == {f"metrics=[accuracy,{family}" for family in others}
    assert items(f"{name} {start}accuracy,calibration,t") == {"metrics=[accuracy,calibration,ticket"}
    assert items(f"{name} {start}accuracy,acc") == set()


def test_a_key_that_is_typed_is_not_offered_again() -> None:
    usual, less = offered("run "), offered("run 'pruner=lth' ++seed=1 schedule.rate=0.5 schedule.rounds=3 ")
    assert {reply for reply in usual if reply not in less} == {"pruner=", "seed=", "schedule."}


@pytest.mark.parametrize(
    "form", ["--config-dir {}", "--config-dir={}", "--config-dir '{}'", '--config-dir "{}"', "--config-dir ~/my_conf"]
)
def test_yamls_of_the_users_are_offered(form: str, users: Path) -> None:
    flag = form.format(users)
    assert offered(f"run {flag} pruner=mi") == ["pruner=mine"]
    assert "pruner.action=" in offered(f"run {flag} pruner=mine pruner.")
    assert "metrics=[margin" in items(f"evaluate {flag} metrics=[")
    assert offered(f"plot {flag} pruner=mi") == ["pruner=mine"]


def test_a_wrong_folder_is_as_if_there_were_none(tmp_path: Path) -> None:
    (tmp_path / "nogroup").mkdir()
    (tmp_path / "nogroup" / "mine.yaml").touch()
    for folder in ("nowhere", str(tmp_path), str(tmp_path / "nogroup"), ""):
        assert offered(f"run --config-dir {folder} pruner=") == offered("run pruner=")


@pytest.mark.parametrize("text", [b"margin: [", b"margin: 3\n", b"margin:\n", b"margin: \xff\n", b"- a\n"])
@pytest.mark.parametrize("path", ["metrics/margin.yaml", "pruner/mine.yaml"])
def test_a_broken_yaml_of_the_users_hides_nothing_else(path: str, text: bytes, users: Path) -> None:
    (users / path).write_bytes(text)
    assert offered(f"run --config-dir {users} pruner=mine schedule.ra") == ["schedule.rate="]


def test_runs_are_offered_by_the_names_of_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in ("b-run", "a-run", "elsewhere/c-run", "no-run"):
        (tmp_path / "outputs" / run).mkdir(parents=True)
        (tmp_path / "outputs" / run / ("notes" if run == "no-run" else "config.yaml")).touch()
    monkeypatch.chdir(tmp_path)
    assert offered("evaluate run=") == ["run=a-run", "run=b-run"]
    assert items("evaluate run=[a-run,") == {"run=[a-run,b-run"}
    assert offered("evaluate out=outputs/elsewhere run=") == ["run=c-run"]
    assert offered("evaluate out=nowhere run=") == []


def test_the_answer_is_always_the_same_and_imports_nothing_heavy(users: Path) -> None:
    lines = ["", "run ", f"run --config-dir {users} pruner.", "plot ", "evaluate metrics=[", "list ", "run --cfg "]
    ask = f"[cli.main(['completion', '--', *line.split(' ')]) for line in {lines!r}]"
    code = f"import sys; from ticketsearch import cli; {ask}; print(sys.modules.keys() & {set(HEAVY)!r})"
    said = []
    for seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": seed}
        said.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env))
    assert [(one.returncode, one.stderr) for one in said] == [(0, "")] * 2
    assert said[0].stdout == said[1].stdout
    assert re.fullmatch(r"run\n.*\njob\nset\(\)\n", said[0].stdout, re.S)


@pytest.mark.parametrize("words", [("run", "--debug"), ("run", "--help"), ("--version",), ("run", "-m", "--multi")])
def test_a_flag_on_the_line_is_no_flag_for_the_answer(words: tuple[str, ...], capsys: pytest.CaptureFixture) -> None:
    assert main(["completion", "--", *words]) == 0
    assert capsys.readouterr().out.splitlines() == complete(words)


# What is offered is taken.


def refusal(words: Sequence[str], capsys: pytest.CaptureFixture) -> str:
    """What a command has against these words; that there is nothing to plot or to evaluate is not against them."""
    more = ["--cfg", "job"] if words[0] == "run" else ["out=nowhere"] * ("out=nowhere" not in words)
    main([*words, *more])
    return re.sub(r"error: (no runs in nowhere|no run fits)\n.*", "", capsys.readouterr().err, flags=re.S)


@pytest.mark.parametrize(
    "line",
    ["run", "run pruner=control", "run schedule=explicit rewind=step", "run metrics=[accuracy]", "plot", "evaluate",
     "evaluate metrics=[accuracy]"],
)  # fmt: skip
def test_every_key_that_is_offered_is_taken(line: str, capsys: pytest.CaptureFixture) -> None:
    name, *typed = line.split()
    shown = compose(typed).shown() | (vars(build(OWN.load("figure", "curves"), "")) if name == "plot" else {})
    tree, fixed = OmegaConf.create(shown), {"out": "nowhere", "run": "x", "to": "x", "figure": "curves"} | defaults()
    fixed |= {"hydra/launcher": "basic"}
    plain = OmegaConf.to_container(OmegaConf.create({k: OmegaConf.select(tree, k) for k in keys(f"{line} ")} | fixed))
    chosen = [key for key in keys(f"{line} ") if key not in ("experiment", "debug")]  # presets, which set other keys
    assert len(chosen) > 8
    assert refusal([name, *typed, *(f"{k}={json.dumps(plain[k])}".replace('"', "") for k in chosen)], capsys) == ""


@pytest.mark.parametrize("name", ["run", "plot", "evaluate"])
def test_every_value_that_is_offered_is_taken(name: str, capsys: pytest.CaptureFixture) -> None:
    """As many at once as can be told apart. A refusal for another setting's sake names the part, and no value."""
    lines: dict[tuple[str, int], list[str]] = {}
    for key in keys(f"{name} "):
        if key not in ("model", "pruner", "rewind"):  # composed in tests/contract/test_settings.py
            part = key.split(".")[0]
            apart = ("pruner", "rewind", "metrics", "experiment", "debug", "figure")  # and a choice from its settings
            alone = part + "." * (part == "metrics" != key) if part in apart else ""
            for n, reply in enumerate(offered(f"{name} {key}=")):
                lines.setdefault((alone, n), []).append(reply)
    for words in lines.values():
        sweep = ["-m"] * any(re.match("hydra/launcher=(?!basic)", word) for word in words)
        assert re.sub(r"error: (pruner|rewind): .*", "", refusal([name, *sweep, *words], capsys), flags=re.S) == "", (
            words
        )


# In a shell.

SHELLS = {
    "bash": ("bash --norc --noprofile -i", 'eval "$(ticketsearch completion bash)"; PS1="go> "'),
    "zsh": ("zsh -f -i", 'autoload -Uz compinit; compinit -u -D; eval "$(ticketsearch completion zsh)"; PS1="go> "'),
    "fish": ("fish --no-config -i", "ticketsearch completion fish | source; function fish_prompt; echo -n 'go> '; end"),
}
NOTING = '#!/bin/sh\n[ "$1" = completion ] && exec "{}" "$@"\nprintf "%s\\n" "$@" > typed; echo noted\n'


class Shell:
    """A shell on a terminal. `ticketsearch` completes there, and notes the words with which it is called otherwise."""

    def __init__(self, name: str, home: Path) -> None:
        self.home, self.seen = home, ""
        for folder in ("bin", "outer_space", "my_conf/pruner"):
            (home / folder).mkdir(parents=True)
        (home / "my_conf" / "pruner" / "mine.yaml").touch()
        (home / "bin" / "ticketsearch").write_text(NOTING.format(PROGRAM))
        (home / "bin" / "ticketsearch").chmod(0o755)
        self.terminal, self.theirs = os.openpty()
        termios.tcsetwinsize(self.theirs, (40, 120))
        env = {"PATH": f"{home}/bin:{os.environ['PATH']}", "HOME": str(home), "TERM": "xterm", "LANG": "C.UTF-8"}
        env |= {"XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home), "INPUTRC": "/dev/null"}
        command, begin = SHELLS[name]
        # The first terminal that the leader of a session opens becomes its own.
        start = ["sh", "-c", 'exec "$@" <> "$0" >&0 2>&1', os.ttyname(self.theirs), *command.split()]
        self.process = subprocess.Popen(start, env=env, cwd=home, start_new_session=True)
        self.press(f"{begin}; ticketsearch\r", r"noted.*go> ")

    def press(self, keys: str, answer: str) -> None:
        """Press keys, and wait until what is seen from then on matches."""
        self.seen, end = "", time.monotonic() + 10
        os.write(self.terminal, keys.encode())
        while not re.search(answer, self.seen, re.S):
            if time.monotonic() > end:
                os.write(self.terminal, b"\x03")  # the next test begins with an empty line
                raise AssertionError(f"{keys!r} showed {self.seen!r}")
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.seen += os.read(self.terminal, 65536).decode(errors="replace")

    def enter(self, line: str) -> list[str]:
        """The words with which the program is called when this is typed, and Enter."""
        self.press(f"ticketsearch {line}\r", r"noted.*go> ")
        return (self.home / "typed").read_text().split("\n")[:-1]


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    started = Shell(request.param, tmp_path_factory.mktemp(request.param) / "home")
    yield started
    started.process.kill()
    started.process.wait()
    os.close(started.terminal)
    os.close(started.theirs)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("plo\tX", "plot X"), ("run pruner=om\tX", "run pruner=omp X"), ("run 'pruner=om\tX", "run pruner=omp X"),
        ("run pruner=control pruner.act\tinv\tX", "run pruner=control pruner.action=invert X"),
        ("run see\t7 schedule.ro\t3", "run seed=7 schedule.rounds=3"), ("run nothing\tX", "run nothingX"),
        ("run -m pruner=lth,om\tX", "run -m pruner=lth,omp X"), ("run --cfg \tX", "run --cfg job X"),
        ("run --mul\tX", "run --multirun X"), ("run --debug\tX", "run --debug X"),
        ("run 'metrics=[acc\t,cal\t]'", "run metrics=[accuracy,calibration]"),
        ("run out=oute\tX", "run out=outer_space/X"), ("results --to oute\tX", "results --to outer_space/X"),
        ("run --config-dir my\tX", "run --config-dir my_conf/X"), ("run pruner=nothing\tX", "run pruner=nothingX"),
        ("run --config-dir=my\tX", "run --config-dir=my_conf/X"),
        ("run --config-dir my_conf pruner=mi\tX", "run --config-dir my_conf pruner=mine X"),
    ],
)  # fmt: skip
def test_tab_goes_on_with_the_word(typed: str, words: str, shell: Shell) -> None:
    """X shows whether a blank follows: after a whole word, but not after `=`, `.` and within a list."""
    assert shell.enter(typed) == words.split()


def test_a_quoted_folder_is_completed_or_left_as_it_is(shell: Shell) -> None:
    assert shell.enter("run 'out=oute\tX'") in (["run", "out=outer_space/X"], ["run", "out=outeX"])


def test_tab_shows_what_there_is_to_choose_from(shell: Shell) -> None:
    shell.press("ticketsearch run schedule.r\t\t\t", r"rounds=.*rate=|rate=.*rounds=")
    assert shell.enter("\x15ticketsearch run") == ["run"]


def test_the_completed_line_is_run(shell: Shell) -> None:
    """By the path of the program as it is installed."""
    shell.press(f"{PROGRAM} li\tpru\t\r", r"Iterative magnitude pruning.*go> ")
