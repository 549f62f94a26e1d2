"""A cell at work: its data, its stored views, and what its identity knows."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import replication.data
from replication import settings
from replication.files import write_json
from replication.settings import refiners, upstreams
from replication.stages import code as stage_code
from replication.stages import train, views
from replication.training import cell
from replication.training.cell import Work

QUICK = settings.load("quick")
HALF = refiners.Saflex(
    kind="saflex",
    role="reading",
    reading="paper",
    validation_share=0.5,
    validation_noise=0.4,
)


@pytest.fixture
def sets(tmp_path, monkeypatch):
    embedded = Path(replication.data.__file__).parent / "embedded"
    shutil.copytree(embedded, tmp_path / "sets")
    monkeypatch.setattr(cell, "SETS", tmp_path / "sets")
    monkeypatch.setattr(cell, "VIEWS", tmp_path / "views")
    return tmp_path


@pytest.fixture
def paper(sets):
    return work(sets, "paper")


def work(root, name, **changes):
    planned = next(
        p
        for p in settings.methods(QUICK)
        if (p.method.dataset, p.method.upstream) == ("digits", "randaugment")
        and p.method.refiner == name
    )
    made = Work.of(planned, "quick", root / "checkpoints")[0]
    return replace(made, recipe=made.recipe.model_copy(update=changes))


def test_a_refiners_part_of_the_validation_split(sets):
    whole, half, other = (
        work(sets, "paper", **({"refiner": refiner} if refiner else {})).dataset(seed)
        for refiner, seed in ((None, 0), (HALF, 0), (HALF, 1))
    )
    assert len(half.validation) == len(whole.validation) / 2
    assert (half.train.inputs == whole.train.inputs).all()
    assert (half.tests["test"].labels == whole.tests["test"].labels).all()
    assert (half.validation.inputs != other.validation.inputs).any()
    labels = {x.tobytes(): y for x, y in zip(*vars(whole.validation).values(), strict=True)}
    true = np.array([labels[x.tobytes()] for x in half.validation.inputs])
    assert (half.validation.labels != true).sum() == 0.4 * len(half.validation)


def test_train_plus_a_part_of_validation_has_that_part_and_its_views(sets, monkeypatch):
    part = refiners.Alone(
        kind="none", role="control", train_on_validation=True, validation_share=0.25
    )
    planned = next(p for p in settings.methods(QUICK) if p.method.refiner == "train-validation")
    (sets / "views/quick/images/digits").mkdir(parents=True)
    folder = sets / "views/quick/images/digits/randaugment"
    folder.mkdir()
    made = work(sets, "train-validation", refiner=part)
    views.store(planned.recipe.model_copy(update={"views": 2}), "digits", cell.SETS, folder)
    write_json(folder / "views.json", cell.views_of(made.recipe, made.files))
    seen = []
    monkeypatch.setattr(cell, "fit", lambda problem, *_: seen.append(problem.task))
    made.train(3, lambda: None)
    (task,), drawn = seen, made.dataset(3).validation
    assert len(task.pool[1]) == task.views.inputs.shape[1] == 200 + 50 == 200 + len(drawn)
    assert (task.pool[0][200:].numpy() == drawn.inputs).all()
    assert (task.views.labels[0, 200:].argmax(1).numpy() == drawn.labels).all()


def test_the_options_are_part_of_the_cells_identity(sets, paper):
    half = work(sets, "paper", refiner=HALF)
    assert half.identity()["settings"]["refiner"]["validation_noise"] == 0.4
    assert half.checkpoints.folder != paper.checkpoints.folder


@pytest.mark.parametrize(
    ("changes", "same"),
    [({"workers": 7}, True), ({"profile": "planted"}, True), ({"threads": 7}, False)],
)
def test_what_no_figure_depends_on_is_no_part_of_the_identity(paper, changes, same):
    again = replace(paper, **changes)
    assert (again.checkpoints.folder == paper.checkpoints.folder) == same


def test_what_the_report_says_is_no_part_of_the_identity(sets, paper):
    renamed = refiners.Saflex(kind="saflex", role="rival", label="Another", reading="mine")
    assert work(sets, "paper", refiner=renamed).identity() == paper.identity()


@pytest.mark.parametrize(("name", "value"), [("__version__", "2.11.0")])
def test_another_version_of_torch_never_resumes(paper, monkeypatch, name, value):
    before = paper.identity()
    monkeypatch.setattr(cell.torch, name, value)
    assert paper.identity() != before


def test_a_temporary_file_of_a_killed_download_is_no_data(paper, sets):
    before = paper.identity()
    (sets / "sets/digits/.digits-abc.npz").write_bytes(b"half of it")
    assert replace(paper).identity() == before


def stored(paper, root):
    """The views of a cell, stored as the stage does it."""
    folder = root / "views/quick/images/digits/randaugment"
    folder.mkdir(parents=True)
    views.store(paper.recipe, "digits", root / "sets", folder)
    views.write_json(folder / "views.json", cell.views_of(paper.recipe, paper.files))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"views": 3},
        {"upstream": upstreams.RandAugment(kind="randaugment", magnitude=3)},
    ],
)
def test_views_of_other_settings_are_refused(sets, paper, change):
    with pytest.raises(ValueError, match="no stored views of these settings and data"):
        paper.train(0, lambda: None)
    assert paper._stored() if stored(paper, sets) else None
    with pytest.raises(ValueError, match="dvc repro"):
        work(sets, "paper", **change)._stored()


def test_views_of_other_data_are_refused(sets, paper):
    stored(paper, sets)
    (sets / "sets/digits/more.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="dvc repro"):
        replace(paper)._stored()


def test_other_views_never_resume_from_these_checkpoints(sets, paper):
    assert work(sets, "paper", views=0).checkpoints.folder != paper.checkpoints.folder


@pytest.mark.parametrize("takes", [("images",), ("tabular",), ("pairs", "images")])
def test_an_edit_that_reruns_a_stage_finds_no_checkpoints_of_before(monkeypatch, takes):
    seen = []
    for module in (cell, stage_code):
        monkeypatch.setattr(module, "hash_of", lambda paths: seen.append({*paths}) or "")
    cell.code(takes[0])
    stage_code.code("train", *takes)
    ours, plans = ({path.resolve() for path in paths} for paths in seen)
    assert plans - ours == {Path(train.__file__)}
    assert ours <= plans


def test_the_code_of_another_kind_of_data_changes_nothing():
    assert cell.code("images") != cell.code("tabular")
