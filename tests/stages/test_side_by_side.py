"""Stages several at a time: in order, no more than asked, whatever fails."""

from pathlib import Path

import pytest

from replication.stages import side_by_side


@pytest.fixture(autouse=True)
def light(monkeypatch):
    monkeypatch.setattr(side_by_side, "IMPORTED", [])


def commands(folder, needs):
    """Of stages that check that what they need has ended."""
    return {
        name: " ".join(["python -m made_stage", str(folder), name, *sorted(of)])
        for name, of in needs.items()
    }


def times(folder, name):
    return [float(Path(folder, f"{name}.{of}").read_text()) for of in ("begin", "end")]


def test_each_after_what_it_needs_and_two_at_a_time(tmp_path):
    needs = {"table": {"a", "b", "c"}, "a": {"data"}, "b": {"data"}, "c": {"data"}, "data": set()}
    of, ended = commands(tmp_path, needs), []
    assert side_by_side.run(needs, 2, of.get, ended.append) == []
    assert (ended[0], ended[-1]) == ("data", "table")
    assert sorted(ended) == sorted(needs)
    spans = [times(tmp_path, name) for name in "abc"]
    at_once = [sum(b <= begin < e for b, e in spans) for begin, _ in spans]
    assert max(at_once) == 2


def test_what_needs_a_failed_stage_is_not_begun_and_its_last_words_are_shown(tmp_path, capsys):
    needs = {"bad": set(), "after": {"bad"}, "good": set(), "done": set(), "last": {"done"}}
    of = commands(tmp_path, dict.fromkeys(needs, ())) | {"done": None}
    of["bad"] += " nothing"
    begun = []

    def begin(name):
        begun.append(name)
        return of[name]

    assert side_by_side.run(needs, 2, begin) == ["bad"]
    assert sorted(begun) == ["bad", "done", "good", "last"]
    assert "bad: nothing is missing" in capsys.readouterr().out


def test_nothing_to_run_is_nothing_to_wait_for():
    assert side_by_side.run({"a": set(), "b": {"a"}}, 2, lambda _: None) == []
    assert side_by_side.run({}, 2, pytest.fail) == []


def test_a_stage_that_is_killed_has_failed_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "made_death.py").write_text(
        "import os, signal\ndef main():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    needs = {"dies": set(), "lives": set()}
    of = commands(tmp_path, needs) | {"dies": "python -m made_death"}
    assert side_by_side.run(needs, 2, of.get) == ["dies"]
    assert times(tmp_path, "lives")


@pytest.mark.parametrize(
    ("cores", "jobs", "expected"), [(8, 2, 4), (2, 2, 1), (2, 5, 1), (None, 1, 1)]
)
def test_seeds_of_all_stages_together_are_as_many_as_cores(monkeypatch, cores, jobs, expected):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert side_by_side.seeds(jobs) == expected
