"""Mean corruption error (Hendrycks & Dietterich 2019) from the raw errors of each corruption and severity."""

import pandas as pd

from ticketsearch.errors import UsageError

DENSE = "dense"
INDICES = ("mce", "relative_mce")
CELL = ["run", "seed", "round"]
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""Corruptions that Hendrycks & Dietterich keep for validation."""
ROUNDING = 1e-9


def corruption_indices(rows: pd.DataFrame, baseline: str = DENSE) -> pd.DataFrame:
    """Rows of `mce` and `relative_mce`, in percent of a baseline: 100 is as good as that, less is better.

    Of each corruption the errors are summed over severities and divided by the baseline's; mCE is the mean over
    corruptions, the four extra ones left out. Relative mCE does so with what the errors exceed the clean error on the
    same images by. Hendrycks & Dietterich divide by AlexNet's errors; in the figures of Chen et al. (2022) the dense
    model is at 100 in every panel, so theirs were divided by that.

    Args:
        rows: rows that count (`analysis.seeds.measured`), among them those of `corruption_error` with a variant
            `KIND-SEVERITY` or `clean`.
        baseline: `dense`: the dense model of the same seed; else the folder of a run, whose round 0, averaged over its
            seeds, is the baseline of all.

    Returns:
        A row of each for every (run, seed, round) with errors of the corruptions and severities that its baseline has,
        and no others; the columns of `rows`, `metric` `mce` or `relative_mce`. There is none where a baseline's errors
        of a corruption are none, or do not exceed the clean ones.

    Raises:
        UsageError: the baseline has no such rows.
    """
    test = rows[rows["split"] == "test"]
    errors = test[test["metric"] == "corruption_error"]
    if errors.empty:
        return rows.iloc[:0]
    clean = errors[errors["variant"] == "clean"].groupby(CELL)["value"].first()
    kind = errors["variant"].map({name: name.rpartition("-")[0] for name in errors["variant"].unique()})
    wanted = (kind != "") & ~kind.isin(EXTRA)
    errors, kind = errors[wanted], kind[wanted]
    if errors.empty:
        return rows.iloc[:0]
    table = errors.assign(kind=kind).pivot_table("value", CELL, ["kind", "variant"])
    excess = table.sub(clean.reindex(table.index), axis=0)
    base, base_excess = _baseline(table, baseline), _baseline(excess, baseline)
    same = table.notna().eq(base.notna()).all(axis=1)
    found = zip(INDICES, (_mean_ratio(table, base), _mean_ratio(excess, base_excess)), strict=True)
    like = errors.drop_duplicates(CELL).set_index(CELL, drop=False)
    made = [
        like.assign(
            metric=name, variant="", value=values[same].reindex(like.index), stderr=float("nan"), better=-1, unit="%"
        )
        for name, values in found
    ]
    return pd.concat(made, ignore_index=True).dropna(subset=["value"])


def _baseline(table: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """What each cell is divided by, in the table's order."""
    dense = table[table.index.get_level_values("round") == 0]
    if baseline == DENSE:
        keys = table.index.to_frame(index=False).assign(round=0)
        return dense.reindex(pd.MultiIndex.from_frame(keys)).set_axis(table.index)
    own = dense[dense.index.get_level_values("run") == baseline]
    if own.empty:
        there = ", ".join(sorted(set(dense.index.get_level_values("run")))) or "none"
        raise UsageError(f"baseline={baseline} has no corruption errors", f"dense, or a run that has: {there}")
    return pd.DataFrame([own.mean()] * len(table), table.index)


def _mean_ratio(table: pd.DataFrame, base: pd.DataFrame) -> pd.Series:
    """100 x the mean over kinds of (sum over severities) / (the baseline's)."""
    mine, other = (part.T.groupby(level="kind").sum(min_count=1).T for part in (table, base))
    ratio = mine / other.where(other > ROUNDING)
    return 100 * ratio.mean(axis=1).where(ratio.notna().eq(mine.notna()).all(axis=1))
