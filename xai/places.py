"""Rows as places with channels: a series' steps, an image's pixels, a volume's voxels.

The engine asks of a batch which axis holds the channels, 0 where there are none, and takes the
other ones for places, however many they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from xai.inputs import Block, is_tensor


def sides_of(shape: tuple[int, ...], channel_axis: int) -> tuple[int, ...]:
    """Lengths of the axes of places, of rows of a shape.

    Examples
    --------
    >>> sides_of((3, 8, 9), 1), sides_of((8, 9, 3), 3), sides_of((8, 9), 0)
    ((8, 9), (8, 9), (8, 9))
    """
    return tuple(side for axis, side in enumerate(shape, start=1) if axis != channel_axis)


def channels_of(shape: tuple[int, ...], channel_axis: int | None) -> int:
    """How many channels share a place of rows of a shape; 1 where they have none."""
    return shape[channel_axis - 1] if channel_axis else 1


def with_channels(places: Any, channel_axis: int) -> Any:
    """Something of a batch's places (n, *sides, …), with an axis of 1 where channels are."""
    return np.expand_dims(places, channel_axis) if channel_axis else places


def channels_first(block: Block, channel_axis: int) -> Block:
    """A batch as (n, channels, *sides), with one channel where there are none: a view."""
    if channel_axis == 0:
        return block[:, None]
    return _moved(block, channel_axis, 1)


def channels_back(block: Block, channel_axis: int) -> Block:
    """What `channels_first` made, in the batch's own order of axes."""
    return block[:, 0] if channel_axis == 0 else _moved(block, 1, channel_axis)


def _moved(block: Block, start: int, to: int) -> Block:
    return block.movedim(start, to) if is_tensor(block) else np.moveaxis(block, start, to)


def along(block: Block, matrices: Sequence[Block]) -> Block:
    """Multiply a batch (n, c, *sides) along each axis of places by a matrix; arrays or tensors.

    Parameters
    ----------
    matrices : (m, side) each, or (n, m, side): one for each of the batch, which may be 1 then
    """
    sides = list(block.shape[2:])
    for k, matrix in enumerate(matrices):
        last = k == len(sides) - 1
        split = (len(block), -1, *sides[k:][:1], *([] if last else [prod(sides[k + 1 :])]))
        flat = block.reshape(split)
        if last:
            flat = flat @ matrix.swapaxes(-1, -2)
        else:
            flat = (matrix if matrix.ndim == 2 else matrix[:, None]) @ flat
        sides[k] = int(matrix.shape[-2])
        block = flat.reshape(len(flat), block.shape[1], *sides)
    return block
