"""`python -m replication.verify PROFILE`: do the cells computed here agree with the committed ones?

The reference is results/reference/PROFILE/cells.csv, every seed's score. A cell agrees if the mean
of the differences, seed by seed, is no larger than chance explains, or than one test sample: the
bound is a t-interval's, at a level at which all cells of the profile agree in 95 of 100
recomputations. Nothing is compared digit by digit: another processor rounds differently, and
training amplifies it. Exit status 1 if a cell differs, was run otherwise, or is missing.

--recompute N: trains N cells again, drawn at random, and compares them with the result files that
are there. --write: makes the reference from the cells that are there.
"""

import argparse
import hashlib
import json
import os
import random
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t
from tqdm import tqdm

from replication import cells, settings
from replication.cells import KEYS, RESULTS, CellFile
from replication.files import write_text

REFERENCE = RESULTS / "reference"
TOGETHER = 0.95
"""Probability that all cells agree if nothing but chance is different."""


def summary(file: CellFile) -> pd.DataFrame:
    """A cell's own score: a row per seed with KEYS, seed, split, metric, value, test `samples`, and
    `run`, a hash of settings and data."""
    run = hashlib.md5(json.dumps([file.settings, file.data.files], sort_keys=True).encode())
    return pd.DataFrame(
        {
            **dict(zip(KEYS, file.cell.key, strict=True)),
            "seed": [seed.seed for seed in file.seeds],
            "split": file.split,
            "metric": file.metric,
            "value": [seed.value(file.split, "final", file.metric) for seed in file.seeds],
            "samples": file.data.tests[file.split],
            "run": run.hexdigest()[:12],
        }
    )


def compare(ours: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Rows of `summary`, of both: a row per cell with KEYS, `difference`, `bound` and `state`.

    agrees; differs; other: settings, data, metric or seeds are not the reference's; missing, of
    ours; new, without a reference; undecided: of one seed, which differs by more than a sample.
    """
    cells = {of: dict([*frame.groupby([*KEYS], sort=False)]) for of, frame in
             (("ours", ours), ("reference", reference))}  # fmt: skip
    count = max(1, len(cells["ours"].keys() & cells["reference"].keys()))
    rows = []
    for key in dict.fromkeys((*cells["reference"], *cells["ours"])):
        one, other = (cells[of].get(key) for of in ("ours", "reference"))
        difference = bound = np.nan
        if one is None or other is None:
            state = "missing" if one is None else "new"
        elif not _alike(one, other):
            state = "other"
        else:
            gaps = one["value"].to_numpy() - other["value"].to_numpy()
            difference, n = gaps.mean(), len(gaps)
            bound = 1.01 / other["samples"].iloc[0]
            if n > 1:
                spread = np.std(gaps, ddof=1) / n**0.5
                bound = max(bound, t.ppf((1 + TOGETHER ** (1 / count)) / 2, n - 1) * spread)
            near = np.isnan(gaps).all() or abs(difference) <= bound
            state = "agrees" if near else "differs" if n > 1 else "undecided"
        rows.append((*key, difference, bound, state))
    return pd.DataFrame(rows, columns=[*KEYS, "difference", "bound", "state"])


def _alike(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    fields = ["seed", "split", "metric", "run"]
    return (
        one[fields].astype(str).to_numpy().tolist() == other[fields].astype(str).to_numpy().tolist()
    )


def computed(everything: settings.Settings) -> dict[cells.Cell, CellFile]:
    """The planned cells that have a result file."""
    profile = everything.profile.profile
    planned = settings.cells(everything)
    found = {cell: cells.result(cell, profile) for cell in planned}
    return {cell: file for cell, file in found.items() if file is not None}


def recompute(everything: settings.Settings, count: int, draw: int) -> pd.DataFrame:
    """`compare` of so many cells, trained again, with their files."""
    from replication.stages.train import train_all
    from replication.training.cell import Work

    profile, there = everything.profile.profile, computed(everything)
    planned = [p for p in settings.methods(everything) if any(c in there for c in p.cells)]
    chosen = random.Random(draw).sample(
        [(p, cell) for p in planned for cell in p.cells if cell in there], min(count, len(there))
    )
    if not there:
        raise SystemExit(f"profile {profile}: no cell is computed; `dvc repro` first")
    again = []
    with tempfile.TemporaryDirectory() as folder:
        for p, cell in tqdm(chosen, desc="cells trained again"):
            work = [w for w in Work.of(p, profile, Path(folder)) if w.cell == cell]
            try:
                (seeds,) = train_all(work, p.seeds, os.cpu_count() or 1)
            except (FileNotFoundError, ValueError) as error:
                raise SystemExit(f"{cell}: {error}; `dvc repro` brings what it needs") from error
            again.append(summary(work[0].result(seeds)))
    before = [summary(there[cell]) for _, cell in chosen]
    return compare(pd.concat(again), pd.concat(before))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number >= 1 is expected, got {text!r}")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile")
    parser.add_argument("--recompute", type=_count, metavar="N", help="train N cells again")
    parser.add_argument("--draw", type=int, default=0, help="which N are drawn")
    parser.add_argument("--write", action="store_true", help="make the reference")
    arguments = parser.parse_args()
    everything = settings.load(arguments.profile)
    path = REFERENCE / arguments.profile / "cells.csv"
    if arguments.recompute:
        table = recompute(everything, arguments.recompute, arguments.draw)
    else:
        rows = [summary(file) for file in computed(everything).values()]
        if not rows:
            raise SystemExit(f"profile {arguments.profile}: no cell is computed; `dvc repro` first")
        if arguments.write:
            write_text(path, pd.concat(rows).to_csv(index=False, float_format="%.6g"))
            return print(path)
        if not path.exists():
            raise SystemExit(f"{path}: there is no reference; --recompute N compares with itself")
        reference = pd.read_csv(path, keep_default_na=False, na_values="", dtype={"run": str})
        table = compare(pd.concat(rows), reference)
    bad = table[table["state"].isin(["differs", "other", "missing"])]
    for row in bad.to_dict("records"):
        where = " ".join(row[key] for key in KEYS)
        gap = f"{100 * row['difference']:+.2f} points, at most {100 * row['bound']:.2f} expected"
        print(f"{row['state']}: {where}" + (f": {gap}" if row["state"] == "differs" else ""))
    print(", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items()))
    raise SystemExit(len(bad) > 0)


if __name__ == "__main__":
    main()
