"""Values of the core, number by number: `python tests/core/recorded.py` writes recorded.json.

Two training steps of three small networks with each reading of params.yaml, exact, look-ahead and
head; of the second step weights, labels and inner products. Nine digits name a float32 exactly.
"""

import json
import platform
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import saflex

FILE = Path(__file__).with_suffix(".json")
GATED = {"centre": True, "normalise": True, "unit_scale": True, "shrink": True}
READINGS = {
    "paper": {"space": "probs"},
    "paper-literal": {"space": "probs", "sign": -1},
    "paper-tables": {"space": "probs", "beta": 1.0},
    "theorem-1": {"space": "logits", "temperature": 1e-6, "gumbel": 0.0, "weight_rule": "sum"},
    "calibrated": {"beta": 3.0, "temperature": 1.0, "gumbel": 0.0, "weight_rule": "gate", **GATED},
    "reweighting": {"gumbel": 0.0, "weight_rule": "positive", "keep_labels": True},
}
WAYS = {
    "jvp": {"how": "jvp"},
    "lookahead": {"how": "lookahead"},
    "head": {"how": "lookahead", "scope": "head"},
}


def conv():
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2),
        nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    ), (2, 6, 6)  # fmt: skip


def dropout():
    hidden = [nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 16), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Dropout(0.1), nn.Linear(16, 3)), (5,)


def norm():
    hidden = [nn.Linear(5, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 16), nn.LayerNorm(16)]
    return nn.Sequential(*hidden, nn.Tanh(), nn.Linear(16, 3)), (5,)


NETWORKS = {"conv": conv, "dropout": dropout, "norm": norm}
CASES = [*product(NETWORKS, READINGS, WAYS)]


def machine() -> list[str]:
    """Where equal digits can be expected."""
    return [torch.__version__, torch.backends.cpu.get_cpu_capability(), platform.machine()]


def run(network: str, reading: str, way: str) -> dict[str, list]:
    torch.manual_seed(11)
    model, shape = NETWORKS[network]()
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    refiner = saflex.SAFLEX(
        model,
        generator=torch.Generator().manual_seed(5),
        optimizer=optimizer if reading == "calibrated" else None,
        **READINGS[reading],
        **WAYS[way],
    )

    data = torch.Generator().manual_seed(3)
    for _ in range(2):
        x, x_val = (torch.randn(n, *shape, generator=data) for n in (5, 8))
        y, y_val = (torch.randint(3, (n,), generator=data) for n in (5, 8))
        y = 0.9 * F.one_hot(y, 3) + 0.1 / 3
        before = torch.get_rng_state()
        logits = model(x)
        after = torch.get_rng_state()
        torch.set_rng_state(before)
        refined = refiner(x, y, val=(x_val, y_val), logits=logits)
        torch.set_rng_state(after)
        loss = saflex.soft_cross_entropy(logits, refined.labels, refined.weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fields = ("weights", "labels", "inner_products")
    return {name: getattr(refined, name).flatten().tolist() for name in fields}


def main() -> None:
    torch.set_num_threads(1)
    values = {
        "/".join(case): {k: " ".join(f"{v:.9g}" for v in row) for k, row in run(*case).items()}
        for case in CASES
    }
    FILE.write_text(json.dumps({"machine": machine(), "values": values}, indent=1) + "\n")


if __name__ == "__main__":
    main()
