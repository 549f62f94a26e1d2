"""SAINT: its published equations, what it depends on, its size and its derivatives."""

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from replication.models.tabular.saint import SAINT, ColumnAttention, NumberEmbedding, RowAttention
from replication.settings import models

CARDINALITIES = (4, 3)


def saint(features, classes, cardinalities=(), depth=1, **settings):
    chosen = {"dim": 8, "heads": 2, "dropout": 0.1, "row_attention": True} | settings
    entry = models.SAINT(kind="saint", learning_rate=0.001, depth=depth, **chosen)
    return SAINT(entry, features, classes, cardinalities)


def table(rows, numbers=3, seed=0):
    draws = torch.Generator().manual_seed(seed)
    codes = [torch.randint(c, (rows, 1), generator=draws).float() for c in CARDINALITIES]
    return torch.cat([*codes, torch.randn(rows, numbers, generator=draws)], 1)


def small(row_attention=True):
    torch.manual_seed(0)
    return saint(5, 3, CARDINALITIES, depth=2, row_attention=row_attention).eval()


@pytest.mark.parametrize("row_attention", [False, True])
def test_shapes_and_parameter_count(row_attention):
    features, classes, dim, depth, heads = 5, 3, 8, 2, 2
    embeddings = 7 * dim + 3 * (100 + 100 + 100 * dim + dim) + dim
    norm, feed_forward = 2 * dim, (dim * 4 * dim + 4 * dim) + (4 * dim * dim + dim)

    def attention(width, head_dim):
        return 3 * width * heads * head_dim + heads * head_dim * width + width

    stage = attention(dim, 16) + norm + feed_forward + norm
    if row_attention:
        stage += attention((1 + features) * dim, 64) + norm + feed_forward + norm
    head = dim * 1000 + 1000 + 1000 * classes + classes
    model = small(row_attention)
    assert sum(p.numel() for p in model.parameters()) == embeddings + depth * stage + head
    assert model(table(4)).shape == (4, 3)


def test_one_stage_is_the_published_equations():
    torch.manual_seed(0)
    model = saint(5, 3, CARDINALITIES).eval()
    inputs = table(6)
    tokens = torch.cat(
        [
            model.cls.expand(6, 1, 8),
            model.categories(inputs[:, :2]),
            model.numbers(inputs[:, 2:]),
        ],
        1,
    )
    for residual in model.stages:
        tokens = residual.norm(residual.block(tokens)) + tokens
    blocks = [type(residual.block) for residual in model.stages]
    assert blocks == [ColumnAttention, nn.Sequential, RowAttention, nn.Sequential]
    torch.testing.assert_close(model(inputs), model.head(tokens[:, 0]))


def test_column_attention_is_multi_head_attention():
    attention = ColumnAttention(width=12, heads=3, head_dim=4, dropout=0.5).eval()
    reference = nn.MultiheadAttention(12, 3, batch_first=True).eval()
    with torch.no_grad():
        reference.in_proj_weight.copy_(attention.query_key_value.weight)
        reference.in_proj_bias.zero_()
        reference.out_proj.weight.copy_(attention.out.weight)
        reference.out_proj.bias.copy_(attention.out.bias)
    tokens = torch.randn(2, 7, 12)
    expected, _ = reference(tokens, tokens, tokens)
    torch.testing.assert_close(attention(tokens), expected)


def test_row_attention_is_attention_over_flattened_rows():
    torch.manual_seed(0)
    rows, count, dim, head_dim = 5, 3, 4, 6
    attention = RowAttention(count * dim, 1, head_dim, dropout=0.0)
    tokens = torch.randn(rows, count, dim)
    flat = tokens.reshape(rows, -1)
    query, key, value = (flat @ attention.query_key_value.weight.T).split(head_dim, 1)
    shares = (query @ key.T / head_dim**0.5).softmax(1)
    torch.testing.assert_close(attention(tokens), attention.out(shares @ value).view_as(tokens))


def test_each_number_has_its_own_perceptron():
    embedding = NumberEmbedding(4, 6, hidden=9)
    numbers = torch.randn(3, 4)
    for i in range(4):
        hidden = numbers[:, i : i + 1] * embedding.inner_weight[i] + embedding.inner_bias[i]
        expected = hidden.relu() @ embedding.outer_weight[i] + embedding.outer_bias[i]
        torch.testing.assert_close(embedding(numbers)[:, i], expected)


@pytest.mark.parametrize("row_attention", [False, True])
def test_logits_follow_the_order_of_the_rows(row_attention):
    model, inputs = small(row_attention), table(8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model(inputs[order]), model(inputs)[order])


def test_only_row_attention_lets_rows_see_each_other():
    inputs = table(8)
    changed = inputs.clone()
    changed[1:, 2:] += 1
    apart, together = small(row_attention=False), small()
    torch.testing.assert_close(apart(inputs)[0], apart(changed)[0])
    assert (together(inputs)[0] - together(changed)[0]).abs().max() > 1e-3


@pytest.mark.parametrize("column", range(5))
def test_every_feature_reaches_the_logits(column):
    inputs = table(4)
    changed = inputs.clone()
    changed[:, column] = 2 if column < 2 else changed[:, column] + 1
    inputs[:, column] = 1 if column < 2 else inputs[:, column]
    assert (small()(inputs) - small()(changed)).abs().max() > 1e-4


def test_tables_of_one_kind_only():
    assert saint(3, 2)(torch.randn(4, 3)).shape == (4, 2)
    assert saint(2, 2, CARDINALITIES)(table(4, 0)).shape == (4, 2)


def test_dropout_only_in_training():
    model, inputs = small(), table(6)
    assert torch.equal(model(inputs), model(inputs))
    model.train()
    assert not torch.equal(model(inputs), model(inputs))


@pytest.mark.parametrize("row_attention", [False, True])
def test_forward_mode_equals_finite_differences(row_attention):
    model, inputs = small(row_attention).double(), table(6).double()
    parameters = dict(model.named_parameters())
    torch.manual_seed(1)
    tangents = {name: torch.randn_like(value) for name, value in parameters.items()}
    with sdpa_kernel(SDPBackend.MATH), forward_ad.dual_level():
        duals = {n: forward_ad.make_dual(p, tangents[n]) for n, p in parameters.items()}
        tangent = forward_ad.unpack_dual(functional_call(model, duals, (inputs,))).tangent

    def at(step):
        moved = {name: value + step * tangents[name] for name, value in parameters.items()}
        return functional_call(model, moved, (inputs,))

    # a step of 1e-7: longer ones cross kinks of the ReLUs
    torch.testing.assert_close(tangent, (at(1e-7) - at(-1e-7)) / 2e-7, rtol=1e-5, atol=1e-5)


def test_it_learns_a_rule_between_columns():
    torch.manual_seed(0)
    model = saint(2, 2, dropout=0.0)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    inputs = torch.randn(128, 2)
    labels = (inputs[:, 0] * inputs[:, 1] > 0).long()
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()
    assert (model(inputs).argmax(1) == labels).float().mean() > 0.9
