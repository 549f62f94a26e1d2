"""Predictions and the metrics that the tables show."""

from collections.abc import Callable

import numpy as np
import torch
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score
from torch import Tensor, nn

from replication.data.dataset import Split

Prepare = Callable[[Tensor], Tensor]
BATCH = 1024


def predict(model: nn.Module, inputs: Tensor, prepare: Prepare) -> np.ndarray:
    """Class probabilities (n, K) in evaluation mode; the model's mode is as it was afterwards.

    Inputs (n, ...) may be on another device than the model and are brought there in parts of equal
    size: with SAINT, a row's probabilities depend on how many others are beside it.
    """
    training, device = model.training, next(model.parameters()).device
    model.eval()
    with torch.no_grad():
        equal = inputs.tensor_split(-(-len(inputs) // BATCH))
        batches = (prepare(part.to(device)) for part in equal)
        parts = [model(batch).float().softmax(1).cpu() for batch in batches]
    model.train(training)
    probabilities = torch.cat(parts).double().numpy()
    return probabilities / probabilities.sum(1, keepdims=True)


def evaluate(model: nn.Module, split: Split, prepare: Prepare) -> dict[str, float]:
    """`score` of a model on a split."""
    return score(predict(model, torch.from_numpy(split.inputs), prepare), split.labels)


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """accuracy, auroc, average precision and loss (nats) of probabilities (n, K), labels (n,).

    auroc: of the last class for two classes, else the mean over classes of one against the rest,
    as MedMNIST's evaluator has it; average_precision likewise. Classes without both kinds of
    samples are left out; where none has both, 0.5 and the share of the last class stand.
    """
    classes = probabilities.shape[1]
    scored = [
        (labels == k, probabilities[:, k])
        for k in ([1] if classes == 2 else range(classes))
        if 0 < (labels == k).sum() < len(labels)
    ]
    aucs = [roc_auc_score(*pair) for pair in scored]
    precisions = [average_precision_score(*pair) for pair in scored]
    return {
        "accuracy": float((probabilities.argmax(1) == labels).mean()),
        "auroc": float(np.mean(aucs)) if aucs else 0.5,
        "average_precision": float(np.mean(precisions or [(labels == classes - 1).mean()])),
        "loss": float(log_loss(labels, probabilities, labels=range(classes))),
    }


def classified(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """accuracy, macro_f1 and loss (nats) of probabilities (n, K), labels (n,).

    macro_f1: the mean over the classes that labels have, as WILDS has it.
    """
    found, classes = probabilities.argmax(1), probabilities.shape[1]
    f1 = f1_score(labels, found, average="macro", labels=np.unique(labels), zero_division=0)
    return {
        "accuracy": float((found == labels).mean()),
        "macro_f1": float(f1),
        "loss": float(log_loss(labels, probabilities, labels=range(classes))),
    }
