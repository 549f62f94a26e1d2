"""Settings of images that diffusion models make: what fits, and what reruns."""

import pytest

from replication import settings
from replication.settings import SettingsError, load

QUICK, PARAMS = "profiles/quick.yaml", "params.yaml"
MADE = "generated"


def refused(copy, name, change, match):
    copy.change(name, change)
    with pytest.raises(SettingsError, match=match) as caught:
        load()
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize(
    ("experiment", "key", "name", "message"),
    [
        (MADE, "upstreams", "randaugment", "makes no images.*name it in beside.upstreams"),
        (MADE, "upstreams", "text2img", "'text2img' has no prompts for 'digits-lookalikes'"),
        ("images", "upstreams", "text2img-digits", "makes images of a diffusion model; name it in"),
        ("images", "refiners", "filtered", "'filtered' needs images that a diffusion model made"),
        (MADE, "datasets", "digits", "'digits' is not for diffusion models"),
        (MADE, "datasets", "wine", "'wine' is for tabular, and images are expected"),
        (MADE, "generators", "unet-blood", "'unet-blood' is what no upstream uses"),
        (MADE, "sheets", "oracle", "sheets: 'oracle' is not among refiners"),
    ],
)
def test_what_does_not_fit(copy, experiment, key, name, message):
    refused(copy, QUICK, lambda profile: profile[experiment][key].append(name), message)


def topics(network):
    texts = {"digits-lookalikes": ["a"], "digits-inverted": ["a"]}
    return {"network": network, "wanted": texts, "others": texts}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda grid: grid.pop("judging"), "judging: is missing"),
        (lambda grid: grid.update(judges=["none"]), "judges: 'none' is not defined"),
        (lambda grid: grid.update(judges=[]), "judges: is missing"),
        (lambda grid: grid.update(judges=["mlp"]), "judges: 'mlp' is for tabular, and images are"),
        (
            lambda grid: grid["beside"]["upstreams"].append("img2img-digits"),
            "'img2img-digits' makes images of a diffusion model; name it in generated.upstreams",
        ),
        (
            lambda grid: grid.update(crops={"upstreams": [], "refiners": ["soft-augmentation"]}),
            "crops: has no stage here",
        ),
        (
            lambda grid: grid["judging"].update(topics=topics("clip-digits")),
            "network: 'clip-digits' is not pretrained as it comes",
        ),
        (lambda grid: grid.update(rates={"digits": 0.1}), "rates: 'digits' is not among datasets"),
        (lambda grid: grid.update(views=3), "generated.views"),
        (lambda grid: grid["beside"]["refiners"].append("filtered"), "needs images that a diff"),
        (
            lambda grid: grid["controlled"]["upstreams"].append("img2img-blood-half"),
            "controlled.upstreams: 'img2img-blood-half' is not among upstreams",
        ),
        (
            lambda grid: grid["controlled"]["refiners"].append("paper"),
            "controlled.refiners: 'paper' is among refiners, which every upstream has",
        ),
        (lambda grid: grid["controlled"]["refiners"].append("x"), "'x' is not defined"),
        (lambda grid: grid["training"].update(optimizer="lion"), "optimizer.*'lion'"),
    ],
)
def test_a_grid_that_is_wrong(copy, change, message):
    refused(copy, QUICK, lambda profile: change(profile[MADE]), message)


def test_upstreams_beside_are_of_one_experiment(copy):
    beside = {"upstreams": ["mixup"], "refiners": ["none"]}
    refused(copy, QUICK, lambda profile: profile["images"].update(beside=beside), "beside: has no")


@pytest.mark.parametrize(
    ("section", "name", "update", "message"),
    [
        (
            "upstreams",
            "img2img-digits",
            {"generator": "x"},
            "generator: 'x' is none of .*unet-digits",
        ),
        ("upstreams", "img2img-digits", {"strength": {"a": 0.5}}, "strength: one for each of"),
        ("upstreams", "img2img", {"generator": "instruct-pix2pix"}, "makes instructpix2pix"),
        ("upstreams", "img2img-finetuned", {"generator": "stable-diffusion"}, "has no training"),
        ("generators", "unet-digits", {"domains": ["plain"]}, "'inverted' is none of the domains"),
        ("generators", "unet-digits", {"channels": [12]}, "channels.0"),
        (
            "generators",
            "stable-diffusion",
            {"revision": "main"},
            "generators.stable-diffusion.*rev",
        ),
        ("datasets", "digits-inverted", {"ood": "plain"}, "'plain' is the domain of training"),
        ("datasets", "digits-lookalikes", {"classes": [1]}, "two at least are expected"),
        ("models", "resnet50", {"architecture": "vgg"}, "models.resnet50.architecture.*'vgg'"),
    ],
)
def test_definitions_that_are_wrong(copy, section, name, update, message):
    refused(copy, PARAMS, lambda params: params[section][name].update(update), message)


def test_no_model_takes_the_name_of_a_folder_of_results(copy):
    def rename(params):
        params["models"]["made"] = params["models"]["small-cnn"]

    refused(copy, PARAMS, rename, "models.made: is the name of a folder of results")


def test_a_cell_has_the_prompts_of_its_data_set_alone():
    for planned in settings.methods(load("quick")):
        recipe = planned.recipe
        if recipe.generator is not None:
            assert [*recipe.upstream.prompts] == [planned.method.dataset]
            assert recipe.views == 4
        else:
            assert not {"generator", "judging"} & {*planned.dump()["recipe"]}


def test_a_data_set_has_a_rate_of_its_own():
    rates = {
        (p.method.dataset): p.recipe.model.learning_rate
        for p in settings.methods(load("full"))
        if p.method.experiment == MADE
    }
    assert rates == {"cub": 0.01, "iwildcam-mini": 0.001}


def test_judges_have_the_rate_of_their_data_set():
    found = {of.dataset: of.model.learning_rate for of in settings.judges(load("full"))}
    assert found == {"cub": 0.01, "iwildcam-mini": 0.001}


def test_images_are_made_of_what_is_trained_on(copy):
    assert {(m.upstream, *m.parts) for m in settings.made(load())} == {
        (name, "train") for name in load().profile.generated.upstreams
    }
    copy.change(QUICK, lambda profile: profile[MADE]["refiners"].append("train-validation"))
    assert all(m.parts == ["train", "validation"] for m in settings.made(load()))


def test_some_upstreams_have_refiners_of_their_own():
    everything = load()
    grid, refiners = everything.profile.generated, {}
    for planned in settings.methods(everything):
        if planned.recipe.generator is not None:
            refiners.setdefault(planned.method.upstream, set()).add(planned.method.refiner)
    controlled = {*grid.controlled.upstreams}
    assert {*refiners} == {*grid.upstreams} > controlled > set()
    for upstream, found in refiners.items():
        more = grid.controlled.refiners if upstream in controlled else []
        assert found == {*grid.refiners, *more}


def test_every_reading_of_a_controlled_upstream_has_its_controls():
    everything = load()
    grid = everything.profile.generated
    names = {*grid.refiners, *grid.controlled.refiners}
    of = {(r.of, r.kind) for n, r in everything.refiners.items() if n in names}
    for name in grid.refiners:
        if reading := everything.reading(name):
            assert {(name, kind) for kind in reading.controls} <= of


def dumped(everything):
    return {
        "models": [p.dump() for p in settings.prepared(everything)],
        "images": [p.dump() for p in settings.made(everything)],
        "judges": [p.dump() for p in settings.judges(everything)],
    }


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        (
            lambda s: s["generators"]["unet-digits"]["training"].update(epochs=3),
            {"models", "images"},
        ),
        (lambda s: s["upstreams"]["text2img-digits"].update(steps=3), {"images"}),
        (lambda s: s["upstreams"]["text2img-digits"].update(label="x"), set()),
        (lambda s: s["models"]["small-cnn"].update(learning_rate=0.1), {"judges"}),
    ],
)
def test_a_change_touches_what_depends_on_it(copy, change, touched):
    before = dumped(load())
    copy.change(PARAMS, change)
    after = dumped(load())
    assert {key for key in before if before[key] != after[key]} == touched
