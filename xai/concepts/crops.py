"""Crops of images, and what a layer gives for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.inputs import is_whole, on_host, read

if TYPE_CHECKING:
    from torch import Tensor

    from xai.layers import Probe
    from xai.model import Model

Floats: TypeAlias = NDArray[np.floating]
Indices: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Network:
    """A network in eval mode, its images where it lives, and a probe of one of its layers."""

    model: Model
    images: Tensor
    probe: Probe

    def batches(self, size: int) -> Iterator[Tensor]:
        """The images, some at a time."""
        for start in range(0, len(self.images), size):
            yield self.images[start : start + size]

    def activations(self, batch: Tensor) -> Tensor:
        """The layer's output for a batch of inputs."""
        import torch

        with torch.no_grad():
            return self.probe.reach(batch)


def class_index(target: Any) -> int:
    """The class whose images are looked at, before anything is evaluated.

    Raises
    ------
    ValueError
        No index of an output.
    """
    if not is_whole(target):
        raise ValueError(f"target={target!r}: expected the index of a class, one of the outputs")
    return int(target)


@contextmanager
def opened(model: Any, images: Any, layer: Any) -> Iterator[Network]:
    """Put a torch module, or a `TorchModel`, in eval mode, and find the layer; restored after.

    Raises
    ------
    TypeError
        No torch module, or images that are no numbers.
    ValueError
        Images that are no batch (n, channels, height, width); an unknown layer.
    """
    from xai import layers
    from xai.model import is_module, to_model_device, wrap

    if not is_module(model):
        raise TypeError(f"concepts are found inside a torch module, not a {type(model).__name__}")
    inputs = read(images)
    wrapped = wrap(model, inputs)
    inputs = to_model_device(wrapped, inputs)
    if len(inputs.shape) != 3:
        raise ValueError(
            f"images have shape {(inputs.n, *inputs.shape)}: expected (n, channels, height, width)"
        )
    with wrapped.session():
        if isinstance(layer, str) and layer == "auto":
            last = layers.LastMap()
            with last.watching(wrapped.module):
                wrapped(inputs.block[:1])
            probe, _ = last.found(wrapped)
        else:
            probe = layers.probe_of(wrapped, layer)
        yield Network(wrapped, inputs.block, probe)


def windows(n: int, shape: tuple[int, int], size: tuple[int, int], stride: int) -> Indices:
    """Image, top, left, height and width of crops that slide over n images, (m, 5)."""
    down, across = (np.arange(0, s - p + 1, stride) for s, p in zip(shape, size, strict=True))
    image, top, left = (a.ravel() for a in np.meshgrid(range(n), down, across, indexing="ij"))
    high, wide = (np.full(len(image), side) for side in size)
    return np.stack([image, top, left, high, wide], axis=1).astype(np.intp)


def cut_out(images: Tensor, boxes: Indices, size: tuple[int, int]) -> Tensor:
    """Crops (m, channels, *size), bilinearly resized."""
    import torch

    parts = [
        images[image : image + 1, :, top : top + high, left : left + wide]
        for image, top, left, high, wide in boxes.tolist()
    ]
    if len({part.shape for part in parts}) == 1:
        return _resized(torch.cat(parts), size)
    return torch.cat([_resized(part, size) for part in parts])


def _resized(batch: Tensor, size: tuple[int, int]) -> Tensor:
    from torch.nn.functional import interpolate

    if tuple(batch.shape[2:]) == size:
        return batch
    return interpolate(batch, size, mode="bilinear", align_corners=False)


def pooled_crops(network: Network, boxes: Indices, batch_size: int) -> Floats:
    """Activations (m, C) of crops as large as the images, each the mean over its places."""
    images = network.images
    size = (int(images.shape[2]), int(images.shape[3]))
    parts = (boxes[start : start + batch_size] for start in range(0, len(boxes), batch_size))
    return pooled(network, (cut_out(images, part, size) for part in parts))


def pooled(network: Network, batches: Iterator[Tensor]) -> Floats:
    """Activations (m, C) of batches of inputs, each the mean over its places."""
    from xai.layers import feature_maps

    parts = []
    for batch in batches:
        acts = network.activations(batch)
        axis = network.probe.channel_axis(acts, tuple(batch.shape[1:]))
        maps = feature_maps(acts, axis, tuple(batch.shape[2:]))
        if maps is not None:
            parts.append(maps.mean(axis=(2, 3)))
        else:
            flat = np.moveaxis(on_host(acts), axis, 1)
            parts.append(flat.reshape(*flat.shape[:2], -1).mean(axis=2))
    return np.concatenate(parts)


def check_finite(a: Floats, image: Indices, layer: str) -> None:
    """Refuse NaN and inf in what a layer gives, (m, …), of m images by index.

    Raises
    ------
    ValueError
        Naming these images.
    """
    bad = np.unique(image[~np.isfinite(a.reshape(len(a), -1)).all(axis=1)])
    if len(bad):
        named = ", ".join(map(str, bad[:5]))
        raise ValueError(f"layer {layer!r} gives NaN or inf for image {named} (0-based)")


def place_maps(network: Network, batch_size: int) -> Iterator[Floats | None]:
    """Activations (b, C, h, w) of whole images, batch by batch; None where there are no places."""
    from xai.layers import feature_maps

    shape = tuple(network.images.shape[1:])
    for batch in network.batches(batch_size):
        a = network.activations(batch)
        yield feature_maps(a, network.probe.channel_axis(a, shape), shape[1:])


def place_rows(
    network: Network, size: tuple[int, int], batch_size: int
) -> tuple[Floats, Indices] | None:
    """Activations (m, C) at each place of whole images, boxes of `size` around; None: no places."""
    images, parts = network.images, []
    for maps in place_maps(network, batch_size):
        if maps is None:
            return None
        parts.append(np.moveaxis(maps, 1, -1))
    A = np.concatenate(parts)
    n, *grid, channels = A.shape
    sides = [int(s) for s in images.shape[2:]]
    first = [
        np.clip(np.floor((np.arange(g) + 0.5) * s / g - p / 2), 0, s - p).astype(np.intp)
        for g, s, p in zip(grid, sides, size, strict=True)
    ]
    image, top, left = (a.ravel() for a in np.meshgrid(range(n), *first, indexing="ij"))
    high, wide = (np.full(len(image), side) for side in size)
    return A.reshape(-1, channels), np.stack([image, top, left, high, wide], axis=1)


def read_only(images: Any) -> NDArray[Any]:
    """A copy of images as an array that nobody writes on."""
    array = np.array(on_host(images))
    array.setflags(write=False)
    return array
