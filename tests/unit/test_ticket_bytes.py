"""What a search costs on disk."""

import pytest

from benchmarks.ticket_bytes import measure, models

MODELS = models()


@pytest.mark.parametrize("name", MODELS)
def test_tickets_take_a_sixth_of_dense_checkpoints_and_a_25th_at_round_16(name: str) -> None:
    found = measure(MODELS[name])
    assert len(found.tickets) == 17
    assert found.over_all >= 6
    assert found.last >= 25


@pytest.mark.parametrize("name", MODELS)
def test_a_ticket_is_a_bit_a_weight_four_bytes_a_survivor_and_the_rest(name: str) -> None:
    """What is left is names, shapes and the header of the file: a few kilobytes, however many rounds."""
    found, total = measure(MODELS[name]), {"LeNet-300-100": 265_200, "ResNet-20": 267_696}[name]
    others = {"LeNet-300-100": 1_410 * 4, "ResNet-20": 688 * 4 * 4 + 19 * 8 + 650 * 4}[name]
    overheads = {size - others - total // 8 - 4 * round(total * 0.8**n) for n, size in enumerate(found.tickets)}
    assert max(overheads) < 5_000
    assert max(overheads) - min(overheads) <= 16  # padding, and numbers in the header that are longer
