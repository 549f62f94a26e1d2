"""MedMNIST's file layout, on stand-in files of the right shapes."""

import numpy as np
import pytest

from replication.data.medmnist import medmnist


def stand_in(folder, channels=1, side=28, sizes=(12, 5, 6), classes=3, **changes):
    random = np.random.default_rng(0)
    arrays = {}
    for part, n in zip(("train", "val", "test"), sizes, strict=True):
        shape = (n, side, side) if channels == 1 else (n, side, side, channels)
        arrays[f"{part}_images"] = random.integers(0, 256, shape, np.uint8)
        arrays[f"{part}_labels"] = random.integers(0, classes, (n, 1))
    arrays["train_labels"][0] = classes - 1
    arrays |= changes
    np.savez(folder / "set.npz", **{k: v for k, v in arrays.items() if v is not None})
    return arrays


@pytest.mark.parametrize("channels", [1, 3])
def test_three_splits_channels_first(tmp_path, channels):
    arrays = stand_in(tmp_path, channels)
    dataset = medmnist("set", tmp_path)
    assert dataset.classes == 3
    assert dataset.train.inputs.shape == (12, channels, 28, 28)
    assert dataset.train.inputs.dtype == np.uint8
    assert dataset.validation.labels.tolist() == arrays["val_labels"][:, 0].tolist()
    image = arrays["test_images"][2]
    expected = image if channels == 1 else image[:, :, 1]
    assert (dataset.test.inputs[2, channels // 2] == expected).all()


def test_a_class_may_be_absent_from_validation(tmp_path):
    stand_in(tmp_path, val_labels=np.zeros((5, 1), np.int64))
    assert medmnist("set", tmp_path).classes == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_images": None}, "val_images is missing"),
        ({"test_images": None, "test_labels": None}, "test_images is missing"),
        ({"train_labels": np.zeros((12, 14), np.int64)}, "14 labels per image.*set is multi-label"),
        ({"train_labels": np.zeros((11, 1), np.int64)}, "12 train images but 11 labels"),
        ({"train_images": np.zeros((12, 64, 64), np.uint8)}, r"\(12, 64, 64\).*28 x 28.*larger"),
        ({"train_images": np.zeros((12, 28, 28), np.float32)}, "float32.*uint8"),
        ({"train_images": np.array([{}] * 12)}, "not a readable"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, changes, message):
    stand_in(tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        medmnist("set", tmp_path)
    assert "set.npz" in str(caught.value)


def test_a_truncated_file_is_refused_by_name(tmp_path):
    stand_in(tmp_path)
    path = tmp_path / "set.npz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"set\.npz: not a readable"):
        medmnist("set", tmp_path)


def test_images_are_memory_mapped_and_never_written_to(tmp_path):
    folder = tmp_path / "raw/set"
    folder.mkdir(parents=True)
    arrays = stand_in(folder, channels=3)
    first = medmnist("set", folder).train.inputs
    assert isinstance(first, np.memmap)
    first[:] = 0
    again = medmnist("set", folder).train.inputs
    assert (again == arrays["train_images"].transpose(0, 3, 1, 2)).all()
    assert [path.name for path in folder.iterdir()] == ["set.npz"]


def test_another_version_of_a_file_is_unpacked_anew(tmp_path):
    folder = tmp_path / "raw/set"
    folder.mkdir(parents=True)
    stand_in(folder)
    medmnist("set", folder)
    stand_in(folder, sizes=(9, 5, 6))
    assert len(medmnist("set", folder).train) == 9
