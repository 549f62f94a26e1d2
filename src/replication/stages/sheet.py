"""`python -m replication.stages.sheet PROFILE EXPERIMENT DATASET REFINER`: a contact sheet.

Seed 0 of a refiner is trained once more on the images of each upstream by a diffusion model, and
what it does to single samples written to cells/EXPERIMENT/DATASET/sheets/REFINER/UPSTREAM.npz in
results/PROFILE: the arrays of `training.sheet.look`, and `names` of the classes.
"""

from dataclasses import replace

import numpy as np

from replication import cells, settings
from replication.files import replacing
from replication.stages import clock
from replication.stages.train import CHECKPOINTS, count
from replication.stages.wanted import planned, wanted
from replication.training.cell import Work

SEED, SAMPLES = 0, 12


def main() -> None:
    everything, named = wanted(__doc__, "experiment", "dataset", "refiner")
    made = [p for p in settings.methods(everything) if p.recipe.generator is not None]
    try:
        for method in planned(made, everything, named):
            write(method, everything.profile.profile)
    except (FloatingPointError, FileNotFoundError, ValueError) as error:
        raise SystemExit(f"{', '.join(named.values())}: {error}") from error
    clock.record(everything.profile.profile, "sheet", named)


def write(planned: settings.Planned, profile: str) -> None:
    """The samples of one upstream."""
    import torch

    from replication.training.loop import fit
    from replication.training.sheet import look

    torch.set_num_threads(count("SAFLEX_THREADS", 1))
    work = replace(Work.of(planned, profile, CHECKPOINTS)[-1], root=CHECKPOINTS / "sheets")
    dataset, method, training = work.dataset(SEED), planned.method, planned.recipe.training
    problem = work.supervised(dataset, SEED)
    fit(problem, training, False, SEED, work.checkpoints, lambda: None)
    samples = look(problem, training.epochs, SAMPLES)
    path = cells.sheet(profile, method.experiment, method.dataset, method.refiner, method.upstream)
    with replacing(path) as temporary:
        np.savez(temporary, names=np.array(dataset.class_names), **samples)
    print(path)


if __name__ == "__main__":
    main()
