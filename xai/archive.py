"""Explained data as JSON and plain arrays, and back: values and dtypes, no pickle.

`pack` refuses what it cannot bring back as it was, except where it says so: a tensor comes back
as an array, and rows of a sparse matrix of any format as CSR.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from importlib import import_module
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.inputs import is_tensor, on_host
from xai.tables import is_missing

Arrays: TypeAlias = dict[str, NDArray[Any]]
Meta: TypeAlias = dict[str, Any]


def require(module: str, extra: str) -> Any:
    """Import an optional package, or say how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        name = f"xai-removal[{extra}]" if extra != module or module == "shap" else module
        raise ImportError(f'this needs {module}: pip install "{name}"') from error


def as_array(data: Any) -> NDArray[Any] | None:
    """Explained data as one NumPy array, where they are a block of numbers or objects."""
    if data is None or isinstance(data, list):
        return None
    if hasattr(data, "toarray"):
        return np.asarray(data.toarray())
    if is_tensor(data):
        return np.asarray(on_host(data))
    if hasattr(data, "write_ipc") and any(dtype.is_temporal() for dtype in data.dtypes):
        # polars would make days of dates beside numbers, or mixes neither
        return np.column_stack([np.array(column.to_list(), object) for column in data])
    return np.asarray(data.to_numpy() if hasattr(data, "to_numpy") else data)


def same_rows(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether rows are equal, to the precision that both have; what is missing equals itself."""
    if a.shape != b.shape:
        return False
    if object in (a.dtype, b.dtype):
        return all(map(_same_cell, a.ravel(), b.ravel()))
    if a.dtype.kind == b.dtype.kind == "f":
        coarser = min(a.dtype, b.dtype, key=lambda dtype: dtype.itemsize)
        with np.errstate(over="ignore"):
            a, b = a.astype(coarser), b.astype(coarser)
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _same_cell(a: object, b: object) -> bool:
    """Whether two cells are equal, of which pandas.NA would not say."""
    missing = is_missing(a), is_missing(b)
    return all(missing) if any(missing) else bool(a == b)


def in_days(column: NDArray[Any]) -> NDArray[np.float64] | None:
    """A column of dates as days since 1970 in UTC, NaN where one is missing; None of any other."""
    if column.dtype == object:
        absent = [is_missing(value) for value in column]
        if all(absent) or not all(
            gone or isinstance(value, datetime.date | np.datetime64)
            for value, gone in zip(column, absent, strict=True)
        ):
            return None
        column = np.array([_naive(v, gone) for v, gone in zip(column, absent, strict=True)])
    if column.dtype.kind != "M":
        return None
    since = column.astype("M8[us]") - np.datetime64(0, "us")
    return np.asarray(since / np.timedelta64(1, "D"))


def _naive(value: Any, missing: bool) -> Any:
    """A date without its time zone, which NumPy has none of."""
    if missing:
        return np.datetime64("NaT", "us")
    if getattr(value, "tzinfo", None) is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return np.datetime64(value).astype("M8[us]")


def in_numbers(column: NDArray[Any]) -> tuple[NDArray[np.float64], list[str]]:
    """A column as floats, or as codes of its sorted categories, and these."""
    numbers = column
    if column.dtype.kind in "mM":  # NumPy makes a number of a date that is missing
        return np.where(np.isnat(column), np.nan, column.astype(float)), []
    if column.dtype == object:  # None and NA are missing numbers, and no categories
        numbers = np.where([is_missing(value) for value in column], np.nan, column)
    try:
        return numbers.astype(float), []
    except (TypeError, ValueError):
        texts = np.array([category_name(value) for value in column])
        kinds, codes = np.unique(texts, return_inverse=True)
        return codes.astype(float), kinds.tolist()


def category_name(value: object) -> str:
    """A category in one line."""
    return " ".join(str(value).split())


def write(path: str | PathLike[str], arrays: dict[str, Any]) -> None:
    """Write one npz file at that very path; what would need pickle is refused before.

    Raises
    ------
    TypeError
        An array holds objects.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name} holds objects, which no file without pickle keeps")
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)  # NumPy 2.1 takes allow_pickle= for one of them


def pack(data: Any) -> tuple[Meta, Arrays]:
    """Split explained data into JSON and plain arrays.

    Raises
    ------
    TypeError
        A value or dtype that would not come back as it is; the message names its column.
    """
    if data is None:
        return {"kind": "none"}, {}
    if isinstance(data, list):
        return {"kind": "list", "items": data}, {}
    if hasattr(data, "toarray"):
        return _pack_sparse(data)
    if hasattr(data, "iloc"):
        return _pack_pandas(data)
    if hasattr(data, "write_ipc"):
        return _pack_polars(data)
    array = as_array(data)
    assert array is not None
    if array.dtype == object:
        cells = _pack_cells(array.ravel().tolist(), "the explained rows")
        return {"kind": "objects", "cells": cells, "shape": list(array.shape)}, {}
    return {"kind": "array"}, {"data": array}


def unpack(meta: Meta, arrays: Arrays) -> Any:
    """Put together what `pack` split."""
    if meta["kind"] not in _UNPACK:
        raise ValueError(f"the explained rows are {meta['kind']!r}, unknown to this version of xai")
    return _UNPACK[meta["kind"]](meta, arrays)


def _unpack_objects(meta: Meta, arrays: Arrays) -> NDArray[Any]:
    flat = np.empty(len(meta["cells"]), object)
    flat[:] = [_unpack_cell(cell) for cell in meta["cells"]]
    return flat.reshape(meta["shape"])


# ---------------------------------------------------------------------------------------------
# Cells


_WORDS: dict[str, Callable[[str], Any]] = {
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "Timestamp": lambda text: require("pandas", "pandas").Timestamp(text),
    "Timedelta": lambda text: require("pandas", "pandas").Timedelta(text),
    "NaTType": lambda text: require("pandas", "pandas").NaT,
    "NAType": lambda text: require("pandas", "pandas").NA,
}
"""How values that JSON lacks are read from their `str`, by the name of their type."""

_WITHOUT = "Save without the explained rows: dataclasses.replace(explanation, data=None).save(path)"


def _pack_cells(cells: list[Any], where: str) -> list[Any]:
    return [_pack_cell(cell, where) for cell in cells]


def _pack_cell(cell: Any, where: str) -> Any:
    kind = type(cell)
    if cell is None or kind in (bool, int, float, str):
        return cell
    if kind is tuple:
        return {"tuple": _pack_cells(list(cell), where)}
    if isinstance(cell, np.generic) and cell.dtype.kind in "biufUmM" and cell.dtype.itemsize != 16:
        value = str(cell) if cell.dtype.kind == "M" else _plain(cell)
        return {"numpy": cell.dtype.str, "value": value}
    if kind.__name__ in _WORDS:
        packed = {kind.__name__: str(cell)}
        back = _unpack_cell(packed)
        if type(back) is kind and repr(back) == repr(cell):
            return packed
    raise TypeError(
        f"cannot save {cell!r} in {where}: a file holds numbers, words and dates. {_WITHOUT}"
    )


def _plain(cell: Any) -> Any:
    return cell.astype(np.int64).item() if cell.dtype.kind == "m" else cell.item()


def _unpack_cell(cell: Any) -> Any:
    if not isinstance(cell, dict):
        return cell
    if "tuple" in cell:
        return tuple(_unpack_cell(part) for part in cell["tuple"])
    if "numpy" in cell:
        return np.array(cell["value"], dtype=cell["numpy"])[()]
    ((name, text),) = cell.items()
    return _WORDS[name](text)


# ---------------------------------------------------------------------------------------------
# Sparse matrices and DataFrames


def _pack_sparse(data: Any) -> tuple[Meta, Arrays]:
    from scipy import sparse

    coo = data.tocoo()
    matrix = isinstance(data, sparse.spmatrix)
    meta = {"kind": "sparse", "shape": list(data.shape), "matrix": matrix}
    return meta, {"data/row": coo.row, "data/col": coo.col, "data/value": coo.data}


def _unpack_sparse(meta: Meta, arrays: Arrays) -> Any:
    from scipy import sparse

    kind = sparse.csr_matrix if meta["matrix"] else sparse.csr_array
    places = (arrays["data/row"], arrays["data/col"])
    return kind((arrays["data/value"], places), shape=tuple(meta["shape"]))


def _pack_polars(frame: Any) -> tuple[Meta, Arrays]:
    buffer = io.BytesIO()
    try:
        frame.write_ipc(buffer)
    except Exception as error:  # polars' errors share no base class with Python's
        raise TypeError(f"cannot save the explained polars rows: {error}") from error
    return {"kind": "polars"}, {"data": np.frombuffer(buffer.getvalue(), np.uint8)}


def _unpack_polars(meta: Meta, arrays: Arrays) -> Any:
    return require("polars", "polars").read_ipc(io.BytesIO(arrays["data"].tobytes()))


def _pack_pandas(frame: Any) -> tuple[Meta, Arrays]:
    parts = {
        str(i): _pack_series(frame.iloc[:, i], f"column {label!r}")
        for i, label in enumerate(frame.columns)
    }
    parts["index"] = _pack_index(frame.index, "the index")
    parts["labels"] = _pack_index(frame.columns, "the column names")
    meta = {"kind": "pandas", "parts": {name: part for name, (part, _) in parts.items()}}
    return meta, {f"data/{name}": array for name, (_, array) in parts.items() if array is not None}


def _unpack_pandas(meta: Meta, arrays: Arrays) -> Any:
    pandas = require("pandas", "pandas")
    parts = {name: (part, arrays.get(f"data/{name}")) for name, part in meta["parts"].items()}
    index, labels = (_unpack_index(*parts.pop(name)) for name in ("index", "labels"))
    frame = pandas.DataFrame({name: _unpack_series(*part) for name, part in parts.items()})
    return frame.set_axis(index, axis=0).set_axis(labels, axis=1)


def _pack_series(series: Any, where: str) -> tuple[Meta, NDArray[Any] | None]:
    """A Series as an array where NumPy has its dtype, else as cells and the dtype's name."""
    import pandas

    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return {}, series.to_numpy()
    if isinstance(dtype, pandas.DatetimeTZDtype):
        return {"zone": str(dtype)}, series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    if isinstance(dtype, pandas.CategoricalDtype):
        categories, array = _pack_series(dtype.categories.to_series(), where)
        codes = series.cat.codes.tolist()
        return {"categories": categories, "ordered": bool(dtype.ordered), "codes": codes}, array
    meta = {"dtype": str(dtype), "cells": _pack_cells(series.tolist(), where)}
    try:
        same = bool(_unpack_series(meta, None).equals(series.reset_index(drop=True)))
    except (TypeError, ValueError):
        same = False
    if not same:
        raise TypeError(f"cannot save {where}: its dtype {dtype} would not come back. {_WITHOUT}")
    return meta, None


def _unpack_series(meta: Meta, array: NDArray[Any] | None) -> Any:
    pandas = require("pandas", "pandas")
    if "categories" in meta:
        categories = pandas.Index(_unpack_series(meta["categories"], array))
        dtype = pandas.CategoricalDtype(categories, meta["ordered"])
        return pandas.Series(pandas.Categorical.from_codes(meta["codes"], dtype=dtype))
    if "zone" in meta:
        return pandas.Series(array).dt.tz_localize("UTC").astype(meta["zone"])
    if array is not None:
        return pandas.Series(array)
    return pandas.Series([_unpack_cell(cell) for cell in meta["cells"]], dtype=meta["dtype"])


def _pack_index(index: Any, where: str) -> tuple[Meta, NDArray[Any] | None]:
    import pandas

    names = {"names": _pack_cells(list(index.names), f"the names of {where}")}
    if isinstance(index, pandas.RangeIndex):
        return names | {"range": [index.start, index.stop, index.step]}, None
    if isinstance(index, pandas.MultiIndex):
        return names | {"levels": _pack_cells(index.tolist(), where)}, None
    meta, array = _pack_series(index.to_series(), where)
    return names | meta, array


def _unpack_index(meta: Meta, array: NDArray[Any] | None) -> Any:
    pandas = require("pandas", "pandas")
    names = [_unpack_cell(name) for name in meta["names"]]
    if "range" in meta:
        return pandas.RangeIndex(*meta["range"], name=names[0])
    if "levels" in meta:
        rows = [_unpack_cell(row) for row in meta["levels"]]
        return pandas.MultiIndex.from_tuples(rows, names=names)
    return pandas.Index(_unpack_series(meta, array), name=names[0])


_UNPACK: dict[str, Callable[[Meta, Arrays], Any]] = {
    "none": lambda meta, arrays: None,
    "list": lambda meta, arrays: meta["items"],
    "array": lambda meta, arrays: arrays["data"],
    "objects": _unpack_objects,
    "sparse": _unpack_sparse,
    "pandas": _unpack_pandas,
    "polars": _unpack_polars,
}
