"""Planted wrong labels: as many as asked for, of the classes asked for, in samples as they were."""

import pytest
import torch
from scipy.stats import binomtest, chisquare

from replication.settings import upstreams
from replication.upstream import build

K = 5


def mislabelled(share, **changes):
    return build(upstreams.Mislabelled(kind="mislabelled", share=share, **changes), K)


def batch(count):
    inputs = torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8)
    return inputs, torch.randint(K, (count,))


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_the_share_of_wrong_labels_is_the_one_asked_for_and_they_are_any_other_class(share):
    inputs, labels = batch(4000)
    upstream = mislabelled(share)
    _, soft = upstream(inputs, labels, torch.Generator().manual_seed(0))
    assert torch.equal(soft.sum(1), torch.ones(4000))
    assert set(soft.unique().tolist()) == {0.0, 1.0}
    shift = (soft.argmax(1) - labels) % K
    wrong = shift[shift > 0]
    assert binomtest(len(wrong), 4000, share).pvalue > 1e-3
    assert chisquare(wrong.bincount(minlength=K)[1:]).pvalue > 1e-3


def test_images_are_randaugments_and_do_not_tell_of_the_label():
    inputs, labels = batch(50)
    images, soft = {}, {}
    for share in (0.0, 0.5, 1.0):
        upstream = mislabelled(share)
        images[share], soft[share] = upstream(inputs, labels, torch.Generator().manual_seed(1))
    assert torch.equal(images[0.0], images[0.5])
    assert torch.equal(images[0.0], images[1.0])
    assert images[0.0].dtype == torch.uint8
    assert not torch.equal(images[0.0], inputs)
    assert torch.equal(soft[0.0].argmax(1), labels)
    assert not (soft[1.0].argmax(1) == labels).any()


def test_skewed_labels_are_the_next_class():
    inputs, labels = batch(4000)
    _, soft = mislabelled(0.4, wrong="next")(inputs, labels, torch.Generator().manual_seed(0))
    shift = (soft.argmax(1) - labels) % K
    assert set(shift.tolist()) == {0, 1}
    assert binomtest(int(shift.sum()), 4000, 0.4).pvalue > 1e-3


def test_labels_of_the_last_class_alone_are_the_first():
    inputs, labels = batch(4000)
    _, soft = mislabelled(0.4, wrong="last")(inputs, labels, torch.Generator().manual_seed(0))
    found, last = soft.argmax(1), labels == K - 1
    assert torch.equal(found[~last], labels[~last])
    assert set(found[last].tolist()) == {0, K - 1}
    assert binomtest(int((found[last] == 0).sum()), int(last.sum()), 0.4).pvalue > 1e-3


def test_rows_of_tables_stay_as_they_are():
    rows, labels = torch.randn(4000, 3), torch.randint(2, (4000,))
    settings = upstreams.TabularMislabelled(kind="tabular-mislabelled", share=0.3)
    found, soft = build(settings, 2)(rows, labels, torch.Generator().manual_seed(0))
    assert torch.equal(found, rows)
    assert binomtest(int((soft.argmax(1) != labels).sum()), 4000, 0.3).pvalue > 1e-3
