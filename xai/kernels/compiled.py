"""One typed wrapper for Numba's decorator."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(**options: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile with Numba (without the GIL, cached where a file can be), keeping the type.

    The plain Python function stays at ``.py_func``.
    """
    # nobody calls these from C, and the door for it takes a tenth of the time to compile
    options = {"nogil": True, "no_cfunc_wrapper": True} | options

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        try:
            found = numba.njit(cache=True, **options)(function)
        except RuntimeError:  # neither beside the source, nor at home: both are read-only
            _tell()
            found = numba.njit(**options)(function)
        return cast(Callable[P, R], found)

    return decorate


@cache  # once a process
def _tell() -> None:
    warnings.warn(
        "there is no folder to keep compiled code in, so that each process compiles its loops "
        "anew, for some seconds: set NUMBA_CACHE_DIR to a folder that can be written to",
        stacklevel=1,
    )
