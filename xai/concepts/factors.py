"""Activations as products of few concepts: A ≈ U W, rows of W the concepts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.concepts.nnls import coefficients
from xai.inputs import is_whole
from xai.suggest import unknown

Floats: TypeAlias = NDArray[np.floating]
ITERATIONS = 400
Factors: TypeAlias = Literal["auto", "nmf", "semi_nmf", "kmeans", "pca"]


def factorise(A: Floats, r: int, how: str, seed: int) -> tuple[Floats, Floats, str, bool]:
    """Find r concepts in activations.

    Parameters
    ----------
    A : (n, C)
    how : {"auto", "nmf", "semi_nmf", "kmeans", "pca"}
        "auto": NMF; semi-NMF, with a warning, where activations are negative.

    Returns
    -------
    W : (r, C) concepts of unit length
    offset : (C,) what is subtracted from activations first: their mean for PCA, else 0
    how : the one that ran
    converged : whether it met its tolerance within its iterations

    Raises
    ------
    ValueError
        NMF of negative activations; more concepts than rows or channels allow.
    """
    if how not in ("auto", *_HOW):
        raise ValueError(unknown("factors", how, ["auto", *_HOW]))
    negative = bool((A < 0).any())
    if how == "nmf" and negative:
        raise ValueError(
            f"NMF needs activations ≥ 0, and the smallest is {A.min():.3g}: choose a layer behind "
            "a ReLU, or factors='semi_nmf', 'kmeans' or 'pca'"
        )
    if how == "auto":
        how = "semi_nmf" if negative else "nmf"
        if negative:
            warnings.warn(
                f"activations go down to {A.min():.3g}, so concepts are found by semi-NMF, not "
                "NMF; factors='semi_nmf' says so without a warning",
                stacklevel=3,
            )
    most = min(A.shape) if how == "pca" else len(A)
    if not is_whole(r) or not 1 <= r <= most:
        raise ValueError(f"n_concepts={r!r}: expected 1 to {most} for {len(A)} crops ({how})")
    offset = A.mean(axis=0) if how == "pca" else np.zeros(A.shape[1], A.dtype)
    W, converged = _HOW[how](A - offset, r, seed % 2**32)  # as far as scikit-learn's seeds go
    length = np.linalg.norm(W, axis=1, keepdims=True)
    return np.asarray(W / np.where(length > 0, length, 1), A.dtype), offset, how, converged


def _nmf(A: Floats, r: int, seed: int) -> tuple[Floats, bool]:
    """Lee & Seung (1999), by scikit-learn's coordinate descent."""
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    init = "nndsvda" if r <= min(A.shape) else "random"
    model = NMF(r, init=init, max_iter=ITERATIONS, random_state=seed)
    with warnings.catch_warnings():  # told by what is returned
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(A)
    return np.asarray(model.components_), bool(model.n_iter_ < ITERATIONS)


def _semi_nmf(A: Floats, r: int, seed: int) -> tuple[Floats, bool]:
    """Solve min ‖A − UW‖, U ≥ 0 (Ding, Li & Jordan 2010): each exactly in turn, from k-means."""
    (W, _), before = _kmeans(A, r, seed), np.inf
    for _ in range(ITERATIONS):
        U = np.asarray(coefficients(A, W))
        W = np.linalg.lstsq(U, A, rcond=None)[0]
        error = float(np.linalg.norm(A - U @ W))
        if error >= before * (1 - 1e-5):
            return W, True
        before = error
    return W, False


def _kmeans(A: Floats, r: int, seed: int) -> tuple[Floats, bool]:
    from sklearn.cluster import KMeans

    model = KMeans(r, n_init=4, random_state=seed).fit(A)
    return np.asarray(model.cluster_centers_), bool(model.n_iter_ < model.max_iter)


def _pca(A: Floats, r: int, seed: int) -> tuple[Floats, bool]:
    from sklearn.decomposition import PCA

    return np.asarray(PCA(r, random_state=seed).fit(A).components_), True


_HOW: dict[str, Callable[[Any, int, int], tuple[Floats, bool]]] = {
    "nmf": _nmf,
    "semi_nmf": _semi_nmf,
    "kmeans": _kmeans,
    "pca": _pca,
}
