"""Frames laid out as tables of text: ours with intervals, the paper's beside them, and verdicts.

Percent and percent points throughout; nothing of the paper's is ever put where ours belongs.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from replication.report.cells import KEYS, SETTING, Cells
from replication.report.grid import Grid, Group
from replication.report.methods import (
    BASELINE,
    CONTROLS,
    METRICS,
    UPSTREAMS,
    rank,
    refiner_label,
    role,
    setting_label,
)
from replication.report.reference import paper_difference, paper_results, signed
from replication.report.statistics import intervals, settings_of
from replication.report.tables import Table
from replication.settings import IMITATIONS

NOT_RUN = "not run"
SECOND = {
    "images": ("auroc", "Of the last class, or the mean over classes of one against the rest."),
    "tabular": (
        "average_precision",
        "Of the positive class, or the mean over classes where there are more than two.",
    ),
}


def results_grid(table: Table, frame: pd.DataFrame) -> Grid:
    """Methods by data sets: ours, and under it the paper's where it has that data set."""
    rows = frame[frame["table"] == table.number]
    datasets = list(dict.fromkeys(rows["dataset"]))
    metrics = rows.dropna(subset="metric").groupby("dataset")["metric"].first()
    groups = _by_method(rows, datasets, name_model=rows["model"].nunique() > 1)
    columns = [_small(name, METRICS.get(m := metrics.get(name, ""), m)) for name in datasets]
    return Grid(
        name=f"{table.name}-results",
        title=f"{table.caption}: test score, percent",
        columns=["Method", *columns],
        groups=groups,
        notes=_notes(rows) if groups else [absent(table)],
    )


def _by_method(
    rows: pd.DataFrame, datasets: list[str], name_model: bool, paper: bool = True
) -> list[Group]:
    """A line per method with its score on each data set, in groups of one setting."""
    groups = []
    for (model, upstream, batch), group in _sorted(rows, ["model", "upstream", "batch"]):
        lines = []
        for refiner in sorted(set(group["refiner"]), key=lambda name: rank("refiner", name)):
            of = group[group["refiner"] == refiner].set_index("dataset")
            texts = [score_text(of.loc[d], paper=paper) if d in of.index else "" for d in datasets]
            lines.append((refiner_label(refiner, upstream), texts))
        setting = setting_label(upstream, batch)
        groups.append(Group(_join(model if name_model else "", setting), lines))
    return groups


def differences_grid(table: Table, frame: pd.DataFrame) -> Grid:
    """Refiner minus upstream alone, seed by seed, the paper's beside it, and the verdict."""
    rows = frame[frame["table"] == table.number]
    columns = ["Method", "Minus upstream, verdict", "The paper's"]
    groups = []
    for setting in settings_of(rows):
        group = rows[(rows[SETTING] == list(setting)).all(axis=1)]
        refined = group[group["refiner"] != BASELINE]
        alone = group[group["refiner"] == BASELINE]
        lines = []
        for row in sorted(refined.to_dict("records"), key=lambda r: rank("refiner", r["refiner"])):
            tested = row["role"] == "reading"
            against = [gain_text(row, f"against_{c}") if tested else "" for c in IMITATIONS]
            gain = gain_text(row, "difference")
            if tested and row["verdict"] != NOT_RUN:
                gain = f"{gain}\n{row['verdict']}"
            paper = paper_difference(table.number, {key: row[key] for key in KEYS})
            cells = [gain, str(paper or ""), *against]
            lines.append((refiner_label(row["refiner"]), cells))
        if lines:
            groups.append(Group(_heading(setting, alone), lines))
    return Grid(
        name=f"{table.name}-differences",
        title=f"{table.caption}: difference to the upstream alone, points [95 % interval]",
        columns=[*columns, *(f"Minus its {kind} control" for kind in IMITATIONS)],
        groups=groups,
        notes=[] if groups else [absent(table)],
    )


def second_grid(table: Table, frame: pd.DataFrame, cells: Cells) -> Grid:
    """Another metric of the cells of a table: AUROC of images, and of tabular data the average
    precision, which tells more where classes are skewed."""
    metric, of_what = SECOND[table.family]
    scores = cells.scores[cells.scores["metric"] == metric]
    found = intervals(scores.groupby(KEYS, sort=False))[["mean", "low", "high"]] * 100
    rows = frame.loc[frame["table"] == table.number, [*KEYS, "run"]]
    rows = rows.merge(found.reset_index(), "left", on=KEYS)
    datasets = list(dict.fromkeys(rows["dataset"]))
    groups = _by_method(rows, datasets, name_model=True, paper=False)
    return Grid(
        name=f"{table.name}-second",
        title=f"{table.caption}: {METRICS[metric]} on the test split, percent",
        columns=["Method", *datasets],
        groups=groups,
        notes=[of_what],
    )


def glance_grid(frame: pd.DataFrame) -> Grid:
    """One row per setting: the readings of SAFLEX, rivals, and what puts a gain to the test."""
    rows = frame[frame["upstream"] != "none"]
    present = sorted(set(rows["refiner"]), key=lambda name: rank("refiner", name))
    readings = [name for name in present if role(name) == "reading"]
    rivals = [name for name in present if role(name) == "rival"]
    columns = [*readings, *rivals, *(name for name in CONTROLS if name in present)]
    groups: dict[str, list] = {}
    for setting in settings_of(rows):
        group = rows[(rows[SETTING] == list(setting)).all(axis=1)].drop_duplicates(KEYS)
        cells = {row["refiner"]: row for row in group.to_dict("records")}
        read = next((cells[r] for r in readings if r in cells), None)
        paper = read and paper_difference(read["table"], {key: read[key] for key in KEYS})
        alone = score_text(cells[BASELINE], paper=False) if BASELINE in cells else ""
        clean = gain_text(cells[BASELINE], "clean", brief=True) if BASELINE in cells else ""
        texts = [alone, str(paper or ""), clean]
        for refiner in columns:
            row = cells.get(refiner)
            said = row["verdict"] if row and role(refiner) == "reading" else None
            gain = gain_text(row, "difference", brief=True) if row else ""
            texts.append(gain if said in (None, NOT_RUN) else f"{gain}\n{said}")
        _, dataset, model, upstream, batch = setting
        lines = groups.setdefault(f"{dataset}, {model}", [])
        lines.append((setting_label(upstream, batch), texts))
    return Grid(
        name="glance",
        title="At a glance: gain over the upstream alone, points ± 95 % interval",
        columns=[
            "Upstream, trained on",
            "Upstream alone",
            "The paper's gain",
            "clean samples alone",
            *(refiner_label(refiner) for refiner in columns),
        ],
        groups=[Group(heading, lines) for heading, lines in groups.items()],
        notes=[] if groups else ["No cell of this profile has an upstream."],
    )


def diagnostics_grid(diagnostics: pd.DataFrame) -> Grid:
    """What the refiner did to the augmented samples, mean over seeds."""
    shares = {"kept": "Kept, %", "relabelled": "Relabelled, %", "agreement": "Agreement, %"}
    shares |= {"other": "Of another class, %", "other_weight": "Weight on these, %"}
    sizes = {"mean_abs_pi": "Mean |Π|", "reliability": "Reliability", "entropy": "Entropy"}
    present = {k: v for k, v in (shares | sizes).items() if k in diagnostics}
    groups: dict[str, list] = {}
    for row in diagnostics.to_dict("records") if present else []:
        values = [(row[k] * 100, "%.1f") if k in shares else (row[k], "%.3g") for k in present]
        texts = ["" if np.isnan(value) else form % value for value, form in values]
        heading = (
            f"{row['dataset']}, {row['model']} · {setting_label(row['upstream'], row['batch'])}"
        )
        groups.setdefault(heading, []).append((refiner_label(row["refiner"]), texts))
    return Grid(
        name="diagnostics",
        title="What the refiner did",
        columns=["Method", *present.values()],
        groups=[Group(heading, lines) for heading, lines in groups.items()],
        notes=[
            "Kept: effective share of the batch, (Σw)² / (B Σw²); with weights of 0 and 1 the "
            "share of ones. Relabelled: the largest entry of the soft label is another class than "
            "the upstream's. Agreement: the class with the "
            "largest inner product is the upstream's. Reliability: correlation of the scores from "
            "two halves of the validation batch. Entropy: of the soft labels, in nats. Of another "
            "class: the upstream's label is not the class of the image or row it came from, "
            "wrongly or because another one was mixed in."
            if groups
            else "Not run: no cell has recorded diagnostics. Run `dvc repro`."
        ],
    )


def paper_grid(table: Table) -> Grid:
    """The paper's own table: mean ± standard deviation, as printed there."""
    rows = paper_results()
    rows = rows[rows["table"] == table.number]
    datasets = list(dict.fromkeys(rows["dataset"]))
    groups = []
    for model, group in rows.groupby("model", sort=False):
        lines = []
        for (upstream, refiner), method in group.groupby(["upstream", "refiner"], sort=False):
            values = method.set_index("dataset")
            name = UPSTREAMS.get(upstream, upstream)
            known = {"none": "", "saflex": " + SAFLEX", "soft-augmentation": " + Soft-Augmentation"}
            texts = [f"{values.loc[d, 'mean']:.2f} ± {values.loc[d, 'std']:.2f}" for d in datasets]
            lines.append((name + known.get(refiner, f" + {refiner}"), texts))
        groups.append(Group(model, lines))
    return Grid(
        name=f"{table.name}-paper",
        title=f"As the paper reports it: Table {table.number}, mean ± standard deviation, percent",
        columns=["Method", *datasets],
        groups=groups,
        notes=["These figures are the paper's (arXiv 2410.02512), not ours."],
    )


def absent(table: Table) -> str:
    """What to print where a profile has no cell of a table."""
    return (
        "Not run: the active profile has no cell of this table. Point `run` in `params.yaml` at a "
        f"profile with {', '.join(UPSTREAMS.get(u, u) for u in table.upstreams)} on "
        f"{table.family} and type `dvc repro`."
    )


def _notes(rows: pd.DataFrame) -> list[str]:
    models, missing = list(dict.fromkeys(rows["model"])), int((~rows["run"]).sum())
    notes = [f"Model: {models[0]}."] if len(models) == 1 else []
    seeds = sorted({int(n) for n in rows["n"].dropna()})
    if seeds:
        counted = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        notes.append(f"Ours: mean ± 95 % t-interval over {counted} seeds.")
    if rows["paper_mean"].notna().any():
        notes.append("The paper's: mean ± standard deviation.")
    if missing:
        notes.append(f"{missing} of {len(rows)} cells are not run; `dvc repro` runs them.")
    return [" ".join(notes)] if notes else []


def _sorted(rows: pd.DataFrame, keys: list[str]) -> Iterator:
    groups = {key: group for key, group in rows.groupby(keys, sort=False)}
    models = list(dict.fromkeys(rows["model"]))
    order = sorted(
        groups, key=lambda g: (models.index(g[0]), rank("upstream", g[1]), rank("batch", g[2]))
    )
    return ((key, groups[key]) for key in order)


def score_text(row: dict | pd.Series, paper: bool = True) -> str:
    """A cell's score with its interval and, if wanted, the paper's under it."""
    if not row["run"]:
        text = NOT_RUN
    elif np.isnan(row["mean"]):
        text = "undefined"
    elif np.isnan(row["low"]):
        text = f"{row['mean']:.2f} (one seed)"
    else:
        text = f"{row['mean']:.2f} ± {row['high'] - row['mean']:.2f}"
    if paper and not np.isnan(row["paper_mean"]):
        text += f"\npaper {row['paper_mean']:.2f} ± {row['paper_sd']:.2f}"
    return text


def gain_text(row: dict, prefix: str, brief: bool = False) -> str:
    """A paired difference with its interval; brief: as ± its half width."""
    gain, low, high = (row[f"{prefix}{end}"] for end in ("", "_low", "_high"))
    if np.isnan(row[f"{prefix}_n"]):
        return NOT_RUN
    if np.isnan(gain):
        return "undefined"
    if np.isnan(low):
        return f"{signed(gain)} (one seed)"
    return signed(gain) + (
        f" ± {high - gain:.2f}" if brief else f" [{signed(low)}, {signed(high)}]"
    )


def _heading(setting: tuple[str, ...], alone: pd.DataFrame) -> str:
    _, dataset, model, upstream, batch = setting
    parts = [f"{dataset}, {model} · {setting_label(upstream, batch)}"]
    if len(alone):
        row = alone.iloc[0]
        parts.append(f"alone {score_text(row, paper=False)}")
        if not np.isnan(row["headroom"]):
            best = f"{signed(row['headroom'])} ({row['headroom_best']})"
            parts.append(f"headroom {best}")
    return "\n".join([parts[0], ", ".join(parts[1:])]) if parts[1:] else parts[0]


def _small(main: str, below: str) -> str:
    return f"{main}\n{below}" if below else main


def _join(*parts: str) -> str:
    return " · ".join(part for part in parts if part)
