"""SAFLEX on sound: which of four instruments plays? Its tones are made here.

The augmentation plays another tone over each, mostly the louder one, and keeps the label. Compared,
on the same seeds: this alone, weighed by `saflex.Posterior`, and with the validation tones as well.
When this was written, the interval of neither difference excluded 0.

    python examples/sound.py
"""

import torch
import torch.nn.functional as F
from torch import nn

import saflex

RATE, SAMPLES = 4000, 1024
OVERTONES = torch.tensor([[1, 0, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]])


def tones(count, generator):
    """Waves (count, SAMPLES) of any pitch from 200 to 400 Hz, and which instrument plays each."""
    played = torch.randint(4, (count,), generator=generator)
    pitch = 200 * 2 ** torch.rand(count, 1, 1, generator=generator)
    time = torch.arange(SAMPLES) / RATE
    waves = (2 * torch.pi * torch.arange(1, 5)[:, None] * pitch * time).sin()
    waves = (OVERTONES[played][..., None] * waves).sum(1)
    return waves + 0.3 * torch.randn(waves.shape, generator=generator), played


def spectrograms(waves):
    """(n, SAMPLES) -> (n, 1, 65 frequencies, 17 times)."""
    window = torch.hann_window(128)
    return torch.stft(waves, 128, 64, window=window, return_complex=True).abs().log1p()[:, None]


def accuracy(way, seed, steps=150):
    generator = torch.Generator().manual_seed(seed)
    (x, y), (x_val, y_val), (x_test, y_test) = (tones(n, generator) for n in (200, 100, 1000))
    if way == "train + validation":
        x, y = torch.cat([x, x_val]), torch.cat([y, y_val])
    torch.manual_seed(seed)
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, (9, 3), stride=2), nn.ReLU(), nn.AvgPool2d((1, 8)), nn.Flatten()),
        *(nn.Linear(464, 64), nn.ReLU(), nn.Linear(64, 4)),
    )
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    refine = saflex.Posterior(model)
    for _ in range(steps):
        rows = torch.randint(len(x), (32,), generator=generator)
        louder = 4 * torch.rand(32, 1, generator=generator)
        x_aug, y_aug = spectrograms(x[rows] + louder * x[rows].roll(1, 0)), y[rows]
        logits = model(x_aug)
        loss = F.cross_entropy(logits, y_aug)
        if way == "posterior":
            refined = refine(x_aug, y_aug, val=(spectrograms(x_val), y_val), logits=logits)
            loss = saflex.soft_cross_entropy(logits, refined.labels, refined.weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return 100 * (model(spectrograms(x_test)).argmax(1) == y_test).float().mean()


if __name__ == "__main__":
    torch.set_num_threads(1)
    ways = ("alone", "posterior", "train + validation")
    found = {way: torch.stack([accuracy(way, seed) for seed in range(6)]) for way in ways}
    print(f"augmentation alone: {found['alone'].mean():.1f} % right, 6 seeds")
    for way in ways[1:]:
        gain = found[way] - found["alone"]
        half = 2.571 * gain.std() / 6**0.5  # Student's t, 5 degrees of freedom
        print(f"{way}: {gain.mean():+.1f} ± {half:.1f} points, paired by seed, 95 % interval")
