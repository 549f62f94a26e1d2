"""What `python -m replication.stages.repro` takes as a stage."""

from pathlib import Path

import pytest
from dvc.repo import Repo

from replication import settings
from replication.stages import repro

ROOT = Path(__file__).parents[2]


@pytest.fixture
def active(monkeypatch):
    """The active profile, and which tables it has and lacks."""
    monkeypatch.chdir(ROOT)
    profile = settings.active()
    tables = dict(settings.load(profile).profile.tables)
    return profile, [n for n, of in tables.items() if of], [n for n, of in tables.items() if not of]


def test_a_table_that_the_profile_lacks_is_an_error_that_names_those_that_have_it(active):
    profile, has, lacks = active
    others = [n for n in settings.profiles() if getattr(settings.load(n).profile.tables, lacks[0])]
    message = f"profile {profile} has no {lacks[0]}: make profile NAME=..., of {', '.join(others)}$"
    with pytest.raises(SystemExit, match=message):
        repro.require(Repo(".", uninitialized=True), profile, [has[0], lacks[0]])


def test_a_table_that_it_has_a_stage_and_a_file_are_taken(active):
    profile, has, _ = active
    repro.require(Repo(".", uninitialized=True), profile, [*has, "data.dvc", "plan", "dvc.yaml"])
