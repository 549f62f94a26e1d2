"""What the refiners did to the augmented samples: means over seeds, and as a table of text."""

import numpy as np
import pandas as pd

from replication.report.frames import KEYS, SETTING, Cells
from replication.report.grid import Grid, Group, Row, Text
from replication.report.legend import Legend

SHARES = {
    "kept": "Kept, %",
    "relabelled": "Relabelled, %",
    "agreement": "Agreement, %",
    "other": "Of another class, %",
    "other_weight": "Weight on these, %",
    "wrong": "Estimated wrong, %",
}
SIZES = {"mean_abs_pi": "Mean |Π|", "reliability": "Reliability", "entropy": "Entropy"}
NOTE = (
    "Kept: effective share of the batch, (Σw)² / (B Σw²); with weights of 0 and 1 the "
    "share of ones. Relabelled: the largest entry of the soft label is another class than "
    "the upstream's. Agreement: the class with the "
    "largest inner product is the upstream's. Reliability: correlation of the scores from "
    "two halves of the validation batch. Entropy: of the soft labels, in nats. Of another "
    "class: the upstream's label is not the class of the image or row it came from, "
    "wrongly or because another one was mixed in. Estimated wrong: the share of wrong labels that "
    "`posterior` finds most likely."
)


def diagnostics(cells: Cells) -> pd.DataFrame:
    """Means over seeds of what the refiner did: KEYS, then a column per diagnostic.

    NaN where there is nothing to measure: the reliability of readings that do not shrink by it,
    what is said of inner products where none are taken, and of samples whose upstream label is of
    another class where there are none.
    """
    if cells.diagnostics.empty:
        return pd.DataFrame(columns=KEYS)
    means = cells.diagnostics.groupby([*KEYS, "name"], sort=False)["value"].mean()
    table = means.unstack("name").sort_index(axis=1).reset_index().rename_axis(columns=None)
    table = cells.grid[KEYS].merge(table, on=KEYS)
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


def diagnostics_grid(table: pd.DataFrame, legend: Legend) -> Grid:
    """A line per method. table: of `diagnostics`."""
    present = {name: title for name, title in (SHARES | SIZES).items() if name in table}
    groups: dict[tuple[str, ...], Group] = {}
    for row in table.to_dict("records") if present else []:
        values = [(row[k] * 100, "%.1f") if k in SHARES else (row[k], "%.3g") for k in present]
        cell = tuple(row[key] for key in KEYS)
        texts = [
            Text() if np.isnan(value) else Text(form % value, value=value, cell=cell)
            for value, form in values
        ]
        setting = tuple(row[key] for key in SETTING)
        name = legend.setting(row["upstream"], row["batch"])
        heading = Text(f"{row['dataset']}, {row['model']} · {name}")
        group = groups.setdefault(setting, Group(heading, []))
        group.rows.append(Row.of(legend, row["refiner"], texts))
    return Grid(
        name="diagnostics",
        title="What the refiner did",
        columns=[Text("Method"), *map(Text, present.values())],
        groups=[*groups.values()],
        notes=[NOTE if groups else "Not run: no cell has recorded diagnostics. Run `dvc repro`."],
    )
