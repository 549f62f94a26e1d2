"""A table of text, and how it is written in Markdown and LaTeX."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from replication.report.legend import Legend

LATEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"$<$",
        ">": r"$>$",
        "\n": " ",
        "−": "$-$",
        "±": r"$\pm$",
        "·": r"$\cdot$",
        "…": r"\ldots{}",
        "–": "--",
        "—": "---",
        "Π": r"$\Pi$",
        "β": r"$\beta$",
        "|": r"$|$",
    }
)
MARKDOWN = str.maketrans({"|": r"\|", "<": "&lt;", "\n": " "})


@dataclass(frozen=True)
class Text:
    """What stands in a cell, a heading or above a column: a line, small print, a verdict.

    missing: the line says that there is nothing to show. value: the number it says, to sort by.
    cell: KEYS of the cell that it is of. control: above a column of a method that is there for
    comparison only.
    """

    main: str = ""
    small: tuple[str, ...] = ()
    verdict: str = ""
    missing: bool = False
    value: float | None = field(default=None, compare=False)
    cell: tuple[str, ...] | None = field(default=None, compare=False)
    control: bool = field(default=False, compare=False)

    @property
    def lines(self) -> list[str]:
        return [line for line in (self.main, *self.small, self.verdict) if line]

    def __str__(self) -> str:
        return "\n".join(self.lines)


class Row(NamedTuple):
    """control: of a method that is there for comparison only."""

    label: str
    cells: list[Text]
    control: bool = False

    @classmethod
    def of(cls, legend: Legend, refiner: str, cells: list[Text], batch: str = "augmented") -> "Row":
        """A method's line among those of a batch composition."""
        return cls(legend.method(refiner, batch), cells, legend.is_control(refiner))

    @property
    def run(self) -> bool:
        """False if nobody has run any of the cells that it is of."""
        of = [text for text in self.cells if text.cell]
        return not all(text.missing for text in of or self.cells)


class Group(NamedTuple):
    """Rows under one heading, which may be empty."""

    heading: Text
    rows: list[Row]

    @property
    def run(self) -> bool:
        return any(row.run for row in self.rows)

    @property
    def control(self) -> bool:
        return all(row.control for row in self.rows)


def heads(legend: Legend, refiners: Iterable[str]) -> list[Text]:
    """What stands above the columns of refiners."""
    return [Text(legend.refiner(name), control=legend.is_control(name)) for name in refiners]


@dataclass(frozen=True)
class Grid:
    """Columns: the label's, then one per cell. `code` in notes is set as such.

    number: of the paper's table that it replicates, if any. view: what the page calls it among the
    others of its table. aside: it comes after them.
    """

    name: str
    title: str
    columns: list[Text]
    groups: list[Group]
    notes: list[str] = field(default_factory=list)
    number: str = ""
    view: str = "Table"
    aside: bool = False

    @property
    def caption(self) -> str:
        return f"Table {self.number}. {self.title}" if self.number else self.title

    @property
    def empty(self) -> bool:
        return not self.groups

    @property
    def run(self) -> bool:
        """Whether anything of it has been run."""
        return any(group.run for group in self.groups)

    @property
    def partial(self) -> bool:
        """Whether some of it has been run, and some not."""
        return self.run and not all(row.run for group in self.groups for row in group.rows)

    @property
    def controlled(self) -> bool:
        """Whether it has rows or columns of controls, and others."""
        own = [row.control for group in self.groups for row in group.rows]
        columns = any(column.control for column in self.columns)
        return columns or (any(own) and not all(own))


def markdown(grid: Grid) -> str:
    """A heading, a pipe table with a column for the group, and the notes."""
    lines = [f"### {as_markdown(grid.caption)}", ""]
    if not grid.empty:
        grouped = any(group.heading.lines for group in grid.groups)
        header = [*([Text()] if grouped else []), *grid.columns]
        marks = ["---"] * (len(header) - len(grid.columns) + 1) + ["---:"] * (len(grid.columns) - 1)
        lines += [_pipes(header), f"| {' | '.join(marks)} |"]
        for group in grid.groups:
            for i, row in enumerate(group.rows):
                heading = [Text() if i else group.heading] if grouped else []
                lines.append(_pipes([*heading, Text(row.label), *row.cells]))
        lines.append("")
    return "\n".join(lines + [line for note in grid.notes for line in (as_markdown(note), "")])


def latex(grid: Grid) -> str:
    r"""A `table` environment for booktabs: headings of groups in italics, notes below."""
    of = "Replication of " if grid.number else ""
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{of}{_tex(grid.caption)}}}"]
    lines += [rf"\label{{tab:{grid.name}}}"]
    if not grid.empty:
        width = len(grid.columns)
        lines += [rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}", r"\toprule"]
        lines += [_ampersands(grid.columns)]
        for group in grid.groups:
            lines += [r"\midrule"]
            if group.heading.lines:
                heading = _tex(" ".join(group.heading.lines))
                lines += [rf"\multicolumn{{{width}}}{{l}}{{\emph{{{heading}}}}} \\"]
            lines += [_ampersands([Text(row.label), *row.cells]) for row in group.rows]
        lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip{{\footnotesize {_tex(note)}}}" for note in grid.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def as_markdown(text: str) -> str:
    """Text that Markdown takes neither for HTML nor for a link or an image."""
    return text.translate(MARKDOWN).replace("](", r"]\(")


def _pipes(texts: Iterable[Text]) -> str:
    return f"| {' | '.join('<br>'.join(map(as_markdown, text.lines)) for text in texts)} |"


def _ampersands(texts: Iterable[Text]) -> str:
    cells = ([_tex(line) for line in text.lines] for text in texts)
    stacked = (
        rf"\shortstack[r]{{{(chr(92) * 2).join(lines)}}}" if lines[1:] else "".join(lines)
        for lines in cells
    )
    return " & ".join(stacked) + r" \\"


def _tex(text: str) -> str:
    """Text with its special characters escaped and `code` set in typewriter."""
    plain, *rest = text.translate(LATEX).split("`")
    for i, part in enumerate(rest):
        plain += rf"\texttt{{{part}}}" if i % 2 == 0 else part
    return plain
