"""The recipe of pretrained networks: SGD, a cosine, a loss weighted by class."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_tasks import NONE, dataset, recipe

from replication.data.dataset import Split
from replication.settings.profile import Transfer
from replication.training.problems.supervised import Supervised, Task, balanced, optimised

BASE = {
    "epochs": 4, "batch_size": 10, "validation_batch": 8, "validation_sampling": "uniform",
    "weight_decay": 0.01, "select": "last", "patience": None, "device": "cpu",
}  # fmt: skip
SGD = Transfer(**BASE, optimizer="sgd", momentum=0.9, cosine=True, class_weights=True)


def test_sgd_with_momentum_and_a_cosine_to_nothing():
    model = torch.nn.Linear(2, 2)
    optimizer, schedule = optimised(model, 0.1, SGD, 5)
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["momentum"] == 0.9
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert np.allclose(rates, 0.05 * (1 + np.cos(np.pi * np.arange(20) / 20)))
    assert isinstance(optimised(model, 0.1, Transfer(**BASE), 5)[0], torch.optim.AdamW)


def test_class_weights_are_inverse_to_shares():
    images = np.zeros((8, 1, 8, 8), np.uint8)
    skewed = dataclasses.replace(dataset(), train=Split(images, np.array([0, 0, 0, 0, 0, 0, 1, 1])))
    assert balanced(skewed).tolist() == pytest.approx([8 / 12, 8 / 4])


def test_the_loss_is_torch_s_weighted_one_where_labels_are_hard():
    data = dataset()
    made = recipe(NONE).model_copy(update={"training": SGD, "views": 0})
    pool = torch.from_numpy(data.train.inputs), torch.from_numpy(data.train.labels)
    problem = Supervised(Task(data, pool, None, None, False, made, torch.device("cpu")), 0)
    batch = next(iter(problem.batches(0)))
    problem.model.train()
    logits = problem.model(data.prepare(batch.x))
    expected = F.cross_entropy(logits, batch.y, balanced(data))
    assert torch.allclose(problem.loss(batch), expected, atol=1e-6)
