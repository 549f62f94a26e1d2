"""The perceptron: shapes, parameter counts, encodings and derivatives."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, jvp

from replication.models.tabular.mlp import MLP, CategoryEmbedding
from replication.settings import models

CARDINALITIES = (4, 3, 5)


def mlp(features, classes, cardinalities=(), hidden=(256, 256), dropout=0.1, **settings):
    chosen = {"batch_norm": False, "encoding": "embedding", "embedding_dim": 8} | settings
    entry = models.MLP(
        kind="mlp", learning_rate=0.001, hidden=list(hidden), dropout=dropout, **chosen
    )
    return MLP(entry, features, classes, cardinalities)


def table(rows, numbers, seed=0):
    draws = torch.Generator().manual_seed(seed)
    codes = [torch.randint(c, (rows, 1), generator=draws).float() for c in CARDINALITIES]
    return torch.cat([*codes, torch.randn(rows, numbers, generator=draws)], 1)


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("encoding", ["embedding", "one-hot"])
def test_shapes_and_parameter_count(encoding, batch_norm):
    settings = {"batch_norm": batch_norm, "encoding": encoding, "embedding_dim": 7}
    model = mlp(9, 4, CARDINALITIES, (32, 16), **settings)
    width = 6 + (3 * 7 if encoding == "embedding" else 12)
    expected = (width * 32 + 32) + (32 * 16 + 16) + (16 * 4 + 4)
    expected += 12 * 7 if encoding == "embedding" else 0
    expected += 2 * (32 + 16) if batch_norm else 0
    assert count(model) == expected
    assert model(table(5, 6)).shape == (5, 4)


def test_two_hidden_layers_of_256():
    assert count(mlp(30, 2)) == 30 * 256 + 256 + 256 * 256 + 256 + 256 * 2 + 2


def test_without_categories_it_is_the_plain_composition():
    model = mlp(6, 3, hidden=(8,), dropout=0.0)
    inputs = torch.randn(4, 6)
    first, last = model.hidden[0][0], model.head
    expected = (inputs @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias
    torch.testing.assert_close(model(inputs), expected)


def test_only_categories():
    codes = table(5, 0)
    for encoding in ("embedding", "one-hot"):
        assert mlp(3, 2, CARDINALITIES, encoding=encoding)(codes).shape == (5, 2)


def test_each_column_has_its_own_vectors_and_unseen_codes_start_at_zero():
    embedding = CategoryEmbedding(CARDINALITIES, 6)
    codes = table(10, 0)
    vectors = embedding(codes)
    for row in range(10):
        for column, start in enumerate((0, 4, 7)):
            expected = embedding.weight[start + int(codes[row, column])]
            assert torch.equal(vectors[row, column], expected)
    assert (embedding(torch.zeros(1, 3)) == 0).all()
    assert embedding.weight.detach().norm(dim=1).count_nonzero() == 12 - 3


def test_one_hot_columns():
    encode = mlp(3, 2, CARDINALITIES, encoding="one-hot").categories
    codes = table(10, 0).long()
    blocks = [torch.nn.functional.one_hot(codes[:, i], c) for i, c in enumerate(CARDINALITIES)]
    assert torch.equal(encode(codes.float()), torch.cat(blocks, 1).float())


@pytest.mark.parametrize("encoding", ["embedding", "one-hot"])
def test_forward_mode_equals_finite_differences(encoding):
    torch.manual_seed(0)
    model = mlp(7, 3, CARDINALITIES, (16, 8), encoding=encoding).double().eval()
    inputs = table(6, 4).double()
    parameters = dict(model.named_parameters())
    tangents = {name: torch.randn_like(value) for name, value in parameters.items()}
    with forward_ad.dual_level():
        duals = {n: forward_ad.make_dual(p, tangents[n]) for n, p in parameters.items()}
        tangent = forward_ad.unpack_dual(functional_call(model, duals, (inputs,))).tangent

    def at(step):
        moved = {name: value + step * tangents[name] for name, value in parameters.items()}
        return functional_call(model, moved, (inputs,))

    torch.testing.assert_close(tangent, (at(1e-6) - at(-1e-6)) / 2e-6, rtol=1e-5, atol=1e-6)


def test_batch_norm_in_training_mode_works_under_functional_call():
    model = mlp(7, 3, CARDINALITIES, (16,), dropout=0.0, batch_norm=True).train()
    inputs = table(6, 4)
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    running = model.hidden[0][1].running_mean.clone()

    def logits(parameters):
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        return functional_call(model, (parameters, buffers), (inputs,))

    _, tangent = jvp(logits, (parameters,), (parameters,))
    assert tangent.isfinite().all()
    assert torch.equal(model.hidden[0][1].running_mean, running)
