"""Two gloo processes give the loss, gradients, weights and soft labels of one process."""

import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from made_pairs import recipe, task

from replication.refiners import build
from replication.settings import Reading, refiners
from replication.training import ranks
from replication.training.problems.contrastive import FLYP, in_both

SAFLEX = refiners.Saflex(kind="saflex", role="reading", reading="x")
OPTIONS = {"temperature": 1.0, "gumbel": 0.0}
READINGS = {
    "plain": None,
    "exact": Reading(how="jvp", **OPTIONS),
    "gate": Reading(how="jvp", beta=6.0, weight_rule="gate", centre=True, normalise=True,
                    unit_scale=True, shrink=True, optimizer_aware=True, **OPTIONS),
    "look-ahead": Reading(how="lookahead", **OPTIONS),
}  # fmt: skip
CASES = [
    ("plain", "negatives"), ("plain", "shared"), ("exact", "negatives"), ("gate", "shared"),
    ("look-ahead", "negatives"),
]  # fmt: skip
BATCH, VALIDATION = torch.arange(8), torch.arange(4, 12)


def step(folder, reading, same_class):
    """Loss, weights, labels and gradients, summed over ranks, of the share of this process."""
    made = FLYP(task(folder, recipe(same_class=same_class)), 0)
    made.model.train()
    if reading is not None:
        refiner = recipe(refiner=SAFLEX, reading=reading)
        made.refine = build(
            refiner.refiner, reading, made.model, made.optimizer, made.streams["refiner"],
            made.logits,
        )  # fmt: skip
    inputs, labels = map(torch.as_tensor, (made.dataset.train.inputs, made.dataset.train.labels))

    def pairs(i):
        return made._prepared(inputs[i]), made.tokens[labels[i], 0]

    i = ranks.share(BATCH)
    count = 1 + bool(reading and reading.shrink)
    halves = [ranks.share(part) for part in VALIDATION.tensor_split(count)]
    losses = [lambda j=j: made._plain(pairs(j), labels[j]) for j in halves]
    targets, logits = made.targets(labels[i]), made.logits(made.model, pairs(i))
    refined = made.refine(pairs(i), targets, losses, logits)
    weights = ranks.normalised(refined.weights)
    loss = in_both(logits, refined.labels, weights)
    loss.backward()
    made.optimizer.step()  # whose hook sums the gradients
    flat = torch.cat([p.grad.flatten() for p in made.model.parameters() if p.grad is not None])
    moved = torch.cat([p.detach().flatten() for p in made.model.parameters()])
    return [loss.detach()[None], weights, refined.labels, flat, moved]


def all_steps(folder):
    return {case: step(folder, READINGS[case[0]], case[1]) for case in CASES}


def work(rank, port, folder, results):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    torch.save(all_steps(folder), results / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Of two processes, and of one."""
    torch.set_num_threads(1)
    folder, results = (tmp_path_factory.mktemp(name) for name in ("pretrained", "results"))
    one = all_steps(folder)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(work, (port, folder, results), nprocs=2)
    return [torch.load(results / f"{rank}.pt") for rank in range(2)], one


@pytest.mark.parametrize(("name", "same"), CASES)
def test_two_processes_are_one_on_the_joined_batch(steps, name, same):
    (first, second), one = steps
    (a, b), expected = (first[name, same], second[name, same]), one[name, same]
    close = {"rtol": 2e-2, "atol": 2e-3} if name == "look-ahead" else {"rtol": 1e-3, "atol": 1e-5}
    torch.testing.assert_close(a[0] + b[0], expected[0], **close)
    torch.testing.assert_close(torch.cat([a[1], b[1]]), expected[1], **close)
    torch.testing.assert_close(torch.cat([a[2], b[2]]), expected[2], **close)
    torch.testing.assert_close(a[3], b[3])
    difference = (a[3] - expected[3]).norm() / expected[3].norm()
    assert difference < (2e-2 if name == "look-ahead" else 1e-3)
    torch.testing.assert_close(a[4], b[4], rtol=0, atol=0)


def test_one_process_needs_no_group():
    i = torch.arange(5)
    assert ranks.count() == 1
    assert ranks.rank() == 0
    assert ranks.share(i) is i
    assert ranks.gather(i) is i
    assert ranks.normalised(i) is i


def test_a_batch_smaller_than_the_processes(monkeypatch):
    monkeypatch.setattr(ranks, "count", lambda: 4)
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    assert ranks.share(torch.arange(9)).tolist() == [2, 3]
    with pytest.raises(ValueError, match="batch_size: 4 or more are expected"):
        ranks.share(torch.arange(3))
