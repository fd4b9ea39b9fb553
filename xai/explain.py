"""The front door: `explain(model, x, method=…)`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from xai import summary as summaries
from xai.explanation import Explanation
from xai.game import DatasetGame, Game
from xai.inputs import Inputs, dense, is_tensor
from xai.methods import Method
from xai.progress import Progress
from xai.setting import Setting, check_counts, names_columns, open_setting
from xai.streams import as_seed
from xai.summary.base import Attribution, Budget, BudgetError
from xai.targets import Target


def explain(
    model: Any,
    x: Any,
    method: str | Method = "auto",
    *,
    target: Target = "predicted",
    y: ArrayLike | None = None,
    data: Any = None,
    players: Any = None,
    removal: Any = None,
    behavior: Any = None,
    summary: Any = None,
    budget: int | None = None,
    tolerance: float | None = None,
    batch_size: int | None = None,
    n_jobs: int | None = None,
    seed: int | np.random.Generator = 0,
    progress: bool | None = None,
    feature_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    categorical: Sequence[str | int] | None = None,
    **options: Any,
) -> Explanation:
    """Explain a model's outputs on the rows of `x` by removing features.

    Parameters
    ----------
    model : fitted estimator, Pipeline, torch.nn.Module, or callable
        A callable takes a batch of the kind `x` is, and gives (n,) or (n, k).
    x : (n, …) array, tensor, sparse matrix, DataFrame, or list of strings
        The rows to explain; 1-D or a Series is a batch of one, except strings for a Pipeline that
        begins with a text vectorizer: they are texts. Never modified.
    method : str or Method
        A name from `xai.methods()`, or a triple. "auto": Shapley values, in closed form where
        the model has one, exact where they fit the budget.
    target : "predicted", "all", int, label, Label, Top or one index per row
        Which output; an int is an index, never a label.
    y : (n,) true labels, for behaviors that need them
        As `classes_` has them; class indices for modules and callables.
    data : (m, …) background rows, used whole; texts have none
        Values that x's dtype cannot hold are never rounded to it: batches that hold some are then
        of a wider dtype, float64 for float32. Modules take everything in their own dtype.
    players : what is removed together; None for every element (pixels of images)
    removal, behavior, summary : a part, or its name, in place of the method's own
    budget : int
        At most this many model rows per explained row.
    tolerance : float
        Stop a row once its largest standard error is, at two looks in a row, at most this fraction
        of its values' range.
    batch_size : int
        Most rows in one model call; chosen from memory where None.
    n_jobs : int
        Workers that call the model (threads, or what `joblib.parallel_config` names), or threads
        that walk its trees for a closed form.
    seed : int or numpy.random.Generator
    progress : bool
        None: a bar when the work is long and somebody is looking.
    feature_names, output_names : list of str
    categorical : columns (names or indices) whose numbers are codes of categories
    **options : settings of the method's parts, such as ``kernel=`` or ``samples=``;
        ``channel_axis=``, the axis of x that holds the channels of images, series or volumes, 0
        where they have none: the other axes are places, as pixels are

    Returns
    -------
    Explanation

    Raises
    ------
    TypeError
        Something that is no model, no batch, or an unknown option.
    ValueError
        Values that cannot be: unknown names, targets, columns, a budget too small (the message
        names the least that works), NaN or inf from the model (the message names the rows).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> import xai
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(10, random_state=0).fit(X, y)
    >>> e = xai.explain(forest, X[:3], method="kernel_shap", data=X[::10])
    >>> bool(abs(e.values.sum(axis=1) + e.base_values - e.predictions).max() < 1e-9)
    True
    """
    seed = as_seed(seed)
    check_counts(budget=budget, batch_size=batch_size, n_jobs=n_jobs)
    bar = Progress(progress, method if isinstance(method, str) else getattr(method, "name", ""))
    try:
        with open_setting(
            model, x, method, target=target, y=y, data=data, players=players, removal=removal,
            behavior=behavior, summary=summary, budget=budget, batch_size=batch_size, seed=seed,
            feature_names=feature_names, output_names=output_names, categorical=categorical,
            options=options, option_names=_KEYWORDS, bar=bar, wait=True,
        ) as setting:  # fmt: skip
            recipe, games = setting.recipe, setting.games(batch_size, n_jobs, bar, ends=True)
            rule = recipe.budget if isinstance(recipe.budget, Budget) else None
            results = _summed_up(recipe.summary, games, budget, tolerance, seed, rule)
    finally:
        bar.close()
    given: dict[str, Any] = {
        "method": method, "y": y, "data": data, "players": players, "removal": removal,
        "behavior": behavior, "summary": summary, "budget": budget, "tolerance": tolerance,
        "batch_size": batch_size, "n_jobs": n_jobs, "seed": seed, "feature_names": feature_names,
        "output_names": output_names, "categorical": categorical,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None} | options
    return replace(_Run(x, setting).assemble(results, games, feature_names), recipe=given)


_KEYWORDS = [n for n in explain.__annotations__ if n not in ("model", "x", "options", "return")]


def _summed_up(
    summary: summaries.Summary,
    games: list[tuple[NDArray[np.intp], Game]],
    budget: int | None,
    tolerance: float | None,
    seed: int,
    rule: Budget | None,
) -> list[tuple[NDArray[np.intp], Attribution]]:
    """The attributions of every kind of row; a budget too small names what all of them need."""
    results = []
    for rows, game in games:
        try:
            results.append((rows, summary(game, budget, tolerance, seed, rule)))
        except BudgetError as error:
            most = max([error, *_shortages(summary, games)], key=lambda short: short.least)
            raise BudgetError(most.what, most.least, error.budget) from None
    return results


def _shortages(
    summary: summaries.Summary, games: list[tuple[NDArray[np.intp], Game]]
) -> Iterator[BudgetError]:
    """What each game says to a budget of nothing: the least that it needs."""
    for _, game in games:
        try:
            summary(game, 0)
        except BudgetError as error:
            yield error


# ---------------------------------------------------------------------------------------------
# The result


@dataclass(frozen=True)
class _Run:
    """What an Explanation is assembled from."""

    x: Any
    setting: Setting

    def assemble(
        self,
        results: list[tuple[NDArray[np.intp], Attribution]],
        games: list[tuple[NDArray[np.intp], Game]],
        feature_names: Sequence[str] | None,
    ) -> Explanation:
        n = 1 if self.setting.recipe.of_data_set else self.setting.inputs.n
        spent = sum(_spent(game) for _, game in games)
        exact, runs = np.empty(n, bool), np.empty(n, object)
        for rows, result in results:
            exact[rows], runs[rows] = result.by_row()
        partition, first = self.setting.partition, results[0][1]
        d = int(partition.counts.max())

        def gather(name: str, fill: float = np.nan) -> NDArray[Any]:
            k = first.values.shape[2]
            tail = (k,) if name in ("base_value", "prediction") else (d, k)
            out = np.full((n, *tail), fill)
            for rows, result in results:
                part = getattr(result, name)
                if part is None:
                    out[rows, : result.values.shape[1]] = 0.0
                elif part.ndim == 3:
                    out[rows, : part.shape[1]] = part
                else:
                    out[rows] = part
            return out

        values = gather("values")
        errors = None if exact.all() else gather("std_error")
        keep = self.setting.resolved.axis

        def cut(array: NDArray[Any] | None, players: bool) -> Any:
            if array is None:
                return None
            array = array.reshape(n, *partition.shape, array.shape[-1]) if players else array
            return array if keep else array[..., 0]

        def info(key: str) -> NDArray[Any]:
            return _padded([(rows, r.info[key]) for rows, r in results if key in r.info], n)

        target = self.setting.resolved.index
        if self.setting.recipe.of_data_set:
            target = target[:1]
        return Explanation(
            values=cut(values, True),
            base_values=cut(gather("base_value"), False),
            predictions=cut(gather("prediction"), False),
            std_error=cut(errors, True),
            evaluations=-(-spent // n),
            spent=spent,
            converged=self._converged(results, n),
            interactions=self._interactions(results, n),
            info={key: cut(info(key), False) for key in first.info} | self._told_by_players(),
            data=_own_copy(self.x, self.setting.rows),
            feature_names=self._feature_names(feature_names),
            output_names=list(self.setting.values.names),
            target=target if keep else target[:, 0],
            players=partition.description,
            method=self.setting.recipe.name,
            removal=repr(self.setting.recipe.removal),
            behavior=repr(self.setting.recipe.behavior),
            summary=repr(self.setting.recipe.summary),
            seed=self.setting.seed,
            element_players=self._element_players(),
            activations=None if self.setting.cut is None else self.setting.cut.activations,
            layer="" if self.setting.cut is None else self.setting.cut.name,
            layer_axis=1 if self.setting.cut is None else self.setting.cut.axis,
            channel_axis=self.setting.axis,
            spans=None if partition.overlap is None else partition.overlap.spans,
            exact=exact,
            runs=runs.astype(str),
        )

    def _told_by_players(self) -> dict[str, NDArray[Any]]:
        """What players inside a network tell of each row, and the values they stand for."""
        pieces = self.setting.cut
        if pieces is None or self.setting.recipe.of_data_set:
            return {}
        told: dict[str, NDArray[Any]] = dict(pieces.info)
        if pieces.approximated is not None:
            rows, values = np.arange(len(pieces.approximated)), self.setting.values
            near = values.output(rows, pieces.approximated)
            near = near if values.reduce is None else values.reduce(rows, near)
            told["without_remainder"] = near if self.setting.resolved.axis else near[:, 0]
        return told

    def _element_players(self) -> NDArray[np.intp]:
        rows, owner = self.setting.rows, self.setting.partition.owner
        if self.setting.cut is not None:  # no element of x belongs to a player inside the network
            return np.full((rows.n, *rows.shape), -1, np.intp)
        return np.broadcast_to(owner, (rows.n, *rows.shape)).copy()

    def _converged(
        self, results: list[tuple[NDArray[np.intp], Attribution]], n: int
    ) -> NDArray[np.bool_] | None:
        if results[0][1].converged is None:
            return None
        out = np.zeros(n, bool)
        for rows, result in results:
            out[rows] = result.converged
        return out

    def _interactions(
        self, results: list[tuple[NDArray[np.intp], Attribution]], n: int
    ) -> NDArray[Any] | None:
        parts = [(rows, r.interactions) for rows, r in results if r.interactions is not None]
        if not parts:
            return None
        out = _padded(parts, n)
        return out if self.setting.resolved.axis else out[..., 0]

    def _feature_names(self, given: Sequence[str] | None) -> list[str]:
        names = self.setting.partition.names
        if given is None or (self.setting.cut is None and names_columns(given, self.setting.rows)):
            return names  # names of columns have named the players already
        return [str(name) for name in given]


def _padded(parts: list[tuple[NDArray[np.intp], NDArray[Any]]], n: int) -> NDArray[Any]:
    """Arrays of some rows each as one of all n rows; NaN where a row has fewer players."""
    shape = np.max([part.shape[1:] for _, part in parts], axis=0)
    out = np.full((n, *shape), np.nan)
    for rows, part in parts:
        out[np.ix_(rows, *map(np.arange, part.shape[1:]))] = part
    return out


def _spent(game: Game) -> int:
    """Model rows of a game, its rows' predictions included."""
    rows = game.inner.n_rows if isinstance(game, DatasetGame) else game.n_rows
    return game.evaluations + rows


def _own_copy(x: Any, inputs: Inputs) -> Any:
    """The explained rows, as a batch that rows can be taken from, safe from later changes."""
    if inputs.is_text:
        return [str(text) for text in x]
    if isinstance(x, list | tuple):
        return np.atleast_2d(dense(x, "x").copy())
    if is_tensor(x):
        copied = x.detach().clone()
        return copied[None] if copied.ndim == 1 else copied
    if sparse.issparse(x):
        kind = sparse.csr_matrix if isinstance(x, sparse.spmatrix) else sparse.csr_array
        return kind(x.reshape(1, -1) if x.ndim == 1 else x, copy=True)
    if nw.dependencies.is_into_series(x):
        return x.to_frame().T if hasattr(x, "index") else np.array(x.to_numpy())[None]
    copied = x.clone() if hasattr(x, "clone") else x.copy() if hasattr(x, "copy") else np.array(x)
    return copied[None] if isinstance(copied, np.ndarray) and copied.ndim == 1 else copied
