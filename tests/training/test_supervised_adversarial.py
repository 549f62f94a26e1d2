"""Upstreams that look at the network: drawn in each step of the loop, which they leave alone."""

import numpy as np
from test_supervised import checkpoints, interrupted, nothing, task

from replication.settings import Refiner
from replication.training import supervised
from replication.training.supervised import train
from replication.upstream.adversarial import LPA3

ALONE = Refiner(kind="none")


def test_samples_are_drawn_against_the_present_network(monkeypatch, tmp_path):
    drawn, original = [], supervised._batches

    def spy(*arguments):
        for batch in original(*arguments):
            drawn.append((batch.x.int(), batch.x_aug.int()))
            yield batch

    monkeypatch.setattr(supervised, "_batches", spy)
    work = task(views=None, upstream=LPA3(2, iterations=2, margin=1.0))
    first, again = (train(work, 0, checkpoints(tmp_path / name), nothing) for name in "ab")
    assert first == again
    assert all((x_aug - x).abs().max() <= 8 for x, x_aug in drawn)
    assert np.mean([(x != x_aug).float().mean() for x, x_aug in drawn]) > 0.8


def test_drawing_changes_nothing_of_the_network(tmp_path):
    """Training on samples that were moved and put back is training on clean ones."""

    class PutBack(LPA3):
        def __call__(self, inputs, labels, generator, forward):
            _, soft = super().__call__(inputs, labels, generator, forward)
            return inputs, soft

    clean, still = (
        train(task(ALONE, views=None, upstream=u), 0, checkpoints(tmp_path / n), nothing)
        for n, u in (("clean", None), ("still", PutBack(2)))
    )
    assert clean == still


def test_an_interrupted_seed_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    work = task(views=None, upstream=LPA3(2, iterations=1, margin=1.0))
    whole = train(work, 0, checkpoints(tmp_path / "whole"), nothing)
    interrupted(work, tmp_path / "cut", monkeypatch)
    assert train(work, 0, checkpoints(tmp_path / "cut"), nothing) == whole
