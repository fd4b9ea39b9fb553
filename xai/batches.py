"""How many rows a model is called with at once, and what is made while it is at others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from xai.inputs import Inputs, is_tensor
from xai.model import Model

T = TypeVar("T")

BATCH_BYTES = 2**25
"""Bytes of model input in one call, where `batch_size` is not given."""
BATCH_ROWS = 2**14
"""Most rows in one model call, where `batch_size` is not given; more spill a network's cache."""
ENSEMBLE_BATCH_ROWS = 2**18
"""The same for ensembles, which pay once per call for each member."""
TENSOR_BATCHES = (2**19, 2**12), (2**22, 2**10), (2**26, 2**4)
"""The same for tensors, bytes of the widest layer's output and rows: the one that has most rows.

What spills the cache is slow; where few rows do, each call has a price, too.
"""
REST_BATCH_BYTES, REST_BATCH_ROWS = 2**24, 2**13
"""The same behind a layer: the network's later layers are small, and each call has a price."""
DEVICE_BATCH_BYTES, DEVICE_BATCH_ROWS = 2**27, 2**17
"""The same for tensors on an accelerator, which small calls leave idle."""
TOGETHER_BYTES = 2**20
"""Tensors of narrow rows that are made together, for several calls: each making has a price."""
AHEAD_BYTES = 2**19
"""Inputs of a call that are made in a thread of their own: smaller ones before it could begin."""


def batch_rows(
    model: Model, inputs: Inputs, n_outputs: int, *, with_gradients: bool = False
) -> int:
    """Rows of one model call, where `batch_size` is not given: as many as are fastest."""
    block, width = inputs.block, 0 if model.compact and not with_gradients else model.width
    itemsize = int(getattr(getattr(block, "dtype", None), "itemsize", 8))
    if model.reads is not None and inputs.columns is None:
        itemsize = min(itemsize, np.dtype(model.reads).itemsize)
    row = max(math.prod(inputs.shape), width) * max(1, itemsize) + 8 * n_outputs
    either = [(BATCH_BYTES, ENSEMBLE_BATCH_ROWS if model.is_ensemble else BATCH_ROWS)]
    if is_tensor(block) and block.device.type != "cpu":
        either = [(DEVICE_BATCH_BYTES, DEVICE_BATCH_ROWS)]
    elif is_tensor(block):
        first = (REST_BATCH_BYTES, REST_BATCH_ROWS) if model.by_row else TENSOR_BATCHES[0]
        either = [first, *TENSOR_BATCHES[1:]]
    return max(1, *(min(most, size // row) for size, most in either))


def in_turn(make: Callable[[slice], T], batches: list[slice]) -> Iterator[T]:
    """Make each batch's inputs when they are asked for.

    As `map` does, which a StopIteration of a user's function would end in silence.
    """
    for batch in batches:
        yield make(batch)


def in_a_thread(make: Callable[[slice], T], batches: list[slice]) -> Iterator[T]:
    """Make each batch's inputs in a thread of its own while the model is at the one before."""
    if len(batches) < 2:
        yield from in_turn(make, batches)
        return
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(make, batches[0])
        for batch in batches[1:]:
            ready, coming = coming.result(), worker.submit(make, batch)
            yield ready
        yield coming.result()


def fair_share(most: int, total: int, n_jobs: int | None) -> int:
    """Rows of one call of several workers: none is idle because another's call is large."""
    from joblib import effective_n_jobs

    return min(most, max(BATCH_ROWS, -(-total // int(effective_n_jobs(n_jobs)))))


def in_workers(run: Callable[[slice], T], batches: list[slice], n_jobs: int | None) -> Iterable[T]:
    """Results in order, from joblib's workers: threads, or what `parallel_config` names."""
    from joblib import Parallel, delayed, wrap_non_picklable_objects
    from joblib.parallel import get_active_backend

    return_as = "generator"
    if not get_active_backend(prefer="threads")[0].supports_return_generator:
        return_as, run = "list", wrap_non_picklable_objects(run)  # multiprocessing's, ray's
    workers = Parallel(n_jobs=n_jobs, prefer="threads", return_as=return_as)
    results: Iterable[T] = workers(delayed(run)(batch) for batch in batches)
    return results
