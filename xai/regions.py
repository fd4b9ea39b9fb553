"""Players of images, series and volumes: pixels, patches, windows, superpixels, channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from xai.archive import require
from xai.inputs import Inputs, host_array, is_number, is_whole
from xai.partition import Indices, Line, Overlap, Partition, Players, numbered
from xai.places import channels_first, sides_of, with_channels
from xai.suggest import unknown


def _sides(name: str, value: Any, sides: tuple[int, ...]) -> tuple[int, ...]:
    """A length for each axis of places, from an int or one for each."""
    given = tuple(value) if isinstance(value, tuple | list) else (value,) * len(sides)
    if len(given) != len(sides) or not all(map(is_whole, given)):
        of = f"{len(sides)} of them"
        of = {1: "(steps,)", 2: "(height, width)", 3: "(depth, height, width)"}.get(len(sides), of)
        raise TypeError(f"{name}: expected a number of pixels or {of}, not {value!r}")
    if min(given) < 1:
        raise ValueError(f"{name}: expected at least 1 pixel, not {value!r}")
    return tuple(map(int, given))


def sides_for(players: Players, inputs: Inputs, channel_axis: int | None) -> tuple[int, ...]:
    """Sides of the explained images; rows that are none are refused, by the players' name."""
    sides = () if channel_axis is None else sides_of(inputs.shape, channel_axis)
    if not sides:
        raise ValueError(
            f"{players} are for images (4-D batches); x has rows of {inputs.shape}: pass "
            "x[..., None] of images without channels, x[None] of a single one; of series and "
            "volumes channel_axis=, 0 where they have none, or players as an array of group ids, "
            "such as np.arange(steps)[:, None] // 10"
        )
    return sides


def _bands(lines: Sequence[Indices], channel_axis: int | None) -> Indices:
    """Owners (1, *shape) of a grid's cells, from the band of each place along each axis."""
    assert channel_axis is not None
    grid = np.ravel_multi_index(np.ix_(*lines), _counts(lines))
    return np.asarray(with_channels(grid[None], channel_axis))


def _counts(lines: Sequence[Indices]) -> list[int]:
    """Bands along each axis."""
    return [int(line.max()) + 1 for line in lines]


def _named(word: str, counts: Sequence[int]) -> list[str]:
    """Names of players, line by line: "patch (2, 3)" is the third down, the fourth across."""
    places = product(*map(range, counts))
    return [f"{word} {place if len(place) > 1 else place[0]}" for place in places]


@dataclass(frozen=True)
class Pixels(Players):
    """Every pixel, all channels together.

    Examples
    --------
    >>> import xai
    >>> f = lambda x: x.sum(axis=(1, 2, 3))
    >>> x = np.ones((1, 3, 4, 4))
    >>> xai.explain(f, x, "occlusion", players=Pixels(), channel_axis=1).values.shape
    (1, 4, 4)
    """

    of_places: ClassVar[bool] = True

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """One player for each place of an image."""
        sides_for(self, inputs, channel_axis)
        return Patches(1).encode(inputs, channel_axis)


@dataclass(frozen=True)
class Patches(Players):
    """Rectangular patches of an image, all channels together; the last ones may be smaller.

    Parameters
    ----------
    size : int or (height, width)
        Sides in pixels; of series and volumes one for each axis of places.

    Examples
    --------
    >>> Patches(16)
    Patches(size=16)
    """

    size: int | tuple[int, ...]
    of_places: ClassVar[bool] = True

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """One player for each patch, left to right, top to bottom."""
        sides = sides_for(self, inputs, channel_axis)
        sizes = _sides("Patches(size)", self.size, sides)
        lines = [np.arange(n) // size for n, size in zip(sides, sizes, strict=True)]
        owner = _bands(lines, channel_axis)
        d = int(owner.max()) + 1
        pixels = sides if max(sizes) == 1 else None
        shape = pixels or (d,)
        counts = np.full(inputs.n, d)
        names = numbered(sides) if pixels else _named("patch", _counts(lines))
        return Partition(owner, counts, names, shape, repr(self), pixels=pixels)


@dataclass(frozen=True)
class Grid(Players):
    """An image cut into as many cells down as across, all channels together, whatever its size.

    Parameters
    ----------
    cells : int
        Along each side; fewer where the image has fewer pixels.

    Raises
    ------
    TypeError
        `cells` is no integer.
    ValueError
        `cells` is less than 1.

    Examples
    --------
    >>> import xai
    >>> f = lambda x: x.sum(axis=(1, 2, 3))
    >>> xai.explain(f, np.ones((1, 5, 6, 1)), "occlusion", players=Grid(2)).values
    array([[9., 9., 6., 6.]])
    """

    cells: int
    of_places: ClassVar[bool] = True

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """One player for each cell, left to right, top to bottom."""
        sides = sides_for(self, inputs, channel_axis)
        if not is_whole(self.cells):
            raise TypeError(f"Grid(cells): expected a number of cells, not {self.cells!r}")
        if self.cells < 1:
            raise ValueError(f"Grid(cells): expected at least 1, not {self.cells!r}")
        lines = [np.arange(side) * min(self.cells, side) // side for side in sides]
        owner = _bands(lines, channel_axis)
        names = _named("cell", _counts(lines))
        d = len(names)
        return Partition(owner, np.full(inputs.n, d), names, (d,), repr(self))


@dataclass(frozen=True)
class Windows(Players):
    """Windows that slide over an image, all channels together; they may overlap.

    A pixel is kept where all windows over it are; soft masks multiply. In `Explanation.map` a
    pixel has the mean value of the windows over it.

    Parameters
    ----------
    size : int or (height, width)
        Sides in pixels; of series and volumes one for each axis of places.
    stride : int or (down, across), optional
        Pixels from one window to the next, at most `size`; half of `size` where None.

    Raises
    ------
    ValueError
        A stride beyond the size, which would leave pixels in no window.

    Notes
    -----
    Zeiler & Fergus (2014). Windows begin at 0, stride, 2 stride, … until the image is covered: the
    last ones are cut off at its edges, so that every pixel is in some window. With ``stride=size``
    they are `Patches`.

    Examples
    --------
    >>> import xai
    >>> f = lambda x: x[:, :4, :4].sum(axis=(1, 2, 3))
    >>> x = np.ones((1, 6, 6, 1))
    >>> e = xai.explain(f, x, "occlusion", players=Windows(4, stride=2))
    >>> e.values.reshape(2, 2)
    array([[16.,  8.],
           [ 8.,  4.]])
    >>> e.map()[0, ::2, ::2, 0]
    array([[16., 12.,  8.],
           [12.,  9.,  6.],
           [ 8.,  6.,  4.]])
    """

    size: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None = None
    of_places: ClassVar[bool] = True

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """One player for each window, left to right, top to bottom."""
        lengths = sides_for(self, inputs, channel_axis)
        sizes = _sides("Windows(size)", self.size, lengths)
        half = tuple(max(1, size // 2) for size in sizes)
        strides = half if self.stride is None else _sides("Windows(stride)", self.stride, lengths)
        if any(map(lambda n, size, stride: stride > size < n, lengths, sizes, strides)):
            raise ValueError(
                f"{self}: a stride beyond the size leaves pixels in no window; expected at most "
                f"{sizes}"
            )
        lines = tuple(map(_slide, lengths, sizes, strides))
        owner = _bands([line.places for line in lines], channel_axis)
        d = math.prod(line.count for line in lines)
        overlap = Overlap(lines) if d < owner.max() + 1 else None
        names = _named("window", [line.count for line in lines])
        return Partition(owner, np.full(inputs.n, d), names, (d,), repr(self), overlap)


def _slide(length: int, size: int, stride: int) -> Line:
    """Windows along one axis, the first at its beginning, the last one up to its end."""
    starts = np.arange(1 + max(0, -(-(length - size) // stride))) * stride
    return Line(starts, np.minimum(starts + size, length))


@dataclass(frozen=True)
class Channels(Players):
    """The channels of an image (its colours), or of a layer of a network.

    Parameters
    ----------
    layer : str or module, optional
        A layer of the model, whose output is the game's input then: features are removed there.
        "auto": the last that has feature maps.

    Raises
    ------
    ValueError
        The rows are no images, or have no channels.

    Examples
    --------
    >>> Channels("features.12")
    Channels(layer='features.12')
    """

    layer: Any = None
    of_places: ClassVar[bool] = True

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """One player for each channel of the image, or of the layer's output."""
        if self.layer is None:
            sides_for(self, inputs, channel_axis)
            if channel_axis == 0:
                raise ValueError(f"{self} needs channels, and channel_axis=0 says there are none")
        assert channel_axis is not None
        d = inputs.shape[channel_axis - 1]
        shape = tuple(d if a == channel_axis else 1 for a in range(1, len(inputs.shape) + 1))
        names = [f"channel {i}" for i in range(d)]
        owner = np.arange(d).reshape(1, *shape)
        return Partition(owner, np.full(inputs.n, d), names, (d,), repr(self))


# ------------------------------------------------------------------------------------ superpixels

_SETTINGS: dict[str, dict[str, Any]] = {
    "slic": {"n": 50, "compactness": 20.0, "sigma": 1.0},
    "quickshift": {"kernel_size": 4.0, "max_dist": 200.0, "ratio": 0.2},
}
"""What each segmentation can be told, and what it is told where nothing is given."""


@dataclass(frozen=True)
class Superpixels(Players):
    """Regions of similar colour, found in each image by scikit-image; all channels together.

    Rows differ in how many they have.

    Parameters
    ----------
    n : int, optional
        About how many; 50 where None. SLIC only: quickshift finds its own number.
    method : "slic" or "quickshift"
    compactness, sigma : float, optional
        SLIC: nearness against likeness of colour (20), and pixels of blur before (1): those of ACE.
    kernel_size, max_dist, ratio : float, optional
        Quickshift: width of its kernel (4), the farthest link (200), likeness of colour against
        nearness (0.2): the lime package's.

    Raises
    ------
    ImportError
        scikit-image is missing.
    ValueError
        An unknown `method`, an option of the other one or that is not positive, or rows that hold
        NaN or inf, or are no images.

    Notes
    -----
    SLIC, also of series and volumes: Achanta et al. (2012); quickshift, of images alone: Vedaldi &
    Soatto (2008). A copy of each image is
    stretched to [0, 1], so that any range of numbers gives the same regions; one or three channels
    are compared as colours in Lab, others as they are.

    Examples
    --------
    >>> Superpixels(30, compactness=40.0)
    Superpixels(n=30, compactness=40.0)
    """

    n: int | None = None
    method: Literal["slic", "quickshift"] = "slic"
    compactness: float | None = None
    sigma: float | None = None
    kernel_size: float | None = None
    max_dist: float | None = None
    ratio: float | None = None
    of_places: ClassVar[bool] = True

    def __repr__(self) -> str:
        given = {k: v for k, v in vars(self).items() if v is not None and (k, v) != _DEFAULT}
        return f"Superpixels({', '.join(f'{k}={v!r}' for k, v in given.items())})"

    def encode(self, inputs: Inputs, channel_axis: int | None) -> Partition:
        """One player for each region, in the order in which a reader meets them."""
        sides = sides_for(self, inputs, channel_axis)
        assert channel_axis is not None
        settings = self._settings()
        if len(sides) != 2 and (self.method != "slic" or len(sides) > 3):
            raise ValueError(
                f"{self} are of images, and those of 'slic' also of series and volumes, not of "
                f"{sides}: use Grid(cells) or Patches(size)"
            )
        find = _slic if self.method == "slic" else _quickshift
        rows = host_array(inputs.block)
        images = np.moveaxis(channels_first(rows, channel_axis), 1, -1)
        regions = []
        for i, image in enumerate(images):
            shown = _stretched(image, i)
            colour = len(sides) == 2 and shown.shape[-1] == 3
            regions.append(_in_order(find(shown, colour=colour, **settings)))
        counts = np.array([int(region.max()) + 1 for region in regions])
        owner = with_channels(np.stack(regions).reshape(inputs.n, *sides), channel_axis)
        d = int(counts.max())
        return Partition(owner, counts, _named("region", (d,)), (d,), repr(self))

    def _settings(self) -> dict[str, Any]:
        """The method's settings; one that belongs to another method is refused."""
        if self.method not in _SETTINGS:
            raise ValueError(unknown("method of Superpixels", self.method, list(_SETTINGS)))
        known = _SETTINGS[self.method]
        given = {k: v for k, v in vars(self).items() if v is not None and k != "method"}
        for name, value in given.items():
            if name not in known:
                raise ValueError(
                    f"Superpixels({name}={value!r}) is not for method={self.method!r}, which "
                    f"takes {', '.join(known)}"
                )
            positive = is_number(value) and (0 < value < np.inf or (name == "sigma" and value == 0))
            if not positive:
                raise ValueError(f"Superpixels({name}={value!r}): expected a positive number")
        return known | given


_DEFAULT = ("method", "slic")


def _stretched(image: NDArray[Any], row: int) -> NDArray[np.float64]:
    """A copy (*sides, channels) in [0, 1]; a grey image in three equal channels.

    A series is one line of an image; its channels, which may have units of their own, are
    stretched one by one.
    """
    image = image.astype(np.float64)
    if not np.isfinite(image).all():
        raise ValueError(f"Superpixels: row {row} (0-based) of x holds NaN or inf")
    series = image.ndim == 2
    low, high = (end(axis=0 if series else None) for end in (image.min, image.max))
    image = (image - low) / np.where(high > low, high - low, 1.0)
    if series:
        return image[None]
    grey = image.ndim == 3 and image.shape[-1] == 1
    return np.repeat(image, 3, axis=-1) if grey else image


def _slic(
    image: NDArray[np.float64], colour: bool, n: int, compactness: float, sigma: float
) -> Indices:
    labels = require("skimage.segmentation", "image").slic(
        image,
        n_segments=n,
        compactness=compactness if colour else compactness / 100,  # Lab's numbers go up to 100
        sigma=sigma,
        convert2lab=colour,
        start_label=0,
        channel_axis=-1,
    )
    return np.asarray(labels)


def _quickshift(
    image: NDArray[np.float64], colour: bool, kernel_size: float, max_dist: float, ratio: float
) -> Indices:
    labels = require("skimage.segmentation", "image").quickshift(
        image if colour else image * 100,
        ratio=ratio,
        kernel_size=kernel_size,
        max_dist=max_dist,
        convert2lab=colour,
        rng=0,
        channel_axis=-1,
    )
    return np.asarray(labels)


def _in_order(labels: Indices) -> Indices:
    """Regions numbered from 0 in the order in which they are met, left to right, top to bottom."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return np.asarray(rank[inverse.reshape(labels.shape)], np.intp)
