"""The mask criteria of Zhou et al. (2019, "Deconstructing lottery tickets: zeros, signs, and the supermask")."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ticketsearch.pruners.base import Pruner
from ticketsearch.pruners.scopes import Global
from ticketsearch.pruners.scores import Magnitude
from ticketsearch.pruners.view import Context, Score, View
from ticketsearch.ticket import Mask, Scores

Formula = Callable[[Tensor, Tensor], Tensor]
Criterion = Literal[
    "large_final", "small_final", "large_init", "small_init", "large_init_large_final", "small_init_small_final",
    "magnitude_increase", "movement", "large_final_same_sign", "large_final_diff_sign", "magnitude_increase_same_sign",
    "magnitude_increase_diff_sign",
]  # fmt: skip


@dataclass(frozen=True)
class Zhou(Score):
    """A criterion of initial weights i and those f of the view. They are ranked within layers there (scope `Rates`).

    `large_final` |f|, `small_final` -|f|, `large_init` |i|, `small_init` -|i|, `magnitude_increase` |f| - |i|,
    `movement` |f - i|; `large_init_large_final` and `small_init_small_final`: the lower of the two ranks among the
    living of the layer, which is the quadrant that their thresholds cut out; `..._same_sign` and `..._diff_sign`: those
    whose sign changed, or did not, come last, and weights at zero too. The published code sets their score to zero
    instead, so that with `magnitude_increase` they come before those that became smaller. Its ties are broken by
    chance, here by index. The criteria `random`, `snip` and `grad` are the scores of those names (with `of=initial`);
    keeping all of one sign is `pruner=same_sign`.

    Attributes:
        criterion: which.
    """

    criterion: Criterion = "magnitude_increase"

    def __call__(self, at: View, ctx: Context) -> Scores:
        formula = FORMULAS[self.criterion]
        return {
            name: torch.zeros_like(at.weights[name]).masked_scatter(
                alive, _checked(formula, ctx.initial[name][alive], at.weights[name][alive])
            )
            for name, alive in at.mask.items()
        }


def _checked(formula: Formula, initial: Tensor, final: Tensor) -> Tensor:
    """The scores; ranks and signs do not show by themselves that a weight is no number."""
    return formula(initial, final).masked_fill((initial + final).isnan(), torch.nan)


def _lower_rank(one: Tensor, other: Tensor) -> Tensor:
    """The lower of an element's ranks by two values, 0 the highest; of equal ones the earlier has the higher."""
    ranks = (values.argsort(descending=True, stable=True).argsort().neg() for values in (one, other))
    return torch.minimum(*ranks).to(one.dtype)


def _agreement(initial: Tensor, final: Tensor) -> Tensor:
    """1 where the sign is the same, -1 where it changed, 0 where a weight is zero. A product would also be zero where
    both are small.
    """
    return initial.sign() * final.sign()


def _of_sign(values: Tensor, agreement: Tensor) -> Tensor:
    return values.masked_fill(agreement <= 0, -torch.inf)


FORMULAS: Mapping[str, Formula] = {
    "large_final": lambda i, f: f.abs(),
    "small_final": lambda i, f: -f.abs(),
    "large_init": lambda i, f: i.abs(),
    "small_init": lambda i, f: -i.abs(),
    "large_init_large_final": lambda i, f: _lower_rank(i.abs(), f.abs()),
    "small_init_small_final": lambda i, f: _lower_rank(-i.abs(), -f.abs()),
    "magnitude_increase": lambda i, f: f.abs() - i.abs(),
    "movement": lambda i, f: (f - i).abs(),
    "large_final_same_sign": lambda i, f: _of_sign(f.abs(), _agreement(i, f)),
    "large_final_diff_sign": lambda i, f: _of_sign(f.abs(), -_agreement(i, f)),
    "magnitude_increase_same_sign": lambda i, f: _of_sign(f.abs() - i.abs(), _agreement(i, f)),
    "magnitude_increase_diff_sign": lambda i, f: _of_sign(f.abs() - i.abs(), -_agreement(i, f)),
}


@dataclass(frozen=True)
class SameSign(Pruner):
    """All weights whose sign training did not change, or all that it did (Zhou et al. 2019: `same_sign_single`,
    `diff_sign_single`). There is no target, so it draws one round, at the sparsity that comes out.

    Attributes:
        sign: which are kept; a weight at zero has changed neither way and is pruned.
    """

    exact: ClassVar[bool] = False

    score: Score = Magnitude()  # not looked at
    sign: Literal["same", "diff"] = "same"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.score, self.scope) != (Magnitude(), Global()):
            raise ValueError("it ranks nothing: `score` and `scope` would have no say")

    def rounds(self, last: int) -> range:
        """The first round alone."""
        return range(1, min(last, 1) + 1)

    def draw(self, at: View, keep: int, ctx: Context) -> Mask:
        """The mask.

        Raises:
            ValueError: a weight is not a number.
        """
        sign = 1 if self.sign == "same" else -1
        kept = {}
        for name, alive in at.mask.items():
            initial, final = ctx.initial[name], at.weights[name]
            if bool((initial + final)[alive].isnan().any()):
                raise ValueError(f"the weights of {name} are not numbers (NaN)")
            kept[name] = alive & (_agreement(initial, final) == sign)
        return Mask(kept)
