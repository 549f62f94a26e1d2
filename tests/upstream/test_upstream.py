"""The registry of upstreams: one for every kind, which does what its entry says."""

import sys
from subprocess import run

import pytest
from pydantic import TypeAdapter, ValidationError

from replication import settings
from replication.settings.upstreams import AnyUpstream
from replication.upstream import UPSTREAMS, build

ENTRY = TypeAdapter(AnyUpstream)
NEEDED = {
    "mixup": {"alpha": 1.0},
    "cutmix": {"alpha": 1.0},
    "padded-crop": {"padding": 4},
    "mislabelled": {"share": 0.5},
    "tabular-mislabelled": {"share": 0.5},
    "tabular-cutmix": {"probability": 0.5, "labels": "hard"},
}


def entry(kind, **given):
    return ENTRY.validate_python({"kind": kind, **NEEDED.get(kind, {}), **given})


def test_every_entry_of_the_definitions_can_be_built():
    for upstream in settings.load().upstreams.values():
        if upstream.generated:
            with pytest.raises(ValueError, match="made before training"):
                build(upstream, 3)
        else:
            assert callable(build(upstream, 3))


@pytest.mark.parametrize("kind", UPSTREAMS)
def test_what_an_entry_says_of_itself_is_what_its_upstream_does(kind):
    made = entry(kind)
    upstream = build(made, 3)
    assert hasattr(upstream, "augment") == made.crops
    if hasattr(upstream, "against"):
        assert made.drawn, "what looks at the network is never stored"
    room = type(upstream).__module__.split(".")[2]
    assert room == {"anything": "identity"}.get(made.takes, made.takes)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("randaugment", "magnitude", 31),
        ("randaugment", "operations", 0),
        ("randaugment", "alpha", 1.0),
        ("mixup", "alpha", 0),
        ("cutmix", "alpha", -1.0),
        ("crop", "sigma", 0),
        ("padded-crop", "padding", 0),
        ("lp-a3", "epsilon", 0),
        ("lp-a3", "epsilon", 256),
        ("lp-a3", "margin", 1.5),
        ("lp-a3", "iterations", 0),
        ("lp-a3", "penalty", 0.0),
        ("mislabelled", "share", -0.1),
        ("mislabelled", "share", 1.5),
        ("mislabelled", "wrong", "all"),
        ("tabular-mislabelled", "share", 1.5),
        ("tabular-cutmix", "probability", 1.5),
        ("tabular-cutmix", "share", -0.1),
        ("tabular-cutmix", "alpha", 0.0),
        ("tabular-cutmix", "labels", "soft"),
        ("none", "sigma", 1),
    ],
)
def test_settings_out_of_range_are_refused_by_name(kind, key, value):
    with pytest.raises(ValidationError) as caught:
        entry(kind, **{key: value})
    assert [error["loc"][-1] for error in caught.value.errors()] == [key]


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValidationError, match="'randaugment'"):
        entry("autoaugment")


def test_an_upstream_is_imported_when_it_is_built():
    code = "import replication.upstream, sys; sys.exit('torchvision' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
