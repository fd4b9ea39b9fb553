"""The front door: `explain(model, x, method=…)`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from xai import behavior as behaviors
from xai import removal as removals
from xai import summary as summaries
from xai.behavior.base import Values, View
from xai.explanation import Explanation
from xai.game import DatasetGame, Game, ModelGame
from xai.inputs import Inputs, is_tensor, read
from xai.methods import Method, find
from xai.model import Model, check_model, takes_texts, to_model_device, wanted_columns, wrap
from xai.players import Partition, Patches, as_players, column_index
from xai.progress import Progress
from xai.removal.base import Context
from xai.streams import as_seed
from xai.suggest import unknown
from xai.summary.base import Attribution, Budget, BudgetError
from xai.targets import Label, Resolved, Target, resolve

_NOT_OPTIONS = ("model", "x", "options")


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
        Stop a row once its largest standard error is at most this fraction of its values' range.
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
        ``channel_axis=`` for images

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
    _check_counts(budget=budget, batch_size=batch_size, n_jobs=n_jobs)
    check_model(model)
    recipe = find("shapley" if isinstance(method, str) and method == "auto" else method)
    recipe = _whole(recipe)
    axis = options.pop("channel_axis", None)
    inputs = read(
        x,
        data,
        accepts=wanted_columns(model),
        own=_own_rows(recipe.removal if removal is None else removal, options),
        texts=takes_texts(model),
    )
    if categorical is not None:
        inputs = _with_categories(inputs, categorical, feature_names)
    wrapped = wrap(model, inputs)
    inputs = to_model_device(wrapped, inputs)
    axis = _channel_axis(inputs, wrapped, axis)
    recipe, default_players = _compose(
        recipe, inputs, axis, removal, behavior, summary, data, auto=method == "auto"
    )
    recipe = _with_options(recipe, options)
    chosen = as_players(default_players if players is None else players, inputs, axis)
    partition = chosen.encode(_named(inputs, feature_names), axis)
    bar = Progress(progress, recipe.name)
    try:
        with wrapped.session():
            outputs = _predict(wrapped, inputs, batch_size, bar)
            names = _names(wrapped, outputs.shape[1], output_names)
            resolved = _resolve(target, outputs, wrapped, names, recipe)
            view = View(
                wrapped.scale,
                wrapped.labels,
                names,
                outputs,
                resolved.index,
                *_labels(y, wrapped, inputs),
            )
            values = recipe.behavior.bind(view)
            recipe = _with_repeats(recipe, inputs, partition, data, budget)
            draws = recipe.removal.bind(Context(inputs, data, seed, axis))
            games = _games(
                recipe, wrapped, inputs, partition, draws, values, outputs, batch_size, n_jobs, bar
            )
            rule = recipe.budget if isinstance(recipe.budget, Budget) else None
            results = _summed_up(recipe.summary, games, budget, tolerance, seed, rule)
    finally:
        bar.close()
    run = _Run(x, inputs, recipe, partition, values, resolved, axis, seed)
    return run.assemble(results, games, feature_names)


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"{name} must be an integer, not {value!r}")
        if name == "budget":  # too small a one is the summary's to refuse, which knows the least
            continue
        if value < 1 and not (name == "n_jobs" and value < 0):
            raise ValueError(f"{name} must be positive, not {value}")


# ---------------------------------------------------------------------------------------------
# The triple


def _whole(recipe: Method) -> Method:
    """The method with its parts as objects: a user may have given their names."""
    parts = {
        "removal": _part(recipe.removal, removals.NAMES, removals.Removal, "removal"),
        "behavior": _part(recipe.behavior, behaviors.NAMES, behaviors.Behavior, "behavior"),
        "summary": _part(recipe.summary, summaries.NAMES, summaries.Summary, "summary"),
    }
    for what, part in parts.items():
        if part is None:
            raise TypeError(f"method {recipe.name!r} has no {what}: it is None")
    return replace(recipe, **parts)


def _own_rows(removal: Any, options: dict[str, Any]) -> list[Any]:
    """A removal's own rows, where it has some: their values are values of x's columns, too."""
    own = [options.get("value")]
    if isinstance(removal, removals.Removal):
        own.append(getattr(removal, "data", None))
    if isinstance(removal, removals.Baseline):
        own.append(removal.value)
    return own


def _compose(
    recipe: Method,
    inputs: Inputs,
    axis: int | None,
    removal: Any,
    behavior: Any,
    summary: Any,
    data: Any,
    *,
    auto: bool,
) -> tuple[Method, Any]:
    """The method with parts replaced, and the players it uses where none are given."""
    players = None
    default = recipe.removal
    if inputs.is_text:
        if removal is None:
            _refuse_texts(recipe)
        tabular = removals.Marginal, removals.Neighbourhood
        if isinstance(default, tabular) and default.data is None:
            default = removals.Baseline(0)
    elif axis is not None and recipe.image is not None:
        default, players = recipe.image
        side = min(s for a, s in enumerate(inputs.shape, start=1) if a != axis)
        if isinstance(players, Patches) or auto:
            players = Patches(max(1, side // 12))
        if (
            data is not None
            and recipe.name != "lime"
            and not isinstance(default, type(recipe.removal))
        ):
            default = recipe.removal
    composed = replace(
        recipe,
        removal=_part(removal, removals.NAMES, removals.Removal, "removal") or default,
        behavior=_part(behavior, behaviors.NAMES, behaviors.Behavior, "behavior")
        or recipe.behavior,
        summary=_part(summary, summaries.NAMES, summaries.Summary, "summary") or recipe.summary,
        budget=recipe.budget if summary is None else None,
    )
    permuted = isinstance(composed.removal, removals.Permuted)
    if permuted and not composed.of_data_set and not inputs.is_text:  # which refuses texts
        raise ValueError(
            "permuted removal pairs the rows of a data set with one another, so that no row has "
            "an explanation of its own: use removal='marginal', or behavior='dataset_loss'"
        )
    return composed, players


def _refuse_texts(recipe: Method) -> None:
    if "text" not in recipe.inputs:
        kinds = recipe.inputs.partition(";")[0]
        raise ValueError(
            f"method {recipe.name!r} is for {kinds}, not for texts: choose another, such as "
            "'shapley', or pass removal=xai.removal.Baseline(0), which leaves tokens out"
        )


def _part(given: Any, names: dict[str, Any], kind: Any, what: str) -> Any:
    """A part of the triple from an object, a name or (for removal) a function."""
    if given is None or isinstance(given, kind):
        return given
    if isinstance(given, str):
        if given not in names:
            raise ValueError(unknown(what, given, names))
        return names[given]()
    if what == "removal" and callable(given) and not isinstance(given, type):
        return removals.Function(given)
    raise TypeError(f"{what} must be an xai.{what} object or one of {sorted(names)}, not {given!r}")


def _with_options(recipe: Method, options: dict[str, Any]) -> Method:
    """Hand each option to the part that has it; refuse what none has."""
    parts: dict[str, Any] = {
        "removal": recipe.removal,
        "behavior": recipe.behavior,
        "summary": recipe.summary,
    }
    known = {what: [f.name for f in fields(part)] for what, part in parts.items()}
    for name, value in options.items():
        owner = next((what for what, names in known.items() if name in names), None)
        if owner is None:
            choices = [n for names in known.values() for n in names]
            choices += [n for n in explain.__annotations__ if n not in (*_NOT_OPTIONS, "return")]
            raise TypeError(_unknown_option(name, [*choices, "channel_axis"], recipe.name))
        parts[owner] = replace(parts[owner], **{name: value})
    return replace(recipe, **parts)


def _with_repeats(
    recipe: Method, inputs: Inputs, partition: Partition, data: Any, budget: int | None
) -> Method:
    """As many permutations as the budget allows, where their number is left open.

    Not for summaries that sample coalitions: they spend the budget themselves.
    """
    removal = recipe.removal
    if budget is None or not isinstance(removal, removals.Permuted) or removal.repeats is not None:
        return recipe
    if not isinstance(recipe.summary, summaries.RemoveIndividual | summaries.IncludeIndividual):
        return recipe
    background = data if removal.data is None else removal.data
    n = inputs.n
    m = n if background is None else int(inputs.encode(background, "data").shape[0])
    apart = not partition.covers(np.arange(n)).all()  # rows with nothing left are not shared
    repeats = (budget - n - m) // (n * (int(partition.counts.max()) + apart))
    return replace(recipe, removal=replace(removal, repeats=max(1, repeats)))


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


def _unknown_option(name: str, choices: list[str], method: str) -> str:
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    known = ", ".join(sorted(set(choices)))
    return f"unknown option {name!r} for method {method!r}{hint} Known: {known}"


# ---------------------------------------------------------------------------------------------
# Rows, images, outputs, labels


def _named(inputs: Inputs, feature_names: Sequence[str] | None) -> Inputs:
    """Rows whose columns have the given names, where these are names of columns."""
    if feature_names is None or list(inputs.shape) != [len(feature_names)]:
        return inputs
    return replace(inputs, names=[str(name) for name in feature_names])


def _with_categories(
    inputs: Inputs, categorical: Sequence[str | int], feature_names: Sequence[str] | None
) -> Inputs:
    if len(inputs.shape) != 1:
        raise ValueError("categorical= names columns of a table; x has more than two dimensions")
    names = list(feature_names or inputs.names or map(str, range(inputs.shape[0])))
    marked = inputs.categorical.copy()
    marked[[column_index(c, names) for c in categorical]] = True
    return replace(inputs, categorical=marked)


def _channel_axis(inputs: Inputs, model: Model, given: int | None) -> int | None:
    """The axis of an image batch's channels; None where x is no batch of images."""
    if len(inputs.shape) != 3:
        if given is not None:
            raise ValueError(
                f"channel_axis={given!r}: x has rows of shape {inputs.shape}, no images"
            )
        return None
    if given is not None:
        if isinstance(given, bool) or not isinstance(given, int | np.integer):
            raise TypeError(f"channel_axis must be 1 (channels first) or -1 (last), not {given!r}")
        if given % 4 not in (1, 3):
            raise ValueError(f"channel_axis={given}: expected 1 (channels first) or -1 (last)")
        return int(given % 4)
    if model.module is not None:
        return 1
    fits = [a for a in (1, 3) if inputs.shape[a - 1] in (1, 3, 4)]
    if len(fits) != 1:
        raise ValueError(
            f"cannot tell which axis of x {(inputs.n, *inputs.shape)} holds the channels: "
            "pass channel_axis=1 (first) or channel_axis=-1 (last)"
        )
    return fits[0]


def _predict(
    model: Model, inputs: Inputs, batch_size: int | None, bar: Progress
) -> NDArray[np.floating]:
    """Outputs (n, K) of the unmasked rows."""
    row_bytes = int(np.prod(inputs.shape)) * 8
    size = batch_size or max(1, min(2**14, 2**25 // row_bytes))
    parts: list[NDArray[np.floating]] = []
    for start in range(0, inputs.n, size):
        out = model(inputs.block[np.arange(start, min(start + size, inputs.n))])  # a copy
        if parts and out.shape[1] != parts[0].shape[1]:
            raise ValueError("the model returned different numbers of outputs in two calls")
        bad = np.flatnonzero(~np.isfinite(out).all(axis=1)) + start
        if len(bad):
            named = ", ".join(map(str, bad[:5]))
            raise ValueError(f"the model returns NaN or inf for row {named} (0-based) of x")
        parts.append(out)
        bar.update(len(out))
    return np.concatenate(parts)


def _names(model: Model, k: int, given: Sequence[str] | None) -> list[str]:
    if given is not None:
        if len(given) != k:
            raise ValueError(f"output_names has {len(given)} names for {k} outputs")
        return [str(name) for name in given]
    if len(model.labels) == k:
        return [str(label) for label in model.labels]
    return [f"output {i}" for i in range(k)] if k > 1 else ["output"]


def _resolve(
    target: Target,
    outputs: NDArray[np.floating],
    model: Model,
    names: list[str],
    recipe: Method,
) -> Resolved:
    loss = isinstance(recipe.behavior, behaviors.PredictionLoss | behaviors.DatasetLoss)
    classifies = model.classifies or loss  # a loss does not ask which output is predicted
    resolved = resolve(target, outputs, model.labels, names, classifies=classifies)
    if not loss:
        return resolved
    # a loss has one value, whatever is predicted; "all" and Top keep its axis
    return Resolved(np.zeros((len(outputs), 1), np.intp), axis=resolved.axis)


def _labels(
    y: ArrayLike | None, model: Model, inputs: Inputs
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """True labels as class indices, where the model knows its labels, and as given."""
    if y is None:
        return None, None
    given = np.asarray(y)
    given = given[None] if given.ndim == 0 else given
    if given.shape != (inputs.n,):
        raise ValueError(f"y has shape {given.shape}; expected one label per row, ({inputs.n},)")
    if not len(model.labels):
        return given, given  # what they must be depends on the loss, which checks them
    index = {label: i for i, label in enumerate(model.labels)}
    missing = [v for v in given.tolist() if v not in index]
    if missing:
        raise ValueError(unknown("label in y:", missing[0], model.labels))
    return np.array([index[v] for v in given.tolist()], np.intp), given


def _games(
    recipe: Method,
    model: Model,
    inputs: Inputs,
    partition: Partition,
    draws: removals.Draws,
    values: Values,
    outputs: NDArray[np.floating],
    batch_size: int | None,
    n_jobs: int | None,
    bar: Progress,
) -> list[tuple[NDArray[np.intp], Game]]:
    """One game for each kind of row: number of players, and whether these own all of it.

    So a row's answer never depends on its neighbours.
    """

    def game(rows: NDArray[np.intp]) -> ModelGame:
        return ModelGame(
            model, inputs, partition, draws, values, outputs, batch_size, n_jobs, bar, rows
        )

    if recipe.of_data_set:
        if not partition.shared:
            raise ValueError("a data-set method needs the same players in every row")
        return [(np.zeros(1, np.intp), DatasetGame(game(np.arange(inputs.n))))]
    kinds = 2 * partition.counts + partition.covers(np.arange(inputs.n))
    # most players first: what a budget is too small for is found before anything is spent
    groups = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)[::-1]]
    return [(rows, game(rows)) for rows in groups]


# ---------------------------------------------------------------------------------------------
# The result


@dataclass(frozen=True)
class _Run:
    """What an Explanation is assembled from."""

    x: Any
    inputs: Inputs
    recipe: Method
    partition: Partition
    values: Values
    resolved: Resolved
    axis: int | None
    seed: int

    def assemble(
        self,
        results: list[tuple[NDArray[np.intp], Attribution]],
        games: list[tuple[NDArray[np.intp], Game]],
        feature_names: Sequence[str] | None,
    ) -> Explanation:
        n = 1 if self.recipe.of_data_set else self.inputs.n
        spent = sum(_spent(game) for _, game in games)
        exact, runs = np.empty(n, bool), np.empty(n, object)
        for rows, result in results:
            exact[rows], runs[rows] = result.by_row()
        shape = self.partition.shape
        first = results[0][1]

        def gather(name: str, fill: float = np.nan) -> NDArray[Any]:
            k = first.values.shape[2]
            tail = (k,) if name in ("base_value", "prediction") else (self._d, k)
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
        keep = self.resolved.axis

        def cut(array: NDArray[Any] | None, players: bool) -> Any:
            if array is None:
                return None
            array = array.reshape(n, *shape, array.shape[-1]) if players else array
            return array if keep else array[..., 0]

        target = self.resolved.index
        if self.recipe.of_data_set:
            target = target[:1]
        return Explanation(
            values=cut(values, True),
            base_values=cut(gather("base_value"), False),
            predictions=cut(gather("prediction"), False),
            std_error=cut(errors, True),
            evaluations=-(-spent // n),
            converged=self._converged(results, n),
            interactions=self._interactions(results, n),
            info={key: cut(self._info(results, key, n), False) for key in first.info},
            data=_own_copy(self.x, self.inputs),
            feature_names=self._feature_names(feature_names),
            output_names=list(self.values.names),
            target=target if keep else target[:, 0],
            players=self.partition.description,
            method=self.recipe.name,
            removal=repr(self.recipe.removal),
            behavior=repr(self.recipe.behavior),
            summary=repr(self.recipe.summary),
            seed=self.seed,
            element_players=np.broadcast_to(
                self.partition.owner, (self.inputs.n, *self.inputs.shape)
            ).copy(),
            channel_axis=self.axis,
            exact=exact,
            runs=runs.astype(str),
        )

    @property
    def _d(self) -> int:
        return int(self.partition.counts.max())

    def _converged(
        self, results: list[tuple[NDArray[np.intp], Attribution]], n: int
    ) -> NDArray[np.bool_] | None:
        if results[0][1].converged is None:
            return None
        out = np.zeros(n, bool)
        for rows, result in results:
            out[rows] = result.converged
        return out

    def _info(
        self, results: list[tuple[NDArray[np.intp], Attribution]], key: str, n: int
    ) -> NDArray[Any]:
        return _padded([(rows, r.info[key]) for rows, r in results if key in r.info], n)

    def _interactions(
        self, results: list[tuple[NDArray[np.intp], Attribution]], n: int
    ) -> NDArray[Any] | None:
        parts = [(rows, r.interactions) for rows, r in results if r.interactions is not None]
        if not parts:
            return None
        out = _padded(parts, n)
        return out if self.resolved.axis else out[..., 0]

    def _feature_names(self, given: Sequence[str] | None) -> list[str]:
        names = self.partition.names
        if given is None or list(self.inputs.shape) == [len(given)]:
            return names  # names of columns have named the players already
        if len(given) == len(names):
            return [str(name) for name in given]
        raise ValueError(f"feature_names has {len(given)} names for {len(names)} players")


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
        return np.atleast_2d(np.array(x))
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


__all__ = ["Label", "explain"]
