"""Upstreams: augmentation pipelines for images, by name.

An upstream is called with (inputs, labels, generator) and returns (inputs, soft labels):
(B, C, H, W) uint8, (B,) int64, a CPU generator -> (B, C, H, W) uint8, (B, K) float32 with rows on
the simplex. The generator decides everything; the global random state is neither read nor changed.
"""

from inspect import signature

from replication.upstream.crop import Crop, PaddedCrop
from replication.upstream.identity import Identity
from replication.upstream.mixing import CutMix, Mixup
from replication.upstream.randaugment import RandAugment, TrivialAugment

UPSTREAMS: dict[str, type] = {
    "none": Identity,
    "randaugment": RandAugment,
    "trivialaugment": TrivialAugment,
    "mixup": Mixup,
    "cutmix": CutMix,
    "crop": Crop,
    "padded-crop": PaddedCrop,
}


def build(name: str, classes: int, **settings):
    """Make an upstream for a number of classes; settings are its constructor's other arguments.

    ValueError for an unknown name, an unknown setting, or a setting out of range.
    """
    if name not in UPSTREAMS:
        raise ValueError(f"unknown upstream {name!r}; allowed are {', '.join(UPSTREAMS)}")
    allowed = list(signature(UPSTREAMS[name]).parameters)[1:]
    for setting in settings:
        if setting not in allowed:
            raise ValueError(
                f"upstream {name!r} has no setting {setting!r}; "
                f"allowed are {', '.join(allowed) or 'none'}"
            )
    return UPSTREAMS[name](classes, **settings)
