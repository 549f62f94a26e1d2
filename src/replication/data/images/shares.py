"""Which image goes into which split: exact numbers, stratified, and groups kept whole."""

import numpy as np


def quotas(counts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """How many images of each class each split has: (K,), (S,) -> (S, K), both sums kept.

    Shares are rounded down, and what is missing goes where the most was cut off.
    """
    share, cut = np.divmod(np.outer(sizes, counts), counts.sum())
    rows, columns = sizes - share.sum(1), counts - share.sum(0)
    while rows.any():
        open_ = (rows > 0)[:, None] & (columns > 0)
        s, k = np.unravel_index(np.where(open_, cut, cut.min() - 1).argmax(), cut.shape)
        share[s, k] += 1
        cut[s, k] -= counts.sum()
        rows[s] -= 1
        columns[k] -= 1
    return share


def draw(
    labels: np.ndarray, groups: np.ndarray | None, sizes: list[int], random: np.random.Generator
) -> list[np.ndarray]:
    """Indices of the images of each split, in random order.

    labels: (n,) int64 from 0. groups: (n,) names. sizes: of the splits, n in all. No group is in
    two splits, and with groups the sizes are met where the draw finds a way; without, always.
    """
    counts = np.bincount(labels)
    left = quotas(counts, np.array(sizes))
    of = np.empty(len(labels), np.int64)
    if groups is None:
        for k in range(len(counts)):
            of[random.permutation(np.flatnonzero(labels == k))] = np.repeat(
                np.arange(len(sizes)), left[:, k]
            )
    else:
        _, groups = np.unique(groups, return_inverse=True)
        of = _whole(labels, groups, left, random)[groups]
    order = random.permutation(len(labels))
    return [order[of[order] == s] for s in range(len(sizes))]


def _whole(
    labels: np.ndarray, groups: np.ndarray, left: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """The split of each group (G,). Large groups first, each to a split that has room for it.

    With a probability in proportion to that room, so that large groups are in every split. A group
    that fits nowhere goes where the most room is.
    """
    splits, classes = left.shape
    count = np.bincount(groups * classes + labels, minlength=(groups.max() + 1) * classes)
    count = count.reshape(-1, classes)
    order = random.permutation(len(count))
    order = order[np.argsort(-count[order].sum(1), kind="stable")]
    of = np.empty(len(count), np.int64)
    for g in order:
        own = count[g] > 0
        room = left[:, own]
        whole = left.sum(1) >= count[g].sum()
        fits = whole & (room >= count[g, own]).all(1)
        if fits.any():
            weights = np.where(fits, room.min(1), 0)
            s = random.choice(splits, p=weights / weights.sum())
        elif whole.any():
            s = np.flatnonzero(whole)[room.sum(1)[whole].argmax()]
        else:
            s = left.sum(1).argmax()
        of[g] = s
        left[s] -= count[g]
    return of
