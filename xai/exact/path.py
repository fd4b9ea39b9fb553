"""From the model as given to the estimator that predicts: searches, pipelines, column by column.

Every step must keep columns apart, so that each transformed column still belongs to one player.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from xai.exact.base import Indices
from xai.inputs import Inputs
from xai.model import is_a, wrapped

_ONE_TO_ONE = (
    "StandardScaler",
    "MinMaxScaler",
    "MaxAbsScaler",
    "RobustScaler",
    "PowerTransformer",
    "QuantileTransformer",
    "Binarizer",
    "OrdinalEncoder",
)
"""Transformers whose column j is a function of column j."""
_WRAPPERS = ("BaseSearchCV", "FrozenEstimator", "BaseThresholdClassifier")
"""Estimators that hand on the scores of another."""


@dataclass(frozen=True, eq=False)
class Way:
    """The estimator that predicts, and how rows reach it.

    Attributes
    ----------
    last : fitted estimator
    transform : what the model takes -> (B, columns) array or sparse matrix
    sources : (columns,) the column of x that each transformed column comes from
    """

    last: Any
    transform: Callable[[Any], Any]
    sources: Indices


def follow(model: Any, raw: Any, inputs: Inputs) -> Way | None:
    """Find the estimator that predicts; None where a step mixes columns, or is not known.

    Parameters
    ----------
    raw : one row as the model takes it
    """
    if isinstance(raw, list):  # texts
        return None
    sources: Indices = np.arange(raw.shape[1])
    if inputs.names is not None and hasattr(raw, "columns"):
        places = {name: j for j, name in enumerate(inputs.names)}
        sources = np.array([places.get(str(name), -1) for name in raw.columns])
        if (sources < 0).any():
            return None
    steps: list[Any] = []
    last = model
    while is_a(last, "Pipeline", *_WRAPPERS):
        if is_a(last, "Pipeline"):
            steps += [step for _, step in last.steps[:-1] if not _passes(step)]
            last = last.steps[-1][1]
        else:
            last = wrapped(last)
    if is_a(last, "BaseHistGradientBoosting") and getattr(last, "_preprocessor", None) is not None:
        steps.append(last._preprocessor)
    traced = _through(steps, len(sources))
    if traced is None:
        return None

    def transform(rows: Any) -> Any:
        for step in steps:
            rows = step.transform(rows)
        return as_matrix(rows)

    return Way(last, transform, sources[traced])


def as_matrix(rows: Any) -> Any:
    """Rows as a float array, or as a sparse matrix."""
    if sparse.issparse(rows):
        return sparse.csr_array(rows)
    if hasattr(rows, "iloc"):  # pandas' missing numbers are no floats
        return np.asarray(rows.to_numpy(np.float64, na_value=np.nan))
    return np.asarray(rows, np.float64)


def trace(step: Any, n_columns: int) -> Indices | None:
    """The input column of each output column of a fitted transformer; None where it mixes them."""
    every = np.arange(n_columns)
    if _passes(step):
        return every
    if not type(step).__module__.startswith("sklearn."):
        return None  # a subclass may mix columns, which no check of the game's ends would show
    if is_a(step, *_ONE_TO_ONE):
        return every
    if is_a(step, "FunctionTransformer") and step.func is None:
        return every
    if is_a(step, "SimpleImputer"):
        return None if step.add_indicator else _imputed(step)
    if is_a(step, "SelectorMixin"):
        return np.asarray(step.get_support(indices=True))
    if is_a(step, "OneHotEncoder"):
        widths = getattr(step, "_n_features_outs", None)
        return None if widths is None else np.repeat(every, widths)
    if is_a(step, "KBinsDiscretizer"):
        return every if step.encode == "ordinal" else np.repeat(every, step.n_bins_)
    if is_a(step, "SplineTransformer"):
        return np.repeat(every, step.n_features_out_ // n_columns)
    if is_a(step, "Pipeline"):
        return _through([part for _, part in step.steps], n_columns)
    if is_a(step, "ColumnTransformer"):
        return _by_columns(step)
    return None


def _passes(step: Any) -> bool:
    """Whether rows to predict go by a step: samplers see those alone that they are fitted to."""
    return (
        step is None
        or hasattr(step, "fit_resample")
        or (isinstance(step, str) and step == "passthrough")
    )


def _imputed(step: Any) -> Indices:
    """A simple imputer leaves out columns that were empty when it was fitted."""
    statistics = step.statistics_
    if step.keep_empty_features:
        return np.arange(len(statistics))
    empty = np.array([isinstance(s, float) and np.isnan(s) for s in statistics])
    return np.flatnonzero(~empty)


def _through(steps: list[Any], n_columns: int) -> Indices | None:
    sources: Indices = np.arange(n_columns)
    for step in steps:
        traced = trace(step, len(sources))
        if traced is None:
            return None
        sources = sources[traced]
    return sources


def _by_columns(step: Any) -> Indices | None:
    """A ColumnTransformer's outputs, in the order in which it puts them side by side."""
    taken = getattr(step, "_transformer_to_input_indices", None)
    if taken is None:
        return None
    parts: dict[int, Indices] = {}
    for name, part, _ in step.transformers_:
        place = step.output_indices_[name]
        if place.start == place.stop:
            continue
        own = np.asarray(taken[name])
        traced = _checked_values(part, len(own))
        if traced is None or len(traced) != place.stop - place.start:
            return None
        parts[place.start] = own[traced]
    return np.concatenate([parts[start] for start in sorted(parts)])


def _checked_values(part: Any, n_columns: int) -> Indices | None:
    """As `trace`; the check of values that HistGradientBoosting puts first changes none."""
    checks = is_a(part, "FunctionTransformer") and getattr(part.func, "func", None) is not None
    if checks and part.func.func.__module__ == "sklearn.utils.validation":
        return np.arange(n_columns)
    return trace(part, n_columns)
