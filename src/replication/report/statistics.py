"""Means, intervals, paired differences, headroom and verdicts.

Every interval is a 95 % t-interval over seeds. Methods of one data set and model share their seeds
(data order, initialisation), so differences are taken seed by seed. Where each seed draws its own
split, the splits overlap and the seeds are not independent: the variance of their mean is then
(1 / n + test rows / training rows) sd^2 in place of sd^2 / n (Nadeau and Bengio 2003, Machine
Learning 52, corrected resampled t-test).
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import t

from replication.report.cells import KEYS, SETTING, Cells
from replication.report.methods import BASELINE, role
from replication.settings import IMITATIONS, imitation

LEVEL = 0.95

VERDICTS = {
    "reproduced": "the interval of the gain over the upstream alone lies above 0, and so do the "
    "intervals of the gain over both the permuted and the smoothing control of this reading",
    "gain, matched by a control": "the gain over the upstream lies above 0, but the permuted or "
    "the smoothing control, which carry no information about the sample, do about as well",
    "gain, control not run": "the gain over the upstream lies above 0, but the permuted or the "
    "smoothing control of this reading (permuted-NAME, smoothing-NAME) is missing",
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


def headline(cells: Cells) -> pd.DataFrame:
    """The scores in each data set's own metric: KEYS, seed, value, resplit."""
    metric = cells.grid[[*KEYS, "metric"]].dropna()
    return cells.scores.merge(metric, on=[*KEYS, "metric"])[[*KEYS, "seed", "value", "resplit"]]


def analyse(cells: Cells) -> pd.DataFrame:
    """One row per expected cell, in fractions (not percent).

    KEYS, run, metric, role; n, mean, sd, low, high; the paired difference to the upstream alone
    under difference, difference_n, difference_sd, difference_low, difference_high, and likewise, to
    the controls that imitate a reading, against_permuted and against_smoothing; what training on
    clean samples alone has over the cell, clean; verdict, for readings of SAFLEX only.
    """
    scores = headline(cells)
    table = cells.grid.assign(role=cells.grid["refiner"].map(role))
    table = table.merge(intervals(scores.groupby(KEYS, sort=False)), "left", on=KEYS)
    for prefix, other in (
        ("difference", lambda refiner: BASELINE),
        *((f"against_{kind}", partial(imitation, kind)) for kind in IMITATIONS),
    ):
        refined = scores.assign(other=scores["refiner"].map(other))
        refined = refined[refined["refiner"] != refined["other"]]
        gains = paired(refined, scores.assign(other=scores["refiner"]), [*SETTING, "other"])
        table = table.merge(_named(gains, prefix), "left", on=KEYS)
    clean = scores[(scores["upstream"] == "none") & (scores["refiner"] == BASELINE)]
    augmented = scores[scores["upstream"] != "none"]
    gains = _reversed(paired(augmented, clean, ["family", "dataset", "model"]))
    table = table.merge(_named(gains, "clean"), "left", on=KEYS)
    return table.assign(verdict=[_judge(row) for row in table.to_dict("records")])


def _named(gains: pd.DataFrame, prefix: str) -> pd.DataFrame:
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
        for prefix in ("difference", *(f"against_{kind}" for kind in IMITATIONS))
    )
    return verdict(gain, controls)


def headroom(cells: Cells) -> pd.DataFrame:
    """How much there is to gain, one row per SETTING with an upstream.

    The best, by its mean, of training on clean samples alone, on clean train + validation samples,
    and of the upstream on train + validation, minus the upstream alone: `best` says which, then
    mean, low, high. Settings in which nothing can be compared are absent.
    """
    scores = headline(cells)
    upstream = scores[(scores["upstream"] != "none") & (scores["refiner"] == BASELINE)]
    clean = scores[scores["upstream"] == "none"]
    candidates = {
        "clean samples alone": (clean, BASELINE, ["family", "dataset", "model"]),
        "clean train + validation": (clean, "train-validation", ["family", "dataset", "model"]),
        "upstream on train + validation": (scores, "train-validation", SETTING),
    }
    found = [
        _reversed(paired(upstream, frame[frame["refiner"] == refiner], on))[
            ["mean", "low", "high"]
        ].assign(best=name)
        for name, (frame, refiner, on) in candidates.items()
    ]
    table = pd.concat(found).reset_index()
    best = table.sort_values("mean", ascending=False, kind="stable").drop_duplicates(SETTING)
    return best.drop(columns="refiner").sort_index().reset_index(drop=True)


def diagnostics(cells: Cells) -> pd.DataFrame:
    """Means over seeds of what the refiner did: KEYS, then a column per diagnostic.

    NaN where there is nothing to measure: the reliability of readings that do not shrink by it,
    what is said of inner products where none are taken, and of samples whose upstream label is of
    another class where there are none.
    """
    scores = cells.scores[cells.scores["metric"].str.startswith("refiner.")]
    if scores.empty:
        return pd.DataFrame(columns=KEYS)
    scores = scores.assign(metric=scores["metric"].str.removeprefix("refiner."))
    means = scores.groupby([*KEYS, "metric"], sort=False)["value"].mean()
    table = means.unstack("metric").reset_index().rename_axis(columns=None)
    taken, others = table.get("mean_abs_pi", 1) != 0, table.get("other", 0) != 0
    measured = {
        "mean_abs_pi": taken,
        "agreement": taken,
        "reliability": table.get("reliability", 1) != 1,
        "other": others,
        "other_weight": others,
    }
    for name, rows in measured.items():
        if name in table:
            table[name] = table[name].where(rows)
    return table


def count_verdicts(table: pd.DataFrame) -> dict[str, int]:
    """How many readings of SAFLEX got each verdict, all verdicts present."""
    counts = table["verdict"].value_counts()
    return {name: int(counts.get(name, 0)) for name in VERDICTS}


def settings_of(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """The distinct SETTINGs of a table, in its order."""
    return [tuple(row) for row in table[SETTING].drop_duplicates().to_numpy()]
