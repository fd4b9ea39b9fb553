"""NumPy's own threads, which stand in the way of a network's.

OpenBLAS's threads wait for more work in a busy loop, for some 30 ms after each product of matrices.
A network's threads then share their cores with them, and wait for one another at every layer: calls
of a narrow one took nine times as long on two cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = Lock()
_inside: list[Any] = []
"""A limit for each who is inside: the process has one number of threads, and the last puts it back.
"""


@contextmanager
def one_thread_of_blas() -> Iterator[None]:
    """NumPy's products in the caller's thread alone, where OpenBLAS has threads of its own.

    Any number may be inside, in any threads and in any order.
    """
    with _lock:
        limit = _inside[0] if _inside else pools().limit(limits=1)
        _inside.append(limit)
    try:
        yield
    finally:
        with _lock:
            _inside.pop()
            if not _inside:
                limit.restore_original_limits()


@cache
def pools() -> Any:
    """Libraries with threads of their own, NumPy's and SciPy's; finding them takes a millisecond.

    A threadpoolctl.ThreadpoolController: ``pools().limit(limits=1)`` holds them back.
    """
    import scipy.linalg  # noqa: F401 — brings its own

    return ThreadpoolController().select(threading_layer="pthreads")
