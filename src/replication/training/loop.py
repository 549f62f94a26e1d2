"""One seed's training: steps, the best epoch, checkpoints, and a resume to the last digit."""

import copy
import math
import time
from collections.abc import Callable

import torch

from replication.cells import Seed
from replication.settings import Training
from replication.training.checkpoints import Checkpoints
from replication.training.problems import Problem

SAVE_EVERY = 30.0  # seconds between checkpoints of a seed in progress


def fit(
    problem: Problem,
    recipe: Training,
    select_best: bool,
    seed: int,
    checkpoints: Checkpoints,
    tick: Callable[[], None],
) -> Seed:
    """Train one seed, resuming where an interrupted run left off. tick: called once an epoch.

    FloatingPointError, naming the epoch, if the loss is not finite.
    """
    model, optimizer = problem.model, problem.optimizer
    device = next(model.parameters()).device
    best, first = {"score": -math.inf, "epoch": 0, "model": None}, 0
    if state := checkpoints.restore(seed):
        first, best = state["epoch"], state["best"]
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        problem.schedule.load_state_dict(state["schedule"])
        problem.diagnostics.sums = state["diagnostics"]
        for name, generator in problem.streams.items():
            generator.set_state(state["streams"][name])
        torch.set_rng_state(state["random"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"], device)
        for _ in range(first):
            tick()

    saved = time.monotonic()
    model.train()
    for epoch in range(first, recipe.epochs):
        total = torch.zeros((), device=device)
        for batch in problem.batches(epoch):
            loss = problem.loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            problem.schedule.step()
            total += loss.detach()
        if not torch.isfinite(total):
            raise FloatingPointError(
                f"seed {seed}, epoch {epoch + 1}: the training loss is not finite; "
                "lower learning_rate or the reading's beta"
            )
        if select_best:
            if (score := problem.validation_score()) > best["score"]:
                weights = copy.deepcopy(model.state_dict())
                best = {"score": score, "epoch": epoch + 1, "model": weights}
            if recipe.patience and epoch + 1 - best["epoch"] >= recipe.patience:
                for _ in range(epoch, recipe.epochs):
                    tick()
                break
        if time.monotonic() - saved > SAVE_EVERY and epoch + 1 < recipe.epochs:
            checkpoints.save(
                seed,
                {
                    "epoch": epoch + 1,
                    "best": best,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": problem.schedule.state_dict(),
                    "diagnostics": problem.diagnostics.sums,
                    "streams": {name: g.get_state() for name, g in problem.streams.items()},
                    "random": torch.get_rng_state(),
                    "random_cuda": torch.cuda.get_rng_state(device)
                    if device.type == "cuda"
                    else None,
                },
            )
            saved = time.monotonic()
        tick()

    if best["model"] is not None:
        model.load_state_dict(best["model"])
    result = Seed(
        seed=seed,
        epoch=best["epoch"] or recipe.epochs,
        scores=problem.scores(),
        refiner=problem.diagnostics.means(),
    )
    checkpoints.finish(result)
    return result
