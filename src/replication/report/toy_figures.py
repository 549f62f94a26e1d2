"""Figure 2 of the paper, measured: the 2D toy as matplotlib figures, from its result file."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, PercentFormatter
from scipy.stats import t

from replication.report.drawing import INK, MUTED, SHADE, SURFACE, literal
from replication.report.legend import Legend, Look
from replication.toy import CLASSES, EXTENT, ORACLE, Truth, map_plane, truth

CLASS_COLOURS = ("#0072B2", "#E69F00", "#009E73")  # Okabe and Ito: blue, orange, green
CLASS_MARKERS = ("o", "s", "^")
ORACLE_LABEL = "oracle: true labels, gaps left out"
ORACLE_LOOK = Look(MUTED, "", ":", filled=False)


def figure_2a(toy: Mapping[str, Any], legend: Legend, narrow: bool = False) -> Figure:
    """Test accuracy against the strength of the augmentation, and what each refiner changes.

    Above: means over seeds. Below: differences to the augmentation alone, paired by seed. Bands are
    95 % t-intervals, of controls left out. toy: the result file of `replication.stages.toy`.
    Names stand at the ends of the lines or, narrow, in a legend above them.
    """
    figure = Figure(figsize=(4.2, 7.0) if narrow else (7.2, 6.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    accuracy = _accuracies(toy)
    known = [name for name in legend.refiners if name in accuracy]
    baseline = next(name for name in known if legend.refiners[name].role == "baseline")
    alone = accuracy[baseline]
    sigmas = np.array(list(alone))
    named = []
    for name in [*known, *({ORACLE} & {*accuracy})]:
        oracle = name not in known
        look = ORACLE_LOOK if oracle else legend.look(name)
        band = not oracle and legend.refiners[name].role != "control"
        values = np.array(list(accuracy[name].values()))
        style = {"color": look.colour, "ls": look.line, "lw": 1.8 if band else 1.2}
        line = _curve(above, sigmas, values, band, style)
        named.append((line, ORACLE_LABEL if oracle else legend.refiner(name)))
        if name != baseline:
            gains = values - np.array(list(alone.values()))
            _curve(below, sigmas, gains, band, style)
    if sigmas[0] == 0:
        clean = np.mean(alone[0])
        above.axhline(clean, color=INK, lw=0.8, ls=(0, (1, 3)), zorder=0)
        above.annotate(
            "no augmentation", (sigmas[-1], clean), (0, 3), textcoords="offset points",
            ha="right", color=INK, fontsize=8,
        )  # fmt: skip
    below.axhline(0, color=INK, lw=0.8, zorder=0)
    above.set_ylabel("test accuracy")
    below.set_ylabel("difference to the\nupstream alone (points)")
    below.set_xlabel("σ of the perturbation" if narrow else
                     "strength of the augmentation, σ of the Gaussian perturbation")  # fmt: skip
    above.yaxis.set_major_locator(MultipleLocator(5))
    above.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    if narrow:
        lines, names = zip(*named, strict=True)
        figure.legend(lines, map(literal, names), loc="outside upper left", fontsize=8)
    else:
        _label_lines(above, named)
    for axes in (above, below):
        _quiet(axes)
        if len(sigmas) > 1:
            axes.set_xlim(sigmas[0], sigmas[-1])
        axes.set_xticks(sigmas, [f"{sigma:g}" for sigma in sigmas])
    return figure


def figure_2b(toy: Mapping[str, Any], legend: Legend, narrow: bool = False) -> Figure:
    """What became of the augmented points as training went on: a row per reading, a panel per step;
    narrow: a row per step.

    A marker's fill is the new label (soft labels mix the colours), its ring the upstream's where
    that was another, its size the weight; hollow: dropped. Tints are the network's decisions, the
    thin line bounds where the classes live, small marks are the validation points.
    """
    pictures = {n: toy["pictures"][n] for n in legend.refiners if n in toy["pictures"]}
    columns = max(map(len, pictures.values()))
    across, down = (len(pictures), columns) if narrow else (columns, len(pictures))
    each = (4.2 / across, 4.2 / across + 0.35) if narrow else (2.6, 2.8)
    figure = Figure(figsize=(each[0] * across, each[1] * down + 0.9), layout="constrained")
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for row, (name, snapshots) in zip(grid.T if narrow else grid, pictures.items(), strict=True):
        for axes, snapshot in zip(row, snapshots, strict=True):
            draw_regions(axes, snapshot["regions"])
            draw_support(axes, truth(toy["settings"]))
            draw_points(axes, toy["points"]["validation"])
            counts = draw_refined(axes, snapshot)
            title = f"step {snapshot['step']}:" + ("\n" if narrow else " ") + counts
            axes.set_title(title, fontsize=8, color=INK, loc="left")
        if narrow:
            row[0].text(0, 1.3, literal(legend.refiner(name)), weight="bold", color=INK, fontsize=8,
                        transform=row[0].transAxes)  # fmt: skip
        else:
            row[0].set_ylabel(literal(legend.refiner(name)), color=INK)
    figure.legend(handles=refined_legend(), loc="outside upper center", ncols=1 if narrow else 3,
                  frameon=False, fontsize=8, handletextpad=0.4)  # fmt: skip
    return figure


def draw_regions(axes: Axes, regions: Any) -> None:
    """Tints of the classes decided on, rows by height: (G, G) digits or strings of digits."""
    classes = np.array([list(map(int, row)) for row in regions])
    span = (-EXTENT, EXTENT)
    axes.imshow(classes, ListedColormap(CLASS_COLOURS), vmin=0, vmax=CLASSES - 1, alpha=0.16,
                extent=span * 2, origin="lower", interpolation="nearest", zorder=0)  # fmt: skip
    axis = np.linspace(*span, len(classes))
    for k in range(CLASSES):
        axes.contour(axis, axis, classes == k, [0.5], colors="white", linewidths=1.2, zorder=1)
    axes.set(xlim=span, ylim=span, xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)


def draw_support(axes: Axes, world: Truth) -> None:
    """The border between where the classes live and the empty regions."""
    empty = map_plane(world.empty, 241)
    axis = np.linspace(-EXTENT, EXTENT, len(empty))
    axes.contour(axis, axis, empty, [0.5], colors=MUTED, linewidths=0.6, zorder=1)


def draw_points(axes: Axes, points: Mapping[str, Any], size: float = 9, **style: Any) -> None:
    """Points {x (N, 2), y (N,)} as small markers of their class."""
    x, y = np.asarray(points["x"]), np.asarray(points["y"])
    for k in range(CLASSES):
        axes.scatter(*x[y == k].T, size, CLASS_COLOURS[k], marker=CLASS_MARKERS[k],
                     linewidths=0, **{"alpha": 0.75, "zorder": 2, **style})  # fmt: skip


def draw_refined(axes: Axes, snapshot: Mapping[str, Any]) -> str:
    """Augmented points after refinement; returns how many were dropped and relabelled."""
    x, old = np.asarray(snapshot["x"]), np.asarray(snapshot["upstream"])
    labels, share = np.asarray(snapshot["labels"]), np.asarray(snapshot["weights"]) * len(x)
    new, dropped = labels.argmax(1), share < 0.5
    mixed = (labels @ to_rgba_array(CLASS_COLOURS)).clip(0, 1)
    for i in np.argsort(-share):
        ring = CLASS_COLOURS[old[i]]
        if dropped[i]:
            shape = CLASS_MARKERS[old[i]]
            style = {"s": 16, "facecolors": to_rgba("white", 0.7), "edgecolors": ring, "lw": 0.9}
        else:
            shape, size = CLASS_MARKERS[new[i]], 14 + 14 * min(share[i], 3)
            style = {"s": size, "facecolors": [mixed[i]], "edgecolors": "white", "lw": 0.6}
            if new[i] != old[i]:
                style |= {"s": size + 4, "edgecolors": ring, "lw": 1.7}
        axes.scatter(*x[i], marker=shape, zorder=3, **style)
    relabelled = int(((new != old) & ~dropped).sum())
    return f"{int(dropped.sum())} dropped, {relabelled} relabelled of {len(x)}"


def refined_legend() -> list[Line2D]:
    """Handles that explain `draw_refined` and `draw_points`."""

    def handle(label: str, marker: str, face: str, edge: str, size: float, width: float) -> Line2D:
        return Line2D([], [], ls="", marker=marker, markersize=size, markerfacecolor=face,
                      markeredgecolor=edge, markeredgewidth=width, label=label)  # fmt: skip

    blue, orange, _ = CLASS_COLOURS
    return [
        handle("validation point", "o", blue, "none", 3, 0),
        handle("augmented point, label kept", "o", blue, "white", 6.5, 0.6),
        handle("soft label: colours mixed", "o", "#5C8E80", "white", 6.5, 0.6),
        handle("relabelled (ring: old label)", "s", orange, blue, 6.5, 1.6),
        handle("dropped: under half an even share", "o", "white", blue, 4.5, 0.9),
        Line2D([], [], color=MUTED, lw=0.6, label="border of where the classes live"),
    ]


def _accuracies(toy: Mapping[str, Any]) -> dict[str, dict[float, list[float]]]:
    """refiner -> sigma -> accuracies of the seeds in percent."""
    found: dict[str, dict[float, list[float]]] = {}
    for record in toy["records"]:
        percent = [100 * value for value in record["accuracy"]]
        found.setdefault(record["refiner"], {})[record["sigma"]] = percent
    return found


def _curve(axes: Axes, x: np.ndarray, values: np.ndarray, band: bool, style: dict) -> Line2D:
    """Mean over seeds, values (S, N), with the band of its 95 % t-interval."""
    mean, n = values.mean(1), values.shape[1]
    (line,) = axes.plot(x, mean, **style)
    if band and n > 1:
        half = t.ppf(0.975, n - 1) * values.std(1, ddof=1) / np.sqrt(n)
        axes.fill_between(x, mean - half, mean + half, color=style["color"], alpha=0.13, lw=0)
    return line


def _label_lines(axes: Axes, named: list[tuple[Line2D, str]], gap: float = 0.055) -> None:
    """Each line's name at its right end, pushed apart by `gap` of the height where they collide."""
    low, high = axes.get_ylim()
    at = -np.inf
    for line, label in sorted(named, key=lambda item: item[0].get_ydata()[-1]):
        end = (line.get_ydata()[-1] - low) / (high - low)
        at = max(end, at + gap)
        axes.annotate(
            literal(label), (1, end), (1.03, at), "axes fraction", "axes fraction",
            va="center", color=line.get_color(), fontsize=8.5, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": line.get_color(), "lw": 0.6, "shrinkA": 1,
                        "shrinkB": 0, "relpos": (0, 0.5)},
            path_effects=[patheffects.withStroke(linewidth=2, foreground=SURFACE)],
        )  # fmt: skip


def _quiet(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=INK, color=MUTED, labelsize=8.5)
    axes.grid(axis="y", color=SHADE, lw=0.6, zorder=-1)
    axes.set_axisbelow(True)
