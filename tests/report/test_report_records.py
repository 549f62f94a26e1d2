"""What the page says of each cell."""

from made_cells import cell

from replication.cells import command
from replication.report.records import duration, flat, records


def test_every_cell_has_a_record_with_its_command_and_provenance(cells):
    found = records(cells)
    assert len(found) == len(cells.grid)
    assert len({record.name for record in found.values()}) == len(found)
    one = cell("paper")
    record = found[one.key]
    assert record.run
    assert record.title == (
        "digits, resnet18-slim · Mixup, augmented only · SAFLEX, as in the paper"
    )
    assert record.command == command(one, "quick")
    assert record.command.endswith("stages.train quick images digits resnet18-slim mixup paper")
    facts = dict(record.facts)
    seeds = [f"{100 * seed.value('test', 'final', 'accuracy'):.2f}"
             for seed in cells.files[one.key].seeds]  # fmt: skip
    assert facts["Seeds, accuracy"] == ", ".join(seeds)
    assert facts["Samples"] == "600 train, 200 validation, 200 test"
    assert (facts["Time"], facts["Date"]) == ("6 s", "2030-01-02")


def test_settings_are_those_in_which_cells_of_the_experiment_differ(cells):
    settings = dict(records(cells)[cell("paper").key].settings)
    assert settings == {"refiner.kind": "paper", "upstream.kind": "mixup"}


def test_a_cell_that_is_not_run_has_its_command_alone(cells):
    key = cell("paper").key
    del cells.files[key], cells.provenance[key]
    record = records(cells)[key]
    assert not record.run
    assert (record.facts, record.settings) == ([], [])
    assert record.command


def test_nested_settings_and_times():
    assert flat({"a": {"b": {"c": 1}, "d": {}}, "e": None}) == {"a.b.c": 1, "a.d": {}, "e": None}
    assert [duration(s) for s in (15, 119, 600, 7200)] == ["15 s", "119 s", "10 min", "2.0 h"]
