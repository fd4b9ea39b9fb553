"""A model, its rows and the three answers, met: what summaries and metrics evaluate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xai import behavior as behaviors
from xai import recipe as recipes
from xai.batches import batch_rows
from xai.behavior.base import Values, View
from xai.composition import WHOLE_ONLY, check_soft
from xai.finite import refuse_predictions
from xai.game import Game
from xai.inputs import Inputs, is_tensor, is_whole, on_host, read
from xai.methods import Method, find
from xai.model import (
    Model,
    check_model,
    check_width,
    reads_codes,
    takes_texts,
    to_model_device,
    wanted_columns,
    wrap,
)
from xai.model_game import DatasetGame, ModelGame
from xai.partition import Partition
from xai.players import Players, as_players, column_index
from xai.predictions import Predictions, Settled
from xai.progress import QUIET, Progress
from xai.regions import sides_for
from xai.removal.base import Context, Draws, Removal
from xai.suggest import unknown
from xai.tables import natural
from xai.targets import Resolved, Target, resolve
from xai.torch_model import run_watched
from xai.units import ActivationMaps

if TYPE_CHECKING:
    from xai.layers import Cut

Indices = NDArray[np.intp]

COLOURS = (1, 3, 4)
"""Channels of images that are grey, of colours, and of these and how opaque they are."""
FIRST_ROWS, FIRST_BYTES = 8, 2**16
"""Rows of a module's first call, which shows how wide its layers are: more of a narrow table."""


@dataclass(frozen=True, eq=False)
class Setting:
    """Everything that is fixed before anything is removed.

    Attributes
    ----------
    recipe : the triple that runs, with its options
    model, inputs : the model as the game calls it, and its rows
    axis : of an image batch's channels, or None
    partition, draws : players and removal, bound to the rows
    predictions : of the unmasked rows, and what they settle: `outputs`, `resolved`, `values`
    seed : int
    rows : the explained rows themselves, where `inputs` are a layer's activations of them
    cut : the network in two, where players are inside it
    paid : model rows that finding the way on from there has cost each row
    """

    recipe: Method
    model: Model
    inputs: Inputs
    axis: int | None
    partition: Partition
    draws: Draws
    predictions: Predictions
    seed: int
    rows: Inputs
    cut: Cut | None = None
    paid: int = 0

    @property
    def outputs(self) -> NDArray[np.floating]:
        """The model's, on the unmasked rows, (n, K)."""
        return self.predictions.known.outputs

    @property
    def resolved(self) -> Resolved:
        """Which outputs are explained."""
        return self.predictions.known.resolved

    @property
    def values(self) -> Values:
        """The behavior, bound to the rows."""
        return self.predictions.known.values

    @property
    def owner(self) -> Indices:
        """The player of each element of every row, (n, *shape); see `Partition`."""
        rows = self.rows if self.cut is None else self.inputs
        owner = self.partition.owner  # of codes with an axis for what is made of them
        owner = owner.reshape(owner.shape[: 1 + len(rows.shape)])
        return np.broadcast_to(owner, (rows.n, *rows.shape))

    def games(
        self,
        batch_size: int | None = None,
        n_jobs: int | None = None,
        bar: Progress = QUIET,
        *,
        ends: bool = False,
    ) -> list[tuple[Indices, Game]]:
        """One game for each kind of row: number of players, and whether these own all of it.

        So a row's answer never depends on its neighbours.

        Parameters
        ----------
        ends : whether all games are played, and ask for v(∅): it goes with predictions that wait
        """
        everything = np.arange(self.inputs.n)
        if self.partition.shared:
            groups = [everything]
        elif self.recipe.of_data_set:
            raise ValueError("a data-set method needs the same players in every row")
        else:
            kinds = 2 * self.partition.counts + self.partition.covers(everything)
            # most players first: what a budget is too small for is found before anything is spent
            groups = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)[::-1]]
        games = [self._game(rows, batch_size, n_jobs, bar) for rows in groups]
        if ends:
            games[0].meet_nothing()
            _ = self.predictions.known
        if self.recipe.of_data_set:
            return [(np.zeros(1, np.intp), DatasetGame(games[0]))]
        return list(zip(groups, games, strict=True))

    def _game(
        self, rows: Indices, batch_size: int | None, n_jobs: int | None, bar: Progress
    ) -> ModelGame:
        shared = 0 if self.cut is None else sum(self.cut.others)
        return ModelGame(
            self.model, self.inputs, self.partition, self.draws, self.predictions,
            batch_size, n_jobs, bar, rows, self.paid, shared,
        )  # fmt: skip


def padded(parts: Sequence[tuple[Indices, NDArray[Any]]], n: int) -> NDArray[np.float64]:
    """Results of some rows each as one array of n rows; NaN where others have more of them."""
    if len(parts) == 1 and len(parts[0][0]) == n:  # of all rows
        return np.array(parts[0][1], np.float64)
    shape = np.max([part.shape[1:] for _, part in parts], axis=0).astype(int)
    out = np.full((n, *shape), np.nan)
    for rows, part in parts:
        at: tuple[Any, ...] = (rows, *map(slice, part.shape[1:]))
        out[at] = part
    return out


@contextmanager
def open_setting(
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
    batch_size: int | None = None,
    seed: int = 0,
    feature_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    categorical: Sequence[str | int] | None = None,
    options: dict[str, Any] | None = None,
    option_names: Sequence[str] = (),
    bar: Progress = QUIET,
    wait: bool = False,
    like: Setting | None = None,
) -> Iterator[Setting]:
    """Bind the parts to model and rows; inside, a module is in eval mode, and restored after.

    Parameters
    ----------
    model, x, method, target, y, … : as for `explain`
    options : settings of the method's parts, and ``channel_axis``
    option_names : further names that an unknown option may have meant
    bar : counts the predictions
    wait : whether an ensemble, each call of which has a price, is not asked for its predictions
        before something else is: one call takes both. What is refused by them is refused then
    like : another of the same model, rows and behavior, from which their predictions are taken
    """
    parts = compose(
        model, x, method, data=data, players=players, removal=removal, behavior=behavior,
        summary=summary, feature_names=feature_names, categorical=categorical, options=options,
        option_names=option_names,
    )  # fmt: skip
    recipe, rows = parts.recipe, parts.inputs
    model = recipe.behavior.observed(parts.model)
    with model.session():
        met = _meet(parts, model, feature_names, batch_size, bar)
        model, inputs = met.model, met.inputs
        paid = None if met.cut is None else met.cut.paid
        recipe = recipes.with_repeats(recipe, model, rows, met.partition, data, budget, paid)
        draws = met.draws(recipe.removal, rows, data, seed)
        if recipe.summary.softens and not draws.soft:
            raise ValueError(f"{recipe.removal!r}: {WHOLE_ONLY}")
        if recipe.summary.softens:
            check_soft(inputs, draws)
        if parts.players.layer is not None or not names_columns(feature_names, rows):
            _check_feature_names(feature_names, met.partition)
        outputs = None
        if met.cut is not None:
            outputs = met.cut.outputs
        elif like is not None:
            outputs = like.outputs
            model = replace(model, width=like.model.width, reused=like.model.reused)
        elif not (wait and _goes_with_others(model, inputs, draws)):
            model, outputs = _predict(model, inputs, batch_size, bar)
        settle = partial(_settled, recipe, model, inputs, target, y, output_names)
        predictions = Predictions(
            model, inputs, lambda: _predict(model, inputs, batch_size, bar)[1], settle, bar,
            None if outputs is None else settle(outputs),
        )  # fmt: skip
        yield Setting(
            recipe, model, inputs, parts.axis, met.partition, draws, predictions, seed, rows,
            None if met.of_codes else met.cut, paid or 0,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Met:
    """Players and the rows that they divide: a layer's activations where they are inside it.

    Attributes
    ----------
    axis : of the channels of `inputs`, or None
    model, inputs, partition : as in `Setting`
    cut : the network in two, where `inputs` are a layer's
    of_codes : whether that is for their gradients alone, and the players are of x itself
    """

    model: Model
    inputs: Inputs
    axis: int | None
    partition: Partition
    cut: Cut | None = None
    of_codes: bool = False

    def draws(self, removal: Removal, rows: Inputs, data: Any, seed: int) -> Draws:
        """The removal, bound to the rows that players divide; `rows` are the explained ones."""
        if self.cut is None or not self.of_codes:
            return removal.bind(Context(self.inputs, data, seed, self.axis))
        from xai import codes

        return codes.bind(removal, Context(rows, data, seed), self.cut)


def _meet(
    parts: Composed,
    model: Model,
    feature_names: Sequence[str] | None,
    batch_size: int | None,
    bar: Progress,
) -> _Met:
    inputs, axis, players = parts.inputs, parts.axis, parts.players
    if players.layer is None:
        partition = players.encode(_named(inputs, feature_names), axis)
        if not parts.of_codes:
            return _Met(model, inputs, axis, partition)
        from xai import codes

        pieces = codes.cut(model, inputs, batch_size, bar)
        partition = replace(partition, owner=partition.owner[..., None])  # all channels together
        return _Met(pieces.model, pieces.inputs, pieces.axis, partition, pieces, of_codes=True)
    from xai import layers

    onto = isinstance(players, ActivationMaps)
    if onto:
        sides_for(players, inputs, axis)
    pieces = layers.cut(model, inputs, players.layer, batch_size, bar, goes_on=not onto, axis=axis)
    if isinstance(players, ActivationMaps):
        partition = players.over(inputs, axis, _maps(pieces))
        return _Met(model, inputs, axis, partition, pieces)
    pieces = players.within(pieces, batch_size)
    partition = players.encode(pieces.inputs, pieces.axis)
    return _Met(pieces.model, pieces.inputs, pieces.axis, partition, pieces)


def _settled(
    recipe: Method,
    model: Model,
    inputs: Inputs,
    target: Target,
    y: ArrayLike | None,
    output_names: Sequence[str] | None,
    outputs: NDArray[np.floating],
) -> Settled:
    """What the outputs (n, K) of the unmasked rows settle."""
    names = _names(model, outputs.shape[1], output_names)
    resolved = _resolve(target, outputs, model, names, recipe)
    labels = _labels(y, model, inputs)
    view = View(model.scale, model.labels, names, outputs, resolved.index, *labels)
    return Settled(outputs, resolved, recipe.behavior.bind(view))


@dataclass(frozen=True, eq=False)
class Composed:
    """A method's parts with their options, and what they are to meet; nothing is evaluated yet.

    Attributes
    ----------
    recipe, players : the triple and the players, as objects
    model, inputs, axis : as in `Setting`
    """

    recipe: Method
    players: Players
    model: Model
    inputs: Inputs
    axis: int | None

    @property
    def of_codes(self) -> bool:
        """Whether the players are of codes, and what lies between two of them is asked for."""
        between = self.recipe.summary.differentiates or self.recipe.summary.softens
        outside = self.players.layer is None
        return outside and between and reads_codes(self.model, self.inputs)

    @property
    def inside(self) -> bool:
        """Whether the model is run to find the players, or the way on from them."""
        return self.players.layer is not None or self.of_codes


def compose(
    model: Any,
    x: Any,
    method: str | Method = "auto",
    *,
    data: Any = None,
    players: Any = None,
    removal: Any = None,
    behavior: Any = None,
    summary: Any = None,
    feature_names: Sequence[str] | None = None,
    categorical: Sequence[str | int] | None = None,
    options: dict[str, Any] | None = None,
    option_names: Sequence[str] = (),
) -> Composed:
    """Read the rows, and find the parts that a method's name and its keywords mean.

    The model is not called: what is refused here is refused before anything is spent.

    Parameters
    ----------
    model, x, method, … : as for `open_setting`
    """
    options = dict(options or {})
    check_model(model)
    auto = isinstance(method, str) and method == "auto"
    recipe = recipes.whole(find(method))
    axis = options.pop("channel_axis", None)
    inputs = read(
        x,
        data,
        accepts=wanted_columns(model),
        own=recipes.own_rows(recipe.removal if removal is None else removal, options),
        texts=takes_texts(model),
    )
    if categorical is not None:
        inputs = _with_categories(inputs, categorical, feature_names)
    wrapped = wrap(model, inputs)
    inputs = to_model_device(wrapped, inputs)
    axis = _channel_axis(inputs, wrapped, axis)
    given = None if players is None else as_players(players, inputs, axis)
    if axis is None and wrapped.module is not None and recipes.needs_places(recipe, removal, given):
        from xai.layers import channels_read

        axis = channels_read(wrapped.module, inputs.shape)
    inside = given is not None and given.layer is not None
    recipe, default_players = recipes.composed(
        recipe, inputs, axis, removal, behavior, summary, data, auto=auto,
        inside=inside and not isinstance(given, ActivationMaps),
    )  # fmt: skip
    chosen = as_players(default_players, inputs, axis) if given is None else given
    recipe, chosen = recipes.with_options(recipe, chosen, options, option_names)
    if recipe.summary.differentiates:
        _check_gradients(wrapped, inputs, recipe)
    recipe.summary.check()
    if players is None and axis is None:
        recipes.refuse_without_layer(recipe, chosen, inputs)
    return Composed(recipe, chosen, wrapped, inputs, axis)


def _check_gradients(model: Model, inputs: Inputs, recipe: Method) -> None:
    """Refuse what has no gradients before anything is evaluated."""
    if model.forward is None or not is_tensor(inputs.block):
        raise TypeError(
            f"{recipe.summary!r} needs gradients: of a torch module, or of a function of tensors "
            "with x a tensor. Choose a summary that takes none, such as that of 'shapley' or "
            "'occlusion'"
        )
    if recipe.of_data_set:
        raise ValueError(f"{type(recipe.summary).__name__} explains row by row, not a data set")


def _maps(pieces: Cut) -> NDArray[np.floating]:
    if pieces.activations is None:
        raise ValueError(
            f"layer {pieces.name!r} has no feature maps to lay over an image: choose one whose "
            "output has places"
        )
    return pieces.activations


def _named(inputs: Inputs, feature_names: Sequence[str] | None) -> Inputs:
    """Rows whose columns have the given names, where these are names of columns."""
    if feature_names is None or not names_columns(feature_names, inputs):
        return inputs
    return replace(inputs, names=[str(name) for name in feature_names])


def names_columns(given: Sequence[str] | None, rows: Inputs) -> bool:
    """Whether there is a name for each column of a table."""
    if given is None:
        return False
    refuse_no_list("feature_names", given)
    return list(rows.shape) == [len(given)]


def refuse_no_list(name: str, given: object) -> None:
    """Refuse what holds no names that can be counted; a string would be one for each letter."""
    if isinstance(given, str) or not isinstance(given, Sized):
        raise TypeError(f"{name} must be a list of names, not {given!r}")


def _check_feature_names(given: Sequence[str] | None, players: Partition) -> None:
    """Refuse names that are not one for each player, before anything is removed."""
    if given is not None and len(given) != len(players.names):
        raise ValueError(f"feature_names has {len(given)} names for {len(players.names)} players")


def _with_categories(
    inputs: Inputs, categorical: Sequence[str | int], feature_names: Sequence[str] | None
) -> Inputs:
    if isinstance(categorical, str) or not isinstance(categorical, Iterable):
        raise TypeError(f"categorical must be a list of columns, not {categorical!r}")
    if len(inputs.shape) != 1:
        raise ValueError("categorical= names columns of a table; x has more than two dimensions")
    given = inputs.names if feature_names is None else feature_names  # an array has no truth value
    names = list(map(str, range(inputs.shape[0])) if given is None else given)
    marked = inputs.categorical.copy()
    marked[[column_index(c, names) for c in categorical]] = True
    return replace(inputs, categorical=marked)


def check_counts(**counts: int | None) -> list[int | None]:
    """The same as Python's integers, which NumPy's small ones would overflow among.

    Refused is what is no integer, and sizes and numbers of jobs that are none.
    """
    for name, value in counts.items():
        if value is None:
            continue
        if not is_whole(value):
            raise TypeError(f"{name} must be an integer, not {value!r}")
        if name == "budget":  # too small a one is the summary's to refuse, which knows the least
            continue
        if value < 1 and not (name == "n_jobs" and value < 0):
            raise ValueError(f"{name} must be positive, not {value}")
    return [None if value is None else int(value) for value in counts.values()]


def check_axis(channel_axis: Any) -> None:
    """Refuse a `channel_axis` that is neither None nor a whole number."""
    if channel_axis is not None and not is_whole(channel_axis):
        raise TypeError(
            "channel_axis must be 1 (channels first), -1 (last) or 0 (there are none), not "
            f"{channel_axis!r}"
        )


def _channel_axis(inputs: Inputs, model: Model, given: int | None) -> int | None:
    """The axis of an image batch's channels; None where x is no batch of images."""
    axes = len(inputs.shape) + 1
    check_axis(given)
    if given is not None:
        if inputs.is_text:
            raise ValueError(f"channel_axis={given}: x are texts, which have no axis of channels")
        axis = int(given) + axes * (given < 0)
        if not 0 <= axis < axes or (axis and axes == 2):
            raise ValueError(
                f"channel_axis={given}: x has rows of shape {inputs.shape}; expected "
                + ("1 (channels first), -1 (last) or " if axes > 2 else "")
                + "0 (every axis is one of places, as a series' steps)"
            )
        return axis
    if axes != 4:
        return None
    if model.module is not None:
        from xai.layers import channels_read

        last = inputs.shape[0] not in COLOURS and channels_read(model.module, inputs.shape) == 3
        return 3 if last else 1  # a module may take colours last, and turn images itself
    fits = [a for a in (1, 3) if inputs.shape[a - 1] in COLOURS]
    if len(fits) != 1:
        raise ValueError(
            f"cannot tell which axis of x {(inputs.n, *inputs.shape)} holds the channels: "
            "pass channel_axis=1 (first) or channel_axis=-1 (last)"
        )
    return fits[0]


def _goes_with_others(model: Model, inputs: Inputs, draws: Draws) -> bool:
    """Whether rows of x can stand beside rows that are made of it, and it pays."""
    return model.is_ensemble and isinstance(inputs.block, np.ndarray) and draws.inputs is None


def _predict(
    model: Model, inputs: Inputs, batch_size: int | None, bar: Progress
) -> tuple[Model, NDArray[np.floating]]:
    """Outputs (n, K) of the unmasked rows, and the model with the width that they show."""
    parts: list[NDArray[np.floating]] = []
    few = FIRST_ROWS  # of images and of tokens, whose layers may be far wider than they
    if len(inputs.shape) == 1 and "float" in str(inputs.block.dtype):
        few = max(few, FIRST_BYTES // (inputs.block.dtype.itemsize * inputs.shape[0]))
    start, size = 0, batch_size or (batch_rows(model, inputs, 0) if model.module is None else few)
    while start < inputs.n:
        block = inputs.part(start, start + size)
        if start or model.module is None:
            out = model(block)
        else:
            out, width, reused = run_watched(model.module, partial(model, block))
            model = replace(model, width=width, reused=reused)
            size = batch_size or batch_rows(model, inputs, out.shape[1])
        if parts:
            check_width(out.shape[1], parts[0].shape[1])
        refuse_predictions(out, start)
        parts.append(out)
        start += len(out)
        bar.update(len(out))
    return model, np.concatenate(parts)


def _names(model: Model, k: int, given: Sequence[str] | None) -> list[str]:
    if given is not None:
        refuse_no_list("output_names", given)
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
    labels = model.labels if len(model.labels) == outputs.shape[1] else []
    resolved = resolve(target, outputs, labels, names, classifies=classifies)
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
    given = np.asarray(on_host(y))
    given = given[None] if given.ndim == 0 else given
    if given.shape != (inputs.n,):
        raise ValueError(f"y has shape {given.shape}; expected one label per row, ({inputs.n},)")
    given = natural(given)
    if not len(model.labels):
        return given, given  # what they must be depends on the loss, which checks them
    index = {label: i for i, label in enumerate(model.labels)}
    missing = [v for v in given.tolist() if v not in index]
    if missing:
        raise ValueError(unknown("label in y:", missing[0], model.labels))
    return np.array([index[v] for v in given.tolist()], np.intp), given
