"""Data sets of images: (n, C, H, W) uint8."""


def normalise(images):
    """A tensor (B, C, H, W) uint8 -> float32 in [-1, 1], MedMNIST's Normalize(.5, .5)."""
    return images.float() / 127.5 - 1
