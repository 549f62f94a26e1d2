"""Soft-Augmentation against its published formula, sample by sample."""

from types import SimpleNamespace

import pytest
import torch

from replication import refiners
from replication.settings.refiners import SoftAugmentation


@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
def test_targets_and_weights_are_the_formulas(power):
    settings = SoftAugmentation(kind="soft-augmentation", role="rival", power=power)
    refiner = refiners.build(settings, None, None, None, None)
    classes, visible = torch.tensor([0, 3, 1]), torch.tensor([1.0, 0.0, 0.4])
    y_aug = torch.nn.functional.one_hot(classes, 4).float()
    refined = refiner(None, y_aug, None, None, SimpleNamespace(visible=visible))
    certainties = [1 - (1 - 1 / 4) * (1 - v) ** power for v in (1.0, 0.0, 0.4)]
    for row, k, p, weight in zip(
        refined.labels.tolist(),
        classes.tolist(),
        certainties,
        refined.weights.tolist(),
        strict=True,
    ):
        assert row[k] == pytest.approx(p)
        assert [v for j, v in enumerate(row) if j != k] == pytest.approx([(1 - p) / 3] * 3)
        assert weight == pytest.approx(p / sum(certainties))
