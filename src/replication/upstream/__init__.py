"""Upstreams: augmentation pipelines, by name. Each is imported when it is built.

An upstream is called with (inputs, labels, generator) and returns (inputs, soft labels):
(B, C, H, W) uint8, (B,) int64, a CPU generator -> (B, C, H, W) uint8, (B, K) float32 with rows on
the simplex. The generator decides everything; the global random state is neither read nor changed.
Those in ADVERSARIAL look at the network: they have `against(forward)`, which gives one that is
called so. Those in DRAWN are drawn in each training step and never stored.
"""

from importlib import import_module
from inspect import signature

UPSTREAMS = {
    "none": "identity.Identity",
    "randaugment": "randaugment.RandAugment",
    "trivialaugment": "randaugment.TrivialAugment",
    "mixup": "mixing.Mixup",
    "cutmix": "mixing.CutMix",
    "crop": "crop.Crop",
    "padded-crop": "crop.PaddedCrop",
    "lp-a3": "adversarial.LPA3",
    "mislabelled": "mislabelled.Mislabelled",
    "tabular-cutmix": "cutmix_tabular.TabularCutMix",
}
ADVERSARIAL = ("lp-a3",)
DRAWN = (*ADVERSARIAL, "tabular-cutmix")


def stored(name: str, views: int) -> bool:
    """Whether an upstream's augmentations are stored beforehand, where a profile has `views`."""
    return views > 0 and name not in DRAWN


def build(name: str, classes: int, **settings):
    """Make an upstream for a number of classes; settings are its constructor's other arguments.

    ValueError for an unknown name, an unknown setting, or a setting out of range.
    """
    if name not in UPSTREAMS:
        raise ValueError(f"unknown upstream {name!r}; allowed are {', '.join(UPSTREAMS)}")
    module, kind = UPSTREAMS[name].split(".")
    upstream = getattr(import_module(f"{__name__}.{module}"), kind)
    allowed = list(signature(upstream).parameters)[1:]
    for setting in settings:
        if setting not in allowed:
            raise ValueError(
                f"upstream {name!r} has no setting {setting!r}; "
                f"allowed are {', '.join(allowed) or 'none'}"
            )
    return upstream(classes, **settings)
