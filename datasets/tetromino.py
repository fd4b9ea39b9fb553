"""Images of two tetrominoes on noise: which pixels matter is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.datasets.dataset import Dataset, Floats, check_choice, check_count
from xai.streams import as_seed

SCENARIOS = ("linear", "multiplicative", "rigid", "xor")
BACKGROUNDS = ("white", "correlated", "photographs")
SHAPES = {
    "T": np.array([[1, 0], [1, 1], [1, 0]], np.float64),
    "L": np.array([[1, 0], [1, 0], [1, 1]], np.float64),
}
PLACES = {"T": (1, 1), "L": (4, 5)}
"""Upper left corners on a grid of 8 × 8 cells."""
STRENGTH = {"linear": 0.2, "multiplicative": 0.6, "rigid": 0.3, "xor": 0.2}
PHOTOGRAPH_SIDE = 64
"""Smaller images come from photographs made as much smaller."""


def tetrominoes(
    n: int = 1000,
    *,
    scenario: str = "linear",
    background: str = "white",
    size: int = 8,
    signal: float | None = None,
    seed: int | np.random.Generator = 0,
) -> Dataset:
    """Images of a T and an L tetromino on noise (Clark, Wilming & Haufe 2024, XAI-TRIS).

    With tetromino a and background η, of length 1 each: ``x ∝ α a + (1 − α) η``.

    Parameters
    ----------
    n : images
    scenario : {"linear", "multiplicative", "rigid", "xor"}
        "linear": class 0 has a T at one place, class 1 an L at another. "multiplicative": the
        same as ``x ∝ (1 − α a) η``, a ∈ {0, 1}: no pixel's mean differs. "rigid": as linear, but
        turned and moved at random. "xor": both are there, of equal sign in class 0 and of
        opposite signs in class 1: no pixel alone tells the class.
    background : {"white", "correlated", "photographs"}
        Gaussian noise; the same smoothed; crops of the two photographs, grey and without mean.
    size : side of the images, a multiple of 8
    signal : α, within (0, 1); a value of the scenario's own where None
    seed : int or Generator

    Returns
    -------
    Dataset
        `data` is (n, 1, size, size). `truth` (n, size, size) is True on the tetromino: on both
        places where these are fixed, since that nothing is there tells the class as well.

    Raises
    ------
    ValueError
        An unknown scenario or background, a size that is no multiple of 8 or too large for
        photographs, or `signal` outside (0, 1).

    Examples
    --------
    >>> data = tetrominoes(10, scenario="xor")
    >>> data.data.shape, int(data.truth[0].sum())
    ((10, 1, 8, 8), 8)
    """
    check_count("n", n)
    check_choice("scenario", scenario, SCENARIOS)
    check_choice("background", background, BACKGROUNDS)
    check_count("size", size, 8)
    if size % 8:
        raise ValueError(f"size must be a multiple of 8, not {size}")
    strength = STRENGTH[scenario] if signal is None else signal
    if not 0 < strength < 1:
        raise ValueError(f"signal must lie within (0, 1), not {signal!r}")
    rng = np.random.default_rng(as_seed(seed))
    target = rng.integers(0, 2, n)
    pattern, truth = _patterns(scenario, target, size, rng)
    noise = _unit(backgrounds(background, n, size, rng))
    if scenario == "multiplicative":
        image = (1 - strength * pattern) * noise
    else:
        image = strength * _unit(pattern) + (1 - strength) * noise
    classes = ("equal signs", "opposite signs") if scenario == "xor" else ("T", "L")
    return Dataset(
        data=size * image[:, None],
        target=target,
        feature_names=(),
        target_names=classes,
        description=f"{n} images of {size} × {size} pixels: tetrominoes, {scenario}, with weight "
        f"{strength} on {background} noise.",
        citation="B. Clark, R. Wilming, S. Haufe (2024). XAI-TRIS: non-linear image benchmarks "
        "to quantify false positive post-hoc attribution of feature importance. Machine "
        "Learning 113, 6871-6910.",
        truth=truth,
    )


def _patterns(
    scenario: str, target: NDArray[Any], size: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """Tetrominoes of each image, (n, size, size), and where they matter."""
    cell = size // 8
    shapes = [shape.repeat(cell, axis=0).repeat(cell, axis=1) for shape in SHAPES.values()]
    if scenario == "rigid":
        pattern = np.stack([_moved(shapes[label], size, rng) for label in target])
        return pattern, pattern != 0
    corners = [(cell * top, cell * left) for top, left in PLACES.values()]
    fixed = np.stack([_at(*both, size) for both in zip(shapes, corners, strict=True)])
    truth = np.broadcast_to(fixed.any(axis=0), (len(target), size, size))
    if scenario != "xor":
        return fixed[target], truth
    first = rng.choice([-1.0, 1.0], len(target))
    second = first * np.where(target == 0, 1.0, -1.0)
    signs = np.stack([first, second], axis=1)
    return np.einsum("nk,khw->nhw", signs, fixed), truth


def _moved(shape: Floats, size: int, rng: np.random.Generator) -> Floats:
    """A shape turned by quarters and moved by pixels."""
    turned = np.rot90(shape, int(rng.integers(4)))
    top, left = (int(rng.integers(0, size - side + 1)) for side in turned.shape)
    return _at(turned, (top, left), size)


def _at(shape: Floats, corner: tuple[int, int], size: int) -> Floats:
    """A shape on an empty image, by its upper left corner."""
    out, (top, left) = np.zeros((size, size)), corner
    out[top : top + shape.shape[0], left : left + shape.shape[1]] = shape
    return out


def backgrounds(kind: str, n: int, size: int, rng: np.random.Generator) -> Floats:
    """White noise, smoothed noise, or crops of the photographs: (n, size, size)."""
    if kind == "photographs":
        return _crops(n, size, rng)
    noise = rng.standard_normal((n, size, size))
    if kind == "white":
        return noise
    from scipy.ndimage import gaussian_filter

    sigma = max(1.0, 3 * size / 64)  # the paper's 3 pixels at 64 × 64
    return np.asarray(gaussian_filter(noise, (0, sigma, sigma), mode="wrap"))


def _crops(n: int, size: int, rng: np.random.Generator) -> Floats:
    """Random squares of the photographs' luminance, each less its mean."""
    from xai.datasets.real import photographs

    grey = photographs().data @ np.array([0.299, 0.587, 0.114])
    step = max(1, PHOTOGRAPH_SIDE // size)
    height, width = (side // step for side in grey.shape[1:])
    if size > min(height, width):
        raise ValueError(f"size={size}: photographs are {height} pixels high")
    small = grey[:, : height * step, : width * step]
    small = small.reshape(len(grey), height, step, width, step).mean(axis=(2, 4))
    which = rng.integers(0, len(small), n)
    tops = rng.integers(0, height - size + 1, n)
    lefts = rng.integers(0, width - size + 1, n)
    crop = np.stack(
        [
            small[k, top : top + size, left : left + size]
            for k, top, left in zip(which, tops, lefts, strict=True)
        ]
    )
    return np.asarray(crop - crop.mean(axis=(1, 2), keepdims=True))


def _unit(images: Floats) -> Floats:
    """Each image at length 1."""
    length = np.sqrt((images * images).sum(axis=(1, 2), keepdims=True))
    return images / np.where(length > 0, length, 1.0)
