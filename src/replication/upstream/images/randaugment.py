"""RandAugment and TrivialAugment, drawn per sample and applied to whole batches.

Operations, magnitudes, signs, nearest interpolation and zero fill are those of RandAugment and
TrivialAugmentWide in torchvision.transforms.v2, and so is every output pixel; torchvision augments
one image at a time, or a whole batch with one draw. What makes the batch fast:

- the samples are sorted by operation and magnitude, so that each operation sees one slice;
- a geometric operation with nearest interpolation only moves pixels: torchvision is asked once
  where each pixel comes from, and a batch is one gather;
- brightness, posterize and solarize depend on nothing but the pixel's value: torchvision is asked
  once for all 256 of them, and a batch is one look-up.

The tables are made on the CPU, so these operations give the same pixels on every device. The other
operations are computed group by group with torchvision's arithmetic, in its order.

Sources: Cubuk et al. 2020 (arXiv 1909.13719); Müller and Hutter 2021 (arXiv 2103.10158).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import atan, degrees

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad
from torchvision.transforms.v2 import functional

from replication.settings import upstreams

BINS = 31

Runs = list[tuple[slice, float]]  # consecutive images of a batch that share a magnitude


def _shift(images: Tensor, x: float, y: float) -> Tensor:
    return functional.affine(images, 0.0, [int(x), int(y)], 1.0, [0.0, 0.0])


def _shear(images: Tensor, x: float, y: float) -> Tensor:
    shear = [degrees(atan(x)), degrees(atan(y))]
    return functional.affine(images, 0.0, [0, 0], 1.0, shear, center=[0, 0])


def _color(images: Tensor, runs: Runs) -> Tensor:
    if images.shape[1] == 1:
        return images
    return _blend(images, functional.rgb_to_grayscale(images).float(), runs)


def _contrast(images: Tensor, runs: Runs) -> Tensor:
    grey = functional.rgb_to_grayscale(images).float()
    return _blend(images, grey.mean((1, 2, 3), keepdim=True), runs)


def _blend(images: Tensor, others: Tensor, runs: Runs) -> Tensor:
    blended = images.float()
    for run, magnitude in runs:
        factor = 1.0 + magnitude
        blended[run].mul_(factor).add_(others[run], alpha=1.0 - factor)
    return blended.clamp_(0, 255).to(torch.uint8)


def _sharpen(images: Tensor, runs: Runs) -> Tensor:
    """`adjust_sharpness` with its 3x3 kernel, (ones + 4 in the centre) / 13, summed by slices.

    The blurred image is a multiple of 1 / 13, at least 1 / 26 away from where rounding would tip,
    so the order of the sum does not matter.
    """
    if min(images.shape[2:]) < 3:
        return images
    sharpened = images.float()
    inner = sharpened[..., 1:-1, 1:-1]
    rows = sharpened[..., :-2, :] + sharpened[..., 1:-1, :] + sharpened[..., 2:, :]
    blurred = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    difference = blurred.add_(inner, alpha=4).div_(13).round_().sub_(inner)
    for run, magnitude in runs:
        inner[run].add_(difference[run], alpha=1.0 - (1.0 + magnitude))
    return sharpened.clamp_(0, 255).to(torch.uint8)


def _equalize(images: Tensor, _: Runs) -> Tensor:
    """`functional.equalize` with the histograms of all planes counted at once.

    Value v becomes (#{pixels < v} + s // 2) // s, at most 255, with s = #{pixels < maximum} // 255;
    a plane with s = 0 stays.
    """
    planes, size = images.shape[0] * images.shape[1], images.shape[2] * images.shape[3]
    plane, value = (torch.arange(n, dtype=torch.int32, device=images.device) for n in (planes, 256))
    indices = (images.view(planes, size) + 256 * plane.unsqueeze(1)).flatten()
    counts = torch.bincount(indices, minlength=256 * planes).int().view(planes, 256)
    below = counts.cumsum(1, dtype=torch.int32) - counts
    step = below.where(counts > 0, 0).amax(1, keepdim=True) // 255
    table = ((below + step // 2) // step.clamp(min=1)).clamp(max=255).where(step > 0, value)
    return table.to(torch.uint8).flatten().index_select(0, indices).view_as(images)


TABULATED: dict[str, Callable[[Tensor, float], Tensor]] = {
    "ShearX": lambda images, magnitude: _shear(images, magnitude, 0.0),
    "ShearY": lambda images, magnitude: _shear(images, 0.0, magnitude),
    "TranslateX": lambda images, magnitude: _shift(images, magnitude, 0),
    "TranslateY": lambda images, magnitude: _shift(images, 0, magnitude),
    "Rotate": functional.rotate,
    "Brightness": lambda images, magnitude: functional.adjust_brightness(images, 1.0 + magnitude),
    "Posterize": lambda images, magnitude: functional.posterize(images, int(magnitude)),
    "Solarize": lambda images, magnitude: functional.solarize(images, 255 * magnitude),
}
COMPUTED: dict[str, Callable[[Tensor, Runs], Tensor]] = {
    "Color": _color,
    "Contrast": _contrast,
    "Sharpness": _sharpen,
    "AutoContrast": lambda images, _: functional.autocontrast(images),
    "Equalize": _equalize,
}
NAMES = ("Identity", *TABULATED, *COMPUTED)
FIRST_MOVE, FIRST_LOOK_UP, FIRST_COMPUTED = map(NAMES.index, ("ShearX", "Brightness", "Color"))


@dataclass(frozen=True)
class Space:
    """The strongest magnitude of each kind of operation.

    shear: tangent; translate: pixels, or None for 150 / 331 of the side; rotate: degrees;
    enhance: factor minus one, of brightness, color, contrast, sharpness; posterize: bits dropped.
    """

    shear: float
    translate: float | None
    rotate: float
    enhance: float
    posterize: int

    def magnitudes(self, name: str, height: int, width: int) -> list[float]:
        """Magnitudes of the 31 bins of an operation, weakest first; zeros where it has none.

        Those of Posterize are bits kept, those of Solarize fractions of 255.
        """
        match name:
            case "ShearX" | "ShearY":
                bins = torch.linspace(0.0, self.shear, BINS)
            case "TranslateX" | "TranslateY":
                side = width if name == "TranslateX" else height
                limit = 150.0 / 331.0 * side if self.translate is None else self.translate
                bins = torch.linspace(0.0, limit, BINS)
            case "Rotate":
                bins = torch.linspace(0.0, self.rotate, BINS)
            case "Brightness" | "Color" | "Contrast" | "Sharpness":
                bins = torch.linspace(0.0, self.enhance, BINS)
            case "Posterize":
                bins = (8 - torch.arange(BINS) / ((BINS - 1) / self.posterize)).round()
            case "Solarize":
                bins = torch.linspace(1.0, 0.0, BINS)
            case _:
                bins = torch.zeros(BINS)
        return bins.tolist()


class Operations:
    """The fourteen operations at some bins of a space, for images of one size on one device.

    An operation has 2 * len(bins) settings: setting 2 * i is the i-th of the bins, and 2 * i + 1
    the same with the sign flipped, where the operation has a sign.
    """

    def __init__(self, space: Space, bins: range, height: int, width: int, device: torch.device):
        self.settings = 2 * len(bins)
        self.magnitudes = {}
        for name in NAMES:
            signs = (1, 1) if name in ("Posterize", "Solarize") else (1, -1)
            magnitudes = space.magnitudes(name, height, width)
            self.magnitudes[name] = [sign * magnitudes[bin] for bin in bins for sign in signs]
        positions = torch.arange(1.0, height * width + 1).view(1, height, width)
        values = torch.arange(256, dtype=torch.uint8).view(1, 1, 256)
        self.sources = self._tabulate(positions, FIRST_MOVE, FIRST_LOOK_UP).long().to(device)
        self.values = self._tabulate(values, FIRST_LOOK_UP, FIRST_COMPUTED).flatten().to(device)

    def _tabulate(self, image: Tensor, first: int, end: int) -> Tensor:
        outputs = [
            TABULATED[name](image, magnitude).flatten()
            for name in NAMES[first:end]
            for magnitude in self.magnitudes[name]
        ]
        return torch.stack(outputs)

    def apply(self, images: Tensor, operations: Tensor, settings: Tensor) -> Tensor:
        """Apply to each image its own operation at its own setting, out of place.

        images: (B, C, H, W) uint8. operations: (B,) int64 indices into NAMES; settings: (B,) int64;
        both on the CPU. Returns (B, C, H, W) uint8.
        """
        rows, order = (operations * self.settings + settings).sort()
        images = images.index_select(0, order.to(images.device))
        firsts = torch.arange(len(NAMES) + 1) * self.settings
        starts = torch.searchsorted(rows, firsts).tolist()
        moved = slice(starts[FIRST_MOVE], starts[FIRST_LOOK_UP])
        looked_up = slice(starts[FIRST_LOOK_UP], starts[FIRST_COMPUTED])
        self._move(images[moved], rows[moved] - firsts[FIRST_MOVE])
        self._look_up(images[looked_up], rows[looked_up] - firsts[FIRST_LOOK_UP])
        for operation, name in enumerate(NAMES[FIRST_COMPUTED:], FIRST_COMPUTED):
            group = slice(starts[operation], starts[operation + 1])
            if group.start < group.stop:
                runs = self._runs(name, rows[group] - firsts[operation])
                images[group] = COMPUTED[name](images[group], runs)
        return images.index_select(0, order.argsort().to(images.device))

    def _runs(self, name: str, settings: Tensor) -> Runs:
        values, counts = settings.unique_consecutive(return_counts=True)
        stops = counts.cumsum(0).tolist()
        return [
            (slice(start, stop), self.magnitudes[name][setting])
            for start, stop, setting in zip([0, *stops], stops, values.tolist(), strict=False)
        ]

    def _move(self, images: Tensor, rows: Tensor) -> None:
        pixels = pad(images.flatten(2), (1, 0))
        sources = self.sources.index_select(0, rows.to(images.device))
        sources = sources.unsqueeze(1).expand(-1, images.shape[1], -1)
        images.copy_(pixels.gather(2, sources).view_as(images))

    def _look_up(self, images: Tensor, rows: Tensor) -> None:
        indices = images.flatten(1).int() + 256 * rows.int().to(images.device).unsqueeze(1)
        images.copy_(self.values.index_select(0, indices.flatten()).view_as(images))


class _Policy:
    def __init__(self, classes: int, space: Space, bins: range, operations: int):
        self.classes = classes
        self.space = space
        self.bins = bins
        self.operations = operations
        self._sizes: dict[tuple, Operations] = {}

    def __call__(
        self, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Augment a batch: inputs (B, C, H, W) uint8 with C = 1 or 3, labels (B,) int64.

        Returns the images, (B, C, H, W) uint8, and one-hot labels, (B, K) float32. ValueError for
        inputs of another type or shape.
        """
        if inputs.dtype != torch.uint8 or inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
            raise ValueError(
                f"{type(self).__name__} takes inputs (B, 1 or 3, H, W) uint8, "
                f"not {tuple(inputs.shape)} {inputs.dtype}"
            )
        size = (*inputs.shape[2:], inputs.device)
        if size not in self._sizes:
            self._sizes[size] = Operations(self.space, self.bins, *size)
        for _ in range(self.operations):
            inputs = self._sizes[size].apply(inputs, *self.draw(len(inputs), generator))
        return inputs, one_hot(labels, self.classes).float()

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Operations and settings, (count,) int64 each, uniform and independent."""
        return (
            torch.randint(len(NAMES), (count,), generator=generator),
            torch.randint(2 * len(self.bins), (count,), generator=generator),
        )


class RandAugment(_Policy):
    """A number of random operations per sample, all of the same magnitude, random in sign.

    One after another, drawn with replacement. classes: number of classes K.
    """

    def __init__(self, settings: upstreams.RandAugment, classes: int):
        bins = range(settings.magnitude, settings.magnitude + 1)
        super().__init__(classes, RANDAUGMENT, bins, settings.operations)


class TrivialAugment(_Policy):
    """One random operation per sample, of random magnitude (31 bins, a wide range) and sign.

    classes: number of classes K.
    """

    def __init__(self, settings: upstreams.TrivialAugment, classes: int):
        super().__init__(classes, TRIVIALAUGMENT, range(BINS), 1)


RANDAUGMENT = Space(shear=0.3, translate=None, rotate=30.0, enhance=0.9, posterize=4)
TRIVIALAUGMENT = Space(shear=0.99, translate=32.0, rotate=135.0, enhance=0.99, posterize=6)
