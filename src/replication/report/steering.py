"""What to do with validation data: steer by them, or train on them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from replication.report.drawing import MUTED, literal, style
from replication.report.frames import KEYS, SETTING, Cells
from replication.report.grid import Grid, Group, Row, Text
from replication.report.heat import tile
from replication.report.legend import BATCHES, Legend
from replication.report.statistics import headline, named, paired
from replication.report.tables import in_percent
from replication.report.texts import gain_text

NAME, TITLE = "steering", "Steer by validation data, or train on them?"
PLACE = ["experiment", "dataset", "model", "batch", "base"]
"""What a panel has in common."""
TILE, PITCH, LEFT = 0.72, 0.42, 0.85
"""Inches: width and height of a tile, and what stands at its left."""


def steering(cells: Cells) -> pd.DataFrame:
    """Readings that see parts of the validation split, and cross-fitted ones, minus the upstream
    trained on the same part as well.

    A row per SETTING, `base` (the reading that sees the whole) and `share` of the split: n of
    `difference`, its mean, sd and interval in points, `planted`, the share of wrong labels, and
    `samples`. Other readings of which no part was asked for are absent.
    """
    options = cells.grid[[*KEYS, "base", "noise", "planted"]]
    scores = headline(cells).merge(options, on=KEYS)
    scores = scores[scores["noise"] == 0]
    steered = scores[scores["role"] == "reading"]
    altered = steered.loc[steered["share"] < 1, "base"].unique()
    steered = steered[steered["base"].isin(altered) | steered["train_on_validation"]]
    trained = scores[(scores["kind"] == "none") & scores["train_on_validation"]]
    trained = trained.drop_duplicates([*SETTING, "share", "seed"])
    gains = named(in_percent(paired(steered, trained, [*SETTING, "share"])), "difference")
    described = steered[[*KEYS, "base", "share", "planted"]].drop_duplicates()
    rows = described.merge(gains.reset_index(), on=KEYS)
    sizes = [
        cells.files[key].data.validation for key in rows[KEYS].itertuples(index=False, name=None)
    ]
    return rows.assign(samples=np.array(sizes, dtype=int))


def steering_grid(rows: pd.DataFrame, legend: Legend) -> Grid:
    """A line per setting, shares of the validation split by columns. rows: of `steering`."""
    shares = sorted(rows["share"].unique())
    groups = []
    for place, panel in rows.groupby(PLACE, sort=False):
        lines = []
        for (upstream, batch), line in panel.groupby(["upstream", "batch"], sort=False):
            of = {row["share"]: row for row in line.to_dict("records")}
            texts = [_gain(of[share]) if share in of else Text() for share in shares]
            lines.append(Row(legend.setting(upstream, batch), texts))
        _, dataset, model, _, base = place
        groups.append(Group(Text(f"{dataset}, {model}", (legend.refiner(base),)), lines))
    return Grid(
        name=f"{NAME}-results",
        title=f"{TITLE} The reading minus the upstream on train + validation, points",
        columns=[Text("Upstream, trained on"), *(Text(f"{100 * s:g} % of it") for s in shares)],
        groups=groups,
        notes=[
            *steering_sentences(rows, legend),
            "Both have the same validation samples; those that are trained on keep their labels.",
        ],
    )


def steering_sentences(rows: pd.DataFrame, legend: Legend) -> list[str]:
    """Of each panel, in how many of its combinations that have an interval which is better."""
    said = []
    for (_, dataset, model, batch, base), panel in rows.groupby(PLACE, sort=False):
        panel = panel[panel["difference_low"].notna()]
        above, below = panel["difference_low"] > 0, panel["difference_high"] < 0
        said.append(
            f"{dataset}, {model}, {BATCHES[batch]}: {legend.refiner(base)} is better than train + "
            f"validation in {above.sum()} of {len(panel)} combinations of size and wrong labels, "
            f"worse in {below.sum()}."
        )
    return said


def steering_figure(rows: pd.DataFrame, legend: Legend) -> Figure:
    """A heat map for each panel of a data set: wrong labels against validation samples."""
    panels = [(place, of, _upstreams(of, legend)) for place, of in rows.groupby(PLACE, sort=False)]
    heights = [0.75 + PITCH * len(upstreams) + 0.5 for *_, upstreams in panels]
    columns = max(of["share"].nunique() for _, of, _ in panels)
    left = max(LEFT, 0.2 + 0.068 * max(len(text) for *_, of in panels for text in of.values()))
    width, height = left + TILE * columns + 0.15, sum(heights) + 0.35
    with style():
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        note = "bold: interval clear of 0; blue: steering is better"
        axes.text(0.1, 0.16, note, va="center", fontsize=8, color=MUTED)
        top = 0.3
        for (place, panel, upstreams), room in zip(panels, heights, strict=True):
            _, dataset, model, batch, base = place
            heading = f"{dataset}, {model}, {BATCHES[batch]}"
            axes.text(0.1, top + 0.2, literal(heading), weight="bold", va="center")
            text = f"{legend.refiner(base)} minus train + validation, points"
            axes.text(0.1, top + 0.42, literal(text), va="center", fontsize=8, color=MUTED)
            samples = sorted(panel["samples"].unique())
            for y, (upstream, label) in enumerate(upstreams.items()):
                middle = top + 0.65 + PITCH * (y + 0.5)
                axes.text(left - 0.1, middle, literal(label), ha="right", va="center", fontsize=8)
                for row in panel[panel["upstream"] == upstream].to_dict("records"):
                    corner = left + TILE * samples.index(row["samples"]), middle - PITCH / 2
                    clear = row["difference_low"] > 0 or row["difference_high"] < 0
                    tile(axes, corner, (TILE, PITCH), row, clear, fontsize=9, half=8)
            foot = top + 0.65 + PITCH * len(upstreams) + 0.16
            for x, count in enumerate(samples):
                at = left + TILE * (x + 0.5)
                axes.text(at, foot, f"{count}", ha="center", va="center", fontsize=8)
            axes.text(left - 0.1, foot, "samples", ha="right", va="center", fontsize=8, color=MUTED)
            top += room
    return figure


def _upstreams(panel: pd.DataFrame, legend: Legend) -> dict[str, str]:
    """Upstreams by their share of wrong labels, which names them if no two have the same."""
    rows = panel[["upstream", "planted"]].drop_duplicates().sort_values("planted", kind="stable")
    named = rows["planted"].nunique() < len(rows)
    return {
        row.upstream: legend.upstream(row.upstream) if named else f"{100 * row.planted:.0f} % wrong"
        for row in rows.itertuples()
    }


def _gain(row: Mapping[str, Any]) -> Text:
    text = gain_text(row, "difference", brief=True)
    return Text(text.main, (f"{row['samples']} samples",))
