"""The whole profile at a glance: its settings in a line each, and the verdicts in words."""

import pandas as pd

from replication.report.frames import KEYS, SETTING
from replication.report.grid import Grid, Group, Row, Text, as_markdown, heads, markdown
from replication.report.legend import Legend
from replication.report.statistics import count_verdicts, settings_of
from replication.report.texts import (
    gain_text,
    judged,
    listed,
    paper_text,
    score_text,
    setting_text,
)

SAID = {
    "reproduced": ("reproduces a gain", "reproduce a gain", "that survives both controls"),
    "gain, matched by a control": ("gains", "gain", "no more than a control does"),
    "gain, control not run": ("gains", "gain", "with a control not run"),
    "not reproduced": ("shows", "show", "no difference that its interval can tell from 0"),
    "harm": ("is", "are", "worse than the upstream alone"),
    "undecided": ("has", "have", "too few seeds for an interval"),
    "not run": ("is", "are", "not run"),
}


def glance_grid(frame: pd.DataFrame, legend: Legend, name: str = "glance") -> Grid:
    """One row per setting: the readings of SAFLEX, rivals, and what puts a gain to the test.

    frame: of tables.tidy, or rows of it.
    """
    rows = distinct(frame[frame["upstream_kind"] != "none"])
    columns = [
        refiner
        for role in ("reading", "rival", "control")
        for refiner in legend.ordered("refiner", rows.loc[rows["role"] == role, "refiner"])
    ]
    groups: dict[tuple[str, str], Group] = {}
    for setting in settings_of(rows):
        group = rows[(rows[SETTING] == list(setting)).all(axis=1)].to_dict("records")
        cells = {row["refiner"]: row for row in group}
        alone = next((row for row in group if row["role"] == "baseline"), None)
        read = next((row for row in group if row["role"] == "reading"), None)
        texts = [
            score_text(alone, paper=False) if alone else Text(),
            paper_text(read) if read else Text(),
            gain_text(alone, "clean", brief=True) if alone else Text(),
            *(judged(cells[name], brief=True) if name in cells else Text() for name in columns),
        ]
        _, dataset, model, upstream, batch = setting
        part = groups.setdefault((dataset, model), Group(Text(f"{dataset}, {model}"), []))
        part.rows.append(Row(legend.setting(upstream, batch), texts))
    return Grid(
        name=name,
        title="At a glance: gain over the upstream alone, points ± 95 % interval",
        columns=[
            Text("Upstream, trained on"),
            Text("Upstream alone"),
            Text("The paper's gain"),
            Text("clean samples alone"),
            *heads(legend, columns),
        ],
        groups=[*groups.values()],
        notes=[] if groups else ["No cell of this profile has an upstream."],
        view="Gains",
    )


def verdict_sentences(frame: pd.DataFrame, legend: Legend) -> list[str]:
    """A sentence per reading of SAFLEX. frame: of tables.tidy."""
    readings = readings_of(frame)
    if readings.empty:
        return ["This profile has no SAFLEX cell."]
    sentences = []
    for refiner in legend.ordered("refiner", readings["refiner"]):
        group = readings[readings["refiner"] == refiner]
        sentences.append(f"{legend.refiner(refiner)}: of {counted(group)}.")
    return sentences


def counted(readings: pd.DataFrame, which: str = "") -> str:
    """Verdicts in words: "4 cells, 1 is worse than the upstream alone and ...". which: cells."""
    counts = {name: n for name, n in count_verdicts(readings).items() if n}
    parts = [f"{n} {SAID[name][n > 1]} {SAID[name][2]}" for name, n in counts.items()]
    return f"{len(readings)} cell{'s' * (len(readings) > 1)}{which}, {listed(parts)}"


def absence_sentence(frame: pd.DataFrame, legend: Legend) -> str:
    """Which augmentations of which data sets nobody has run; empty if there are none."""
    rows = frame[frame["upstream_kind"] != "none"]
    ran = rows.groupby(["dataset", "model", "upstream"], sort=False)["run"].any()
    models = rows.groupby("dataset")["model"].nunique()
    names: dict[str, list[str]] = {}
    for dataset, model, upstream in ran[~ran].index:
        which = f"{dataset}, {model}," if models[dataset] > 1 else dataset
        names.setdefault(which, []).append(legend.upstream(upstream))
    sets = [f"{which} with {listed(upstreams)}" for which, upstreams in names.items()]
    return f"Not run: {'; '.join(sets)}." if sets else ""


def in_brief(frame: pd.DataFrame, legend: Legend) -> str:
    """The verdicts in words and, folded, the table at a glance without what nobody has run."""
    sentences = [*verdict_sentences(frame, legend), absence_sentence(frame, legend)]
    ran = frame[frame.groupby(SETTING)["run"].transform("any")]
    lines = "\n".join(f"- {as_markdown(sentence)}" for sentence in sentences if sentence)
    table = markdown(glance_grid(frame if ran.empty else ran, legend))
    return f"{lines}\n\n<details>\n<summary>Every difference</summary>\n\n{table}\n</details>\n"


def summary(frame: pd.DataFrame) -> dict[str, int | dict[str, float]]:
    """Each reading's mean gain over the upstream alone in points, by experiment, and in how many
    cells readings reproduce a gain and harm. What `dvc metrics` and `dvc exp show` have a column
    of."""
    readings = readings_of(frame)
    found: dict[str, dict[str, float]] = {}
    for (experiment, refiner), group in readings.groupby(["experiment", "refiner"], sort=False):
        if not pd.isna(gain := group["difference"].mean()):
            found.setdefault(experiment, {})[refiner] = round(gain, 3)
    counts = count_verdicts(readings)
    return found | {name: counts[name] for name in ("reproduced", "harm")}


def gains(frame: pd.DataFrame, legend: Legend) -> pd.DataFrame:
    """Every paired difference to the upstream alone: KEYS, setting and method in words, gain, low
    and high in points, and the verdict on a reading."""
    rows = distinct(frame[frame["difference"].notna() & (frame["upstream_kind"] != "none")])
    named = {"difference": "gain", "difference_low": "low", "difference_high": "high"}
    rows = rows[[*KEYS, *named, "verdict"]].rename(columns=named)
    settings = [setting_text(setting, legend) for setting in rows[SETTING].itertuples(index=False)]
    rows.insert(len(KEYS), "setting", settings)
    rows.insert(len(KEYS) + 1, "method", [legend.refiner(name) for name in rows["refiner"]])
    return rows


def readings_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The readings' rows of tables.tidy, each cell once."""
    return distinct(frame[frame["role"] == "reading"])


def distinct(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of tables.tidy, each cell once, with its first column."""
    return frame[frame["column"] == 0].drop_duplicates(KEYS)
