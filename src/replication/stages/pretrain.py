"""`python -m replication.stages.pretrain PROFILE EXPERIMENT DATASET NETWORK`: a pretrained network.

Its weights in data/pretrained/PROFILE/DATASET/NETWORK/model.safetensors: open_clip's as they come,
of two towers of our own those after training on the captioned part of the data set. Interrupted, it
goes on where it was.
"""

from pathlib import Path

from tqdm import tqdm

from replication import settings
from replication.files import checksums, write_json
from replication.stages import clock
from replication.stages.train import CHECKPOINTS, count
from replication.stages.wanted import planned, wanted
from replication.training.cell import SETS, code, device_of, pretrained, processor


def main() -> None:
    everything, named = wanted(__doc__, "experiment", "dataset", "network")
    (network,) = planned(settings.pretrained(everything), everything, named)
    try:
        folder = pretrained(everything.profile.profile, network.dataset, network.network)
        pretrain(network, SETS, CHECKPOINTS, folder)
    except (FloatingPointError, FileNotFoundError, ValueError) as error:
        raise SystemExit(f"networks.{network.network}: {error}") from error
    clock.record(everything.profile.profile, "pretrain", named)


def pretrain(planned: settings.Pretrained, sets: Path, checkpoints: Path, folder: Path) -> None:
    """Write the weights, and beside them what they were made from."""
    import torch

    from replication import data
    from replication.models.pairs import network as networks
    from replication.models.pairs.weights import save
    from replication.training.checkpoints import Checkpoints
    from replication.training.loop import fit
    from replication.training.problems.contrastive import WEIGHTS
    from replication.training.problems.pretraining import Pretraining

    torch.set_num_threads(count("SAFLEX_THREADS", 1))
    recipe, device = planned.recipe, device_of(planned.device)
    torch.manual_seed(getattr(getattr(recipe, "pretraining", None), "seed", 0))
    network = networks.with_first_weights(recipe, networks.build(recipe))
    origin = planned.dump() | {"files": checksums(sets / planned.dataset)}
    if recipe.kind == "two-towers":
        dataset = data.load(planned.dataset, planned.source, sets, 0)
        if dataset.captioned is None:
            raise ValueError(f"{planned.dataset} has no captions to pretrain on")
        problem = Pretraining(network, dataset.captioned, recipe.pretraining, device)
        own = {"torch": torch.__version__, "device": device.type, "processor": processor()}
        own |= {"code": code(planned.source.takes), "threads": torch.get_num_threads()}
        kept = Checkpoints(checkpoints, origin | own)
        epochs = recipe.pretraining.epochs
        with tqdm(total=epochs, desc=f"pretraining {planned.network}", unit="epoch") as bar:
            fit(problem, recipe.pretraining, False, recipe.pretraining.seed, kept, bar.update)
    save(network.model, folder / WEIGHTS)
    write_json(folder / "origin.json", origin)


if __name__ == "__main__":
    main()
