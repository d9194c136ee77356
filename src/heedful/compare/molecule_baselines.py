"""Baselines of molecules: the nearest neighbour by fingerprints, and trees and kernel regression on descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from heedful.compare.baseline import Numbers, by_column


@by_column
def neighbour(
    train: Sequence[Any], others: Sequence[Any], targets: Numbers, is_label: bool, seed: int
) -> Numbers:
    """Return what the most similar training molecules have, the mean of those that are equally similar."""
    from heedful.data.molecules.fingerprints import similarities

    found = similarities(others, train)
    is_nearest = found == found.max(axis=1, keepdims=True)
    return np.asarray((is_nearest * targets).sum(axis=1) / is_nearest.sum(axis=1))


@by_column
def forest(
    train: Sequence[Any], others: Sequence[Any], targets: Numbers, is_label: bool, seed: int
) -> Numbers:
    """Fit a random forest on RDKit's descriptors."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    if is_label:
        model = RandomForestClassifier(500, random_state=seed)
    else:
        model = RandomForestRegressor(500, max_features=1 / 3, random_state=seed)
    return _fitted(model, train, others, targets, is_label)


@by_column
def boosting(
    train: Sequence[Any], others: Sequence[Any], targets: Numbers, is_label: bool, seed: int
) -> Numbers:
    """Fit gradient boosting on RDKit's descriptors."""
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    kind = GradientBoostingClassifier if is_label else GradientBoostingRegressor
    model = kind(
        n_estimators=500, learning_rate=0.05, max_depth=4, subsample=0.5, max_features=0.3, random_state=seed
    )  # fmt: skip
    return _fitted(model, train, others, targets, is_label)


MOST_KERNELS: Final = 10_000
"""Of more training molecules so many are drawn for kernel regression, whose matrix has a row and a column for each."""


@by_column
def kernel(
    train: Sequence[Any], others: Sequence[Any], targets: Numbers, is_label: bool, seed: int
) -> Numbers:
    """Fit kernel ridge regression on RDKit's descriptors, of labels on the numbers 0 and 1.

    The kernel is exp(−0.3 |x − y|² / (n v)), of n descriptors x scaled as those of a network, whose variance is v; the
    ridge is 0.03. Both were chosen on molecules of ESOL that are in no test part of the benchmark.
    """
    from sklearn.kernel_ridge import KernelRidge

    from heedful.data.molecules.descriptors import ScaledDescriptors

    if len(train) > MOST_KERNELS:
        rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:MOST_KERNELS])
        train, targets = [train[row] for row in rows], targets[rows]
    scaled = ScaledDescriptors.fit(train)
    known, wanted = (scaled(each).astype(np.float64) for each in (train, others))
    mean, scale = targets.mean(), targets.std() or 1.0
    gamma = 0.3 / max(known.shape[1] * known.var(), 1e-9)
    model = KernelRidge(alpha=0.03, kernel="rbf", gamma=gamma).fit(known, (targets - mean) / scale)
    found = model.predict(wanted) * scale + mean
    return np.asarray(np.clip(found, 0.0, 1.0) if is_label else found)


def _fitted(
    model: Any, train: Sequence[str], others: Sequence[str], targets: Numbers, is_label: bool
) -> Numbers:
    """Fit an estimator of scikit-learn on RDKit's descriptors and return its predictions."""
    from heedful.data.molecules.descriptors import descriptor_names, descriptors

    if is_label and len(set(targets.tolist())) == 1:
        return np.full(len(others), targets[0])
    names = descriptor_names()
    limit = float(np.finfo(np.float32).max)
    known, wanted = (
        # Trees only ask which side of a threshold a value is on: what cannot be computed is one more value.
        np.nan_to_num(np.clip(descriptors(each, names), -limit, limit), nan=0.0)
        for each in (train, others)
    )
    model.fit(known, targets)
    found = model.predict_proba(wanted)[:, 1] if is_label else model.predict(wanted)
    return np.asarray(found, dtype=np.float64)
