"""How many weights each round keeps, against exact rational arithmetic."""

from fractions import Fraction

import pytest

from ticketsearch.schedule import Explicit, Geometric, Iterative, OneShot

RESNET20 = 267_408  # prunable weights of ResNet-20 on one channel
TOTALS = [RESNET20, 267_696, 11_164_352, 23_454_912, 1224, 17, 1]


@pytest.mark.parametrize("total", TOTALS)
def test_geometric_keeps_the_rounded_exact_product(total: int) -> None:
    schedule = Geometric(rounds=30)
    for n in range(31):
        assert schedule.keep(n, total) == round(total * Fraction(4, 5) ** n), n


def test_the_counts_of_resnet20_by_hand() -> None:
    counts = [Geometric().keep(n, RESNET20) for n in (0, 1, 2, 3, 4, 21)]
    # 267408 x (1, 0.8, 0.64, 0.512, 0.4096, 0.8^21 = 0.009223372036854776)
    assert counts == [267_408, 213_926, 171_141, 136_913, 109_530, 2466]


def test_rounding_does_not_compound() -> None:
    total, compounded = 1224, 1224
    for _ in range(3):
        compounded = round(0.8 * compounded)  # 979, 783, 626
    assert compounded == 626
    assert Geometric().keep(3, total) == 627  # 1224 x 0.512 = 626.688


def test_other_rates_are_the_fraction_removed() -> None:
    assert [Geometric(rate=0.5).keep(n, 1000) for n in range(4)] == [1000, 500, 250, 125]
    assert Geometric(rate=0.9).keep(2, 10_000) == 100


def test_a_longer_geometric_search_has_the_same_first_rounds() -> None:
    short, long = Geometric(rounds=3), Geometric(rounds=40)
    assert (short.last, long.last) == (3, 40)
    assert [short.keep(n, RESNET20) for n in range(4)] == [long.keep(n, RESNET20) for n in range(4)]


@pytest.mark.parametrize("total", TOTALS)
def test_iterative_reaches_its_target_in_equal_ratios(total: int) -> None:
    # p = 1/16 in 4 rounds: each keeps half.
    schedule = Iterative(sparsity=0.9375, rounds=4)
    assert [schedule.keep(n, total) for n in range(5)] == [round(Fraction(total, 2**n)) for n in range(5)]
    assert schedule.last == 4


def test_iterative_by_hand_where_the_ratio_is_irrational() -> None:
    # 10^-0.25 = 0.5623413, 10^-0.5 = 0.3162278, 10^-0.75 = 0.1778279
    counts = [Iterative(sparsity=0.9, rounds=4).keep(n, 10**6) for n in range(5)]
    assert counts == [1_000_000, 562_341, 316_228, 177_828, 100_000]


def test_the_number_of_rounds_moves_every_count_of_an_iterative_schedule() -> None:
    assert Iterative(sparsity=0.99, rounds=2).keep(1, 1000) == 100
    assert Iterative(sparsity=0.99, rounds=1).keep(1, 1000) == 10


def test_explicit_keeps_what_is_listed() -> None:
    schedule = Explicit((0.5, 0.9, 0.98))
    assert [schedule.keep(n, 1000) for n in range(4)] == [1000, 500, 100, 20]
    assert schedule.last == 3
    assert Explicit((0.5, 0.9, 0.98), rounds=2).last == 2
    assert Explicit((0.5, 0.9), rounds=0).last == 0


def test_the_default_explicit_list_is_the_geometric_one() -> None:
    explicit = Explicit()
    assert [explicit.keep(n, RESNET20) for n in range(7)] == [Geometric().keep(n, RESNET20) for n in range(7)]


@pytest.mark.parametrize("sparsities", [(), (0.5, 0.5), (0.9, 0.5), (0.2, 0.5, 0.4)])
def test_explicit_sparsities_must_rise(sparsities: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must rise"):
        Explicit(sparsities)


def test_explicit_cannot_draw_more_rounds_than_are_listed() -> None:
    with pytest.raises(ValueError, match="rounds=3, but only 2"):
        Explicit((0.5, 0.9), rounds=3)


def test_one_shot_has_its_target_in_round_one() -> None:
    schedule = OneShot(sparsity=0.95)
    assert schedule.last == 1
    assert [schedule.keep(n, RESNET20) for n in (0, 1)] == [RESNET20, 13_370]  # 13370.4
    assert OneShot(rounds=0).last == 0


@pytest.mark.parametrize("schedule", [Geometric(), Explicit(), Iterative(), OneShot()])
def test_round_zero_is_dense(schedule: Geometric) -> None:
    assert schedule.keep(0, 12_345) == 12_345
