"""The look of the figures and how they are saved, byte for byte the same each time."""

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.text import Text

from replication.files import replacing

INK, MUTED, LINE, SHADE, SURFACE = "#1b1f24", "#6b7280", "#9aa1ab", "#e4e7eb", "#ffffff"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
BROWN, SKY, VIOLET, NAVY = "#603000", "#56b4e9", "#9000f0", "#000090"
GOLD, MOSS = "#d0b000", "#88bb66"
PALETTE = (ORANGE, GREEN, PURPLE, BROWN, BLUE, SKY, VIOLET, NAVY, GOLD, MOSS)
"""At least 16 apart in CIELAB, also without one kind of cone (Machado et al. 2009)."""
PAGE = {
    INK: "ink",
    "#000000": "ink",
    MUTED: "muted",
    LINE: "line",
    SHADE: "shade",
    SURFACE: "surface",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    PURPLE: "purple",
    BROWN: "brown",
    SKY: "sky",
    VIOLET: "violet",
    NAVY: "navy",
    GOLD: "gold",
    MOSS: "moss",
}

STYLE = {
    "axes.edgecolor": LINE,
    "axes.facecolor": SURFACE,
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.prop_cycle": matplotlib.cycler(color=[BLUE, ORANGE, GREEN, PURPLE, MUTED]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "figure.dpi": 100,
    "figure.facecolor": SURFACE,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "saflex",
    "text.color": INK,
    "xtick.color": LINE,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": LINE,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
}
METADATA = {
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
    "png": {"Software": None},
}


@contextmanager
def style() -> Iterator[None]:
    """Figures made and saved inside it have the report's look, whatever the user's settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def literal(text: str) -> str:
    """Text of which matplotlib takes no part for mathematics."""
    return text.replace("$", r"\$")


def save(figure: Figure, folder: Path | str, name: str) -> list[Path]:
    """<folder>/<name>.svg and .png; neither holds a date or a version."""
    paths = []
    for suffix, metadata in METADATA.items():
        path = Path(folder) / f"{name}.{suffix}"
        with style(), replacing(path) as temporary:
            figure.savefig(temporary, format=suffix, metadata=metadata)
        paths.append(path)
    return paths


def svg(figure: Figure) -> str:
    """What `save` writes into its SVG file."""
    written = io.StringIO()
    with style():
        figure.savefig(written, format="svg", metadata=METADATA["svg"])
    return written.getvalue()


def readable(figure: Figure, least: float = 9.0) -> int:
    """The width in pixels from which on no text of a figure is smaller than so many pixels.

    Of a figure that has been saved, since axes name their ticks when they are drawn.
    """
    texts = (text for text in figure.findobj(Text) if text.get_visible() and text.get_text())
    smallest = min((text.get_fontsize() for text in texts), default=least)
    return math.ceil(72 * figure.get_figwidth() * least / smallest)


def inline(svg: str, name: str, alt: str, follow: bool = True) -> str:
    """An SVG file as an element of a page, with ids of its own and a text that stands for it.

    follow: colours become the page's variables of the names in PAGE, so that the figure follows a
    dark scheme. Lengths have two decimals. Only tags change, never text between them.
    """
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(width|height|xmlns:xlink|xmlns|version)="[^"]*"', "", opening)
    opening = opening.replace("<svg", f'<svg role="img" aria-label="{escape(alt, quote=True)}"')

    def placed(tag: re.Match[str]) -> str:
        text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", tag[0])
        text = text.replace("xlink:href", "href")
        text = re.sub(r"(\.\d\d)\d+", r"\1", text)
        for colour, variable in PAGE.items() if follow else ():
            text = re.sub(rf"{colour}\b", f"var(--{variable})", text, flags=re.IGNORECASE)
        return text

    return f"{opening}>{re.sub(r'<[^>]+>', placed, rest)}".strip()
