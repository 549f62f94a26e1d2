"""`python -m replication.stages.generator PROFILE EXPERIMENT DATASET GENERATOR`: a diffusion model.

What it was made from in data/generators/PROFILE/DATASET/GENERATOR/origin.json, beside its weights
if they are trained here: of a class-conditional model all, of a fine-tuned one what was trained.
Interrupted, it goes on where it was.
"""

from pathlib import Path

from tqdm import tqdm

from replication import settings
from replication.files import checksums, write_json
from replication.settings import AnyGenerator, Prepared
from replication.settings.generators import Published
from replication.stages import clock
from replication.stages.train import CHECKPOINTS, count
from replication.stages.wanted import planned, wanted
from replication.training.cell import SETS, code, device_of, processor

GENERATORS = Path("data/generators")
WEIGHTS, ORIGIN = "model.safetensors", "origin.json"


def main() -> None:
    everything, named = wanted(__doc__, "experiment", "dataset", "generator")
    (prepared,) = planned(settings.prepared(everything), everything, named)
    try:
        prepare(prepared, SETS, CHECKPOINTS, place(everything.profile.profile, prepared))
    except (FloatingPointError, FileNotFoundError, ValueError) as error:
        raise SystemExit(f"generators.{prepared.generator}: {error}") from error
    clock.record(everything.profile.profile, "generator", named)


def place(profile: str, prepared: Prepared) -> Path:
    """The folder of a diffusion model on a data set."""
    return GENERATORS.joinpath(profile, prepared.dataset, prepared.generator)


def folder_of(recipe: AnyGenerator) -> dict[str, str]:
    """The hash of a folder of weights; of a hub's the settings have the commit."""
    if not isinstance(recipe, Published) or recipe.revision is not None:
        return {}
    from replication.upstream.diffusion import pipelines

    return {"folder": pipelines.known(recipe)}


def prepare(prepared: Prepared, sets: Path, checkpoints: Path, folder: Path) -> None:
    """Write the weights that are trained here, and beside them what they were made from."""
    import torch

    from replication.upstream import diffusion

    recipe, device = prepared.recipe, device_of(prepared.device)
    diffusion.require(recipe.kind)
    from replication import data
    from replication.models.pairs.weights import save
    from replication.training.checkpoints import Checkpoints
    from replication.training.loop import fit
    from replication.training.problems import adaptation, denoising

    torch.set_num_threads(count("SAFLEX_THREADS", 1))
    origin = prepared.dump() | {"files": checksums(sets / prepared.dataset)} | folder_of(recipe)
    if (training := recipe.training) is not None:
        dataset = data.load(prepared.dataset, prepared.source, sets, 0)
        for domain in getattr(recipe, "domains", ()):
            if domain not in dataset.domains:
                raise ValueError(
                    f"domains: {domain!r} is none of those of {prepared.dataset}: "
                    f"{', '.join(dataset.domains)}"
                )
        trained = (
            denoising.Denoising if recipe.kind == "class-conditional" else adaptation.Adaptation
        )
        problem = trained(recipe, dataset, device)
        own = {"torch": torch.__version__, "device": device.type, "processor": processor()}
        own |= {"code": code(prepared.source.takes), "threads": torch.get_num_threads()}
        own["diffusion"] = diffusion.code(recipe.kind)
        kept = Checkpoints(checkpoints, origin | own)
        with tqdm(
            total=training.epochs, desc=f"training {prepared.generator}", unit="epoch"
        ) as bar:
            fit(problem, training, False, training.seed, kept, bar.update)
        save(problem.learnt, folder / WEIGHTS)
    write_json(folder / ORIGIN, origin)


if __name__ == "__main__":
    main()
