"""Seeds that are finished or in progress, found again under the same identity alone."""

import pytest
import torch

from replication.cells import Score, Seed
from replication.training.checkpoints import Checkpoints

DONE = Seed(seed=0, epoch=4, scores=[Score(split="test", weights="final", metric="loss", value=1)])


def test_other_settings_never_resume_from_these_checkpoints(tmp_path):
    Checkpoints(tmp_path, {"beta": 0}).finish(DONE)
    assert Checkpoints(tmp_path, {"beta": 0}).finished(0) == DONE
    assert Checkpoints(tmp_path, {"beta": 0}).finished(1) is None
    assert Checkpoints(tmp_path, {"beta": 1}).finished(0) is None


@pytest.mark.parametrize("text", ["{}", "", "null", '{"seed": 0, "scores": 3}', "\udcff"])
def test_a_damaged_record_is_passed_over(tmp_path, text):
    kept = Checkpoints(tmp_path, {})
    kept.finish(DONE)
    path = kept.folder / "seed-0.json"
    path.write_text(text, errors="surrogateescape")
    with pytest.warns(UserWarning, match=r"seed-0\.json: passed over"):
        assert kept.finished(0) is None


def test_a_record_of_another_seed_is_passed_over(tmp_path):
    kept = Checkpoints(tmp_path, {})
    kept.finish(DONE)
    (kept.folder / "seed-0.json").rename(kept.folder / "seed-3.json")
    with pytest.warns(UserWarning, match="it is of seed 0"):
        assert kept.finished(3) is None


def test_pickled_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("code ran",)

    kept = Checkpoints(tmp_path, {})
    kept.save(0, {"epoch": Evil()})
    with pytest.warns(UserWarning, match=r"passed over.*[Ww]eights"):
        assert kept.restore(0) is None


def test_a_finished_seed_needs_no_state(tmp_path):
    kept = Checkpoints(tmp_path, {})
    kept.save(0, {"epoch": 2, "model": torch.ones(3)})
    assert torch.equal(kept.restore(0)["model"], torch.ones(3))
    kept.finish(DONE)
    assert kept.restore(0) is None
