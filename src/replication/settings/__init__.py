"""params.yaml and profiles/*.yaml as typed, validated settings, and what they ask for.

`python -m replication.settings` checks them and prints what `dvc repro` would run;
`python -m replication.settings NAME` makes NAME the active profile first.
"""

from replication.settings import datasets, models, refiners, upstreams
from replication.settings.file import SettingsError, active, load, profiles, switch
from replication.settings.plan import REPORTED, Planned, Recipe, cells, describe, methods, views
from replication.settings.profile import Grid, Profile, Toy, Training
from replication.settings.refiners import AnyReading, AnyRefiner, Posterior, Reading
from replication.settings.settings import Settings

__all__ = [
    "REPORTED",
    "AnyReading",
    "AnyRefiner",
    "Grid",
    "Planned",
    "Posterior",
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
    "profiles",
    "refiners",
    "switch",
    "upstreams",
    "views",
]
