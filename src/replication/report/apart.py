"""What a gain of the paper's protocol is made of: SAFLEX on clean and augmented samples minus the
upstream alone on augmented ones, taken apart into terms, as a table and as waterfalls."""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from replication.report.drawing import (
    BLUE,
    GREEN,
    INK,
    LINE,
    MUTED,
    ORANGE,
    SURFACE,
    literal,
    style,
)
from replication.report.frames import KEYS, Cells
from replication.report.glance import distinct
from replication.report.grid import Grid, Group, Row, Text
from replication.report.legend import Legend
from replication.report.reference import signed
from replication.report.statistics import headline, intervals
from replication.report.tables import PAPER, in_percent
from replication.report.texts import gain_text, listed, paper_text
from replication.settings import AnyReading

NAME, TITLE = "apart", "The gain, taken apart"
OF = ["experiment", "dataset", "model", "upstream"]
AUGMENTED, BOTH = "augmented", "clean-augmented"

TERMS = {
    "clean": (("alone", BOTH), ("alone", AUGMENTED)),
    "validation": (("train-validation", BOTH), ("alone", BOTH)),
    "weights": (("weights", BOTH), ("alone", BOTH)),
    "labels": (("labels", BOTH), ("alone", BOTH)),
    "rest": None,
    "total": (("reading", BOTH), ("alone", AUGMENTED)),
}
"""The cell and what it is minus, each as what the refiner is here and the batch; the rest is the
total without the others."""
PARTS = [name for name in TERMS if name not in ("rest", "total")]
TITLES = {
    "clean": "clean batch",
    "validation": "validation data",
    "weights": "weights",
    "labels": "labels",
    "rest": "rest",
    "total": "total",
}
COLUMNS = 3
"""Panels side by side at most."""
HALVES = {"weights": {"keep_labels": True}, "labels": {"weight_rule": "all"}}
"""In what alone the reading of a half differs from the one that it is a half of."""
NOTES = [
    "Total: SAFLEX on clean + augmented samples, Eq. (3), minus the upstream alone on augmented "
    "samples; the paper does not say what its upstreams are trained on. Clean batch: what clean "
    "samples bring to the upstream alone. "
    "Over the upstream alone on clean + augmented samples: validation data, training on train + "
    "validation; weights, the reading with the upstream's labels kept; labels, the reading with "
    "all weights equal.",
    "Rest: the total minus the terms before it, so that they add up, seed by seed. SAFLEX does not "
    "train on validation data: that term is what the same data would bring if they were trained "
    "on, and the rest contains its opposite, beside what weights and labels do together. A term "
    "that was not run is part of the rest.",
]


def apart(cells: Cells) -> pd.DataFrame:
    """One row per data set, model, upstream and reading, in percent points.

    OF and refiner; and each of TERMS with its _n, _sd, _low and _high, NaN if a cell of
    it was not run. All terms of a row are of the seeds that all its cells have, paired by seed.
    """
    grid = cells.grid[(cells.grid["upstream_kind"] != "none") & (cells.grid["share"] == 1)]
    grid = grid[grid["noise"] == 0]
    scored = {key: group.set_index("seed") for key, group in headline(cells).groupby(KEYS)}
    rows, terms = [], [_NONE]
    for key, group in grid.groupby(OF, sort=False):
        readings = group.loc[group["role"] == "reading"].drop_duplicates("refiner")
        for read in readings.to_dict("records"):
            found = {
                (what, batch): scored[(*key, batch, refiner)]
                for what, refiner in _refiners(group, read).items()
                for batch in (AUGMENTED, BOTH)
                if (*key, batch, refiner) in scored
            }
            terms.append(_terms(found).assign(row=len(rows)))
            rows.append([*key, read["refiner"]])
    made = intervals(pd.concat(terms).groupby(["row", "term"])).unstack("term")
    wanted = {
        (end, name): name if end == "mean" else f"{name}_{end}"
        for name in TERMS
        for end in ("n", "mean", "sd", "low", "high")
    }
    made = made.reindex(range(len(rows)), columns=[*wanted]).set_axis([*wanted.values()], axis=1)
    return in_percent(pd.DataFrame(rows, columns=[*OF, "refiner"]).join(made))


def apart_grid(frame: pd.DataFrame, scores: pd.DataFrame, legend: Legend) -> Grid:
    """Terms by columns; the paper's gain beside the total. scores: of tables.tidy."""
    known = distinct(scores[scores["batch"] == BOTH])[[*OF, "refiner", *PAPER]]
    frame = frame.merge(known, "left", on=[*OF, "refiner"])
    groups = []
    for (_, dataset, model), rows in frame.groupby(OF[:3], sort=False):
        lines = []
        for row in rows.to_dict("records"):
            texts = [gain_text(row, name) for name in TERMS]
            if (missing := _missing(row)) and not texts[-2].missing:
                texts[-2] = Text(texts[-2].main, (f"with {listed(missing)}",))
            lines.append(Row(_of(row, legend), [*texts, paper_text(row)]))
        groups.append(Group(Text(f"{dataset}, {model}"), lines))
    absent = ["Not run: no cell of this profile has an upstream."]
    columns = ["Upstream, reading", *(title.capitalize() for title in TITLES.values())]
    return Grid(
        name=f"{NAME}-results",
        title=f"{TITLE}: terms of the gain by the paper's protocol, points [95 % interval]",
        columns=[*map(Text, columns), Text("The paper's")],
        groups=groups,
        notes=[*apart_sentences(frame, legend), *NOTES] if groups else absent,
    )


def apart_sentences(frame: pd.DataFrame, legend: Legend) -> list[str]:
    """A sentence per reading that was run: where the protocol shows a gain, and the clean batch
    alone does."""
    sentences = []
    for refiner in legend.ordered("refiner", frame["refiner"]):
        rows = frame[frame["refiner"] == refiner]
        known = rows[rows["total_low"].notna()]
        if known.empty:
            continue
        total = known["total_low"] > 0
        clean = total & (known["clean_low"] > 0)
        count = int(total.sum())
        several = f"{len(known)} setting{'s' if len(known) != 1 else ''}"
        told = f"{count or 'none'} of {several} show{'s' if count < 2 else ''}"
        also = f"; in {clean.sum()} of these the clean batch alone shows one" if count else ""
        sentences.append(
            f"{legend.refiner(refiner)}, by the paper's protocol: {told} a gain over the upstream "
            f"on augmented samples{also}."
        )
    return sentences


def apart_figure(frame: pd.DataFrame, legend: Legend, columns: int = COLUMNS) -> Figure:
    """A waterfall for each row of `apart`, in panels under the headings of their data sets, so many
    side by side at most."""
    groups = [
        (f"{dataset}, {model}", rows.to_dict("records"))
        for (_, dataset, model), rows in frame.groupby(OF[:3], sort=False)
    ]
    columns = min(columns, max(len(rows) for _, rows in groups))
    heights = [-(-len(rows) // columns) for _, rows in groups]
    inches = [0.3 + 1.85 * height for height in heights]
    with style():
        figure = Figure(figsize=(0.9 + 1.65 * columns, sum(inches)), layout="constrained")
        parts = figure.subfigures(len(groups), 1, height_ratios=inches, squeeze=False).ravel()
        for part, height, (heading, rows) in zip(parts, heights, groups, strict=True):
            part.suptitle(literal(heading), x=0.01, ha="left", weight="bold", fontsize=8.5)
            panels = part.subplots(height, columns, sharey=True, squeeze=False).ravel()
            for axes, row in zip(panels, rows, strict=False):
                _waterfall(axes, row)
                names = legend.upstream(row["upstream"]), legend.refiner(row["refiner"])
                title = "\n".join(line for name in names for line in wrap(name, 24))
                axes.set_title(literal(title), loc="left", fontsize=8)
            for axes in panels[len(rows) :]:
                axes.set_visible(False)
        parts[-1].supxlabel("points", fontsize=8.5)
    return figure


def _waterfall(axes: Axes, row: Mapping[str, Any]) -> None:
    """Each term as a bar from where the one before it ended, the total from 0."""
    end, ends = 0.0, [0.0]
    label = {"xytext": (3, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
    label["bbox"] = {"fc": SURFACE, "ec": "none", "pad": 0.3}
    for y, name in enumerate(TERMS):
        size, low, high = (row[f"{name}{part}"] for part in ("", "_low", "_high"))
        if np.isnan(size):
            axes.annotate("not run", (end, y), color=MUTED, **label)
            continue
        start = 0.0 if name == "total" else end
        colour = BLUE if name == "total" else GREEN if size >= 0 else ORANGE
        axes.barh(y, size, 0.62, left=start, color=colour, zorder=2)
        end = start + size
        spread = [start + low, start + high]
        axes.plot(spread, [y, y], color=INK, lw=0.9, zorder=3)
        right = max(start, end, *np.nan_to_num(spread, nan=end))
        axes.annotate(signed(size), (right, y), **label)
        if name != "total":
            axes.plot([end, end], [y + 0.31, y + 0.69], color=LINE, lw=0.8, zorder=1)
        ends += [start, end, *np.nan_to_num(spread, nan=end)]
    axes.axvline(0, color=INK, lw=0.9, zorder=1)
    low, high = min(ends), max(ends)
    room = (high - low or 1.0) * np.array([-0.05, 0.42])
    axes.set_xlim(*(np.array([low, high]) + room))
    axes.set_ylim(len(TERMS) - 0.4, -0.6)
    axes.set_yticks(range(len(TERMS)), TITLES.values())
    axes.tick_params(axis="y", length=0)


def _refiners(group: pd.DataFrame, read: Mapping[str, Any]) -> dict[str, str]:
    """What each refiner of a setting is to a reading: its name by what TERMS call it."""
    found = {"reading": read["refiner"]}
    for row in group.drop_duplicates("refiner").to_dict("records"):
        if row["kind"] == "none":
            what = "train-validation" if row["train_on_validation"] else "alone"
            found.setdefault(what, row["refiner"])
        elif row["kind"] == "saflex" and row["of"] == read["refiner"]:
            changed = changes(read["reading"], row["reading"])
            found |= {what: row["refiner"] for what, own in HALVES.items() if changed == own}
    return found


def changes(one: AnyReading, other: AnyReading) -> dict[str, Any]:
    """The fields of a reading that another does not have alike."""
    before = one.model_dump()
    return {
        name: value
        for name, value in other.model_dump().items()
        if name not in before or before[name] != value
    }


def _terms(found: Mapping[tuple[str, str], pd.DataFrame]) -> pd.DataFrame:
    """term, value, resplit: a row per seed and term of which both cells are there."""
    run = {name: ends for name, ends in TERMS.items() if ends and {*ends} <= {*found}}
    used = {end: found[end] for ends in run.values() for end in ends}
    if not used:
        return _NONE
    values = pd.concat({end: of["value"] for end, of in used.items()}, axis=1, join="inner")
    terms = {name: values[one] - values[other] for name, (one, other) in run.items()}
    if "total" in terms:
        terms["rest"] = terms["total"] - sum(terms[name] for name in PARTS if name in terms)
    frames = []
    for name, value in terms.items():
        of = used[run["total" if name == "rest" else name][0]]
        frames.append(pd.DataFrame({"term": name, "value": value, "resplit": of["resplit"].max()}))
    return pd.concat(frames)


def _missing(row: Mapping[str, Any]) -> list[str]:
    return [TITLES[name] for name in PARTS if np.isnan(row[f"{name}_n"])]


def _of(row: Mapping[str, Any], legend: Legend) -> str:
    return f"{legend.upstream(row['upstream'])} · {legend.refiner(row['refiner'])}"


_NONE = pd.DataFrame({"term": [], "value": [], "resplit": [], "row": []}).astype({"term": str})
