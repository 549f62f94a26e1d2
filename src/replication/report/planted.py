"""What refiners find of what was planted: their gains beside that of an oracle."""

import pandas as pd

from replication.report.frames import KEYS, SETTING, Cells
from replication.report.glance import distinct
from replication.report.grid import Grid, Group, Row, Text, heads
from replication.report.legend import BATCHES, METRICS, Legend
from replication.report.reference import signed
from replication.report.texts import judged, score_text

NAME, TITLE = "planted", "Planted wrong labels, and what is found of them"
ORACLE = "oracle"


def planted_frame(frame: pd.DataFrame, cells: Cells) -> pd.DataFrame:
    """Rows of tables.tidy, each cell once, of settings that have an oracle.

    With `estimated`, the share of wrong labels that the refiner finds most likely, `weight`, that
    it leaves on samples of another class, both means over seeds and steps, and `captured`, its gain
    as a share of the oracle's; NaN where there is none.
    """
    oracles = frame.loc[frame["kind"] == ORACLE, SETTING].drop_duplicates()
    rows = distinct(frame).merge(oracles, on=SETTING)
    said = cells.diagnostics.groupby([*KEYS, "name"], sort=False)["value"].mean().unstack("name")
    said = said.reindex(columns=["wrong", "other_weight"])
    said = said.rename(columns={"wrong": "estimated", "other_weight": "weight"}).reset_index()
    rows = rows.merge(said, "left", on=KEYS)
    best = rows.loc[rows["kind"] == ORACLE, [*SETTING, "difference"]].drop_duplicates(SETTING)
    best = rows[SETTING].merge(best, "left", on=SETTING)["difference"]
    return rows.assign(captured=(rows["difference"] / best).where(rows["planted"] > 0).to_numpy())


def captured(shown: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """By metric, planted share, batch composition and refiner of `shown`, over settings in which it
    and the oracle were run: the mean `gain`, the `oracle`'s, their quotient, `captured`, the number
    of `settings`, and whether the oracle is `sure` to gain in all of them."""
    best = rows.loc[rows["kind"] == ORACLE, [*SETTING, "difference", "difference_low"]].dropna()
    best = best.drop_duplicates(SETTING).assign(sure=best["difference_low"] > 0)
    best = best.drop(columns="difference_low")
    rows = shown[(shown["planted"] > 0) & shown["difference"].notna()]
    rows = rows.merge(best.rename(columns={"difference": "oracle"}), on=SETTING)
    rows = rows.rename(columns={"difference": "gain"})
    groups = rows.groupby(["metric", "planted", "batch", "refiner"], sort=False)
    means, counts = groups[["gain", "oracle"]].mean(), groups.size()
    found = means.assign(captured=means["gain"] / means["oracle"], settings=counts)
    return found.assign(sure=groups["sure"].all()).reset_index()


def drawn_rows(rows: pd.DataFrame, legend: Legend) -> pd.DataFrame:
    """Those of settings with an oracle that surely gains, as plots.found_of_planted takes them."""
    sure = rows[(rows["kind"] == ORACLE) & (rows["difference_low"] > 0)]
    part = rows[rows["difference"].notna() & (rows["role"] != "baseline")]
    part = part.merge(sure[SETTING], on=SETTING)
    shown = (part["role"] == "reading") | _beside(part, rows, legend)
    part = part[shown & (part["kind"] != "permuted")]
    return part[part[SETTING].apply(tuple, axis=1).duplicated(keep=False)]


def _beside(part: pd.DataFrame, rows: pd.DataFrame, legend: Legend) -> pd.Series:
    """Which are controls of readings that estimate a share of wrong labels, or know more."""
    more = [name for name, entry in legend.refiners.items() if entry.train_on_validation]
    of_these = part["of"].isin(rows.loc[_estimates(rows), "refiner"])
    return of_these | part["refiner"].isin(more) | (part["kind"] == ORACLE)


def _estimates(rows: pd.DataFrame) -> pd.Series:
    return rows["estimated"].notna() & (rows["role"] == "reading")


def planted_grid(rows: pd.DataFrame, legend: Legend) -> Grid:
    """One row per setting: gains over the upstream alone of readings, of the controls of those that
    estimate a share of wrong labels, and of what knows more. rows: of `planted_frame`."""
    estimates = _estimates(rows)
    estimating = legend.ordered("refiner", rows.loc[estimates, "refiner"])
    shown = rows[(rows["role"] == "reading") | _beside(rows, rows, legend)]
    refiners = [
        name
        for role in ("reading", "control")
        for name in legend.ordered("refiner", shown.loc[shown["role"] == role, "refiner"])
    ]
    groups: dict[tuple[str, str], Group] = {}
    for (*setting, planted), group in rows.groupby([*SETTING, "planted"], sort=False):
        named = dict(zip(SETTING, setting, strict=True))
        cells = {row["refiner"]: row for row in group.to_dict("records")}
        alone = next((row for row in cells.values() if row["role"] == "baseline"), None)
        texts = [Text(f"{100 * planted:.0f}")]
        texts += [
            _percent(cells[name]["estimated"]) if name in cells else Text() for name in estimating
        ]
        texts.append(score_text(alone, paper=False) if alone else Text())
        texts += [judged(cells[name], True) if name in cells else Text() for name in refiners]
        where = Text(f"{named['dataset']}, {named['model']}")
        part = groups.setdefault((named["dataset"], named["model"]), Group(where, []))
        part.rows.append(Row(legend.setting(named["upstream"], named["batch"]), texts))
    notes = ["Estimated: means over all steps. The oracle drops the samples of another class."]
    if rows.loc[estimates, "kind"].isin(["cross-fitted"]).any():
        notes.append(
            "A cross-fitted reading trains on validation samples with right labels too, so that "
            "fewer are wrong there than planted."
        )
    notes += _sentences(captured(shown[shown["kind"] != ORACLE], rows), legend)
    return Grid(
        name=f"{NAME}-gains",
        title=f"{TITLE}: gain over the upstream alone, points ± 95 % interval",
        columns=[
            Text("Upstream, trained on"),
            Text("Wrong labels, %"),
            *(Text(f"Estimated, {legend.refiner(name)}, %") for name in estimating),
            Text("Upstream alone"),
            *heads(legend, refiners),
        ],
        groups=[*groups.values()],
        notes=notes,
    )


def planted_sentences(rows: pd.DataFrame, legend: Legend) -> list[str]:
    """The mean gains of the readings that estimate a share of wrong labels, the most wrong first.
    rows: of `planted_frame`."""
    found = captured(rows[_estimates(rows)], rows)
    return _sentences(found.sort_values("planted", ascending=False, kind="stable"), legend)


def _sentences(found: pd.DataFrame, legend: Legend) -> list[str]:
    """found: of `captured`."""
    said = []
    for row in found.to_dict("records"):
        share = f", {100 * row['captured']:.0f} % of the oracle's {signed(row['oracle'])}"
        said.append(
            f"{BATCHES[row['batch']].capitalize()}, {100 * row['planted']:.0f} % wrong, "
            f"{legend.refiner(row['refiner'])}: {signed(row['gain'])} points of "
            f"{METRICS[row['metric']]}, mean of {row['settings']} "
            f"setting{'s' if row['settings'] > 1 else ''}"
            f"{share if row['gain'] > 0 and row['sure'] else ''}."
        )
    return said


def _percent(share: float) -> Text:
    return Text() if pd.isna(share) else Text(f"{100 * share:.1f}", value=float(share))
