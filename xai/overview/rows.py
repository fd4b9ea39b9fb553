"""Many rows' explanations together: importance, cohorts, and a few rows that stand for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xai.archive import require
from xai.foreign import as_explanation
from xai.inputs import is_whole, on_host
from xai.plots.many import Many, read_many

if TYPE_CHECKING:
    import pandas

    from xai.explanation import Explanation

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Importance:
    """Global importance of d players.

    Attributes
    ----------
    names : list of str
    values : (d,) float
        Mean |attribution|.
    std_error : (d,) float
        Of the mean, over rows; NaN for a single row. Of the error of sampled values it knows what
        differs between rows: these share samples, and sizes of errors do not cancel. Mean
        |attribution| is further off by up to the mean of the explanation's own `std_error`.
    rows : int

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> e = xai.explain(f, np.eye(2), "exact_shapley", data=np.zeros((1, 2)))
    >>> found = importance(e)
    >>> found.names, found.values, found.rows
    (['feature 0', 'feature 1'], array([0.5, 1.5]), 2)
    """

    names: list[str]
    values: Floats
    std_error: Floats
    rows: int

    def to_frame(self) -> pandas.DataFrame:
        """A pandas table, the largest on top."""
        columns = {"feature": self.names, "importance": self.values, "std_error": self.std_error}
        order = np.argsort(-self.values, kind="stable")
        return require("pandas", "pandas").DataFrame(columns).iloc[order].reset_index(drop=True)


def importance(explanation: Explanation, output: int | str | None = None) -> Importance:
    """Global importance from local explanations: each player's mean |attribution|.

    Of texts each word's, where it adds up to 0 in a text that does not have it.

    Parameters
    ----------
    explanation
        Of many rows, ours or shap's.
    output
        As in `xai.plots.plot`.

    Raises
    ------
    ValueError
        Rows have different players, or several outputs and none is chosen.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x @ np.array([1.0, -3.0])
    >>> x = np.array([[1.0, 1.0], [-3.0, 0.0]])
    >>> importance(xai.explain(f, x, "exact_shapley", data=np.zeros((1, 2)))).values
    array([2. , 1.5])
    """
    many = read_many(explanation, output)
    sizes, n = np.abs(many.values), len(many)
    spread = sizes.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(sizes.shape[1], np.nan)
    return Importance(many.names, sizes.mean(axis=0), spread, n)


def submodular_pick(
    explanation: Explanation,
    count: int = 5,
    output: int | str | None = None,
    *,
    max_features: int = 10,
) -> NDArray[np.intp]:
    """A few rows whose explanations together show as much of the model as they can: SP-LIME.

    Each row shows the `max_features` players of its largest attributions; the rows chosen, one
    after the other, add most to ``c(V) = Σ_j 1[some row in V shows j] I_j`` with
    ``I_j = √(Σ_i |W_ij|)``. Once all players are shown, a new round starts among the other rows.

    Parameters
    ----------
    explanation
        Of many rows with the same players, ours or shap's.
    count
        How many rows, at most as many as there are.
    output
        As in `xai.plots.plot`.
    max_features
        So many players a row shows, 0 attributions never.

    Returns
    -------
    (count,) int array
        Indices of rows, in the order they were picked: ``explanation[picked]``.

    Raises
    ------
    ValueError
        `count` is not from 1 to the number of rows, or `max_features` below 1.

    References
    ----------
    Ribeiro, Singh & Guestrin 2016, Why should I trust you?, Algorithm 2.

    Examples
    --------
    >>> import numpy as np, xai
    >>> x = np.array([[1.0, 0, 0], [1.0, 1.0, 0], [0, 0, 1.0]])
    >>> f = lambda x: x.sum(axis=1)
    >>> submodular_pick(xai.explain(f, x, "exact_shapley", data=np.zeros((1, 3))), 2)
    array([1, 2])
    """
    W = np.abs(np.nan_to_num(read_many(explanation, output).values))
    n, d = W.shape
    if not (is_whole(count) and 1 <= count <= n):
        raise ValueError(f"count={count!r}: pick 1 to {n} rows, as many as are explained")
    if not (is_whole(max_features) and max_features >= 1):
        raise ValueError(f"max_features={max_features!r}: a row shows at least one feature")
    np.put_along_axis(W, np.argsort(-W, axis=1, kind="stable")[:, max_features:], 0.0, axis=1)
    importances = np.sqrt(W.sum(axis=0))
    shown, covered, picked = W > 0, np.zeros(d, bool), np.empty(0, np.intp)
    while len(picked) < count:
        gain = (shown & ~covered) @ importances
        gain[picked] = -1
        if gain.max() <= 0 and covered.any():
            covered[:] = False
            continue
        picked = np.append(picked, np.argmax(gain))
        covered |= shown[picked[-1]]
    return picked


def cohorts(
    explanation: Explanation,
    by: int | str | Sequence[Any] | NDArray[Any],
    output: int | str | None = None,
) -> dict[str, Explanation]:
    """Explanations of groups of rows, by name: `xai.plots.global_bar` draws them side by side.

    Parameters
    ----------
    explanation
        Of many rows, ours or shap's.
    by
        A label for each row; the name of a feature, which splits the rows at its median (below its
        largest value), or into its categories; or a number of groups that a regression tree finds
        in the explained rows, each of which is explained as alike as can be.
    output
        As in `xai.plots.plot`: what the tree looks at.

    Raises
    ------
    TypeError
        `by` is a bool, or nothing that divides rows.
    ValueError
        Labels of another number than rows, a feature that is no column, or a number of
        groups that cannot be had.

    Examples
    --------
    >>> import numpy as np, xai
    >>> x = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 1.0], [4.0, 1.0]])
    >>> e = xai.explain(lambda x: 9 * x[:, 1], x, "exact_shapley", data=x)
    >>> {name: len(part) for name, part in cohorts(e, by=2).items()}
    {'feature 1 <= 0.5': 2, 'feature 1 > 0.5': 2}
    """
    ours = as_explanation(explanation)
    if isinstance(by, bool):
        raise TypeError("by: expected labels, a feature or a number of groups, not a bool")
    if isinstance(by, int | np.integer):
        labels = _by_tree(read_many(ours, output), int(by))
    elif isinstance(by, str):
        labels = _by_feature(read_many(ours, output), by)
    elif isinstance(by, Iterable):
        labels = [str(label) for label in on_host(by)]
    else:
        raise TypeError(f"by={by!r}: expected labels, a feature or a number of groups")
    if len(labels) != len(ours):
        raise ValueError(f"by has {len(labels)} labels for {len(ours)} rows")
    groups = np.array(labels, object)
    return {name: ours[np.flatnonzero(groups == name)] for name in dict.fromkeys(sorted(labels))}


def _by_feature(many: Many, feature: str) -> list[str]:
    player = many.player(feature)
    column, kinds = many.column(player)
    if kinds:
        return [f"{feature} = {kinds[int(code)]}" for code in column]
    if np.isnan(column).all():
        raise ValueError(
            f"{feature!r} is not one column of a table, or one that is missing in every row: pass "
            "a label for each row"
        )
    known = np.unique(column[~np.isnan(column)])
    middle = float(np.nanmedian(column))
    if middle == known[-1] > known[0]:  # no row lies above: as of a flag that most rows have
        middle = float(known[-2])
    cut = _cut(column, middle, dates=player in many.days)
    return [
        f"{feature} missing" if np.isnan(value) else f"{feature} {'<=' if low else '>'} {cut}"
        for value, low in zip(column, column <= middle, strict=True)
    ]


def _cut(column: Floats, value: float, *, dates: bool) -> str:
    """Where a column is split, in so few digits, from four, that the split stays what it is.

    Of dates, which are days since 1970: to the day, the minute or what there is.
    """
    if dates:
        start, day = np.datetime64(0, "us"), np.timedelta64(1, "D")
        moment = start + np.timedelta64(round(value * 86_400_000_000), "us")
        units = [moment.astype(f"M8[{unit}]") for unit in ("D", "m", "us")]
        bounds = {str(at): float((at - start) / day) for at in units}
    else:
        texts = [f"{value:.{digits}g}" for digits in range(4, 18)]
        bounds = {text: float(text) for text in texts}
    same = (text for text, to in bounds.items() if ((column <= to) == (column <= value)).all())
    return next(same, list(bounds)[-1])


def _by_tree(many: Many, count: int) -> list[str]:
    """The leaf of each row in a tree of `count` leaves from the rows to their attributions."""
    from sklearn.tree import DecisionTreeRegressor

    if not 2 <= count <= len(many):
        raise ValueError(f"by={count}: expected 2 to {len(many)} groups")
    every = np.stack([many.column(j)[0] for j in range(len(many.names))], axis=1)
    columns = np.flatnonzero(~np.isnan(every).any(axis=0)).tolist()
    if not len(columns):
        raise ValueError("no feature is a column without gaps: pass a label for each row")
    x = every[:, columns]
    tree = DecisionTreeRegressor(
        max_leaf_nodes=count, min_samples_leaf=max(1, len(many) // 20), random_state=0
    ).fit(x, np.nan_to_num(many.values))
    named = [_Named(many.names[j], many.column(j)[1], j in many.days) for j in columns]
    rules = _rules(tree.tree_, named, x)
    return [rules[leaf] for leaf in tree.apply(x)]


class _Named(NamedTuple):
    """A column's name, the categories behind its codes, and whether its numbers are dates."""

    name: str
    kinds: list[str]
    dates: bool


def _rules(tree: Any, columns: list[_Named], x: Floats) -> dict[int, str]:
    """What leads to each leaf: the tightest bounds on a column of x, or its categories left."""
    found: dict[int, str] = {}

    def rule(j: int, sign: str, bounds: dict[tuple[int, str], float]) -> str:
        name, kinds, dates = columns[j]
        if not kinds:
            return f"{name} {sign} {_cut(x[:, j], bounds[j, sign], dates=dates)}"
        low, high = bounds.get((j, ">"), -1), bounds.get((j, "<="), len(kinds))
        return f"{name} = {' or '.join(k for code, k in enumerate(kinds) if low < code <= high)}"

    def descend(node: int, bounds: dict[tuple[int, str], float]) -> None:
        feature, cut = int(tree.feature[node]), float(tree.threshold[node])
        if tree.children_left[node] < 0:
            parts = [rule(j, sign, bounds) for j, sign in bounds]
            found[node] = ", ".join(dict.fromkeys(parts)) or "all rows"
            return
        descend(int(tree.children_left[node]), bounds | {(feature, "<="): cut})
        descend(int(tree.children_right[node]), bounds | {(feature, ">"): cut})

    descend(0, {})
    return found
