"""Images of textures or of shapes, one of which decides the class: concepts to be found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xai.datasets.dataset import Dataset, Floats, check_count
from xai.streams import as_seed

CONCEPTS = ("stripes", "checks", "dots")
"""Textures that decide the class, one each."""
DISTRACTORS = ("bars", "diagonals", "rings")
"""Textures that every class has."""
SHAPES = ("red disc", "green square", "blue triangle")
"""Shapes that decide the class, one each."""
OTHER_SHAPES = ("yellow cross", "cyan ring", "magenta diamond")
"""Shapes that every class has."""
COLOURS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]], np.float64)
"""Red, green and blue of each, over a grey of ½."""
PERIOD = 8


def textures(
    n: int = 300,
    *,
    size: int = 64,
    cells: int = 4,
    noise: float = 0.3,
    seed: int | np.random.Generator = 0,
) -> Dataset:
    """Patchworks of textures with planted concepts, to try concept extraction on.

    An image is `cells` × `cells` squares of texture at random phase and contrast, plus noise. A
    quarter of them (at random places, at least one) show the texture of the image's class; the
    others show distractors, which all classes share.

    Parameters
    ----------
    n : images
    size : side in pixels, a multiple of `cells`
    cells : squares along a side
    noise : standard deviation of the pixels' noise; textures have values −1 to 1
    seed : int or Generator

    Returns
    -------
    Dataset
        `data` is (n, 1, size, size). `truth` (n, size, size) is True where the class's texture
        is. ``info["concept"]`` (n, cells, cells) is the texture of each square, an index into
        the classes' textures followed by the distractors'.

    Examples
    --------
    >>> data = textures(6, size=32)
    >>> data.target_names, float(data.truth.mean())
    (('stripes', 'checks', 'dots'), 0.25)
    """
    rng = np.random.default_rng(as_seed(seed))
    target, concept = _planted(n, size, cells, noise, rng)
    image = _painted(concept, size // cells, rng) + noise * rng.standard_normal((n, size, size))
    side = np.ones((1, size // cells, size // cells), bool)
    return Dataset(
        data=image[:, None],
        target=target,
        feature_names=(),
        target_names=CONCEPTS,
        description=f"{n} images of {size} × {size} pixels in {cells} × {cells} squares of "
        f"texture: {', '.join(CONCEPTS)} decide the class, {', '.join(DISTRACTORS)} do not.",
        citation="Made for this library; the concepts are to be found by methods such as CRAFT: "
        "T. Fel et al. (2023), CVPR, 2711-2721.",
        truth=np.kron(concept == target[:, None, None], side),
        info={"concept": concept},
    )


def shapes(
    n: int = 300,
    *,
    size: int = 64,
    cells: int = 4,
    noise: float = 0.05,
    seed: int | np.random.Generator = 0,
) -> Dataset:
    """Images of coloured shapes with planted concepts: what is found has an outline.

    An image is `cells` × `cells` shapes of random size and brightness on grey, plus noise. A
    quarter of them (at random places, at least one) are those of the image's class; the others
    are shapes that all classes share.

    Parameters
    ----------
    n : images
    size : side in pixels, a multiple of `cells`
    cells : shapes along a side
    noise : standard deviation of the pixels' noise; colours have values 0 to 1
    seed : int or Generator

    Returns
    -------
    Dataset
        `data` is (n, 3, size, size). `truth` (n, size, size) is True on the class's shapes.
        ``info["concept"]`` (n, cells, cells) is which shape is at each place, an index into the
        classes' shapes followed by the others.

    Examples
    --------
    >>> data = shapes(6, size=32)
    >>> data.target_names, data.data.shape
    (('red disc', 'green square', 'blue triangle'), (6, 3, 32, 32))
    """
    rng = np.random.default_rng(as_seed(seed))
    target, concept = _planted(n, size, cells, noise, rng)
    inside = _outlined(concept, size // cells, rng)
    square = np.ones((1, size // cells, size // cells), np.intp)
    names = np.kron(concept, square)
    bright = np.kron(rng.uniform(0.7, 1.0, concept.shape), square)
    colour = np.moveaxis(COLOURS[names] * bright[..., None], -1, 1)
    image = np.where(inside[:, None], colour, 0.5)
    return Dataset(
        data=image + noise * rng.standard_normal(image.shape),
        target=target,
        feature_names=(),
        target_names=SHAPES,
        description=f"{n} images of {size} × {size} pixels with {cells} × {cells} coloured shapes: "
        f"{', '.join(SHAPES)} decide the class, {', '.join(OTHER_SHAPES)} do not.",
        citation="Made for this library; the concepts are to be found by methods such as ACE: "
        "A. Ghorbani et al. (2019), NeurIPS 32, 9273-9282.",
        truth=inside & (names == target[:, None, None]),
        info={"concept": concept},
    )


def _planted(
    n: int, size: int, cells: int, noise: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Classes (n,), and which concept is at each place, (n, cells, cells)."""
    check_count("n", n)
    check_count("cells", cells)
    check_count("size", size, cells)
    if size % cells:
        raise ValueError(f"size={size} must be a multiple of cells={cells}")
    if not noise >= 0:
        raise ValueError(f"noise must not be negative, not {noise!r}")
    target = rng.integers(0, len(CONCEPTS), n)
    concept = len(CONCEPTS) + rng.integers(0, len(DISTRACTORS), (n, cells * cells))
    planted = max(1, cells * cells // 4)
    places = rng.random((n, cells * cells)).argsort(axis=1)[:, :planted]
    np.put_along_axis(concept, places, target[:, None], axis=1)
    return target, concept.reshape(n, cells, cells)


def _outlined(concept: NDArray[np.intp], side: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where the shapes are, (n, cells · side, cells · side)."""
    n, cells, _ = concept.shape
    radius = rng.uniform(0.3, 0.45, (n, cells, cells, 1, 1)) * side
    y, x = (np.indices((side, side)) - (side - 1) / 2)[:, None, None, None] / radius
    far = np.hypot(x, y)
    kinds = (
        far < 1, np.maximum(abs(x), abs(y)) < 0.85, (y < 0.7) & (2 * abs(x) < y + 1),
        (np.minimum(abs(x), abs(y)) < 0.35) & (np.maximum(abs(x), abs(y)) < 1),
        (far < 1) & (far > 0.5), abs(x) + abs(y) < 1,
    )  # fmt: skip
    square = np.choose(concept[..., None, None], kinds)
    return square.transpose(0, 1, 3, 2, 4).reshape(n, cells * side, cells * side)


def _painted(concept: NDArray[np.intp], side: int, rng: np.random.Generator) -> Floats:
    """Squares of textures, (n, cells · side, cells · side)."""
    n, cells, _ = concept.shape
    row, column = np.indices((side, side)) * (2 * np.pi / PERIOD)
    phase = rng.uniform(0, 2 * np.pi, (2, n, cells, cells, 1, 1))
    contrast = rng.uniform(0.7, 1.0, (n, cells, cells, 1, 1))
    u, v = row + phase[0], column + phase[1]
    # dots: bright spots; rings: the same frequency in both directions, folded
    kinds = (
        np.sin(u), np.sign(np.sin(u) * np.sin(v)), 2 * (np.sin(u) * np.sin(v) > 0.5) - 1.0,
        np.sin(v), np.sin(u + v), np.cos(2 * np.hypot(u % (2 * np.pi) - np.pi,
                                                     v % (2 * np.pi) - np.pi)),
    )  # fmt: skip
    square = np.choose(concept[..., None, None], kinds) * contrast
    return square.transpose(0, 1, 3, 2, 4).reshape(n, cells * side, cells * side)
