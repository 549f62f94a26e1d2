"""Means, intervals, paired differences, headroom and verdicts.

Every interval is a 95 % t-interval over seeds. Methods of one data set and model share their seeds
(data order, initialisation), so differences are taken seed by seed. Where each seed draws its own
split, the splits overlap and the seeds are not independent: the variance of their mean is then
(1 / n + test rows / training rows) sd^2 in place of sd^2 / n (Nadeau and Bengio 2003, Machine
Learning 52, corrected resampled t-test).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t

from replication.report.frames import KEYS, SETTING, Cells, Column
from replication.settings.refiners import IMITATIONS

LEVEL = 0.95
CLEAN = ["experiment", "dataset", "model"]
"""What an upstream's cells have in common with those of clean samples alone."""
SCORED = ["split", "weights", "metric"]
OWN = Column()

VERDICTS = {
    "reproduced": "the interval of the gain over the upstream alone lies above 0, and so do the "
    "intervals of the gain over each control of this reading",
    "gain, matched by a control": "the gain over the upstream lies above 0, but a control of this "
    "reading, which lacks its information about the sample, does about as well",
    "gain, control not run": "the gain over the upstream lies above 0, but one of the controls of "
    "this reading (permuted, and smoothing or confidence, `of` it) is missing",
    "not reproduced": "the interval of the difference contains 0",
    "harm": "the interval of the difference lies below 0",
    "undecided": "no interval: fewer than two paired seeds, or an undefined score",
    "not run": "no result file of the cell or of its upstream alone, or no seed in common",
}

Interval = tuple[float, float]


def intervals(groups: pd.core.groupby.DataFrameGroupBy) -> pd.DataFrame:
    """n, mean, sd, low, high of `value` in each group: the mean's 95 % t-interval.

    Groups have the columns `value` and, the same in a group, `resplit` of `Cells.scores`.
    A NaN in a group makes all but n NaN; a single value has no sd and no interval. Without
    variance the interval is the mean itself.
    """
    values = groups["value"]
    table = pd.DataFrame(
        {
            "n": values.size(),
            "mean": values.agg(lambda group: group.mean(skipna=False)),
            "sd": values.agg(lambda group: group.std(skipna=False)),
        }
    ).astype({"n": int, "mean": float, "sd": float})
    n = table["n"].to_numpy()
    error = table["sd"] * np.sqrt(1 / n + groups["resplit"].first())
    half = t.ppf((1 + LEVEL) / 2, np.where(n > 1, n - 1, np.nan)) * error
    return table.assign(low=table["mean"] - half, high=table["mean"] + half)


def paired(scores: pd.DataFrame, reference: pd.DataFrame, on: Sequence[str]) -> pd.DataFrame:
    """Intervals of `scores` minus `reference`, by KEYS of `scores`.

    Both have KEYS, seed, value, resplit. Rows are paired where they agree in `on` and in the seed.
    """
    by = [*on, "seed"]
    pairs = scores.merge(reference[[*by, "value"]], on=by, suffixes=("", "_reference"))
    pairs = pairs.assign(value=pairs["value"] - pairs["value_reference"])
    return intervals(pairs.groupby(KEYS, sort=False))


def verdict(gain: Interval | None, controls: Sequence[Interval | None]) -> str:
    """One of VERDICTS. gain: interval over the upstream alone; controls: over each control.

    None for what was not run, NaN bounds where there is no interval.
    """
    if gain is None:
        return "not run"
    low, high = gain
    if np.isnan(low) or np.isnan(high):
        return "undecided"
    if high < 0:
        return "harm"
    if low <= 0:
        return "not reproduced"
    if any(control is not None and control[0] <= 0 for control in controls):
        return "gain, matched by a control"
    if any(control is None or np.isnan(control[0]) for control in controls):
        return "gain, control not run"
    return "reproduced"


def headline(cells: Cells, column: Column = OWN) -> pd.DataFrame:
    """The scores of a column: KEYS, seed, split, weights, metric, value, resplit, and of the grid
    role, of, kind, train_on_validation, share, upstream_kind."""
    described = ["role", "of", "kind", "train_on_validation", "share", "upstream_kind"]
    wanted = wanted_scores(cells, column)[[*KEYS, *SCORED, *described]].dropna(subset=SCORED)
    return cells.scores.merge(wanted, on=[*KEYS, *SCORED])


def wanted_scores(cells: Cells, column: Column = OWN) -> pd.DataFrame:
    """The grid with the split, weights and metric of a column for each cell."""
    asked = {"split": column.split, "weights": column.weights, "metric": column.metric}
    return cells.grid.assign(**{name: value for name, value in asked.items() if value})


def analyse(cells: Cells, column: Column = OWN) -> pd.DataFrame:
    """One row per planned cell, in fractions (not percent).

    The grid with the column's split, weights and metric; n, mean, sd, low, high; the paired
    difference to the upstream alone under difference, difference_n, difference_sd, difference_low,
    difference_high, and likewise, to the control of each kind that is `of` the refiner,
    against_permuted, against_smoothing and against_confidence; what training on clean samples alone
    has over the cell, clean; verdict, for readings of SAFLEX only.
    """
    scores = headline(cells, column)
    table = wanted_scores(cells, column)
    table = table.merge(intervals(scores.groupby(KEYS, sort=False)), "left", on=KEYS)
    alone = scores["role"] == "baseline"
    gains = paired(scores[~alone], scores[alone], SETTING)
    table = table.merge(named(gains, "difference"), "left", on=KEYS)
    for kind in IMITATIONS:
        imitating = scores[scores["kind"] == kind]
        gains = paired(scores, imitating.assign(refiner=imitating["of"]), KEYS)
        table = table.merge(named(gains, f"against_{kind}"), "left", on=KEYS)
    clean = scores["upstream_kind"] == "none"
    gains = _reversed(paired(scores[~clean], scores[clean & alone], CLEAN))
    table = table.merge(named(gains, "clean"), "left", on=KEYS)
    return table.assign(verdict=[_judge(row) for row in table.to_dict("records")])


def named(gains: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Columns of `paired` under a prefix, which alone is the mean's."""
    return gains.rename(columns={c: prefix if c == "mean" else f"{prefix}_{c}" for c in gains})


def _reversed(gains: pd.DataFrame) -> pd.DataFrame:
    """Of the reference minus the scores, what `paired` says of the scores minus the reference."""
    ends = gains[["mean", "low", "high"]].rename(columns={"low": "high", "high": "low"})
    return gains.assign(**(0.0 - ends))  # 0.0, so that no difference is not called -0.0


def _judge(row: dict) -> str | None:
    if row["role"] != "reading":
        return None
    gain, *controls = (
        None if np.isnan(row[f"{prefix}_n"]) else (row[f"{prefix}_low"], row[f"{prefix}_high"])
        for prefix in ("difference", *(f"against_{kind}" for kind in row["controls"]))
    )
    return verdict(gain, controls)


def headroom(cells: Cells, column: Column = OWN) -> pd.DataFrame:
    """How much there is to gain of a column's score, one row per SETTING with an upstream.

    The best, by its mean, of training on clean samples alone, on clean train + validation samples,
    and of the upstream on train + validation, minus the upstream alone: `best` says which, then
    mean, low, high. Settings in which nothing can be compared are absent.
    """
    scores = headline(cells, column)
    clean = scores["upstream_kind"] == "none"
    alone = scores["role"] == "baseline"
    both = (scores["kind"] == "none") & scores["train_on_validation"] & (scores["share"] == 1)
    upstream = scores[~clean & alone]
    candidates = {
        "clean samples alone": (scores[clean & alone], CLEAN),
        "clean train + validation": (scores[clean & both], CLEAN),
        "upstream on train + validation": (scores[~clean & both], SETTING),
    }
    found = [
        _reversed(paired(upstream, frame.drop_duplicates([*on, "seed"]), on)).assign(best=name)
        for name, (frame, on) in candidates.items()
    ]
    table = pd.concat(found).reset_index()[[*KEYS, "mean", "low", "high", "best"]]
    best = table.sort_values("mean", ascending=False, kind="stable").drop_duplicates(SETTING)
    return best.drop(columns="refiner").sort_index().reset_index(drop=True)


def count_verdicts(table: pd.DataFrame) -> dict[str, int]:
    """How many readings of SAFLEX got each verdict, all verdicts present."""
    counts = table["verdict"].value_counts()
    return {name: int(counts.get(name, 0)) for name in VERDICTS}


def settings_of(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """The distinct SETTINGs of a table, in its order."""
    return [tuple(row) for row in table[SETTING].drop_duplicates().to_numpy()]
