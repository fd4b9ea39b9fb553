"""Tables with names, strings, categories or missing values: arrays of objects, and DataFrames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from xai.inputs import Column, Inputs, check_shape, dense, refuse_names


def _encode_columns(
    series: list[list[Any]], numeric: list[bool], names: list[str]
) -> tuple[list[NDArray[np.float64]], list[list[Any] | None]]:
    """Code each column of several tables: the blocks, and the values that codes stand for."""
    blocks = [np.empty((len(table[0]), len(table))) for table in series]
    pools: list[list[Any] | None] = []
    for j, is_number in enumerate(numeric):
        codes: dict[Any, int] = {}
        pool: list[Any] = []

        def code_of(value: Any, codes: dict[Any, int] = codes, pool: list[Any] = pool) -> int:
            code = codes.setdefault(_key(value), len(pool))
            if code == len(pool):
                pool.append(value)
            return code

        for block, table in zip(blocks, series, strict=True):
            if is_number:
                block[:, j] = np.asarray(table[j], np.float64)
            else:
                block[:, j] = _codes(table[j], code_of, names[j])
        pools.append(None if is_number else pool)
    return blocks, pools


def _codes(cells: NDArray[Any], code_of: Callable[[Any], int], name: str) -> NDArray[np.float64]:
    """A column's codes; `code_of` is asked once for each value of a type, as True is not 1."""
    dates = cells.dtype.kind in "mM"  # by their numbers: a missing date differs from itself
    keys = cells.view(np.int64).tolist() if dates else [*zip(map(type, cells), cells, strict=True)]
    known: dict[Any, int] = {}
    for key, value in zip(keys, cells, strict=True):
        try:
            met = key in known
        except TypeError as error:  # a list, an array: nothing that could be looked up
            raise TypeError(
                f"column {name!r} holds a {type(value).__name__}: a cell is a number, a word, a "
                "date or a category; make columns of its parts"
            ) from error
        if not met:
            known[key] = code_of(value)
    return np.fromiter(map(known.__getitem__, keys), np.float64, len(keys))


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
        for j, (column, lookup, cells) in enumerate(zip(columns, lookups, table, strict=True)):
            if lookup is None:
                out[:, j] = np.asarray(cells, np.float64)
            else:
                out[:, j] = _codes(cells, _looked_up(lookup, column.name, what), column.name)
        return out

    return encode


def _looked_up(lookup: dict[Any, int], name: str, what: str) -> Callable[[Any], int]:
    def code_of(value: Any) -> int:
        code = lookup.get(_key(value))
        if code is None:
            raise ValueError(
                f"{what}: column {name!r} has the value {value!r}, which occurs neither in x nor "
                "in data"
            )
        return code

    return code_of


def read_objects(array: NDArray[Any], data: Any, own: list[Any]) -> Inputs:
    """A NumPy array of strings or mixed objects."""
    if array.ndim != 2:
        raise TypeError(f"x has dtype {array.dtype} and {array.ndim} dimensions: expected a table")
    d = array.shape[1]

    def table_of(rows: Any, what: str) -> list[NDArray[Any]]:
        refuse_names(rows, what)
        values = check_shape(dense(rows, what), array, what)
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


def read_frame(x: Any, data: Any, accepts: Sequence[str] | None, own: list[Any]) -> Inputs:
    """A DataFrame of any make: floats of one dtype as they are, else each column by itself."""
    frames = _matched_frames(x, data, accepts)
    x, labels = frames[0], _labels(frames[0])
    further = [_table_like(x, rows, "the removal") for rows in own]
    tables = [*map(_cells, frames), *further]
    numeric = [
        all(holds_numbers(frame[c]) for frame in frames)
        and all(_numeric_cells(table[j]) for table in further)
        for j, c in enumerate(labels)
    ]
    dtypes = [_numpy_dtype(x[c]) for c in labels]
    named = [*frames, *filter(nw.dependencies.is_into_dataframe, own)]
    nullable = [_nullable([frame[c] for frame in named]) for c in labels]
    alike = len(set(map(str, dtypes))) == 1 and dtypes[0].kind == "f"
    native_floats = alike and all(numeric) and not any(nullable)
    pools: list[list[Any] | None] = [None] * len(labels)
    if native_floats:
        block: NDArray[Any] = np.column_stack(tables[0])
    else:
        blocks, pools = _encode_columns(tables, numeric, [str(c) for c in labels])
        block = blocks[0]
    columns = [
        Column(str(c), dtype, integral=dtype.kind in "iub", nullable=makes)
        if pool is None
        else Column(str(c), dtype, native_pool(x[c], frames, c, pool))
        for c, dtype, pool, makes in zip(labels, dtypes, pools, nullable, strict=True)
    ]
    encode_columns = _pool_encoder(columns, pools)

    def encode(rows: Any, what: str) -> NDArray[Any]:
        table = _table_like(x, rows, what)
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


def _matched_frames(x: Any, data: Any, accepts: Sequence[str] | None) -> list[Any]:
    """The rows, and those of `data` where there are any, with columns in the order of x's."""
    labels = _labels(x)
    if accepts is not None:
        matched(x, list(accepts), "x", "the model")
    x = matched(x, labels, "x", "x")
    if data is None:
        return [x]
    if not nw.dependencies.is_into_dataframe(data):
        raise ValueError(
            f"x is a DataFrame but data is {type(data).__name__}: pass data as a DataFrame "
            "too, so that columns are matched by name and never by position"
        )
    return [x, _some(matched(data, labels, "data", "x"), "data")]


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
