"""What a refiner did, by hand."""

import pytest
import torch

from replication.refiners import Believed, Refined
from replication.training.diagnostics import Diagnostics


def test_diagnostics_say_what_weight_wrongly_labelled_samples_have():
    """Samples 2 and 4 came with another class's label; the second step has no weights at all."""
    y = torch.tensor([0, 1, 1, 0])
    y_aug = torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 1]), 2).float()
    diagnostics = Diagnostics()
    for weights in ([0.5, 0.1, 0.2, 0.2], [0.0] * 4):
        weights = torch.tensor(weights)
        refined = Refined(weights, y_aug, torch.zeros(4, 2), torch.ones(()))
        diagnostics.add(refined, y_aug, y)
    means = diagnostics.means()
    assert means["other"] == pytest.approx(0.5)
    assert means["other_weight"] == pytest.approx((0.3 + 0.0) / 2)


def test_there_is_nothing_to_say_of_no_step():
    assert Diagnostics().means() == {}


def test_the_estimated_share_of_wrong_labels_is_told_where_there_is_one():
    y_aug, diagnostics = torch.eye(2), Diagnostics()
    for share in (0.2, 0.4):
        given = torch.ones(2), y_aug, torch.zeros(2, 2), torch.ones(())
        diagnostics.add(Believed(*given, torch.tensor(share)), y_aug, torch.tensor([0, 1]))
    assert diagnostics.means()["wrong"] == pytest.approx(0.3)
