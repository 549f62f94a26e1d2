from contextlib import chdir

import pytest
from made_cells import QUICK, copied, populate

from replication.report.frames import read_cells


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Result files are read and written below the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def populated(tmp_path_factory):
    """A folder with the result files of QUICK."""
    folder = tmp_path_factory.mktemp("populated")
    with chdir(folder):
        populate(QUICK)
    return folder


@pytest.fixture
def quick(populated, tmp_path):
    """Digits with two upstreams, whose result files are below the working directory."""
    copied(populated, tmp_path)
    return QUICK


@pytest.fixture
def cells(quick):
    return read_cells(quick)
