"""Gradient-boosted trees: the yardstick of tabular data, with no augmentation at all."""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from replication.cells import Score, Seed
from replication.data.dataset import Dataset
from replication.settings import Recipe
from replication.training.evaluation import score


def train(recipe: Recipe, dataset: Dataset, seed: int) -> Seed:
    """Scores of histogram boosting that stops early on a tenth of what it is given."""
    splits = [dataset.train] + [dataset.validation] * recipe.refiner.train_on_validation
    trees = HistGradientBoostingClassifier(
        max_iter=recipe.model.iterations,
        categorical_features=_few_enough(dataset.cardinalities),
        early_stopping=True,
        random_state=seed,
    ).fit(
        np.concatenate([split.inputs for split in splits]),
        np.concatenate([split.labels for split in splits]),
    )
    scored = {**dataset.tests, "validation": dataset.validation}
    scores = [
        Score(split=name, weights="final", metric=metric, value=value)
        for name, split in scored.items()
        for metric, value in score(trees.predict_proba(split.inputs), split.labels).items()
    ]
    return Seed(seed=seed, epoch=int(trees.n_iter_), scores=scores)


def _few_enough(cardinalities: tuple[int, ...]) -> list[int]:
    """The categorical columns that the histograms can hold; the codes of others stay numbers."""
    return [i for i, count in enumerate(cardinalities) if count < 255]
