"""Contrastive fine-tuning: losses against open_clip's and autograd, and what it must stand."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_pairs import TRAINING, dataset, problem, recipe, task
from open_clip import ClipLoss

from replication.cells import Score
from replication.data.dataset import Split
from replication.models.pairs.weights import interpolate
from replication.refiners import contrastive_logits
from replication.settings import Reading, refiners
from replication.training.checkpoints import Checkpoints
from replication.training.loop import fit
from replication.training.problems import contrastive
from replication.training.problems.contrastive import encode, in_both

SAFLEX = refiners.Saflex(kind="saflex", role="reading", reading="x")
PERMUTED = refiners.Imitation(kind="permuted", of="x")
SMOOTHING = refiners.Imitation(kind="smoothing", of="x")
READING = Reading(gumbel=0.0, temperature=1.0, how="jvp")
CALIBRATED = Reading(
    how="lookahead", beta=6.0, temperature=1.0, gumbel=0.0, weight_rule="gate",
    optimizer_aware=True, centre=True, normalise=True, unit_scale=True, shrink=True,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pretrained")


def batch_of(made):
    return next(iter(made.batches(0)))


def gradients(made, loss):
    found = torch.autograd.grad(loss, [*made.model.parameters()], allow_unused=True)
    return torch.cat([t.flatten() for t in found if t is not None])


def test_the_plain_loss_is_open_clips(folder):
    made = problem(folder, recipe())
    state = made.streams["templates"].get_state()
    batch = batch_of(made)
    loss = made.loss(batch)
    made.streams["templates"].set_state(state)
    images, texts = encode(made.model, *made._pairs(batch.x_aug, batch.y), None)
    a, b = F.normalize(images, dim=1), F.normalize(texts, dim=1)
    theirs = ClipLoss()(a, b, made.model.logit_scale.exp())
    torch.testing.assert_close(loss, theirs)
    torch.testing.assert_close(gradients(made, loss), gradients(made, theirs))


def test_shared_pairs_of_a_class_have_one_target_and_negatives_their_own(folder):
    classes = torch.tensor([0, 1, 0, 2])
    own = problem(folder, recipe()).targets(classes)
    assert torch.equal(own, torch.eye(4))
    shared = problem(folder, recipe(same_class="shared")).targets(classes)
    expected = torch.eye(4)
    expected[[0, 2]] = torch.tensor([0.5, 0, 0.5, 0])
    torch.testing.assert_close(shared, expected)


def explicit(a, b, scale, labels, weights):
    """Eq. (14) in both directions, written out, with the mean over them."""
    z, loss = scale * a @ b.T, 0
    for i in range(len(a)):
        for j in range(len(b)):
            loss = loss - weights[i] * labels[i, j] * (z[i, j] - z[i].exp().sum().log())
            loss = loss - weights[i] * labels[i, j] * (z[j, i] - z[:, i].exp().sum().log())
    return loss / 2


def test_soft_labels_and_weights_enter_as_eq_14_has_them(folder):
    made = problem(folder, recipe())
    batch = batch_of(made)
    pairs = made._pairs(batch.x_aug, batch.y)
    labels, weights = torch.rand(6, 6).softmax(1), torch.rand(6)
    loss = in_both(made.logits(made.model, pairs), labels, weights)
    images, texts = (F.normalize(t, dim=1) for t in encode(made.model, *pairs, None))
    expected = explicit(images, texts, made.model.logit_scale.exp(), labels, weights)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        gradients(made, loss), gradients(made, expected), rtol=1e-4, atol=1e-5
    )


def test_pi_of_a_pair_is_the_mean_over_directions_of_what_autograd_gives(folder):
    """<grad L_val, grad of pair i's loss with target k>, both directions, one pair and target at a
    time."""
    made = problem(folder, recipe(refiner=SAFLEX, reading=READING))
    batch = batch_of(made)
    state = made.streams["templates"].get_state()
    pairs = made._pairs(batch.x_aug, batch.y)
    losses = made._validation(batch)
    logits = made.logits(made.model, pairs)
    refined = made.refine(pairs, torch.eye(6), losses, logits)
    g = gradients(made, losses[0]())
    for i in (0, 4):
        for k in (0, 3, 4):
            label = F.one_hot(torch.tensor([k] * 6), 6).float()
            weight = F.one_hot(torch.tensor(i), 6).float()
            h = gradients(made, in_both(made.logits(made.model, pairs), label, weight))
            torch.testing.assert_close(refined.inner_products[i, k], g @ h, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(refined.labels, refined.inner_products.softmax(1))
    made.streams["templates"].set_state(state)


@pytest.mark.parametrize("refiner", [SAFLEX, PERMUTED, SMOOTHING], ids=lambda r: r.kind)
def test_readings_and_controls_train(folder, refiner):
    made = problem(folder, recipe(refiner=refiner, reading=CALIBRATED))
    before = copy.deepcopy(made.model.state_dict())
    loss = made.loss(batch_of(made))
    assert all(torch.equal(t, before[n]) for n, t in made.model.state_dict().items())
    loss.backward()
    assert loss.isfinite()
    assert made.diagnostics.means()["kept"] > 0


@pytest.mark.parametrize("options", [{"chunk": 2}, {"gradient_checkpointing": True}], ids=str)
def test_chunks_and_checkpointing_change_no_loss_gradient_or_label(folder, options):
    made = [problem(folder, recipe(refiner=SAFLEX, reading=READING, **o)) for o in ({}, options)]
    kept, found = [], []
    for m in made:
        original = m.refine
        m.refine = lambda *a, original=original: kept.append(original(*a)) or kept[-1]
        found.append((loss := m.loss(batch_of(m)), gradients(m, loss)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(kept[0].labels, kept[1].labels, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(kept[0].weights, kept[1].weights, rtol=1e-3, atol=1e-3)


def test_chunks_do_not_meet_batch_norm(folder, tmp_path):
    lite = recipe().network.model_copy(update={"image": "test_resnet.r160_in1k"})
    with pytest.raises(ValueError, match=r"chunk: null is expected, batch norm"):
        problem(tmp_path, recipe(network=lite, chunk=2))


# ---- what is between two networks ----------------------------------------------------------------
def test_the_curve_is_of_interpolated_weights_and_chosen_on_validation_alone(folder, monkeypatch):
    made = problem(folder, recipe())
    for batch in made.batches(0):
        made.loss(batch).backward()
        made.optimizer.step()
    end = copy.deepcopy(made.model.state_dict())
    scores = made.scores()
    assert all(torch.equal(t, end[n]) for n, t in made.model.state_dict().items())
    curve = {
        (s.coefficient, s.split, s.metric): s.value for s in scores if s.weights == "interpolated"
    }
    made.model.load_state_dict(interpolate(made.start, end, 0.5))
    assert curve[0.5, "id", "macro_f1"] == made.evaluate(made.dataset.tests["id"])["macro_f1"]
    values = {c: curve[c, "validation", "macro_f1"] for c in TRAINING.coefficients}
    (chosen,) = {s.coefficient for s in scores if s.weights == "ensembled"}
    assert chosen == max(c for c, v in values.items() if v == max(values.values()))
    final = {(s.split, s.metric): s.value for s in scores if s.weights == "final"}
    assert final == {(s, m): v for (c, s, m), v in curve.items() if c == 1}
    assert isinstance(scores[0], Score)


def test_zero_shot_is_the_nearest_mean_prompt(folder):
    made = problem(folder, recipe("zero-shot"))
    split = made.dataset.tests["id"]
    network = made.network
    with torch.no_grad():
        images = network.model.encode_image(made._prepared(torch.from_numpy(split.inputs)))
        means = []
        for of_class in made.dataset.prompts():
            texts = F.normalize(network.model.encode_text(network.tokens(of_class)), dim=1)
            means.append(texts.mean(0))
        found = (F.normalize(images, dim=1) @ F.normalize(torch.stack(means), dim=1).T).argmax(1)
    seed = made.train()
    accuracy = float((found.numpy() == split.labels).mean())
    assert seed.value("id", "final", "accuracy") == seed.value("id", "ensembled", "accuracy")
    assert seed.value("id", "final", "accuracy") == pytest.approx(accuracy)


@pytest.mark.parametrize("kind", ["flyp", "lp-ft"])
def test_training_learns_and_resumes_to_the_same_figures(folder, tmp_path, monkeypatch, kind):
    from replication.training import loop

    chosen = recipe(kind, epochs=4)
    whole = fit(problem(folder, chosen), chosen.training, False, 0, Checkpoints(tmp_path, {}), int)
    assert whole.value("id", "final", "accuracy") >= 0.5
    monkeypatch.setattr(loop, "SAVE_EVERY", -1.0)
    kept, ticks = Checkpoints(tmp_path, {"a": 1}), []

    def interrupt():
        ticks.append(1)
        if len(ticks) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(problem(folder, chosen), chosen.training, False, 0, kept, interrupt)
    again = fit(problem(folder, chosen), chosen.training, False, 0, kept, lambda: ticks.append(1))
    assert again == whole
    assert len(ticks) == 6


# ---- what it must stand --------------------------------------------------------------------------
@pytest.mark.parametrize("reading", [READING, CALIBRATED], ids=["jvp", "calibrated"])
def test_a_batch_of_one_pair(folder, reading):
    """One proxy class: its loss is 0, and so are its gradients."""
    made = problem(folder, recipe(refiner=SAFLEX, reading=reading, batch_size=1))
    loss = made.loss(batch_of(made))
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(gradients(made, loss)).all()


def test_a_batch_of_one_caption(folder):
    data = dataset()
    same = Split(data.train.inputs, np.zeros_like(data.train.labels))
    data = dataclasses.replace(data, train=same)
    made = problem(folder, recipe(refiner=SAFLEX, reading=READING), data=data)
    assert made.loss(batch_of(made)).isfinite()


@pytest.mark.parametrize("kind", ["flyp", "lp-ft"])
def test_classes_without_images(folder, tmp_path, kind):
    data = dataset(names=("cat", "dog", "bird", "unicorn"))
    kept = data.train.labels < 3
    some = Split(data.train.inputs[kept], data.train.labels[kept])
    chosen = recipe(kind)
    made = problem(folder, chosen, data=dataclasses.replace(data, train=some, validation=some))
    seed = fit(made, chosen.training, False, 0, Checkpoints(tmp_path, {}), int)
    assert all(np.isfinite(s.value) for s in seed.scores)


def test_a_prompt_longer_than_the_context_is_named(folder):
    data = dataclasses.replace(
        dataset(), class_names=("cat", "dog", "a bird of no kind that anybody has seen yet")
    )
    with pytest.raises(ValueError, match=r"prompt 'a photo of a a bird of no kind.*reads 12"):
        problem(folder, recipe(), data=data)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 0.0])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ValueError, match="scale: finite and positive expected"):
        contrastive_logits(torch.ones(2, 3), torch.ones(2, 3), scale)


def test_a_learnt_scale_moves_and_stays_within_its_bounds(folder):
    made = problem(folder, recipe())
    with torch.no_grad():
        made.model.logit_scale.fill_(contrastive.LARGEST + 1)
    made.loss(batch_of(made)).backward()
    assert made.model.logit_scale.grad is not None
    made.optimizer.step()
    assert made.model.logit_scale.item() == pytest.approx(contrastive.LARGEST)


def test_weights_of_another_architecture_are_named(folder):
    wide = recipe().network.model_copy(update={"embed_dim": 16})
    with pytest.raises(
        ValueError, match=r"text_projection is \(8, 8\) in .* and \(8, 16\) in the network"
    ):
        contrastive.problem(task(folder, recipe(network=wide)), 0)


def test_both_batches_are_trained_on_alike(folder):
    made = problem(folder, recipe(), clean=True)
    state = made.streams["templates"].get_state()
    batch = batch_of(made)
    loss = made.loss(batch)
    made.streams["templates"].set_state(state)
    first = made._plain(made._pairs(batch.x_aug, batch.y), batch.y)
    second = made._plain(made._pairs(batch.x, batch.y), batch.y)
    torch.testing.assert_close(loss, (first + second) / 2)


def test_bfloat16_keeps_the_logits_in_full_precision(folder):
    made = problem(folder, recipe(refiner=SAFLEX, reading=CALIBRATED, precision="bfloat16"))
    loss = made.loss(batch_of(made))
    assert loss.dtype == torch.float32
    exact = problem(folder, recipe(refiner=SAFLEX, reading=CALIBRATED))
    assert loss.item() == pytest.approx(exact.loss(batch_of(exact)).item(), rel=0.1)


def test_warm_up_and_cosine(folder):
    made = problem(folder, recipe(epochs=3, warmup=2))
    rates = []
    for epoch in range(3):
        for _ in made.batches(epoch):
            rates.append(made.optimizer.param_groups[0]["lr"] / 1e-3)
            made.optimizer.step()
            made.schedule.step()
    expected = [0.5, 1.0, 1.0, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2]
    assert rates == pytest.approx(expected)
    assert [g["weight_decay"] for g in made.optimizer.param_groups] == [0.1, 0.0]
