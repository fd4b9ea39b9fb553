"""The functions behaviors are made of, for NumPy arrays and for torch tensors with gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from xai.inputs import is_tensor

Array = Any
"""(B, K) numbers: an array, or a tensor."""


def probability(out: Array) -> Array:
    """Softmax of logits; sigmoid of a single one."""
    if is_tensor(out):
        return out.sigmoid() if out.shape[1] == 1 else out.softmax(1)
    return np.asarray(special.expit(out) if out.shape[1] == 1 else special.softmax(out, axis=1))


def log_odds(out: Array) -> Array:
    """Log p − log(1 − p) of logits, precise where p is close to 1.

    log(1 − p) is the log-sum-exp of all logits with p taken off it; only for the largest logit,
    where that could cancel, the others are summed by themselves.
    """
    if out.shape[1] == 1:
        return out
    if not is_tensor(out):
        wide = out.astype(np.float64)
        whole = special.logsumexp(wide, axis=1, keepdims=True)
        largest = np.arange(out.shape[1]) == wide.argmax(axis=1)[:, None]
        others = special.logsumexp(np.where(largest, -np.inf, wide), axis=1, keepdims=True)
        share = np.where(largest, -np.inf, wide - whole)
        return wide - np.where(largest, others, whole + np.log1p(-np.exp(share)))
    import torch

    whole = out.logsumexp(1, keepdim=True)
    largest = torch.nn.functional.one_hot(out.argmax(1), out.shape[1]).bool()
    others = out.masked_fill(largest, -torch.inf).logsumexp(1, keepdim=True)
    share = (out - whole).masked_fill(largest, -torch.inf)
    return out - torch.where(largest, others, whole + torch.log1p(-share.exp()))


def log(p: Array) -> Array:
    """Logarithm; −inf of 0, which the game refuses with the row's name."""
    if is_tensor(p):
        return p.log()
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p))


def logit(p: Array) -> Array:
    """Log of p/(1 − p)."""
    if is_tensor(p):
        return p.log() - (-p).log1p()
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p) - np.log1p(-p))


def take(out: Array, index: NDArray[np.intp]) -> Array:
    """Each line's columns (B, t): (B, K) -> (B, t)."""
    if is_tensor(out):
        return out.gather(1, like(index, out))
    return out.take(np.arange(0, out.size, out.shape[1])[:, None] + index)


def largest_other(out: Array, index: NDArray[np.intp]) -> Array:
    """The largest column beside each of a line's own (B, t): (B, K) -> (B, t)."""
    if is_tensor(out):
        import torch

        two, places = out.topk(2, dim=1)
        return torch.where(like(index, out) == places[:, :1], two[:, 1:], two[:, :1])
    two = np.partition(out, -2, axis=1)[:, -2:]
    return np.where(index == out.argmax(axis=1)[:, None], two[:, :1], two[:, 1:])


def like(array: NDArray[Any], out: Array) -> Array:
    """An array as what `out` is, where it lives."""
    if not is_tensor(out):
        return array
    import torch

    return torch.as_tensor(array, device=out.device)
