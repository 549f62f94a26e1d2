"""A profile's result files as data frames."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from replication import cells as store
from replication.cells import CellFile, Provenance, read
from replication.report.legend import Legend
from replication.settings import Planned, Settings, methods

KEYS, SETTING = [*store.KEYS], [*store.SETTING]
PLANNED = (
    "role",
    "of",
    "kind",
    "controls",
    "train_on_validation",
    "base",
    "share",
    "noise",
    "upstream_kind",
    "planted",
    "model_kind",
    "reading",
    "validation_batch",
)


@dataclass(frozen=True)
class Column:
    """Which score of a cell: None stands for its first test split and its data set's own metric."""

    split: str | None = None
    weights: str = "final"
    metric: str | None = None


@dataclass(frozen=True)
class Cells:
    """A profile's cells, by data set, then in the order of params.yaml.

    grid: one row per planned cell: KEYS; `run`; the `split` and the `metric` that are its data
    set's own (None where no cell of it has been run); and PLANNED: of its refiner, the role, whose
    control it is, the kind, the kinds of the `controls` that a gain of it has to survive, whether
    it trains on validation data, and the `share` and `noise` of the validation split that it sees
    and the `base` that sees it as it is; the kinds of the rest; the share of labels that the
    upstream has `planted` wrong ones in; and the `reading` of its refiner, or of the one that it
    imitates, as settings have it; and its own `validation_batch`, or "as set" by the profile.
    scores: one row per seed and score: KEYS, `seed`, `split`, `weights`, `metric`, `value`,
    `coefficient` of interpolated weights, and `resplit`, the test rows for each training row where
    every seed draws its own split, else 0.
    diagnostics: one row per seed and mean of what the refiner did: KEYS, `seed`, `name`, `value`.
    files, provenance: what was read, by KEYS; cells that were not run are absent.
    tables: those that the profile asks for.
    """

    profile: str
    legend: Legend
    grid: pd.DataFrame
    scores: pd.DataFrame
    diagnostics: pd.DataFrame
    files: dict[tuple[str, ...], CellFile]
    provenance: dict[tuple[str, ...], Provenance]
    tables: frozenset[str]


def read_cells(settings: Settings, experiments: Collection[str] | None = None) -> Cells:
    """The planned cells of some experiments, or of all; other result files are passed over.

    ValueError naming file and key for one that is malformed or another cell's, and for a data set
    whose cells have different metrics.
    """
    profile, legend = settings.profile.profile, Legend.of(settings)
    files, provenance, planned, own = {}, {}, {}, {}
    for method in methods(settings):
        if experiments is not None and method.method.experiment not in experiments:
            continue
        for cell in method.cells:
            planned[cell.key] = (cell.experiment, cell.dataset), _planned(method, legend)
            path = cell.result(profile)
            if not path.exists():
                continue
            file = read(CellFile, path)
            if file.cell != cell:
                raise ValueError(f"{path}: cell: {cell} is expected, got {file.cell}")
            files[cell.key], scored = file, (file.split, file.metric)
            other = own.setdefault((cell.experiment, cell.dataset), scored)
            if scored != other:
                raise ValueError(f"{path}: metric: {scored}, but other cells of it have {other}")
            if (beside := cell.provenance(profile)).exists():
                provenance[cell.key] = read(Provenance, beside)
    rows = [
        (*key, key in files, *own.get(dataset, (None, None)), *plan)
        for key, (dataset, plan) in _sorted(planned, legend)
    ]
    grid = pd.DataFrame(rows, columns=[*KEYS, "run", "split", "metric", *PLANNED])
    scores, means = _scores(files), _diagnostics(files)
    asked = frozenset(name for name, of in settings.profile.tables if of)
    return Cells(profile, legend, grid, scores, means, files, provenance, asked)


def _planned(method: Planned, legend: Legend) -> tuple:
    """PLANNED of a method."""
    refiner, recipe = method.recipe.refiner, method.recipe
    return (
        refiner.role,
        refiner.of,
        refiner.kind,
        recipe.reading.controls if refiner.role == "reading" and recipe.reading else (),
        refiner.train_on_validation,
        legend.base(method.method.refiner),
        refiner.validation_share,
        refiner.validation_noise,
        recipe.upstream.kind,
        recipe.upstream.planted,
        recipe.model.kind,
        recipe.reading,
        refiner.validation_batch or "as set",
    )


def _sorted(planned: dict[tuple[str, ...], tuple], legend: Legend) -> list:
    datasets = list(dict.fromkeys(dataset for dataset, _ in planned.values()))

    def place(item: tuple) -> tuple[int, ...]:
        key, (dataset, _) = item
        named = dict(zip(KEYS, key, strict=True))
        order = [legend.rank(k, named[k]) for k in ("model", "upstream", "batch", "refiner")]
        return (datasets.index(dataset), *order)

    return sorted(planned.items(), key=place)


def _scores(files: dict[tuple[str, ...], CellFile]) -> pd.DataFrame:
    rows = [
        (*key, seed.seed, s.split, s.weights, s.metric, s.value, s.coefficient, file.data.resplit)
        for key, file in files.items()
        for seed in file.seeds
        for s in seed.scores
    ]
    numbers = ["value", "coefficient", "resplit"]
    columns = [*KEYS, "seed", "split", "weights", "metric", *numbers]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, float))


def _diagnostics(files: dict[tuple[str, ...], CellFile]) -> pd.DataFrame:
    rows = [
        (*key, seed.seed, name, value)
        for key, file in files.items()
        for seed in file.seeds
        for name, value in seed.refiner.items()
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "seed", "name", "value"]).astype({"value": float})
