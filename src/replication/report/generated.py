"""Table 3 beyond its scores: what the images show that diffusion models made."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from replication.cells import Made, made, read, sheet
from replication.report.drawing import INK, MUTED, ORANGE, literal, style
from replication.report.frames import Cells
from replication.report.grid import Grid, Group, Row, Text
from replication.report.tables import Table

NAME = "table3"
DROPPED = 0.5
"""A sample of less weight than this share of the mean counts as dropped."""
COLUMNS = {
    "other": "Of another class",
    "kept": "Kept by the filters",
    "other_of_kept": "Of those, of another class",
}


def shown(table: Table, cells: Cells) -> pd.DataFrame:
    """dataset, upstream, images and COLUMNS, in percent, of all images that were made and judged.

    ValueError naming file and key for a file that is malformed.
    """
    grid = cells.grid[table.holds(cells.grid)]
    rows = []
    for dataset, upstream in grid[["dataset", "upstream"]].drop_duplicates().to_numpy():
        path = made(cells.profile, table.experiment, dataset, upstream)
        if path.exists():
            found = read(Made, path)
            shares = {key: 100 * getattr(found, key) for key in COLUMNS}
            rows.append({"dataset": dataset, "upstream": upstream, "images": found.images} | shares)
    return pd.DataFrame(rows, columns=["dataset", "upstream", "images", *COLUMNS])


def shown_grid(table: Table, rows: pd.DataFrame, cells: Cells) -> Grid:
    """A line for each upstream, in groups of a data set. rows: of `shown`."""
    groups = []
    for dataset, of in rows.groupby("dataset", sort=False):
        lines = [
            Row(
                cells.legend.upstream(row["upstream"]),
                [Text(f"{row['images']:,}"), *(Text(f"{row[key]:.1f}") for key in COLUMNS)],
            )
            for row in of.to_dict("records")
        ]
        groups.append(Group(Text(dataset), lines))
    return Grid(
        name=f"{table.name}-shown",
        title=f"{table.title}: what they show, percent",
        columns=[Text("Upstream"), Text("Images"), *map(Text, COLUMNS.values())],
        groups=groups,
        notes=[
            "Of the training split. What an image shows is what a classifier of all data says, of "
            "every split and domain, which is used for nothing that is trained.",
            filtered_sentence(rows),
        ],
        number=table.number,
    )


def filtered_sentence(rows: pd.DataFrame) -> str:
    """In how many rows of `shown` the filters leave a larger share of another class."""
    raised = int(((rows["kept"] > 0) & (rows["other_of_kept"] > rows["other"])).sum())
    lines = "line" if len(rows) == 1 else "lines"
    return (
        f"In {raised} of {len(rows)} {lines} the share of another class is larger among what the "
        "filters keep than among all."
    )


Sheet = dict[str, np.ndarray]
"""The arrays of a contact sheet's file."""


def sheets(table: Table, cells: Cells) -> dict[tuple[str, str], dict[str, Sheet]]:
    """By data set and refiner, the samples of each upstream that has some."""
    grid = cells.grid[table.holds(cells.grid)]
    found: dict[tuple[str, str], dict[str, Sheet]] = {}
    keys = ["dataset", "refiner", "upstream"]
    for dataset, refiner, upstream in grid[keys].drop_duplicates().to_numpy():
        path = sheet(cells.profile, table.experiment, dataset, refiner, upstream)
        if path.exists():
            with np.load(path, allow_pickle=False) as arrays:
                found.setdefault((dataset, refiner), {})[upstream] = dict(arrays)
    return found


def contact_sheet(of: dict[str, Sheet], cells: Cells) -> Figure:
    """Two rows for each upstream, sources above what was made of them, which is captioned.

    of: samples by upstream.
    """
    columns = max(len(samples["made"]) for samples in of.values())
    figure = Figure(figsize=(0.72 * columns + 0.3, 2.35 * len(of)), layout="constrained")
    with style():
        parts = np.atleast_1d(figure.subfigures(len(of), 1))
        for part, (upstream, samples) in zip(parts, of.items(), strict=True):
            part.suptitle(literal(cells.legend.upstream(upstream)), fontsize=8.5, color=INK)
            above, below = part.subplots(2, columns, squeeze=False)
            for axes in (*above, *below):
                axes.set(xticks=[], yticks=[], frame_on=False)
            for i in range(len(samples["made"])):
                _picture(above[i], samples["source"][i])
                _picture(below[i], samples["made"][i])
                dropped = samples["weight"][i] < DROPPED
                changed = samples["learnt"][i] != samples["given"][i]
                colour = ORANGE if dropped else INK if changed else MUTED
                below[i].set_xlabel(literal(caption(samples, i)), fontsize=6, color=colour)
    return figure


def caption(samples: Sheet, i: int) -> str:
    """Label, the label learnt where it is another, and weight of a sample."""
    given, learnt = (str(samples["names"][samples[key][i]]) for key in ("given", "learnt"))
    labels = given if given == learnt else f"{given} → {learnt}"
    return f"{labels}\n× {samples['weight'][i]:.1f}"


def _picture(axes, image: np.ndarray) -> None:
    """(C, H, W) uint8."""
    if len(image) == 1:
        axes.imshow(image[0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    else:
        axes.imshow(image.transpose(1, 2, 0), interpolation="nearest")
