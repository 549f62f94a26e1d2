"""Tabular CutMix against brute force and the law of its draws."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from scipy.stats import beta, kstest

from replication.settings import upstreams
from replication.upstream import build

CLASSES = 3


def tabular_cutmix(probability, share=None, alpha=1.0, labels="hard"):
    settings = upstreams.TabularCutMix(
        kind="tabular-cutmix", probability=probability, share=share, alpha=alpha, labels=labels
    )
    return build(settings, CLASSES)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def distinct_batch(rows, features, seed=0):
    """A batch in which every entry tells its row: row + column / 1000."""
    inputs = torch.arange(rows)[:, None] + torch.arange(features)[None] / 1000
    labels = torch.randint(CLASSES, (rows,), generator=generator(seed))
    return inputs, labels


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 12),
    features=st.integers(1, 9),
    probability=st.floats(0, 1),
    share=st.none() | st.floats(0, 1),
    alpha=st.floats(0.05, 5),
    labels_kind=st.sampled_from(["hard", "mixed"]),
    seed=st.integers(0, 2**31),
    few_values=st.booleans(),
)
def test_no_value_is_invented_and_labels_lie_on_the_simplex(
    rows, features, probability, share, alpha, labels_kind, seed, few_values
):
    inputs, labels = distinct_batch(rows, features, seed)
    inputs = inputs.round() % 3 if few_values else inputs
    before = inputs.clone()
    cutmix = tabular_cutmix(probability, share, alpha, labels_kind)
    mixed, soft = cutmix(inputs, labels, generator(seed))

    assert torch.equal(inputs, before)
    assert mixed.shape == inputs.shape
    assert mixed.dtype == inputs.dtype
    assert soft.shape == (rows, CLASSES)
    assert soft.dtype == torch.float32
    for column in range(features):
        assert set(mixed[:, column].tolist()) <= set(inputs[:, column].tolist())
    assert (soft >= 0).all()
    torch.testing.assert_close(soft.sum(1), torch.ones(rows))
    if labels_kind == "hard":
        assert torch.equal(soft.argmax(1), labels)
        assert set(soft.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("share", [None, 0.07, 0.4, 0.8])
def test_mixed_labels_count_the_unchanged_features(share):
    inputs, labels = distinct_batch(50, 100)
    mixed, soft = tabular_cutmix(0.6, share, labels="mixed")(inputs, labels, generator(1))
    changed_rows = 0
    for row in range(50):
        origins = {round(value) for value in mixed[row].tolist()}
        foreign = origins - {row}
        assert len(foreign) <= 1, "all swapped features come from one other row"
        expected = torch.zeros(CLASSES)
        unchanged = (mixed[row] == inputs[row]).float().mean()
        expected[labels[row]] += unchanged
        for donor in foreign:
            expected[labels[donor]] += 1 - unchanged
            changed_rows += 1
            if share is not None:
                assert (mixed[row] != inputs[row]).sum() == round(100 * share)
        torch.testing.assert_close(soft[row], expected)
    assert 20 <= changed_rows <= 40


def test_equal_features_count_as_unchanged():
    inputs = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    _, soft = tabular_cutmix(1.0, 1.0, labels="mixed")(inputs, torch.tensor([0, 1]), generator(0))
    assert torch.equal(soft, torch.eye(2, CLASSES))


def test_probability_zero_changes_nothing_and_one_changes_every_row():
    inputs, labels = distinct_batch(64, 5)
    assert torch.equal(tabular_cutmix(0.0)(inputs, labels, generator(0))[0], inputs)
    mixed, _ = tabular_cutmix(1.0, 0.2)(inputs, labels, generator(0))
    assert ((mixed != inputs).sum(1) == 1).all()
    swapped_column = (mixed != inputs).float().argmax(1)
    assert len(swapped_column.unique()) == 5


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_kept_shares_follow_the_beta_distribution(alpha):
    features = 2000
    inputs, labels = distinct_batch(400, features)
    inputs = inputs.double()
    mixed, _ = tabular_cutmix(1.0, alpha=alpha)(inputs, labels, generator(3))
    kept = (mixed == inputs).double().mean(1).numpy()
    assert kstest(kept + 0.5 / features, beta(alpha, alpha).cdf).pvalue > 0.001


def test_partners_and_columns_are_uniform():
    inputs, labels = distinct_batch(5, 4)
    partners, columns = np.zeros((5, 5)), np.zeros(4)
    draws = generator(0)
    for _ in range(600):
        mixed, _ = tabular_cutmix(1.0, 0.5)(inputs, labels, draws)
        columns += (mixed != inputs).sum(0).numpy()
        origin = mixed.round().long()
        for row in range(5):
            partners[row, next(o for o in origin[row].tolist() if o != row)] += 1
    assert (np.diag(partners) == 0).all()
    assert np.abs(partners[~np.eye(5, dtype=bool)] / 600 - 0.25).max() < 0.08
    assert np.abs(columns / 6000 - 0.25).max() < 0.03


def test_the_generator_alone_decides():
    inputs, labels = distinct_batch(32, 6)
    cutmix = tabular_cutmix(0.5, labels="mixed")
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = cutmix(inputs, labels, generator(5))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = cutmix(inputs, labels, generator(5))
    other = cutmix(inputs, labels, generator(6))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cpu_generator_gives_the_same_batch_on_a_gpu():
    inputs, labels = distinct_batch(32, 6)
    cutmix = tabular_cutmix(0.5, labels="mixed")
    here = cutmix(inputs, labels, generator(5))
    there = cutmix(inputs.cuda(), labels.cuda(), generator(5))
    assert there[0].is_cuda
    assert there[1].is_cuda
    assert torch.equal(here[0], there[0].cpu())
    torch.testing.assert_close(here[1], there[1].cpu())
    cutmix(inputs.cuda(), labels.cuda(), torch.Generator("cuda").manual_seed(0))
