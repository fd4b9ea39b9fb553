"""The labelled result of `explain`: numbers, their errors, and how they came about."""

from __future__ import annotations

import json
import platform
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai._version import __version__

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
        Monte-Carlo standard error; None where the answer is exact, NaN where unknown.
    evaluations : int
        Model rows used per explained row, rounded up.
    converged : (n,) bool, or None
        Whether `tolerance` was met.
    interactions : (n, d, d[, k]), or None
    info : dict of (n,) arrays
    data, feature_names, output_names, target, players, method, removal, behavior, summary, seed
        What was explained and how, with `versions`.
    element_players : (n, *shape) int array
        The player that owns each element of x; -1 where none does.
    ran : str
        What computed the values, where the summary had a choice: a closed form, enumeration, walks.

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
    channel_axis: int | None = None
    ran: str = ""
    versions: dict[str, str] = field(default_factory=versions)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def _has_outputs(self) -> bool:
        return self.base_values.ndim == 2

    def _per_player(self) -> Floats:
        """Values as (n, d[, k]), players flat."""
        if self._has_outputs:
            return self.values.reshape(len(self), -1, self.values.shape[-1])
        return self.values.reshape(len(self), -1)

    def __getitem__(self, rows: int | slice | Sequence[int] | NDArray[Any]) -> Explanation:
        """A batch of the chosen rows: an int keeps a batch of one."""
        if isinstance(rows, int | np.integer):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"row {rows} is out of range for {len(self)} explained rows")
            rows = [int(rows) % len(self)]
        index = np.arange(len(self))[rows if isinstance(rows, slice) else np.asarray(rows)]

        def pick(array: Any) -> Any:
            return None if array is None else array[index]

        same = len(self.element_players) == len(self)
        return replace(
            self,
            values=self.values[index],
            base_values=self.base_values[index],
            predictions=self.predictions[index],
            std_error=pick(self.std_error),
            converged=pick(self.converged),
            interactions=pick(self.interactions),
            info={key: value[index] for key, value in self.info.items()},
            data=take_rows(self.data, index) if same else self.data,
            target=self.target[index],
            element_players=pick(self.element_players) if same else self.element_players,
        )

    def map(self) -> Floats:
        """Values over the input's shape: `(n, *x.shape[1:][, k])`.

        Every element carries its group's whole value (as captum's do); 0 where an element
        belongs to no player.
        """
        if len(self.element_players) != len(self):
            raise ValueError(
                "a data-set explanation has no map: its values are of all rows at once"
            )
        flat = self._per_player()
        owner = self.element_players.reshape(len(self), -1)
        out = np.take_along_axis(
            flat,
            np.maximum(owner, 0)[..., None] if flat.ndim == 3 else np.maximum(owner, 0),
            axis=1,
        )
        out = np.where(owner[..., None] < 0 if flat.ndim == 3 else owner < 0, 0.0, out)
        return out.reshape(self.element_players.shape + flat.shape[2:])

    def top(self, k: int) -> NDArray[np.intp]:
        """Indices of the `k` players largest by |value|: `(n, k)`, or `(n, k, outputs)`."""
        flat = self._per_player()
        if not 1 <= k <= flat.shape[1]:
            raise ValueError(f"top({k}): there are {flat.shape[1]} players")
        size = np.where(np.isnan(flat), -1.0, np.abs(flat))
        return np.argsort(-size, axis=1, kind="stable")[:, :k]

    def to_frame(self) -> pandas.DataFrame:
        """A long pandas table: row, output, feature, value, std_error, base value, prediction."""
        pandas = _require("pandas", "pandas")
        flat = self._per_player()
        n, d = flat.shape[:2]
        errors = None if self.std_error is None else self.std_error.reshape(n, d, -1)
        columns = flat.reshape(n, d, -1)
        k = columns.shape[2]
        target = self.target.reshape(n, k) if self.target.size == n * k else np.zeros((n, k), int)
        row, player, output = (a.ravel() for a in np.indices((n, d, k)))
        names = np.array([*self.feature_names], object)
        outputs = np.array([*self.output_names], object)
        return pandas.DataFrame(
            {
                "row": row,
                "output": outputs[target[row, output]],
                "feature": names[player] if len(names) == d else player,
                "value": columns.ravel(),
                "std_error": np.nan if errors is None else errors.ravel(),
                "base_value": self.base_values.reshape(n, k)[row, output],
                "prediction": self.predictions.reshape(n, k)[row, output],
            }
        )

    def to_shap(self) -> shap.Explanation:
        """The same numbers as a `shap.Explanation`, so that all of shap's plots work."""
        shap = _require("shap", "shap")
        data = as_array(self.data)
        fits = data is not None and data.shape == self.values.shape[: data.ndim]
        return shap.Explanation(
            values=np.array(self.values),
            base_values=np.array(self.base_values),
            data=data if fits else None,
            feature_names=list(self.feature_names) if self.feature_names else None,
            output_names=list(self.output_names) if self._has_outputs else None,
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write one npz file at that very path: arrays, and JSON for the rest; no pickle."""
        arrays = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        arrays |= {f"info/{key}": np.asarray(value) for key, value in self.info.items()}
        meta = {name: getattr(self, name) for name in _TEXTS}
        meta["data"], data_arrays = _pack(self.data)
        with open(path, "wb") as file:
            np.savez_compressed(
                file, allow_pickle=False, json=np.array(json.dumps(meta)), **arrays, **data_arrays
            )

    def plot(self, kind: str | None = None, **options: Any) -> Any:
        """Draw the right picture for the kind of data; see `xai.plots.plot`."""
        from xai import plots

        return plots.plot(self, kind, **options)

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
    "ran",
    "versions",
)


def load(path: str | PathLike[str]) -> Explanation:
    """Read an explanation that `Explanation.save` wrote.

    Data come back as NumPy arrays (a DataFrame as a pandas one where pandas is installed).
    """
    refusal = f"{path} is no explanation: it was not written by Explanation.save"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, AttributeError, zipfile.BadZipFile) as error:  # no npz, or one with pickles
        raise ValueError(refusal) from error
    if "json" not in arrays:
        raise ValueError(refusal)
    meta = json.loads(str(arrays["json"]))
    data = _unpack(meta.pop("data"), arrays)
    info = {key[5:]: value for key, value in arrays.items() if key.startswith("info/")}
    read: dict[str, Any] = {name: arrays.get(name) for name in _ARRAYS} | meta
    return Explanation(data=data, info=info, **read)


def take_rows(data: Any, index: NDArray[np.intp]) -> Any:
    """The chosen rows of an array, tensor, sparse matrix, DataFrame or list."""
    if isinstance(data, list):
        return [data[i] for i in index]
    if hasattr(data, "iloc"):
        return data.iloc[index]
    return data[index]


def as_array(data: Any) -> NDArray[Any] | None:
    """Explained data as one NumPy array, where they are a block of numbers or objects."""
    if data is None or isinstance(data, list):
        return None
    if hasattr(data, "toarray"):
        return np.asarray(data.toarray())
    if hasattr(data, "detach"):
        return np.asarray(data.detach().cpu().numpy())
    return np.asarray(data.to_numpy() if hasattr(data, "to_numpy") else data)


def _pack(data: Any) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Split explained data into JSON and plain arrays."""
    if isinstance(data, list):
        return {"kind": "list", "items": data}, {}
    columns = [str(c) for c in data.columns] if hasattr(data, "columns") else None
    if hasattr(data, "toarray"):
        coo = data.tocoo()
        parts = {"data/row": coo.row, "data/col": coo.col, "data/value": coo.data}
        return {"kind": "sparse", "shape": list(data.shape)}, parts
    if columns is not None:
        series = [data[c] for c in data.columns]
        cells = [np.asarray(s.to_numpy()) for s in series]
        plain = [c if c.dtype.kind in "biuf" else c.astype(str) for c in cells]
        return {"kind": "frame", "columns": columns}, {f"data/{i}": c for i, c in enumerate(plain)}
    array = as_array(data)
    assert array is not None
    if array.dtype.kind not in "biufcU":
        return {"kind": "array"}, {"data": array.astype(str)}
    return {"kind": "array"}, {"data": array}


def _unpack(meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Any:
    if meta["kind"] == "list":
        return meta["items"]
    if meta["kind"] == "sparse":
        from scipy import sparse

        places = (arrays["data/row"], arrays["data/col"])
        return sparse.csr_matrix((arrays["data/value"], places), shape=tuple(meta["shape"]))
    if meta["kind"] == "frame":
        pandas = _require("pandas", "pandas")
        return pandas.DataFrame(
            {name: arrays[f"data/{i}"] for i, name in enumerate(meta["columns"])}
        )
    return arrays["data"]


def _require(module: str, extra: str) -> Any:
    """Import an optional package, or say how to install it."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        name = f"xai-removal[{extra}]" if extra != module or module == "shap" else module
        raise ImportError(f'this needs {module}: pip install "{name}"') from error
