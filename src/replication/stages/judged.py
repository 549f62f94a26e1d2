"""`python -m replication.stages.judged PROFILE EXPERIMENT DATASET UPSTREAM`: made images as views.

Stored as the views of other upstreams, and for each split besides
`<split>_shown.npy` (V, n) int64, the class that a classifier of all data sees, and
`<split>_kept.npy` (V, n) bool, whether an image passes the filters; made.json says of which
manifest and classifiers. How many show another class than their label is printed, and stands in
results/PROFILE/cells/EXPERIMENT/DATASET/made/UPSTREAM.json.
"""

from pathlib import Path

import numpy as np

from replication import cells, settings
from replication.files import checksums, md5, write_json
from replication.report.folders import whole
from replication.settings import Made, Recipe
from replication.stages import clock
from replication.stages.generate import asked, images
from replication.stages.generator import place
from replication.stages.judges import JUDGES, classifier
from replication.stages.train import count
from replication.stages.views import array
from replication.stages.wanted import planned, wanted
from replication.training.cell import MADE, SETS, VIEWS, device_of, made_from, views_of
from replication.upstream.diffusion.folder import MANIFEST

CHUNK = 512


def main() -> None:
    everything, named = wanted(__doc__, "experiment", "dataset", "upstream")
    profile = everything.profile.profile
    recipe = planned(settings.methods(everything), everything, named)[0].recipe
    (made,) = planned(settings.made(everything), everything, named)
    of = {key: named[key] for key in ("experiment", "dataset")}
    (judges,) = planned(settings.judges(everything), everything, of)
    try:
        with whole(VIEWS.joinpath(profile, *named.values())) as folder:
            found = store(recipe, made, judges, profile, folder)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"upstreams.{made.upstream}: {error}") from error
    cells.write(cells.made(profile, *named.values()), found)
    print(
        f"{made.dataset}, {made.upstream}: of {found.images} images "
        f"{100 * found.other:.1f} % show another class than their label; the filters keep "
        f"{100 * found.kept:.1f} %, of which {100 * found.other_of_kept:.1f} % do"
    )
    clock.record(profile, "judged", named)


def store(
    recipe: Recipe, made: Made, judges: settings.Judges, profile: str, folder: Path
) -> cells.Made:
    """Write the views into a folder; what the images of the training split show."""
    import torch
    import torch.nn.functional as F

    from replication import data
    from replication.models.pairs.weights import load
    from replication.training.judging import Judges

    torch.set_num_threads(count("SAFLEX_THREADS", 1))
    dataset, device = data.load(made.dataset, made.source, SETS, 0), device_of(made.device)
    where, seen = images(profile, made), []
    listed, trained = asked(made, dataset, SETS, place(profile, made), where), JUDGES / profile
    for name in ("everything", "train"):
        model = classifier(judges, dataset, device).model
        load(model, trained / made.dataset / f"{name}.safetensors")
        seen.append(model)
    judge = Judges(*seen, dataset.validation, dataset.prepare, _filter(judges, device))
    listed.records()
    write_json(
        folder / MADE,
        {"manifest": md5(where / MANIFEST), "judges": checksums(trained / made.dataset)},
    )
    arrays = {}
    for part in made.parts:
        split = getattr(dataset, part)
        shape, sample = (recipe.views, len(split)), torch.as_tensor(split.inputs[:1]).shape[1:]
        labels = F.one_hot(torch.from_numpy(split.labels), dataset.classes).float().numpy()
        arrays[part] = {
            "inputs": array(folder / f"{part}_inputs.npy", np.uint8, *shape, *sample),
            "labels": array(folder / f"{part}_labels.npy", np.float32, *shape, dataset.classes),
            "shown": array(folder / f"{part}_shown.npy", np.int64, *shape),
            "kept": array(folder / f"{part}_kept.npy", np.bool_, *shape),
        }
        arrays[part]["labels"][:] = labels
    for request, image in zip(listed.requests, listed.images(), strict=True):
        arrays[request.part]["inputs"][request.copy, request.source] = image
    for views in arrays.values():
        for copy in range(recipe.views):
            for i in range(0, views["inputs"].shape[1], CHUNK):
                pixels = np.ascontiguousarray(views["inputs"][copy, i : i + CHUNK])
                views["shown"][copy, i : i + CHUNK] = judge.shown(pixels)
                views["kept"][copy, i : i + CHUNK] = judge.kept(pixels)
        for view in views.values():
            view.flush()
    files = checksums(SETS / made.dataset) | made_from(folder, made.upstream)
    write_json(folder / "views.json", views_of(recipe, files))
    return told(arrays["train"])


def _filter(judges: settings.Judges, device):
    """By prompts, if images are filtered so."""
    if judges.network is None:
        return None
    from replication.models.pairs import network as networks
    from replication.training.judging import on_topic

    network = networks.with_first_weights(judges.network, networks.build(judges.network))
    network.model.to(device)
    topics = judges.judging.topics
    texts = topics.wanted[judges.dataset], topics.others[judges.dataset]
    return lambda images: on_topic(network, images, *texts)


def told(views: dict[str, np.ndarray]) -> cells.Made:
    """What views show."""
    wrong = views["shown"] != views["labels"].argmax(-1)
    kept = np.asarray(views["kept"])
    return cells.Made(
        images=int(wrong.size),
        other=float(wrong.mean()),
        kept=float(kept.mean()),
        other_of_kept=float(wrong[kept].mean()) if kept.any() else 0.0,
    )


if __name__ == "__main__":
    main()
