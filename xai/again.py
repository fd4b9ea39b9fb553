"""What `explain` was called with, for other rows: so that an explanation can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.inputs import on_host
from xai.methods import Method
from xai.players import Groups
from xai.removal.baseline import Baseline
from xai.removal.sampled import Marginal, draws_of_rows


def rows_of(
    recipe: Mapping[str, Any], index: NDArray[np.intp], n: int, shape: tuple[int, ...]
) -> dict[str, Any]:
    """Keywords of `explain` for the rows `index` of n; what is given per row is taken with them.

    Parameters
    ----------
    recipe : keywords for n rows of `shape`
    index : (m,) int
        Rows may come more than once.
    """
    out = dict(recipe)
    if out.get("y") is not None:
        out["y"] = np.atleast_1d(np.asarray(on_host(out["y"])))[index]
    players = out.get("players")
    ids = np.asarray(on_host(players.ids)) if isinstance(players, Groups) else on_host(players)
    if getattr(ids, "ndim", 0) == 1 + len(shape) and len(ids) == n:  # its axes may be 1
        out["players"] = np.asarray(ids)[index]
    for name in ("removal", "method"):
        part = out.get(name)
        if isinstance(part, Method):
            out[name] = replace(part, removal=_of_rows(part.removal, index, n, shape))
        elif part is not None:
            out[name] = _of_rows(part, index, n, shape)
    if _is_per_row(out.get("value"), n, shape):
        out["value"] = out["value"][index]
    return out


def keywords_of(function: Callable[..., Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe as keywords of a function that takes some of `explain`'s, and its options in one."""
    wanted = signature(function).parameters
    own = {name: value for name, value in recipe.items() if name in wanted}
    return own | {"options": options_of(recipe)}


def options_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Those keywords of a recipe that go to the method's parts."""
    return {name: value for name, value in recipe.items() if name not in _own_names()}


@cache
def _own_names() -> frozenset[str]:
    """The keywords that are `explain`'s own."""
    from xai.explain import explain

    return frozenset(signature(explain).parameters)


def _of_rows(part: Any, index: NDArray[np.intp], n: int, shape: tuple[int, ...]) -> Any:
    """A removal for other rows, if it is one that has something for each row."""
    if isinstance(part, Baseline) and n > 1 and _is_per_row(part.value, n, shape):
        return replace(part, value=part.value[index])
    if isinstance(part, Marginal) and draws_of_rows(part.data, n, shape):
        return replace(part, data=part.data[index])
    return part


def _is_per_row(value: Any, n: int, shape: tuple[int, ...]) -> bool:
    return tuple(getattr(value, "shape", ())) == (n, *shape)
