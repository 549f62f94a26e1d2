"""A table of scores laid out as text: ours with intervals, the paper's beside them, and verdicts.

Percent and percent points throughout; nothing of the paper's is ever put where ours belongs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain, product
from typing import Any

import numpy as np
import pandas as pd

from replication.report.frames import KEYS, SETTING, Cells
from replication.report.grid import Grid, Group, Row, Text
from replication.report.legend import METRICS, Legend
from replication.report.reference import ALONE, REFINER, paper_results, signed
from replication.report.statistics import analyse, settings_of
from replication.report.tables import Table, in_percent
from replication.report.texts import gain_text, judged, paper_text, score_text, setting_text

PLACE = ["dataset", "split", "weight_ensembling"]
"""What tells the columns of a table of the paper apart."""


def results_grid(table: Table, frame: pd.DataFrame, legend: Legend) -> Grid:
    """Methods by data sets and columns: ours, and under it the paper's where it has that."""
    rows = frame[frame["table"] == table.name]
    own = rows.groupby(["dataset", "column"])[["split", "weights", "metric"]].first()
    shown = [(name, i) for name, of in _columns(rows).items() for i in of]
    several = _several(rows)
    columns = [_column(name, own.loc[(name, i)], name in several) for name, i in shown]
    groups = _by_method(rows, shown, legend, name_model=rows["model"].nunique() > 1)
    return Grid(
        name=f"{table.name}-results",
        title=f"{table.title}: test score, percent",
        columns=[Text("Method"), *columns],
        groups=groups,
        notes=_notes(rows) if groups else [absent(table, legend)],
        number=table.number,
        view="Scores",
    )


def differences_grid(table: Table, frame: pd.DataFrame, legend: Legend) -> Grid:
    """Refiner minus upstream alone, seed by seed, the paper's beside it, and the verdict.

    A group for each setting, and for each column of the table that its data set has.
    """
    rows = frame[frame["table"] == table.name]
    columns = ["Method", "Minus upstream, verdict", "The paper's"]
    kinds = list(dict.fromkeys(chain.from_iterable(rows["controls"])))
    columns += [f"Minus its {kind} control" for kind in kinds]
    several, groups = _several(rows), []
    for setting, i in product(settings_of(rows), range(len(table.columns))):
        group = rows[(rows[SETTING] == list(setting)).all(axis=1) & (rows["column"] == i)]
        refined = group[group["role"] != "baseline"].to_dict("records")
        lines = []
        for row in refined:
            own = row["controls"]
            against = [gain_text(row, f"against_{k}") if k in own else Text() for k in kinds]
            cells = [judged(row), paper_text(row), *against]
            lines.append(Row.of(legend, row["refiner"], cells))
        if lines:
            alone = group[group["role"] == "baseline"].to_dict("records")
            heading = _heading(setting, alone, legend)
            if refined[0]["dataset"] in several:
                heading = replace(heading, main=f"{heading.main}: {scored_text(refined[0])}")
            groups.append(Group(heading, lines))
    return Grid(
        name=f"{table.name}-differences",
        title=f"{table.title}: difference to the upstream alone, points [95 % interval]",
        columns=[*map(Text, columns)],
        groups=groups,
        notes=[] if groups else [absent(table, legend)],
        number=table.number,
        view="Differences",
    )


def second_grid(table: Table, frame: pd.DataFrame, cells: Cells) -> Grid | None:
    """Another metric of the cells of a table: AUROC of images, and of tabular data the average
    precision, which tells more where classes are skewed."""
    if table.second is None:
        return None
    column, of_what = table.second
    found = in_percent(analyse(cells, column))
    rows = found[table.holds(found)].assign(column=0)
    of_table = frame[frame["table"] == table.name]
    rows = rows.merge(of_table[KEYS].drop_duplicates(), on=KEYS)
    told = rows[rows["dataset"].isin(_several(of_table))]
    tests = told.groupby("dataset")["split"].first().dropna()
    shown = [(name, 0) for name in rows["dataset"].unique()]
    columns = [Text(name, (tests[name],) if name in tests else ()) for name, _ in shown]
    return Grid(
        name=f"{table.name}-second",
        title=f"{table.title}: {METRICS[column.metric]} on the test split, percent",
        columns=[Text("Method"), *columns],
        groups=_by_method(rows, shown, cells.legend, name_model=True, paper=False),
        notes=[of_what],
        number=table.number,
        view=METRICS[column.metric],
        aside=True,
    )


def paper_grid(table: Table, legend: Legend) -> Grid:
    """The paper's own table: mean ± standard deviation, as printed there."""
    rows = paper_results()
    rows = rows[rows["table"] == table.number]
    places = [*dict.fromkeys(map(tuple, rows[PLACE].to_numpy()))]
    several = len(places) > rows["dataset"].nunique()
    groups = []
    for model, group in rows.groupby("model", sort=False):
        lines = []
        for (kind, refiner), method in group.groupby(["upstream_kind", "refiner"], sort=False):
            values = method.set_index(PLACE)
            texts = [f"{values.loc[p, 'mean']:.2f} ± {values.loc[p, 'std']:.2f}" for p in places]
            name = next(iter(legend.of_kinds([kind])), kind)
            known = {ALONE: "", REFINER: " + SAFLEX"}
            label = name + known.get(refiner, f" + {legend.rival(refiner)}")
            lines.append(Row(label, [*map(Text, texts)]))
        groups.append(Group(Text(model), lines))
    return Grid(
        name=f"{table.name}-paper",
        title=f"As the paper reports it: Table {table.number}, mean ± standard deviation, percent",
        columns=[Text("Method"), *(_place(*place, several) for place in places)],
        groups=groups,
        notes=["These figures are the paper's (arXiv 2410.02512), not ours."],
        view="The paper's own",
        aside=True,
    )


def _place(dataset: str, split: str, ensembled: str, several: bool) -> Text:
    which = f"{split}, ensembled" if ensembled == "yes" else split
    return Text(dataset, (which,) if several else ())


def absent(table: Table, legend: Legend) -> str:
    """What to print where a profile has no cell of a table."""
    upstreams = ", ".join(legend.of_kinds(table.upstreams))
    return (
        f"Not run: this profile has no cell of this table. Switch to one with {upstreams} on "
        f"{table.experiment}, such as `make profile NAME=full`, and type `dvc repro`."
    )


def _by_method(
    rows: pd.DataFrame,
    shown: list[tuple[str, int]],
    legend: Legend,
    name_model: bool,
    paper: bool = True,
) -> list[Group]:
    """A line per method with its score in each (data set, column), in groups of one setting."""
    groups = []
    for (model, upstream, batch), group in _sorted(rows, legend):
        lines = []
        for refiner in legend.ordered("refiner", group["refiner"]):
            of = group[group["refiner"] == refiner].to_dict("records")
            scored = {(row["dataset"], row["column"]): score_text(row, paper) for row in of}
            texts = [scored.get(place, Text()) for place in shown]
            lines.append(Row.of(legend, refiner, texts, batch))
        setting = legend.setting(upstream, batch)
        groups.append(Group(Text(f"{model} · {setting}" if name_model else setting), lines))
    return groups


def _sorted(rows: pd.DataFrame, legend: Legend) -> Iterator:
    keys = ["model", "upstream", "batch"]
    groups = {key: group for key, group in rows.groupby(keys, sort=False)}
    order = sorted(groups, key=lambda group: [*map(legend.rank, keys, group)])
    return ((key, groups[key]) for key in order)


def _columns(rows: pd.DataFrame) -> dict[str, list[int]]:
    """By data set, the columns of a table that it has. rows: of tables.tidy, one table."""
    groups = rows.groupby("dataset", sort=False)["column"]
    return {name: sorted(of.unique()) for name, of in groups}


def _several(rows: pd.DataFrame) -> set[str]:
    """Data sets that have more than one."""
    return {name for name, of in _columns(rows).items() if len(of) > 1}


def _column(dataset: str, own: pd.Series, several: bool) -> Text:
    """A data set above its scores, with the metric and, where there are several, what they are."""
    if several:
        return Text(dataset, (scored_text(own),))
    return Text(dataset, () if pd.isna(own["metric"]) else (_metric(own["metric"]),))


def _metric(name: str) -> str:
    return METRICS.get(name, name)


def scored_text(own: Mapping[str, Any]) -> str:
    """A score's metric, unless nobody has run it, split and, if ensembled, weights in words."""
    metric = [] if pd.isna(own["metric"]) else [_metric(own["metric"])]
    weights = ["ensembled"] if own["weights"] == "ensembled" else []
    return ", ".join([*metric, own["split"], *weights])


def _notes(rows: pd.DataFrame) -> list[str]:
    planned = rows.drop_duplicates(KEYS)
    models, missing = list(dict.fromkeys(planned["model"])), int((~planned["run"]).sum())
    notes = [f"Model: {models[0]}."] if len(models) == 1 else []
    seeds = sorted({int(n) for n in rows["n"].dropna()})
    if seeds:
        counted = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        notes.append(f"Ours: mean ± 95 % t-interval over {counted} seeds.")
    if rows["paper_mean"].notna().any():
        notes.append("The paper's: mean ± standard deviation.")
    if missing:
        notes.append(f"{missing} of {len(planned)} cells are not run.")
    return [" ".join(notes)] if notes else []


def _heading(setting: tuple[str, ...], alone: list[dict], legend: Legend) -> Text:
    below = []
    for row in alone:
        below.append(f"alone {score_text(row, paper=False)}")
        if not np.isnan(row["headroom"]):
            below.append(f"headroom {signed(row['headroom'])} ({row['headroom_best']})")
    return Text(setting_text(setting, legend), (", ".join(below),))
