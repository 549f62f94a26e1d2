"""Figure 1: where SAFLEX stands in a training loop."""

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from replication.report.drawing import BLUE, INK, LINE, MUTED, ORANGE, SURFACE, style

BOXES = (
    (2.2, 8.3, 3.6, LINE, "upstream\naugmentation", "any pipeline"),
    (7.6, 8.3, 3.6, ORANGE, "validation\nbatch", "never trained on"),
    (4.9, 4.75, 5.6, BLUE, "SAFLEX", "Π = −J g\ngreedy, per sample"),
    (4.9, 1.2, 5.6, LINE, "training step", "Σ w · cross-entropy(y, f(x))"),
)
HEIGHT = 2.0
ARROWS = (
    ((2.9, 7.3), (3.7, 5.75), "x, y\naugmented", (1.5, 6.52), INK),
    ((6.9, 7.3), (6.1, 5.75), "g, gradient\nof its loss", (8.1, 6.52), ORANGE),
    ((4.9, 3.75), (4.9, 2.2), "w, weights\ny, soft labels", (3.3, 2.98), BLUE),
)
BACK = [(7.7, 1.2), (9.3, 1.2), (9.3, 4.75), (7.75, 4.75)]
CENTRE = {"ha": "center"}
SMALL = {"ha": "center", "fontsize": 8}
ARROW = {"arrowstyle": "-|>", "mutation_scale": 12, "shrinkA": 2, "shrinkB": 2}


def schematic() -> Figure:
    """Upstream and validation gradient go into SAFLEX, weights and soft labels come out of it."""
    with style():
        figure = Figure(figsize=(4.25, 4.0))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 9.8), ylim=(0, 9.6))
        axes.axis("off")
        for x, y, width, colour, title, below in BOXES:
            corner = (x - width / 2, y - HEIGHT / 2)
            box = {"boxstyle": "round,pad=0,rounding_size=0.2", "fc": SURFACE, "ec": colour}
            axes.add_patch(FancyBboxPatch(corner, width, HEIGHT, lw=1.4, **box))
            title_height, below_height = (0.4 * (1 + text.count("\n")) for text in (title, below))
            top = y + (title_height + below_height + 0.12) / 2
            axes.text(x, top, title, weight="bold", va="top", **CENTRE)
            axes.text(x, top - title_height - 0.12, below, color=MUTED, va="top", **SMALL)
        for start, end, text, place, colour in ARROWS:
            axes.add_patch(FancyArrowPatch(start, end, color=colour, lw=1.4, **ARROW))
            axes.text(*place, text, va="center", **SMALL)
        path = FancyArrowPatch(path=Path(BACK), color=MUTED, lw=1.2, ls=(0, (4, 2)), **ARROW)
        axes.add_patch(path)
        axes.text(
            9.1, 2.98, "model,\none step on", va="center", ha="right", color=MUTED, fontsize=8
        )
    return figure
