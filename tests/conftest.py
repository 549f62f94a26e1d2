"""The longest tests first, so that no worker waits for another at the end."""

from pathlib import Path

FIRST = Path(__file__).parent / "pipeline"


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: FIRST not in item.path.parents)
