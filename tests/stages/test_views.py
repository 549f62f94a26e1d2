"""Stored views are what the upstream makes, whole and the same again."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import replication.data
from replication import data, settings
from replication.files import read_json
from replication.settings import upstreams
from replication.stages import views
from replication.training import cell

ROOT = Path(__file__).parents[2]
UPSTREAMS = {
    "randaugment": upstreams.RandAugment(kind="randaugment"),
    "mixup": upstreams.Mixing(kind="mixup", alpha=0.4),
    "crop": upstreams.Crop(kind="crop"),
    "boxes": upstreams.Mixing(kind="cutmix", alpha=1.0),
    "trivialaugment": upstreams.TrivialAugment(kind="trivialaugment"),
    "none": upstreams.Identity(kind="none"),
}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    embedded = Path(replication.data.__file__).parent / "embedded"
    shutil.copytree(embedded, tmp_path / "data/sets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def store(folder, name, count=2):
    recipe = settings.methods(settings.load("quick"))[0].recipe
    recipe = recipe.model_copy(update={"upstream": UPSTREAMS[name], "views": count})
    folder.mkdir()
    views.store(recipe, "digits", cell.SETS, folder)
    return {path.stem: np.load(path) for path in folder.glob("*.npy")}


@pytest.mark.parametrize("name", ["randaugment", "mixup", "crop", "boxes", "trivialaugment"])
def test_views_have_the_promised_shapes_and_come_out_the_same_again(workspace, name):
    first, again = (store(workspace / folder, name) for folder in "ab")
    assert first["train_inputs"].shape == (2, 200, 1, 8, 8)
    assert first["validation_labels"].shape == (2, 200, 10)
    assert np.allclose(first["train_labels"].sum(2), 1, atol=1e-5)
    assert sorted(first) == sorted(again)
    assert all((first[name] == again[name]).all() for name in first)


def test_a_view_belongs_to_its_sample(workspace):
    """Without augmentation every view is the image itself, in the order of the data set."""
    stored = store(workspace / "a", "none")
    source = settings.load("quick").datasets["digits"]
    train = data.load("digits", source, cell.SETS, 0).train
    assert (stored["train_inputs"] == train.inputs).all()
    assert (stored["train_labels"].argmax(2) == train.labels).all()


def test_crops_store_how_much_of_the_image_is_left(workspace):
    stored = store(workspace / "a", "crop")
    visible = stored["train_visible"]
    assert visible.shape == stored["train_inputs"].shape[:2]
    assert ((visible >= 0) & (visible <= 1)).all()
    hidden = (stored["train_inputs"] == 0).mean((2, 3, 4))
    assert (hidden >= 1 - visible - 1e-6).all()
    assert (stored["train_inputs"][visible == 0] == 0).all()


def run(monkeypatch, upstream):
    monkeypatch.setattr(sys, "argv", ["views", "quick", "images", "digits", upstream])
    views.main()
    return cell.VIEWS / "quick/images/digits" / upstream


def test_the_stage_says_what_the_views_were_made_from(workspace, monkeypatch):
    folder = run(monkeypatch, "randaugment")
    origin = read_json(folder / "views.json")
    count = settings.load("quick").profile.images.views
    assert origin["views"] == len(np.load(folder / "train_inputs.npy")) == count > 1
    assert origin["upstream"] == {"kind": "randaugment", "operations": 2, "magnitude": 9}
    assert list(origin["files"]) == ["digits.npz"]
    assert [p.name for p in folder.parent.iterdir()] == ["randaugment"]


def test_a_method_that_the_profile_lacks_is_named(workspace, monkeypatch):
    told = r"quick\.yaml has nothing with experiment images, dataset digits, upstream crop"
    with pytest.raises(SystemExit, match=told):
        run(monkeypatch, "crop")


def test_what_is_drawn_in_training_stores_nothing(workspace, monkeypatch):
    path = workspace / "profiles/quick.yaml"
    path.write_text(path.read_text().replace("- mixup", "- lp-a3"))
    (file,) = run(monkeypatch, "lp-a3").iterdir()
    assert file.name == "views.json"
    assert read_json(file)["views"] == 0


def test_a_failing_upstream_leaves_nothing_behind(workspace, monkeypatch):
    from replication.upstream.images import randaugment

    def fail(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(randaugment.RandAugment, "__call__", fail)
    with pytest.raises(RuntimeError):
        run(monkeypatch, "randaugment")
    assert list((cell.VIEWS / "quick/images/digits").iterdir()) == []


def test_a_full_disk_is_an_error_that_says_so(workspace, monkeypatch):
    import errno
    import io

    class Full(io.FileIO):
        def write(self, chunk):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda path, mode: Full(str(path), mode))
    with pytest.raises(OSError, match=r"inputs\.npy could not be written .*Free disk space"):
        views.array(workspace / "inputs.npy", np.uint8, 3, 4)
