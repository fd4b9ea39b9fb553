"""Controls: attributions that know nothing of the model, or say the opposite."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xai import streams
from xai.explanation import Explanation
from xai.metrics.attributed import numbers_of
from xai.metrics.score import Floats, Indices
from xai.places import channels_of

RANDOM = "random"
"""Name of the random control in a report."""


def random_like(values: Floats, seed: int) -> Floats:
    """Uniform numbers shaped like an attribution (n, …), of its size: so its unit tells no chance.

    Between ± each row's largest |value|, or ±1 where that is 0; NaN where the attribution is NaN.
    Each row's are its own: of the row's place and the seed.
    """
    flat = values.reshape(len(values), -1)
    size = np.nan_to_num(np.abs(flat)).max(axis=1, keepdims=True)
    u = 2 * streams.uniforms(seed, streams.SIGN, np.arange(len(flat)), flat.shape[1]) - 1
    u *= np.where(size > 0, size, 1.0)
    return np.where(np.isnan(flat), np.nan, u).reshape(values.shape)


@dataclass(eq=False)
class RandomExplain:
    """An `explain` whose every call draws anew: numbers `like` (n, d) those of the rows `index`.

    Of all rows at once, as it calls no model.
    """

    seed: int
    like: Floats
    calls: int = 0

    def __call__(self, index: Indices) -> Floats:
        self.calls += 1
        return random_like(self.like[index], self.seed + 7919 * self.calls)


def flipped(explanation: Any) -> Any:
    """The attribution with its signs flipped.

    Of a layer's channels what is scored is their map, whose negative parts are cut off: that of
    flipped channels is not its opposite.
    """
    e = explanation
    if isinstance(e, Explanation) and e.activations is not None and e.channel_axis is not None:
        shape = e.element_players.shape[1:]
        return -np.asarray(e.map(), np.float64) / channels_of(shape, e.channel_axis)
    return replaced(e, np.negative)


def random_of(explanation: Any, seed: int) -> Any:
    """The attribution with the numbers of `random_like`."""
    return replaced(explanation, lambda values: random_like(values, seed))


def replaced(explanation: Any, change: Any) -> Any:
    """The attribution with other numbers, ``change(values)``; an Explanation stays one."""
    if not isinstance(explanation, Explanation):
        return change(numbers_of(explanation))
    return replace(explanation, values=change(numbers_of(explanation)))
