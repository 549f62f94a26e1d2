"""Images in .npz files: the arrays that were stored, or one line that names file and array."""

import io
import re
from itertools import count

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from replication.data.images import digits, medmnist
from replication.settings.datasets import Digits, MedMNIST

fuzz = settings.get_profile("fuzz")
half = settings(fuzz, max_examples=fuzz.max_examples // 2)
fresh = count()
PARTS = "train", "val", "test"
INTEGERS = np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def write(folder, data):
    """The folder of a new data set called `set`, and its file."""
    place = folder / str(next(fresh)) / "set"
    place.mkdir(parents=True)
    (place / "set.npz").write_bytes(data)
    return place, place / "set.npz"


def saved(arrays, packed):
    file = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(file, **arrays)
    return file.getvalue()


def load(place):
    return medmnist.load("set", MedMNIST(kind="medmnist"), place)


@st.composite
def medical(draw):
    """The arrays of a valid file."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes, channels = draw(st.integers(2, 5)), draw(st.sampled_from([(), (1,), (3,)]))
    kind, flat = draw(st.sampled_from(INTEGERS)), draw(st.booleans())
    arrays = {}
    for part in PARTS:
        n = draw(st.integers(classes if part == "train" else 1, 9))
        images = random.integers(0, 256, (n, 28, 28, *channels), np.uint8)
        labels = random.integers(0, classes, n)
        if part == "train":
            labels[:classes] = random.permutation(classes)
        order = draw(st.sampled_from("CF"))
        arrays[f"{part}_images"] = np.asarray(images, order=order)
        arrays[f"{part}_labels"] = labels.astype(kind)[:, None][:, 0 if flat else slice(None)]
    return arrays


def same(dataset, arrays):
    parts = dataset.train, dataset.validation, dataset.tests["test"]
    for name, part in zip(PARTS, parts, strict=True):
        images, labels = arrays[f"{name}_images"], arrays[f"{name}_labels"].ravel()
        assert part.labels.dtype == np.int64
        assert part.labels.tolist() == [int(label) for label in labels]
        assert part.inputs.shape[1:] == (*(images.shape[3:] or (1,)), 28, 28)
        for found, image in zip(part.inputs, images, strict=True):
            stacked = (
                [image] if image.ndim == 2 else [image[:, :, c] for c in range(image.shape[2])]
            )
            assert np.array_equal(found, stacked)
    assert dataset.classes == 1 + max(arrays["train_labels"].ravel().tolist())


@half
@given(medical(), st.booleans())
def test_what_was_stored_is_what_is_read(folder, arrays, packed):
    place, _ = write(folder, saved(arrays, packed))
    same(load(place), arrays)
    same(load(place), arrays)  # from the unpacked copy


def spoil(draw, arrays):
    """What a file that was spoilt in one way is told."""
    part = draw(st.sampled_from(PARTS))
    images, labels = f"{part}_images", f"{part}_labels"
    n, stored = len(arrays[labels]), arrays[images]
    side, channels = draw(st.sampled_from([27, 32, 64])), draw(st.sampled_from([0, 2, 4]))
    other, several = draw(st.sampled_from(["f4", "i8", "i1"])), draw(st.integers(2, 5))
    ways = {
        "missing": (draw(st.sampled_from([images, labels])), None, "{} is missing"),
        "size": (images, np.zeros((n, 28, side), np.uint8), "28 x 28"),
        "kind": (images, stored.astype(other), "in uint8"),
        "channels": (images, np.zeros((n, 28, 28, channels), np.uint8), "channels"),
        "dimensions": (images, stored[0, 0], "28 x 28"),
        "fewer": (images, stored[1:], "but {n} labels"),
        "negative": (labels, np.full((n, 1), -1), "must be 0 to K - 1"),
        "beyond": (labels, np.full((n, 1), draw(st.integers(7, 2**62))), "must be 0 to K - 1"),
        "several": (labels, np.zeros((n, several), int), "multi-label"),
        "reals": (labels, np.zeros(n), "an integer for each"),
        "words": (labels, np.full(n, "a"), "an integer for each"),
        "none": (labels, np.zeros((0, 1), int), "an integer for each"),
        "objects": (labels, np.array([{}] * n), "not a readable"),
    }
    kind = draw(st.sampled_from(sorted(ways)))
    event(kind)
    name, array, message = ways[kind]
    arrays = {k: v for k, v in (arrays | {name: array}).items() if v is not None}
    return arrays, message.format(name, n=n)


@fuzz
@given(medical(), st.booleans(), st.data())
def test_a_wrong_array_is_named(folder, arrays, packed, data):
    arrays, message = spoil(data.draw, arrays)
    place, path = write(folder, saved(arrays, packed))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load(place)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


@fuzz
@given(medical(), st.booleans(), st.data())
def test_a_damaged_file_is_refused_or_read_as_it_was(folder, arrays, packed, data):
    damaged = bytearray(saved(arrays, packed))
    end = len(damaged)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, end - 1)) :]
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, end - 1) | st.integers(max(0, end - 900), end - 1))
        if at < len(damaged):
            damaged[at] = data.draw(st.integers(0, 255))
    place, path = write(folder, bytes(damaged))
    try:
        found = load(place)
    except ValueError as error:
        event("refused")
        message = str(error)
    else:
        event("read")
        return same(found, arrays)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1


@half
@given(medical(), st.integers(64 * 2**20 + 1, 2**32 - 2), st.sampled_from(PARTS))
def test_an_array_of_far_more_than_its_file_is_not_unpacked(folder, arrays, declared, part):
    whole = bytearray(saved(arrays, True))
    entry = whole.rindex(f"{part}_images.npy".encode()) - 46  # of the archive's directory
    whole[entry + 24 : entry + 28] = declared.to_bytes(4, "little")
    place, _ = write(folder, bytes(whole))
    with pytest.raises(ValueError, match=f"{part}_images unpacks to {declared:,} bytes, far more"):
        load(place)


@half
@given(st.data())
def test_small_images_are_split_by_class_and_nothing_is_lost(folder, data):
    classes, each = data.draw(st.integers(2, 4)), data.draw(st.integers(6, 12))
    side = data.draw(st.integers(1, 8))
    labels = np.repeat(np.arange(classes), each)
    images = np.zeros((len(labels), side, side), np.uint8)
    images[:, 0, 0] = np.arange(len(labels))
    train, validation = (data.draw(st.integers(classes, len(labels))) for _ in range(2))
    place = folder / str(next(fresh))
    place.mkdir()
    np.savez(place / "digits.npz", images=images, labels=labels)
    source = Digits(kind="digits", train=train, validation=validation, split_seed=0)
    if train + validation > len(labels) - classes:
        with pytest.raises(ValueError, match=r"^datasets\.mine: train \+ validation <= "):
            digits.load("mine", source, place)
        return
    dataset = digits.load("mine", source, place)
    parts = dataset.train, dataset.validation, dataset.tests["test"]
    assert [len(part) for part in parts[:2]] == [train, validation]
    rows = np.concatenate([part.inputs[:, 0, 0, 0] for part in parts])
    assert sorted(rows.tolist()) == list(range(len(labels)))
    assert np.concatenate([part.labels for part in parts]).tolist() == labels[rows].tolist()
    for part in parts:
        counts = np.bincount(part.labels, minlength=classes)
        assert counts.max() - counts.min() <= 2
