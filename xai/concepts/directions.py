"""Concept activation vectors: a class is tested for what examples show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.concepts.crops import check_count, check_finite, class_index, opened, pooled
from xai.streams import as_seed

Floats: TypeAlias = NDArray[np.floating]
RESAMPLES = 9999
"""Relabellings of a test, where there are more: its p-values are at least 2/10,000."""


@dataclass(frozen=True, eq=False, repr=False)
class Tcav:
    """Scores of one concept for one class.

    Attributes
    ----------
    scores : (runs,)
        Each against another random set: the part of the class's images whose logit rises along
        the concept's direction.
    random_scores : (runs,)
        The same of a random set in the concept's place.
    p_value : two-sided, that the concept's examples are random ones to the class
    vectors : (runs, C) directions of length 1
    accuracy : (runs,) how well each tells concept from random examples, of those it was fitted on
    effect : what the class's logit gains, to first order, from the random examples' mean to the
        concept's, mean over images: unlike a score it tells much of a concept from little

    Examples
    --------
    >>> import numpy as np
    >>> found = Tcav(np.array([0.9, 0.8]), np.array([0.5, 0.4]), 0.1, np.eye(2), np.ones(2))
    >>> round(found.scores.mean(), 2)
    np.float64(0.85)
    """

    scores: Floats
    random_scores: Floats
    p_value: float
    vectors: Floats
    accuracy: Floats
    effect: float = float("nan")

    @property
    def mean(self) -> float:
        """Mean score."""
        return float(self.scores.mean())

    @property
    def std_error(self) -> float:
        """Its standard error over random sets."""
        return float(self.scores.std(ddof=1) / np.sqrt(len(self.scores)))

    def significant(self, level: float = 0.01) -> bool:
        """Whether the class's sensitivity differs from that to random examples."""
        return self.p_value <= level

    def __repr__(self) -> str:
        return f"Tcav({self.mean:.3g} ± {self.std_error:.2g}, p={self.p_value:.2g})"


def tcav(
    model: Any,
    images: Any,
    concept: Any,
    random: Any,
    *,
    layer: Any,
    target: int,
    runs: int = 20,
    size: int = 40,
    batch_size: int = 64,
    seed: int = 0,
) -> Tcav:
    """Test whether a class of a network is sensitive to a concept.

    Parameters
    ----------
    model : torch.nn.Module
    images : (n, channels, height, width), of the class
    concept : (m, channels, height, width) examples of the concept
    random : (p, channels, height, width) other images, from which random sets are drawn
    layer : str or module
    target : the class, an index of the network's outputs
    runs : random sets
    size : examples in each set; at most half of `random`, which needs two sets apart

    Raises
    ------
    ValueError
        Too few examples or runs; a target that is no index.

    Notes
    -----
    Kim et al. (2018, Eq. 1): ``S = ∇h(f(x)) · v``. v separates the concept's activations from the
    random ones, each the mean over places, and moves all places alike; so ∇h is summed over
    places: it is `explain(method="gradient")` with a layer's channels as players. Random scores
    pit a random set against the one beside which the concept is scored.

    The p-value is not the paper's t-test over runs, which share their examples: of as few random
    ones in the concept's place it calls half significant. See `permutation_p_value`.

    Examples
    --------
    >>> import torch, xai
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 5), torch.nn.ReLU(),
    ...                           torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
    ...                           torch.nn.Linear(4, 2))
    >>> data = xai.datasets.textures(40, size=32).data
    >>> found = tcav(net, data[:8], data[8:14], data[14:], layer="1", target=0, runs=3, size=6)
    >>> found.scores.shape, 0 <= found.p_value <= 1
    ((3,), True)
    """
    target, seed = class_index(target), as_seed(seed)
    check_count("batch_size", batch_size)
    check_sets(runs, size)
    with opened(model, concept, layer) as network:
        a = pooled(network, network.batches(batch_size))
        name = network.probe.name
        check_finite(a, np.arange(len(a)), name)
    with opened(model, random, name) as network:
        b = pooled(network, network.batches(batch_size))
        check_finite(b, np.arange(len(b)), name)
    slopes = class_gradients(model, images, layer=name, target=target, batch_size=batch_size)
    return from_activations(a, b, slopes, runs=runs, size=size, seed=seed)


def class_gradients(
    model: Any, images: Any, *, layer: str, target: int, batch_size: int | None = None
) -> Floats:
    """Gradients (n, C) of a class's logit in a layer's channels, summed over places."""
    from xai.explain import explain
    from xai.regions import Channels

    e = explain(
        model, images, "gradient", players=Channels(layer), target=target, batch_size=batch_size
    )
    return e.values


def check_sets(runs: Any, size: Any) -> None:
    """Refuse numbers of random sets, and of examples in each, that make no test."""
    check_count("runs", runs, least=2)
    check_count("size", size, least=2)


def from_activations(
    concept: Floats, random: Floats, slopes: Floats, *, runs: int, size: int, seed: int
) -> Tcav:
    """Scores from activations (m, C) and (p, C), and the class's gradients (n, C)."""
    check_sets(runs, size)
    if len(concept) < 2 or len(random) < 4:
        raise ValueError(
            f"{len(concept)} examples of the concept and {len(random)} random ones: a direction "
            "needs at least 2 and 4"
        )
    half = min(size, len(random) // 2)
    chosen = streams.ranks(seed, streams.PERMUTATION, np.arange(runs), len(random)).argsort(axis=1)
    own = streams.ranks(seed, streams.COALITION, np.arange(runs), len(concept)).argsort(axis=1)
    vectors, accuracy, scores, control = [], [], [], []
    for run in range(runs):
        other, instead = random[chosen[run, :half]], random[chosen[run, half : 2 * half]]
        v, right = direction(concept[own[run, :size]], other)
        scores.append(float((slopes @ v > 0).mean()))
        control.append(float((slopes @ direction(instead, other)[0] > 0).mean()))
        vectors.append(v)
        accuracy.append(right)
    slope = slopes.mean(axis=0)
    return Tcav(
        scores=np.array(scores),
        random_scores=np.array(control),
        p_value=permutation_p_value(concept, random, slope, seed=seed),
        vectors=np.array(vectors),
        accuracy=np.array(accuracy),
        effect=float(slope @ (concept.mean(axis=0) - random.mean(axis=0))),
    )


def direction(concept: Floats, random: Floats) -> tuple[Floats, float]:
    """The unit normal that separates two sets of activations, and how many it puts right.

    Ridge regression, with a penalty of the variance along an example: directions in which little
    varies, of which many would separate few examples, are left out.
    """
    from sklearn.linear_model import RidgeClassifier

    A = np.concatenate([concept, random]).astype(np.float64)
    y = np.repeat([1, 0], [len(concept), len(random)])
    model = RidgeClassifier(alpha=_penalty(A), class_weight="balanced").fit(A, y)
    v = np.ravel(model.coef_)
    return v / max(float(np.linalg.norm(v)), 1e-30), float(model.score(A, y))


def permutation_p_value(concept: Floats, random: Floats, slope: Floats, *, seed: int) -> float:
    """Two-sided p-value that concept and random examples are alike to a class; exact.

    Parameters
    ----------
    concept, random : (m, C), (p, C) activations
    slope : (C,) mean gradient of the class's logit

    Notes
    -----
    The mean sensitivity along the normal w that separates all examples, as `direction` does but
    not made of length 1, is linear in their labels y::

        slope · w = slope · (XᵀX + αI)⁻¹Xᵀy = a · y,    X the centred activations.

    Examples that came from one distribution can swap labels: the p-value is the part of all
    swaps, or of a sample of them, that make it as large. That holds for any activations and
    however few examples, as long as these are independent of each other.
    """
    from scipy.stats import permutation_test

    X = np.concatenate([concept, random]).astype(np.float64)
    X -= X.mean(axis=0)
    alpha = _penalty(X)
    if X.shape[1] <= len(X):
        a = X @ np.linalg.solve(X.T @ X + alpha * np.eye(X.shape[1]), slope)
    else:
        a = np.linalg.solve(X @ X.T + alpha * np.eye(len(X)), X @ slope)
    if np.ptp(a) <= 1e-12 * np.abs(slope).max(initial=0) * np.abs(X).max() / alpha:
        return 1.0  # nothing moves the class
    words = streams.bits(seed, streams.FLIP, np.array([0]), 4)[0]
    test = permutation_test(
        (a[: len(concept)], a[len(concept) :]),
        lambda own, other, axis: own.mean(axis=axis) - other.mean(axis=axis),
        vectorized=True, n_resamples=RESAMPLES, batch=500,
        random_state=np.random.default_rng(words),
    )  # fmt: skip
    return float(test.pvalue)


def _penalty(A: Floats) -> float:
    """``n tr S²/tr S``: n times the variance along an example, S the covariance of examples (n, C).

    Unlike the channels' mean variance it does not know how many channels there are in which
    nothing varies; on segments of photographs its directions differ least from one sample of
    examples to the next, and tell as many of the others apart.
    """
    X = A - A.mean(axis=0)
    gram = X.T @ X if X.shape[1] <= len(X) else X @ X.T
    return max(float((gram**2).sum()) / max(float(gram.trace()), 1e-30), 1e-30)
