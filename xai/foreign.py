"""Explanations that other libraries made, as ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from xai.explanation import Explanation


def from_shap(found: Any) -> Explanation:
    """A `shap.Explanation` as an `Explanation`: for our pictures, reports and metrics.

    Parameters
    ----------
    found : shap.Explanation
        Of one row or several; with a last axis of outputs where `base_values` have one.

    Returns
    -------
    Explanation
        The same numbers. Predictions are base values plus attributions; what shap does not tell
        (the removal, the cost) is "unknown" or 0.

    Examples
    --------
    >>> import shap  # doctest: +SKIP
    >>> theirs = shap.TreeExplainer(forest)(x)  # doctest: +SKIP
    >>> from_shap(theirs).plot("beeswarm", output=1)  # doctest: +SKIP
    """
    values, base = np.array(found.values, float), np.array(found.base_values, float)
    data = None if found.data is None else np.asarray(found.data)
    if values.ndim == 1 or (data is not None and data.ndim == 1):  # a single row
        values, base = values[None], base[None] if base.ndim else base
        data = None if data is None else data[None]
    n, several = len(values), base.ndim == 2
    k = values.shape[-1] if several else 1
    base = np.broadcast_to(base, (n, k) if several else (n,)).copy()
    shape = values.shape[1:-1] if several else values.shape[1:]
    owner = np.arange(int(np.prod(shape))).reshape(shape)
    sums = values.reshape(n, -1, k).sum(axis=1)
    names = _names(found.output_names, k) if several else ["output"]
    features = found.feature_names
    return Explanation(
        values=values, base_values=base, predictions=base + (sums if several else sums[:, 0]),
        std_error=None, evaluations=0, converged=None, interactions=None, info={}, data=data,
        feature_names=[str(j) for j in range(owner.size)] if features is None
        else [str(name) for name in features],
        output_names=names, target=np.tile(np.arange(k), (n, 1)) if several else np.zeros(n, int),
        players="elements", method="shap", removal="unknown", behavior="unknown",
        summary="unknown", seed=0, exact=np.ones(n, bool), runs=np.full(n, ""),
        element_players=np.broadcast_to(owner, (n, *shape)).copy(),
        channel_axis=_channel_axis(shape),
    )  # fmt: skip


def as_explanation(given: Any) -> Explanation:
    """Ours as it is, shap's converted.

    Raises
    ------
    TypeError
        It is neither.
    """
    if isinstance(given, Explanation):
        return given
    if all(hasattr(given, name) for name in ("values", "base_values", "data", "feature_names")):
        return from_shap(given)
    raise TypeError(
        f"expected an Explanation, ours or shap's, not {type(given).__name__}: pass what "
        "xai.explain returned"
    )


def _names(given: Any, k: int) -> list[str]:
    names = [] if given is None or isinstance(given, str) else [str(name) for name in given]
    return names if len(names) == k else [f"output {i}" for i in range(k)]


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """Which axis of a batch of images holds the channels, where it is plain."""
    fits = [axis for axis in (1, 3) if len(shape) == 3 and shape[axis - 1] in (1, 3, 4)]
    return fits[0] if len(fits) == 1 else None
