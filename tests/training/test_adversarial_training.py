"""Upstreams that look at the network: drawn in each step of the loop, which they leave alone."""

import numpy as np
from made_tasks import NONE, recipe, task, train
from test_loop import interrupted

from replication.settings import upstreams
from replication.training.problems.supervised import Supervised
from replication.upstream.images.adversarial import LPA3


def settings(**changes):
    return upstreams.LPA3(kind="lp-a3", **changes)


def test_samples_are_drawn_against_the_present_network(tmp_path):
    work = task(recipe(), views=None, upstream=LPA3(settings(iterations=2, margin=1.0), 2))
    first, again = (train(work, 0, tmp_path / name) for name in "ab")
    assert first == again
    drawn = [(b.x.int(), b.x_aug.int()) for b in Supervised(work, 0).batches(0)]
    assert all((x_aug - x).abs().max() <= 8 for x, x_aug in drawn)
    assert np.mean([(x != x_aug).float().mean() for x, x_aug in drawn]) > 0.8


def test_drawing_changes_nothing_of_the_network(tmp_path):
    """Training on samples that were moved and put back is training on clean ones."""

    class PutBack(LPA3):
        def __call__(self, inputs, labels, generator, forward):
            _, soft = super().__call__(inputs, labels, generator, forward)
            return inputs, soft

    clean, still = (
        train(task(recipe(NONE), views=None, upstream=u), 0, tmp_path / n)
        for n, u in (("clean", None), ("still", PutBack(settings(), 2)))
    )
    assert clean == still


def test_an_interrupted_seed_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    work = task(recipe(), views=None, upstream=LPA3(settings(iterations=1, margin=1.0), 2))
    whole = train(work, 0, tmp_path / "whole")
    interrupted(work, tmp_path / "cut", monkeypatch)
    assert train(work, 0, tmp_path / "cut") == whole
