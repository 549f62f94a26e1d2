"""All settings of one profile, and what no entry can see alone: whether the parts fit."""

from collections.abc import Iterable, Iterator
from itertools import chain, product

from pydantic import model_validator

from replication.settings.datasets import AnyDataSource
from replication.settings.fields import Name, Strict
from replication.settings.generators import AnyGenerator
from replication.settings.identity import BESIDE
from replication.settings.models import AnyModel
from replication.settings.networks import AnyNetwork
from replication.settings.profile import Contrastive, Generated, Grid, Profile, Training
from replication.settings.refiners import IMITATIONS, READ, AnyReading, AnyRefiner
from replication.settings.upstreams import AnyUpstream


class Settings(Strict):
    """The definitions of params.yaml and a profile."""

    upstreams: dict[Name, AnyUpstream]
    readings: dict[Name, AnyReading]
    refiners: dict[Name, AnyRefiner]
    datasets: dict[Name, AnyDataSource]
    models: dict[Name, AnyModel]
    networks: dict[Name, AnyNetwork] = {}
    generators: dict[Name, AnyGenerator] = {}
    profile: Profile

    @model_validator(mode="after")
    def _parts_fit(self):
        for mistake in chain(self._in_definitions(), self._in_profile()):
            raise ValueError(mistake)
        return self

    def reading(self, refiner: str) -> AnyReading | None:
        """The reading that a refiner uses or imitates, if any."""
        entry = self.refiners[refiner]
        if entry.kind in IMITATIONS:
            entry = self.refiners[entry.of]
        return self.readings.get(entry.reading) if entry.kind in READ else None

    def network(self, model: str) -> AnyNetwork | None:
        """What a model of pairs was before it was fine-tuned."""
        return self.networks.get(getattr(self.models[model], "network", ""))

    def generator(self, upstream: str) -> AnyGenerator | None:
        """The diffusion model of an upstream."""
        return self.generators.get(getattr(self.upstreams[upstream], "generator", ""))

    def model(self, experiment: str, dataset: str, model: str) -> AnyModel:
        """A model with the learning rate that it has on a data set."""
        rates = getattr(self.profile.experiments[experiment], "rates", {})
        update = {"learning_rate": rates[dataset]} if dataset in rates else {}
        return self.models[model].model_copy(update=update)

    def seeds(self, experiment: str, dataset: str, model: str) -> int:
        """How many seeds the cells of a data set and a model have."""
        grid = self.profile.experiments[experiment]
        return min([grid.seeds, *grid.limits_of("seeds", dataset, model)])

    def training(
        self, experiment: str, dataset: str, model: str, refiner: str = "none"
    ) -> Training:
        """How the cells of a data set and a model are trained: the recipe within their limits,
        with the validation batch of a refiner that has its own."""
        grid = self.profile.experiments[experiment]
        epochs = grid.limits_of("epochs", dataset, model)
        batch_sizes = grid.limits_of("batch_size", dataset, model)
        own = {
            "epochs": min([grid.training.epochs, *epochs]),
            "batch_size": min(batch_sizes, default=grid.training.batch_size),
        }
        if own_batch := self.refiners[refiner].validation_batch:
            own["validation_batch"] = own_batch
        return grid.training.model_copy(update=own)

    def _in_definitions(self) -> Iterator[str]:
        if self.upstreams.get("none") is None or self.upstreams["none"].kind != "none":
            yield "upstreams.none: {kind: none} is expected, the samples as they are"
        alone = self.refiners.get("none")
        if alone is None or (alone.kind, alone.role) != ("none", "baseline"):
            yield "refiners.none: {kind: none, role: baseline} is expected, the upstream alone"
        elif alone.train_on_validation:
            yield "refiners.none: train_on_validation is for controls, and this is the baseline"
        for name, refiner in self.refiners.items():
            key = f"refiners.{name}"
            if refiner.role == "baseline" and name != "none":
                yield f"{key}.role: the baseline is `none`"
            if refiner.kind in READ and refiner.reading not in self.readings:
                yield f"{key}.reading: {refiner.reading!r} is none of {_listed(self.readings)}"
            if refiner.of is None:
                continue
            if refiner.of not in self.refiners:
                yield f"{key}.of: {refiner.of!r} is none of {_listed(self.refiners)}"
            elif self.refiners[refiner.of].role == "control":
                yield f"{key}.of: {refiner.of!r} is a control itself"
            elif refiner.kind in IMITATIONS:
                if self.refiners[refiner.of].kind not in READ:
                    yield f"{key}.of: {refiner.of!r} is no reading of SAFLEX to imitate"
                elif (read := self.reading(refiner.of)) and refiner.kind not in read.controls:
                    yield f"{key}.kind: controls of {refiner.of!r} are {_listed(read.controls)}"
                twins = [n for n, r in self.refiners.items() if _same_control(r, refiner)]
                if twins[0] != name:
                    yield f"{key}: {twins[0]} is the {refiner.kind} control of {refiner.of} already"

        for name, model in self.models.items():
            if name in BESIDE:
                yield f"models.{name}: is the name of a folder of results; take another"
            if (network := getattr(model, "network", None)) and network not in self.networks:
                yield f"models.{name}.network: {network!r} is none of {_listed(self.networks)}"
        for name, upstream in self.upstreams.items():
            if upstream.generated and (mistake := self._of_generator(upstream)):
                yield f"upstreams.{name}.{mistake}"

    def _of_generator(self, upstream) -> str:
        """What is wrong with an upstream for the diffusion model that it names."""
        name = upstream.generator
        if name not in self.generators:
            return f"generator: {name!r} is none of {_listed(self.generators)}"
        generator = self.generators[name]
        if upstream.kind not in MAKES[generator.kind]:
            return f"generator: {name!r} makes {_listed(MAKES[generator.kind])}"
        if upstream.kind == "img2img-finetuned" and generator.training is None:
            return f"generator: {name!r} has no training, and a fine-tuned one is expected"
        if upstream.strong and {*upstream.strength} != {*upstream.prompts}:
            return f"strength: one for each of {_listed(upstream.prompts)} is expected"
        if generator.kind == "class-conditional":
            for prompt in chain.from_iterable(upstream.prompts.values()):
                if prompt not in generator.domains:
                    return f"prompts: {prompt!r} is none of the domains of {name!r}"
        return ""

    def _in_profile(self) -> Iterator[str]:
        profile = self.profile
        if profile.toy:
            if "oracle" in profile.toy.refiners:
                yield "toy.refiners: 'oracle' is what the toy calls the true labels; rename yours"
            for name in (*profile.toy.refiners, *profile.toy.picture.refiners):
                yield from _undefined("toy.refiners", name, self.refiners)
                if self.refiners[name].crops_only:
                    yield f"toy.refiners: {name!r} needs upstreams that crop"
                refiner = self.refiners[name]
                of_sets = refiner.kind in ("oracle", "cross-fitted") or refiner.validation_batch
                if of_sets or not refiner.whole_validation:
                    yield f"toy.refiners: {name!r} is for data sets, which the toy is not"
            if "none" not in profile.toy.refiners:
                yield "toy.refiners: 'none' is expected among them, the upstream alone"
        for experiment, grid in profile.experiments.items():
            for mistake in self._in_grid(grid):
                yield f"{experiment}.{mistake}"
        if not profile.experiments and profile.toy is None:
            yield "profile: no experiment has a data set, and there is no toy"
        used = {name for grid in profile.experiments.values() for name in grid.datasets}
        if used != set(profile.data):
            name = min(used ^ set(profile.data))
            where = "missing" if name in used else "used by no experiment"
            yield f"data: {name!r} is {where}; every data set that an experiment names is expected"

    def _in_grid(self, grid: Grid) -> Iterator[str]:
        named = {
            "datasets": (grid.datasets, self.datasets),
            "models": (grid.models, self.models),
            "clean.models": (grid.clean.models, self.models),
            "upstreams": (grid.upstreams, self.upstreams),
            "refiners": (grid.refiners, self.refiners),
            "clean.refiners": (grid.clean.refiners, self.refiners),
            "crops.upstreams": (grid.crops.upstreams, self.upstreams),
            "crops.refiners": (grid.crops.refiners, self.refiners),
            "controlled.upstreams": (grid.controlled.upstreams, self.upstreams),
            "controlled.refiners": (grid.controlled.refiners, self.refiners),
            "beside.upstreams": (grid.beside.upstreams, self.upstreams),
            "beside.refiners": (grid.beside.refiners, self.refiners),
        }
        for key, (names, defined) in named.items():
            for name in names:
                yield from _undefined(key, name, defined)
        for key in ("datasets", "models", "clean.models", "upstreams", "beside.upstreams"):
            names, defined = named[key]
            wanted = grid.augments if key == "upstreams" and grid.augments else (grid.takes,)
            for name in names:
                if (takes := defined[name].takes) not in (*wanted, "anything"):
                    yield f"{key}: {name!r} is for {takes}, and {wanted[0]} are expected"
        for key in ("upstreams", "beside.upstreams"):
            for name in named[key][0]:
                if self.upstreams[name].kind == "none":
                    yield f"{key}: {name!r} is what clean.models and clean.refiners are for"
        for key, part in (("crops", grid.crops), ("controlled", grid.controlled)):
            if unknown := {*part.upstreams} - {*grid.upstreams}:
                yield f"{key}.upstreams: {min(unknown)!r} is not among upstreams"
            if twice := {*part.refiners} & {*grid.refiners}:
                yield f"{key}.refiners: {min(twice)!r} is among refiners, which every upstream has"
        for name in grid.crops.upstreams:
            if not self.upstreams[name].crops:
                yield f"crops.upstreams: {name!r} does not crop"
        for key in ("refiners", "clean.refiners", "controlled.refiners", "beside.refiners"):
            for name in named[key][0]:
                if self.refiners[name].crops_only:
                    yield f"{key}: {name!r} needs upstreams that crop; name it in crops.refiners"
        for name in grid.models:
            if not self.models[name].differentiable:
                yield f"models: {name!r} is trained without augmentation; name it in clean.models"
        yield from self._of_heads(grid)
        if isinstance(grid, Contrastive):
            yield from self._in_contrastive(grid)
        yield from self._in_generated(grid)
        refined = [name for name in grid.clean.refiners if self.refiners[name].kind != "none"]
        if refined and not all(self.models[name].differentiable for name in grid.clean.models):
            yield (
                f"clean.refiners: {refined[0]!r} refines what is trained by gradients, unlike one "
                "of clean.models"
            )
        models = {*grid.models, *grid.clean.models}
        limited = {*grid.datasets, *models, *map("/".join, product(grid.datasets, models))}
        if unknown := set(grid.limits) - limited:
            yield (
                f"limits: {min(unknown)!r} is not among datasets and models, nor a data set/model "
                "of them"
            )
        yield from _one_stage(product(grid.datasets, grid.upstreams))
        yield from _one_stage(product(grid.datasets, grid.clean.models, grid.clean.refiners))
        for part in (grid, grid.crops, grid.controlled, grid.beside):
            yield from _one_stage(
                product(grid.datasets, grid.models, part.upstreams, part.refiners)
            )

    def _of_heads(self, grid: Grid) -> Iterator[str]:
        """Of models that are trained on stored features of copies that they draw themselves."""
        heads = [name for name in (*grid.models, *grid.clean.models) if self.models[name].frozen]
        if heads and not isinstance(grid, Generated):
            yield f"models: {heads[0]!r} is a head on stored features; name it in generated.models"
        for head in filter(grid.models.__contains__, heads):
            for key, part in (("", grid), ("beside.", grid.beside)):
                for name in part.upstreams:
                    upstream = self.upstreams[name]
                    if upstream.generated or upstream.drawn:
                        how = "is made before training" if upstream.generated else "looks at pixels"
                        yield f"{key}upstreams: {name!r} {how}, and {head!r} stores features"

    def _in_contrastive(self, grid: Contrastive) -> Iterator[str]:
        """Of a loss whose classes are the pairs of a batch."""
        for name in grid.upstreams:
            if not self.upstreams[name].captioned:
                yield f"upstreams: {name!r} makes images of no one class, which have no caption"
        parts = {"": grid, "clean.": grid.clean, "controlled.": grid.controlled}
        for key, part in parts.items():
            for name in part.refiners:
                if why := self._without_classes(name):
                    yield f"{key}refiners: {name!r} {why}"
        models = [self.models[name] for name in (*grid.models, *grid.clean.models)]
        used = {model.network for model in models}
        if grid.datasets and used != {*grid.networks}:
            name = min(used ^ {*grid.networks})
            where = "missing" if name in used else "what no model starts from"
            yield f"networks: {name!r} is {where}; every network of the models is expected"

    def _in_generated(self, grid: Grid) -> Iterator[str]:
        """Of images that diffusion models make, which are an experiment's own."""
        made = isinstance(grid, Generated)
        named = {
            "upstreams": (grid.upstreams, made),
            "beside.upstreams": (grid.beside.upstreams, False),
        }
        for key, (names, wanted) in named.items():
            for name in names:
                if self.upstreams[name].generated != wanted:
                    which = "no images" if wanted else "images"
                    yield (
                        f"{key}: {name!r} makes {which} of a diffusion model; name it in "
                        f"{BELONGS[wanted]}"
                    )
        unstaged = grid.crops if made else grid.beside
        if unstaged.upstreams or unstaged.refiners:
            yield f"{'crops' if made else 'beside'}: has no stage here, and none are expected"
        elsewhere = (*grid.beside.refiners, *grid.clean.refiners)
        refiners = (*grid.refiners, *grid.controlled.refiners)
        for name in (*elsewhere, *(() if made else refiners)):
            if self.refiners[name].made_only:
                yield f"refiners: {name!r} needs images that a diffusion model made"
        if not made:
            return
        for name in grid.datasets:
            if not self.datasets[name].in_domains:
                yield f"datasets: {name!r} is not for diffusion models"
        for name, dataset in product(grid.upstreams, grid.datasets):
            if dataset not in self.upstreams[name].prompts:
                yield f"upstreams: {name!r} has no prompts for {dataset!r}"
        used = {self.upstreams[name].generator for name in grid.upstreams}
        if grid.datasets and used != {*grid.generators}:
            name = min(used ^ {*grid.generators})
            where = "missing" if name in used else "what no upstream uses"
            yield f"generators: {name!r} is {where}; every one of the upstreams is expected"
        if unknown := {*grid.sheets} - {*grid.refiners}:
            yield f"sheets: {min(unknown)!r} is not among refiners"
        if unknown := {*grid.rates} - {*grid.datasets}:
            yield f"rates: {min(unknown)!r} is not among datasets"
        for name in grid.judges:
            yield from _undefined("judges", name, self.models)
            if name in self.models and self.models[name].takes != grid.takes:
                yield f"judges: {name!r} is for {self.models[name].takes}, and images are expected"
            elif name in self.models and self.models[name].frozen:
                yield f"judges: {name!r} is trained on stored features, and judges look at images"
        if topics := grid.judging and grid.judging.topics:
            yield from _undefined("judging.topics.network", topics.network, self.networks)
            if getattr(self.networks.get(topics.network), "pretraining", None):
                yield f"judging.topics.network: {topics.network!r} is not pretrained as it comes"
            for name in grid.datasets:
                if name not in topics.wanted or name not in topics.others:
                    yield f"judging.topics: wanted and others of {name!r} are expected"

    def _without_classes(self, refiner: str) -> str:
        """Why a refiner cannot be had where the classes are the pairs of a batch."""
        entry, reading = self.refiners[refiner], self.reading(refiner)
        if entry.kind == "oracle":
            return "asks for the class of a sample, and the classes here are the pairs of a batch"
        if reading and (reading.kind == "posterior" or reading.scope == "head"):
            return "looks at the last linear layer, and the logits here are of two towers"
        return ""


MAKES = {
    "class-conditional": ("text2img", "img2img", "domain-edit"),
    "stable-diffusion": ("text2img", "img2img", "img2img-finetuned"),
    "instruct-pix2pix": ("instructpix2pix",),
}
"""Kinds of upstreams that diffusion models of a kind can be."""
BELONGS = {True: "beside.upstreams", False: "generated.upstreams"}
"""Where an upstream is named, of images that are made and of others, that is named elsewhere."""


def _same_control(one, other) -> bool:
    return (one.kind, one.of) == (other.kind, other.of)


def _one_stage(methods: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """DVC joins a stage's values with -, so (wine, red-mlp) and (wine-red, mlp) have one name."""
    seen: dict[str, tuple[str, ...]] = {}
    for method in methods:
        other = seen.setdefault("-".join(method), method)
        if other != method:
            yield (
                f"datasets: ({', '.join(other)}) and ({', '.join(method)}) would be one stage, "
                f"{'-'.join(method)}; rename one of their parts"
            )


def _undefined(key: str, name: str, defined: Iterable[str]) -> Iterator[str]:
    if name not in defined:
        yield f"{key}: {name!r} is not defined; one of {_listed(defined)} is expected"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
