"""Samples read from their files are the samples; what fits is moved, what does not is not."""

import numpy as np
import pytest
import torch

from replication.training import storage
from replication.training.storage import Joined, hold, mapped

CPU = torch.device("cpu")


@pytest.fixture
def arrays(tmp_path):
    """Two splits of three views each, in memory-mapped files."""
    random = np.random.default_rng(0)
    for name, n in (("train", 7), ("validation", 4)):
        np.save(tmp_path / f"{name}.npy", random.integers(0, 256, (3, n, 2, 5), np.uint8))
    return [mapped(tmp_path / f"{name}.npy") for name in ("train", "validation")]


@pytest.mark.parametrize("free", [0, 10**6])
def test_rows_are_those_of_the_concatenated_arrays(arrays, monkeypatch, free):
    monkeypatch.setattr(storage, "_free", lambda device: free)
    views, i = torch.tensor([0, 2, 1, 1, 0]), torch.tensor([10, 6, 7, 0, 6])
    both = hold(arrays, CPU, workers=1, axis=1)
    assert isinstance(both, Joined) == (free == 0)
    assert len(both) == 3
    expected = np.concatenate(arrays, 1)[views, i]
    assert (both[views, i].numpy() == expected).all()

    samples = hold([array[0] for array in arrays], CPU, workers=1)
    assert len(samples) == 11
    assert (samples[i].numpy() == np.concatenate(arrays, 1)[0, i]).all()
    one = hold(arrays[:1], CPU, workers=1, axis=1)
    assert (one[views, i % 7].numpy() == arrays[0][views, i % 7]).all()


def test_seeds_side_by_side_share_the_free_memory(arrays, monkeypatch):
    need = sum(array.nbytes for array in arrays)
    monkeypatch.setattr(storage, "_free", lambda device: 4 * need)
    moved = [isinstance(hold(arrays, CPU, workers, axis=1), torch.Tensor) for workers in (1, 2, 3)]
    assert moved == [True, True, False]


def test_on_a_cpu_files_are_not_read_into_memory(arrays):
    assert hold(arrays[:1], CPU, workers=1).data_ptr() == arrays[0].ctypes.data
    assert isinstance(hold(arrays, CPU, workers=1, axis=1), Joined)


def test_arrays_in_memory_are_joined_in_any_case():
    joined = hold([np.arange(3), np.arange(2)], CPU, workers=1)
    assert torch.equal(joined, torch.tensor([0, 1, 2, 0, 1]))


def test_pickled_objects_are_refused(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        mapped(tmp_path / "evil.npy")
