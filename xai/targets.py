"""Which of the model's outputs are explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xai.inputs import is_whole, on_host
from xai.suggest import unknown


@dataclass(frozen=True)
class Label:
    """A class named by its label, where an integer would be read as an index.

    Examples
    --------
    >>> Label(5)
    Label(value=5)
    """

    value: object


@dataclass(frozen=True)
class Top:
    """The `k` largest outputs of each row, in descending order, before anything is removed.

    Examples
    --------
    >>> Top(3)
    Top(k=3)
    """

    k: int


@dataclass(frozen=True)
class Sole:
    """The model's only output; where it has several, somebody has to say which is meant."""


Target: TypeAlias = "str | int | Label | Top | Sole | ArrayLike"


@dataclass(frozen=True)
class Resolved:
    """Explained outputs: `index` (n, t), and whether `values` keep an axis for them."""

    index: NDArray[np.intp]
    axis: bool


def keeps_axis(target: Target) -> bool:
    """Whether several outputs of each row may be asked for."""
    return isinstance(target, Top) or (isinstance(target, str) and target == "all")


def label_index(value: object, labels: Sequence[object]) -> int:
    """Position of a label among the model's classes, or a ValueError naming the nearest."""
    value = bool(value) if isinstance(value, np.bool_) else value
    for i, label in enumerate(labels):
        if type(label) is not bool and label == value:
            return i
        if isinstance(label, bool | np.bool_) and isinstance(value, bool) and bool(label) == value:
            return i
    raise ValueError(unknown("label", value, labels))


def one_index(
    target: object,
    labels: Sequence[object],
    names: Sequence[str],
    k: int,
    *,
    what: str = "target",
    kinds: str = "'predicted', 'all', an int, a label or Top",
) -> int:
    """A single output: an int is an index, anything else a label; messages say what it is."""
    if is_whole(target):
        if not 0 <= target < k:
            raise _out_of_range(target, labels, k, what)
        return int(target)
    if isinstance(target, Label):
        return label_index(target.value, labels or names)
    if isinstance(target, str):
        return label_index(target, labels if target in list(labels) else names)
    raise TypeError(f"{what} must be {kinds}, not {target!r}{_by_label(target, labels)}")


def _out_of_range(
    target: object, labels: Sequence[object], k: int, what: str = "target"
) -> ValueError:
    told = f"{what} {target} is out of range: the model has outputs 0 to {k - 1}"
    return ValueError(told + _by_label(target, labels))


def _by_label(target: object, labels: Sequence[object]) -> str:
    """How to ask for a class whose label is no string, where there is one."""
    known = isinstance(target, bool | int | float | np.number) and target in list(labels)
    return f"; the class labelled {target} is xai.Label({target})" if known else ""


def resolve(
    target: Target,
    outputs: NDArray[np.floating],
    labels: Sequence[object],
    names: Sequence[str],
    *,
    classifies: bool,
) -> Resolved:
    """Fix the explained outputs from the model's outputs on the unmasked rows (n, k)."""
    n, k = outputs.shape
    if isinstance(target, str) and target == "predicted":
        if k > 1 and not classifies:
            raise ValueError(
                f"the model has {k} regression outputs and none is 'predicted': "
                "pass target=an index, or target='all'"
            )
        return Resolved(outputs.argmax(1)[:, None].astype(np.intp), axis=False)
    if isinstance(target, str) and target == "all":
        return Resolved(np.tile(np.arange(k), (n, 1)), axis=True)
    if isinstance(target, Top):
        if not is_whole(target.k) or not 1 <= target.k <= k:
            raise ValueError(f"Top({target.k!r}): the model has {k} outputs; ask for 1 to {k}")
        order = np.argsort(-outputs, axis=1, kind="stable")[:, : target.k]
        return Resolved(order.astype(np.intp), axis=True)
    if isinstance(target, Sole):
        if k > 1:
            raise ValueError(
                f"the model has {k} outputs, and the explanation does not tell of which it is, as "
                "shap's do not: pass target=an index"
            )
        return Resolved(np.zeros((n, 1), np.intp), axis=False)
    if isinstance(target, str | Label | int | np.integer):
        return Resolved(np.full((n, 1), one_index(target, labels, names, k), np.intp), axis=False)
    return Resolved(_per_row(target, n, k, labels), axis=False)


def _per_row(target: ArrayLike, n: int, k: int, labels: Sequence[object]) -> NDArray[np.intp]:
    index = np.asarray(on_host(target))
    if index.ndim == 0 or not np.issubdtype(index.dtype, np.integer):
        raise TypeError(
            "target must be 'predicted', 'all', an int, a label, Top, or one index for each row, "
            f"not {target!r}{_by_label(target, labels)}"
        )
    if index.shape != (n,):
        raise ValueError(f"one target per row: expected shape ({n},), got {index.shape}")
    if index.min() < 0 or index.max() >= k:
        bad = index[(index < 0) | (index >= k)][0]
        raise _out_of_range(bad, labels, k)
    return index.astype(np.intp)[:, None]
