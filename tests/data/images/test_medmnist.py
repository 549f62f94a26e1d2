"""MedMNIST's file layout, on stand-in files of the right shapes."""

import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from replication import data
from replication.data.images.medmnist import load
from replication.settings.datasets import MedMNIST

SOURCE = MedMNIST(kind="medmnist")
OWN = MedMNIST(kind="medmnist", own=True)


def medmnist(name, folder):
    return load(name, SOURCE, folder)


def stand_in(folder, channels=1, side=28, sizes=(12, 5, 6), classes=3, **changes):
    random = np.random.default_rng(0)
    arrays = {}
    for part, n in zip(("train", "val", "test"), sizes, strict=True):
        shape = (n, side, side) if channels == 1 else (n, side, side, channels)
        arrays[f"{part}_images"] = random.integers(0, 256, shape, np.uint8)
        arrays[f"{part}_labels"] = random.integers(0, classes, (n, 1))
    arrays["train_labels"][:classes, 0] = range(classes)
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
    assert (dataset.tests["test"].inputs[2, channels // 2] == expected).all()


def test_a_class_may_be_absent_from_validation(tmp_path):
    stand_in(tmp_path, val_labels=np.zeros((5, 1), np.int64))
    assert medmnist("set", tmp_path).classes == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_images": None}, "val_images is missing"),
        ({"test_images": None, "test_labels": None}, "test_labels is missing"),
        ({"train_labels": np.zeros((12, 14), np.int64)}, "14 labels per image.*set is multi-label"),
        ({"train_labels": np.arange(11)[:, None] % 3}, "12 train images but 11 labels"),
        ({"train_images": np.zeros((12, 64, 64), np.uint8)}, r"\(12, 64, 64\).*28 x 28.*larger"),
        ({"train_images": np.zeros((12, 28, 28), np.float32)}, "float32.*uint8"),
        ({"train_images": np.array([{}] * 12)}, "not a readable.*[Oo]bject arrays"),
        (
            {"train_labels": np.arange(12)[:, None] % 3 + 1},
            "train_labels must be 0 to K - 1.*1, 2, 3",
        ),
        (
            {"train_labels": np.arange(12)[:, None] % 3 - 1},
            "train_labels must be 0 to K - 1.*-1 is",
        ),
        ({"train_labels": np.r_[np.arange(11) % 3, 100_000]}, "train_labels.*up to 100000"),
        ({"train_labels": np.zeros((12, 1), np.int64)}, "train_labels must be 0 to K - 1"),
        (
            {"train_labels": np.r_[np.arange(11) % 3, -(2**60)]},
            "train_labels.*-1152921504606846976",
        ),
        ({"train_labels": np.arange(12.0) % 3}, "train_labels has .* float64; an integer"),
        ({"train_labels": np.array(["a", "b", "c"] * 4)}, "train_labels has .* an integer"),
        ({"test_labels": np.array([0, 1, 2, 3, 0, 1])}, "test_labels.*training has 3; 3 is"),
        ({"val_labels": np.array([0, 1, -1, 0, 0])}, "val_labels.*; -1 is"),
        ({"val_labels": np.zeros((0, 1), np.int64)}, "val_labels has shape"),
        ({"train_images": np.zeros((12, 28, 28, 2), np.uint8)}, "train_images has 2 channels"),
        ({"train_images": np.zeros((12, 28, 28, 4), np.uint8)}, "train_images has 4 channels"),
        ({"train_images": np.zeros((12, 28, 28, 28), np.uint8)}, "train_images has 28 channels"),
        ({"val_images": np.zeros((5, 28, 28, 3), np.uint8)}, "val_images have 3 .*train_images 1"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, changes, message):
    stand_in(tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        medmnist("set", tmp_path)
    assert "set.npz" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("side", [8, 28, 32, 61])
def test_a_file_of_ones_own_has_any_side_from_8(tmp_path, side):
    arrays = stand_in(tmp_path, channels=3, side=side)
    inputs = load("set", OWN, tmp_path).train.inputs
    assert (inputs == arrays["train_images"].transpose(0, 3, 1, 2)).all()
    if side != 28:  # unpacked already, and refused all the same
        with pytest.raises(ValueError, match="28 x 28"):
            medmnist("set", tmp_path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 7, 7), r"val_images has shape \(5, 7, 7\).*at least 8 x 8.*images\.build"),
        ((5, 16, 17), r"val_images has shape \(5, 16, 17\).*square"),
        ((5, 16), r"val_images has shape \(5, 16\).*square"),
        ((5, 32, 32), "val_images have a side of 32 pixels and train_images of 16"),
    ],
)
def test_images_of_ones_own_are_square_and_of_one_size(tmp_path, shape, message):
    stand_in(tmp_path, side=16, val_images=np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=message):
        load("set", OWN, tmp_path)


def test_damage_anywhere_is_one_line_with_the_remedy(tmp_path):
    stand_in(tmp_path)
    path = tmp_path / "set.npz"
    whole, random, messages = path.read_bytes(), np.random.default_rng(0), []
    for kind in range(60):
        damaged = bytearray(whole[: random.integers(len(whole))] if kind % 2 else whole)
        for place in random.integers(len(damaged), size=20 * (1 - kind % 2)):
            damaged[place] ^= 255
        path.write_bytes(damaged)
        try:
            medmnist("set", tmp_path)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 30
    for message in messages:
        assert message.startswith(f"{path}: ")
        assert len(message.splitlines()) == 1
    with pytest.raises(FileNotFoundError, match=r"other\.npz: no such file"):
        medmnist("other", tmp_path)


def test_an_array_that_unpacks_to_far_more_than_its_file_is_not_unpacked(tmp_path):
    stand_in(tmp_path, train_images=None)
    with (
        zipfile.ZipFile(
            tmp_path / "set.npz", "a", zipfile.ZIP_DEFLATED, compresslevel=1
        ) as archive,
        archive.open("train_images.npy", "w") as file,
    ):
        for _ in range(65):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(ValueError, match="train_images unpacks to 68,157,440 bytes, far more"):
        medmnist("set", tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


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


def test_by_name_with_its_metric_and_its_preparation(tmp_path):
    folder = tmp_path / "sets/set"
    folder.mkdir(parents=True)
    stand_in(folder)
    dataset = data.load("set", SOURCE, tmp_path / "sets", seed=5)
    assert (dataset.name, dataset.metric, dataset.split_per_seed) == ("set", "accuracy", False)
    prepared = dataset.prepare(torch.tensor([[[[0, 255]]]], dtype=torch.uint8))
    assert prepared.dtype == torch.float32
    assert prepared.flatten().tolist() == [-1.0, 1.0]
    assert pickle.loads(pickle.dumps(dataset.prepare)) is dataset.prepare
