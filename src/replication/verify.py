"""`python -m replication.verify PROFILE`: do the cells computed here agree with the committed ones?

The reference is results/reference/PROFILE/cells.csv, means and deviations over seeds. A cell agrees
if the two means differ by no more than chance, or by one test sample: the bound is Welch's, at a
level at which all cells of the profile agree in 95 of 100 recomputations. Nothing is compared digit
by digit: another processor rounds differently, and training amplifies it. Exit status 1 if a cell
differs or is missing.

--recompute N: trains N cells again, drawn at random, and compares them with the result files that
are there. --write: makes the reference from the cells that are there.
"""

import argparse
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


def summary(file: CellFile) -> dict:
    """A cell's own score: KEYS, split, metric, n, mean, sd over seeds, test samples."""
    values = [seed.value(file.split, "final", file.metric) for seed in file.seeds]
    return {
        **dict(zip(KEYS, file.cell.key, strict=True)),
        "split": file.split,
        "metric": file.metric,
        "n": len(values),
        "mean": np.mean(values),
        "sd": np.std(values, ddof=1) if len(values) > 1 else np.nan,
        "samples": file.data.tests[file.split],
    }


def compare(ours: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Rows of `summary`, of both: KEYS, `difference` of the means, `bound`, and `state`.

    agrees, differs, missing (of ours), or new (no reference, or of another metric).
    """
    on = [*KEYS, "split", "metric"]
    both = ours.merge(reference, "outer", on=on, suffixes=("", "_reference"), indicator=True)
    count = max(1, (both["_merge"] == "both").sum())
    one, other = (both[f"sd{end}"] ** 2 / both[f"n{end}"] for end in ("", "_reference"))
    error = np.sqrt(one + other)
    freedom = error**4 / (one**2 / (both["n"] - 1) + other**2 / (both["n_reference"] - 1))
    half = t.ppf((1 + TOGETHER ** (1 / count)) / 2, freedom) * error
    bound = np.fmax(half, 1.01 / both["samples_reference"])  # np.fmax passes over nan
    difference = both["mean"] - both["mean_reference"]
    state = np.where(difference.abs() <= bound, "agrees", "differs")
    state = np.where(both["_merge"] == "left_only", "new", state)
    state = np.where(both["_merge"] == "right_only", "missing", state)
    return both[on].assign(difference=difference, bound=bound, state=state)


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
    again = []
    with tempfile.TemporaryDirectory() as folder:
        for p, cell in tqdm(chosen, desc="cells trained again"):
            work = [w for w in Work.of(p, profile, Path(folder)) if w.cell == cell]
            (seeds,) = train_all(work, p.seeds, os.cpu_count() or 1)
            again.append(summary(work[0].result(seeds)))
    before = [summary(there[cell]) for _, cell in chosen]
    return compare(pd.DataFrame(again), pd.DataFrame(before))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile")
    parser.add_argument("--recompute", type=int, metavar="N", help="train N cells again")
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
            write_text(path, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
            return print(path)
        if not path.exists():
            raise SystemExit(f"{path}: there is no reference; --recompute N compares with itself")
        table = compare(pd.DataFrame(rows), pd.read_csv(path, keep_default_na=False, na_values=""))
    bad = table[table["state"].isin(["differs", "missing"])]
    for row in bad.to_dict("records"):
        where = " ".join(row[key] for key in KEYS)
        gap = f"{100 * row['difference']:+.2f} points, at most {100 * row['bound']:.2f} expected"
        print(f"{row['state']}: {where}" + (f": {gap}" if row["state"] == "differs" else ""))
    print(", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items()))
    raise SystemExit(len(bad) > 0)


if __name__ == "__main__":
    main()
