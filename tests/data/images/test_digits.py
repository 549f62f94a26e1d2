"""The embedded digits are scikit-learn's, split without overlap."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from replication.data.images.digits import load
from replication.data.sources import PACKAGED
from replication.settings.datasets import Digits

FOLDER = PACKAGED / "digits"


def digits(train, validation, split_seed, folder=FOLDER):
    source = Digits(kind="digits", train=train, validation=validation, split_seed=split_seed)
    return load("digits", source, folder)


def splits(dataset):
    return dataset.train, dataset.validation, dataset.tests["test"]


def test_the_images_are_scikit_learns():
    ours = digits(200, 200, 0)
    images = np.concatenate([s.inputs for s in splits(ours)])
    labels = np.concatenate([s.labels for s in splits(ours)])
    theirs = load_digits()
    expected = np.round(theirs.images * 255 / 16).astype(np.uint8).reshape(len(images), -1)

    def rows(pixels, classes):
        return sorted(map(tuple, np.column_stack([pixels, classes]).tolist()))

    assert rows(images.reshape(len(images), -1), labels) == rows(expected, theirs.target)


def test_splits_are_stratified_and_depend_on_their_seed():
    first, again, other = (digits(200, 100, seed) for seed in (0, 0, 1))
    assert (np.bincount(first.train.labels) >= 19).all()
    assert (np.bincount(first.validation.labels) >= 9).all()
    assert (first.train.inputs == again.train.inputs).all()
    assert (first.train.inputs != other.train.inputs).any()


def test_too_large_splits_are_refused():
    with pytest.raises(ValueError, match=r"datasets\.digits"):
        digits(1700, 90, 0)


def test_a_wrong_file_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"digits\.npz: no such file"):
        digits(200, 200, 0, tmp_path)
    path = tmp_path / "digits.npz"
    path.write_bytes((FOLDER / "digits.npz").read_bytes()[:20_000])
    with pytest.raises(ValueError, match=r"digits\.npz: not a readable \.npz"):
        digits(200, 200, 0, tmp_path)
    np.savez(path, images=np.zeros((500, 8, 8), np.uint8), labels=np.arange(500) % 10 + 1)
    with pytest.raises(ValueError, match="labels must be 0 to K - 1"):
        digits(200, 200, 0, tmp_path)
    np.savez(path, images=np.zeros((500, 8, 8, 3), np.uint8), labels=np.arange(500) % 10)
    with pytest.raises(ValueError, match="one grey image in uint8"):
        digits(200, 200, 0, tmp_path)
