"""Two Gaussian features, one of which knows nothing of the class and yet belongs in the model."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from scipy.special import ndtr

from xai.datasets.dataset import Dataset, Floats, check_count
from xai.streams import as_seed


def suppressor2d(
    n: int = 1000,
    *,
    s1: float = 0.8,
    s2: float = 0.5,
    c: float = 0.8,
    seed: int | np.random.Generator = 0,
) -> Dataset:
    """A suppressor variable, with the closed form of what methods attribute to it.

    ``x = (z, 0) + η``, ``z = ±1`` equally often, ``η ~ N(0, Σ)`` with standard deviations `s1`,
    `s2` and correlation `c`. x2 is independent of the class z, but the best linear model
    ``f(x) = w·x``, ``w = α(1, −c s1/s2)``, uses it to take noise away from x1 (Wilming et al.
    2023, whose s1, s2, c are the defaults).

    Parameters
    ----------
    n : rows
    s1, s2 : standard deviations, positive
    c : correlation, within (−1, 1)
    seed : int or Generator

    Returns
    -------
    Dataset
        `truth` is True for x1 and False for x2. `model` is f, of one output. `attributions` are
        f's, by the names of `xai.methods()` where they have one; a background of the population
        or its mean (0, 0) is meant. `info` holds the weights, the covariance Σ_x and the best
        accuracy, ``Φ(1/(s1√(1 − c²)))``.

    Raises
    ------
    ValueError
        `n` below 1, deviations that are not positive, or `c` outside (-1, 1).

    Notes
    -----
    What is not 0 for x2 is no error of a method: it tells what the model does, not what the
    features know of the class. `m_plot`, `firm`, `pattern` and `univariate` tell the latter.

    Examples
    --------
    >>> data = suppressor2d(100, s1=1, s2=1, c=0.6)
    >>> data.attributions["gradient"].round(3), data.attributions["pattern"].round(3)
    (array([ 0.857, -0.514]), array([1.406, 0.   ]))
    """
    check_count("n", n)
    if not (s1 > 0 and s2 > 0):
        raise ValueError(f"s1 and s2 must be positive, not {s1!r} and {s2!r}")
    if not -1 < c < 1:
        raise ValueError(f"c must lie within (-1, 1), not {c!r}")
    law = Law(float(s1), float(s2), float(c))
    x, z = law.draw(n, as_seed(seed))
    best = float(ndtr(1 / (s1 * sqrt(1 - c * c))))
    return Dataset(
        data=x,
        target=(z > 0).astype(np.int64),
        feature_names=("x1", "x2"),
        target_names=("z = -1", "z = +1"),
        description=f"{n} rows of two Gaussian features with s1={s1}, s2={s2}, c={c}: x1 = z + "
        "noise, and x2 is noise that correlates with x1's.",
        citation="R. Wilming, L. Kieslich, B. Clark, S. Haufe (2023). Theoretical behavior of XAI "
        "methods in the presence of suppressor variables. ICML, PMLR 202, 37091-37107.",
        truth=np.tile([True, False], (n, 1)),
        model=Linear(*law.w),
        attributions=law.attributions(x, z),
        info={"weights": law.w, "covariance": law.covariance, "best_accuracy": np.array(best)},
    )


EFFECTS = ("gradient_x_input", "integrated_gradients", "occlusion", "shapley")
"""Methods that give a linear model's ``w_j (x_j − E x_j)``."""


@dataclass(frozen=True)
class Linear:
    """``x ↦ w1 x1 + w2 x2``."""

    w1: float
    w2: float

    def __call__(self, x: Any) -> Floats:
        """Values (n,) of rows (n, 2)."""
        return np.asarray(np.asarray(x, np.float64) @ np.array([self.w1, self.w2]))


@dataclass(frozen=True)
class Law:
    """The distribution, and all that follows from it in closed form."""

    s1: float
    s2: float
    c: float

    @property
    def slope(self) -> float:
        """What of x1's noise a unit of x2 foretells: c s1/s2."""
        return self.c * self.s1 / self.s2

    @property
    def alpha(self) -> float:
        """The factor that makes w of length 1."""
        return 1 / sqrt(1 + self.slope**2)

    @property
    def w(self) -> Floats:
        """Weights of the best linear model, ∝ Σ⁻¹(1, 0)."""
        return self.alpha * np.array([1.0, -self.slope])

    @property
    def covariance(self) -> Floats:
        """Σ_x, of both classes together."""
        s = self.c * self.s1 * self.s2
        return np.array([[1 + self.s1**2, s], [s, self.s2**2]])

    def draw(self, n: int, seed: int) -> tuple[Floats, Floats]:
        """Rows x (n, 2) and their z (n,)."""
        rng = np.random.default_rng(seed)
        z = np.where(rng.random(n) < 0.5, -1.0, 1.0)
        e = rng.standard_normal((n, 2))
        x1 = z + self.s1 * e[:, 0]
        x2 = self.s2 * (self.c * e[:, 0] + sqrt(1 - self.c**2) * e[:, 1])
        return np.stack([x1, x2], axis=1), z

    def given_x1(self, x1: Floats) -> Floats:
        """``E[f | x1] = α(x1 − c²(x1 − tanh(x1/s1²)))``; ``E[f | x2] = 0``."""
        return self.alpha * (x1 - self.c**2 * (x1 - np.tanh(x1 / self.s1**2)))

    def variances(self) -> tuple[float, float]:
        """Var f, and Var E[f | x1] by Gauss-Hermite quadrature (it is odd, so z = 1 will do)."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(200)
        m = self.given_x1(1 + self.s1 * nodes)
        f = self.alpha**2 * (1 + self.s1**2 * (1 - self.c**2))
        return f, float(weights @ m**2 / weights.sum())

    def attributions(self, x: Floats, z: Floats) -> dict[str, Floats]:
        """Of f, for rows x of classes z: (n, 2), or (2,) where all rows have the same."""
        w, f, m = self.w, x @ self.w, self.given_x1(x[:, 0])
        effect, nothing = w * x, np.zeros_like(m)
        return {
            **dict.fromkeys(EFFECTS, effect),
            "gradient": w,
            "lime": w * np.sqrt(np.diag(self.covariance)),
            "counterfactual": -f[:, None] * w,
            "loss_shap": self._loss_shap(x, z),
            "m_plot": np.stack([m, nothing], axis=1),
            "conditional_shapley": np.stack([m + f, f - m], axis=1) / 2,
            **self._of_data_set(),
        }

    def _loss_shap(self, x: Floats, z: Floats) -> Floats:
        """Shapley values of ``−(z − f_S)²``, x_S kept and the mean for the rest."""
        a, b = (self.w * x).T
        one, two, both = (-((z - s) ** 2) for s in (a, b, a + b))
        return np.stack([one + 1 + both - two, two + 1 + both - one], axis=1) / 2

    def _of_data_set(self) -> dict[str, Floats]:
        w, cov = self.w, self.covariance
        rest = sqrt(1 - self.c**2)
        f, m = self.variances()
        r1, r12 = 1 / (1 + self.s1**2), 1 / (1 + (self.s1 * rest) ** 2)
        best = ndtr(1 / (self.s1 * rest))
        without = np.array([0.5, ndtr(1 / (self.s1 * sqrt(1 + self.c**2)))])
        alone = w * w * np.diag(cov)  # Var w_j x_j
        gain = np.array([2 * w[0], 0.0]) - alone  # of −E(z − w_j x_j)² over −E z²
        both = 2 * w[0] - f
        return {
            "partial_dependence": w,
            "firm": np.array([sqrt(m), 0.0]),
            "pattern": cov @ w,
            "haufe": cov @ w / f,
            "permutation_test": 2 * w * (np.array([1.0, 0.0]) - w[::-1] * cov[0, 1]),
            "permutation_test_0_1": best - without,
            "sage": (gain + both - gain[::-1]) / 2,
            "shapley_effects": np.array([f + m, f - m]) / 2,
            "net_effects": np.array([r1 + r12, r12 - r1]) / 2,
            "univariate": np.array([r1, 0.0]),
        }
