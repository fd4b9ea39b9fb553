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
from typing import Any, TypeAlias, TypeGuard

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


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is one whole number, Python's or NumPy's, and no bool."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def on_host(value: Any) -> Any:
    """A tensor as an array, wherever it lives; anything else as it is."""
    if not is_tensor(value):
        return value
    tensor = value.detach().cpu()
    half = tensor.is_floating_point() and tensor.dtype.itemsize < 4
    return (tensor.float() if half else tensor).numpy()  # NumPy has no bfloat16


def for_torch(rows: Any) -> Any:
    """Rows as torch takes them: a copy of arrays that are reversed, read-only or of other bytes."""
    if not isinstance(rows, np.ndarray):
        return rows
    fits = rows.flags.writeable and rows.dtype.isnative and min(rows.strides, default=0) >= 0
    return rows if fits else rows.astype(rows.dtype.newbyteorder("="), order="C")


def as_tensor(rows: Any) -> Any:
    """Rows as a tensor; an array's is on the host, whichever device is torch's default."""
    import torch

    return rows if is_tensor(rows) else torch.from_numpy(for_torch(np.asarray(rows)))


@dataclass
class Column:
    """How one column is encoded: `pool` None for numbers, else the values its codes stand for.

    Attributes
    ----------
    name : what messages call it
    dtype : NumPy dtype of a column of numbers
    nullable : (numbers, whether they are of the dtype) -> the column, where that can tell missing
        ones ("Int64"): they are NaN among floats, and no reason for numbers to be categories
    integral : whether its numbers are (and stay) integers or booleans, but for missing ones
    """

    name: str
    dtype: Any
    pool: Any = None
    integral: bool = False
    nullable: Any = None

    def decode(self, codes: NDArray[Any]) -> Any:
        """Values of the column's own dtype; float where a replacement of an integer is none."""
        if self.pool is not None:
            return self.pool.take(as_codes(codes, len(self.pool), f"column {self.name!r}"))
        values, own = codes, self.integral or self.dtype.kind == "f"
        if own:
            with np.errstate(invalid="ignore", over="ignore"):  # looked at in the next lines
                values = codes.astype(self.dtype)
        if self.integral:
            known = self.known(codes)
            some = codes[known]
            # a user's removal may give an integer column fractions at any time
            own = np.array_equal(values[known], some)
            values = values if own and len(some) == len(codes) else codes
        return values if self.nullable is None else self.nullable(values, own)

    def known(self, cells: NDArray[Any]) -> NDArray[np.bool_] | slice:
        """Which cells must be numbers of the column's dtype: those that are not missing in it."""
        return slice(None) if self.nullable is None else ~np.isnan(cells)

    def widen(self, cells: NDArray[Any]) -> None:
        """Hold replacements as they are: in a wider dtype, where these floats cannot."""
        if self.pool is None and self.dtype.kind == "f" and cells.dtype.kind in "biuf":
            wider = _dtype_of_both(self.dtype, cells)
            self.nullable = self.nullable if wider == self.dtype else None
            self.dtype = wider


def as_codes(codes: NDArray[Any], count: int, what: str) -> NDArray[np.intp]:
    """Codes as indices, or an error where a removal made some that stand for nothing."""
    with np.errstate(invalid="ignore"):
        whole = codes.astype(np.intp)
    bad = (whole != codes) | (whole < 0) | (whole >= count)
    if bad.any():
        raise ValueError(
            f"the removal gave {what} the value {codes[bad].flat[0]}, but its values are codes "
            f"from 0 to {count - 1}: a function must return codes that it was given"
        )
    return whole


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
    columns : how a table's columns are encoded, where they are
    is_text : whether the rows are texts, whose codes are tokens
    """

    block: Block
    decode: Callable[[Block], Any]
    encode: Callable[[Any, str], Block]
    names: list[str] | None = None
    categorical: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    columns: list[Column] | None = None
    is_text: bool = False

    @property
    def n(self) -> int:
        """Number of explained rows."""
        return int(self.block.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return tuple(int(s) for s in self.block.shape[1:])

    def part(self, start: int, stop: int) -> Block:
        """A copy of some rows, which a model may write to."""
        rows = self.block[start:stop]
        return rows.clone() if is_tensor(rows) else rows.copy()

    @property
    def worded(self) -> list[str]:
        """Names of the columns that hold strings or categories, which only decoding brings back."""
        return [column.name for column in self.columns or () if column.pool is not None]

    def admit(self, replacement: Block) -> Block:
        """Fit replacement rows to the block's dtype, where that holds every value as it is.

        Otherwise they keep a wider dtype, which batches with x's rows then have: float for
        integers (and booleans), float64 for float32. Nothing is ever rounded.
        """
        if is_tensor(self.block):
            return _admit_tensor(self.block, replacement)
        if self.columns is not None:
            for j, column in enumerate(self.columns):
                cells = replacement[:, j]
                if column.integral and not _integral(cells[column.known(cells)], column.dtype):
                    column.integral = False
        dtype = self.block.dtype
        values = replacement.data if sparse.issparse(replacement) else replacement
        if dtype.kind in "iub":
            return replacement.astype(dtype) if _integral(values, dtype) else replacement
        return replacement.astype(_dtype_of_both(dtype, values), copy=False)

    def widened(self, batch: Any) -> str:
        """What to say of a batch whose dtype is not x's, because replacements needed another."""
        own, now = getattr(self.block, "dtype", None), getattr(batch, "dtype", None)
        if self.columns is not None or own is None or now is None or own == now:
            return ""
        if not is_tensor(batch) and np.can_cast(now, own):  # what the model reads, and no more
            return ""
        cast = "to" if is_tensor(batch) else "astype"
        return (
            f"the model was given {now}: x is {own}, but data or the removal has values that it "
            f"cannot hold; round them with data.{cast}(x.dtype), or widen x.{cast}(data.dtype)"
        )


def no_codes(block: Block) -> NDArray[np.bool_]:
    """`categorical` of amounts alone: False for each column of a table."""
    return np.zeros(block.shape[1] if block.ndim == 2 else 0, bool)


def _dtype_of_both(dtype: np.dtype[Any], values: NDArray[Any]) -> np.dtype[Any]:
    """A float dtype that holds values of this float dtype, and others, as they are."""
    wider = np.result_type(dtype, values.dtype)
    with np.errstate(over="ignore"):
        kept = wider == dtype or np.array_equal(values.astype(dtype), values, equal_nan=True)
    return dtype if kept else wider


def _admit_tensor(block: Any, replacement: Any) -> Any:
    if replacement.dtype == block.dtype:
        return replacement
    if block.is_floating_point():
        if _holds(replacement, block.dtype):
            return replacement.to(block.dtype)
        # torch itself would mix integers and float32 in float32
        return replacement if replacement.is_floating_point() else replacement.double()
    dtype = np.dtype(str(block.dtype).removeprefix("torch."))
    values = replacement.double() if replacement.is_floating_point() else replacement
    if _integral(on_host(values), dtype):
        return replacement.to(block.dtype)
    fits = not replacement.is_floating_point() or _holds(block, replacement.dtype)
    return replacement if fits else replacement.double()


def _holds(values: Any, dtype: Any) -> bool:
    """Whether a torch dtype holds all values of a tensor as they are."""
    return bool(((values.to(dtype).to(values.dtype) == values) | (values != values)).all())


def _integral(values: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether all values can be cells of an integer or boolean dtype."""
    if values.dtype.kind == "b" or values.size == 0:
        return True
    if not np.all(np.isfinite(values)) or not np.all(values == np.rint(values)):
        return False
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return int(values.min()) >= low and int(values.max()) <= high  # floats would round the limits


def read(
    x: Any,
    data: Any = None,
    *,
    accepts: Sequence[str] | None = None,
    own: Sequence[Any] = (),
    texts: bool = False,
) -> Inputs:
    """Encode the explained rows.

    Parameters
    ----------
    x : (n, …) array, tensor, sparse matrix, DataFrame or list; 1-D or a Series is a batch of one
    data : background rows, for a column's values and a Series' dtypes; their columns are checked
    accepts : the column names a fitted estimator wants, where it knows them
    own : what a removal brings itself: rows whose values a column may have, too
    texts : whether the model takes texts, so that an array or Series of strings is a list of them

    Raises
    ------
    TypeError
        `x` is a string or no batch of rows.
    ValueError
        No rows, no columns, or columns that do not match by name.
    """
    if isinstance(x, str | bytes):
        raise TypeError("x is a plain string; pass a list of strings, one per row to explain")
    inputs = _read(x, data, accepts, [rows for rows in own if _is_rows(rows)], texts)
    if inputs.n == 0:
        raise ValueError("x has no rows: there is nothing to explain")
    if 0 in inputs.shape:
        raise ValueError(f"x has rows of shape {inputs.shape}: there is nothing to remove")
    if data is not None and inputs.columns is None:
        inputs.encode(data, "data")  # refused also where the removal does not use it
    return inputs


def as_texts(x: Any, *, texts: bool) -> list[str] | None:
    """The strings of a batch of texts; None where x is none.

    An array or Series of strings is one row of string columns, unless the model takes texts.
    """
    if not texts:
        return list(x) if isinstance(x, list | tuple) and _all_strings(x) else None
    items = _items(x)
    if not _all_strings(items):
        wrong = [i for i, item in enumerate(items) if not isinstance(item, str)]
        kind = "an empty" if hasattr(x, "__len__") and len(x) == 0 else "a"
        told = (
            f"row {wrong[0]} is {items[wrong[0]]!r}" if wrong else f"x is {kind} {type(x).__name__}"
        )
        raise TypeError(
            f"the model takes texts: pass x as a list of strings, one per row to explain; {told}"
        )
    return items


def _items(x: Any) -> list[Any]:
    """What a list, a 1-D array of words or objects, or a Series holds; of anything else nothing."""
    if isinstance(x, np.ndarray):
        return x.tolist() if x.ndim == 1 and x.dtype.kind in "OU" else []
    return list(x) if isinstance(x, list | tuple) or nw.dependencies.is_into_series(x) else []


def _all_strings(items: Sequence[Any]) -> bool:
    return len(items) > 0 and all(isinstance(item, str) for item in items)


def _is_rows(value: Any) -> bool:
    """Whether what a removal brings is one row or many, rather than a number or a word."""
    return isinstance(value, list | tuple) or len(getattr(value, "shape", ())) > 0


def _read(x: Any, data: Any, accepts: Sequence[str] | None, own: list[Any], texts: bool) -> Inputs:
    strings = as_texts(x, texts=texts)
    if strings is not None:
        if data is not None:
            raise ValueError(
                "data= is of no use for texts: they lose tokens by leaving them out; leave it out"
            )
        from xai.text import read_text

        return read_text(strings)
    if is_tensor(x):
        return _read_tensor(x)
    if sparse.issparse(x):
        return _read_sparse(x)
    if isinstance(x, dict) or (isinstance(x, list | tuple) and len(x) and isinstance(x[0], dict)):
        kind = "dict" if isinstance(x, dict) else "list of dicts"
        raise TypeError(f"x is a {kind}; pass a DataFrame or an array of rows")
    rows = [data, *own] if data is not None else own
    if not rows and _all_strings(_items(x)):
        raise TypeError(
            f"x is a 1-D {type(x).__name__} of strings: that is one row of string columns, which "
            "needs data= to be replaced from. For texts pass a list: list(x)"
        )
    if isinstance(x, np.ndarray):
        return _read_array(x, data, own)
    if nw.dependencies.is_into_series(x):
        x = row_of_series(x, next(filter(nw.dependencies.is_into_dataframe, rows), None))
    if nw.dependencies.is_into_dataframe(x):
        return _read_frame(x, data, accepts, own)
    return _read_array(x, data, own)


def _read_tensor(x: Any) -> Inputs:
    if x.ndim == 0:
        raise TypeError("x is a single number; pass a batch of rows")
    if x.is_complex() or str(x.layout) != "torch.strided":
        raise TypeError(
            f"x is a tensor of dtype {x.dtype} and layout {x.layout}: expected real numbers, "
            "x.to_dense()"
        )
    block = (x[None] if x.ndim == 1 else x).detach()

    def encode(rows: Any, what: str) -> Any:
        import torch

        _refuse_names(rows, what)
        # Python's numbers have no dtype of their own: they take x's, as Baseline(0.1) does
        own = block.dtype if block.is_floating_point() and _plain(rows) else None
        array = rows if is_tensor(rows) else _numbers(rows, what, block.dtype)
        given = rows if _plain(rows) else for_torch(array)
        other = torch.as_tensor(given, dtype=own, device=block.device).detach()
        return _check_shape(other, block, what)

    return Inputs(block, lambda b: b, encode, categorical=no_codes(block))


def _plain(rows: Any) -> bool:
    """Whether these are lists of Python's own numbers."""
    if isinstance(rows, list | tuple):
        return all(map(_plain, rows))
    return isinstance(rows, int | float) and not isinstance(rows, np.generic)


def _read_sparse(x: Any) -> Inputs:
    block = sparse.csr_array(x)
    if block.ndim == 1:
        block = sparse.csr_array(block.reshape(1, -1))
    matrix = isinstance(x, sparse.spmatrix)

    def encode(rows: Any, what: str) -> Any:
        _refuse_names(rows, what)
        other = rows if sparse.issparse(rows) else np.atleast_2d(dense(rows, what))
        return _check_shape(sparse.csr_array(other), block, what)

    def decode(batch: Any) -> Any:
        return sparse.csr_matrix(batch) if matrix else batch

    return Inputs(block, decode, encode, categorical=np.zeros(block.shape[1], bool))


def _read_array(x: Any, data: Any, own: list[Any]) -> Inputs:
    array = dense(x, "x")
    if array.ndim == 0:
        raise TypeError(f"x must be a batch of rows, not {type(x).__name__}")
    if data is not None and nw.dependencies.is_into_dataframe(data) and array.ndim <= 2:
        raise ValueError(
            "data is a DataFrame but x has no column names: pass x as a DataFrame too, so that "
            "columns are matched by name and never by position"
        )
    array = array[None] if array.ndim == 1 else array
    if array.dtype.kind in "OUS":
        return _read_objects(array, data, own)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"x has dtype {array.dtype}: expected numbers, strings or categories")

    def encode(rows: Any, what: str) -> NDArray[Any]:
        _refuse_names(rows, what)
        return np.asarray(_check_shape(_numbers(rows, what, array.dtype), array, what))

    return Inputs(array, lambda b: b, encode, categorical=no_codes(array))


def dense(rows: Any, what: str) -> NDArray[Any]:
    """Rows of any kind as an array; lists that mix words and numbers as one of objects."""
    if sparse.issparse(rows):
        return np.asarray(rows.toarray())
    if isinstance(rows, np.ma.MaskedArray):
        raise TypeError(
            f"{what} is a masked array; fill it ({what}.filled(value)) or pass NaN for what is "
            "missing"
        )
    try:
        array = np.asarray(on_host(rows))
        if isinstance(rows, list | tuple) and array.dtype.kind == "U":
            objects = np.array(rows, object)  # NumPy would make words of numbers
            return array if _all_strings(objects.ravel().tolist()) else objects
        return array
    except ValueError as error:
        listed = rows if isinstance(rows, list | tuple) else []
        sizes = sorted({int(np.prod(np.shape(row))) for row in listed})  # of tensors, too
        told = f": they hold {' or '.join(map(str, sizes))} values" if len(sizes) > 1 else ""
        raise ValueError(f"the rows of {what} do not have the same shape{told}") from error


def _numbers(rows: Any, what: str, dtype: Any) -> NDArray[Any]:
    """Rows as an array of numbers, as those of x are."""
    array = dense(rows, what)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} has dtype {array.dtype}, but x is numeric ({dtype})")
    return array


def _refuse_names(rows: Any, what: str) -> None:
    if nw.dependencies.is_into_dataframe(rows):
        raise ValueError(f"{what} is a DataFrame but x has no column names: pass x as one too")


def _check_shape(other: Any, block: Any, what: str) -> Any:
    if tuple(other.shape) == tuple(block.shape[1:]):
        other = other.reshape((1, *other.shape))
    if tuple(other.shape[1:]) != tuple(block.shape[1:]):
        row = other.shape[1:] if len(other.shape) == len(block.shape) else other.shape
        raise ValueError(
            f"{what} has rows of shape {tuple(row)}, "
            f"but the rows of x have shape {tuple(block.shape[1:])}"
        )
    if other.shape[0] == 0:
        raise ValueError(f"{what} has no rows")
    return other


# ---------------------------------------------------------------------------------------------
# Tables with names, strings or categories


def _encode_columns(
    series: list[list[Any]], numeric: list[bool], names: list[str]
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
                key = _key(value)
                try:
                    code = codes.setdefault(key, len(pool))
                except TypeError as error:  # a list, an array: nothing that could be looked up
                    raise TypeError(
                        f"column {names[j]!r} holds a {type(value).__name__}: a cell is a number, "
                        "a word, a date or a category; make columns of its parts"
                    ) from error
                if code == len(pool):
                    pool.append(value)
                block[i, j] = code
        pools.append(pool)
    return blocks, pools


def _key(value: Any) -> Any:
    """What tells a column's values apart: nothing is missing twice, and True is not 1."""
    if isinstance(value, bool | np.bool_):
        return bool, bool(value)
    return None if is_missing(value) else value


def is_missing(value: object) -> bool:
    """Whether a table's value stands for none."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _pool_encoder(
    columns: list[Column], pools: list[list[Any] | None]
) -> Callable[[list[Any], str], NDArray[np.float64]]:
    """Encode further rows, given as columns, with values that are already known."""
    lookups = [
        None if pool is None else {_key(value): i for i, value in enumerate(pool)} for pool in pools
    ]

    def encode(table: list[Any], what: str) -> NDArray[np.float64]:
        out = np.empty((len(table[0]), len(columns)))
        for j, (lookup, cells) in enumerate(zip(lookups, table, strict=True)):
            if lookup is None:
                out[:, j] = np.asarray(cells, np.float64)
                continue
            for i, value in enumerate(cells):
                key = _key(value)
                if key not in lookup:
                    raise ValueError(
                        f"{what}: column {columns[j].name!r} has the value {value!r}, "
                        "which occurs neither in x nor in data"
                    )
                out[i, j] = lookup[key]
        return out

    return encode


def _read_objects(array: NDArray[Any], data: Any, own: list[Any]) -> Inputs:
    """A NumPy array of strings or mixed objects."""
    if array.ndim != 2:
        raise TypeError(f"x has dtype {array.dtype} and {array.ndim} dimensions: expected a table")
    d = array.shape[1]

    def table_of(rows: Any, what: str) -> list[NDArray[Any]]:
        _refuse_names(rows, what)
        values = _check_shape(dense(rows, what), array, what)
        return [values[:, j] for j in range(d)]

    tables = [[array[:, j] for j in range(d)]]
    tables += [] if data is None else [table_of(data, "data")]
    tables += [table_of(rows, "the removal") for rows in own]
    known = [[natural(_given_cells(table[j])) for table in tables] for j in range(d)]
    numeric = [all(map(_numeric_cells, column)) for column in known]
    blocks, pools = _encode_columns(tables, numeric, [str(j) for j in range(d)])
    columns = [
        _numbers_of_objects(str(j), known[j], [table[j] for table in tables])
        if pool is None
        else Column(str(j), array.dtype, _object_array(pool, array.dtype))
        for j, pool in enumerate(pools)
    ]
    encode_columns = _pool_encoder(columns, pools)

    def encode(rows: Any, what: str) -> NDArray[np.float64]:
        return encode_columns(table_of(rows, what), what)

    def decode(batch: NDArray[Any]) -> NDArray[Any]:
        out = np.empty(batch.shape, array.dtype)
        for j, column in enumerate(columns):
            out[:, j] = column.decode(batch[:, j])
            if column.nullable is not None:
                out[np.isnan(batch[:, j]), j] = None
        return out

    return Inputs(blocks[0], decode, encode, categorical=~np.array(numeric), columns=columns)


def _given_cells(cells: NDArray[Any]) -> NDArray[Any]:
    """The cells of a column that are not None."""
    if cells.dtype != object:
        return cells
    return cells[[cell is not None for cell in cells]]


def _numbers_of_objects(name: str, known: list[NDArray[Any]], tables: list[NDArray[Any]]) -> Column:
    """A column of numbers among objects; None is a missing one, wherever there is any."""
    dtype = next((cells.dtype for cells in known if len(cells)), known[0].dtype)
    kind = bool if dtype.kind == "b" else int

    def whole(values: NDArray[Any], own: bool) -> Any:
        if not own or values.dtype.kind != "f" or dtype.kind == "f":
            return values
        return _object_array([v if v != v else kind(v) for v in values.tolist()], np.dtype(object))

    missing = sum(map(len, known)) < sum(map(len, tables))
    return Column(name, dtype, integral=dtype.kind in "iub", nullable=whole if missing else None)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number | np.bool_)


def _object_array(pool: list[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    out = np.empty(len(pool), dtype)
    out[:] = pool
    return out


def _labels(frame: Any) -> list[Any]:
    return list(frame.columns)


def matched(frame: Any, wanted: list[Any], what: str, of: str) -> Any:
    """The frame's columns in the wanted order, or an error naming what is missing or extra."""
    labels = _labels(frame)
    if len(set(labels)) != len(labels):
        raise ValueError(f"{what} has columns of the same name: {labels}")
    lacking = [c for c in wanted if c not in labels]
    extra = [c for c in labels if c not in wanted]
    if lacking or extra:
        told = [f"lacks {lacking}"] * bool(lacking) + [f"has the extra {extra}"] * bool(extra)
        raise ValueError(f"{what} {' and '.join(told)}, by the columns of {of}")
    return frame[wanted]


def of_columns(given: Any, names: list[str] | None, what: str) -> Any:
    """A number for each column of x: a Series' by its names, others as they are."""
    if not (names and nw.dependencies.is_into_series(given) and hasattr(given, "index")):
        return given
    return matched(given.to_frame().T.rename(columns=str), names, what, "x").iloc[0]


def row_of_series(x: Any, like: Any) -> Any:
    """A Series as a table of one row; its dtypes are those of the frame `like`."""
    if not hasattr(x, "index"):
        return np.asarray(x.to_numpy())[None]
    frame = x.to_frame().T
    labels = _labels(frame)
    if not hasattr(like, "iloc") or not set(labels) <= set(_labels(like)):
        return frame.infer_objects()
    import pandas

    return pandas.DataFrame({c: _cast_exactly(frame[c], like[c].dtype) for c in labels})


def _cast_exactly(cell: Any, dtype: Any) -> Any:
    """A Series of one cell in another dtype; in its own where that would change the value."""
    import pandas

    value = cell.iloc[0]
    if isinstance(dtype, pandas.CategoricalDtype):
        known = list(dtype.categories)
        new = [] if is_missing(value) or value in known else [value]
        return cell.astype(pandas.CategoricalDtype([*known, *new], ordered=dtype.ordered))
    try:
        cast = cell.astype(dtype)
    except (TypeError, ValueError):
        return cell.infer_objects()
    if is_missing(value):
        kept = is_missing(cast.iloc[0])
    elif isinstance(value, str):
        kept = not pandas.api.types.is_bool_dtype(dtype)  # every word would be True
    else:
        kept = bool(cast.iloc[0] == value)
    return cast if kept else cell.infer_objects()


def _cells(frame: Any) -> list[Any]:
    """Columns as arrays; missing numbers are NaN."""
    return [cells_of(frame[c]) for c in _labels(frame)]


def cells_of(series: Any) -> NDArray[Any]:
    """A DataFrame's column as an array; missing numbers are NaN."""
    column = nw.from_native(series, series_only=True)
    if column.is_null().any() and holds_numbers(series):
        return np.asarray(column.cast(nw.Float64).to_numpy())
    return np.asarray(series.to_numpy())


def holds_numbers(series: Any) -> bool:
    """Whether a column's values are amounts that float64 holds without loss."""
    column = nw.from_native(series, series_only=True)
    dtype = column.dtype
    if not (dtype.is_numeric() or dtype == nw.Boolean):
        return False
    if dtype.is_float():
        return True
    known = column.drop_nulls()
    return len(known) == 0 or dtype == nw.Boolean or abs(known.to_numpy()).max() < 2**53


def amounts_of(frame: Any) -> list[NDArray[np.float64]]:
    """The columns of a DataFrame that hold numbers or truth values, as floats."""
    columns = (frame[label] for label in _labels(frame))
    return [cells_of(c).astype(np.float64) for c in columns if holds_numbers(c)]


def _read_frame(x: Any, data: Any, accepts: Sequence[str] | None, own: list[Any]) -> Inputs:
    labels = _labels(x)
    if accepts is not None:
        matched(x, list(accepts), "x", "the model")
    x = matched(x, labels, "x", "x")
    if data is not None and not nw.dependencies.is_into_dataframe(data):
        raise ValueError(
            f"x is a DataFrame but data is {type(data).__name__}: pass data as a DataFrame "
            "too, so that columns are matched by name and never by position"
        )
    frames = [x] if data is None else [x, _some(matched(data, labels, "data", "x"), "data")]

    def table_of(rows: Any, what: str) -> list[NDArray[Any]]:
        return _table_like(x, rows, what)

    tables = [_cells(frame) for frame in frames]
    tables += [table_of(rows, "the removal") for rows in own]
    numeric = [all(holds_numbers(frame[c]) for frame in frames) for c in labels]
    numeric = [
        known and all(_numeric_cells(table[j]) for table in tables[len(frames) :])
        for j, known in enumerate(numeric)
    ]
    dtypes = [_numpy_dtype(x[c]) for c in labels]
    named = [*frames, *filter(nw.dependencies.is_into_dataframe, own)]
    nullable = [_nullable([frame[c] for frame in named]) for c in labels]
    one = dtypes[0] if len(set(map(str, dtypes))) == 1 and all(numeric) else None
    native_floats = one is not None and one.kind == "f" and not any(nullable)
    pools: list[list[Any] | None] = [None] * len(labels)
    if native_floats:
        block: NDArray[Any] = np.column_stack(tables[0])
    else:
        blocks, pools = _encode_columns(tables, numeric, [str(c) for c in labels])
        block = blocks[0]
    columns = [
        Column(
            str(c),
            dtype,
            None if pool is None else native_pool(x[c], frames, c, pool),
            integral=pool is None and dtype.kind in "iub",
            nullable=None if pool is not None else makes,
        )
        for c, dtype, pool, makes in zip(labels, dtypes, pools, nullable, strict=True)
    ]
    encode_columns = _pool_encoder(columns, pools)

    def encode(rows: Any, what: str) -> NDArray[Any]:
        table = table_of(rows, what)
        for column, cells in zip(columns, table, strict=True):
            column.widen(cells)
        dtype = np.result_type(block.dtype, *(column.dtype for column in columns))
        encoded = encode_columns(table, what)
        return encoded.astype(dtype) if native_floats else encoded

    order = [labels.index(c) for c in accepts] if accepts is not None else range(len(labels))
    build = frame_builder(x, [labels[j] for j in order])

    def decode(batch: NDArray[Any]) -> Any:
        if native_floats:
            return build(batch if accepts is None else batch[:, list(order)], None)
        return build(None, [columns[j].decode(batch[:, j]) for j in order])

    return Inputs(
        block,
        decode,
        encode,
        names=[str(c) for c in labels],
        categorical=~np.array(numeric),
        columns=columns,
    )


def _table_like(x: Any, rows: Any, what: str) -> list[NDArray[Any]]:
    """Further rows as x's columns: by name where they have names, else by position."""
    labels = _labels(x)
    if nw.dependencies.is_into_series(rows):
        rows = row_of_series(rows, x)
    if nw.dependencies.is_into_dataframe(rows):
        return _cells(_some(matched(rows, labels, what, "x"), what))
    # a list of numbers and words would become an array of words
    values = np.array(rows, object) if isinstance(rows, list | tuple) else dense(rows, what)
    values = values[None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] != len(labels):
        raise ValueError(
            f"{what} has rows of shape {values.shape[1:]}, "
            f"but the rows of x have shape {(len(labels),)}"
        )
    return [natural(_some(values, what)[:, j]) for j in range(len(labels))]


def _some(rows: Any, what: str) -> Any:
    """Rows as they are, refused where there are none."""
    if len(rows) == 0:
        raise ValueError(f"{what} has no rows")
    return rows


def natural(cells: NDArray[Any]) -> NDArray[Any]:
    """Numbers in an array of objects as an array of numbers."""
    numbers = cells.dtype == object and all(_is_number(cell) for cell in cells)
    return np.array(cells.tolist()) if numbers else cells


def _numeric_cells(cells: NDArray[Any]) -> bool:
    """Whether cells given without a DataFrame are numbers."""
    if cells.dtype.kind in "iu":
        return len(cells) == 0 or bool(cells.min() > -(2**53) and cells.max() < 2**53)
    return cells.dtype.kind in "bf"


def _numpy_dtype(series: Any) -> np.dtype[Any]:
    """The NumPy dtype of a numeric column's numbers (object for the rest)."""
    dtype = nw.from_native(series, series_only=True).drop_nulls().to_numpy().dtype
    return dtype if dtype.kind in "biuf" else np.dtype(object)


def _nullable(columns: list[Any]) -> Callable[[NDArray[Any], bool], Any] | None:
    """What makes a column whose dtype can tell missing numbers: pandas' Int64, polars' own.

    The first of the columns is x's, others are of further rows.
    """
    series = columns[0]
    if not hasattr(series, "iloc"):
        return _with_nulls(columns)
    if isinstance(series.dtype, np.dtype):
        return None
    import pandas

    return lambda values, own: pandas.array(values, dtype=series.dtype) if own else values


def _with_nulls(columns: list[Any]) -> Callable[[NDArray[Any], bool], Any] | None:
    """Of a library whose dtypes all can be missing: of floats, where some are, and none is NaN."""
    series = [nw.from_native(column, series_only=True) for column in columns]
    dtype, backend = series[0].dtype, nw.get_native_namespace(columns[0])
    kind = bool if dtype == nw.Boolean else float if dtype.is_float() else int
    if kind is int and not dtype.is_integer():
        return None
    if kind is float:
        nans = any(s.is_nan().any() for s in series if s.dtype.is_float())
        if nans or not any(s.is_null().any() for s in series):
            return None

    def make(values: NDArray[Any], own: bool) -> Any:
        if not np.isnan(values).any():
            return values
        of, to = (kind, dtype) if own else (float, nw.Float64())
        cells = [None if value != value else of(value) for value in values.tolist()]
        return nw.new_series("", cells, to, backend=backend).to_native()

    return make


class _Pool:
    """Values of one column in their native dtype, taken by code."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def take(self, codes: NDArray[np.intp]) -> Any:
        if hasattr(self.values, "array"):  # a DataFrame would take a dtype of its own for objects
            return type(self.values)(self.values.array.take(codes), dtype=self.values.dtype)
        return self.values.gather(codes) if hasattr(self.values, "gather") else self.values[codes]


def native_pool(own: Any, frames: list[Any], label: Any, pool: list[Any]) -> _Pool:
    """The distinct values of a column as a native Series of the column's own dtype.

    A value that the dtype cannot hold is refused: it would reach the model as another, or as a
    missing one.
    """
    refusal = (
        f"column {label!r} of x has the dtype {own.dtype}, which cannot hold every value that "
        f"data or the removal has for it: give both the same dtype"
    )
    try:
        values = _native_values(own, frames, label, pool)
    except Exception as error:  # each library of DataFrames raises errors of its own
        raise ValueError(f"{refusal} ({error})") from error
    for before, after in zip(pool, np.asarray(values.to_numpy()), strict=True):
        if is_missing(before) != is_missing(after) or not (is_missing(before) or before == after):
            raise ValueError(f"{refusal} ({before!r} would become {after!r})")
    return _Pool(values)


def _native_values(own: Any, frames: list[Any], label: Any, pool: list[Any]) -> Any:
    if not hasattr(own, "iloc"):
        dtype = nw.from_native(own, series_only=True).dtype
        backend = nw.get_native_namespace(own)
        dates = all(isinstance(value, np.datetime64 | np.timedelta64) for value in pool)
        values = np.array(pool) if dates else pool  # only an array may hold NaT
        return nw.new_series("pool", values, dtype, backend=backend).to_native()
    import pandas

    dtype = own.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        # categories in their own order, though no row may have them, then values of other dtypes
        others = [frame[label].dtype for frame in frames]
        named = [d.categories for d in others if isinstance(d, pandas.CategoricalDtype)]
        values = [value for value in pool if not is_missing(value)]
        known = dict.fromkeys(value for part in [*named, values] for value in part)
        dtype = pandas.CategoricalDtype(list(known), ordered=dtype.ordered)
    return pandas.Series(pool, dtype=dtype)


def frame_builder(x: Any, labels: list[Any]) -> Callable[[Any, list[Any] | None], Any]:
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
