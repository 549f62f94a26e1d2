"""Metrics against their definitions."""

import numpy as np
import pytest
import torch
from torch import nn

from replication.training.evaluation import BATCH, predict, score


def pairs(scores, positive):
    """AUROC as the share of (positive, negative) pairs in the right order, ties counted half."""
    a, b = scores[positive][:, None], scores[~positive][None]
    return ((a > b) + 0.5 * (a == b)).mean()


@pytest.mark.parametrize("classes", [2, 4])
def test_score_is_brute_force(classes):
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(classes), 60)
    labels = random.integers(0, classes, 60)
    found = score(probabilities, labels)
    chosen = [1] if classes == 2 else range(classes)
    assert found["auroc"] == pytest.approx(
        np.mean([pairs(probabilities[:, k], labels == k) for k in chosen])
    )
    assert found["accuracy"] == np.mean(probabilities.argmax(1) == labels)
    assert found["loss"] == pytest.approx(-np.log(probabilities[np.arange(60), labels]).mean())


def test_a_class_without_samples_does_not_count():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    assert score(probabilities, np.array([0, 1, 0]))["auroc"] == 1.0
    assert score(probabilities, np.array([0, 0, 0]))["auroc"] == 0.5


def test_predict_is_in_evaluation_mode_and_leaves_the_mode():
    model = nn.Sequential(nn.Dropout(0.9), nn.Linear(3, 2)).train()
    inputs = torch.randn(5, 3)
    probabilities = predict(model, inputs, lambda x: x)
    expected = model[1](inputs).softmax(1).detach().numpy()
    assert np.allclose(probabilities, expected, atol=1e-6)
    assert model.training


@pytest.mark.parametrize("rows", [1, BATCH, BATCH + 1, 3 * BATCH + 2])
def test_no_row_is_left_with_few_beside_it(rows):
    sizes = []

    def prepare(part):
        sizes.append(len(part))
        return part

    inputs = torch.randn(rows, 3)
    model = nn.Linear(3, 2)
    probabilities = predict(model, inputs, prepare)
    assert np.allclose(probabilities, model(inputs).softmax(1).detach().numpy(), atol=1e-6)
    assert max(sizes) <= BATCH
    assert max(sizes) - min(sizes) <= 1
