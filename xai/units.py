"""Players of a layer: each of its units, and its activation maps laid over the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.inputs import Inputs
from xai.partition import Indices, Partition, Players
from xai.regions import Pixels, sides_for
from xai.resize import resize


@dataclass(frozen=True)
class Units(Players):
    """Every unit of a layer's output by itself.

    Parameters
    ----------
    layer : str or module
        "auto": the last that has feature maps.

    Examples
    --------
    >>> import torch, xai
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(),
    ...                           torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))
    >>> x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> xai.explain(net, x, "gradient_x_input", players=Units("1")).values.shape
    (1, 4, 6, 6)
    """

    layer: Any = "auto"

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """One player for each number of the layer's output."""
        size = int(np.prod(inputs.shape))
        owner = np.arange(size).reshape(1, *inputs.shape)
        names = [f"unit {i}" for i in range(size)]
        return Partition(owner, np.full(inputs.n, size), names, inputs.shape, repr(self))


@dataclass(frozen=True)
class ActivationMaps(Players):
    """A layer's activation maps, scaled up and to [0, 1], as soft masks of the image.

    A coalition keeps of each pixel the largest of its maps; all of them together keep x whole.

    Parameters
    ----------
    layer : str or module
        "auto": the last that has feature maps.

    Raises
    ------
    TypeError
        The model is no torch module.

    Notes
    -----
    Score-CAM (Wang et al. 2020, Eq. 4–6).

    Examples
    --------
    >>> import torch, xai
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(),
    ...                           torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))
    >>> x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> e = xai.explain(net, x, "score_cam", players=ActivationMaps("1"))
    >>> e.values.shape, e.map().shape
    ((1, 4), (1, 1, 8, 8))
    """

    layer: Any = "auto"

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """Needs the layer's activations: see `over`."""
        raise TypeError(f"{self} needs a network: it is for torch modules")

    def over(self, inputs: Inputs, channel_axis: int | None, maps: NDArray[Any]) -> Partition:
        """Lay maps (n, d, *places) over the pixels of the explained images."""
        sides = sides_for(self, inputs, channel_axis)
        owner = Pixels().encode(inputs, channel_axis).owner
        d, ones = maps.shape[1], (1,) * len(sides)
        unit = _to_unit(maps, len(sides))

        def masks(rows: Indices, coalitions: Any) -> NDArray[np.float32]:
            weights = np.asarray(coalitions, np.float32)
            kept = (unit[rows] * weights.reshape(-1, d, *ones)).max(axis=1)
            large = _to_unit(resize(kept, *sides), len(sides))
            large = large * weights.max(axis=1).reshape(-1, *ones)
            out = np.array(large.reshape(len(rows), -1), np.float32)
            out[(weights == 1).all(axis=1)] = 1.0
            out[(weights == 0).all(axis=1)] = 0.0
            return out

        names = [f"channel {i}" for i in range(d)]
        return Partition(owner, np.full(inputs.n, d), names, (d,), repr(self), atlas=masks)


def _to_unit(maps: NDArray[Any], axes: int) -> NDArray[Any]:
    """Each map, of so many last axes, stretched to [0, 1]; one without contrast is 0 everywhere."""
    places = tuple(range(-axes, 0))
    low = maps.min(axis=places, keepdims=True)
    spread = maps.max(axis=places, keepdims=True) - low
    return np.asarray((maps - low) / np.where(spread > 0, spread, 1.0))
