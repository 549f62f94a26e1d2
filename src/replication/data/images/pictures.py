"""From the bytes of a picture to a small square image, grey or RGB."""

import io
import warnings

from PIL import Image, ImageOps

from replication.data.sources import DataError

FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "PPM": (".ppm", ".pgm", ".pbm"),
}
SUFFIXES = sum(FORMATS.values(), ())
LARGEST = 10**8
"""Pixels of a picture that is decoded."""
DAMAGED = "Replace it by an undamaged copy, or remove it"


def decode(content: bytes, place: str) -> Image.Image:
    """A picture as grey (L) or RGB, upright.

    place: archive and name, for messages. DataError for bytes that are no picture, a damaged one,
    one of more than LARGEST pixels, and what 8 bits a channel without transparency cannot hold.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=tuple(FORMATS))
        width, height = picture.size
        if width * height <= LARGEST:
            frames = 1 if picture.format in ("JPEG", "MPO") else getattr(picture, "n_frames", 1)
            picture.load()
            picture = ImageOps.exif_transpose(picture)
    except Image.DecompressionBombError as error:
        raise DataError(_too_large(place)) from error
    except Exception as error:  # damaged bytes raise whatever they lead to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):
            reason = "it is no " + ", ".join(FORMATS)
        raise DataError(f"{place}: not a readable picture ({reason}). {DAMAGED}") from error
    if width * height > LARGEST:
        raise DataError(_too_large(place, f"{width} x {height}, "))
    if frames > 1:
        raise DataError(f"{place}: {frames} frames. Store the one that counts as a picture alone")
    return _eight_bits(picture, place)


def fit(picture: Image.Image, size: int, centre: int | None, place: str) -> Image.Image:
    """The square of `centre` pixels in the middle, or all of it, at size x size pixels, bicubic."""
    width, height = picture.size
    if centre is not None:
        if min(width, height) < centre:
            raise DataError(
                f"{place}: {width} x {height} pixels have no centre of {centre}. Take a smaller "
                "--centre, or remove the picture"
            )
        left, top = (width - centre) // 2, (height - centre) // 2
        picture = picture.crop((left, top, left + centre, top + centre))
    if picture.size == (size, size):
        return picture
    return picture.resize((size, size), Image.Resampling.BICUBIC)


def _eight_bits(picture: Image.Image, place: str) -> Image.Image:
    mode = picture.mode
    if picture.has_transparency_data:
        if picture.convert("RGBA").getextrema()[3][0] < 255:
            raise DataError(f"{place}: has transparent pixels. Store it on a background")
        mode = mode.removesuffix("A")
    if mode in ("1", "L"):
        return picture.convert("L")
    if mode in ("RGB", "RGBX", "P", "CMYK", "YCbCr"):
        return picture.convert("RGB")
    raise DataError(f"{place}: pixels of type {mode}. Store it as grey or RGB of 8 bits a channel")


def _too_large(place: str, size: str = "") -> str:
    return f"{place}: {size}more than {LARGEST:,} pixels. Store it smaller, or remove it"
