"""Predictions and the metrics that the tables show."""

import numpy as np
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor, nn

BATCH = 1024


def predict(model: nn.Module, inputs: Tensor, prepare) -> np.ndarray:
    """Class probabilities (n, K) in evaluation mode; the model's mode is as it was afterwards."""
    training = model.training
    model.eval()
    with torch.no_grad():
        parts = [model(prepare(part)).float().softmax(1).cpu() for part in inputs.split(BATCH)]
    model.train(training)
    probabilities = torch.cat(parts).double().numpy()
    return probabilities / probabilities.sum(1, keepdims=True)


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """accuracy, auroc and loss (nats) of probabilities (n, K) against labels (n,).

    auroc: of the last class for two classes, else the mean over classes of one against the rest,
    as MedMNIST's evaluator has it; classes without both kinds of samples are left out.
    """
    classes = probabilities.shape[1]
    aucs = [
        roc_auc_score(labels == k, probabilities[:, k])
        for k in ([1] if classes == 2 else range(classes))
        if 0 < (labels == k).sum() < len(labels)
    ]
    return {
        "accuracy": float((probabilities.argmax(1) == labels).mean()),
        "auroc": float(np.mean(aucs)) if aucs else 0.5,
        "loss": float(log_loss(labels, probabilities, labels=range(classes))),
    }
