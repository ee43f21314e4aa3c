"""`verify`: every fault is told, nothing is changed, and a copy that may only be read will do."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from commands import flip, folder, run_here

from ticketsearch.cli import main
from ticketsearch.errors import CorruptStore
from ticketsearch.results import load_results
from ticketsearch.seal import sealed_json, unsealed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of one finished LTH run, with collected rows; tests that damage it take a copy."""
    out = tmp_path_factory.mktemp("finished") / "out"
    run_here(out, "pruner=lth")
    load_results(out)
    return out


def everything(out: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Inode, times and content of every file and folder."""
    found = ((path, path.stat()) for path in [out, *out.rglob("*")])
    return {
        str(path): (about.st_ino, about.st_mtime_ns, about.st_ctime_ns, path.read_bytes() if path.is_file() else b"")
        for path, about in found
    }


def test_what_is_whole_is_told_with_its_size(out: Path, capsys: pytest.CaptureFixture) -> None:
    before = everything(out)
    assert main(["verify", f"out={out}"]) == 0
    printed = capsys.readouterr()
    lines = [re.fullmatch(r"(\S+)  (\d) cells, (\d+\.\d) MB: ok", line).groups() for line in printed.out.splitlines()]
    assert [(name, cells) for name, cells, _ in lines] == [
        (folder(out, "dense").name, "1"),
        (folder(out, "lth").name, "2"),
    ]
    for name, _, size in lines:
        assert float(size) == round(sum(p.stat().st_size for p in (out / name).rglob("*") if p.is_file()) / 1e6, 1)
    assert printed.err == ""
    assert everything(out) == before


# Every file that is stored, and what is said of it.
STORED = [
    "*-lth-*/config.yaml",
    "*-lth-*/invocations.jsonl",
    "*-lth-*/seed-0/round-00.json",
    "*-lth-*/seed-0/round-01/manifest.json",
    "*-lth-*/seed-0/round-01/ticket.safetensors",
    "*-lth-*/seed-0/round-01/training.parquet",
    "*-lth-*/seed-0/round-01/metrics/index.json",
    "*-lth-*/seed-0/round-01/metrics/accuracy-*",
    "*-dense-*/seed-0/round-00/metrics/logits-val-*",
    "*-dense-*/seed-0/rewind-0/state.safetensors",
    "*-dense-*/seed-0/rewind-1/manifest.json",
    "results.parquet",
]


@pytest.mark.parametrize("pattern", STORED)
def test_one_flipped_bit_anywhere_is_told_with_the_file(out: Path, pattern: str, capsys: pytest.CaptureFixture) -> None:
    (path,) = out.glob(pattern)
    flip(path)
    before = everything(out)
    assert main(["verify", f"out={out}"]) == 6
    printed = capsys.readouterr()
    told = [line for line in printed.out.splitlines() if not line.endswith(": ok")]
    assert [line for line in told if str(path) in line], printed.out
    assert all(str(path) in line or line.endswith(": 1 WRONG") for line in told)
    assert printed.err.splitlines()[0] == "error: 1 stored file is not as written"
    assert len(printed.err.splitlines()) == 2
    assert everything(out) == before


def test_every_fault_is_told(out: Path, capsys: pytest.CaptureFixture) -> None:
    paths = [next(out.glob(pattern)) for pattern in STORED]
    for path in paths:
        flip(path)
    assert main(["verify", f"out={out}"]) == 6
    printed = capsys.readouterr()
    untold = [path for path in paths if str(path) not in printed.out and path.parent.name != "metrics"]
    # Of a cell that cannot be trusted one fault is enough: the whole of it is made again.
    assert {path.parent.name for path in untold} <= {"round-01"}
    assert str(paths[STORED.index("*-lth-*/seed-0/round-01/manifest.json")]) in printed.out


def test_a_broken_link_between_cells_is_told(out: Path, capsys: pytest.CaptureFixture) -> None:
    dense, lth = folder(out, "dense"), folder(out, "lth")
    shutil.rmtree(dense / "seed-0/round-00")
    assert main(["verify", f"out={out}"]) == 6
    told = capsys.readouterr().out
    assert f"{lth / 'seed-0/round-00.json'} points to {dense / 'seed-0/round-00'}, which is not there" in told
    assert f"{lth / 'seed-0/round-01'} was drawn from {dense.name} seed 0 round-00, which is not there" in told


def test_a_lost_pointer_and_lost_notes_are_told(out: Path, capsys: pytest.CaptureFixture) -> None:
    run = folder(out, "lth")
    (run / "seed-0/round-00.json").unlink()
    assert main(["verify", f"out={out}"]) == 6
    assert f"{run / 'seed-0/round-00.json'} is missing" in capsys.readouterr().out
    (run / "invocations.jsonl").unlink()
    (run / "config.yaml").unlink()
    assert main(["verify", f"out={out}"]) == 6
    told = capsys.readouterr().out
    assert f"{run / 'config.yaml'} cannot be read: No such file" in told
    assert f"{run / 'invocations.jsonl'} is missing" in told


def test_what_was_set_aside_is_counted_and_not_looked_at(out: Path, capsys: pytest.CaptureFixture) -> None:
    flip(folder(out, "lth") / "seed-0/round-02/ticket.safetensors")
    run_here(out, "pruner=lth")
    assert main(["verify", f"out={out}"]) == 0
    dense, lth = capsys.readouterr().out.splitlines()
    assert "set aside" not in dense
    assert lth.endswith("MB, 1 set aside before: ok")


def test_the_mask_is_counted(out: Path, capsys: pytest.CaptureFixture) -> None:
    """Checksums that agree do not make a manifest true."""
    path = folder(out, "lth") / "seed-0/round-01/manifest.json"
    about = unsealed(path)
    path.write_bytes(sealed_json(about | {"kept": about["kept"] + 1}))
    assert main(["verify", f"out={out}"]) == 6
    assert (
        f"keeps {about['kept']} of 4644 weights, but its manifest says {about['kept'] + 1}" in capsys.readouterr().out
    )


def test_a_copy_on_a_disk_that_is_mounted_read_only_can_be_looked_at(out: Path, tmp_path: Path) -> None:
    for path in out.glob("results.*"):
        path.unlink()
    mount = f"mount --bind '{out}' '{out}' && mount -o remount,bind,ro '{out}'"
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*alone, mount], capture_output=True).returncode:
        alone, mount = ["sh", "-c"], "true"  # nobody may mount here: what can be seen is whether anything changes
    commands = [["verify"], ["status"], ["plot", f"to={tmp_path / 'figures'}"], ["results"]]
    code = f"from ticketsearch.cli import main; print([main([*c, 'out={out}']) for c in {commands}])"
    before = everything(out)
    done = subprocess.run(
        [*alone, f'{mount} && exec "$0" -c "$1"', sys.executable, code], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 0]"
    assert len(list((tmp_path / "figures").iterdir())) == 3
    # Collected rows are the one thing that is written, where it can be.
    derived = {str(out), str(out / "results.json"), str(out / "results.parquet")} if mount == "true" else set()
    after = everything(out)
    assert {p: after[p] for p in after.keys() - derived} == {p: before[p] for p in before.keys() - derived}


# As typed.


@pytest.mark.parametrize("command", ["verify", "status"])
def test_the_examples_of_the_help_are_accepted(command: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([command, "--help"]) == 0
    examples = re.findall(
        r"^  .*?ticketsearch ([^#|\n]+?)(?:  .*| \|.*)?$", capsys.readouterr().out.partition("examples:")[2], re.M
    )  # up to a comment or another program
    assert len(examples) >= 2
    for example in examples:
        words = [word for word in shlex.split(example) if not word.startswith("out=")]
        assert main([*words, f"out={tmp_path}"]) == 2
        assert capsys.readouterr().err.startswith(f"error: no runs in {tmp_path}\n")


@pytest.mark.parametrize("command", ["verify", "status"])
@pytest.mark.parametrize("word", ["out", "out=", "--strict", "run=lth", "outputs", ""])
def test_other_arguments_are_refused(command: str, word: str, capsys: pytest.CaptureFixture) -> None:
    assert main([command, word]) == 2
    what, _, attempt = capsys.readouterr().err.splitlines()
    if (command, word) == ("status", "--strict"):  # it has switches, and says which
        assert (what, attempt) == ("error: status takes no --strict", "  try: ticketsearch status --help")
        return
    assert what == f"error: cannot read {word!r}"
    assert attempt == f"  try: ticketsearch {command} out=outputs"


# Damaged rounds in what is drawn and collected.


@pytest.mark.parametrize("command", ["results", "plot"])
def test_a_damaged_round_is_left_out_with_a_warning(
    out: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture
) -> None:
    for path in out.glob("results.*"):
        path.unlink()
    path = folder(out, "lth") / "seed-0/round-01/training.parquet"
    flip(path)
    more = [f"to={tmp_path / 'figures'}"] if command == "plot" else ["--to", f"{tmp_path / 'rows.csv'}"]
    assert main([command, f"out={out}", *more]) == 0
    told = capsys.readouterr().err
    assert told.startswith(f"warning: left out a round: {path} is not what its checksum says\n  ")
    assert told.count("warning: ") == 1
    assert not list(out.glob("results.*"))
    (rows,) = tmp_path.glob("**/*.csv")
    found = pd.read_csv(rows)
    assert set(found.sparsity.round(2)) == {0.0, 0.36}

    assert main([command, f"out={out}", *more, "--strict"]) == 6
    assert capsys.readouterr().err.startswith(f"error: {path} is not what its checksum says\n")
    assert not list(out.glob("results.*"))
    with pytest.raises(CorruptStore):
        load_results(out)
