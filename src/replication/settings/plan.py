"""What a profile asks for: its cells, and each one's settings as they are run."""

from itertools import product
from typing import Any, Literal

from pydantic import SerializeAsAny

from replication.settings.datasets import AnyDataSource
from replication.settings.fields import Strict
from replication.settings.identity import Cell, Method
from replication.settings.models import AnyModel
from replication.settings.networks import AnyNetwork
from replication.settings.profile import Training
from replication.settings.refiners import AnyReading, AnyRefiner
from replication.settings.settings import Settings
from replication.settings.upstreams import AnyUpstream

REPORTED = {"role", "of", "label", "reading", "validation_batch"}
"""Fields of an entry that no figure of a cell depends on, or that stand elsewhere in its settings:
a reading's own, and how it is trained."""


class Recipe(Strict):
    """The settings that the figures of a method's cells depend on, but for the number of seeds.

    network: what the model was before it was fine-tuned, of pairs only.
    """

    dataset: AnyDataSource
    model: AnyModel
    network: AnyNetwork | None = None
    upstream: AnyUpstream
    refiner: AnyRefiner
    reading: AnyReading | None
    training: SerializeAsAny[Training]
    views: int

    def dump(self) -> dict[str, Any]:
        """As JSON, for a result file and for the identity of a seed."""
        left_out = {"upstream": {"label"}, "refiner": REPORTED}
        if self.network is None:
            left_out["network"] = True
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
        ]
        for dataset, (model, upstream, refiner) in product(grid.datasets, rows):
            stored = upstream != "none" and not settings.upstreams[upstream].drawn
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
                        model=settings.models[model],
                        network=settings.network(model),
                        upstream=settings.upstreams[upstream],
                        refiner=settings.refiners[refiner],
                        reading=settings.reading(refiner),
                        training=settings.training(experiment, dataset, model, refiner),
                        views=grid.views if stored else 0,
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
