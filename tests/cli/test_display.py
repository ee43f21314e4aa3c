"""What a person sees while a search runs: on terminals of every size and kind, in pipes, and when it is stopped."""

import atexit
import fcntl
import io
import itertools
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyte
import pytest
from commands import MEASURED, folder, small, typed
from rich.console import Console

import ticketsearch
from ticketsearch.cell import Cell
from ticketsearch.cli import main
from ticketsearch.estimate import Estimate
from ticketsearch.live import COLUMNS, LiveDisplay
from ticketsearch.store import Run

ON_ITS_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests that run in the background have it ignored
os.execv(sys.executable, [sys.executable, "-m", "ticketsearch", *sys.argv[1:]])
"""
PERSONAL = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
HEADER = re.compile(r"^ *(?:ticket +)?(?:seed +)?round +sparsity .*$", re.M)
FOOTER = re.compile(r"^\S* *\d+ of \d+ trained(?:, about \d\S* (?:s|min) left)?$", re.M)


class Terminal:
    """A command on a pseudo-terminal of a size, and what a person sees there."""

    def __init__(self, *typed: str, columns: int = 80, lines: int = 40, cwd: Path | None = None, **env: str) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=1000)
        self.raw, self.pictures, self.ended = b"", list[str](), False
        self._stream = pyte.ByteStream(self.screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        env = {key: value for key, value in os.environ.items() if key not in PERSONAL} | {"TERM": "xterm"} | env
        std: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        command = [sys.executable, "-c", ON_ITS_TERMINAL, *typed]
        self.process = subprocess.Popen(command, **std, env=env, cwd=cwd, start_new_session=True)
        os.close(theirs)
        atexit.register(self.process.kill)  # a test that fails leaves nobody behind

    @property
    def text(self) -> str:
        """Everything in sight, and what has scrolled out of it."""
        gone = ["".join(line[x].data for x in range(self.screen.columns)) for line in self.screen.history.top]
        return "\n".join(line.rstrip() for line in [*gone, *self.screen.display]).rstrip()

    def look(self) -> None:
        """Take what is written next, up to a pause: a whole picture."""
        wait = 60.0
        while not self.ended and select.select([self._ours], [], [], wait)[0]:
            try:
                chunk = os.read(self._ours, 65536)
            except OSError:  # what Linux says when the other end is closed
                chunk = b""
            self._stream.feed(chunk)
            self.raw, self.ended, wait = self.raw + chunk, not chunk, 0.02
        assert wait < 1, f"nothing happens:\n{self.text}"
        self.pictures.append(self.text)

    def type(self, keys: bytes, when: str) -> None:
        """What a person types as soon as something is to be seen."""
        while not re.search(when, self.text, re.M):
            assert not self.ended, f"no {when!r}:\n{self.text}"
            self.look()
        os.write(self._ours, keys)

    def code(self) -> int:
        """Look on to the end; the exit code."""
        while not self.ended:
            self.look()
        os.close(self._ours)
        return self.process.wait()


def tables(text: str) -> list[list[dict[str, str]]]:
    """Every table in a text: of each line, column -> what stands up to where the column ends."""
    found = []
    for header in HEADER.finditer(text):
        ends = itertools.pairwise([0, *(word.end() for word in re.finditer(r"\S+", header[0]))])
        places = {header[0][start:end].strip(): slice(start, end) for start, end in ends}
        lines = re.split(r"^(?:done|error|\d+ cell).*", text[header.end() + 1 :], maxsplit=1, flags=re.M)[0]
        found.append([{name: line[place].strip() for name, place in places.items()} for line in lines.splitlines()])
    return found


def stored(out: Path, pruner: str = "lth") -> dict[tuple[int, int], dict[str, str]]:
    """(round, seed) -> what a table has to say of the ticket."""
    rows = ticketsearch.load_results(out)
    rows = rows[(rows.split == "test") & (rows.weights == "last") & (rows["at"] == "end") & (rows.variant == "")]
    found: dict[tuple[int, int], dict[str, str]] = {}
    for row in rows[(rows["round"] == 0) | (rows.pruner == pruner)].sort_values(["round", "seed"]).itertuples():
        line = found.setdefault((row.round, row.seed), {"ticket": pruner if row.round else "dense"})
        line |= {"seed": str(row.seed), "round": str(row.round), "sparsity": f"{row.sparsity:.2%}"}
        line |= {"accuracy": f"{row.value:.2%}"} if row.metric == "accuracy" else {}
        line |= {row.metric.upper(): f"{row.value:.4f}"} if row.metric in ("nll", "ece") else {}
    return found


def same_numbers(table: list[dict[str, str]], expected: list[dict[str, str]]) -> None:
    """Assert that a table says of every ticket what is stored, as far as it has columns for it."""
    said = [name for name in table[0] if name in expected[0]]
    assert [[line[name] for name in said] for line in table] == [[line[name] for name in said] for line in expected]


# On terminals of several kinds: how each is started, what is asked for, and the columns that there is room for.

KINDS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "80": ({}, ["pruner=lth", "recipe.epochs=50"], "ticket round sparsity epoch loss val accuracy time NLL ECE"),
    "200": ({"columns": 200}, ["pruner=lth", "recipe.epochs=10", "replicates=2"], " ".join(COLUMNS)),
    "poor": (
        {"columns": 40, "lines": 12, "NO_COLOR": "1"} | ASCII,
        ["pruner=random", "schedule.rounds=16"],
        "ticket round sparsity accuracy",
    ),
}
Seen = Callable[[str], tuple[Terminal, Path]]
every_kind = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind == "80" else [pytest.mark.slow]) for kind in KINDS]
)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A finished search on a kind of terminal, and its outputs; each is run once."""

    @cache
    def finished(kind: str) -> tuple[Terminal, Path]:
        options, overrides, _ = KINDS[kind]
        out = tmp_path_factory.mktemp("seen") / "out"
        terminal = Terminal("run", *small(*overrides, out=out), **options)
        assert terminal.code() == 0, terminal.text
        return terminal, out

    return finished


@every_kind
def test_a_search_ends_with_a_line_for_every_ticket(seen: Seen, kind: str) -> None:
    (terminal, out), (_, overrides, columns) = seen(kind), KINDS[kind]
    pruner = overrides[0].partition("=")[2]
    (table,) = tables(terminal.text)
    assert list(table[0]) == columns.split()
    same_numbers(table, list(stored(out, pruner).values()))
    assert all(re.fullmatch(r"\d+ s", line["time"]) for line in table if "time" in line)
    ending = f"done: {folder(out, pruner)} next: ticketsearch plot out={out}"
    assert "".join(terminal.text.split()).endswith("".join(ending.split()))
    assert not re.search(r"of \d+ trained|left$|━", terminal.text, re.M)  # nothing of what stood below the table


@every_kind
def test_no_picture_has_a_second_table_or_a_broken_one(seen: Seen, kind: str) -> None:
    terminal, _ = seen(kind)
    running = [picture for picture in terminal.pictures if FOOTER.search(picture)]
    assert running
    assert not re.search(r"^ *\.\.\.$", "\n".join(terminal.pictures), re.M)  # it would have been too tall, and cut off
    begun = list(itertools.dropwhile(lambda picture: not HEADER.search(picture), running))
    assert begun  # before the first ticket there is no table yet
    for picture in begun:
        _, below = HEADER.split(picture)
        *lines, last = below.splitlines()[1:]
        assert FOOTER.match(last), picture
        assert all(re.match(r" *(?:\w+ +)?(?:\d+ +)?\d+ +\d+\.\d\d%", line) for line in lines), picture
    assert b"\x1b[?25l" in terminal.raw  # the cursor was out of the way, and is back
    assert not terminal.screen.cursor.hidden


def test_the_ticket_in_training_is_a_line_and_what_is_left_stands_below(seen: Seen) -> None:
    line = r"^(?:\w+ +)?(\d) +(\d+\.\d\d%) +(\d+)/50 +\d+\.\d{4} +\d+\.\d\d%\n"
    footer = r"━+\S* (\d) of 3 trained, about \d+ (?:s|min) left$"
    found = [re.search(line + footer, picture, re.M) for picture in seen("80")[0].pictures]
    progress = [(int(m[4]), int(m[1]), int(m[3]), m[2]) for m in found if m]
    assert progress == sorted(progress)  # more is trained each time
    assert len({epoch for _, _, epoch, _ in progress} - {50}) >= 2
    assert {(done, number, sparsity) for done, number, _, sparsity in progress} <= {
        (0, 0, "0.00%"), (1, 1, "20.00%"), (2, 2, "36.00%"),
    }  # fmt: skip


@pytest.mark.slow
def test_a_search_opens_with_what_it_is(seen: Seen) -> None:
    terminal, out = seen("80")
    said = " ".join(HEADER.split(terminal.text)[0].split())  # folded between words
    what = r"lth on digits \(100 to train on, 200 for validation, 397 to test on\) with resnet20"
    recipe = r"recipe digits \(50 epochs\), 2 rounds, 1 seed; metrics " + " ".join(MEASURED)
    what = f"{what}; {recipe}"
    assert re.fullmatch(rf"{what}; 3 tickets to train, about \d+ s; results in {folder(out, 'lth')}", said)
    assert re.search("2 rounds, 2 seeds;.* 6 tickets to train, about", " ".join(seen("200")[0].text.split()))


@pytest.mark.slow
def test_there_are_colours_unless_they_are_not_wanted(seen: Seen) -> None:
    for kind, wanted in (("80", True), ("poor", False)):
        styles = b";".join(re.findall(rb"\x1b\[([\d;]+)m", seen(kind)[0].raw)).split(b";")
        assert {b"1"} < set(styles) if wanted else set(styles) == {b"0", b"1"}  # bold is no colour


@pytest.mark.slow
def test_a_terminal_without_unicode_gets_none(seen: Seen) -> None:
    terminal, _ = seen("poor")
    assert terminal.raw.isascii()
    assert "?" not in terminal.text  # nothing had to be replaced
    assert not seen("80")[0].raw.isascii()


# The table alone, at every width.


def drawn(console: Console, label: str) -> list[list[str]]:
    """The words, line by line, of the table of two tickets with the longest numbers that are usual."""
    live, run = LiveDisplay(), Run(Path("out/digits-resnet20-lth-01234567"))
    cells = [run.cell(seed, 10) for seed in (0, 1)]
    live.open("opening", Estimate({cell.path: 50.0 for cell in cells}))
    for cell, ticket in zip(cells, ("dense", label), strict=True):
        about = {"label": ticket, "sparsity": 0.98765, "split": "test", "variant": ""}
        about |= {"at": "end", "status": "ok"}
        values = {"accuracy": 1.0, "nll": 2.34567, "ece": 0.12347}
        live.begin(cell, ticket, 0.98765)
        live.epoch(cell, {"epoch": 160, "loss": 2.34567, "val_accuracy": 0.98765}, 160)
        live.notice("waiting for another process")
        rows = [about | {"metric": m, "value": v} for m, v in values.items()]
        before = [row | {"at": "start", "value": 0.5} for row in rows]  # what was known before training is not told
        live.cell(cell, [*rows, *before], trained=True)
    live.close("done")
    screen = pyte.Screen(console.width, 30)
    pyte.Stream(screen).feed(console.file.getvalue().replace("\n", "\r\n"))
    return [re.split(r"\s{2,}", line.strip()) for line in screen.display if line.strip()]


def on_width(width: int, monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=30, soft_wrap=True)
    for module in ("console", "live"):
        monkeypatch.setattr(f"ticketsearch.{module}.console", console)
    return console


@pytest.mark.parametrize("label", ["lth", "lth reshuffle"])
def test_no_width_of_a_terminal_cuts_a_number(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = ["10", "98.77%", "160/160", "2.3457", "98.77%", "100.00%", "1 s", "2.3457", "0.1235"]
    before: list[str] = []
    for width in range(30, 120):
        opening, *notices, header, dense, ticket, done = drawn(on_width(width, monkeypatch), label)
        assert (opening, done, notices) == (["opening"], ["done"], [["waiting for another process"]] * 2)
        for line, first in ((dense, ["dense", "0"]), (ticket, [label, "1"])):
            known = dict(zip(COLUMNS, first + usual, strict=True))
            assert line == [known.get(name) for name in header], width
        assert set(before) <= set(header)  # more room shows more
        assert set(header) >= {"round", "sparsity", "accuracy"}
        before = header
    assert before == list(COLUMNS)


def test_a_loss_that_explodes_leaves_the_other_columns_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    console = on_width(80, monkeypatch)
    live, cell = LiveDisplay(), Run(Path("out/run")).cell(0, 1)
    live.open("opening", Estimate({cell.path: 1.0}))
    live.begin(cell, "lth", 0.2)
    live.epoch(cell, {"epoch": 1, "loss": 1.01197e33, "val_accuracy": 0.1}, 160)
    live.close("done")
    plain = re.sub(r"\x1b\[[\d;]*m", "", console.file.getvalue())
    assert re.search(r"20\.00%\s+1/160\s+1\.0e\+33\s+10\.00%", plain)


def test_tickets_of_another_process_count(monkeypatch: pytest.MonkeyPatch) -> None:
    console = on_width(80, monkeypatch)
    live, cells = LiveDisplay(), [Run(Path("out/run")).cell(0, n) for n in (1, 2)]
    live.open("opening", Estimate({cell.path: 10.0 for cell in cells}))
    live.cell(cells[0], [], trained=False)
    console.print(live._footer())
    assert "1 of 2 trained, about 1 s left" in console.file.getvalue()
    live.close("done")
    assert "round" not in console.file.getvalue()  # no line, no table


class Pictures(LiveDisplay):
    """What stands in the table after each epoch of a pruned ticket, and when everything is done."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[dict[str, str]]] = []

    def look(self) -> None:
        picture = Console(file=io.StringIO(), width=120)
        picture.print(self._render())
        header, *lines = (re.split(r"\s{2,}", line.strip()) for line in picture.file.getvalue().splitlines())
        self.seen.append([dict(zip(header, line, strict=False)) for line in lines])

    def epoch(self, cell: Cell, record: Any, epochs: int) -> None:
        super().epoch(cell, record, epochs)
        if cell.round:
            self.look()

    def close(self, line: str) -> None:
        self.look()
        super().close(line)


@pytest.mark.parametrize("pruner", ["supermask", "early_bird"])
def test_a_search_before_or_within_the_training_shows_its_epochs(
    pruner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a ticket that is not trained; of one whose channels come later the sparsity that is aimed at: 2,786 of
    4,644 weights are kept.
    """
    on_width(120, monkeypatch)
    live, out = Pictures(), tmp_path / "out"
    ticketsearch.run(
        small(f"pruner={pruner}", "recipe.epochs=4", "schedule.rounds=1", "schedule.rate=0.4", out=out), live
    )
    *epochs, ending = live.seen
    searched = {"supermask": [f"{n}/12" for n in range(1, 13)], "early_bird": ["1/4", "2/4", "3/4"]}[pruner]
    trained = {"supermask": [], "early_bird": ["1/4", "2/4", "3/4", "4/4"]}[pruner]
    assert [table[1]["epoch"] for table in epochs] == [*searched, *trained]
    assert {(table[1]["ticket"], table[1]["sparsity"]) for table in epochs} == {(pruner, "40.01%")}
    same_numbers(ending[:2], list(stored(out, pruner).values()))
    drawn = float(ending[1]["sparsity"].removesuffix("%"))
    assert drawn == 40.01 if pruner == "supermask" else 25 < drawn < 40  # a channel has at most 288 + 288 weights


# Wherever else the output goes.


@pytest.mark.parametrize("kind", ["dumb terminal", "pipe"])
def test_where_no_cursor_moves_there_is_a_plain_line_for_each_event(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "r\u00e9sultats (1)"
    words = ("run", *small("pruner=dense", out=out))
    if kind == "pipe":
        piped = typed(*words, env=os.environ | ASCII | {"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "xterm"})
        code, output = piped.returncode, piped.stdout + piped.stderr
    else:
        terminal = Terminal(*words, TERM="dumb")
        code, output = terminal.code(), terminal.raw.decode().replace("\r\n", "\n")
    assert code == 0, output
    assert "\x1b" not in output  # not even where colours are asked for: they would be in every log
    opening, first, second, done, ending, following = output.splitlines()
    path = str(folder(out, "dense")).replace("\u00e9", "?" if kind == "pipe" else "\u00e9")
    assert opening.startswith("dense on digits (100 to train on")
    assert opening.endswith(f"results in {path}")  # a line is a line, however narrow the terminal
    cell, number = f"{folder(out, 'dense').name} seed 0 round  0", r"\d+\.\d\d%"
    for epoch, line in enumerate((first, second), 1):
        assert re.fullmatch(rf"{cell} epoch {epoch}/2: loss \d\.\d{{4}}, train {number}, val {number}", line)
    says = "{} done: sparsity {sparsity}, accuracy {accuracy}, nll {NLL}, ece {ECE}"
    assert done == says.format(cell, **stored(out)[0, 0])
    assert ending == f"done: {path}"
    assert shlex.split(following) == ["next:", "ticketsearch", "plot", f"out={os.path.dirname(path)}"]  # can be copied


def test_a_reader_that_has_seen_enough_is_no_error(finished: Path, tmp_path: Path) -> None:
    for line in (f"results 'out={finished}'", "--help"):
        command = f"('{sys.executable}' -m ticketsearch {line}; echo $? > '{tmp_path}/code') | true"
        finished_shell = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
        assert finished_shell.stderr == ""
        assert (tmp_path / "code").read_text().strip() == "0", line


def test_a_run_whose_reader_has_left_is_finished_all_the_same(tmp_path: Path) -> None:
    """Training for hours must not end because somebody looked at the first line."""
    words = " ".join(f"'{word}'" for word in small("pruner=dense", out=tmp_path / "out"))
    command = f"('{sys.executable}' -m ticketsearch run {words}; echo $? > '{tmp_path}/code') | head -n 1"
    finished = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert finished.stderr == ""
    assert finished.stdout.startswith("dense on digits")
    assert (tmp_path / "code").read_text().strip() == "0"
    assert list((tmp_path / "out").glob("*/seed-0/round-00/manifest.json"))


def test_a_finished_search_says_that_everything_is_trained(out: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["run", *small("pruner=lth", out=out)]) == 0
    opening, complete, *_ = capsys.readouterr().out.splitlines()
    assert opening.endswith(f"; everything is trained; results in {folder(out, 'lth')}")
    assert complete == "3 cells were complete already"


# What goes wrong, and who stops it.


def test_ctrl_c_leaves_what_was_trained_in_sight_and_the_same_command_continues(tmp_path: Path) -> None:
    run = ("run", *small("pruner=lth", "recipe.epochs=40", out=tmp_path / "out"))
    terminal = Terminal(*run)
    terminal.type(b"\x03", when=r"^lth .* \d+/40 .*\n.* [12] of 3 trained")
    assert terminal.code() == 75
    assert not terminal.screen.cursor.hidden
    assert re.search(r"\nerror: interrupted\n  what was committed is kept; the same command continues", terminal.text)
    assert not FOOTER.search(terminal.text)
    again = Terminal(*run)
    assert again.code() == 0
    (before,), (after,), expected = tables(terminal.text), tables(again.text), list(stored(tmp_path / "out").values())
    same_numbers(before[:1], expected[:1])
    assert (before[1]["ticket"], before[1]["round"]) == ("lth", "1")  # the one that was interrupted
    same_numbers(after, expected[-len(after) :])


def test_an_error_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    terminal = Terminal("run", *small("pruner=lth", "recipe.lr=1e18", "recipe.epochs=20", out=tmp_path / "out"))
    assert terminal.code() == 7
    assert b"\x1b[?25l" in terminal.raw
    assert not terminal.screen.cursor.hidden
    assert not FOOTER.search(terminal.text)
    error = r"^error: the loss .* nan .*\n  the learning rate is likely too high.*\n  try: ticketsearch run recipe.lr="
    assert re.search(error, terminal.text, re.M | re.S)


def test_a_mistake_on_a_terminal_leaves_it_alone(tmp_path: Path) -> None:
    terminal = Terminal("results", f"out={tmp_path / 'out'}", columns=40)
    assert terminal.code() == 2
    assert terminal.raw.startswith(b"error: no runs in ")
    assert b"\x1b" not in terminal.raw


@pytest.mark.slow
def test_a_sweep_shows_a_table_for_each_run(tmp_path: Path) -> None:
    terminal = Terminal("run", "-m", *small("pruner=dense,lth", out=tmp_path / "out"))
    assert terminal.code() == 0, terminal.text
    opening, first, second = re.split(r"^\[[12]/2\] ", terminal.text, flags=re.M)
    assert re.match(r"2 runs in .*; 3 tickets to train, about \d+ s$", " ".join(opening.split()))
    expected = list(stored(tmp_path / "out").values())
    for part, lines in ((first, expected[:1]), (second, expected[1:])):  # the dense model is trained once
        (table,) = tables(part)
        same_numbers(table, lines)
        assert len(re.findall(r"^done: ", part, re.M)) == 1
    assert re.search(r"^1 cell was complete already$", second, re.M)


# A long search on a CPU.

LONG = ("run", *small("recipe.epochs=1000000", "device=cpu"))
MEANT = r"this takes about \d+\.\d (?:h|days) on the CPU"


def test_a_long_search_asks_and_begins_nothing_when_the_answer_is_no(tmp_path: Path) -> None:
    terminal = Terminal(*LONG, cwd=tmp_path)
    terminal.type(b"n\n", when=rf"^{MEANT}\. Begin\? \[y/N\]$")
    assert terminal.code() == 2
    assert "\nerror: not begun\n  nothing was created\n  try: ticketsearch run" in terminal.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", ["", "\n", "no\n", "what?\n"], ids=["end", "Enter", "no", "other"])
def test_a_long_search_begins_at_no_answer_but_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(LONG) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_long_search_begins_without_a_question_if_it_is_told_to(tmp_path: Path) -> None:
    terminal = Terminal(*LONG, "--yes", cwd=tmp_path)
    terminal.type(b"\x03", when=r"3 tickets\s+to train,\s+about")
    assert terminal.code() == 75
    assert "Begin?" not in terminal.text
    assert (tmp_path / "outputs").is_dir()


@pytest.mark.timeout(30)  # where it begins after all, it is not waited for
def test_a_long_search_is_refused_where_nobody_can_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))  # no terminal
    assert main(LONG) == 2
    printed = capsys.readouterr()
    what, right, attempt = printed.err.splitlines()
    assert printed.out == ""
    assert re.fullmatch(f"error: {MEANT}", what)
    assert right == "  there is no terminal to ask whether that is meant"
    assert attempt == f"  try: ticketsearch run --yes {shlex.join(LONG[1:])}"
    assert list(tmp_path.iterdir()) == []
