"""A validation split made smaller or worse, for the sweep of its size and quality."""

import numpy as np
import pytest
from scipy.stats import chisquare

from replication.data.dataset import Dataset, Split

CLASSES = 4


def numbered(n=200):
    """Samples that are their own numbers."""
    split = Split(np.arange(n), np.arange(n) % CLASSES)
    return Dataset("numbers", CLASSES, split, split, {"id": split, "ood": split}, "accuracy", float)


def wrong(dataset):
    """Numbers of the samples whose label is not theirs."""
    split = dataset.validation
    return set(split.inputs[split.labels != split.inputs % CLASSES].tolist())


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.2, 0.4])
def test_sizes_and_shares_are_as_asked_and_only_validation_changes(share, noise):
    whole = numbered()
    made = whole.with_validation(share, noise, seed=3)
    assert len(made.validation) == 200 * share
    assert len(wrong(made)) == 200 * share * noise
    assert made.train is whole.train
    assert made.tests is whole.tests
    assert (whole.validation.labels == np.arange(200) % CLASSES).all()


def test_nothing_asked_changes_nothing():
    made = numbered().with_validation(1.0, 0.0, seed=0).validation
    assert (made.inputs == np.arange(200)).all()
    assert (made.labels == np.arange(200) % CLASSES).all()


def test_smaller_sets_lie_in_larger_ones_and_fewer_wrong_labels_among_more():
    def made(share, noise, seed=0):
        return numbered().with_validation(share, noise, seed)

    quarter, half = (made(share, 0.0).validation.inputs for share in (0.25, 0.5))
    assert set(quarter) < set(half)
    assert (np.diff(half) > 0).all()
    assert wrong(made(1.0, 0.2)) < wrong(made(1.0, 0.4))
    assert wrong(made(0.5, 0.2)) < wrong(made(1.0, 0.2))
    again = made(0.5, 0.4).validation.labels
    assert (made(0.5, 0.4).validation.labels == again).all()
    assert set(quarter) != set(made(0.25, 0.0, seed=1).validation.inputs)


def test_wrong_labels_are_every_other_class_alike():
    made = numbered(20_000).with_validation(1.0, 1.0, seed=0).validation
    shifts = (made.labels - made.inputs) % CLASSES
    counts = np.bincount(shifts, minlength=CLASSES)
    assert counts[0] == 0
    assert chisquare(counts[1:]).pvalue > 0.01


def test_one_sample_stays():
    assert len(numbered(5).with_validation(0.01, 1.0, seed=0).validation) == 1
