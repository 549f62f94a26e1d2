"""Two gloo processes give the weights and labels of one process on the joined batch."""

import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import saflex

OPTIONS = {
    "algorithm 1": {"gumbel": 0},
    "calibrated": {
        "gumbel": 0, "beta": 3, "temperature": 1, "weight_rule": "gate", "centre": True,
        "normalise": True, "unit_scale": True, "shrink": True,
    },
    "look-ahead": {"gumbel": 0, "how": "lookahead", "weight_rule": "positive"},
    "head": {"gumbel": 0, "scope": "head", "weight_rule": "gate"},
}  # fmt: skip


def task():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    data = torch.randn(8, 4).double(), torch.randint(3, (8,))
    return model, data, (torch.randn(8, 4).double(), torch.randint(3, (8,)))


def refine(model, inner, x, y, x_val, y_val, options):
    """Halves of the validation batch interleave, so that each rank has a part of both."""
    losses = [F.cross_entropy(inner(x_val[i::2]), y_val[i::2]) for i in range(2)]
    if not options.get("shrink"):
        losses = [sum(losses) / 2]
    logits = model(x)
    refined = saflex.SAFLEX(model, **options)(x, y, losses, logits=logits)
    saflex.soft_cross_entropy(logits, refined.labels, refined.weights).backward()
    grads = [p.grad.clone() for p in inner.parameters()]
    inner.zero_grad()
    return refined.weights, refined.labels, refined.inner_products, grads


def work(rank, port, results):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    inner, (x, y), (x_val, y_val) = task()
    model, share = DistributedDataParallel(inner), slice(4 * rank, 4 * rank + 4)
    parts = {
        name: refine(model, inner, x[share], y[share], x_val[share], y_val[share], options)
        for name, options in OPTIONS.items()
    }
    y0 = torch.zeros(4, dtype=torch.int64)
    parts["noise"] = [saflex.solve(torch.zeros(4, 3), y0, temperature=1.0)[1]]
    parts["none kept"] = [saflex.solve(torch.full((4, 3), -1.0), y0, gumbel=0)[0]]
    torch.save(parts, f"{results}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    results = tmp_path_factory.mktemp("ranks")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(work, (port, str(results)), nprocs=2)
    return [torch.load(results / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", OPTIONS)
def test_two_processes_are_one_on_the_joined_batch(ranks, name):
    model, (x, y), (x_val, y_val) = task()
    options = OPTIONS[name]
    weights, labels, pi, grads = refine(model, model, x, y, x_val, y_val, options)
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if name == "look-ahead" else {}
    for i, expected in enumerate((weights, labels, pi)):
        torch.testing.assert_close(torch.cat([r[name][i] for r in ranks]), expected, **tolerance)
    for a, b, expected in zip(ranks[0][name][3], ranks[1][name][3], grads, strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(2 * a, expected, **tolerance)


def test_ranks_draw_different_noise_and_agree_that_nothing_is_kept(ranks):
    assert not torch.equal(ranks[0]["noise"][0], ranks[1]["noise"][0])
    assert not any(r["none kept"][0].any() for r in ranks)
