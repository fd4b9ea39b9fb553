"""One typed wrapper for Numba's decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(**options: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile with Numba (cached, without the GIL), keeping the function's type.

    The plain Python function stays at ``.py_func``.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return cast(Callable[P, R], numba.njit(cache=True, nogil=True, **options)(function))

    return decorate
