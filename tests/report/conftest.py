import pytest
from made_cells import grid, populate


@pytest.fixture(scope="session")
def quick(tmp_path_factory):
    """A complete folder and its cells: digits with two upstreams."""
    folder = tmp_path_factory.mktemp("results") / "quick"
    cells = grid("digits", "resnet18-slim", ("randaugment", "mixup"))
    populate(folder, cells)
    return folder, cells
