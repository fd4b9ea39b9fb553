"""Linear models: a player's value is what its columns add, against their mean over the draws."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from xai.exact.base import Additive, Floats, Part, Terms, outputs_of
from xai.model import is_a

_REGRESSORS = ("LinearModel", "SGDRegressor", "LinearSVR", "SVR", "NuSVR")
_CLASSIFIERS = ("LinearClassifierMixin", "SVC", "NuSVC")
_SIGMOID = ("LogisticRegression", "SGDClassifier", "LinearDiscriminantAnalysis")
"""Whose probabilities are the sigmoid (softmax) of their margin."""


def read_linear(estimator: Any, scale: str, asked: str, n_outputs: int) -> Additive | None:
    """A linear model as an additive one; None where it is none, or not on the scale asked for."""
    classifies = scale in ("probability", "score")
    if not is_a(estimator, *(_CLASSIFIERS if classifies else _REGRESSORS)):
        return None
    if getattr(estimator, "kernel", "linear") != "linear":
        return None
    if scale == "probability" and not is_a(estimator, *_SIGMOID):
        return None
    coef = estimator.coef_
    coef = np.atleast_2d(coef.toarray() if sparse.issparse(coef) else coef).astype(np.float64)
    intercept = np.ravel(estimator.intercept_).astype(np.float64)
    outputs = outputs_of(scale, asked, len(coef), n_outputs, margin=True)
    if outputs is None:
        return None
    terms = partial(_terms, coef, np.broadcast_to(intercept, len(coef)))
    return Additive("a linear model", *outputs, terms)


def _terms(coef: Floats, intercept: Floats, part: Part) -> Terms:
    """phi_i = Σ_{j owned by i} coef_j (x_j − mean_b b_j), by any semivalue; no interactions.

    Parameters
    ----------
    coef : (outputs, columns), intercept : (outputs,)
    """
    (n, k), terms = part.places.shape[:2], Terms.empty(part)
    own = (
        part.weights * (part.x @ coef.T + intercept)[np.arange(n)[:, None, None], part.places]
    ).sum(axis=2)
    # one more player, the last, owns what is never removed
    phi = np.zeros((n, part.n_players + 1, k))
    change = _dense(part.x) - _means(part)
    owner = np.broadcast_to(part.owner, change.shape)
    for o in range(k):
        slopes = sum(
            part.weights[:, o, s, None] * coef[part.places[:, o, s]]
            for s in range(part.places.shape[2])
        )
        np.add.at(phi[:, :, o], (np.arange(n)[:, None], owner), slopes * change)
    terms.values[:] = phi[:, :-1]
    terms.ends[:] = own - terms.values.sum(axis=1), own
    return terms


def _means(part: Part) -> Floats:
    """Mean replacement of each row's columns, (n or 1, columns); exact where all are equal."""
    index = part.index
    if (index == index[:1]).all():
        index = index[:1]
    if len(index) == 1:
        rows = part.data[index[0]]
        first = _dense(rows[:1])
        if sparse.issparse(rows):
            return np.asarray(rows.mean(axis=0)).reshape(1, -1) if rows.shape[0] > 1 else first
        return np.asarray(first + (rows - first).mean(axis=0))
    first = _dense(part.data[index[:, 0]])
    total = np.zeros_like(first)
    for draw in range(1, index.shape[1]):
        total += _dense(part.data[index[:, draw]]) - first
    return np.asarray(first + total / index.shape[1])


def _dense(rows: Any) -> Floats:
    return np.asarray(rows.toarray() if sparse.issparse(rows) else rows, np.float64)
