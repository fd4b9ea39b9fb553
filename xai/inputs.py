"""The explained rows as one block of numbers, and the way back to what the model takes.

Removals and players work on a *block*: a NumPy array, a torch tensor or a sparse matrix of shape
`(n, *shape)`. Tables with strings, categories or mixed types are encoded column by column (a
value becomes its place in the column's pool of values; see `xai.tables`) and decoded for each
model call, with their names and dtypes, so a removal never meets a type and a model never a code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
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


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is one real number, Python's or NumPy's, and no bool."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def is_flag(value: object) -> bool:
    """Whether a value is True or False, Python's or NumPy's."""
    return isinstance(value, bool | np.bool_)


def on_host(value: Any) -> Any:
    """A tensor as an array, wherever it lives; anything else as it is."""
    if not is_tensor(value):
        return value
    tensor = value.detach().cpu()
    half = tensor.is_floating_point() and tensor.dtype.itemsize < 4
    return (tensor.float() if half else tensor).numpy()  # NumPy has no bfloat16


def host_array(block: Block) -> NDArray[Any]:
    """A block as an array, wherever it lives and however it is stored."""
    return np.asarray(block.toarray() if sparse.issparse(block) else on_host(block))


def widest(device: Any) -> Any:
    """The widest floats of a device: float64, which Apple's has not."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64


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
        wide = replacement.dtype if replacement.is_floating_point() else widest(block.device)
        return replacement.to(wide)
    dtype = np.dtype(str(block.dtype).removeprefix("torch."))
    if _integral(on_host(replacement), dtype):
        return replacement.to(block.dtype)
    fits = not replacement.is_floating_point() or _holds(block, replacement.dtype)
    return replacement if fits else replacement.to(widest(block.device))


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
    if isinstance(x, Mapping):  # also what a tokenizer returns
        name = "input_ids" if "input_ids" in x else next(iter(x), "…")
        raise TypeError(
            f"x is a {type(x).__name__}; pass a DataFrame or an array of rows, such as x[{name!r}]"
            f". {MASKED if name == 'input_ids' else SEVERAL}"
        )
    if isinstance(x, list | tuple) and len(x) and isinstance(x[0], dict):
        raise TypeError("x is a list of dicts; pass a DataFrame or an array of rows")
    rows = [data, *own] if data is not None else own
    if not rows and _all_strings(_items(x)):
        raise TypeError(
            f"x is a 1-D {type(x).__name__} of strings: that is one row of string columns, which "
            "needs data= to be replaced from. For texts pass a list: list(x)"
        )
    if isinstance(x, np.ndarray):
        return _read_array(x, data, own)
    from xai import tables

    if nw.dependencies.is_into_series(x):
        x = tables.row_of_series(x, next(filter(nw.dependencies.is_into_dataframe, rows), None))
    if nw.dependencies.is_into_dataframe(x):
        return tables.read_frame(x, data, accepts, own)
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

        refuse_names(rows, what)
        # Python's numbers have no dtype of their own: they take x's, as Baseline(0.1) does
        own = block.dtype if block.is_floating_point() and _plain(rows) else None
        array = rows if is_tensor(rows) else _numbers(rows, what, block.dtype)
        given = rows if _plain(rows) else for_torch(array)
        other = torch.as_tensor(given, dtype=own, device=block.device).detach()
        return check_shape(other, block, what)

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
        refuse_names(rows, what)
        other = rows if sparse.issparse(rows) else np.atleast_2d(dense(rows, what))
        return check_shape(sparse.csr_array(other), block, what)

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
        from xai.tables import read_objects

        return read_objects(array, data, own)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"x has dtype {array.dtype}: expected numbers, strings or categories")

    def encode(rows: Any, what: str) -> NDArray[Any]:
        refuse_names(rows, what)
        return np.asarray(check_shape(_numbers(rows, what, array.dtype), array, what))

    return Inputs(array, lambda b: b, encode, categorical=no_codes(array))


MASKED = (
    "What else a tokenizer gives is made of the ids, in the forward of a module around the model: "
    "self.model(ids, attention_mask=(ids != pad_id).long())"
)
SEVERAL = (
    "Several inputs of a model are joined to one batch, which a function parts again: "
    "f = lambda x: model(x[:, :3], x[:, 3:]) (of a module: the forward of one around it)"
)


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
        batches = {np.shape(row)[:1] if np.ndim(row) > 1 else () for row in listed}
        told += f". {SEVERAL}" if len(batches) == 1 and () not in batches else ""
        raise ValueError(f"the rows of {what} do not have the same shape{told}") from error


def _numbers(rows: Any, what: str, dtype: Any) -> NDArray[Any]:
    """Rows as an array of numbers, as those of x are."""
    array = dense(rows, what)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} has dtype {array.dtype}, but x is numeric ({dtype})")
    return array


def refuse_names(rows: Any, what: str) -> None:
    """Refuse a DataFrame of further rows where x has no names to match its columns by."""
    if nw.dependencies.is_into_dataframe(rows):
        raise ValueError(f"{what} is a DataFrame but x has no column names: pass x as one too")


def check_shape(other: Any, block: Any, what: str) -> Any:
    """Further rows as a batch of rows like the block's; refused where they are none."""
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
