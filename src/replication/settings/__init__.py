"""params.yaml and profiles/*.yaml as typed, validated settings, and what they ask for.

`python -m replication.settings` checks them and prints what `dvc repro` would run;
`python -m replication.settings NAME` makes NAME the active profile first.
"""

from replication.settings import datasets, generators, models, networks, refiners, upstreams
from replication.settings.file import SettingsError, active, load, profiles, switch
from replication.settings.generators import AnyGenerator
from replication.settings.networks import AnyNetwork
from replication.settings.plan import (
    REPORTED,
    Judges,
    Made,
    Planned,
    Prepared,
    Pretrained,
    Recipe,
    cells,
    describe,
    judges,
    made,
    methods,
    prepared,
    pretrained,
    sheets,
    views,
)
from replication.settings.profile import FineTuning, Grid, Profile, Toy, Training
from replication.settings.refiners import AnyReading, AnyRefiner, Posterior, Reading
from replication.settings.settings import Settings

__all__ = [
    "REPORTED",
    "AnyGenerator",
    "AnyNetwork",
    "AnyReading",
    "AnyRefiner",
    "FineTuning",
    "Grid",
    "Judges",
    "Made",
    "Planned",
    "Posterior",
    "Prepared",
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
    "generators",
    "judges",
    "load",
    "made",
    "methods",
    "models",
    "networks",
    "prepared",
    "pretrained",
    "profiles",
    "refiners",
    "sheets",
    "switch",
    "upstreams",
    "views",
]
