"""params.yaml as typed, validated settings, and what they ask for.

`python -m replication.settings` checks the file and prints what `dvc repro` would run.
"""

from replication.settings.file import SettingsError, load
from replication.settings.plan import expected_cells, method_name, print_plan
from replication.settings.schema import (
    CSV,
    IMITATIONS,
    DataSource,
    Grid,
    MedMNIST,
    Model,
    Refiner,
    ResNet,
    Saflex,
    Settings,
    Training,
    Trees,
    imitation,
)

__all__ = [
    "CSV",
    "IMITATIONS",
    "DataSource",
    "Grid",
    "MedMNIST",
    "Model",
    "Refiner",
    "ResNet",
    "Saflex",
    "Settings",
    "SettingsError",
    "Training",
    "Trees",
    "expected_cells",
    "imitation",
    "load",
    "method_name",
    "print_plan",
]
