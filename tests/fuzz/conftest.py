"""How much is tried: 200 examples a test, the same each time; with SAFLEX_FUZZ so many new ones."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

LONG = int(os.environ.get("SAFLEX_FUZZ", "0"))

settings.register_profile(
    "fuzz",
    max_examples=LONG or 200,
    derandomize=not LONG,
    database=None,
    deadline=None,
    print_blob=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.name == "test_fuzz_kills.py" and not LONG:
            item.add_marker(pytest.mark.skip(reason="part of `make fuzz`"))
