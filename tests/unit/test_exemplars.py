"""Compression-identified exemplars: the votes by hand, and the script on real tickets."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import ticketsearch
from scripts.exemplars import exemplars, modal, told
from ticketsearch.training.predict import predict

SCRIPT = Path(__file__).parents[2] / "scripts" / "exemplars.py"


def test_the_modal_label_is_that_of_most_models_and_the_smallest_of_equals() -> None:
    predicted = torch.tensor([[1, 2, 0], [1, 0, 3], [0, 2, 3]])
    assert modal(predicted, 4).tolist() == [1, 2, 3]
    assert modal(torch.tensor([[3, 1], [2, 0]]), 4).tolist() == [2, 0]


def test_exemplars_by_hand() -> None:
    # Image 1: dense says 2 twice of three times, tickets say 0; image 3 the other way round.
    dense = torch.tensor([[0, 2, 1, 0], [0, 2, 1, 0], [0, 0, 1, 1]])
    tickets = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [1, 2, 1, 1]])
    labels = torch.tensor([0, 2, 1, 1])
    found = exemplars(dense, tickets, labels, 3)
    assert found.to_dict("list") == {"image": [1, 3], "label": [2, 1], "dense": [2, 0], "ticket": [0, 1]}
    lines = list(told(found, dense, tickets, labels))
    assert lines[0] == "2 of 4 test images (50.00%), votes of 3 seeds"
    assert lines[1] == "accuracy on exemplars: dense 50.00%, tickets 66.67%"  # 3 and 4 of 6
    assert lines[2] == "accuracy on all others: dense 100.00%, tickets 83.33%"


def test_nothing_differs_between_a_population_and_itself() -> None:
    same = torch.tensor([[0, 1], [1, 1]])
    assert exemplars(same, same, torch.tensor([0, 1]), 2).empty
    assert "of class: " in list(told(exemplars(same, same, torch.tensor([0, 1]), 2), same, same, torch.tensor([0, 1])))


@pytest.mark.slow
def test_the_script_finds_what_the_tickets_say(tmp_path: Path) -> None:
    words = ["schedule=one_shot", "schedule.sparsities=[0.97]", "replicates=2", "recipe.epochs=2"]
    words = ["schedule=explicit", *words[1:], "metrics=[accuracy]", f"out={tmp_path / 'out'}"]
    run = ticketsearch.run(words)
    command = [sys.executable, str(SCRIPT), str(run), "--round", "1", "--to", str(tmp_path / "to")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / "to" / "exemplars.csv")
    assert (tmp_path / "to" / "exemplars.png").stat().st_size > 1000
    assert f"{len(found)} of 397 test images" in done.stdout
    test = ticketsearch.data.digits.Digits().load().test
    votes = []
    for round in (0, 1):
        models = [ticketsearch.load(run, seed, round)[0] for seed in (0, 1)]
        both = torch.stack([predict(model, test).argmax(1) for model in models])
        votes.append(both.min(0).values)  # of two the smaller, where they differ
    assert found["image"].tolist() == (votes[0] != votes[1]).nonzero()[:, 0].tolist()
    refused = subprocess.run([*command[:3], "--round", "7"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "has no round 7" in refused.stderr
