"""Settings of image-text pairs: what fits a loss whose classes are pairs, and what reruns."""

import pytest

from replication import settings
from replication.settings import SettingsError, load

QUICK, PARAMS = "profiles/quick.yaml", "params.yaml"
PAIRS = "contrastive"


def refused(copy, name, change, match):
    copy.change(name, change)
    with pytest.raises(SettingsError, match=match) as caught:
        load()
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize(
    ("key", "name", "message"),
    [
        ("refiners", "posterior", "'posterior' looks at the last linear layer.*of two towers"),
        ("refiners", "confidence", "'confidence' looks at the last linear layer"),
        ("refiners", "oracle", "'oracle' asks for the class of a sample"),
        ("upstreams", "mixup", "'mixup' makes images of no one class, which have no caption"),
        ("upstreams", "lp-a3", "'lp-a3' makes images of no one class"),
        ("upstreams", "cutmix", "'cutmix' is for tabular, and images are expected"),
        ("models", "lp-ft-digits", "is trained without augmentation; name it in clean.models"),
        ("models", "resnet18", "'resnet18' is for images, and pairs are expected"),
        ("models", "flyp", "'clip-vit-b16' is missing; every network of the models"),
        ("datasets", "wine", "'wine' is for tabular, and pairs are expected"),
        ("networks", "clip-pacs", "'clip-pacs' is what no model starts from"),
    ],
)
def test_what_does_not_fit(copy, key, name, message):
    def change(profile):
        profile[PAIRS][key].append(name)

    place = "networks" if name == "flyp" else key
    refused(copy, QUICK, change, rf"contrastive\.{place}: .*{message.removeprefix(repr(name))}")


def test_a_reading_of_the_head(copy):
    def change(profile):
        profile["readings"] = {"mine": {"scope": "head"}}
        profile["refiners"] = {"mine": {"kind": "saflex", "role": "reading", "reading": "mine"}}
        profile[PAIRS]["refiners"].append("mine")

    refused(copy, QUICK, change, "contrastive.refiners: 'mine' looks at the last linear layer")


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [([0.0, 0.5], "ascending from 0 to 1"), ([1.0, 0.0], "ascending"), ([0.0, 1.5, 1.0], "1.5")],
)
def test_coefficients_go_from_one_network_to_the_other(copy, coefficients, message):
    def change(profile):
        profile[PAIRS]["training"]["coefficients"] = coefficients

    refused(copy, QUICK, change, message)


@pytest.mark.parametrize(
    ("section", "name", "field", "value", "message"),
    [
        (
            "models",
            "flyp",
            "network",
            "nothing",
            r"models.flyp.network: 'nothing' is none of clip-",
        ),
        ("models", "flyp", "same_class", "both", "models.flyp.same_class: .*'both'"),
        ("datasets", "digits-styles", "templates", ["a photo"], "templates.0: .*'a photo'"),
        ("datasets", "digits-styles", "ood", ["thin"], "'thin' is the style of training"),
        ("networks", "clip-digits", "image_size", 0, "networks.clip-digits.image_size"),
    ],
)
def test_definitions_that_are_wrong(copy, section, name, field, value, message):
    refused(copy, PARAMS, lambda params: params[section][name].update({field: value}), message)


def planned(everything):
    found = {(p.method.model, p.method.refiner): p for p in settings.methods(everything)}
    return {key: p.dump() for key, p in found.items() if p.method.experiment == PAIRS}


def test_pretraining_is_one_stage_that_no_fine_tuning_touches(copy):
    before, cells = [p.dump() for p in settings.pretrained(load())], planned(load())
    copy.change(QUICK, lambda profile: profile[PAIRS]["training"].update(epochs=3))
    assert [p.dump() for p in settings.pretrained(load())] == before
    assert all(planned(load())[key] != cells[key] for key in cells)

    def slower(params):
        params["networks"]["clip-digits"]["pretraining"]["learning_rate"] = 0.0007

    copy.change(PARAMS, slower)
    assert [p.dump() for p in settings.pretrained(load())] != before


def test_cells_of_other_data_have_no_network():
    for p in settings.methods(load("quick")):
        recipe = p.dump()["recipe"]
        assert ("network" in recipe) == (p.method.experiment == PAIRS)
        assert ("warmup" in recipe["training"]) == (p.method.experiment == PAIRS)
