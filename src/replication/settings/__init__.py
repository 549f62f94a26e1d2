"""params.yaml and profiles/*.yaml as typed, validated settings, and what they ask for.

`python -m replication.settings` checks them and prints what `dvc repro` would run;
`python -m replication.settings NAME` makes NAME the active profile first.
"""

from replication.settings import datasets, models, networks, refiners, upstreams
from replication.settings.file import SettingsError, active, load, profiles, switch
from replication.settings.networks import AnyNetwork
from replication.settings.plan import (
    REPORTED,
    Planned,
    Pretrained,
    Recipe,
    cells,
    describe,
    methods,
    pretrained,
    views,
)
from replication.settings.profile import FineTuning, Grid, Profile, Toy, Training
from replication.settings.refiners import AnyReading, AnyRefiner, Posterior, Reading
from replication.settings.settings import Settings

__all__ = [
    "REPORTED",
    "AnyNetwork",
    "AnyReading",
    "AnyRefiner",
    "FineTuning",
    "Grid",
    "Planned",
    "Posterior",
    "Pretrained",
    "Profile",
    "Reading",
    "Recipe",
    "Settings",
    "SettingsError",
    "Toy",
    "Training",
    "active",
    "cells",
    "datasets",
    "describe",
    "load",
    "methods",
    "models",
    "networks",
    "pretrained",
    "profiles",
    "refiners",
    "switch",
    "upstreams",
    "views",
]
