"""Settings of heads on stored features: what goes with them, and what does not."""

import pytest

from replication import settings
from replication.settings import SettingsError, load

HEADS, HEAD = "profiles/heads.yaml", "efficientnet-lite0-head"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda profile: profile["generated"]["beside"]["upstreams"].append("lp-a3"),
            f"beside.upstreams: 'lp-a3' looks at pixels, and '{HEAD}' stores features",
        ),
        (
            lambda profile: profile["generated"]["beside"]["upstreams"].append("none"),
            "beside.upstreams: 'none' is what clean.models and clean.refiners are for",
        ),
        (
            lambda profile: profile["generated"].update(upstreams=["text2img"]),
            f"upstreams: 'text2img' is made before training, and '{HEAD}' stores features",
        ),
        (
            lambda profile: profile["generated"].update(judges=[HEAD]),
            f"judges: '{HEAD}' is trained on stored features, and judges look at images",
        ),
    ],
)
def test_what_does_not_go_with_a_head(copy, change, message):
    def changed(profile):
        change(profile)
        if profile["generated"]["upstreams"]:
            profile["generated"].update(
                judges=["small-cnn"], judging={"epochs": 1, "batch_size": 8}
            )

    copy.change(HEADS, changed)
    with pytest.raises(SettingsError, match=message):
        load("heads")


def test_an_experiment_whose_views_are_pixels_has_no_heads(copy):
    copy.change("profiles/quick.yaml", lambda profile: profile["images"]["models"].append(HEAD))
    with pytest.raises(SettingsError, match="is a head on stored features; name it in generated"):
        load("quick")


@pytest.mark.parametrize(
    ("architecture", "weights"),
    [
        ("tf_efficientnet_lite0", "imagenet"),
        ("tf_efficientnet_lite0", "mine.pt"),
        ("resnet50", "package"),
    ],
)
def test_weights_are_those_of_the_architecture(copy, architecture, weights):
    update = {"architecture": architecture, "weights": weights}
    copy.change("params.yaml", lambda params: params["models"][HEAD].update(update))
    with pytest.raises(
        SettingsError, match=f"`package` is expected, got '{weights}' of {architecture}"
    ):
        load("heads")


def test_copies_are_those_of_the_model(copy):
    copy.change("params.yaml", lambda params: params["models"][HEAD].update(copies=5))
    planned = settings.methods(load("heads"))
    assert {(p.method.upstream, p.recipe.views) for p in planned} == {
        ("none", 0),
        ("randaugment", 5),
    }
    networks = settings.methods(load("small"))
    drawn = [p for p in networks if p.method.experiment == "generated"]
    assert {p.recipe.views for p in drawn} == {0}


def test_every_reading_has_its_controls():
    everything = load("heads")
    names = everything.profile.generated.beside.refiners
    of = {(everything.refiners[n].of, everything.refiners[n].kind) for n in names}
    for name in names:
        if everything.refiners[name].role == "reading":
            assert {(name, kind) for kind in everything.reading(name).controls} <= of
