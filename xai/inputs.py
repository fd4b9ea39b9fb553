"""The explained rows as one block of numbers, and the way back to what the model takes.

Removals and players work on a *block*: a NumPy array, a torch tensor or a sparse matrix of shape
`(n, *shape)`. Tables with strings, categories or mixed types are encoded column by column (a
value becomes its place in the column's pool of values) and decoded for each model call, with
their names and dtypes, so a removal never meets a type and a model never meets a code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import narwhals as nw
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Block: TypeAlias = Any
"""A batch of rows: `numpy.ndarray`, `torch.Tensor` or `scipy.sparse.csr_array`."""


def is_tensor(x: object) -> bool:
    """Whether `x` is a torch tensor; never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


@dataclass
class Column:
    """How one column is encoded: `pool` None for numbers, else the values its codes stand for.

    Attributes
    ----------
    dtype : NumPy dtype of a column of numbers
    nullable : pandas' own dtype for such numbers ("Int64"), where the column has one
    integral : whether its numbers are (and stay) integers or booleans
    """

    dtype: Any
    pool: Any = None
    integral: bool = False
    nullable: Any = None

    def decode(self, codes: NDArray[Any]) -> Any:
        """Values of the column's own dtype; float where a replacement of an integer is none."""
        if self.pool is not None:
            return self.pool.take(codes.astype(np.intp))
        if not self.integral and self.dtype.kind != "f":
            return codes
        values = codes.astype(self.dtype)
        return values if self.nullable is None else self.nullable(values)


@dataclass
class Inputs:
    """Rows to explain, encoded.

    Attributes
    ----------
    block : Block, (n, *shape)
        The rows as numbers.
    decode : block -> what the user passed
        The inverse of the encoding.
    encode : (other rows, what they are called in messages) -> block
        Encodes background or baseline rows the same way.
    names : list of str, or None
        Column names of a table.
    categorical : (columns,) bool
        Columns whose numbers are codes (of categories), never amounts.
    """

    block: Block
    decode: Callable[[Block], Any]
    encode: Callable[[Any, str], Block]
    names: list[str] | None = None
    categorical: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    columns: list[Column] | None = None

    @property
    def n(self) -> int:
        """Number of explained rows."""
        return int(self.block.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return tuple(int(s) for s in self.block.shape[1:])

    def admit(self, replacement: NDArray[Any]) -> NDArray[Any]:
        """Fit replacement rows to the block's dtype.

        Integers (and booleans) stay what they are where every replacement is one of them;
        otherwise their column becomes float.
        """
        if is_tensor(self.block) or sparse.issparse(self.block):
            return replacement
        if self.columns is not None:
            for j, column in enumerate(self.columns):
                if column.integral and not _integral(replacement[:, j], column.dtype):
                    column.integral = False
        dtype = self.block.dtype
        if dtype.kind in "iub":
            return replacement.astype(dtype) if _integral(replacement, dtype) else replacement
        return replacement.astype(np.result_type(dtype, replacement.dtype), copy=False)


def _integral(values: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether all values can be cells of an integer or boolean dtype."""
    if values.dtype.kind == "b" or values.size == 0:
        return True
    if not np.all(np.isfinite(values)) or not np.all(values == np.rint(values)):
        return False
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return bool(values.min() >= low and values.max() <= high)


def read(x: Any, data: Any = None, *, accepts: Sequence[str] | None = None) -> Inputs:
    """Encode the explained rows.

    Parameters
    ----------
    x : (n, …) array, tensor, sparse matrix, DataFrame or list; 1-D or a Series is a batch of one
    data : background rows, for a column's values and a Series' dtypes
    accepts : the column names a fitted estimator wants, where it knows them

    Raises
    ------
    TypeError
        `x` is a string or no batch of rows.
    ValueError
        No rows, no columns, or columns that do not match by name.
    """
    if isinstance(x, str | bytes):
        raise TypeError("x is a plain string; pass a list of strings, one per row to explain")
    inputs = _read(x, data, accepts)
    if inputs.n == 0:
        raise ValueError("x has no rows: there is nothing to explain")
    if 0 in inputs.shape:
        raise ValueError(f"x has rows of shape {inputs.shape}: there is nothing to remove")
    return inputs


def _read(x: Any, data: Any, accepts: Sequence[str] | None) -> Inputs:
    if is_tensor(x):
        return _read_tensor(x)
    if sparse.issparse(x):
        return _read_sparse(x)
    if isinstance(x, dict):
        raise TypeError("x is a dict; pass a DataFrame or an array of rows")
    if nw.dependencies.is_into_series(x):
        x = _row_of_series(x, data)
    if nw.dependencies.is_into_dataframe(x):
        return _read_frame(x, data, accepts)
    if isinstance(x, list | tuple) and len(x) and all(isinstance(item, str) for item in x):
        from xai.text import read_text

        return read_text(list(x))
    return _read_array(x, data)


def _read_tensor(x: Any) -> Inputs:
    if x.ndim == 0:
        raise TypeError("x is a single number; pass a batch of rows")
    block = (x[None] if x.ndim == 1 else x).detach()

    def encode(rows: Any, what: str) -> Any:
        import torch

        other = torch.as_tensor(rows, device=block.device)
        if other.dtype != block.dtype and not block.dtype.is_floating_point:
            return _check_shape(other, block, what)
        return _check_shape(other.to(block.dtype).detach(), block, what)

    columns = int(block.shape[1]) if block.ndim == 2 else 0
    return Inputs(block, lambda b: b, encode, categorical=np.zeros(columns, bool))


def _read_sparse(x: Any) -> Inputs:
    block = sparse.csr_array(x)
    if block.ndim == 1:
        block = sparse.csr_array(block.reshape(1, -1))
    matrix = isinstance(x, sparse.spmatrix)

    def encode(rows: Any, what: str) -> Any:
        dense = np.atleast_2d(rows.toarray() if sparse.issparse(rows) else np.asarray(rows))
        other = sparse.csr_array(rows) if sparse.issparse(rows) else sparse.csr_array(dense)
        return _check_shape(other, block, what)

    def decode(batch: Any) -> Any:
        return sparse.csr_matrix(batch) if matrix else batch

    return Inputs(block, decode, encode, categorical=np.zeros(block.shape[1], bool))


def _read_array(x: Any, data: Any) -> Inputs:
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            "x is a masked array; fill it (x.filled(value)) or pass NaN for what is missing"
        )
    array = np.asarray(x)
    if array.ndim == 0:
        raise TypeError(f"x must be a batch of rows, not {type(x).__name__}")
    if nw.dependencies.is_into_dataframe(data) and array.ndim <= 2:
        raise ValueError(
            "data is a DataFrame but x has no column names: pass x as a DataFrame too, so that "
            "columns are matched by name and never by position"
        )
    array = array[None] if array.ndim == 1 else array
    if array.dtype.kind in "OUS":
        return _read_objects(array, data)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"x has dtype {array.dtype}: expected numbers, strings or categories")

    def encode(rows: Any, what: str) -> NDArray[Any]:
        _refuse_names(rows, what)
        other = _dense(rows)
        if other.dtype.kind not in "biuf":
            raise TypeError(f"{what} has dtype {other.dtype}, but x is numeric ({array.dtype})")
        return np.asarray(_check_shape(other, array, what))

    columns = array.shape[1] if array.ndim == 2 else 0
    return Inputs(array, lambda b: b, encode, categorical=np.zeros(columns, bool))


def _dense(rows: Any) -> NDArray[Any]:
    if sparse.issparse(rows):
        return np.asarray(rows.toarray())
    return np.asarray(rows.detach().cpu() if is_tensor(rows) else rows)


def _refuse_names(rows: Any, what: str) -> None:
    if nw.dependencies.is_into_dataframe(rows):
        raise ValueError(f"{what} is a DataFrame but x has no column names: pass x as one too")


def _check_shape(other: Any, block: Any, what: str) -> Any:
    if tuple(other.shape) == tuple(block.shape[1:]):
        other = other.reshape((1, *other.shape))
    if tuple(other.shape[1:]) != tuple(block.shape[1:]):
        raise ValueError(
            f"{what} has rows of shape {tuple(other.shape[1:])}, "
            f"but the rows of x have shape {tuple(block.shape[1:])}"
        )
    if other.shape[0] == 0:
        raise ValueError(f"{what} has no rows")
    return other


# ---------------------------------------------------------------------------------------------
# Tables with names, strings or categories


def _encode_columns(
    series: list[list[Any]], numeric: list[bool]
) -> tuple[list[NDArray[np.float64]], list[list[Any] | None]]:
    """Code each column of several tables: the blocks, and the values that codes stand for."""
    blocks = [np.empty((len(table[0]), len(table))) for table in series]
    pools: list[list[Any] | None] = []
    for j, is_number in enumerate(numeric):
        if is_number:
            pools.append(None)
            for block, table in zip(blocks, series, strict=True):
                block[:, j] = np.asarray(table[j], np.float64)
            continue
        codes: dict[Any, int] = {}
        pool: list[Any] = []
        for block, table in zip(blocks, series, strict=True):
            for i, value in enumerate(table[j]):
                key = None if _missing(value) else value
                if key not in codes:
                    codes[key] = len(pool)
                    pool.append(value)
                block[i, j] = codes[key]
        pools.append(pool)
    return blocks, pools


def _missing(value: object) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _pool_encoder(
    columns: list[Column], pools: list[list[Any] | None], names: Sequence[str]
) -> Callable[[list[Any], str], NDArray[np.float64]]:
    """Encode further rows, given as columns, with values that are already known."""
    lookups = [
        None if pool is None else {None if _missing(v) else v: i for i, v in enumerate(pool)}
        for pool in pools
    ]

    def encode(table: list[Any], what: str) -> NDArray[np.float64]:
        out = np.empty((len(table[0]), len(columns)))
        for j, (lookup, cells) in enumerate(zip(lookups, table, strict=True)):
            if lookup is None:
                out[:, j] = np.asarray(cells, np.float64)
                continue
            for i, value in enumerate(cells):
                key = None if _missing(value) else value
                if key not in lookup:
                    raise ValueError(
                        f"{what}: column {names[j]!r} has the value {value!r}, "
                        "which occurs neither in x nor in data"
                    )
                out[i, j] = lookup[key]
        return out

    return encode


def _read_objects(array: NDArray[Any], data: Any) -> Inputs:
    """A NumPy array of strings or mixed objects."""
    if array.ndim != 2:
        raise TypeError(f"x has dtype {array.dtype} and {array.ndim} dimensions: expected a table")
    d = array.shape[1]
    other = None
    if data is not None:
        _refuse_names(data, "data")
        other = np.asarray(data)
        other = other[None] if other.ndim == 1 else other
        _check_shape(other, array, "data")
    tables = [array] if other is None else [array, other]
    numeric = [all(_is_number(v) for t in tables for v in t[:, j]) for j in range(d)]
    blocks, pools = _encode_columns([[t[:, j] for j in range(d)] for t in tables], numeric)
    columns = [
        Column(array.dtype, None if pool is None else _object_array(pool, array.dtype))
        for pool in pools
    ]
    encode_columns = _pool_encoder(columns, pools, [str(j) for j in range(d)])

    def encode(rows: Any, what: str) -> NDArray[np.float64]:
        _refuse_names(rows, what)
        values = np.asarray(rows)
        values = values[None] if values.ndim == 1 else values
        _check_shape(values, array, what)
        return encode_columns([values[:, j] for j in range(d)], what)

    def decode(batch: NDArray[Any]) -> NDArray[Any]:
        out = np.empty(batch.shape, array.dtype)
        for j, column in enumerate(columns):
            out[:, j] = column.decode(batch[:, j])
        return out

    return Inputs(blocks[0], decode, encode, categorical=~np.array(numeric))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number | np.bool_)


def _object_array(pool: list[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    out = np.empty(len(pool), dtype)
    out[:] = pool
    return out


def _labels(frame: Any) -> list[Any]:
    return list(frame.columns)


def _match(frame: Any, wanted: list[Any], what: str, of: str) -> Any:
    """The frame's columns in the wanted order, or an error naming what is missing or extra."""
    labels = _labels(frame)
    if len(set(labels)) != len(labels):
        raise ValueError(f"{what} has columns of the same name: {labels}")
    missing = [c for c in wanted if c not in labels]
    extra = [c for c in labels if c not in wanted]
    if missing or extra:
        told = [f"lacks {missing}"] * bool(missing) + [f"has the extra {extra}"] * bool(extra)
        raise ValueError(f"{what} {' and '.join(told)}, by the columns of {of}")
    return frame[wanted]


def _row_of_series(x: Any, data: Any) -> Any:
    """A Series as a table of one row; its dtypes come from `data`."""
    if not hasattr(x, "index"):
        return np.asarray(x.to_numpy())[None]
    frame = x.to_frame().T
    if nw.dependencies.is_into_dataframe(data):
        matched = _match(frame, [c for c in _labels(frame) if c in _labels(data)], "x", "x")
        frame = matched.astype({c: data[c].dtype for c in _labels(matched)})
        return frame if len(_labels(frame)) == len(x) else x.to_frame().T.infer_objects()
    return frame.infer_objects()


def _cells(frame: Any) -> list[Any]:
    return [np.asarray(frame[c].to_numpy()) for c in _labels(frame)]


def _numeric(series: Any) -> bool:
    """Whether a column's values are amounts that float64 holds without loss."""
    column = nw.from_native(series, series_only=True)
    dtype = column.dtype
    if not (dtype.is_numeric() or dtype == nw.Boolean):
        return False
    if dtype.is_float():
        return True
    if column.is_null().any():
        return False
    return len(column) == 0 or dtype == nw.Boolean or abs(column.to_numpy()).max() < 2**53


def _read_frame(x: Any, data: Any, accepts: Sequence[str] | None) -> Inputs:
    labels = _labels(x)
    if accepts is not None:
        _match(x, list(accepts), "x", "the model")
    x = _match(x, labels, "x", "x")
    tables = [x]
    if data is not None:
        if not nw.dependencies.is_into_dataframe(data):
            raise ValueError(
                f"x is a DataFrame but data is {type(data).__name__}: pass data as a DataFrame "
                "too, so that columns are matched by name and never by position"
            )
        tables.append(_match(data, labels, "data", "x"))
    numeric = [all(_numeric(t[c]) for t in tables) for c in labels]
    dtypes = [_numpy_dtype(x[c]) for c in labels]
    one = dtypes[0] if len(set(map(str, dtypes))) == 1 and all(numeric) else None
    native_floats = one is not None and one.kind == "f" and not any(_nullable(x[c]) for c in labels)
    if native_floats:
        blocks: list[NDArray[Any]] = [np.column_stack(_cells(t)) for t in tables]
        pools: list[list[Any] | None] = [None] * len(labels)
    else:
        blocks, pools = _encode_columns([_cells(t) for t in tables], numeric)
    columns = [
        Column(
            dtype,
            None if pool is None else _native_pool(tables, c, pool),
            integral=pool is None and dtype.kind in "iub",
            nullable=None if pool is not None else _nullable(x[c]),
        )
        for c, dtype, pool in zip(labels, dtypes, pools, strict=True)
    ]
    encode_columns = _pool_encoder(columns, pools, [str(c) for c in labels])

    def encode(rows: Any, what: str) -> NDArray[Any]:
        if nw.dependencies.is_into_dataframe(rows):
            rows = _match(rows, labels, what, "x")
            return encode_columns(_cells(rows), what).astype(blocks[0].dtype)
        values = np.asarray(rows)
        values = values[None] if values.ndim == 1 else values
        _check_shape(values, blocks[0], what)
        table = [values[:, j] for j in range(len(labels))]
        return encode_columns(table, what).astype(blocks[0].dtype)

    order = [labels.index(c) for c in accepts] if accepts is not None else range(len(labels))
    build = _frame_builder(x, [labels[j] for j in order])

    def decode(batch: NDArray[Any]) -> Any:
        if native_floats:
            return build(batch if accepts is None else batch[:, list(order)], None)
        return build(None, [columns[j].decode(batch[:, j]) for j in order])

    return Inputs(
        blocks[0],
        decode,
        encode,
        names=[str(c) for c in labels],
        categorical=~np.array(numeric),
        columns=columns,
    )


def _numpy_dtype(series: Any) -> np.dtype[Any]:
    """The NumPy dtype of a numeric column (object for the rest)."""
    dtype = nw.from_native(series, series_only=True).to_numpy().dtype
    return dtype if dtype.kind in "biuf" else np.dtype(object)


def _nullable(series: Any) -> Callable[[NDArray[Any]], Any] | None:
    """What makes values of a pandas extension dtype (Int64, Float64, boolean, pyarrow's)."""
    dtype = getattr(series, "dtype", None)
    if not hasattr(series, "iloc") or isinstance(dtype, np.dtype):
        return None
    import pandas

    return lambda values: pandas.array(values, dtype=dtype)


class _Pool:
    """Values of one column in their native dtype, taken by code."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def take(self, codes: NDArray[np.intp]) -> Any:
        if hasattr(self.values, "array"):
            return self.values.array.take(codes)
        return self.values.gather(codes) if hasattr(self.values, "gather") else self.values[codes]


def _native_pool(tables: list[Any], label: Any, pool: list[Any]) -> _Pool:
    """The distinct values of a column as a native Series of the column's own dtype."""
    own = tables[0][label]
    if hasattr(own, "iloc"):
        import pandas

        dtype = own.dtype
        if isinstance(dtype, pandas.CategoricalDtype):
            known = list(dtype.categories)
            for table in tables[1:]:
                other = table[label].dtype
                if isinstance(other, pandas.CategoricalDtype):
                    known += [c for c in other.categories if c not in known]
            dtype = pandas.CategoricalDtype(known, ordered=dtype.ordered)
        return _Pool(pandas.Series(pool, dtype=dtype))
    backend = nw.get_native_namespace(own)
    series = nw.new_series(
        "pool", pool, nw.from_native(own, series_only=True).dtype, backend=backend
    )
    return _Pool(series.to_native())


def _frame_builder(x: Any, labels: list[Any]) -> Callable[[Any, list[Any] | None], Any]:
    """Make a DataFrame of x's kind from a block, or from columns."""
    if hasattr(x, "iloc"):
        import pandas

        def build(block: Any, columns: list[Any] | None) -> Any:
            if columns is None:
                return pandas.DataFrame(block, columns=pandas.Index(labels))
            return pandas.DataFrame(dict(zip(labels, columns, strict=True)))

        return build
    backend = nw.get_native_namespace(x)

    def build_any(block: Any, columns: list[Any] | None) -> Any:
        if columns is None:
            columns = list(np.ascontiguousarray(block.T))
        made = dict(zip(labels, columns, strict=True))
        return nw.from_dict(made, backend=backend).to_native()

    return build_any
