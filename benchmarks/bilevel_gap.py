"""How good is the greedy step? Theorem 1's labels against the best ones of small problems.

    python benchmarks/bilevel_gap.py [--out FOLDER]

prints tables and, with --out, writes bilevel_gap.csv, bilevel_gap.svg and bilevel_gap.png; about
two minutes on one core, the same numbers each time. Problems, methods and measures are those of
`replication.bilevel`; means and 95 % intervals are over seeds (problem and network drawn anew).

Studies: the step size and the width, one step; the horizon; the stage of training; dropping samples
(weights 0); the bilevel problem, solved.
"""

import argparse
import csv
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from replication import bilevel
from replication.report import drawing

SEEDS, BILEVEL_SEEDS = range(20), range(12)
ALPHAS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
WIDTHS, HORIZONS, WARMUPS, BILEVEL_WIDTHS = (0, 4, 16, 64, 256), (1, 5, 20), (0, 20, 200), (0, 16)
WIDTH, ALPHA, WARMUP = 16, 0.3, 20

KEYS = ("study", "width", "alpha", "steps", "warmup", "ridge", "method")
COLOURS = ("#9ecae1", "#6baed6", "#3182bd", "#08519c", "#08264d")
MARKERS = "osD^v"


def measure(track: Callable[[list], Iterable] = iter) -> list[dict]:
    """`bilevel.summarise` of all studies, by KEYS. track: wraps the list of runs."""
    by_width = [partial(bilevel.horizon, s, w, ALPHAS) for s in SEEDS for w in WIDTHS if w != WIDTH]
    dropping = [partial(bilevel.horizon, s, WIDTH, ALPHAS, drop=True) for s in SEEDS]
    longer = [
        partial(bilevel.horizon, s, WIDTH, [ALPHA], k) for s in SEEDS for k in HORIZONS if k > 1
    ]
    stages = [
        partial(bilevel.horizon, s, WIDTH, ALPHAS, warmup=n)
        for s in SEEDS
        for n in WARMUPS
        if n != WARMUP
    ]
    solved = [partial(bilevel.bilevel, s, w) for s in BILEVEL_SEEDS for w in BILEVEL_WIDTHS]
    runs = by_width + dropping + longer + stages + solved
    records = [{**dict.fromkeys(KEYS), **r} for run in track(runs) for r in run()]
    return bilevel.summarise(records, *KEYS)


def select(rows: list[dict], **where) -> list[dict]:
    """The rows with these values, in ascending order of width, alpha, steps and warm-up."""
    chosen = [row for row in rows if all(row[k] == v for k, v in where.items())]
    return sorted(chosen, key=lambda r: [r[k] or 0 for k in ("width", "alpha", "steps", "warmup")])


def tables(rows: list[dict]) -> str:
    one_step = {"study": "steps", "steps": 1, "warmup": WARMUP}

    def grid(measure: str, key: str, values: Iterable, **where) -> list[list[str]]:
        found = [select(rows, **{**where, key: value}) for value in values]
        return [
            [f"{key} {value}", *(cell(row, measure) for row in line)]
            for value, line in zip(values, found, strict=True)
        ]

    def by_method(measures: Mapping[str, str], **where) -> list[list[str]]:
        return [
            [row["method"], *(cell(row, measure) for measure in measures)]
            for row in select(rows, **where)
        ]

    header = ["", *(f"alpha {a:g}" for a in ALPHAS)]
    buys = {
        "as_best": "as best",
        "as_truth": "as truth",
        "gain": "gain",
        "regret": "regret",
        "test_gain": "test gain",
    }
    greedy = {**one_step, "method": "greedy"}
    stage = {"study": "steps", "steps": 1, "width": WIDTH, "method": "greedy"}
    parts = [
        ("Share of greedy labels that are the best one-step labels", header,
         grid("as_best", "width", WIDTHS, **greedy)),
        ("Share of the possible gain in validation loss that the greedy labels buy", header,
         grid("captured", "width", WIDTHS, **greedy)),
        ("How far a step with the upstream labels moves the predictions (total variation)", header,
         grid("moved", "width", WIDTHS, **greedy)),
        (f"Share of greedy labels that are the best, by steps of training, width {WIDTH}", header,
         grid("as_best", "warmup", WARMUPS, **stage)),
        (f"Share of samples kept by the best labels and 0/1 weights, width {WIDTH}", header,
         grid("kept", "width", [WIDTH], **{**one_step, "method": "best or drop"})),
        (f"Regret of the best that keeps all (minus: dropping helps), width {WIDTH}", header,
         grid("regret", "width", [WIDTH], **{**one_step, "method": "best or drop"})),
    ]  # fmt: skip
    for k in HORIZONS:
        where = {"study": "steps", "steps": k, "width": WIDTH, "alpha": ALPHA, "warmup": WARMUP}
        title = f"{k} step(s) of size {ALPHA}, width {WIDTH}: nats against the upstream labels"
        parts.append((title, ["", *buys.values()], by_method(buys, **where)))
    for width in BILEVEL_WIDTHS:
        title = f"The bilevel problem, {width or 2} features"
        parts.append((title, ["", *buys.values()], by_method(buys, study="bilevel", width=width)))
    return "\n\n".join(f"{title}\n{table(head, body)}" for title, head, body in parts)


def cell(row: dict, measure: str) -> str:
    if measure not in row:
        return "-"
    return f"{row[measure]:.3f} +- {row[f'{measure}_pm']:.3f}"


def table(header: list[str], body: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(n) for text, n in zip(line, widths, strict=True)).rstrip()
        for line in (header, *body)
    )


def draw(rows: list[dict]) -> Figure:
    """Agreement and gain of the greedy labels by step size and width; what they buy further on."""
    with drawing.style():
        figure = Figure(figsize=(7.8, 6.2), layout="constrained")
        top, bottom = figure.subfigures(2, 1)
        (by_step, by_move), (further, exact) = (part.subplots(1, 2) for part in (top, bottom))
        by_width(by_step, rows, "alpha", "as_best")
        by_width(by_move, rows, "moved", "as_best")
        by_step.set(
            title="Long steps and wide networks: fewer best labels",
            xlabel=r"step size $\alpha$",
            ylabel="greedy labels that are the best",
        )
        by_move.set(
            title="What counts is how far the predictions move",
            xlabel="total variation moved by the upstream step",
        )
        by_step.legend(title="width", title_fontsize=8, loc="lower left")
        by_move.text(
            0.01,
            1 / bilevel.CLASSES + 0.01,
            "chance",
            fontsize=8,
            color=drawing.MUTED,
            transform=by_move.get_yaxis_transform(),
        )
        by_horizon(further, rows)
        solved(exact, rows)
    return figure


def by_width(ax: Axes, rows: list[dict], across: str, measure: str) -> None:
    ax.axhline(1 / bilevel.CLASSES, color=drawing.LINE, lw=0.8, ls=":")
    for width, colour, marker in zip(WIDTHS, COLOURS, MARKERS, strict=True):
        line = select(rows, study="steps", steps=1, warmup=WARMUP, method="greedy", width=width)
        x, y, error = ([r[key] for r in line] for key in (across, measure, f"{measure}_pm"))
        ax.errorbar(x, y, error, color=colour, marker=marker, ms=4, elinewidth=0.7,
                    label=width or "0 (linear)")  # fmt: skip
    ax.set(xscale="log", ylim=(0.1, 1.05))


def by_horizon(ax: Axes, rows: list[dict]) -> None:
    shown = {
        "truth": ("true labels", drawing.GREEN, "s"),
        "unrolled": ("unrolled\nhypergradient", drawing.PURPLE, "^"),
        "greedy": ("greedy once", drawing.BLUE, "o"),
        "renewed": ("greedy,\nrenewed", drawing.ORANGE, "D"),
    }
    ax.axhline(0, color=drawing.LINE, lw=0.8)
    ax.axhline(1, color=drawing.LINE, lw=0.8, ls=":")
    for shift, (method, (label, colour, marker)) in enumerate(shown.items()):
        line = select(rows, study="steps", width=WIDTH, alpha=ALPHA, warmup=WARMUP, method=method)
        x = [HORIZONS.index(r["steps"]) + 0.06 * (shift - 1.5) for r in line]
        y, error = ([r[key] for r in line] for key in ("captured", "captured_pm"))
        ax.errorbar(x, y, error, color=colour, marker=marker, ms=4, elinewidth=0.7)
        ax.text(len(HORIZONS) - 0.8, y[-1], label, color=colour, va="center", fontsize=8)
    ax.set_xticks(range(len(HORIZONS)), HORIZONS)
    ax.set(title=f"One choice does not last (width {WIDTH}, α = {ALPHA:g})", xlim=(-0.2, 3.1),
           xlabel="steps with the labels", ylabel="share of the possible gain")  # fmt: skip


def solved(ax: Axes, rows: list[dict]) -> None:
    names = {
        "relaxed": "soft labels, optimised",
        "best": "best one-hot",
        "renewed": "greedy, renewed",
        "probabilities": "probabilities, once",
        "centred": "centred, once",
        "greedy": "greedy once",
        "unrolled": "implicit gradient, once",
        "truth": "true labels",
        "as printed": "sign as printed, once",
    }
    ax.axvline(0, color=drawing.LINE, lw=0.8)
    colours = (drawing.BLUE, drawing.ORANGE)
    for shift, (width, colour) in enumerate(zip(BILEVEL_WIDTHS, colours, strict=True)):
        by = {r["method"]: r for r in select(rows, study="bilevel", width=width)}
        y = [-i + 0.12 - 0.24 * shift for i in range(len(names))]
        x, error = ([by[name][key] for name in names] for key in ("gain", "gain_pm"))
        ax.errorbar(x, y, xerr=error, color=colour, fmt="os"[shift], ms=4, elinewidth=0.8,
                    label=f"{width or 2} features")  # fmt: skip
    ax.set_yticks([-i for i in range(len(names))], list(names.values()))
    ax.tick_params(axis="y", length=0)
    ax.set(title="The bilevel problem, solved", xlabel="validation loss below upstream's (nats)")
    ax.legend(loc="upper left", handletextpad=0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the CSV and the figure")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    rows = measure(lambda runs: tqdm(runs, unit="run", disable=None))
    print(tables(rows))
    if out:
        out.mkdir(parents=True, exist_ok=True)
        names = dict.fromkeys(key for row in rows for key in row)
        with (out / "bilevel_gap.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(
                {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
                for row in rows
            )
        drawing.save(draw(rows), out, "bilevel_gap")


if __name__ == "__main__":
    main()
