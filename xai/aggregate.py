"""Several explanations as one: their mean, the least complex mixture, or the neighbours'."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xai.archive import as_array, same_rows
from xai.explanation import Explanation
from xai.foreign import converted
from xai.inputs import is_whole, on_host
from xai.least_complexity import PROCEDURES
from xai.suggest import unknown
from xai.tables import amounts_of, matched, row_of_series

Floats: TypeAlias = NDArray[np.floating]
AggregateMethod: TypeAlias = Literal["mean", "least_complexity", "ava"]
METHODS = ("mean", "least_complexity", "ava")


def aggregate(
    explanations: Explanation | Sequence[Explanation],
    method: AggregateMethod = "mean",
    *,
    query: Any = None,
    k: int | None = None,
    weights: ArrayLike | None = None,
    procedure: Literal["descent", "shrinking"] = "descent",
    distance: str | Callable[[Any, Any], float] = "euclidean",
) -> Explanation:
    """Aggregate explanations (Bhatt, Weller & Moura 2020).

    Parameters
    ----------
    explanations : Explanations of the same rows, ours or shap's; for "ava" one of the neighbours
    method : {"mean", "least_complexity", "ava"}
        "mean": ``Σ w_i g_i``, whose expected squared error is never above the members' mean one.
        "least_complexity": for each row the convex combination of least entropy that is found,
        never above that of a member or of the mean. "ava": for each query the neighbours'
        ``Σ_z Φ(z)/ρ(x, z)`` over ``Σ_z 1/ρ(x, z)``, itself the Shapley values of the games'
        mixture where Φ are Shapley values; a neighbour at distance 0 counts alone.
    query : rows like the explained ones, for "ava"
    k : int
        Neighbours of each query; None: all rows.
    weights : (m,) numbers, not negative
        Of the explanations (mean), or of the neighbours besides their distance (ava); they are
        scaled to sum to 1. None: all alike.
    procedure : {"descent", "shrinking"}
        How the least complex combination is looked for: towards single members from each of
        them, or by shrinking their hull.
    distance : a metric of `scipy.spatial.distance.cdist`, or a function of two rows
        Columns of different units want scaling first, or "seuclidean" or "mahalanobis" (by the
        neighbours' spread).

    Returns
    -------
    Explanation
        ``info["weights"]`` (n, m) holds the weights, for "ava" of ``info["neighbours"]`` (n, k);
        "least_complexity" has its own for each of several outputs, (n, m, outputs).
        `base_values` and `predictions` are mixed as `values` are (for "ava" they are not the
        model's at the query), `std_error` is the weighted sum: an upper bound for the mixture
        with these weights, whatever the members have in common. Those of "least_complexity" hang
        on sampled values themselves: with another seed it may be another mixture.
        `evaluations` are all that were spent.

    Raises
    ------
    ValueError
        An unknown `method` or `procedure`, an option of another method, or a distance that is
        negative or NaN.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> import xai
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=500).fit(X, y)
    >>> parts = [xai.explain(model, X[:2], m, data=X[::5]) for m in ("shapley", "occlusion")]
    >>> both = xai.aggregate(parts)
    >>> bool(np.allclose(both.values, (parts[0].values + parts[1].values) / 2))
    True
    """
    if method not in METHODS:
        raise ValueError(unknown("method", method, METHODS))
    if procedure != "descent" and method != "least_complexity":
        raise ValueError(f"procedure= is for method='least_complexity', not {method!r}")
    if method == "ava":
        return _ava(explanations, query, k, weights, distance)
    if not (isinstance(distance, str) and distance == "euclidean"):
        raise ValueError(f"distance= is for method='ava', not {method!r}")
    if query is not None or k is not None:
        raise ValueError(f"query= and k= are for method='ava', not {method!r}")
    members = _members(explanations)
    if method == "mean":
        shares = np.tile(_shares(weights, len(members)), (len(members[0]), 1))
        return _mixture(members, "mean", shares)
    if weights is not None:
        raise ValueError("weights= are what method='least_complexity' looks for")
    if procedure not in PROCEDURES:
        raise ValueError(unknown("procedure", procedure, tuple(PROCEDURES)))
    flat = np.stack([_by_output(e) for e in members], axis=-2)  # (n[, k], m, d)
    G = np.nan_to_num(flat.reshape(-1, *flat.shape[-2:]).astype(np.float64), nan=0.0)
    found = PROCEDURES[procedure](G).reshape(flat.shape[:-1])
    return _mixture(members, "least_complexity", np.moveaxis(found, -1, 1))


def _members(explanations: Any) -> list[Explanation]:
    """Explanations that may be mixed: of the same rows, players and outputs."""
    if isinstance(explanations, Explanation):
        raise TypeError("expected a list of Explanations of the same rows, not one Explanation")
    if isinstance(explanations, Mapping):
        raise TypeError("expected a list of Explanations, not a dict: pass list(….values())")
    if not isinstance(explanations, Iterable):
        raise TypeError(f"expected a list of Explanations, not {explanations!r}")
    members = [converted(e) for e in explanations]
    if not members:
        raise ValueError("there are no explanations to aggregate")
    for i, e in enumerate(members):
        if not isinstance(e, Explanation):
            raise TypeError(f"explanation {i} is a {type(e).__name__}, not an Explanation")
    members = _told(members)
    first = members[0]
    for i, e in enumerate(members):
        if e.values.shape != first.values.shape:
            raise ValueError(
                f"explanation {i} has values {e.values.shape}, the first {first.values.shape}"
            )
        if not np.array_equal(e.target, first.target):
            raise ValueError(
                f"explanation {i} is of other outputs than the first, or does not tell which: "
                "explain with target=an index"
            )
        alike = e.layer == first.layer and (not e.layer or e.players == first.players)
        if not (alike and np.array_equal(e.element_players, first.element_players)):
            raise ValueError(f"explanation {i} has other players than the first")
        mine, theirs = as_array(e.data), as_array(first.data)
        if mine is not None and theirs is not None and not same_rows(mine, theirs):
            raise ValueError(f"explanation {i} is of other rows than the first")
    return members


def _told(members: list[Explanation]) -> list[Explanation]:
    """Where shap does not tell which output it explained: the only one, of a model that has one."""
    sole = any(len(e.output_names) == 1 and e.behavior != "unknown" for e in members)
    return [
        replace(e, target=np.zeros_like(e.target)) if sole and (e.target < 0).all() else e
        for e in members
    ]


def _by_output(e: Explanation) -> Floats:
    """Values (n, d), or (n, k, d) of several outputs."""
    n = len(e)
    if e.base_values.ndim == 2:
        return np.swapaxes(e.values.reshape(n, -1, e.values.shape[-1]), 1, 2)
    return e.values.reshape(n, -1)


def _shares(weights: ArrayLike | None, m: int) -> NDArray[np.float64]:
    w: NDArray[np.float64] = np.ones(m) if weights is None else np.empty(0)
    with suppress(TypeError, ValueError):  # no numbers at all
        w = w if weights is None else np.asarray(on_host(weights), np.float64)
    if w.shape != (m,) or not np.isfinite(w).all() or (w < 0).any() or w.sum() == 0:
        raise ValueError(
            f"weights must be {m} numbers, none negative and not all 0, not {weights!r}"
        )
    return np.asarray(w / w.sum())


def _mixture(members: list[Explanation], name: str, weights: Floats) -> Explanation:
    """Members mixed row by row with weights (n, m[, k])."""

    def mixed(parts: list[Any]) -> Any:
        out: Any = 0.0
        for i, part in enumerate(parts):
            w = weights[:, i]  # (n,) or (n, k), before the axes of players
            w = w.reshape(len(w), *(1,) * (part.ndim - w.ndim), *w.shape[1:])
            out = out + np.where(w == 0, 0.0, w * part)  # what is left out may be NaN
        return out

    errors = [np.zeros_like(e.values) if e.std_error is None else e.std_error for e in members]
    exact = all(e.std_error is None for e in members)
    spent = sum(e.total_evaluations() for e in members)
    return replace(
        members[0],
        values=mixed([e.values for e in members]),
        base_values=mixed([e.base_values for e in members]),
        predictions=mixed([e.predictions for e in members]),
        std_error=None if exact else mixed(errors),
        evaluations=-(-spent // len(members[0])),
        spent=spent,
        converged=None,
        interactions=None,
        info={"weights": weights},
        method=f"{name}({', '.join(e.method for e in members)})",
        removal=_named(members, "removal"),
        behavior=_named(members, "behavior"),
        unit=members[0].unit if len({e.unit for e in members}) == 1 else "",
        summary=_named(members, "summary"),
        exact=np.all([e.exact for e in members], axis=0),
        runs=np.full(len(members[0]), ""),
        recipe=None,
    )


def _named(members: list[Explanation], part: str) -> str:
    """What members are made of, each once."""
    return " | ".join(dict.fromkeys(getattr(e, part) for e in members))


def _ava(
    explanation: Any, query: Any, k: int | None, weights: ArrayLike | None, distance: Any
) -> Explanation:
    """The neighbours' attributions, weighted by closeness."""
    e = _of_neighbours(explanation, query)
    query = _in_order(query, e.data)
    near, share = _neighbours(e, query, k, weights, distance)

    def mixed(part: Floats) -> Floats:
        used = share.reshape(*share.shape, *(1,) * (part.ndim - 1)) > 0
        return np.asarray(np.einsum("qm,qm...->q...", share, np.where(used, part[near], 0.0)))

    return replace(
        e,
        values=mixed(e.values),
        base_values=mixed(e.base_values),
        predictions=mixed(e.predictions),
        std_error=None if e.std_error is None else mixed(e.std_error),
        evaluations=-(-e.total_evaluations() // len(near)),
        spent=e.total_evaluations(),
        converged=None,
        interactions=None,
        info={"weights": share, "neighbours": near},
        data=_batch(query),
        target=np.repeat(e.target[:1], len(near), axis=0),
        element_players=np.repeat(e.element_players[:1], len(near), axis=0),
        method=f"ava({e.method})",
        exact=np.asarray(e.exact[near].all(axis=1)),
        runs=np.full(len(near), ""),
        recipe=None,
    )


def _of_neighbours(explanation: Any, query: Any) -> Explanation:
    """The neighbours' explanation; refused where its rows cannot be mixed."""
    e = converted(explanation)
    if not isinstance(e, Explanation):
        raise TypeError("method='ava' takes one Explanation, of the neighbours")
    if query is None:
        raise ValueError("method='ava' needs query=, the rows to explain by their neighbours")
    if len(e.element_players) != len(e):
        raise ValueError(
            f"{e.method!r} explained a data set as a whole: its values are of no neighbour"
        )
    if (e.target != e.target[0]).any() or (e.element_players != e.element_players[0]).any():
        raise ValueError(
            "the neighbours are explained for different outputs or players, which cannot be "
            "mixed: explain them with target=an index, and with players that all rows have"
        )
    return e


def _neighbours(
    e: Explanation, query: Any, k: int | None, weights: ArrayLike | None, distance: Any
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The k nearest of the explained rows to each row of the query, and their shares, (q, k)."""
    rows, points = _numbers(query, "query"), _numbers(e.data, "the neighbours")
    if rows.shape[1] != points.shape[1]:
        raise ValueError(f"query has {rows.shape[1]} columns, the neighbours {points.shape[1]}")
    m = len(points) if k is None else k
    if not is_whole(m) or not 1 <= m <= len(points):
        raise ValueError(f"k={k!r}: expected a number of neighbours, 1 to {len(points)}")
    near, rho = _nearest(rows, points, int(m), distance)
    return near, _closeness(rho, _shares(weights, len(points))[near])


def _batch(query: Any) -> Any:
    """The query as a batch, safe from later changes."""
    if isinstance(query, list | tuple) or getattr(query, "ndim", 2) == 1:
        return np.atleast_2d(np.array(on_host(query)))
    return query.clone() if hasattr(query, "clone") else query.copy()


def _in_order(query: Any, explained: Any) -> Any:
    """A frame's columns, or a Series' cells, in the order of the explained frame's."""
    if not hasattr(explained, "columns"):
        return query
    if hasattr(query, "to_frame") and hasattr(query, "index"):
        query = row_of_series(query, explained)
    if not hasattr(query, "columns"):
        return query
    return matched(query, list(explained.columns), "query", "the explained rows")


def _numbers(rows: Any, what: str) -> NDArray[np.float64]:
    """Rows as numbers (n, columns)."""
    array = np.array(rows) if isinstance(rows, list | tuple) else as_array(rows)
    if array is not None and array.dtype == object and hasattr(rows, "columns"):
        amounts = amounts_of(rows)
        array = np.column_stack(amounts) if len(amounts) == len(rows.columns) else None
    if array is None or array.dtype.kind not in "biuf":
        raise TypeError(f"method='ava' measures distances: {what} must be rows of numbers")
    if array.size == 0:
        raise ValueError(f"{what} has no rows")
    array = np.asarray(array, np.float64)
    array = array[None] if array.ndim == 1 else array
    if np.isnan(array).any():
        raise ValueError(f"{what}: distances to rows with NaN are undefined")
    return array.reshape(len(array), -1)


def _nearest(
    rows: NDArray[np.float64], points: NDArray[np.float64], k: int, distance: Any
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Places and distances (q, k) of each row's nearest points, nearest first, ties by index."""
    from scipy.spatial.distance import cdist

    spread = _spread(points, distance)
    near, rho = np.empty((len(rows), k), np.intp), np.empty((len(rows), k))
    step = max(1, 2**22 // len(points))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        far = cdist(rows[part], points, distance, **spread)
        wrong = np.argwhere(~(far >= 0))
        if len(wrong):
            row, point = wrong[0]
            raise ValueError(
                f"distance={distance!r} is {far[row, point]} between query row {start + row} and "
                f"neighbour {point} (0-based): expected numbers of at least 0; pass another one"
            )
        near[part] = np.argsort(far, axis=1, kind="stable")[:, :k]
        rho[part] = np.take_along_axis(far, near[part], axis=1)
    return near, rho


def _spread(points: NDArray[np.float64], distance: Any) -> dict[str, Any]:
    """What scaled distances are scaled by: of the neighbours alone, whatever else is asked."""
    name = distance.lower() if isinstance(distance, str) else ""
    if name in ("seuclidean", "se", "s"):
        variance = points.var(axis=0, ddof=int(len(points) > 1))
        return {"V": np.where(variance > 0, variance, 1.0)}
    if name in ("mahalanobis", "mahal", "mah"):
        return {"VI": np.linalg.pinv(np.atleast_2d(np.cov(points, rowvar=False, ddof=0)))}
    return {}


def _closeness(rho: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares ∝ weight/ρ of what has a weight; where some of these ρ are 0, these alone."""
    rho = np.where(weight > 0, rho, np.inf)
    nearest = rho.min(axis=1, keepdims=True)
    lost = np.flatnonzero(np.isinf(nearest))
    if len(lost):
        if weight[lost[0]].any():
            raise ValueError(f"query row {lost[0]} (0-based) is infinitely far from all neighbours")
        raise ValueError(f"all neighbours of query row {lost[0]} (0-based) have weight 0")
    here = rho == 0
    # in units of the nearest, so that no quotient overflows
    raw = weight * np.where(here, 1.0, nearest / np.where(here, 1.0, rho))
    return np.asarray(raw / raw.sum(axis=1, keepdims=True))
