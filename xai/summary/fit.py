"""Weighted least squares on a long table, of which only some rows at a time are there as floats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xai import streams
from xai.game import Floats

GROUPS = 10
"""Groups of samples that a jackknife leaves out, one at a time."""


@dataclass(frozen=True)
class Fit:
    """A fit of k columns: phi, error (d, k), NaN where unknown; intercept, r2 (k,)."""

    phi: Floats
    error: Floats
    intercept: Floats
    r2: Floats


class Regression:
    """min Σ w (v − b − z phi)² + penalty(phi), the intercept b not penalised.

    Parameters
    ----------
    z : slice of rows -> (B, d)
        The regressors; asked for twice, where they are more than one block.
    weigh : (slice of rows, their regressors) -> w (B,)
    v : (C, k)
    d : number of regressors
    regularizer, alpha : as for `LinearFit`
    errors : whether to find standard errors, too
    """

    def __init__(
        self,
        z: Callable[[slice], Floats],
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
        self.weights = np.empty(len(v))
        self.whole: Floats | None = None
        groups, k = GROUPS if regularizer == "lasso" and errors else 1, v.shape[1]
        # Σ w, Σ w z, Σ w v, Σ w z zᵀ and Σ w z vᵀ around the first rows' means, group by group
        self.mass = np.zeros(groups)
        self.z_sum, self.v_sum = np.zeros((groups, d)), np.zeros((groups, k))
        self.gram, self.moment = np.zeros((groups, d, d)), np.zeros((groups, d, k))
        self.left, self.variance = np.zeros(k), np.zeros((d, k))

    def add(self, part: slice) -> None:
        """Take in some rows; the first ones first."""
        z, v = self.z(part), self.v[part]
        self.whole = z if len(v) == len(self.v) else None
        w = self.weights[part] = self.weigh(part, z)
        if part.start == 0:
            self.z_mean, self.v_mean = (np.average(a, 0, w if w.any() else None) for a in (z, v))
        z, v = z - self.z_mean, v - self.v_mean
        group = np.arange(part.start, part.stop) % len(self.mass)
        for g in range(len(self.mass)):
            own = slice(None) if len(self.mass) == 1 else group == g
            weighted = (z[own] * w[own, None]).T
            self.mass[g] += w[own].sum()
            self.z_sum[g] += weighted.sum(axis=1)
            self.v_sum[g] += w[own] @ v[own]
            self.gram[g] += weighted @ z[own]
            self.moment[g] += weighted @ v[own]

    def solve(self) -> None:
        """Find the coefficients once all rows are in."""
        mass = self.mass.sum()
        if mass == 0:
            raise ValueError("every sample has weight 0: widen the kernel (width=)")
        dz, dv = self.z_sum.sum(axis=0) / mass, self.v_sum.sum(axis=0) / mass
        self._centre(dz, dv)
        gram, moment = self.gram.sum(axis=0), self.moment.sum(axis=0)
        self.error = np.full_like(moment, np.nan)
        self.inverse = None
        if self.regularizer == "lasso" and self.alpha > 0:
            self.phi = _lasso(gram, moment, mass, self.alpha)
            if self.errors and len(self.v) >= 2 * GROUPS:
                parts = zip(self.gram, self.moment, self.mass, strict=True)
                fits = [_lasso(gram - g, moment - m, mass - w, self.alpha) for g, m, w in parts]
                self.error = np.sqrt((GROUPS - 1) * np.var(fits, axis=0))
            return
        penalty = 0.0 if self.regularizer is None else self.alpha
        self.inverse = np.linalg.pinv(gram + penalty * np.eye(self.d), hermitian=True)
        self.phi = self.inverse @ moment

    def _centre(self, dz: Floats, dv: Floats) -> None:
        """Move the sums to the means of all rows."""
        for g, (w, z, v) in enumerate(zip(self.mass, self.z_sum, self.v_sum, strict=True)):
            self.gram[g] += w * np.outer(dz, dz) - np.outer(z, dz) - np.outer(dz, z)
            self.moment[g] += w * np.outer(dz, dv) - np.outer(z, dv) - np.outer(dz, v)
        self.z_mean, self.v_mean = self.z_mean + dz, self.v_mean + dv

    def check(self, part: slice) -> None:
        """Hold some rows against the fit."""
        z = (self.z(part) if self.whole is None else self.whole) - self.z_mean
        w, residual = self.weights[part], self.v[part] - self.v_mean - z @ self.phi
        self.left += w @ residual**2
        if not self.errors or self.inverse is None:
            return
        influence = (z * w[:, None]) @ self.inverse
        leverage = np.einsum("cd,cd->c", influence, z) + w / self.mass.sum()
        spare = np.maximum(1 - leverage, 1e-12)  # heteroscedasticity and leverage allowed for (HC2)
        self.variance += (influence**2).T @ (residual**2 / spare[:, None])

    def result(self) -> Fit:
        """The fit once all rows were held against it."""
        if self.errors and self.inverse is not None and len(self.v) > self.d + 2:
            self.error = np.sqrt(self.variance)
        spread = self.weights @ (self.v - self.v_mean) ** 2
        some = spread > 0
        r2 = np.where(some, 1 - self.left / np.where(some, spread, 1), np.nan)
        return Fit(self.phi, self.error, self.v_mean - self.z_mean @ self.phi, r2)


def fitted(regressions: Sequence[Regression]) -> list[Fit]:
    """Fits on tables of one length, taken through them side by side: they may share blocks."""
    parts = streams.parts(len(regressions[0].v), regressions[0].d)
    for part in parts:
        for one in regressions:
            one.add(part)
    for one in regressions:
        one.solve()
    for part in parts:
        for one in regressions:
            one.check(part)
    return [one.result() for one in regressions]


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
