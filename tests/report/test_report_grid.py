"""What of a table was run, and what of it is there for comparison."""

from replication.report.grid import Grid, Group, Row, Text

CELL = ("images", "digits", "resnet18", "mixup", "augmented", "paper")
RUN, MISSING, PAPER = Text("1", cell=CELL), Text("not run", missing=True, cell=CELL), Text("+0.72")


def grid(*rows, columns=()):
    return Grid("x", "X", [Text("Method"), *columns], [Group(Text(), [*rows])])


def test_a_row_is_run_if_one_of_its_cells_is_whatever_the_paper_has():
    assert Row("", [RUN, MISSING, PAPER]).run
    assert not Row("", [MISSING, PAPER]).run
    assert Row("", [PAPER]).run
    assert Row("", [Text("1"), Text("not run", missing=True)]).run
    assert not Row("", [Text("not run", missing=True)]).run


def test_a_grid_is_run_in_part_or_not_at_all():
    run, missing = Row("", [RUN]), Row("", [MISSING])
    assert (grid(run).run, grid(run).partial) == (True, False)
    assert (grid(run, missing).run, grid(run, missing).partial) == (True, True)
    assert (grid(missing).run, grid(missing).partial) == (False, False)


def test_controls_can_be_left_out_if_something_else_is_there():
    method, control = Row("", [RUN]), Row("", [RUN], control=True)
    assert grid(method, control).controlled
    assert not grid(method).controlled
    assert not grid(control).controlled
    assert grid(method, columns=[Text("permuted", control=True)]).controlled


def test_what_is_behind_a_text_makes_no_other_text():
    assert Text("1") == RUN
    assert Text("1", value=1.0) == Text("1")
