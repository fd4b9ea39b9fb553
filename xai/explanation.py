"""The labelled result of `explain`: numbers, their errors, and how they came about."""

from __future__ import annotations

import json
import math
import platform
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai._version import __version__
from xai.archive import pack, require, unpack, write
from xai.inputs import is_whole
from xai.places import sides_of, with_channels
from xai.resize import resize
from xai.text import words_of

if TYPE_CHECKING:
    import pandas
    import shap

Floats = NDArray[np.floating]


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return {"xai": __version__, "numpy": np.__version__, "python": platform.python_version()}


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Attributions of `n` rows, with errors, cost and recipe.

    Attributes
    ----------
    values : (n, *players[, k]) float array
        One number per player; a last axis of outputs with ``target="all"`` or ``Top``.
    base_values, predictions : (n,) or (n, k)
        The game's value with nothing and with everything kept.
    std_error : like `values`, or None
        Monte-Carlo standard error; NaN where unknown, None where every row's answer is exact,
        0 in a row that is exact among others: ``explanation[i]`` of such a row has None.
    evaluations : int
        Model rows used per explained row, rounded up.
    converged : (n,) bool, or None
        Whether `tolerance` was met.
    interactions : (n, d, d[, k]), or None
    info : dict of (n,) arrays
    data, feature_names, output_names, target, players, method, removal, behavior, summary, seed
        What was explained and how, with `versions`. `target` is -1 where shap did not tell it.
    element_players : (n, *shape) int array
        The player that owns each element of x; -1 where none does. Where players overlap: the
        piece of x, and `spans` are the players.
    spans : (d, 4) int array, or None
        Top, bottom, left and right of windows that overlap; of other rows than images the start
        and stop along each axis of places.
    activations : (n, channels, *places) float array, or None
        Feature maps of the layer that the players are in, `layer` its name, and `layer_axis` which
        axis of its output holds the channels.
    channel_axis : int, or None
        The axis of x that holds the channels, 0 where there are none and all axes are of places;
        None where that is not known, as of a table.
    exact : (n,) bool
        Rows whose answer is exact.
    unit : str
        What is explained, and base values and predictions are: "probability", "log odds", "minus
        squared loss"; "" where that is not known, as of what a function or a regressor gives.
    runs : (n,) str
        What computed each row's values, where the summary had a choice: a closed form, enumeration,
        walks. `ran` is all of them in one string.
    recipe : dict, or None
        The keywords that `explain` was given beside model, x and target, so that other rows can
        be explained likewise; None after `load`.
    spent : int, or None
        Model rows used for all rows together, not rounded; None where `evaluations` is all that is
        known: of some of the rows, after `load`.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.datasets import load_iris
    >>> import xai
    >>> X, y = load_iris(return_X_y=True)
    >>> e = xai.explain(LogisticRegression(max_iter=500).fit(X, y), X[:2], data=X[::5])
    >>> e.values.shape, len(e[0])
    ((2, 4), 1)
    """

    values: Floats
    base_values: Floats
    predictions: Floats
    std_error: Floats | None
    evaluations: int
    converged: NDArray[np.bool_] | None
    interactions: Floats | None
    info: dict[str, NDArray[Any]]
    data: Any
    feature_names: list[str]
    output_names: list[str]
    target: NDArray[np.intp]
    players: str
    method: str
    removal: str
    behavior: str
    summary: str
    seed: int
    element_players: NDArray[np.intp]
    exact: NDArray[np.bool_]
    runs: NDArray[np.str_]
    channel_axis: int | None = None
    spans: NDArray[np.intp] | None = None
    activations: Floats | None = None
    layer: str = ""
    layer_axis: int = 1
    unit: str = ""
    versions: dict[str, str] = field(default_factory=versions)
    recipe: dict[str, Any] | None = None
    spent: int | None = None

    def __len__(self) -> int:
        return len(self.values)

    def total_evaluations(self) -> int:
        """Model rows used for all rows together: at most so many, where rounded ones are known."""
        return self.evaluations * len(self) if self.spent is None else self.spent

    @property
    def ran(self) -> str:
        """What computed the values of any row."""
        return ", ".join(sorted(set(self.runs.tolist()) - {""}))

    @property
    def _has_outputs(self) -> bool:
        return self.base_values.ndim == 2

    def _per_player(self) -> Floats:
        """Values as (n, d[, k]), players flat."""
        shape = self.values.shape[1:]
        players, outputs = (shape[:-1], shape[-1:]) if self._has_outputs else (shape, ())
        return self.values.reshape(len(self), math.prod(players), *outputs)

    def __getitem__(self, rows: int | slice | Sequence[int] | NDArray[Any]) -> Explanation:
        """A batch of the chosen rows: an int keeps a batch of one."""
        if is_whole(rows):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"row {rows} is out of range for {len(self)} explained rows")
            rows = [int(rows) % len(self)]
        if not isinstance(rows, slice):
            chosen = np.asarray(rows)
            chosen = chosen if chosen.size else chosen.astype(np.intp)  # an empty list has floats
            if isinstance(rows, tuple) or chosen.ndim != 1 or chosen.dtype.kind not in "iub":
                column = " (of players: explanation.values[:, j])" * isinstance(rows, tuple)
                raise IndexError(
                    f"rows are an int, a slice, a list or a mask, not {rows!r}{column}"
                )
            rows = chosen
        index = np.arange(len(self))[rows].copy()  # torch takes no steps back

        def pick(array: Any) -> Any:
            return None if array is None else array[index]

        same = len(self.element_players) == len(self)
        return replace(
            self,
            feature_names=self.names_of(int(index[0])) if len(index) == 1 else self.feature_names,
            values=self.values[index],
            base_values=self.base_values[index],
            predictions=self.predictions[index],
            std_error=None if self.exact[index].all() else pick(self.std_error),
            exact=self.exact[index],
            runs=self.runs[index],
            converged=pick(self.converged),
            interactions=pick(self.interactions),
            info={key: value[index] for key, value in self.info.items()},
            data=take_rows(self.data, index) if same else self.data,
            target=self.target[index],
            element_players=pick(self.element_players) if same else self.element_players,
            activations=pick(self.activations),
            recipe=self._recipe_of(index) if same else self.recipe,
            spent=None,
        )

    def _recipe_of(self, rows: NDArray[np.intp]) -> dict[str, Any] | None:
        """The recipe for some of these rows, which may come more than once."""
        if self.recipe is None:
            return None
        from xai.again import rows_of

        return rows_of(self.recipe, rows, len(self), self.element_players.shape[1:])

    @property
    def is_text(self) -> bool:
        """Whether the players are words of texts."""
        return isinstance(self.data, list) and self.players == "Tokens()"

    def names_of(self, row: int) -> list[str]:
        """Names of a row's players: its words where rows are texts, else `feature_names`.

        Names that were given stay; where a text has fewer words than others, "" fills up.
        """
        names = list(self.feature_names)
        if not self.is_text or names != [str(i) for i in range(len(names))]:
            return names
        words = words_of(self.data[row])
        return words + [""] * (len(names) - len(words))

    def map(self, *, signed: bool = False) -> Floats:
        """Values over the input's shape: `(n, *x.shape[1:][, k])`.

        Every element carries its group's whole value (as captum's do), or the mean of the windows
        over it; 0 where an element belongs to no player. Of a layer's channels it is the sum of
        their activation maps times their values, scaled up; negative parts are cut off, as class
        activation maps do, unless `signed`. Of a layer's units, their values' sum.

        Raises
        ------
        ValueError
            There is no map: of a data set as a whole, or of a layer without feature maps.
        """
        if self.layer:
            return self._map_of_layer(signed=signed)
        if len(self.element_players) != len(self):
            raise ValueError(
                "a data-set explanation has no map: its values are of all rows at once"
            )
        flat = self._per_player()
        if self.spans is not None:
            return self._mean_of_windows(flat, self.spans)
        shape = self.element_players.shape
        owner = self.element_players.reshape(
            len(self), math.prod(shape[1:]), *[1] * (flat.ndim - 2)
        )
        out = np.take_along_axis(flat, np.maximum(owner, 0), axis=1)
        return np.where(owner < 0, 0.0, out).reshape(shape + flat.shape[2:])

    def _map_of_layer(self, *, signed: bool) -> Floats:
        """Values in a layer laid over the image."""
        if self.activations is None or self.channel_axis is None:
            raise ValueError(f"layer {self.layer!r} has no feature maps to lay over an image")
        shape, axis, maps = self.element_players.shape, self.channel_axis, self.activations
        values = self._per_player()
        values = values if self._has_outputs else values[..., None]
        if values.shape[1] == maps.shape[1]:
            small = np.einsum("nck,nc...->nk...", values, maps)
            small = small if signed else np.maximum(small, 0)
        else:
            small = self._sum_of_units(values)
        large = np.moveaxis(resize(small, *sides_of(shape[1:], axis)), 1, -1)
        large = np.broadcast_to(with_channels(large, axis), (*shape, large.shape[-1]))
        return large if self._has_outputs else large[..., 0]

    def _sum_of_units(self, values: Floats) -> Floats:
        """Sums over channels (n, k, *places) of units' values (n, d, k)."""
        from xai.layers import feature_maps

        assert self.activations is not None
        assert self.channel_axis is not None
        shape = self.values.shape[1:-1] if self._has_outputs else self.values.shape[1:]
        sides = sides_of(self.element_players.shape[1:], self.channel_axis)
        parts = []
        for k in range(values.shape[2]):
            maps = feature_maps(values[..., k].reshape(-1, *shape), self.layer_axis, sides)
            assert maps is not None
            parts.append(maps.sum(axis=1))
        return np.stack(parts, axis=1)

    def _mean_of_windows(self, flat: Floats, spans: NDArray[np.intp]) -> Floats:
        """For each pixel the mean value of the windows over it, in all channels."""
        axis = self.channel_axis
        assert axis is not None  # only what has places has windows
        sides = sides_of(self.element_players.shape[1:], axis)
        total = np.zeros((len(flat), *sides, *flat.shape[2:]))
        count = np.zeros((*sides, *[1] * (flat.ndim - 2)), int)
        for i, span in enumerate(spans):
            at = tuple(slice(*ends) for ends in span.reshape(-1, 2))
            total[:, *at] += flat[:, i].reshape(len(flat), *[1] * len(sides), *flat.shape[2:])
            count[at] += 1
        shape = self.element_players.shape + flat.shape[2:]
        return np.broadcast_to(with_channels(total / count, axis), shape).astype(flat.dtype)

    def top(self, k: int) -> NDArray[np.intp]:
        """Indices of the `k` players largest by |value|: `(n, k)`, or `(n, k, outputs)`.

        Players that a row does not have come last.

        Raises
        ------
        ValueError
            `k` is not from 1 to the number of players.
        """
        flat = self._per_player()
        if not is_whole(k) or not 1 <= k <= flat.shape[1]:
            raise ValueError(f"top({k!r}): there are {flat.shape[1]} players")
        size = np.where(np.isnan(flat), -1.0, np.abs(flat))
        return np.argsort(-size, axis=1, kind="stable")[:, :k]

    def to_frame(self) -> pandas.DataFrame:
        """A long pandas table: row, output, feature, value, std_error, base value, prediction.

        The error is NaN where it is unknown, and in rows whose answer is exact. A row of x has a
        line for each player that it has itself.
        """
        pandas = require("pandas", "pandas")
        flat = self._per_player()
        n, d = flat.shape[:2]
        k = flat.shape[2] if self._has_outputs else 1
        errors = np.full((n, d, k), np.nan)
        if self.std_error is not None:
            errors = np.where(self.exact[:, None, None], np.nan, self.std_error.reshape(n, d, k))
        target = self.target.reshape(n, k) if self.target.size == n * k else np.zeros((n, k), int)
        row, player, output = (a.ravel() for a in np.indices((n, d, k)))
        names = np.array([self.names_of(i) for i in range(n)], object)
        outputs = np.array([*self.output_names], object)
        frame = pandas.DataFrame(
            {
                "row": row,
                "output": outputs[target[row, output]],
                "feature": names[row, player] if names.shape == (n, d) else player,
                "value": flat.ravel(),
                "std_error": errors.ravel(),
                "base_value": self.base_values.reshape(n, k)[row, output],
                "prediction": self.predictions.reshape(n, k)[row, output],
            }
        )
        return frame[~np.isnan(flat.ravel())].reset_index(drop=True)  # NaN pads rows with fewer

    def to_shap(self) -> shap.Explanation:
        """The same numbers as a `shap.Explanation`, so that all of shap's plots work.

        See `xai.foreign.to_shap`.
        """
        from xai.foreign import to_shap

        return to_shap(self)

    @staticmethod
    def from_shap(found: shap.Explanation) -> Explanation:
        """A `shap.Explanation` as one of ours, for plots, reports and metrics.

        See `xai.foreign.from_shap`.
        """
        from xai.foreign import from_shap

        return from_shap(found)

    @property
    def output_labels(self) -> list[str]:
        """One name for each place on the last axis of `values`.

        A ValueError where one output of each row is explained: there is no such axis.
        """
        if not self._has_outputs:
            raise ValueError(
                "one output of each row is explained: output_names[target] is its name"
            )
        target = self.target.reshape(-1, self.values.shape[-1])
        if len(target) == 0 or (target != target[0]).any():
            return [f"top {place + 1}" for place in range(target.shape[1])]
        return [self.output_names[index] for index in target[0]]

    def save(self, path: str | PathLike[str]) -> None:
        """Write one npz file at that very path: arrays, and JSON for the rest; no pickle.

        Raises
        ------
        TypeError
            Explained rows, or `info`, hold something that would not come back as it is.
        """
        arrays = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        arrays |= {f"info/{key}": np.asarray(value) for key, value in self.info.items()}
        meta = {name: getattr(self, name) for name in _TEXTS}
        meta["data"], data_arrays = pack(self.data)
        write(path, {"json": np.array(json.dumps(meta)), **arrays, **data_arrays})

    def plot(self, kind: str | None = None, **options: Any) -> Any:
        """Draw the right picture for the kind of data; see `xai.plots.plot`."""
        from xai import plots

        return plots.plot(self, kind, **options)

    def to_html(self, path: str | PathLike[str], **options: Any) -> Path:
        """Write one self-contained interactive page; see `xai.report.page` for the options."""
        from xai import report

        return report.page({self.method: self}, path, **options)

    def _repr_html_(self) -> str:
        from xai import report

        return report.fragment(self)

    def __repr__(self) -> str:
        players = "×".join(map(str, self.values.shape[1:]))
        ran = f" (ran: {self.ran})" if self.ran else ""
        return (
            f"Explanation(method={self.method!r}, rows={len(self)}, values={players}, "
            f"evaluations={self.evaluations}, removal={self.removal}, behavior={self.behavior}, "
            f"summary={self.summary}{ran}, seed={self.seed})"
        )


_ARRAYS = (
    "values",
    "base_values",
    "predictions",
    "std_error",
    "converged",
    "interactions",
    "target",
    "element_players",
    "spans",
    "activations",
    "exact",
    "runs",
)
_TEXTS = (
    "evaluations",
    "feature_names",
    "output_names",
    "players",
    "method",
    "removal",
    "behavior",
    "summary",
    "seed",
    "channel_axis",
    "layer",
    "layer_axis",
    "unit",
    "versions",
)


_UNREADABLE = (ValueError, AttributeError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
"""What NumPy says of a file that is no npz, is damaged, or has pickles in it."""


def load(path: str | PathLike[str]) -> Explanation:
    """Read an explanation that `Explanation.save` wrote.

    Data come back as they were, with their dtypes, index and categories; tensors as arrays, and
    sparse matrices of any format as CSR.

    Raises
    ------
    ValueError
        The file was not written by `Explanation.save`.

    Examples
    --------
    >>> import numpy as np, tempfile, xai
    >>> e = xai.explain(lambda x: x.sum(axis=1), np.ones((1, 2)), "occlusion", removal="baseline")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     e.save(f"{folder}/e.npz")
    ...     load(f"{folder}/e.npz").values
    array([[1., 1.]])
    """
    refusal = f"{path} is no explanation: it was not written by Explanation.save"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except _UNREADABLE as error:
        raise ValueError(refusal) from error
    if "json" not in arrays:
        raise ValueError(refusal)
    meta = json.loads(str(arrays["json"]))
    data = unpack(meta.pop("data"), arrays)
    info = {key[5:]: value for key, value in arrays.items() if key.startswith("info/")}
    read: dict[str, Any] = {name: arrays.get(name) for name in _ARRAYS} | meta
    return Explanation(data=data, info=info, **read)


def take_rows(data: Any, index: NDArray[np.intp]) -> Any:
    """The chosen rows of an array, tensor, sparse matrix, DataFrame or list."""
    if data is None:
        return None
    if isinstance(data, list):
        return [data[i] for i in index]
    if hasattr(data, "iloc"):
        return data.iloc[index]
    return data[index]
