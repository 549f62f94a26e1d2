"""Classifiers of made images: what an interrupted training is found by."""

from pathlib import Path

import torch

from replication import settings
from replication.stages import judges
from replication.training.cell import Work

QUICK = settings.load("quick")


def test_a_classifier_is_kept_by_what_cells_are_kept_by(monkeypatch):
    monkeypatch.setattr(Work, "files", {})
    of, *_ = settings.judges(QUICK)
    found = judges.identity(of, "train", {"a.npz": "0"}, torch.device("cuda"), 3)
    assert (found["judge"], found["device"], found["threads"]) == ("train", "cuda", 3)
    planned = next(p for p in settings.methods(QUICK) if p.method.experiment == of.experiment)
    (work, *_) = Work.of(planned, "quick", Path("none"))
    assert work.identity().keys() - {"batch", "settings"} <= found.keys()
