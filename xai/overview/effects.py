"""What one feature does on average: partial dependence, accumulated local effects.

Both are evaluated by the same game as every explanation, so that they hold for the same models,
targets and behaviors.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from xai.inputs import is_tensor, on_host
from xai.players import column_index
from xai.progress import Progress
from xai.removal import Marginal
from xai.setting import Setting, check_counts, open_setting, refuse_no_list
from xai.tables import cells_of, holds_numbers, is_missing, native_pool
from xai.targets import Target

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Effect:
    """A curve over one feature's values.

    Attributes
    ----------
    kind : "partial dependence" or "accumulated local effects"
    feature, output : str
    grid : (g,) array
        Values of the feature.
    values : (g,) float
        The curve.
    std_error : (g,) float
        Of `centred`, over the rows of `data`.
    base : float
        What the curve is of when nothing is known: the mean prediction for a partial dependence,
        0 for ALE.
    evaluations : int
        Model rows used.
    individual : (m, g) float, or None
        The curve of each row of `data`, of a partial dependence: `values` are their mean.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[0.0, 1.0], [1.0, 3.0]])
    >>> effect = partial_dependence(lambda x: 2 * x[:, 0] + x[:, 1], x, 0)
    >>> effect.grid, effect.centred, effect.evaluations
    (array([0., 1.]), array([-1.,  1.]), 8)
    """

    kind: str
    feature: str
    output: str
    grid: NDArray[Any]
    values: Floats
    std_error: Floats
    base: float
    evaluations: int
    individual: Floats | None = None

    @property
    def centred(self) -> Floats:
        """The curve on the scale of attributions: of an additive model, its Shapley values."""
        return self.values - self.base


def partial_dependence(
    model: Any,
    data: Any,
    feature: int | str,
    *,
    target: Target = "predicted",
    grid: Sequence[Any] | NDArray[Any] | None = None,
    resolution: int = 30,
    behavior: Any = None,
    batch_size: int | None = None,
    feature_names: Sequence[str] | None = None,
    progress: bool | None = None,
) -> Effect:
    """The mean output over `data` as one feature is set to each value of a grid; each row's, too.

    ``PD(v) = E f(v, X_others)``: the value of the coalition of this feature alone, the others
    removed marginally. Equal to scikit-learn's ``partial_dependence(method="brute")``. The rows'
    own curves, which it is the mean of, are `individual` (ICE, or ceteris-paribus profiles).

    Parameters
    ----------
    model, target, behavior, batch_size, feature_names, progress
        As for `xai.explain`; a model with several outputs needs a target that is one of them.
    data : (m, d) table
        The rows averaged over.
    feature
        Column, by index or name.
    grid : (g,) values
        None: of numbers and dates at most `resolution` quantiles of the column, which are values
        in it, of others all values; none missing. Dates with a time zone are told in UTC.

    Raises
    ------
    ValueError
        `data` is no table, there is no such column or no value in it, `grid` is no list of values
        for it, or the model has several outputs and no target that is one of them.

    References
    ----------
    Friedman 2001, Greedy function approximation, eq. 51. Goldstein et al. 2015, Peeking inside the
    black box: individual conditional expectation.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: 2 * x[:, 0] + x[:, 1]
    >>> x = np.array([[0.0, 1.0], [1.0, 3.0]])
    >>> partial_dependence(f, x, 0).values
    array([2., 4.])
    """
    check_counts(resolution=resolution, batch_size=batch_size)
    column = _column(data, feature, feature_names)
    values = _grid(column, resolution) if grid is None else _given(grid, column)
    rows = _with_values(data, column, np.zeros(len(values), np.intp), values)
    players = (np.arange(_width(data)) != column.place).astype(int) if _width(data) > 1 else None
    m, bar = len(column.cells), Progress(progress, f"partial dependence of {column.name}")
    bar.expect(len(values) + (len(values) + 1) * m)
    with closing(bar), open_setting(
        model, rows, "shapley", data=data, target=target, behavior=behavior, players=players,
        removal=Marginal(), batch_size=batch_size, bar=bar,
    ) as setting:  # fmt: skip
        output = _one_output(setting, target)
        ((_, game),) = setting.games(batch_size, bar=bar)
        kept = np.zeros((len(values) * m, game.n_players), bool)
        kept[:, 0] = True
        every = np.arange(m)
        at = np.repeat(np.arange(len(values)), m)
        samples = game.sample(at, kept, np.tile(every, len(values)))
        empty = game.sample(np.zeros(m, np.intp), np.zeros((m, game.n_players), bool), every)
        spent = game.evaluations + len(values)  # with the predictions of the grid's rows
    curve = samples[:, 0].reshape(len(values), m)
    change = curve - empty[:, 0]
    error = change.std(axis=1, ddof=1) / np.sqrt(m) if m > 1 else np.full(len(values), np.nan)
    base = float(empty.mean())
    return Effect(
        "partial dependence", column.name, output, values, curve.mean(axis=1), error, base, spent,
        curve.T,
    )  # fmt: skip


def accumulated_local_effects(
    model: Any,
    data: Any,
    feature: int | str,
    *,
    target: Target = "predicted",
    bins: int = 20,
    behavior: Any = None,
    batch_size: int | None = None,
    feature_names: Sequence[str] | None = None,
    progress: bool | None = None,
) -> Effect:
    """The output's mean change along one feature, among rows that have about this value: ALE.

    Between neighbouring edges ``z_{k-1} < z_k`` (quantiles of the column), the mean over the rows
    in between of ``f(z_k, x_others) − f(z_{k-1}, x_others)``, accumulated, and centred over the
    rows, each at the middle of its stretch, as in the authors' ALEPlot. Unlike a partial
    dependence it asks for no values far from the data.

    Parameters
    ----------
    model, data, feature, target, behavior, batch_size, feature_names, progress
        As for `partial_dependence`; the column must hold numbers or dates. Rows that lack one are
        left out.
    bins
        At most so many stretches between edges.

    Raises
    ------
    ValueError
        As `partial_dependence`; the column holds no numbers or dates, or only one.

    References
    ----------
    Apley & Zhu 2020, Visualizing the effects of predictor variables, eq. 15 and 16.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: 2 * x[:, 0] + x[:, 1]
    >>> x = np.array([[0.0, 1.0], [1.0, 3.0], [2.0, 7.0]])
    >>> accumulated_local_effects(f, x, 0).values.round(2)
    array([-1.67,  0.33,  2.33])
    """
    check_counts(bins=bins, batch_size=batch_size)
    column = _column(data, feature, feature_names)
    if column.cells.dtype.kind not in "fiubM":
        raise ValueError(
            f"{column.name!r} holds no numbers or dates: its values have no order to accumulate "
            "along (partial_dependence needs none)"
        )
    at = column.present()
    known, n = column.cells[at], len(at)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1), method="inverted_cdf"))
    if len(edges) < 2:
        raise ValueError(
            f"{column.name!r} has the same value in every row: it has no effect to show"
        )
    place = np.clip(np.searchsorted(edges, known, side="left"), 1, len(edges) - 1)
    change, output = np.zeros(n), ""
    with closing(Progress(progress, f"accumulated local effects of {column.name}")) as bar:
        bar.expect(2 * n)
        for ends, sign in ((place, 1), (place - 1, -1)):
            rows = _with_values(data, column, at, edges[ends])
            with open_setting(
                model, rows, "shapley", target=target, behavior=behavior, removal=_nothing_removed,
                batch_size=batch_size, players=np.zeros(_width(data), int), bar=bar,
            ) as setting:  # fmt: skip
                output = _one_output(setting, target)
                ((_, game),) = setting.games(batch_size, bar=bar)
                change += sign * game.value(np.arange(n), np.ones((n, 1), bool))[:, 0]
    counts = np.bincount(place, minlength=len(edges))[1:]
    mean = np.bincount(place, change, len(edges))[1:] / counts
    spread = np.bincount(place, (change - mean[place - 1]) ** 2, len(edges))[1:]
    curve = np.append(0.0, np.cumsum(mean))
    # of all rows, the share beyond each stretch, and half of the share inside it
    weight = (np.cumsum(counts[::-1])[::-1] - counts / 2) / n
    centre = float(weight @ mean)
    reached = np.arange(len(edges))[:, None] > np.arange(len(mean))
    middle = (curve[:-1] + curve[1:]) / 2
    # other rows would change the steps, and lie elsewhere along them: another centre
    variance = (reached - weight) ** 2 @ _variances(spread, counts)
    variance += middle[place - 1].var(ddof=1) / n
    return Effect(
        "accumulated local effects", column.name, output, edges, curve - centre, np.sqrt(variance),
        0.0, 2 * n,
    )  # fmt: skip


def _variances(spread: NDArray[Any], counts: NDArray[Any]) -> Floats:
    """Of each stretch's mean change; a single row's is taken from all stretches together."""
    free = int((counts - 1).sum())
    pooled = spread.sum() / free if free else np.nan
    own = np.where(counts > 1, spread / np.maximum(counts - 1, 1), pooled)
    return np.asarray(own / counts)


def _one_output(setting: Setting, target: Target) -> str:
    """The name of the output that all rows have."""
    index = setting.resolved.index
    free = isinstance(target, str) and target == "predicted" and setting.outputs.shape[1] > 1
    if free or setting.resolved.axis or (index != index[0]).any():
        raise ValueError(
            f"an effect is of one output: pass target=an index below {setting.outputs.shape[1]}, "
            "or a label"
        )
    return str(setting.values.names[int(index[0, 0])])


def _nothing_removed(x: Any, kept: Any) -> Any:
    """Whole rows are all that is asked for."""
    return x


# ---------------------------------------------------------------------------------------------
# Tables of any make


def _width(data: Any) -> int:
    shape = tuple(getattr(data, "shape", ()))
    if len(shape) != 2:
        raise ValueError(f"data must be a table (m, d), not of shape {shape}")
    return int(shape[1])


class _Column(NamedTuple):
    """A table's column: its place, its name, its values."""

    place: int
    name: str
    cells: NDArray[Any]

    @property
    def of_numbers(self) -> bool:
        """Whether its values are numbers."""
        return self.cells.dtype.kind in "fiub"

    def present(self) -> NDArray[np.intp]:
        """Rows whose value is not missing."""
        cells = self.cells
        missing = cells != cells if self.of_numbers else [is_missing(value) for value in cells]
        present = np.flatnonzero(~np.asarray(missing, bool))
        if len(present) == 0:
            raise ValueError(f"{self.name!r} has no value in any row")
        return present


def _column(data: Any, feature: int | str, names: Sequence[str] | None) -> _Column:
    d = _width(data)
    if names is not None:
        refuse_no_list("feature_names", names)
        if len(names) != d:
            raise ValueError(f"feature_names has {len(names)} names for {d} columns")
    known = list(map(str, getattr(data, "columns", range(d)) if names is None else names))
    j = column_index(feature, known)
    if hasattr(data, "columns"):
        own = nw.from_native(data, eager_only=True)[:, j]
        if isinstance(own.dtype, nw.Datetime) and own.dtype.time_zone is not None:
            own = own.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return _Column(j, known[j], cells_of(own.to_native()))
    cells = data.tocsr()[:, [j]].toarray()[:, 0] if hasattr(data, "tocsr") else data[:, j]
    name = f"feature {j}" if names is None else known[j]
    return _Column(j, name, np.asarray(on_host(cells)))


def _given(grid: Any, column: _Column) -> NDArray[Any]:
    """Values to set a column to, of its kind."""
    values = np.asarray(on_host(grid))
    of_kind = values.dtype.kind in "fiub" or not column.of_numbers
    if values.ndim != 1 or len(values) == 0 or not of_kind:
        kind = "numbers" if column.of_numbers else "values"
        raise ValueError(f"grid={grid!r}: expected a list of {kind}, for {column.name!r}")
    return values


def _grid(column: _Column, resolution: int) -> NDArray[Any]:
    """All values that occur, or so many quantiles where they have an order."""
    present = column.cells[column.present()]
    kinds = np.unique(present)
    if len(kinds) <= resolution or present.dtype.kind not in "fiuM":
        return kinds
    return np.unique(np.quantile(present, np.linspace(0, 1, resolution), method="inverted_cdf"))


def _with_values(data: Any, column: _Column, rows: NDArray[np.intp], values: NDArray[Any]) -> Any:
    """Copies of these rows with other values in one column.

    Values that occur in the column are taken from there, so that dtypes and categories stay.
    """
    j, at = column.place, column.present()
    kinds, first = np.unique(column.cells[at], return_index=True)
    known = set(kinds.tolist()) >= set(values.tolist())
    if hasattr(data, "columns"):
        frame = nw.from_native(data, eager_only=True)
        name, own = frame.columns[j], frame[:, j].to_native()
        if known:
            of_values = at[first[np.searchsorted(kinds, values)]]
            new = nw.maybe_reset_index(frame[of_values.tolist()])[:, j]
        elif holds_numbers(own):
            new = nw.new_series(name, values, backend=frame.implementation)
        else:
            pool = native_pool(own, [data], name, list(values))
            new = nw.from_native(pool.values, series_only=True).alias(name)
        return nw.maybe_reset_index(frame[rows.tolist()]).with_columns(new).to_native()
    if is_tensor(data):
        import torch

        copy = data[torch.as_tensor(rows, device=data.device)].clone()
        copy[:, j] = torch.as_tensor(np.array(values), dtype=data.dtype, device=data.device)
        return copy
    if hasattr(data, "tocsr"):
        wide = data.tocsr()[rows].astype(np.result_type(data.dtype, values)).tolil()
        wide[:, j] = values[:, None]
        return wide.tocsr()
    copy = np.array(data[rows])
    copy = copy if known else copy.astype(np.result_type(copy, values))
    copy[:, j] = values
    return copy
