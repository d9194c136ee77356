"""Baselines of molecules: the nearest neighbour by fingerprints, and trees and kernel regression on descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from heedful.compare.baseline import Numbers, by_column
from heedful.models.kernel_regression import KernelConfig, KernelRegression


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


@by_column
def kernel(
    train: Sequence[Any], others: Sequence[Any], targets: Numbers, is_label: bool, seed: int
) -> Numbers:
    """Solve kernel ridge regression on RDKit's descriptors, scaled as for a network; of labels, on 0 and 1."""
    from heedful.data.molecules.descriptors import ScaledDescriptors

    scaled = ScaledDescriptors.fit(train)
    known, wanted = scaled(train).astype(np.float64), scaled(others)
    mean, scale = targets.mean(), targets.std() or 1.0
    regression = KernelRegression(KernelConfig(), known.shape[1], 1)
    regression.fit(known, ((targets - mean) / scale)[:, None], seed)
    found = regression(torch.from_numpy(wanted))[:, 0].double().numpy() * scale + mean
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
