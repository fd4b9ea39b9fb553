"""Five metrics written by hand for one network and one table: the least that their numbers take.

Nothing is checked, no mode is set, zeros replace what is removed, and all fits in memory. They give
what `xai.metrics` gives; `metrics.py` prints what they cost over the bare network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from xai import streams

BATCH = 2048
STEPS = 8


def forward(p: Any, rows: np.ndarray) -> np.ndarray:
    """The network's outputs, in batches."""
    with torch.no_grad():
        return np.concatenate([p.net(part).numpy() for part in torch.as_tensor(rows).split(BATCH)])


def ranks(a: np.ndarray) -> np.ndarray:
    """Places in descending order."""
    place = np.empty(a.shape, np.int32)
    order = np.argsort(-a, axis=1, kind="stable")
    np.put_along_axis(place, order, np.arange(a.shape[1], dtype=np.int32)[None], axis=1)
    return place


def values(p: Any, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Target outputs of x, of coalitions (K, n, d), and with everything removed: (n,), (K, n)."""
    (n, d), every = p.x.shape, np.arange(len(p.x))
    masked = np.where(kept, p.x, np.float32(0)).reshape(-1, d)
    out = forward(p, np.concatenate([p.x, masked, np.zeros((1, d), np.float32)]))
    return out[every, p.target], out[n:-1].reshape(-1, n, 2)[:, every, p.target], out[-1, p.target]


def curve(p: Any) -> np.ndarray:
    """Values (d + 1, n) as players are removed one by one."""
    full, inner, empty = values(p, ranks(p.a) >= np.arange(1, p.x.shape[1])[:, None, None])
    return np.concatenate([full[None], inner, empty[None]])


def pixel_flipping(p: Any) -> np.ndarray:
    """Area under the curve."""
    v = curve(p)
    return (v.sum(axis=0) - (v[0] + v[-1]) / 2) / (len(v) - 1)


def monotonicity(p: Any) -> np.ndarray:
    """Whether the curve never falls on its way up."""
    return (np.diff(curve(p)[::-1], axis=0) >= 0).all(axis=0) * 1.0


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of each row's numbers."""
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    return (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))


def faithfulness_estimate(p: Any) -> np.ndarray:
    """Correlation of groups' sums with what their removal takes away."""
    group, steps = ranks(p.a) // 4, np.arange(p.x.shape[1] // 4)[:, None, None]
    left = values(p, group != steps)[1]
    return correlation(np.where(group == steps, p.a, 0).sum(axis=2).T, -left.T)


def abpc(p: Any) -> np.ndarray:
    """The figure of faithfulness that the next two print beside theirs."""
    d, rank = p.x.shape[1], ranks(p.a)
    sizes = ((2 * np.arange(1, STEPS) * d + STEPS) // (2 * STEPS))[:, None, None]
    inner = values(p, np.concatenate([rank >= sizes, rank < d - sizes]))[1]
    return (inner[STEPS - 1 :] - inner[: STEPS - 1]).sum(axis=0) / STEPS


def random_logit(p: Any) -> np.ndarray:
    """Correlation with the attributions of the other class."""
    abpc(p)
    return correlation(p.a, p.explain(p.net, p.x, 1 - p.target))


def parameter_randomization(p: Any) -> np.ndarray:
    """Mean rank correlation as the layers are drawn anew from the top; and the floor."""
    abpc(p)
    net, own, found = copy.deepcopy(p.net), rankdata(p.a, axis=1), []
    seeds = streams.bits(0, streams.LAYER, np.arange(len(net)), 1)[:, 0].tolist()
    for at in range(len(net) - 1, -1, -2):
        torch.manual_seed(seeds[at // 2] % 2**63)
        net[at].reset_parameters()
        found.append(correlation(own, rankdata(p.explain(net, p.x, p.target), axis=1)))
    with torch.no_grad():
        channels = np.sort(p.net[:-1](torch.as_tensor(p.x)).numpy().T, axis=0)
    channels = channels[((np.arange(48) + 0.5) * len(channels) / 48).astype(int)] + 1e-30
    for step in range(1, len(channels)):
        np.arctan(channels[:-step] / channels[step:]).sum(axis=0)
    return np.mean(found, axis=0)


BY_HAND: dict[str, Callable[[Any], np.ndarray]] = {
    f.__name__: f
    for f in (
        pixel_flipping, monotonicity, faithfulness_estimate, random_logit, parameter_randomization,
    )
}  # fmt: skip
