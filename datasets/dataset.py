"""The one object that every loader and generator returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai.archive import require
from xai.inputs import is_whole
from xai.suggest import unknown

if TYPE_CHECKING:
    import pandas

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows to learn from, with their names, their source, and the truth where it is known.

    Arrays and mappings are read-only. `truth`, `model` and `attributions` are None or empty for
    real data.

    Attributes
    ----------
    data : (n, d) table, or images (n, C, H, W); photographs (n, H, W, C)
        In columns of categories each one's place in `categories`; NaN where a value is missing.
    target : (n,) int
        Each row's class, an index into `target_names`.
    feature_names : the columns' names; none for images
    target_names : the classes' names
    description : what the rows are and where they come from
    citation : the paper to name when using the data
    truth : (n, d) or (n, H, W), or None
        What is important in each row: bool, or signed importances where these are known.
    model : rows -> (n,), or None
        The function that made the target, or the best for it: what `truth` is the truth of.
    attributions : {method: (n, d), or (d,) where all rows have the same}
        What methods attribute to `model`, in closed form.
    info : {name: array}
        What a generator drew besides; what of a file is no feature.
    categories : {column: names}
        The columns that hold categories, and what their codes stand for.
    protected : columns that law or custom keeps decisions from resting on, as sex and race

    Examples
    --------
    >>> import xai
    >>> data = xai.datasets.suppressor2d(100)
    >>> data.data.shape, data.truth.shape, sorted(data.info)
    ((100, 2), (100, 2), ['best_accuracy', 'covariance', 'weights'])
    """

    data: Floats = field(repr=False)
    target: NDArray[np.int64] = field(repr=False)
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    description: str = field(repr=False)
    citation: str
    truth: NDArray[Any] | None = field(default=None, repr=False)
    model: Callable[[Any], Floats] | None = field(default=None, repr=False)
    attributions: Mapping[str, Floats] = field(default_factory=dict, repr=False)
    info: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    protected: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        def hold(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        hold("data", read_only(self.data, np.float64))
        hold("target", read_only(self.target, np.int64))
        if self.truth is not None:
            hold("truth", read_only(self.truth))
        for name in ("attributions", "info"):
            arrays = {k: read_only(v) for k, v in getattr(self, name).items()}
            hold(name, MappingProxyType(arrays))
        hold("categories", MappingProxyType(dict(self.categories)))

    def __reduce__(self) -> tuple[type[Dataset], tuple[Any, ...]]:
        """What pickle and copy make another of: read-only mappings they do not take."""
        given = [getattr(self, one.name) for one in fields(self)]
        return type(self), tuple(dict(v) if isinstance(v, MappingProxyType) else v for v in given)

    def __len__(self) -> int:
        return len(self.data)

    @property
    def labels(self) -> NDArray[np.str_]:
        """Each row's class by name: fitted to these, a classifier names its outputs."""
        return np.array(self.target_names)[self.target]

    @property
    def categorical(self) -> tuple[int, ...]:
        """Indices of the columns of categories: ``explain(…, categorical=data.categorical)``."""
        return tuple(j for j, name in enumerate(self.feature_names) if name in self.categories)

    def to_frame(self) -> pandas.DataFrame:
        """A new pandas DataFrame of a table: names, and categories by name rather than by code.

        Raises
        ------
        ImportError
            pandas is not installed.
        ValueError
            The data are images.

        Examples
        --------
        >>> from xai.datasets import wine
        >>> wine().to_frame().columns[0]
        'alcohol'
        """
        pandas = require("pandas", "pandas")
        if self.data.ndim != 2:
            raise ValueError(f"only tables make a frame; these data are images {self.data.shape}")
        columns = {}
        for name, column in zip(self.feature_names, self.data.T, strict=True):
            if name in self.categories:
                codes = np.where(np.isnan(column), -1, column).astype(int)
                columns[name] = pandas.Categorical.from_codes(codes, list(self.categories[name]))
            else:
                columns[name] = column.copy()
        return pandas.DataFrame(columns)


def read_only(array: NDArray[Any], dtype: type[np.generic] | None = None) -> NDArray[Any]:
    """A copy that refuses writes, of another dtype where one is named."""
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy


def check_count(name: str, value: object, least: int = 1) -> None:
    """Refuse what is no whole number of at least `least`."""
    if not is_whole(value):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of the choices, naming the nearest."""
    if value not in choices:
        raise ValueError(unknown(name, value, choices))
