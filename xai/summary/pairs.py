"""Linear functions of a game from pairs of a coalition and its complement, drawn by size.

Semivalues with symmetric weights see the odd part of a game, v(T) − v(T̄), and interactions the
even part, v(T) + v(T̄): both are sums over pairs, with known weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from xai import streams
from xai.game import Coalitions, Floats, Game
from xai.summary.base import Ends, Plan
from xai.summary.enumeration import whole_size
from xai.summary.fit import pseudo_inverse, weighted_moments
from xai.summary.samples import sampled
from xai.summary.stretches import GOLDEN

REGRESSION = "regression on pairs"


@dataclass(frozen=True)
class Target:
    """What is estimated: q sums over pairs, ``Σ_{T, T̄} b_T (v(T) ± v(T̄))``.

    Attributes
    ----------
    table : (c, d+1)
        ``C(d, t) b_T`` by how many of 0..c-1 players T holds, and by its size t.
    held : coalitions (P, d) -> (P, q), how many of the players in question each holds
    features : coalitions (P, d) -> (P, f), what v(T) ± v(T̄) is regressed on
    known : (q, f), the sums of these features
    """

    table: Floats
    held: Callable[[Coalitions], NDArray[np.intp]]
    features: Callable[[Coalitions], Floats]
    known: Floats

    def weights(self, S: Coalitions) -> Floats:
        """C(d, t) b_T for each pair, (q, P)."""
        return np.asarray(self.table[self.held(S).T, S.sum(axis=1)])

    def norms(self, sizes: NDArray[np.intp]) -> Floats:
        """Norm over the q sums of a pair's weights, by size."""
        d = self.table.shape[1] - 1
        S = np.arange(d) < sizes[:, None]
        return np.asarray(np.sqrt((self.weights(S) ** 2).sum(axis=0)))


def log_choose(d: int, k: NDArray[np.integer]) -> NDArray[np.float64]:
    """Logarithms of the numbers of coalitions of k among d players."""
    return np.asarray(gammaln(d + 1) - gammaln(k + 1) - gammaln(d - k + 1))


def signs(S: Coalitions) -> Floats:
    """±1 for members and others."""
    return np.where(S, 1.0, -1.0)


def sign_products(S: Coalitions) -> Floats:
    """1, and the products of two signs for i < j: (P, 1 + d(d-1)/2)."""
    z, (i, j) = signs(S), np.triu_indices(S.shape[1], 1)
    return np.concatenate([np.ones((len(z), 1)), z[:, i] * z[:, j]], axis=1)


def semivalues(mass: NDArray[np.float64]) -> Target:
    """Of masses C(d - 1, s) p_s: p_{t-1} for members, −p_t for others."""
    d = len(mass)
    t = np.arange(d + 1)
    table = np.zeros((2, d + 1))
    table[0, :-1] = -d / (d - t[:-1]) * mass
    table[1, 1:] = d / t[1:] * mass
    return Target(table, lambda S: S.astype(np.intp), signs, np.eye(d))


def shapley_interactions(d: int) -> Target:
    """Shapley's interaction index: ω_{t-2}, −ω_{t-1}, ω_t by how many of the two are in T."""
    i, j = np.triu_indices(d, 1)
    t = np.arange(d + 1)
    table = np.zeros((3, d + 1))
    table[0, :-2] = d / ((d - t) * (d - t - 1))[:-2]
    table[1, 1:-1] = -d / (t * (d - t))[1:-1]
    table[2, 2:] = d / (t * (t - 1))[2:]
    known = np.concatenate([np.zeros((len(i), 1)), 2 * np.eye(len(i))], axis=1)
    return Target(table, lambda S: S[:, i].astype(np.intp) + S[:, j], sign_products, known)


@dataclass(frozen=True)
class Design:
    """Which pairs are evaluated.

    Sizes are drawn with probability ∝ C(d, t) |b_T|, with which every pair tells as much (Li & Yu
    2024), and for which plain least squares is the control variate of least variance. Sizes that
    are expected to be drawn as often as they have coalitions are enumerated (unless a tolerance
    may stop before), as is the pair of everybody and nobody, which comes first.

    Attributes
    ----------
    S : (P, d) bool, one coalition of each pair, of at most d/2 players but for the first
    certain : how many, from the first, are not drawn
    scale : (P,), by which a pair's C(d, t) b_T becomes its share in the sum; drawn ones' times
        their number
    """

    S: Coalitions
    certain: int
    scale: Floats

    @classmethod
    def make(cls, d: int, targets: list[Target], count: int, plan: Plan) -> Design:
        """About `count` pairs for some targets, which count alike."""
        t = np.arange(1, d // 2 + 1)
        share = np.where(2 * t == d, 0.5, 1.0)  # the size d/2 is its own complement
        norms = np.array([share * target.norms(t) for target in targets])
        norm = np.sqrt(((norms / norms.sum(axis=1, keepdims=True)) ** 2).sum(axis=0))
        number = np.exp(log_choose(d, t)).round() * share
        left, whole = count, np.zeros(len(t), bool)
        while plan.tolerance is None and (norm[~whole] > 0).any():
            more = (left * norm >= number * norm[~whole].sum()) & ~whole & (norm > 0)
            if not more.any() or number[more].sum() > left:
                break
            left -= int(number[more].sum())
            whole |= more
        rest = np.where(whole, 0.0, norm)
        drawn = left if rest.sum() > 0 else 0
        chance = rest / rest.sum() if drawn else rest
        samples = np.arange(drawn)
        first = streams.uniforms(plan.seed, streams.SIZE, np.zeros(1, np.intp), 1)[0, 0]
        place = np.searchsorted(np.cumsum(chance), (first + samples * GOLDEN) % 1, side="right")
        at = np.minimum(place, np.flatnonzero(chance)[-1]) if drawn else samples
        blocks = [np.ones((1, d), bool), *(whole_size(d, int(s)) for s in t[whole])]
        blocks.append(streams.subsets(plan.seed, samples, t[at], d))
        scales = [np.ones(1)]
        scales += [np.full(int(n), f / n) for n, f in zip(number[whole], share[whole], strict=True)]
        scales.append(share[at] / chance[at])
        certain = sum(map(len, blocks[:-1]))
        return cls(np.concatenate(blocks), certain, np.concatenate(scales))

    def estimate(self, target: Target, y: Floats) -> tuple[Floats, Floats]:
        """Sums and standard errors (q, columns) from y (P, columns), P pairs from the first.

        ``Σ_T b_T y_T = Σ_T b_T f_T·β + Σ_T b_T (y_T − f_T·β)``: the first sum is known, the second
        is estimated, with β from least squares, where there are twice as many pairs as features.
        """
        S, drawn = self.S[: len(y)], len(y) - self.certain
        scale = self.scale[: len(y)].copy()
        scale[self.certain :] /= max(drawn, 1)
        parts = streams.parts(len(S), max(target.known.shape))
        norm = np.concatenate(
            [np.sqrt(((target.weights(S[part]) * scale[part]) ** 2).sum(axis=0)) for part in parts]
        )
        f = target.known.shape[1]
        solver: Floats = np.zeros((f, f))
        beta: Floats = np.zeros((f, y.shape[1]))
        if drawn >= 2 * f:
            gram, moment = weighted_moments(lambda part: target.features(S[part]), norm, y)
            solver = pseudo_inverse(gram)
            beta = solver @ moment
        elif target.features is signs:
            beta = np.tile(y[0] / f, (f, 1))  # a straight line from nobody to everybody
        values, balance = target.known @ beta, target.known.copy()
        for part in parts:
            z, weight = target.features(S[part]), target.weights(S[part]) * scale[part]
            values += weight @ (y[part] - z @ beta)
            balance -= weight @ z
        total, squares = np.zeros_like(values), np.zeros_like(values)
        for part in parts:
            z, weight = target.features(S[part]), target.weights(S[part]) * scale[part]
            fitted = norm[part, None] * (z @ solver)  # what the fit adds to a pair's weight
            residual = y[part] - z @ beta
            residual[: max(0, self.certain - part.start)] = 0  # these are no sample
            leverage = np.einsum("pf,pf->p", fitted, z)
            residual /= np.sqrt(np.maximum(1 - leverage, 1e-12))[:, None]
            influence = weight + balance @ fitted.T
            total += influence @ residual
            squares += influence**2 @ residual**2
        variance = np.full_like(values, 0.0 if drawn == 0 else np.nan)
        if drawn > 1:
            variance = np.maximum(squares - total**2 / drawn, 0) * drawn / (drawn - 1)
        return values, np.sqrt(variance)


def by_pairs(
    game: Game, plan: Plan, targets: list[Target], count: int
) -> tuple[Floats, Floats, Ends]:
    """All targets' sums and errors (n, q, k), side by side, and the ends: first odd, second even.

    From about `count` pairs of coalitions, whose values are means over all draws.
    """
    design = Design.make(game.n_players, targets, count, plan)

    def estimate(S: Coalitions, v: Floats) -> tuple[Floats, Floats]:
        one, other = np.split(v, 2, axis=1)
        found = []
        for target, y in zip(targets, (one - other, one + other), strict=False):
            flat = np.moveaxis(y, 1, 0).reshape(len(S), -1)
            shape = (-1, len(v), v.shape[2])
            parts = design.estimate(target, flat)
            found.append([np.moveaxis(part.reshape(shape), 0, 1) for part in parts])
        values, errors = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        return values, errors

    width = sum(len(target.known) for target in targets)
    return sampled(game, design.S, plan, estimate, paired=True, spread=False, width=width)


def from_pairs(S: Coalitions, v: Floats) -> tuple[Floats, Floats]:
    """Banzhaf values and errors from values of S, and behind them of complements (R, 2 P, k)."""
    one, other = np.split(v, 2, axis=1)
    return regress(S, one - other)


def regress(
    S: Coalitions, y: Floats, features: Callable[[Coalitions], Floats] = signs
) -> tuple[Floats, Floats]:
    """Least squares of y (R, P, k) on features of S (P, d) that are ±1, and its errors."""
    (r, count, k), d = y.shape, features(S[:1]).shape[1]
    flat = np.moveaxis(y, 1, 0).reshape(count, r * k)

    def rows(part: slice) -> Floats:
        return features(S[part])

    if count < 2 * d:  # too few to regress: plain averages with the signs
        if features is sign_products and count > 1:  # less the mean of all others, not of all
            flat = flat * (count / (count - 1))
        phi, variance = np.zeros((d, r * k)), np.full((d, r * k), np.nan)
        for part in streams.parts(count, d):
            phi += rows(part).T @ flat[part] / count
        if count > 1:
            squares = (flat**2).sum(axis=0) - count * phi**2
            variance = np.maximum(squares, 0) / (count - 1) / count
    else:
        gram, moment = weighted_moments(rows, np.ones(count), flat)
        inverse = pseudo_inverse(gram)
        phi, variance = inverse @ moment, np.zeros((d, r * k))
        for part in streams.parts(count, d):
            z = rows(part)
            influence = z @ inverse
            spare = np.maximum(1 - np.einsum("pd,pd->p", influence, z), 1e-12)
            variance += (influence**2).T @ ((flat[part] - z @ phi) ** 2 / spare[:, None])
    values, variances = (np.moveaxis(a.reshape(d, r, k), 0, 1) for a in (phi, variance))
    return values, np.sqrt(variances)
