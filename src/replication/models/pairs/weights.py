"""Weights in safetensors files, and between two networks."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from replication.files import replacing

State = Mapping[str, Tensor]


def save(model: nn.Module, path: Path) -> None:
    """Every tensor of a model by its name."""
    state = {name: t.detach().cpu().contiguous().clone() for name, t in model.state_dict().items()}
    with replacing(path) as temporary:
        save_file(state, temporary)


def load(model: nn.Module, path: Path) -> None:
    """Into a model of the same names and shapes.

    FileNotFoundError, and ValueError naming the file for one that is damaged or of another model.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: no readable safetensors file ({error})") from error
    same(state, model.state_dict(), str(path), "the network")
    model.load_state_dict(state)


def interpolate(start: State, end: State, coefficient: float) -> dict[str, Tensor]:
    """(1 - coefficient) start + coefficient end; integers, which count steps, are the end's.

    ValueError naming up to three tensors that are in one alone, or of other shapes.
    """
    same(start, end, "the first", "the second")
    return {
        name: start[name].lerp(t, coefficient) if t.is_floating_point() else t
        for name, t in end.items()
    }


def same(one: State, other: State, name: str, other_name: str) -> None:
    """ValueError naming the first three tensors of which names or shapes disagree."""
    faults = [f"{n} is in {name} alone" for n in one if n not in other]
    faults += [f"{n} is in {other_name} alone" for n in other if n not in one]
    faults += [
        f"{n} is {tuple(t.shape)} in {name} and {tuple(other[n].shape)} in {other_name}"
        for n, t in one.items()
        if n in other and t.shape != other[n].shape
    ]
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"weights of another architecture: {'; '.join(faults[:3])}{more}")
