"""The embedded digits are scikit-learn's, split without overlap."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import replication.data.digits as module

FOLDER = Path(module.__file__).parent / "embedded" / "digits"


def test_the_images_are_scikit_learns():
    ours = module.digits(FOLDER, 200, 200, 0)
    images = np.concatenate([s.inputs for s in (ours.train, ours.validation, ours.test)])
    labels = np.concatenate([s.labels for s in (ours.train, ours.validation, ours.test)])
    theirs = load_digits()
    expected = np.round(theirs.images * 255 / 16).astype(np.uint8).reshape(len(images), -1)

    def rows(pixels, classes):
        return sorted(map(tuple, np.column_stack([pixels, classes]).tolist()))

    assert rows(images.reshape(len(images), -1), labels) == rows(expected, theirs.target)


def test_splits_are_stratified_and_depend_on_their_seed():
    first, again, other = (module.digits(FOLDER, 200, 100, seed) for seed in (0, 0, 1))
    assert (np.bincount(first.train.labels) >= 19).all()
    assert (np.bincount(first.validation.labels) >= 9).all()
    assert (first.train.inputs == again.train.inputs).all()
    assert (first.train.inputs != other.train.inputs).any()


def test_too_large_splits_are_refused():
    with pytest.raises(ValueError, match=r"datasets\.digits"):
        module.digits(FOLDER, 1700, 90, 0)
