"""Stored views are what the upstream makes, whole and the same again."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import replication.data
from replication import upstream
from replication.stages import augment

ROOT = Path(__file__).parents[2]
UPSTREAMS = {
    "boxes": {"kind": "cutmix", "alpha": 1.0},
    "trivialaugment": {"kind": "trivialaugment"},
    "lp-a3": {"kind": "lp-a3", "epsilon": 8, "margin": 0.1, "iterations": 5, "penalty": 10.0},
}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["upstreams"] |= UPSTREAMS
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    embedded = Path(replication.data.__file__).parent / "embedded"
    shutil.copytree(embedded, tmp_path / "data/embedded")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def store(monkeypatch, upstream, out):
    command = ["augment", "--dataset", "digits", "--upstream", upstream, "--out", out]
    monkeypatch.setattr(sys, "argv", command)
    augment.main()
    return {path.stem: np.load(path) for path in Path(out).glob("*.npy")}


@pytest.mark.parametrize("upstream", ["randaugment", "mixup", "crop", "boxes", "trivialaugment"])
def test_views_have_the_promised_shapes_and_come_out_the_same_again(
    workspace, monkeypatch, upstream
):
    first = store(monkeypatch, upstream, "views/a")
    again = store(monkeypatch, upstream, "views/b")
    views = len(first["train_inputs"])
    assert first["train_inputs"].shape == (views, 200, 1, 8, 8)
    assert first["validation_labels"].shape == (views, 200, 10)
    assert np.allclose(first["train_labels"].sum(2), 1, atol=1e-5)
    assert sorted(first) == sorted(again)
    assert all((first[name] == again[name]).all() for name in first)
    assert {p.name for p in Path("views").iterdir()} == {"a", "b"}


def test_a_view_belongs_to_its_sample(workspace, monkeypatch):
    """Without augmentation every view is the image itself, in the order of the data set."""
    views = store(monkeypatch, "none", "views/none")
    folder = workspace / "data/embedded/digits"
    from replication.data.digits import digits

    train = digits(folder, 200, 200, 0).train
    assert (views["train_inputs"] == train.inputs).all()
    assert (views["train_labels"].argmax(2) == train.labels).all()


def test_what_is_drawn_in_training_stores_what_it_is_drawn_with_alone(
    workspace, monkeypatch, tmp_path
):
    command = ["augment", "--dataset", "digits", "--upstream", "lp-a3", "--out", "views/lp-a3"]
    monkeypatch.setattr(sys, "argv", command)
    augment.main()
    (file,) = Path("views/lp-a3").iterdir()
    stored = json.loads(file.read_text())
    code = stored.pop("code")
    assert stored == UPSTREAMS["lp-a3"]
    other = tmp_path / "upstream"
    shutil.copytree(Path(upstream.__file__).parent, other)
    (other / "mixing.py").write_text("changed")
    monkeypatch.setattr(upstream, "__file__", str(other / "__init__.py"))
    augment.main()
    assert json.loads(file.read_text())["code"] != code


def test_crops_store_how_much_of_the_image_is_left(workspace, monkeypatch):
    views = store(monkeypatch, "crop", "views/crop")
    visible = views["train_visible"]
    assert visible.shape == views["train_inputs"].shape[:2]
    assert ((visible >= 0) & (visible <= 1)).all()
    hidden = (views["train_inputs"] == 0).mean((2, 3, 4))
    assert (hidden >= 1 - visible - 1e-6).all()
    assert (views["train_inputs"][visible == 0] == 0).all()


def test_a_failing_upstream_leaves_nothing_behind(workspace, monkeypatch):
    from replication.upstream import identity

    def fail(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(identity.Identity, "__call__", fail)
    with pytest.raises(RuntimeError):
        store(monkeypatch, "none", "views/none")
    assert list(Path("views").iterdir()) == []
