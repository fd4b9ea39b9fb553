"""Images of textures, one of which decides the class: concepts to be found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xai.datasets.dataset import Dataset, Floats, check_count
from xai.streams import as_seed

CONCEPTS = ("stripes", "checks", "dots")
"""Textures that decide the class, one each."""
DISTRACTORS = ("bars", "diagonals", "rings")
"""Textures that every class has."""
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
    check_count("n", n)
    check_count("cells", cells)
    check_count("size", size, cells)
    if size % cells:
        raise ValueError(f"size={size} must be a multiple of cells={cells}")
    if not noise >= 0:
        raise ValueError(f"noise must not be negative, not {noise!r}")
    rng = np.random.default_rng(as_seed(seed))
    target = rng.integers(0, len(CONCEPTS), n)
    concept = len(CONCEPTS) + rng.integers(0, len(DISTRACTORS), (n, cells * cells))
    planted = max(1, cells * cells // 4)
    places = rng.random((n, cells * cells)).argsort(axis=1)[:, :planted]
    np.put_along_axis(concept, places, target[:, None], axis=1)
    concept = concept.reshape(n, cells, cells)
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
