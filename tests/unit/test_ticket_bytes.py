"""What a search costs on disk."""

from math import log2

import pytest

from benchmarks.ticket_bytes import measure, models

MODELS = models()


@pytest.mark.parametrize("name", MODELS)
def test_tickets_take_a_sixth_of_dense_checkpoints_and_a_35th_at_round_16(name: str) -> None:
    found = measure(MODELS[name])
    assert len(found.tickets) == 17
    assert found.over_all >= 6
    assert found.last >= 35


@pytest.mark.parametrize("name", MODELS)
def test_a_ticket_is_its_mask_four_bytes_a_survivor_and_the_rest(name: str) -> None:
    """A mask takes a bit a weight at most, and near its entropy where that is less. What is left is names, shapes and
    the header of the file: a few kilobytes, however many rounds.
    """
    found, total = measure(MODELS[name]), {"LeNet-300-100": 265_200, "ResNet-20": 267_696}[name]
    others = {"LeNet-300-100": 1_410 * 4, "ResNet-20": 688 * 4 * 4 + 19 * 8 + 650 * 4}[name]
    masks = [size - others - 4 * round(total * 0.8**n) for n, size in enumerate(found.tickets)]
    names = masks[0]  # a mask of ones takes next to nothing
    assert names < 5_000
    for n, size in enumerate(masks[1:], 1):
        alive = 0.8**n
        entropy = -(alive * log2(alive) + (1 - alive) * log2(1 - alive)) * total / 8
        assert 0.9 * entropy <= size - names <= min(1.17 * entropy, total / 8) + 16  # padding, and longer numbers
