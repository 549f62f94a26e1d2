"""A cell's data: the refiner's part of the validation split, and nothing else is touched."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import replication.data
from replication.settings import expected_cells, load
from replication.stages import augment
from replication.training.cell import Cell

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cells(tmp_path):
    """Cells of digits by their refiner: one whole, one with half a split and noise."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    half = params["refiners"]["paper"] | {"validation_share": 0.5, "validation_noise": 0.4}
    params["refiners"]["half"] = half
    grid = params["run"]["images"]
    grid |= {"datasets": ["digits"], "upstreams": ["randaugment"], "refiners": ["paper", "half"]}
    params["run"]["folder"] = str(tmp_path / "embedded")
    embedded = Path(replication.data.__file__).parent / "embedded"
    shutil.copytree(embedded, tmp_path / "embedded")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    settings = load(tmp_path / "params.yaml")
    return {
        cell["refiner"]: Cell.of(settings, cell, tmp_path)
        for cell in expected_cells(settings)
        if (cell["dataset"], cell["batch"]) == ("digits", "augmented")
    }


def test_a_refiners_part_of_the_validation_split(cells):
    whole, half, other = (
        cells[refiner].dataset(seed) for refiner, seed in (("paper", 0), ("half", 0), ("half", 1))
    )
    assert len(half.validation) == len(whole.validation) / 2
    assert (half.train.inputs == whole.train.inputs).all()
    assert (half.test.labels == whole.test.labels).all()
    assert (half.validation.inputs != other.validation.inputs).any()
    labels = {x.tobytes(): y for x, y in zip(*vars(whole.validation).values(), strict=True)}
    true = np.array([labels[x.tobytes()] for x in half.validation.inputs])
    assert (half.validation.labels != true).sum() == 0.4 * len(half.validation)


def test_the_options_are_in_the_result_file_and_part_of_the_cells_identity(cells):
    assert cells["half"].settings()["refiner"]["validation_noise"] == 0.4
    assert cells["half"].checkpoints.folder != cells["paper"].checkpoints.folder


@pytest.mark.parametrize(("changed", "same"), [({"jobs": 7}, True), ({"threads": 7}, False)])
def test_how_many_seeds_run_at_once_is_no_part_of_the_identity(cells, tmp_path, changed, same):
    cell = cells["paper"]
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["run"]["images"]["training"] |= changed
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    again = Cell.of(load(tmp_path / "params.yaml"), cell.cell, tmp_path)
    assert (again.checkpoints.folder == cell.checkpoints.folder) == same


def test_views_of_other_settings_or_data_are_refused(cells, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cell = cells["paper"]
    command = ["augment", "--dataset", "digits", "--upstream", "randaugment", "--out"]
    with pytest.raises(ValueError, match="no stored views of these settings and data"):
        cell.train(0, lambda: None)
    monkeypatch.setattr(sys, "argv", [*command, "data/views/quick-digits-randaugment"])
    augment.main()
    assert cell._stored() == Path("data/views/quick-digits-randaugment")
    for changed in ({"files": {}}, {"everything": settings_of(tmp_path, magnitude=3)}):
        with pytest.raises(ValueError, match="dvc repro"):
            replace(cell, **changed)._stored()


def settings_of(folder, **randaugment):
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["upstreams"]["randaugment"] |= randaugment
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return load(folder / "params.yaml")


def test_other_views_never_resume_from_these_checkpoints(cells, tmp_path):
    cell = cells["paper"]
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["run"]["images"]["views"] = 0
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    again = Cell.of(load(tmp_path / "params.yaml"), cell.cell, tmp_path)
    assert again.checkpoints.folder != cell.checkpoints.folder
