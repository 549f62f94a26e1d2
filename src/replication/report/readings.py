"""The study of readings: the gain of every reading of the text that a profile plans, as a table, a
heat map and a few sentences."""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from replication.report.drawing import INK, LINE, MUTED, literal, style
from replication.report.frames import KEYS, SETTING, Cells
from replication.report.glance import distinct
from replication.report.grid import Grid, Group, Row, Text
from replication.report.heat import EXTREME, colour, on, tile
from replication.report.legend import BATCHES, Legend
from replication.report.statistics import settings_of
from replication.report.texts import gain_text, setting_text
from replication.settings import AnyReading, Reading

NAME, TITLE = "readings", "Every reading of the text"

LEVELS = {
    "space": "Π of",
    "reduction": "loss",
    "gumbel": "noise",
    "beta": "β",
    "weight_rule": "weights",
}
"""Fields of a reading that tell its rows apart, by what they are called; its sign has blocks."""
SPACES = {"probs": "probabilities", "logits": "logits", "log_probs": "log-probs"}
SIGNS = {1: "Sign as derived", -1: "Sign as printed, Eq. (9)"}
ADDED = ("keep_labels", "optimizer_aware", "centre", "normalise", "unit_scale", "shrink")
"""What the text does not have: a reading with one of these is not of the study."""
BATCH = "validation_batch"
BEST = "best control"

PITCH, GAP, ABOVE = 0.185, 0.14, 0.6
"""Inches: the height of a row, the space between data sets, and that of the scale above all."""


class Layout(NamedTuple):
    """Of the heat map, in inches. left: where LEVELS stand, `more` the fields beyond them, a step
    apart; room: from the last of these to the tiles, so wide; head: what stands above the rows,
    upright or not; size: of the font, in points."""

    left: tuple[float, ...]
    more: float
    step: float
    room: float
    tile: float
    head: float
    upright: bool
    size: float


DESK = Layout((0.1, 1.02, 1.46, 1.88, 2.12), 2.7, 0.8, 0.8, 0.43, 2.15, False, 7)
TELEPHONE = Layout((0.05, 0.77, 1.11, 1.27, 1.41), 1.77, 0.4, 0.41, 0.355, 2.9, True, 8)


class Line(NamedTuple):
    """A row of the heat map: what stands at its left, and the rows of the frame by SETTING."""

    names: tuple[str, ...]
    cells: dict[tuple[str, ...], Mapping[str, Any]]


def of_the_text(reading: AnyReading) -> bool:
    return isinstance(reading, Reading) and not any(getattr(reading, name) for name in ADDED)


def split(frame: pd.DataFrame, cells: Cells) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of tables.tidy without the study's, and these, with the fields of their readings.

    The study is of the readings of the text with an upstream, if the profile asks for the table.
    Fields: sign, LEVELS, and others that are not the same for all.
    """
    if NAME not in cells.tables:
        return frame, frame.iloc[:0]
    grid = cells.grid[(cells.grid["role"] == "reading") & (cells.grid["upstream_kind"] != "none")]
    planned = grid[np.array([of_the_text(reading) for reading in grid["reading"]], dtype=bool)]
    fields = pd.DataFrame([reading.model_dump() for reading in planned["reading"]])
    fields = fields.assign(**{BATCH: [*planned[BATCH]]})
    kept = [
        name for name in fields if name in ("sign", *LEVELS) or fields[name].map(str).nunique() > 1
    ]
    fields = fields[kept].set_axis(planned.index)
    studied = distinct(frame).merge(planned[KEYS].join(fields), on=KEYS)
    rest = frame.merge(planned[KEYS], "left", on=KEYS, indicator=True)["_merge"] == "left_only"
    return frame[rest.to_numpy()].reset_index(drop=True), studied


def sentences(studied: pd.DataFrame, frame: pd.DataFrame, legend: Legend) -> list[str]:
    """The result: where labels are as they come, and of each data set where wrong ones are planted.
    studied, frame: of `split`."""
    right, wrong = studied[studied["planted"] == 0], studied[studied["planted"] > 0]
    parts = [("Labels as they come", right)] if len(right) else []
    parts += [
        (f"{dataset}, wrong labels planted", rows)
        for dataset, rows in wrong.groupby("dataset", sort=False)
    ]
    return [f"{where}: {_sentence(rows, frame, legend)}" for where, rows in parts]


def _sentence(rows: pd.DataFrame, frame: pd.DataFrame, legend: Legend) -> str:
    """How many readings have an interval above 0, and the largest gain of one that has."""
    ran = rows[rows["difference_low"].notna()]
    if ran.empty:
        return "not run."
    above, below = ran["difference_low"] > 0, ran["difference_high"] < 0
    several, count = ran.loc[above, "refiner"].nunique(), len(_settings(ran))
    settings = f"{count} setting{'s' if count > 1 else ''}"
    told = (
        f"of {ran['refiner'].nunique()} readings in {settings}, {several or 'none'} "
        f"ha{'s' if several < 2 else 've'} an interval above 0 "
        f"({above.sum()} of {len(ran)} cells are above, {below.sum()} below)"
    )
    if not several:
        return f"{told}."
    best = ran[above].loc[ran.loc[above, "difference"].idxmax()]
    setting = tuple(best[SETTING])
    gain = gain_text(best, "difference", brief=True).main
    space, *names = _names(best, rows)
    levels = map(" ".join, zip(_titles(rows)[1:], names, strict=True))
    where = ", ".join([space, *levels, SIGNS[best["sign"]].lower()])
    control = _best_control(frame, setting)
    beside = "no control was run"
    if control is not None:
        name = legend.refiner(control["refiner"]).removesuffix(" (control)")
        beside = f"the best control, {name}, gains "
        beside += gain_text(control, "difference", brief=True).main
    return (
        f"{told}; the largest gain is {gain} points ({where}; {setting_text(setting, legend)}), "
        f"where {beside}."
    )


def readings_grid(studied: pd.DataFrame, frame: pd.DataFrame, legend: Legend) -> Grid:
    """A line per reading, in groups of one sign, settings by columns. Both frames: of `split`."""
    settings = _settings(studied)
    groups = []
    for title, lines in _blocks(studied, frame, legend):
        rows = []
        for line in lines:
            cells = [_gain(line.cells.get(setting)) for setting in settings]
            rows.append(Row(" · ".join(line.names), cells, control=line.names[-1] == BEST))
        groups.append(Group(Text(title), rows))
    columns = [
        Text(f"{dataset}, {model}", (legend.setting(upstream, batch),))
        for _, dataset, model, upstream, batch in settings
    ]
    return Grid(
        name=f"{NAME}-results",
        title=f"{TITLE}: gain over the upstream alone, points ± 95 % interval",
        columns=[Text(" · ".join(_titles(studied))), *columns],
        groups=groups,
        notes=[
            *sentences(studied, frame, legend),
            "Loss: the validation loss as a mean or, Eq. (5), a sum. Noise: of the soft labels. "
            "Weights: by the label (Algorithm 1), the sum (Theorem 1), or a gate. Best control: in "
            "each setting the one with the largest gain.",
        ],
    )


def readings_figure(
    studied: pd.DataFrame, frame: pd.DataFrame, legend: Legend, narrow: bool = False
) -> Figure:
    """The heat map: a row per reading, in blocks of one sign, a column per setting that has one.

    Colours are of log(1 + |gain|) with the gain's sign, the same for a gain and a loss of a size.
    narrow: data sets beneath each other.
    """
    layout = TELEPHONE if narrow else DESK
    blocks, settings = _blocks(studied, frame, legend), _settings(_ran(studied))
    sets = list(dict.fromkeys(setting[:3] for setting in settings))
    parts = [[s for s in settings if s[:3] == name] for name in sets] if narrow else [settings]
    titles = _titles(studied)
    more = [layout.more + layout.step * i for i in range(len(titles) - len(layout.left))]
    names = dict(zip(titles, (*layout.left, *more), strict=True))
    panels = [_columns(part, max(names.values()) + layout.room, layout.tile) for part in parts]
    rows, height = _places(blocks, layout.head)
    width = max(x for at in panels for x in at.values()) + layout.tile + layout.left[0]
    with style():
        figure = Figure(figsize=(width, height * len(panels) + ABOVE))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width))
        axes.set_ylim(height * len(panels), -ABOVE)
        axes.axis("off")
        for i, at in enumerate(panels):
            _heads(axes, at, names, i * height, layout, legend)
            _tiles(axes, at, [*names.values()], rows, i * height, layout)
        _key(axes, 0.18 - ABOVE, 0.1, layout.size)
    return figure


def _columns(
    settings: list[tuple[str, ...]], x: float, tile: float
) -> dict[tuple[str, ...], float]:
    """Left edge of the column of each setting, in inches, data sets a little apart."""
    at = {}
    for i, setting in enumerate(settings):
        x += GAP * bool(i and setting[:3] != settings[i - 1][:3])
        at[setting] = x
        x += tile
    return at


def _tiles(
    axes: Axes,
    at: dict[tuple[str, ...], float],
    left: list[float],
    rows: list[tuple[float, str | Line]],
    above: float,
    layout: Layout,
) -> None:
    """Rows, so many inches from above. at: of `_columns`; left: places of names; rows: of
    `_places`."""
    for y, line in rows:
        if isinstance(line, str):
            axes.text(0.1, above + y, line, weight="bold", va="center", fontsize=8)
            continue
        drawn = {"va": "center", "fontsize": layout.size}
        drawn["style"] = "italic" if line.names[-1] == BEST else "normal"
        for x, name in zip(left, line.names, strict=False):
            axes.text(x, above + y, literal(name), **drawn)
        for setting, x in at.items():
            row = line.cells.get(setting)
            bold = row is not None and row["difference_low"] > 0
            corner = x, above + y - PITCH / 2
            tile(axes, corner, (layout.tile, PITCH), row, bold, layout.size)


def _places(
    blocks: list[tuple[str, list[Line]]], y: float
) -> tuple[list[tuple[float, str | Line]], float]:
    """Headings and rows with where they are, in inches from above, and where they end.

    The first name is not said twice in a row; rows of another one have a little space before them.
    """
    places: list[tuple[float, str | Line]] = []
    for title, lines in blocks:
        places.append((y, title))
        before = lines[0].names[0]
        for i, line in enumerate(lines):
            first, *others = line.names
            same = first == before
            y += PITCH if same or not others else PITCH * 1.3
            places.append((y, line._replace(names=("" if same and i else first, *others))))
            before = first
        y += PITCH * 2
    return places, y


def _heads(
    axes: Axes,
    at: dict[tuple[str, ...], float],
    names: dict[str, float],
    above: float,
    layout: Layout,
    legend: Legend,
) -> None:
    """Data set, upstream and batch above the columns, and the names of the fields at their left."""
    drawn = {"fontsize": layout.size}
    line, base = layout.head - 0.17 - 0.145 * layout.size, above + layout.head - 0.17
    turned = {"rotation": 90} if layout.upright else {}
    for part, y in ((3, 0.14), (4, (line + 0.27) / 2)):
        for head in dict.fromkeys(setting[:part] for setting in at):
            own = [x for setting, x in at.items() if setting[:part] == head]
            start, end = own[0], own[-1] + layout.tile
            how = {"ha": "center", "va": "top", "weight": "bold"} | drawn
            text, room = ", ".join(head[1:3]), int((end - start) * 13)
            if part == 4:
                how = {"ha": "center", "va": "center"} | drawn | turned
                text, room = legend.upstream(head[3]), int((end - start) * 15)
                room = 18 if layout.upright else room
                axes.plot([start + 0.03, end - 0.03], [above + line] * 2, color=LINE, lw=0.7)
            text = literal("\n".join(wrap(text, room, break_long_words=False)))
            axes.text((start + end) / 2, above + y, text, **how)
    for setting, x in at.items():
        how = {"rotation": 90, "ha": "center", "va": "bottom", "color": INK} | drawn
        axes.text(x + layout.tile / 2, base, BATCHES[setting[-1]], **how)
    for name, x in names.items():
        axes.text(x, base, literal(name), va="bottom", color=MUTED, **drawn, **turned)


def _key(axes: Axes, y: float, x: float, size: float) -> None:
    """Swatches of the scale."""
    axes.text(x, y, "points", va="center", fontsize=size, color=MUTED)
    for i, points in enumerate((-EXTREME, -20, -5, -1, 0, 1, 5, 20, EXTREME)):
        place = x + 0.5 + 0.36 * i
        face = colour(points)
        axes.add_patch(Rectangle((place, y - PITCH / 2), 0.36, PITCH, fc=face, ec=LINE, lw=0.4))
        text = f"{points:+d}".replace("-", "−") if points else "0"
        drawn = {"ha": "center", "va": "center_baseline", "fontsize": size, "color": on(face)}
        axes.text(place + 0.18, y, text, **drawn)
    text = "bold: interval above 0; grey: not run"
    axes.text(x, y + 0.24, text, va="center", fontsize=size, color=MUTED)


def _blocks(
    studied: pd.DataFrame, frame: pd.DataFrame, legend: Legend
) -> list[tuple[str, list[Line]]]:
    """Rows under headings: the readings of each sign with the best control, and what else ran."""
    settings = _settings(studied)
    best = {setting: _best_control(frame, setting) for setting in settings}
    best = {setting: row for setting, row in best.items() if row is not None}
    blocks = []
    for sign, title in SIGNS.items():
        rows = studied[studied["sign"] == sign]
        lines = [
            Line(_names(of.iloc[0], studied), _by_setting(of))
            for _, of in rows.groupby("refiner", sort=False)
        ]
        if lines:
            blocks.append((title, [*lines, *([Line((BEST,), best)] if best else [])]))
    others = distinct(frame[frame["role"] != "baseline"])
    places = others[SETTING].itertuples(index=False, name=None)
    others = others[np.array([place in settings for place in places], dtype=bool)]
    lines = [
        Line((legend.refiner(name),), _by_setting(others[others["refiner"] == name]))
        for name in legend.ordered("refiner", others["refiner"])
    ]
    return [*blocks, *([("For comparison", lines)] if lines else [])]


def _by_setting(rows: pd.DataFrame) -> dict[tuple[str, ...], Mapping[str, Any]]:
    return {tuple(row[key] for key in SETTING): row for row in rows.to_dict("records")}


def _best_control(frame: pd.DataFrame, setting: tuple[str, ...]) -> Mapping[str, Any] | None:
    """The control with the largest gain in a setting, if one was run."""
    rows = distinct(frame[(frame["role"] == "control") & frame["difference"].notna()])
    rows = rows[(rows[SETTING] == list(setting)).all(axis=1)]
    return None if rows.empty else rows.loc[rows["difference"].idxmax()].to_dict()


def _names(row: Mapping[str, Any], studied: pd.DataFrame) -> tuple[str, ...]:
    """The levels of a reading in words, in the order of LEVELS."""
    return (
        SPACES[row["space"]],
        row["reduction"],
        f"{row['gumbel']:g}",
        f"{row['beta']:g}",
        row["weight_rule"],
        *(str(row[name]) for name in _others(studied)),
    )


def _titles(studied: pd.DataFrame) -> list[str]:
    return [*LEVELS.values(), *(name.replace("_", " ") for name in _others(studied))]


def _settings(studied: pd.DataFrame) -> list[tuple[str, ...]]:
    """The study's SETTINGs, those of a data set and a model side by side."""
    settings = settings_of(studied)
    places = list(dict.fromkeys(setting[:3] for setting in settings))
    return sorted(settings, key=lambda setting: places.index(setting[:3]))


def _ran(studied: pd.DataFrame) -> pd.DataFrame:
    return studied[studied["difference"].notna()]


def _others(studied: pd.DataFrame) -> list[str]:
    """Fields beyond sign and LEVELS in which the readings differ."""
    known = ("kind", "sign", *LEVELS)
    fields = (*Reading.model_fields, BATCH)
    return [name for name in fields if name in studied and name not in known]


def _gain(row: Mapping[str, Any] | None) -> Text:
    return Text() if row is None else gain_text(row, "difference", brief=True)
