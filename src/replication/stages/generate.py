"""`python -m replication.stages.generate PROFILE EXPERIMENT DATASET UPSTREAM`: made images.

In data/generated/PROFILE/DATASET/UPSTREAM/, of the training split, and of the validation split if
it is trained on, with manifest.json. Interrupted, it goes on where it was, and what is damaged is
made again. Several GPUs share the list:
`torchrun --nproc-per-node 4 -m replication.stages.generate PROFILE ...`.
"""

import os
from pathlib import Path

from tqdm import tqdm

from replication import settings
from replication.files import checksums, md5, read_json
from replication.settings import Made
from replication.stages import clock
from replication.stages.generator import ORIGIN, WEIGHTS, folder_of, place
from replication.stages.train import count
from replication.stages.wanted import planned, wanted
from replication.training.cell import SETS, device_of

GENERATED = Path("data/generated")


def main() -> None:
    everything, named = wanted(__doc__, "experiment", "dataset", "upstream")
    (made,) = planned(settings.made(everything), everything, named)
    profile = everything.profile.profile
    try:
        generate(made, SETS, place(profile, made), images(profile, made))
    except (FileNotFoundError, MemoryError, ValueError) as error:
        raise SystemExit(f"upstreams.{made.upstream}: {error}") from error
    clock.record(profile, "generate", named)


def images(profile: str, made: Made) -> Path:
    """The folder of the images of an upstream on a data set."""
    return GENERATED.joinpath(profile, made.dataset, made.upstream)


def generate(made: Made, sets: Path, generator: Path, folder: Path) -> None:
    """Make the images of an upstream, or this process's share of them."""
    import torch

    from replication import data
    from replication.upstream import diffusion

    diffusion.require(made.recipe.kind)
    torch.set_num_threads(count("SAFLEX_THREADS", 1))
    dataset = data.load(made.dataset, made.source, sets, 0)
    device, share = device_of(made.device), (_of("RANK", 0), _of("WORLD_SIZE", 1))
    if device.type == "cuda":
        device = torch.device("cuda", _of("LOCAL_RANK", 0))
    listed = asked(made, dataset, sets, generator, folder)

    def maker() -> diffusion.Maker:
        return built(made, dataset, generator, device)

    def sources(requests) -> torch.Tensor:
        return torch.stack([_image(getattr(dataset, r.part).inputs, r.source) for r in requests])

    with tqdm(total=len(listed.requests), desc=f"{made.dataset}, {made.upstream}") as bar:
        listed.fill(maker, sources, bar.update, share)


def asked(made: Made, dataset, sets: Path, generator: Path, folder: Path):
    """The images of an upstream, as they are asked of its diffusion model."""
    from replication.upstream import diffusion
    from replication.upstream.diffusion.folder import Folder
    from replication.upstream.diffusion.requests import requests

    labels = {part: getattr(dataset, part).labels for part in made.parts}
    listed = requests(made.augments, made.dataset, labels, dataset.class_names, made.copies)
    origin = made.dump() | {"files": checksums(sets / made.dataset)}
    origin["code"] = diffusion.code(made.recipe.kind)
    if (weights := generator / WEIGHTS).exists():
        origin["weights"] = md5(weights)
    origin |= folder_of(made.recipe)
    return Folder(folder, listed, origin, made.batch)


def built(made: Made, dataset, generator: Path, device):
    """What makes the images. ValueError for weights of other settings."""
    from replication.models.pairs.weights import load

    recipe = made.recipe
    expected, origin = {"recipe": recipe.model_dump(mode="json")}, read_json(generator / ORIGIN)
    if recipe.training is not None:  # on these weights
        expected |= folder_of(recipe)
    if any(origin.get(key) != value for key, value in expected.items()):
        raise ValueError(f"{generator / ORIGIN}: of other settings; `dvc repro generator` makes it")
    if recipe.kind == "class-conditional":
        from replication.upstream.diffusion import unet

        model = unet.build(recipe, dataset.train.inputs.shape[1:], dataset.classes)
        load(model, generator / WEIGHTS)
        revision = f"md5:{md5(generator / WEIGHTS)}"
        return unet.Conditional(recipe, made.augments, model, revision, device)
    from replication.upstream.diffusion import pipelines

    pipeline, revision = pipelines.load(recipe, made.augments.kind, device)
    if recipe.training is not None:
        load(
            pipelines.Learnt(pipelines.adapted(pipeline.unet, recipe.training)), generator / WEIGHTS
        )
        revision = f"{revision} md5:{md5(generator / WEIGHTS)}"
    return pipelines.Piped(made.augments, pipeline, recipe.side, revision, device)


def _image(inputs, i: int):
    """One of the images of a split, (C, H, W) uint8, which may be read from its file."""
    import numpy as np
    import torch

    if isinstance(inputs, np.ndarray):
        return torch.from_numpy(np.asarray(inputs[i]))
    return inputs[torch.tensor([i])][0]


def _of(variable: str, default: int) -> int:
    """A number of torchrun's."""
    return int(os.environ.get(variable, default))


if __name__ == "__main__":
    main()
