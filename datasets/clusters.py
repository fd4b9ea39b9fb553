"""A table of clusters, in each of which other columns matter: local importances are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from xai.datasets.dataset import Dataset, Floats, check_count, read_only
from xai.streams import as_seed

APART = 5.0
"""Distance of neighbouring centres, in standard deviations of a cluster."""


def clustered(
    n: int = 5000,
    *,
    features: int = 20,
    clusters: int = 100,
    seed: int | np.random.Generator = 0,
) -> Dataset:
    """Clusters with importances of their own: ``p = σ(x · (m_k ⊙ w))``, k the cluster of x.

    Centres lie on the axes, at multiples of 5; rows are Gaussian about them with Σ = I. The
    weights ``w ~ U(−1, 1)`` are common, the masks ``m_k``, Bernoulli(½) for each column, are each
    cluster's own. The class is ``p > t``, t the median of p (Agarwal et al. 2022, OpenXAI).

    Parameters
    ----------
    n : rows
    features, clusters : int
    seed : int or Generator

    Returns
    -------
    Dataset
        `truth` (n, features) is ``m_k ⊙ w``, the gradient of `model`'s log-odds at each row.
        `model` gives p. `info` holds `cluster` (n,), `centres`, `masks`, `weights`.

    Notes
    -----
    A row belongs to the nearest centre, also where another one made it, so that `truth` is exactly
    that of `model`. A model fitted to the classes alone may do well without these masks: the
    threshold is common to all clusters, and whole clusters may lie on one side of it.

    Examples
    --------
    >>> data = clustered(100, features=4, clusters=8)
    >>> data.truth.shape, data.model(data.data).shape
    ((100, 4), (100,))
    """
    check_count("n", n)
    check_count("features", features)
    check_count("clusters", clusters)
    rng = np.random.default_rng(as_seed(seed))
    k = np.arange(clusters)
    centres = np.zeros((clusters, features))
    centres[k, k % features] = APART * (1 + k // features)
    weights = rng.uniform(-1, 1, features)
    masks = rng.random((clusters, features)) < 0.5
    x = centres[rng.integers(0, clusters, n)] + rng.standard_normal((n, features))
    model = Local(read_only(centres), read_only(masks * weights))
    cluster, p = model.cluster(x), model(x)
    return Dataset(
        data=x,
        target=(p > np.median(p)).astype(np.int64),
        feature_names=tuple(f"x{j}" for j in range(features)),
        target_names=("p low", "p high"),
        description=f"{n} rows in {clusters} Gaussian clusters of {features} columns; about half "
        "of the columns matter in each.",
        citation="C. Agarwal, S. Krishna, E. Saxena, M. Pawelczyk, N. Johnson, I. Puri, M. "
        "Zitnik, H. Lakkaraju (2022). OpenXAI: towards a transparent evaluation of model "
        "explanations. NeurIPS Datasets and Benchmarks.",
        truth=model.slopes[cluster],
        model=model,
        info={"cluster": cluster, "centres": centres, "masks": masks, "weights": weights},
    )


@dataclass(frozen=True, eq=False)
class Local:
    """``x ↦ σ(slopes_k · x)``, k the nearest of the centres."""

    centres: Floats
    slopes: Floats

    def cluster(self, x: Any) -> NDArray[np.intp]:
        """The nearest centre of each row, (n,)."""
        x = np.asarray(x, np.float64)
        closeness = x @ self.centres.T - (self.centres**2).sum(axis=1) / 2
        return np.asarray(closeness.argmax(axis=1))

    def __call__(self, x: Any) -> Floats:
        """The probability of the second class, (n,)."""
        x = np.asarray(x, np.float64)
        return np.asarray(expit((x * self.slopes[self.cluster(x)]).sum(axis=1)))
