"""Gradient-boosted trees: the yardstick of tabular data, with no augmentation at all."""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from replication.data.dataset import Dataset
from replication.settings import Trees
from replication.training.evaluation import score


def train(settings: Trees, dataset: Dataset, train_on_validation: bool, seed: int) -> dict:
    """Metrics of histogram boosting that stops early on a tenth of what it is given."""
    splits = [dataset.train] + [dataset.validation] * train_on_validation
    trees = HistGradientBoostingClassifier(
        max_iter=settings.iterations,
        categorical_features=_few_enough(dataset.cardinalities),
        early_stopping=True,
        random_state=seed,
    ).fit(
        np.concatenate([split.inputs for split in splits]),
        np.concatenate([split.labels for split in splits]),
    )
    result = {"seed": seed, "epoch": int(trees.n_iter_)}
    for prefix, split in (("", dataset.test), ("validation_", dataset.validation)):
        scores = score(trees.predict_proba(split.inputs), split.labels)
        result |= {f"{prefix}{name}": value for name, value in scores.items()}
    return result


def _few_enough(cardinalities: tuple[int, ...]) -> list[int]:
    """The categorical columns that the histograms can hold; the codes of others stay numbers."""
    return [i for i, count in enumerate(cardinalities) if count < 255]
