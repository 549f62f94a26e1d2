"""`python -m replication.stages.judges PROFILE EXPERIMENT DATASET`: classifiers of made images.

In data/judges/PROFILE/DATASET: `everything.safetensors`, trained on all splits and domains, says
what an image shows and is used for nothing that is trained; `train.safetensors`, trained on the
training split, is what images are filtered by.
"""

from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from replication import settings
from replication.files import checksums
from replication.settings import Recipe
from replication.stages import clock
from replication.stages.train import CHECKPOINTS, count
from replication.stages.wanted import planned, wanted
from replication.training.cell import SETS, code, device_of, processor

JUDGES = Path("data/judges")
SEED = 0


def main() -> None:
    everything, named = wanted(__doc__, "experiment", "dataset")
    (judges,) = planned(settings.judges(everything), everything, named)
    try:
        train(judges, SETS, CHECKPOINTS, JUDGES / everything.profile.profile / judges.dataset)
    except (FloatingPointError, FileNotFoundError, ValueError) as error:
        raise SystemExit(f"{', '.join(named.values())}: {error}") from error
    clock.record(everything.profile.profile, "judges", named)


def train(judges: settings.Judges, sets: Path, checkpoints: Path, folder: Path) -> None:
    """Write both classifiers, and print how well they do on what they did and did not train on."""
    import torch

    from replication import data
    from replication.models.pairs.weights import save
    from replication.training.checkpoints import Checkpoints
    from replication.training.evaluation import evaluate
    from replication.training.loop import fit

    torch.set_num_threads(threads := count("SAFLEX_THREADS", 1))
    dataset = data.load(judges.dataset, judges.source, sets, 0)
    device, training = device_of(judges.training.device), judges.training
    for name in ("everything", "train"):
        seen = replace(dataset, train=getattr(dataset, name))
        problem = classifier(judges, seen, device)
        files = checksums(sets / judges.dataset)
        kept = Checkpoints(checkpoints, identity(judges, name, files, device, threads))
        with tqdm(total=training.epochs, desc=f"{judges.dataset}, {name}", unit="epoch") as bar:
            fit(problem, training, False, SEED, kept, bar.update)
        save(problem.model, folder / f"{name}.safetensors")
        found = evaluate(problem.model, dataset.everything, dataset.prepare)["accuracy"]
        print(f"{judges.dataset}: trained on {name}, {100 * found:.2f} % of all images are right")


def identity(
    judges: settings.Judges, name: str, files: dict[str, str], device, threads: int
) -> dict:
    """Everything that a classifier depends on, as `training.cell.Work.identity` has it of cells."""
    import torch

    return judges.dump() | {
        "judge": name,
        "files": files,
        "code": code(judges.source.takes),
        "torch": torch.__version__,
        "device": device.type,
        "processor": processor(),
        "threads": threads,
    }


def classifier(judges: settings.Judges, dataset, device):
    """The problem of a classifier of a data set's training split, without augmentation."""
    import torch

    from replication.training.problems.supervised import Supervised, Task

    recipe = Recipe(
        dataset=judges.source,
        model=judges.model,
        upstream=settings.upstreams.Identity(kind="none"),
        refiner=settings.refiners.Alone(kind="none", role="baseline"),
        reading=None,
        training=judges.training,
        views=0,
    )
    split = dataset.train
    pool = torch.as_tensor(split.inputs), torch.from_numpy(split.labels)
    return Supervised(Task(dataset, pool, None, None, False, recipe, device), SEED)


if __name__ == "__main__":
    main()
