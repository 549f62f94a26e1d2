"""The batches of an epoch: paired, even, and validation batches that hold what they promise."""

import dataclasses

import numpy as np
import pytest
import torch
from made_tasks import BOTH, NONE, SAFLEX, TRAINING, recipe, task

from replication import upstream
from replication.settings import refiners, upstreams
from replication.training.batches import validation_batch
from replication.training.problems.supervised import Supervised


def same(ours, theirs):
    return all(
        a is b is None or torch.equal(a, b)
        for a, b in zip(vars(ours).values(), vars(theirs).values(), strict=True)
    )


def test_methods_see_the_same_samples_in_the_same_order():
    seen = []
    for refiner in (NONE, SAFLEX):
        problem = Supervised(task(recipe(refiner)), 3)
        batches = []
        for epoch in range(4):
            for batch in problem.batches(epoch):
                problem.loss(batch)
                batches.append(batch)
        seen.append(batches)
    assert len(seen[0]) == 4 * 3
    assert all(same(*pair) for pair in zip(*seen, strict=True))


def test_every_epoch_sees_every_sample_once_in_even_batches():
    work = task(recipe())
    batches = list(Supervised(work, 0).batches(0))
    assert [len(b.y) for b in batches] == [8, 8, 7]
    images_seen = torch.cat([b.x for b in batches]).flatten(1).float().sum(1)
    assert torch.equal(images_seen.sort()[0], work.pool[0].flatten(1).float().sum(1).sort()[0])


def both_splits(work):
    splits = work.dataset.train, work.dataset.validation
    both = tuple(
        torch.from_numpy(np.concatenate([getattr(split, part) for split in splits]))
        for part in ("inputs", "labels")
    )
    return dataclasses.replace(work, pool=both, views=None)


def images_in(batches, field="x"):
    return {image.numpy().tobytes() for b in batches for image in getattr(b, field)}


def test_train_plus_validation_takes_the_same_number_of_steps():
    work = both_splits(task(recipe(BOTH)))
    assert [len(b.y) for b in Supervised(work, 0).batches(0)] == [8, 8, 7]


def test_planted_labels_are_those_of_training_samples_alone():
    settings = upstreams.Mislabelled(kind="mislabelled", share=1.0)
    plan = recipe(BOTH).model_copy(update={"upstream": settings})
    work = dataclasses.replace(both_splits(task(plan)), upstream=upstream.build(settings, 2))
    train = {image.tobytes() for image in work.dataset.train.inputs}
    seen = {True: 0, False: 0}
    for batch in Supervised(work, 0).batches(0):
        for image, y, y_aug in zip(batch.x, batch.y, batch.y_aug, strict=True):
            of_train = image.numpy().tobytes() in train
            seen[of_train] += 1
            assert (y_aug.argmax() != y) == of_train
    assert all(seen.values())


def test_folds_take_turns_as_validation_data_and_are_not_trained_on_then():
    folds = refiners.CrossFitted(kind="cross-fitted", role="reading", reading="probs", folds=3)
    work = both_splits(task(recipe(folds, validation_batch="all")))
    problem, everyone = (
        Supervised(work, 0),
        {image.tobytes() for image in work.dataset.validation.inputs},
    )
    size = len(work.dataset.train)
    held = []
    for epoch in range(4):
        batches = list(problem.batches(epoch))
        held.append(images_in(batches, "x_val"))
        trained = images_in(batches)
        assert len(trained) == size
        assert not trained & held[-1]
        labels = {x.numpy().tobytes(): int(y) for x, y in zip(*work.pool, strict=True)}
        assert all(
            labels[x.numpy().tobytes()] == y
            for b in batches
            for x, y in zip(b.x_val, b.y_val, strict=True)
        )
    assert held[0] | held[1] | held[2] == everyone
    assert sum(map(len, held[:3])) == len(everyone)
    assert held[3] == held[0]


@pytest.mark.parametrize(
    "settings",
    [
        upstreams.RandAugment(kind="randaugment"),
        upstreams.Crop(kind="crop"),
    ],
)
def test_views_that_are_drawn_in_each_step_are_new_and_know_what_is_visible(settings):
    drawn = dataclasses.replace(
        task(recipe()), views=None, upstream=upstream.build(settings, classes=2)
    )
    problem = Supervised(drawn, 0)
    first, second = (list(problem.batches(epoch)) for epoch in range(2))
    assert not torch.equal(first[0].x_aug, second[0].x_aug)
    assert torch.equal(first[0].y_aug.argmax(1), first[0].y)
    assert (first[0].visible is not None) == settings.crops


def test_validation_batches_hold_as_many_of_each_class_or_each_by_its_share():
    labels = torch.tensor([0] * 97 + [1] * 3)
    recipe = TRAINING.model_copy(update={"validation_sampling": "balanced", "validation_batch": 20})
    generator = torch.Generator().manual_seed(0)
    drawn = validation_batch(labels, recipe, generator)
    assert labels[drawn].bincount().tolist() == [10, 10]
    stratified = recipe.model_copy(update={"validation_sampling": "stratified"})
    drawn = validation_batch(labels, stratified, generator)
    assert labels[drawn].bincount().tolist() == [20, 2]
    assert len(drawn.unique()) == 22
    by_seven = torch.tensor([0] * 93 + [1] * 7)
    everyone = stratified.model_copy(update={"validation_batch": 100})
    drawn = validation_batch(by_seven, everyone, generator)
    assert sorted(drawn.tolist()) == list(range(100))
    uniform = recipe.model_copy(update={"validation_sampling": "uniform"})
    drawn = validation_batch(labels, uniform, generator)
    assert len(drawn.unique()) == 20


@pytest.mark.parametrize("sampling", ["stratified", "balanced"])
@pytest.mark.parametrize("counts", [(97, 3), (5, 7, 11), (30, 2, 9, 9), (2, 2, 2)])
def test_both_halves_have_every_class_and_no_sample_in_common(sampling, counts):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    options = {"validation_sampling": sampling, "validation_batch": 12}
    recipe = TRAINING.model_copy(update=options)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        drawn = validation_batch(labels, recipe, generator)
        first, second = drawn.tensor_split(2)
        assert set(labels[first].tolist()) == set(labels[second].tolist()) == set(labels.tolist())
        assert not set(first.tolist()) & set(second.tolist())
