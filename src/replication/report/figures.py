"""Every figure of a report: what it is called, what it says, and its drawing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from replication.report import (
    apart,
    finetuning,
    generated,
    outcome,
    planted,
    readings,
    steering,
    validation,
)
from replication.report.drawing import save, style
from replication.report.frames import Cells
from replication.report.glance import distinct
from replication.report.legend import Legend
from replication.report.plots import WIDTH, forest, found_of_planted, overview, scores
from replication.report.schematic import schematic
from replication.report.tables import Table


@dataclass(frozen=True)
class Drawn:
    """A figure: its name, title, caption, the text that stands for it, and its drawing, if any.

    narrow: of the same, drawn for a telephone. light: drawn for a light ground only. wide: wider
    than a column of text.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure | None = None
    narrow: Figure | None = None
    light: bool = False
    wide: bool = False

    def save(self, folder: Path) -> None:
        """As SVG and PNG; nothing if it was not drawn."""
        if self.figure is not None:
            save(self.figure, folder, self.name)


OUTCOME = Drawn(
    "outcome",
    "Every gain over the upstream alone",
    "A mark for each cell, the mean of its paired differences. ▲ and ▼: how many have an interval "
    "above 0 and below it.",
    "A line per method with a mark for each of its cells.",
    wide=True,
)
GAINS = Drawn(
    "gains",
    "Gain over the upstream alone, every setting",
    "Paired differences with 95 % intervals. A gain is SAFLEX's own where it lies above those of "
    "the controls without information as well.",
    "A line per setting: the differences of SAFLEX to the upstream alone with their intervals, and "
    "those of the controls. The tables have the figures.",
    wide=True,
)
SCHEMATIC = Drawn(
    "figure1",
    "Figure 1. Where SAFLEX stands in a training loop",
    "Our drawing.",
    "Augmented samples from any upstream pipeline and the gradient of the validation loss go into "
    "SAFLEX. Weights and soft labels come out of it and are trained on; the model after that step "
    "is the one that SAFLEX sees next.",
)
TOY = (
    Drawn(
        "figure2a",
        "Figure 2a. The toy: accuracy against the strength of augmentation",
        "Without SAFLEX and with it, over seeds.",
        "Accuracy on the toy problem as the perturbation grows, without SAFLEX and with it.",
        wide=True,
    ),
    Drawn(
        "figure2b",
        "Figure 2b. The toy: what SAFLEX does to each sample",
        "Which augmented samples are dropped or relabelled, and where the validation samples are.",
        "The plane of the toy problem with its validation samples and its augmented samples, "
        "marked as kept, dropped or relabelled.",
        light=True,
        wide=True,
    ),
)


def of_profile(frame: pd.DataFrame, studied: pd.DataFrame, legend: Legend) -> list[Drawn]:
    """The gains of all methods, and of all settings if a reading has one, if any has.

    frame, studied: of sections.Report.
    """
    rows = distinct(frame)
    read = rows[rows["role"] == "reading"]
    drawn = []
    if pd.concat([read["difference"], studied["difference"]]).notna().any():
        figure, narrow = (
            outcome.outcome_figure(frame, studied, legend, width) for width in (8.6, WIDTH)
        )
        said = "; ".join(outcome.counts(frame, studied, legend))
        alt = f"{OUTCOME.alt} Intervals above and below 0: {said}."
        drawn.append(replace(OUTCOME, figure=figure, narrow=narrow, alt=alt))
    if read["difference"].notna().any():
        figure, narrow = overview(rows, legend), overview(rows, legend, WIDTH)
        drawn.append(replace(GAINS, figure=figure, narrow=narrow))
    return drawn


def of_method(toy: Mapping[str, Any] | None, legend: Legend) -> list[Drawn]:
    """Figures 1 and 2. toy: content of its result file; without it Figure 2 is not drawn."""
    toys = [*TOY]
    if toy is not None:
        figures = import_module("replication.report.toy_figures")
        with style():
            drawn = [
                {"figure": draw(toy, legend), "narrow": draw(toy, legend, narrow=True)}
                for draw in (figures.figure_2a, figures.figure_2b)
            ]
        toys = [replace(t, **of) for t, of in zip(TOY, drawn, strict=True)]
    return [replace(SCHEMATIC, figure=schematic()), *toys]


def of_table(table: Table, frame: pd.DataFrame, legend: Legend) -> list[Drawn]:
    """Two figures for each data set of a table that has a difference. frame: of tables.tidy."""
    rows = distinct(frame[(frame["table"] == table.name) & frame["run"]])
    drawn = []
    for dataset, group in rows.groupby("dataset", sort=False):
        gains = group[(group["upstream_kind"] != "none") & group["difference"].notna()]
        if not gains.empty:
            drawn += _of_dataset(f"{table.name}-{dataset}", dataset, group, gains, legend)
    return drawn


def of_validation(swept: pd.DataFrame, legend: Legend) -> list[Drawn]:
    """A figure for each data set. swept: of validation.split."""
    drawn = []
    ran = swept[swept["difference"].notna()]
    for dataset, rows in ran.groupby("dataset", sort=False):
        said = "; ".join(
            f"{legend.refiner(row.base)}, {legend.setting(row.upstream, row.batch)}, "
            f"{row.samples:.0f} samples, {100 * row.noise:.0f} % wrong: {row.difference:+.2f}"
            for row in rows.itertuples()
        )
        drawn.append(
            Drawn(
                f"{validation.NAME}-{dataset}",
                f"Gain over the upstream alone and the validation set on {dataset}",
                "Paired differences with 95 % intervals. Left: parts of the validation split, "
                "without wrong labels. Right: the whole split, some of its labels moved to another "
                "class.",
                f"Paired differences to the upstream alone in points. {said}.",
                validation.validation_figure(rows, legend),
            )
        )
    return drawn


def of_planted(rows: pd.DataFrame, legend: Legend) -> list[Drawn]:
    """One figure, if an oracle surely gains somewhere. rows: of planted.planted_frame."""
    rows = planted.drawn_rows(rows, legend)
    if rows.empty:
        return []
    said = "; ".join(
        f"{row.dataset}, {legend.setting(row.upstream, row.batch)}, "
        f"{legend.refiner(row.refiner)}: {row.difference:+.2f}"
        for row in rows.itertuples()
    )
    drawn = Drawn(
        f"{planted.NAME}-found",
        planted.TITLE,
        "Gains over the upstream alone as a share of the oracle's, which drops the wrong labels, "
        "with 95 % intervals, in settings in which the oracle's interval lies above 0.",
        f"Gains over the upstream alone in points. {said}.",
        found_of_planted(rows, legend),
        found_of_planted(rows, legend, WIDTH),
        wide=True,
    )
    return [drawn]


def of_steering(rows: pd.DataFrame, legend: Legend) -> list[Drawn]:
    """A figure for each data set. rows: of steering.steering."""
    drawn = []
    for dataset, of in rows.groupby("dataset", sort=False):
        said = "; ".join(
            f"{100 * row.planted:.0f} % wrong, {row.samples} samples: {row.difference:+.2f}"
            for row in of.itertuples()
        )
        drawn.append(
            Drawn(
                f"{steering.NAME}-{dataset}",
                f"{steering.TITLE} On {dataset}",
                "Paired differences in points with half the width of their 95 % intervals, wrong "
                "labels planted in the training samples against validation samples.",
                f"The reading minus the upstream on train + validation in points. {said}.",
                steering.steering_figure(of, legend),
            )
        )
    return drawn


def of_interpolation(curves: pd.DataFrame, legend: Legend) -> list[Drawn]:
    """A figure for each data set that a network was fine-tuned on. curves: of finetuning.curves."""
    drawn = []
    for dataset, rows in curves.groupby("dataset", sort=False):
        ends = rows[rows["coefficient"] == 1]
        said = "; ".join(
            f"{finetuning.method_text(row, legend)} {row['id']:.1f} and {row['ood']:.1f}"
            for row in ends.to_dict("records")
        )
        drawn.append(
            Drawn(
                f"{finetuning.NAME}-{dataset}-interpolation",
                f"Between the pretrained and the fine-tuned weights on {dataset}",
                "Macro-F1 in and out of distribution, means over seeds: from the weights that "
                "fine-tuning starts from to the final ones (dot, with 95 % intervals), through the "
                "coefficients between them. Diamonds: the coefficients chosen on in-distribution "
                "validation.",
                f"Macro-F1 of the final weights, in and out of distribution: {said}.",
                finetuning.interpolation_figure(rows, legend),
                wide=True,
            )
        )
    return drawn


def of_sheets(table: Table, cells: Cells) -> list[Drawn]:
    """A contact sheet for each data set and refiner that has samples."""
    drawn = []
    for (dataset, refiner), of in generated.sheets(table, cells).items():
        label = cells.legend.refiner(refiner)
        said = "; ".join(
            f"{cells.legend.upstream(upstream)}: "
            + ", ".join(
                " ".join(generated.caption(samples, i).split()) for i in range(len(samples["made"]))
            )
            for upstream, samples in of.items()
        )
        drawn.append(
            Drawn(
                f"{table.name}-{dataset}-{refiner}-sheet",
                f"What {label} does to images on {dataset}",
                "Sources above, what the diffusion model made of them below, with the label that "
                "they came with, the one that was learnt if it is another, and the weight in "
                "multiples of the mean: dropped images first, in orange, then relabelled ones. "
                "After the last epoch of the first seed.",
                f"Labels and weights of single images. {said}.",
                generated.contact_sheet(of, cells),
                light=True,
                wide=True,
            )
        )
    return drawn


def of_apart(frame: pd.DataFrame, legend: Legend) -> list[Drawn]:
    """One figure, if a reading was run. frame: of apart.apart."""
    own = [f"{name}_n" for name in ("weights", "labels", "total")]
    ran = frame[frame[own].notna().any(axis=1)]
    if ran.empty:
        return []
    said = "; ".join(
        f"{row['dataset']}, {row['model']}, {legend.upstream(row['upstream'])}, "
        f"{legend.refiner(row['refiner'])}: "
        + ", ".join(f"{title} {row[name]:+.2f}" for name, title in apart.TITLES.items())
        for row in ran.to_dict("records")
    )
    drawn = Drawn(
        f"{apart.NAME}-terms",
        apart.TITLE,
        "Each term from where the one before it ended, green up and orange down, with its 95 % "
        "interval; blue, their sum: SAFLEX on clean + augmented samples minus the upstream alone "
        "on augmented samples. A term that was not run is part of the rest.",
        f"Terms of the gain by the paper's protocol in points. {said}.".replace("+nan", "not run"),
        apart.apart_figure(ran, legend),
        apart.apart_figure(ran, legend, columns=2),
        wide=True,
    )
    return [drawn]


def of_readings(studied: pd.DataFrame, frame: pd.DataFrame, legend: Legend) -> list[Drawn]:
    """The heat map, if a reading was run. studied, frame: of readings.split."""
    if not studied["difference"].notna().any():
        return []
    drawn = Drawn(
        f"{readings.NAME}-gains",
        f"{readings.TITLE}: gain over the upstream alone",
        "Points, blue above 0 and orange below, on a scale alike for both signs and logarithmic; "
        "bold where the 95 % interval lies above 0.",
        f"{' '.join(readings.sentences(studied, frame, legend))} The table above has every figure.",
        readings.readings_figure(studied, frame, legend),
        readings.readings_figure(studied, frame, legend, narrow=True),
        wide=True,
    )
    return [drawn]


def _of_dataset(
    name: str, dataset: str, rows: pd.DataFrame, gains: pd.DataFrame, legend: Legend
) -> list[Drawn]:
    said = "; ".join(
        f"{row.model}, {legend.setting(row.upstream, row.batch)}, {legend.refiner(row.refiner)} "
        f"{row.difference:+.2f} [{row.difference_low:+.2f}, {row.difference_high:+.2f}]"
        for row in gains[gains["role"] == "reading"].itertuples()
    )
    return [
        Drawn(
            f"{name}-gains",
            f"Gain over the upstream alone on {dataset}",
            "Paired differences with 95 % intervals. Grey: the paper's gain, or its range over its "
            "data sets.",
            f"Paired differences to the upstream alone in points with 95 % intervals. {said}.",
            forest(rows, legend),
        ),
        Drawn(
            f"{name}-scores",
            f"Score and headroom on {dataset}",
            "Means with 95 % intervals. Grey: from the upstream alone to the best of clean "
            "training and train + validation.",
            "Test scores of the upstream alone and of SAFLEX, which the table above lists, and how "
            "far the best of clean training and train + validation lies above the upstream.",
            scores(rows, legend),
        ),
    ]
