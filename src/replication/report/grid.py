"""A table of text, and how it is written in Markdown and LaTeX."""

import re
from dataclasses import dataclass, field

LATEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "−": "$-$",
        "±": r"$\pm$",
        "·": r"$\cdot$",
        "…": r"\ldots{}",
        "–": "--",
        "—": "---",
        "Π": r"$\Pi$",
        "|": r"$|$",
    }
)


@dataclass(frozen=True)
class Group:
    """Rows under one heading; a row is its label and its cells."""

    heading: str
    rows: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Grid:
    """Columns: the label's, then one per cell. A newline in a text sets off its small print."""

    name: str
    title: str
    columns: list[str]
    groups: list[Group]
    notes: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not self.groups


def markdown(grid: Grid) -> str:
    """A heading, a pipe table with a column for the group, and the notes."""
    lines = [f"### {grid.title}", ""]
    if not grid.empty:
        grouped = any(group.heading for group in grid.groups)
        header = [*([""] if grouped else []), *grid.columns]
        rows = [
            [*([group.heading if first else ""] if grouped else []), label, *cells]
            for group in grid.groups
            for first, (label, cells) in zip([True, *[False] * len(group.rows)], group.rows)  # noqa: B905
        ]
        marks = ["---"] * (len(header) - len(grid.columns) + 1) + ["---:"] * (len(grid.columns) - 1)
        lines += [_pipes(row) for row in (header, marks, *rows)] + [""]
    return "\n".join(lines + [line for note in grid.notes for line in (note, "")])


def latex(grid: Grid) -> str:
    r"""A `table` environment for booktabs: headings of groups in italics, notes below."""
    title = re.sub(r"^Table ", "Replication of Table ", grid.title)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_tex(title)}}}"]
    lines += [rf"\label{{tab:{grid.name}}}"]
    if not grid.empty:
        width = len(grid.columns)
        lines += [rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}", r"\toprule"]
        lines += [_ampersands(grid.columns)]
        for group in grid.groups:
            lines += [r"\midrule"]
            if group.heading:
                lines += [rf"\multicolumn{{{width}}}{{l}}{{\emph{{{_tex(group.heading)}}}}} \\"]
            lines += [_ampersands([label, *cells]) for label, cells in group.rows]
        lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip{{\footnotesize {_tex(note)}}}" for note in grid.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def _pipes(cells: list[str]) -> str:
    return (
        f"| {' | '.join(c.replace('|', chr(92) + '|').replace(chr(10), '<br>') for c in cells)} |"
    )


def _ampersands(cells: list[str]) -> str:
    stacked = [
        rf"\shortstack[r]{{{_tex(cell).replace(chr(10), chr(92) * 2)}}}"
        if "\n" in cell
        else _tex(cell)
        for cell in cells
    ]
    return " & ".join(stacked) + r" \\"


def _tex(text: str) -> str:
    """Text with its special characters escaped and `code` set in typewriter."""
    plain, *rest = text.translate(LATEX).split("`")
    for i, part in enumerate(rest):
        plain += rf"\texttt{{{part}}}" if i % 2 == 0 else part
    return plain
