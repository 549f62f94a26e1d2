"""Scores, differences and settings in words."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from replication.report.frames import KEYS, SETTING
from replication.report.grid import Text
from replication.report.legend import Legend
from replication.report.reference import PaperDifference, signed

NOT_RUN = "not run"


def score_text(row: Mapping[str, Any], paper: bool = True) -> Text:
    """A cell's score with its interval and, if wanted, the paper's under it."""
    text = NOT_RUN
    if row["run"] and np.isnan(row["mean"]):
        text = "undefined"
    elif row["run"] and np.isnan(row["low"]):
        text = f"{row['mean']:.2f} (one seed)"
    elif row["run"]:
        text = f"{row['mean']:.2f} ± {row['high'] - row['mean']:.2f}"
    theirs = ()
    if paper and not np.isnan(row["paper_mean"]):
        theirs = (f"paper {row['paper_mean']:.2f} ± {row['paper_sd']:.2f}",)
    return Text(text, theirs, missing=not row["run"], **_said(row, row["mean"]))


def gain_text(row: Mapping[str, Any], prefix: str, brief: bool = False) -> Text:
    """A paired difference with its interval; brief: as ± its half width."""
    gain, low, high = (row[f"{prefix}{end}"] for end in ("", "_low", "_high"))
    if np.isnan(row[f"{prefix}_n"]):
        return Text(NOT_RUN, missing=True, **_said(row, gain))
    if np.isnan(gain):
        return Text("undefined", **_said(row, gain))
    if np.isnan(low):
        return Text(f"{signed(gain)} (one seed)", **_said(row, gain))
    interval = f" ± {high - gain:.2f}" if brief else f" [{signed(low)}, {signed(high)}]"
    return Text(signed(gain) + interval, **_said(row, gain))


def _said(row: Mapping[str, Any], value: float) -> dict[str, Any]:
    """What a Text has beside its line: the number, and the cell if the row is of one."""
    cell = tuple(row[key] for key in KEYS) if {*KEYS} <= {*row} else None
    return {"value": None if np.isnan(value) else float(value), "cell": cell}


def judged(row: Mapping[str, Any], brief: bool = False) -> Text:
    """A difference to the upstream alone and the verdict on a reading, if it has been run."""
    gain = gain_text(row, "difference", brief)
    tested = row["role"] == "reading" and not gain.missing
    return replace(gain, verdict=row["verdict"]) if tested else gain


def paper_text(row: Mapping[str, Any]) -> Text:
    """The paper's gain, or its range over its data sets, if it has the method."""
    if np.isnan(row["paper_low"]):
        return Text()
    ends = row["paper_low"], row["paper_high"]
    gain = PaperDifference(*ends, int(row["paper_sets"]), bool(row["paper_same_set"]))
    main, *small = gain.lines
    return Text(main, tuple(small), value=gain.high)


def setting_text(setting: tuple[str, ...], legend: Legend) -> str:
    """A SETTING in words: "digits, resnet18 · Mixup, augmented only"."""
    named = dict(zip(SETTING, setting, strict=True))
    label = legend.setting(named["upstream"], named["batch"])
    return f"{named['dataset']}, {named['model']} · {label}"


def brief_setting(setting: tuple[str, ...], rows: pd.DataFrame, legend: Legend) -> str:
    """A SETTING of a data set's rows in words, with its model where they have several."""
    named = dict(zip(SETTING, setting, strict=True))
    label = legend.setting(named["upstream"], named["batch"])
    return f"{named['model']}: {label}" if rows["model"].nunique() > 1 else label


def listed(parts: list[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
