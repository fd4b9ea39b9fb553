"""What several threads change in common: NumPy's own threads, a module's state.

OpenBLAS's threads wait for more work in a busy loop, for some 30 ms after each product of matrices.
A network's threads then share their cores with them, and wait for one another at every layer: calls
of a narrow one took nine times as long on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from threading import Lock
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

T = TypeVar("T")
Change = Callable[[T], Callable[[], object]]

_lock = Lock()
_held: dict[tuple[Any, int], list[Any]] = {}
"""Who holds each changed thing, as a number; what puts it back; and the thing, so that it lives."""


@contextmanager
def held(change: Change[T], things: Iterable[T]) -> Iterator[None]:
    """Things changed while anybody is inside: the first changes each, the last puts it back.

    Any number may be inside, in any threads and in any order.

    Parameters
    ----------
    change : a function of a module, which changes one thing and gives what puts it back
    """
    keys: list[tuple[Any, int]] = []
    try:
        with _lock:
            for thing in things:
                key = change, id(thing)
                if key not in _held:
                    _held[key] = [0, change(thing), thing]
                _held[key][0] += 1
                keys.append(key)
        yield
    finally:
        with _lock, ExitStack() as backs:  # in reverse, and each whether or not another fails
            for key in keys:
                _held[key][0] -= 1
                if not _held[key][0]:
                    backs.callback(_held.pop(key)[1])


def one_thread_of_blas() -> AbstractContextManager[None]:
    """NumPy's products in the caller's thread alone, where OpenBLAS has threads of its own."""
    return held(_limited, [None])


def _limited(_: None) -> Callable[[], object]:
    restore: Callable[[], object] = pools().limit(limits=1).restore_original_limits
    return restore


@cache
def pools() -> Any:
    """Libraries with threads of their own, NumPy's and SciPy's; finding them takes a millisecond.

    A threadpoolctl.ThreadpoolController: ``pools().limit(limits=1)`` holds them back.
    """
    import scipy.linalg  # noqa: F401 — brings its own

    return ThreadpoolController().select(threading_layer="pthreads")
