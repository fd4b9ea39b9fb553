"""XGBoost, LightGBM and CatBoost: their trees as shap reads them, where shap is installed."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xai.exact.base import Additive, Part, Terms, outputs_of
from xai.exact.trees import join_trees
from xai.kernels.tree_shapley import NODE

_DTYPES: dict[str, type[np.floating[Any]]] = {
    "xgboost": np.float32,
    "lightgbm": np.float64,
    "catboost": np.float32,
}
"""What each library casts x to before it compares."""


def read_boosters(estimator: Any, scale: str, asked: str, n_outputs: int) -> Additive | None:
    """A booster as an additive model; None where it is none, or shap cannot read it."""
    modules = (cls.__module__.split(".")[0] for cls in type(estimator).__mro__)
    library = next((module for module in modules if module in _DTYPES), None)
    if library is None or find_spec("shap") is None or _takes_numbers_as_gaps(estimator):
        return None
    read = _read(estimator)
    if read is None or _splits_by_category(read):
        return None
    nodes, values = [], []
    for left, right, missing, column, threshold, value in zip(
        read.children_left,
        read.children_right,
        read.children_default,
        read.features,
        read.thresholds,
        read.values,
        strict=True,
    ):
        tree = np.zeros(len(left), NODE)
        tree["left"], tree["right"], tree["bits"] = left, right, -1
        tree["column"], tree["threshold"] = np.where(left < 0, -1, column), threshold
        tree["missing_left"] = missing == left
        nodes.append(tree)
        values.append(value)
    constant = np.broadcast_to(np.ravel(read.base_offset), values[0].shape[1]).astype(np.float64)
    outputs = outputs_of(scale, asked, len(constant), n_outputs, margin=True)
    if outputs is None:
        return None
    every = np.full(len(nodes), -1)
    forest = join_trees(nodes, values, every, int(read.max_depth), constant, _DTYPES[library])

    def terms(part: Part) -> Terms:
        found = forest.terms(part)
        if library == "xgboost" and sparse.issparse(part.x):
            found.ends[:] = np.nan  # what a sparse row leaves out is a gap to it, and no 0
        elif library != "xgboost":
            gaps = _have_gaps(part.x) | _have_gaps(part.data)[part.index].any(axis=1)
            found.ends[:, gaps] = np.nan  # gaps go by more than shap reads: these are sampled
        return found

    # shap 0.51 drops CatBoost's constant, and reads one of xgboost 3's where it has one per class
    return Additive("trees", *outputs, terms, offset_known=False)


def _takes_numbers_as_gaps(estimator: Any) -> bool:
    booster = getattr(estimator, "booster_", None)  # LightGBM's
    if booster is not None:
        return "'missing_type': 'Zero'" in str(booster.dump_model())
    missing = getattr(estimator, "missing", None)  # XGBoost's
    return missing is not None and not np.isnan(missing)


def _splits_by_category(read: Any) -> bool:
    """Whether some columns are categories: shap gives thresholds of their splits that are none.

    Where the ends never come to such a split, but coalitions do, no check would show it.
    """
    known = getattr(read, "cat_feature_indices", None)  # XGBoost's and CatBoost's; no columns: None
    kinds = getattr(read, "threshold_types", 0)  # LightGBM's
    return (known is not None and len(known) > 0) or bool(np.any(np.asarray(kinds) > 0))


def _have_gaps(rows: Any) -> NDArray[np.bool_]:
    """Which rows hold a NaN."""
    if not sparse.issparse(rows):
        return np.asarray(np.isnan(rows).any(axis=1))
    entries = rows.tocoo()
    out = np.zeros(rows.shape[0], bool)
    out[entries.row[np.isnan(entries.data)]] = True
    return out


def _read(estimator: Any) -> Any:
    """The trees, as arrays of shap's; None for those that it refuses (leaves of vectors, …)."""
    refusals = (AssertionError, AttributeError, IndexError, KeyError, NotImplementedError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on how shap's own explainer would treat them
        import shap

        try:
            read = shap.TreeExplainer(estimator).model
        except (*refusals, TypeError, ValueError):
            return None
    complete = all(hasattr(read, name) for name in ("children_left", "values", "base_offset"))
    return read if complete else None
