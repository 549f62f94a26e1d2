"""What a profile asks for: its cells, and each one's settings as they are run."""

from itertools import product
from typing import Any, Literal

from pydantic import SerializeAsAny

from replication.settings.datasets import AnyDataSource
from replication.settings.fields import Strict
from replication.settings.generators import AnyGenerator
from replication.settings.identity import Cell, Method
from replication.settings.models import AnyModel
from replication.settings.networks import AnyNetwork
from replication.settings.profile import Generated, Judging, Training
from replication.settings.refiners import AnyReading, AnyRefiner
from replication.settings.settings import Settings
from replication.settings.upstreams import AnyUpstream

REPORTED = {"role", "of", "label", "reading", "validation_batch"}
"""Fields of an entry that no figure of a cell depends on, or that stand elsewhere in its settings:
a reading's own, and how it is trained."""


class Recipe(Strict):
    """The settings that the figures of a method's cells depend on, but for the number of seeds.

    network: what the model was before it was fine-tuned, of pairs only. generator, judging: what
    made the upstream's images and looked at them, of images that a diffusion model made.
    """

    dataset: AnyDataSource
    model: AnyModel
    network: AnyNetwork | None = None
    upstream: AnyUpstream
    refiner: AnyRefiner
    reading: AnyReading | None
    training: SerializeAsAny[Training]
    views: int
    generator: AnyGenerator | None = None
    judging: Judging | None = None

    def dump(self) -> dict[str, Any]:
        """As JSON, for a result file and for the identity of a seed."""
        left_out = {"upstream": {"label"}, "refiner": REPORTED}
        for part in ("network", "generator", "judging"):
            if getattr(self, part) is None:
                left_out[part] = True
        return self.model_dump(mode="json", exclude=left_out, exclude_none=False)


class Planned(Strict):
    """A method of a profile: one stage, a cell for each batch composition."""

    method: Method
    batches: list[str]
    seeds: int
    recipe: Recipe

    @property
    def cells(self) -> list[Cell]:
        return [Cell(**self.method.model_dump(), batch=batch) for batch in self.batches]

    def dump(self) -> dict[str, Any]:
        return {
            "method": self.method.model_dump(),
            "batches": self.batches,
            "seeds": self.seeds,
            "recipe": self.recipe.dump(),
        }


def methods(settings: Settings) -> list[Planned]:
    """Every method of a profile, in the order of its lists."""
    planned = []
    for experiment, grid in settings.profile.experiments.items():
        rows = [
            *product(grid.clean.models, ["none"], grid.clean.refiners),
            *product(grid.models, grid.upstreams, grid.refiners),
            *product(grid.models, grid.crops.upstreams, grid.crops.refiners),
            *product(grid.models, grid.controlled.upstreams, grid.controlled.refiners),
            *product(grid.models, grid.beside.upstreams, grid.beside.refiners),
        ]
        for dataset, (model, upstream, refiner) in product(grid.datasets, rows):
            augments = settings.upstreams[upstream]
            network = settings.model(experiment, dataset, model)
            views = network.copies if network.frozen else grid.views
            if augments.generated:
                augments, views = augments.prompted(dataset), grid.copies
            planned.append(
                Planned(
                    method=Method(
                        experiment=experiment,
                        dataset=dataset,
                        model=model,
                        upstream=upstream,
                        refiner=refiner,
                    ),
                    batches=["clean"] if upstream == "none" else grid.batches,
                    seeds=settings.seeds(experiment, dataset, model),
                    recipe=Recipe(
                        dataset=settings.datasets[dataset],
                        model=network,
                        network=settings.network(model),
                        upstream=augments,
                        refiner=settings.refiners[refiner],
                        reading=settings.reading(refiner),
                        training=settings.training(experiment, dataset, model, refiner),
                        views=0 if upstream == "none" or augments.drawn else views,
                        generator=settings.generator(upstream),
                        judging=grid.judging if augments.generated else None,
                    ),
                )
            )
    return planned


class Pretrained(Strict):
    """A network of pairs before it is fine-tuned: one stage, for all cells that start from it."""

    experiment: str
    dataset: str
    network: str
    source: AnyDataSource
    recipe: AnyNetwork
    device: Literal["auto", "cpu", "cuda"]

    def dump(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def pretrained(settings: Settings) -> list[Pretrained]:
    """Every network of a profile on every data set of its experiment."""
    grids = settings.profile.experiments.items()
    return [
        Pretrained(
            experiment=experiment,
            dataset=dataset,
            network=network,
            source=settings.datasets[dataset],
            recipe=settings.networks[network],
            device=grid.training.device,
        )
        for experiment, grid in grids
        for dataset, network in product(grid.datasets, getattr(grid, "networks", []))
    ]


class Prepared(Strict):
    """A diffusion model on a data set, before it makes images: trained, fine-tuned or as it is."""

    experiment: str
    dataset: str
    generator: str
    source: AnyDataSource
    recipe: AnyGenerator
    device: Literal["auto", "cpu", "cuda"]

    def dump(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"augments": {"label"}})


class Made(Prepared):
    """An upstream's images by a diffusion model: `copies` of each source, `batch` at a time.

    parts: the splits whose images are sources, those that methods train on.
    """

    upstream: str
    augments: AnyUpstream
    copies: int
    batch: int
    parts: list[str]


def prepared(settings: Settings) -> list[Prepared]:
    """Every diffusion model of a profile on every data set of its experiment."""
    return [
        Prepared(
            experiment=experiment, dataset=dataset, **_of_generator(settings, grid, dataset, g)
        )
        for experiment, grid in _generated(settings)
        for dataset, g in product(grid.datasets, grid.generators)
    ]


def made(settings: Settings) -> list[Made]:
    """The images of every upstream by a diffusion model."""
    found = []
    for experiment, grid in _generated(settings):
        refiners = (settings.refiners[r] for r in (*grid.refiners, *grid.controlled.refiners))
        both = any(refiner.train_on_validation for refiner in refiners)
        for dataset, name in product(grid.datasets, grid.upstreams):
            upstream = settings.upstreams[name].prompted(dataset)
            found.append(
                Made(
                    experiment=experiment,
                    dataset=dataset,
                    upstream=name,
                    augments=upstream,
                    copies=grid.copies,
                    batch=grid.batch,
                    parts=["train", *(["validation"] if both else [])],
                    **_of_generator(settings, grid, dataset, upstream.generator),
                )
            )
    return found


def _of_generator(settings: Settings, grid: Generated, dataset: str, generator: str) -> dict:
    return {
        "generator": generator,
        "source": settings.datasets[dataset],
        "recipe": settings.generators[generator],
        "device": grid.training.device,
    }


def _generated(settings: Settings) -> list[tuple[str, Generated]]:
    experiments = settings.profile.experiments.items()
    return [(name, grid) for name, grid in experiments if isinstance(grid, Generated)]


class Judges(Strict):
    """The classifiers that look at images that diffusion models made of a data set. network: CLIP,
    where they are filtered by prompts."""

    experiment: str
    dataset: str
    source: AnyDataSource
    judging: Judging
    model: AnyModel
    network: AnyNetwork | None = None
    training: SerializeAsAny[Training]

    def dump(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def judges(settings: Settings) -> list[Judges]:
    """Those of every data set of a diffusion model, with the learning rate that training has on
    it."""
    return [
        Judges(
            experiment=experiment,
            dataset=dataset,
            source=settings.datasets[dataset],
            judging=grid.judging,
            model=settings.model(experiment, dataset, model),
            network=settings.networks[t.network] if (t := grid.judging.topics) else None,
            training=grid.training.model_copy(
                update={"epochs": grid.judging.epochs, "batch_size": grid.judging.batch_size}
            ),
        )
        for experiment, grid in _generated(settings)
        for dataset, model in product(grid.datasets, grid.judges)
    ]


def sheets(settings: Settings) -> dict[tuple[str, str, str], list[Planned]]:
    """By experiment, data set and refiner the methods of every contact sheet."""
    found: dict[tuple[str, str, str], list[Planned]] = {}
    wanted = {name: grid.sheets for name, grid in _generated(settings)}
    for planned in methods(settings):
        method = planned.method
        named = method.refiner in wanted.get(method.experiment, ())
        if named and planned.recipe.generator is not None:
            key = method.experiment, method.dataset, method.refiner
            found.setdefault(key, []).append(planned)
    return found


def cells(settings: Settings) -> list[Cell]:
    return [cell for planned in methods(settings) for cell in planned.cells]


def views(settings: Settings) -> list[tuple[str, str, str]]:
    """(experiment, data set, upstream) of every stage that may store views."""
    return [
        (experiment, dataset, upstream)
        for experiment, grid in settings.profile.experiments.items()
        for dataset, upstream in product(grid.datasets, grid.upstreams)
        if grid.takes == "images"
    ]


def describe(settings: Settings) -> str:
    """The plan in words."""
    profile, planned = settings.profile, methods(settings)
    count = sum(len(p.batches) for p in planned)
    length = f"about {profile.minutes} minutes on two CPU cores"
    lines = [
        f"profile {profile.profile}: {count} cells, "
        f"{length if profile.minutes else 'time not measured'}; what is up to date is not run again"
    ]
    for experiment, grid in profile.experiments.items():
        count = sum(len(p.batches) for p in planned if p.method.experiment == experiment)
        lines.append(
            f"  {experiment}: {count} cells x {grid.seeds} seeds x {grid.training.epochs} epochs "
            f"on {', '.join(grid.datasets)}"
        )
        for dataset, model in product(grid.datasets, grid.models):
            seeds = settings.seeds(experiment, dataset, model)
            epochs = settings.training(experiment, dataset, model).epochs
            if (seeds, epochs) != (grid.seeds, grid.training.epochs):
                lines.append(f"    {dataset}, {model}: {seeds} seeds x {epochs} epochs")
    return "\n".join(lines)
