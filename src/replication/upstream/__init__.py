"""Upstreams: augmentation pipelines, by kind. Each is imported when it is built.

An upstream is called with (inputs, labels, generator) and returns (inputs, soft labels):
(B, C, H, W) uint8 or (B, F) float32, (B,) int64, a CPU generator -> inputs of the same shape and
type, (B, K) float32 with rows on the simplex. The generator decides everything; the global random
state is neither read nor changed. An upstream that looks at the network has `against(forward)`,
which gives one that is called so.
"""

from collections.abc import Callable
from importlib import import_module

from replication.settings.upstreams import AnyUpstream

UPSTREAMS = {
    "none": "identity.Identity",
    "randaugment": "images.randaugment.RandAugment",
    "trivialaugment": "images.randaugment.TrivialAugment",
    "mixup": "images.mixing.Mixup",
    "cutmix": "images.mixing.CutMix",
    "crop": "images.crop.Crop",
    "padded-crop": "images.crop.PaddedCrop",
    "lp-a3": "images.adversarial.LPA3",
    "mislabelled": "images.mislabelled.Mislabelled",
    "tabular-cutmix": "tabular.cutmix.TabularCutMix",
    "tabular-mislabelled": "tabular.mislabelled.Mislabelled",
}


def build(settings: AnyUpstream, classes: int) -> Callable:
    """The upstream that an entry of params.yaml describes, for a number of classes.

    ValueError for one by a diffusion model, whose images are made before training.
    """
    if settings.generated:
        raise ValueError(
            f"{settings.kind}: its images are made before training, `dvc repro judged`"
        )
    module, name = UPSTREAMS[settings.kind].rsplit(".", 1)
    return getattr(import_module(f"{__name__}.{module}"), name)(settings, classes)
