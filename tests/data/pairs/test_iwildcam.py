"""iWildCam, from a tiny folder of WILDS' layout that `wilds` itself reads."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from replication import data
from replication.data.sources import WILDS
from replication.settings.datasets import IWildCam

pytest.importorskip("wilds", reason="the extra `contrastive`")

SOURCE = IWildCam(kind="iwildcam", templates=["a photo of {}."], side=32)
SPLITS = ("train", "val", "test", "id_val", "id_test")
NAMES = ("empty", "zebra", "impala")


def write(root, splits=SPLITS, names=NAMES):
    """Two images of each class in each split, of the class's grey."""
    folder = root / "iwildcam_v2.0"
    (folder / "train").mkdir(parents=True)
    rows = []
    for split in splits:
        for k, name in enumerate(NAMES):
            for j in range(2):
                file = f"{split}-{name}-{j}.jpg"
                Image.new("RGB", (48, 36), (80 * k,) * 3).save(folder / "train" / file)
                rows.append((split, file, k, len(rows) % 2, len(rows) % 3))
    columns = ["split", "filename", "y", "location_remapped", "sequence_remapped"]
    table = pd.DataFrame(rows, columns=columns).assign(datetime="2013-06-05 05:44:19.000")
    table.to_csv(folder / "metadata.csv")
    named = pd.DataFrame({"y": range(len(names)), "name": names})
    named.to_csv(folder / "categories.csv", index=False)
    (folder / "RELEASE_v2.0.txt").write_text("")
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(WILDS, str(tmp_path / "wilds"))
    return write(tmp_path / "wilds")


def load(tmp_path, source=SOURCE):
    data.obtain("iwildcam", source, tmp_path / "sets/iwildcam")
    return data.load("iwildcam", source, tmp_path / "sets", 0)


def test_the_official_splits_and_labels(folder, tmp_path):
    found = load(tmp_path)
    splits = {"train": found.train, "validation": found.validation, **found.tests}
    assert {name: len(split) for name, split in splits.items()} == dict.fromkeys(splits, 6)
    assert found.class_names == NAMES
    assert found.metric == "macro_f1"
    assert [path.name.split("-")[0] for path in found.tests["ood"].inputs.paths] == ["test"] * 6
    assert found.validation.inputs.paths[0].name.startswith("id_val-")
    images = found.train.inputs[torch.tensor([0, 2, 4])]
    assert (images.shape, images.dtype) == ((3, 3, 32, 32), torch.uint8)
    assert images.float().mean((1, 2, 3)).tolist() == pytest.approx([0, 80, 160], abs=2)
    kept = {p.name for p in (tmp_path / "sets/iwildcam").iterdir()}
    assert kept == {"metadata.csv", "categories.csv", "RELEASE_v2.0.txt"}


def test_a_corrupt_image_is_named(folder, tmp_path):
    (folder / "train" / "train-zebra-0.jpg").write_bytes(b"\xff\xd8\xff broken")
    images = load(tmp_path).train.inputs
    with pytest.raises(data.DataError, match=r"train-zebra-0\.jpg: not a readable picture"):
        images[torch.arange(6)]


def test_a_missing_image_is_named(folder, tmp_path):
    (folder / "train" / "train-zebra-0.jpg").unlink()
    images = load(tmp_path).train.inputs
    with pytest.raises(FileNotFoundError, match=r"train-zebra-0\.jpg"):
        images[torch.arange(6)]


def test_a_split_without_images_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(WILDS, str(tmp_path / "wilds"))
    write(tmp_path / "wilds", splits=SPLITS[:-1])
    with pytest.raises(ValueError, match=r"metadata.csv: split id_test is empty"):
        load(tmp_path)


def test_a_class_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv(WILDS, str(tmp_path / "wilds"))
    write(tmp_path / "wilds", names=NAMES[:2])
    with pytest.raises(ValueError, match=r"categories.csv: no name of class 2"):
        load(tmp_path)


@pytest.mark.parametrize("part", ["metadata.csv", "categories.csv", "RELEASE_v2.0.txt"])
def test_a_folder_of_another_layout_says_what_it_lacks(folder, tmp_path, part):
    (folder / part).unlink()
    with pytest.raises(data.DataError, match=rf"has no {part}\. SAFLEX_WILDS names a folder"):
        load(tmp_path)


def test_without_a_folder_it_says_where_a_copy_may_be_had(tmp_path, monkeypatch):
    monkeypatch.delenv(WILDS, raising=False)
    assert data.origin("iwildcam", SOURCE) == {"metadata.csv": None, "categories.csv": None}
    with pytest.raises(data.DataError, match=r"issue 174.*lila.science"):
        load(tmp_path)


def test_two_sets_of_pictures_are_one(folder, tmp_path):
    found = load(tmp_path)
    both = found.train.inputs + found.validation.inputs
    assert len(both) == 12
    assert torch.equal(both[torch.tensor([7])], found.validation.inputs[torch.tensor([1])])
    assert np.issubdtype(found.train.labels.dtype, np.int64)
