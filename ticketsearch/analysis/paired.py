"""Differences between tickets and what they are compared with, seed by seed, and Holm's correction for many of them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

CONFIDENCE = 0.95
ROUNDING = 1e-12
"""A spread over seeds below this fraction of what is subtracted is the arithmetic's, not the seeds'."""


def paired(pairs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The mean difference `value - base` over seeds, with its interval.

    A seed's ticket and dense model share initialisation and data order, so the spread of their differences is what
    counts, not that of each. The test is Student's paired t-test of no difference, of both sides.

    Args:
        pairs: a line a seed: the columns `by`, `value` and `base`; a line in which either is NaN is no pair.
        by: columns that make a group.

    Returns:
        A line for each group with a pair, sorted by `by`: `value` and `base` (means over the same seeds),
        `difference`, `se` (standard error of that mean), `low` and `high` (95 %), `p`, `seeds`. Of one seed `se`,
        `low`, `high` and `p` are NaN. Where the difference is the same for every seed, `se` is 0 and the others are
        NaN: no finite number of seeds makes an interval without width believable.
    """
    pairs = pairs.dropna(subset=["value", "base"])
    pairs = pairs.assign(difference=pairs["value"] - pairs["base"])
    groups = pairs.groupby(list(by), observed=True)
    found = groups[["value", "base", "difference"]].mean()
    found["se"] = groups["difference"].std()
    found["seeds"] = groups["difference"].count()
    scale = found[["value", "base"]].abs().max(axis=1)
    found.loc[found["se"] <= ROUNDING * scale, "se"] = 0.0
    found["se"] /= np.sqrt(found["seeds"])
    spread, freedom = found["se"].where(found["se"] > 0), found["seeds"] - 1
    half = spread * student.ppf(0.5 + CONFIDENCE / 2, freedom.where(freedom > 0))
    found["low"], found["high"] = found["difference"] - half, found["difference"] + half
    found["p"] = 2 * student.sf((found["difference"] / spread).abs(), freedom.where(freedom > 0))
    return found.reset_index()[[*by, "value", "base", "difference", "se", "low", "high", "p", "seeds"]]


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """P values adjusted for their number (Holm 1979): those at most a stay so with all errors together at most a.

    The smallest of m is multiplied by m, the next by m - 1 and so on; none becomes smaller than the one before it.

    Args:
        p: p values in [0, 1]; the last axis is a family. NaN is no test, and is not counted.

    Returns:
        The adjusted ones, of the same shape, at most 1; NaN where `p` is.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, axis=-1, kind="stable")  # NaN last
    ascending = np.take_along_axis(p, order, axis=-1)
    left = np.isfinite(p).sum(axis=-1, keepdims=True) - np.arange(p.shape[-1])
    adjusted = np.minimum(np.fmax.accumulate(ascending * np.maximum(left, 1), axis=-1), 1.0)
    adjusted[np.isnan(ascending)] = np.nan
    result = np.empty_like(p)
    np.put_along_axis(result, order, adjusted, axis=-1)
    return result
