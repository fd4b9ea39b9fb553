"""Weighted least squares on long tables, of which only some samples at a time are floats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpocon, dpotrf, dpotri

from xai import streams
from xai.game import Floats

GROUPS = 10
"""Groups of samples that a jackknife leaves out, one at a time."""
MANY = 128
"""Regressors from which a matrix is factorised before its eigenvalues are asked for."""
NO_WEIGHT = "every sample has weight 0: widen the kernel (width=)"


@dataclass(frozen=True)
class Fit:
    """Fits of k columns in T tables: phi, error (T, k, d), NaN where unknown; the rest (T, k)."""

    phi: Floats
    error: Floats
    intercept: Floats
    r2: Floats


class Regression:
    """min Σ w (v − b − z phi)² + penalty(phi), the intercept b not penalised.

    Tables of one length lie side by side, to share each step's price and the draws made for it;
    the numbers of one never depend on another's.

    Parameters
    ----------
    z : slice of samples -> (T, d, S)
        The regressors; asked for twice, where they are more than one block.
    weigh : (slice of samples, their regressors less the first sample's) -> w (T, S)
    v : (T, k, C)
    d : number of regressors
    regularizer, alpha : as for `LinearFit`
    errors : whether to find standard errors, too
    """

    def __init__(
        self,
        z: Callable[[slice], NDArray[Any]],
        weigh: Callable[[slice, Floats], Floats],
        v: Floats,
        d: int,
        regularizer: str | None,
        alpha: float,
        *,
        errors: bool = False,
    ) -> None:
        self.z, self.weigh, self.v, self.d = z, weigh, v, d
        self.regularizer, self.alpha, self.errors = regularizer, alpha, errors
        tables, k, count = v.shape
        self.weights = np.empty((tables, 1, count))
        self.left, self.spread = np.zeros((2, tables, k))

    def fit(self) -> Fit:
        """Take in all samples, solve, and hold the samples against the fit."""
        tables, k, count = self.v.shape
        if count <= self.d and self.regularizer != "lasso":
            return self._dual()
        groups = GROUPS if self.regularizer == "lasso" and self.errors else 1
        # Σ w a aᵀ and Σ w (v − v̄) aᵀ, a = (1, z − z̄) around the first samples' means, by group
        self.gram = np.zeros((groups, tables, 1 + self.d, 1 + self.d))
        self.moment = np.zeros((groups, tables, k, 1 + self.d))
        self.variance = np.zeros((tables, k, 1 + self.d))
        parts = streams.parts(count, tables * self.d)
        for part in parts:
            a, y = self._scaled(part, weigh=True)
            self._add(part, a, y)
        self._solve()
        for part in parts:
            if len(parts) > 1:
                a, y = self._scaled(part)
            self._check(a, y)
        return self._result()

    def _scaled(self, part: slice, *, weigh: bool = False) -> tuple[Floats, Floats]:
        """√w a (T, 1 + d, S) and √w (v − v̄) (T, k, S): what is left is plain least squares."""
        z, w = self.z(part), self.weights[..., part]
        a = np.empty((len(z), 1 + self.d, z.shape[2]))
        root, rest = a[:, :1], a[:, 1:]
        rest[...] = z
        if part.start == 0:
            self.z_first, self.v_first = rest[..., :1].copy(), self.v[..., :1]
        rest -= self.z_first
        y = self.v[..., part] - self.v_first
        if weigh:
            w[:, 0] = self.weigh(part, rest)
            if part.start == 0:
                share = np.where(w.any(axis=2, keepdims=True), w, 1.0)
                share /= share.sum(axis=2, keepdims=True)
                self.z_mean, self.v_mean = (m @ share.swapaxes(1, 2) for m in (rest, y))
        rest -= self.z_mean
        y -= self.v_mean
        np.sqrt(w, out=root)
        rest *= root
        y *= root
        return a, y

    def _add(self, part: slice, a: Floats, y: Floats) -> None:
        groups = len(self.gram)
        for g in range(groups):
            own = slice((g - part.start) % groups, None, groups)
            left, right = (np.ascontiguousarray(m[..., own]) for m in (a, y))
            self.gram[g] += left @ left.swapaxes(1, 2)
            self.moment[g] += right @ left.swapaxes(1, 2)

    def _solve(self) -> None:
        """Find the coefficients once all samples are in."""
        gram, moment = (np.asarray(sum(groups)) for groups in (self.gram, self.moment))
        mass, z_sum, v_sum = gram[:, :1, :1], gram[:, :1, 1:], moment[..., :1]
        if not mass.all():
            raise ValueError(NO_WEIGHT)
        self.dz, self.dv = z_sum / mass, v_sum / mass
        self.error, self.hat = np.full((*moment.shape[:2], self.d), np.nan), None
        if self.regularizer == "lasso" and self.alpha > 0:
            self.phi = self._lassos(gram, moment)
            if self.errors and self.v.shape[2] >= 2 * GROUPS:
                groups = zip(self.gram, self.moment, strict=True)
                fits = [self._lassos(gram - g, moment - m) for g, m in groups]
                self.error = np.sqrt((GROUPS - 1) * np.var(fits, axis=0))
            return
        square, right = self._centred(gram, moment)
        if self.regularizer is not None:
            np.einsum("tdd->td", square)[...] += self.alpha
        inverse = pseudo_inverse(square)
        self.phi = right @ inverse
        if self.errors:
            shift = self.dz @ inverse
            corner = 1 / mass + shift @ self.dz.swapaxes(1, 2)
            self.hat = np.block([[corner, -shift], [-shift.swapaxes(1, 2), inverse]])

    def _centred(self, gram: Floats, moment: Floats) -> tuple[Floats, Floats]:
        """Sums of some groups around the means of all: of z zᵀ (T, d, d) and v zᵀ (T, k, d)."""
        z_sum, v_sum = gram[:, :1, 1:], moment[..., :1]
        beyond = z_sum - gram[:, :1, :1] * self.dz  # 0 where the groups are all
        square = gram[:, 1:, 1:] - z_sum.swapaxes(1, 2) * self.dz
        square -= self.dz.swapaxes(1, 2) * beyond
        return square, moment[..., 1:] - v_sum * self.dz - self.dv * beyond

    def _lassos(self, gram: Floats, moment: Floats) -> Floats:
        tables = zip(*self._centred(gram, moment), gram[:, 0, 0], strict=True)
        return np.stack([_lasso(g, m.T, mass, self.alpha).T for g, m, mass in tables])

    def _dual(self) -> Fit:
        """The fit of fewer samples than regressors, by the samples' products: no (d, d) matrix.

        phi = aᵀ (a aᵀ + alpha)⁺ y, some regressors at a time. Errors are unknown.
        """
        tables, k, count = self.v.shape
        table = []
        for part in streams.parts(count, tables * self.d):
            z = self.z(part)
            if part.start == 0:
                first = z[..., :1].astype(np.float64)
            self.weights[:, 0, part] = self.weigh(part, z - first)
            table.append(z)
        z, w = np.concatenate(table, axis=2), self.weights
        mass = w.sum(axis=2, keepdims=True)
        if not mass.all():
            raise ValueError(NO_WEIGHT)
        share, root = w.swapaxes(1, 2) / mass, np.sqrt(w)
        parts = streams.parts(self.d, count)  # as if alone: to the same digits
        z_mean, products = np.empty((tables, self.d, 1)), np.zeros((tables, count, count))

        def scaled(part: slice) -> Floats:
            a = z[:, part] - first[:, part]
            z_mean[:, part] = a @ share
            a -= z_mean[:, part]
            a *= root
            return a

        for part in parts:
            a = scaled(part)
            products += a.swapaxes(1, 2) @ a
        y = self.v - self.v[..., :1]
        v_mean = y @ share
        y = (y - v_mean) * root
        square = products.copy()
        if self.regularizer is not None:
            np.einsum("tss->ts", square)[...] += self.alpha
        by_sample = y @ pseudo_inverse(square)
        phi = np.empty((tables, k, self.d))
        for part in parts:
            phi[..., part] = by_sample @ scaled(part).swapaxes(1, 2)
        self.spread += (y**2).sum(axis=2)
        self.left += ((y - by_sample @ products) ** 2).sum(axis=2)
        intercept = self.v[..., 0] + (v_mean - phi @ (first + z_mean))[..., 0]
        return Fit(phi, np.full_like(phi, np.nan), intercept, self._r2())

    def _check(self, a: Floats, y: Floats) -> None:
        """Hold some samples against the fit."""
        root, rest = a[:, :1], a[:, 1:]
        y = y - self.dv * root
        self.spread += (y**2).sum(axis=2)
        squares = (y - self.phi @ rest + self.phi @ self.dz.swapaxes(1, 2) * root) ** 2
        self.left += squares.sum(axis=2)
        if self.hat is None:
            return
        influence = self.hat @ a
        leverage = np.einsum("tds,tds->ts", influence, a)
        influence *= influence
        if self.regularizer is not None:
            leverage += self.alpha * influence[:, 1:].sum(axis=1)
        # heteroscedasticity and leverage allowed for (HC2): (I - H)² of the noise is left, which is
        # 1 - h without a penalty, and 1 - h - alpha ‖hat a‖² with one
        squares /= np.maximum(1 - leverage, 1e-12)[:, None]
        self.variance += squares @ influence.swapaxes(1, 2)

    def _result(self) -> Fit:
        """The fit once all samples were held against it."""
        if self.hat is not None and self.v.shape[2] > self.d + 2:
            self.error = np.sqrt(self.variance[..., 1:])
        z_mean = self.z_first + self.z_mean + self.dz.swapaxes(1, 2)
        v_mean = self.v_first + self.v_mean + self.dv
        return Fit(self.phi, self.error, (v_mean - self.phi @ z_mean)[..., 0], self._r2())

    def _r2(self) -> Floats:
        some = self.spread > 0
        return np.where(some, 1 - self.left / np.where(some, self.spread, 1), np.nan)


def weighted_moments(
    regressors: Callable[[slice], Floats], weight: Floats, y: Floats
) -> tuple[Floats, Floats]:
    """Σ w z zᵀ (d, d) and Σ w z yᵀ (d, columns), some rows at a time."""
    d = regressors(slice(0, 1)).shape[1]
    gram, moment = np.zeros((d, d)), np.zeros((d, y.shape[1]))
    for part in streams.parts(len(y), d):
        root = np.sqrt(weight[part, None])
        z = regressors(part) * root
        gram += z.T @ z  # which takes half the time of another product
        moment += z.T @ (y[part] * root)
    return gram, moment


def pseudo_inverse(gram: Floats) -> Floats:
    """Of sums of squares (…, d, d): by Cholesky's factors where they are large and not singular."""
    d = gram.shape[-1]
    if d < MANY:
        return np.linalg.pinv(gram, hermitian=True)
    if gram.ndim > 2:
        return np.stack([pseudo_inverse(each) for each in gram])
    norm = np.abs(gram).sum(axis=0).max()
    factor, failed = dpotrf(gram, lower=1)
    if failed or dpocon(factor, norm, uplo="L")[0] < d * np.finfo(np.float64).eps * 1e3:
        return np.linalg.pinv(gram, hermitian=True)
    half, _ = dpotri(factor, lower=1, overwrite_c=1)
    upper = np.triu_indices(d, 1)
    half[upper] = half.T[upper]
    return np.asarray(half)


def _lasso(gram: Floats, moment: Floats, mass: float, alpha: float) -> Floats:
    """Minimise ``phiᵀ gram phi / 2 − momentᵀ phi + mass·alpha·‖phi‖₁`` for each column, (d, k).

    scikit-learn is given at most d rows with these moments, however many samples there were. Its
    default tolerance would stop some digits early, and by more where players outnumber samples.
    """
    from sklearn.linear_model import Lasso

    size, axes = np.linalg.eigh(gram)
    some = size > len(gram) * np.finfo(np.float64).eps * size[-1]
    if not some.any():
        return np.zeros_like(moment)
    root, axes = np.sqrt(size[some]), axes[:, some]
    scale = np.sqrt(len(root) / mass)
    rows, values = scale * root[:, None] * axes.T, scale * (axes.T @ moment) / root[:, None]
    # the seed changes nothing; without one NumPy's global generator would be drawn from
    model = Lasso(alpha, fit_intercept=False, tol=1e-10, max_iter=100_000, random_state=0)
    return np.stack([model.fit(rows, column).coef_.copy() for column in values.T], axis=1)
