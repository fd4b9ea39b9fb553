"""The front door: `explain(model, x, method=…)`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from xai import summary as summaries
from xai.again import keywords_of
from xai.behavior.loss import NO_LABELS, DatasetLoss, PredictionLoss
from xai.explanation import Explanation
from xai.game import Game
from xai.inputs import Inputs, dense, is_tensor
from xai.methods import Method
from xai.model import Rehearsed, uncalled
from xai.model_game import DatasetGame
from xai.players import own_groups
from xai.progress import Progress
from xai.setting import (
    Composed,
    Setting,
    check_counts,
    compose,
    names_columns,
    open_setting,
    padded,
)
from xai.streams import as_seed
from xai.summary.base import PAIR_ERRORS, Attribution, Budget, BudgetError
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
        of a wider dtype, float64 for float32. Modules take everything in their own dtype. Images
        given some have them put in place of their own default removal, but by `lime`.
    players : what is removed together
        Groups of columns: a list of lists, or a dict that names them. None: every element, of
        images every pixel; but "auto" and `lime` take patches of images, 12 along the shorter
        side, `sobol` and `hsic` 8 × 8 cells, `mir` superpixels.
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
        One for each player, or for each column. Without: a table's own, else numbers; "[1, 7]"
        where the values of a row are an array.
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
    budget, batch_size, n_jobs = check_counts(budget=budget, batch_size=batch_size, n_jobs=n_jobs)
    bar = Progress(progress, method if isinstance(method, str) else getattr(method, "name", ""))
    try:
        with open_setting(
            model, x, method, target=target, y=y, data=data, players=players, removal=removal,
            behavior=behavior, summary=summary, budget=budget, batch_size=batch_size, seed=seed,
            feature_names=feature_names, output_names=output_names, categorical=categorical,
            options=options, option_names=_KEYWORDS, bar=bar, wait=True,
        ) as setting:  # fmt: skip
            recipe, games = setting.recipe, setting.games(batch_size, n_jobs, bar, ends=True)
            results = _summed_up(recipe, games, budget, tolerance, seed)
    finally:
        bar.close()
    given: dict[str, Any] = {
        "method": method, "y": y, "data": data, "players": own_groups(players), "removal": removal,
        "behavior": behavior, "summary": summary, "budget": budget, "tolerance": tolerance,
        "batch_size": batch_size, "n_jobs": n_jobs, "seed": seed, "feature_names": feature_names,
        "output_names": output_names, "categorical": categorical,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None} | options
    spent = sum(_spent(game) for _, game in games)
    return replace(_Run(x, setting, results).assemble(spent, feature_names), recipe=given)


def composed(model: Any, x: Any, keywords: Mapping[str, Any]) -> Composed:
    """The parts that these keywords of `explain` mean; nothing is spent on refusing them."""
    parts = compose(model, x, option_names=_KEYWORDS, **keywords_of(compose, keywords))
    asks_labels = isinstance(parts.recipe.behavior, PredictionLoss | DatasetLoss)
    if asks_labels and keywords.get("y") is None:
        raise ValueError(NO_LABELS)
    return parts


def rehearse(model: Any, x: Any, keywords: Mapping[str, Any], like: Setting) -> Explanation | None:
    """What `explain` would refuse before the first coalition, told without calling the model.

    Parameters
    ----------
    like : of the same model and rows, whose predictions are taken

    Returns
    -------
    Explanation, of made-up numbers; None where players or behavior are inside a network, which is
    run to find them
    """
    parts = composed(model, x, keywords)
    if parts.inside or parts.recipe.behavior.observed(parts.model) is not parts.model:
        return None
    counts = {name: keywords.get(name) for name in ("budget", "batch_size", "n_jobs")}
    counts = dict(zip(counts, check_counts(**counts), strict=True))
    own = keywords_of(open_setting, {**keywords, **counts}) | {"seed": 0}  # a Generator goes on
    with open_setting(model, x, option_names=_KEYWORDS, like=like, **own) as setting:
        setting = replace(setting, model=uncalled(setting.model))
        games = setting.games(counts["batch_size"])
        if not setting.recipe.summary.differentiates:  # some of these rewrite the module itself
            with suppress(Rehearsed):
                _summed_up(setting.recipe, games, counts["budget"], keywords.get("tolerance"), 0)
        results = [(rows, _made_up(game)) for rows, game in games]
        told = _Run(x, setting, results).assemble(0, keywords.get("feature_names"))
    repeated = {n: v for n, v in keywords.items() if n not in ("target", "progress")}
    return replace(told, recipe={n: v for n, v in repeated.items() if v is not None})


def _made_up(game: Game) -> Attribution:
    """Numbers of the shape of a game's attributions: each player's place."""
    values = np.empty((game.n_rows, game.n_players, game.n_outputs))
    values[...] = np.arange(1, game.n_players + 1)[:, None]
    ends = np.zeros((game.n_rows, game.n_outputs))
    return Attribution(values, None, ends, ends, 0)


_KEYWORDS = [n for n in explain.__annotations__ if n not in ("model", "x", "options", "return")]


def _summed_up(
    recipe: Method,
    games: list[tuple[NDArray[np.intp], Game]],
    budget: int | None,
    tolerance: float | None,
    seed: int,
) -> list[tuple[NDArray[np.intp], Attribution]]:
    """The attributions of every kind of row; a budget too small names what all of them need."""
    summary, rule = recipe.summary, recipe.budget if isinstance(recipe.budget, Budget) else None
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
    """What an Explanation is assembled from: rows, and the attributions of each kind of them."""

    x: Any
    setting: Setting
    results: list[tuple[NDArray[np.intp], Attribution]]

    def assemble(self, spent: int, feature_names: Sequence[str] | None) -> Explanation:
        setting, partition = self.setting, self.setting.partition
        recipe, keep, found = setting.recipe, setting.resolved.axis, [r for _, r in self.results]
        values = self._of_all(r.values for r in found)
        errors = self._of_all(
            np.zeros_like(r.values) if r.std_error is None else r.std_error for r in found
        )
        n, shape = len(values), (len(values), *partition.shape, values.shape[-1])
        exact, runs = np.empty(n, bool), np.empty(n, object)
        for rows, result in self.results:
            exact[rows], runs[rows] = result.by_row()
        met = self._of_all(r.converged for r in found)
        told = dict.fromkeys(key for r in found for key in r.info)
        info = {key: self._of_all(_told(r, key) for r in found) for key in told}

        def cut(array: NDArray[Any] | None) -> Any:
            return array if keep or array is None else array[..., 0]

        return Explanation(
            values=cut(values.reshape(shape)),
            base_values=cut(self._of_all(r.base_value for r in found)),
            predictions=cut(self._of_all(r.prediction for r in found)),
            std_error=None if exact.all() else cut(errors.reshape(shape)),
            evaluations=-(-spent // n),
            spent=spent,
            converged=None if met is None else met.astype(bool),
            interactions=cut(self._of_all(r.interactions for r in found)),
            info={key: cut(array) for key, array in info.items()} | self._told_by_players(),
            data=_own_copy(self.x, setting.rows),
            feature_names=self._feature_names(feature_names),
            output_names=list(setting.values.names),
            target=cut(setting.resolved.index[:n]),
            players=partition.description,
            method=recipe.name,
            removal=repr(recipe.removal),
            behavior=repr(recipe.behavior),
            summary=repr(recipe.summary),
            seed=setting.seed,
            element_players=self._element_players(),
            activations=None if self.setting.cut is None else self.setting.cut.activations,
            layer="" if self.setting.cut is None else self.setting.cut.name,
            layer_axis=1 if self.setting.cut is None else self.setting.cut.axis,
            channel_axis=self.setting.axis,
            unit=setting.values.unit,
            spans=None if partition.overlap is None else partition.overlap.spans,
            exact=exact,
            runs=runs.astype(str),
        )

    def _of_all(self, parts: Iterable[NDArray[Any] | None]) -> Any:
        """An array of each kind of row as one of all rows; None where there is none."""
        pairs = zip(self.results, parts, strict=True)
        found = [(rows, part) for (rows, _), part in pairs if part is not None]
        n = 1 if self.setting.recipe.of_data_set else self.setting.inputs.n
        return np.ascontiguousarray(padded(found, n)) if found else None

    def _told_by_players(self) -> dict[str, NDArray[Any]]:
        """What players inside a network tell of each row, and the values they stand for."""
        pieces = self.setting.cut
        if pieces is None or self.setting.recipe.of_data_set:
            return {}
        told: dict[str, NDArray[Any]] = dict(pieces.info)
        if pieces.approximated is not None:
            rows = np.arange(len(pieces.approximated))
            near = self.setting.values.at_one_draw(rows, pieces.approximated)
            told["without_remainder"] = near if self.setting.resolved.axis else near[:, 0]
        return told

    def _element_players(self) -> NDArray[np.intp]:
        if self.setting.cut is None:
            return self.setting.owner.copy()
        rows = self.setting.rows  # no element of which belongs to a player inside the network
        return np.full((rows.n, *rows.shape), -1, np.intp)

    def _feature_names(self, given: Sequence[str] | None) -> list[str]:
        names = self.setting.partition.names
        if given is None or (self.setting.cut is None and names_columns(given, self.setting.rows)):
            return names  # names of columns have named the players already
        return [str(name) for name in given]


def _spent(game: Game) -> int:
    """Model rows of a game, its rows' predictions included."""
    rows = game.inner.n_rows if isinstance(game, DatasetGame) else game.n_rows
    return game.evaluations + rows


def _told(found: Attribution, key: str) -> NDArray[Any] | None:
    """What some rows tell beside others: exact interactions have errors of 0, as exact values."""
    if key == PAIR_ERRORS and found.std_error is None and found.interactions is not None:
        return np.zeros_like(found.interactions)
    return found.info.get(key)


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
