"""Crops of images, and what a layer gives for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """A network in eval mode, its images where it lives, and a probe of one of its layers.

    Series and volumes are images, too, of one or three axes of places behind their channels.
    """

    model: Model
    images: Tensor
    probe: Probe

    @property
    def sides(self) -> tuple[int, ...]:
        """Lengths of an image's axes of places."""
        return tuple(map(int, self.images.shape[2:]))

    def batches(self, size: int) -> Iterator[Tensor]:
        """The images, some at a time."""
        for start in range(0, len(self.images), size):
            yield self.images[start : start + size]

    def activations(self, batch: Tensor) -> tuple[Tensor, int]:
        """The layer's output for a batch of inputs, and which axis of it holds the channels."""
        import torch

        with torch.no_grad():
            a = self.probe.reach(batch)
        return a, self.probe.channel_axis(a, tuple(batch.shape[1:]))


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


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Refuse what is no whole number of at least `least`, before anything is evaluated.

    Raises
    ------
    ValueError
        Naming it.
    """
    if not is_whole(value) or value < least:
        raise ValueError(f"{name}={value!r}: expected an integer of at least {least}")


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
    first = layers.channels_read(wrapped.module, inputs.shape) == 1
    if len(inputs.shape) != 3 and (len(inputs.shape) < 2 or not first):
        raise ValueError(
            f"images have shape {(inputs.n, *inputs.shape)}: expected (n, channels, height, "
            "width), or of a network that begins with a convolution (n, channels, steps)"
        )
    with wrapped.session():
        if isinstance(layer, str) and layer == "auto":
            last = layers.LastMap(len(inputs.shape) - 1, inputs.shape[1:])
            with last.watching(wrapped.module):
                wrapped(inputs.block[:1])
            probe, _ = last.found(wrapped)
        else:
            probe = layers.probe_of(wrapped, layer)
        yield Network(wrapped, inputs.block, probe)


def windows(n: int, shape: tuple[int, ...], size: tuple[int, ...], stride: int) -> Indices:
    """Image, top, left, height and width of crops that slide over n images, (m, 5)."""
    lines = [np.arange(0, s - p + 1, stride) for s, p in zip(shape, size, strict=True)]
    return _boxes(n, lines, size)


def _boxes(n: int, lines: Sequence[Indices], size: tuple[int, ...]) -> Indices:
    """Boxes of one size that start at every combination of places, image by image."""
    starts = [a.ravel() for a in np.meshgrid(range(n), *lines, indexing="ij")]
    sides = [np.full(len(starts[0]), side) for side in size]
    return np.stack([*starts, *sides], axis=1).astype(np.intp)


def within(box: Indices) -> tuple[int | slice, ...]:
    """What takes a box (image, starts, sides) out of images (n, channels, *sides)."""
    image, *ends = map(int, box)
    half = len(ends) // 2
    spans = (slice(a, a + side) for a, side in zip(ends[:half], ends[half:], strict=True))
    return (image, slice(None), *spans)


def cut_out(images: Tensor, boxes: Indices, size: tuple[int, ...]) -> Tensor:
    """Crops (m, channels, *size), linearly resized."""
    import torch

    parts = [images[within(box)][None] for box in boxes]
    if len({part.shape for part in parts}) == 1:
        return resized(torch.cat(parts), size)
    return torch.cat([resized(part, size) for part in parts])


def resized(batch: Tensor, size: tuple[int, ...]) -> Tensor:
    """Images of another size, linearly along each axis."""
    from torch.nn.functional import interpolate

    if tuple(batch.shape[2:]) == size:
        return batch
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    return interpolate(batch, size, mode=mode, align_corners=False)


def pooled_crops(network: Network, boxes: Indices, batch_size: int) -> Floats:
    """Activations (m, C) of crops as large as the images, each the mean over its places."""
    parts = (boxes[start : start + batch_size] for start in range(0, len(boxes), batch_size))
    return pooled(network, (cut_out(network.images, part, network.sides) for part in parts))


def pooled(network: Network, batches: Iterator[Tensor]) -> Floats:
    """Activations (m, C) of batches of inputs like the images, each the mean over its places."""
    from xai.layers import feature_maps

    parts = []
    for batch in batches:
        a, axis = network.activations(batch)
        maps = feature_maps(a, axis, network.sides)
        if maps is not None:
            parts.append(maps.mean(axis=tuple(range(2, maps.ndim))))
        else:
            flat = np.moveaxis(on_host(a), axis, 1)
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
    """Activations (b, C, *places) of whole images, batch by batch; None where there are none."""
    from xai.layers import feature_maps

    for batch in network.batches(batch_size):
        yield feature_maps(*network.activations(batch), network.sides)


def place_rows(
    network: Network, size: tuple[int, ...], batch_size: int
) -> tuple[Floats, Indices] | None:
    """Activations (m, C) at each place of whole images, boxes of `size` around; None: no places."""
    parts = []
    for maps in place_maps(network, batch_size):
        if maps is None:
            return None
        parts.append(np.moveaxis(maps, 1, -1))
    A = np.concatenate(parts)
    n, *grid, channels = A.shape
    first = [
        np.clip(np.floor((np.arange(g) + 0.5) * s / g - p / 2), 0, s - p).astype(np.intp)
        for g, s, p in zip(grid, network.sides, size, strict=True)
    ]
    return A.reshape(-1, channels), _boxes(n, first, size)


def read_only(images: Any) -> NDArray[Any]:
    """A copy of images as an array that nobody writes on."""
    array = np.array(on_host(images))
    array.setflags(write=False)
    return array
