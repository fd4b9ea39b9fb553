"""Shapley values: enumerated, or estimated by antithetic permutation walks."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import Floats, Game, Indices
from xai.suggest import unknown
from xai.summary.base import (
    Attribution,
    Budget,
    Plan,
    Summary,
    all_coalitions,
    enumerates,
    enumeration_cost,
    enumeration_needs,
    exact,
    finish,
    stops,
    within,
)

ESTIMATORS = ("auto", "exact", "permutation")


@dataclass(frozen=True)
class Shapley(Summary):
    """A player's mean contribution over all orders in which players may join.

    ``phi_i = Σ_{S ∌ i} |S|! (d − |S| − 1)! / d! · (v(S ∪ i) − v(S))``

    Parameters
    ----------
    estimator : {"auto", "exact", "permutation"}
        "auto" enumerates where that fits the budget, else walks; "exact" raises the default
        budget to what enumeration needs; "permutation" walks unless enumeration fits the budget.
    samples : int, optional
        Number of antithetic pairs of walks.

    Notes
    -----
    Shapley (1953); Castro, Gómez & Tejada (2009) for the walks. Each walk and its reverse
    (Mitchell et al. 2022) are made on a draw of their own; two such pairs in a row share the draw,
    so that the error within draws can be told from the spread between them. The known mean of
    v(N) − v(∅) over all draws is a control variate: regressed out, it makes values efficient to
    float precision, and dummies keep 0.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S[:, 0] * 2.0 + S[:, 1], n_players=2)
    >>> Shapley()(game).values
    array([2., 1.])
    """

    estimator: Literal["auto", "exact", "permutation"] = "auto"
    samples: int | None = None
    default_budget: ClassVar[Budget | str] = Budget(rows=8192, per_player=32)

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Enumerate where that fits, else walk."""
        if self.estimator not in ESTIMATORS:
            raise ValueError(unknown("estimator", self.estimator, ESTIMATORS))
        weights, unit = shapley_weights(game.n_players), _pair_cost(game)
        if self.estimator == "exact":
            enumeration_needs("Shapley(estimator='exact')", game, self.samples, plan)
            return enumerated(game, weights, plan.tolerance)
        if enumerates(game, plan.room(game, self.samples, unit)):
            return enumerated(game, weights, plan.tolerance)
        what = "one antithetic pair of permutation walks"
        pairs = plan.count(what, game, samples=self.samples, unit=unit)
        return _Walks(game, pairs, plan.seed, plan.tolerance).run()


def shapley_weights(d: int) -> NDArray[np.float64]:
    """Weight of a contribution to a coalition of each size 0..d-1."""
    sizes = [factorial(s) * factorial(d - s - 1) / factorial(d) for s in range(d)]
    return np.array(sizes)


def enumerated(game: Game, weights: NDArray[np.float64], tolerance: float | None) -> Attribution:
    """A semivalue from the values of all coalitions.

    Parameters
    ----------
    weights : (d,)
        Weight of v(S ∪ i) − v(S) by the size of S.
    """
    d = game.n_players
    coalitions = all_coalitions(d)
    weight = np.append(weights, 0.0)[coalitions.sum(axis=1)]

    def linear(v: Floats) -> Floats:
        parts = []
        for i in range(d):  # bit i of a coalition's place is player i: an axis of its own
            v_i = v.reshape(*v.shape[:-2], -1, 2, 2**i, v.shape[-1])
            gain = v_i[..., 1, :, :] - v_i[..., 0, :, :]
            parts.append(np.einsum("...abk,ab->...k", gain, weight.reshape(-1, 2, 2**i)[:, 0]))
        return np.stack(parts, axis=-2)

    if game.progress is not None:
        game.progress.expect(game.n_rows * enumeration_cost(game))
    base, full = game.ends(np.arange(game.n_rows))
    values, errors = exact(game, coalitions, linear)
    return finish(game, values, errors, base=base, full=full, tolerance=tolerance)


# ---------------------------------------------------------------------------------------------
# Permutation walks


def _spreads(game: Game) -> bool:
    """Whether each walk has a draw of its own, out of several."""
    return game.commutes and (game.endless or game.n_draws > 1)


def _pair_cost(game: Game) -> int:
    """Model rows of a walk and its reverse; their ends are known, unless a draw is new."""
    unit = game.sample_cost if game.commutes else game.value_cost
    new_end = game.sample_cost if game.endless or not game.shares_empty else 0
    return max(1, 2 * (game.n_players - 1) * unit + (new_end if _spreads(game) else 0))


@dataclass
class _Moments:
    """Running sums over groups of walks: of phi, and of t = v(N) − v(∅) at the group's draw."""

    groups: int
    shift: Floats
    t_shift: Floats
    phi: Floats
    phi2: Floats
    phi_t: Floats
    t: Floats
    t2: Floats
    within: Floats

    @classmethod
    def empty(cls, shift: Floats, t_shift: Floats) -> _Moments:
        """No groups yet; sums are of differences from the shifts, which keeps them precise."""
        zero, zero_t = np.zeros_like(shift), np.zeros_like(t_shift)
        return cls(0, shift, t_shift, zero, zero, zero, zero_t, zero_t, zero)

    def add(self, phi: Floats, t: Floats, within: Floats) -> None:
        """Add groups: phi (R, G, d, k), t (R, G, k), within (R, d, k)."""
        phi, t = phi - self.shift[:, None], t - self.t_shift[:, None]
        self.groups += phi.shape[1]
        self.phi = self.phi + phi.sum(axis=1)
        self.phi2 = self.phi2 + (phi**2).sum(axis=1)
        self.phi_t = self.phi_t + np.einsum("rgdk,rgk->rdk", phi, t)
        self.t = self.t + t.sum(axis=1)
        self.t2 = self.t2 + (t**2).sum(axis=1)
        self.within = self.within + within

    def keep(self, rows: NDArray[np.bool_]) -> _Moments:
        """The sums of some of the rows."""
        arrays = {
            name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        return _Moments(groups=self.groups, **arrays)


class _Walks:
    """Antithetic permutation walks on all rows of a game."""

    def __init__(self, game: Game, pairs: int, seed: int, tolerance: float | None) -> None:
        self.game, self.seed, self.tolerance = game, seed, tolerance
        several = _spreads(game) and not game.endless and pairs > 1
        self.size = 2 if several else 1
        self.groups = pairs // self.size

    def run(self) -> Attribution:
        """Walk, block of rows by block of rows."""
        game = self.game
        n, d, k = game.n_rows, game.n_players, game.n_outputs
        values, errors = np.empty((n, d, k)), np.empty((n, d, k))
        bases, fulls = np.empty((n, k)), np.empty((n, k))
        if game.progress is not None:
            game.progress.expect(n * self.groups * self.size * _pair_cost(game) + game.base_cost)
        for rows, step in game.blocks(self.size * 2 * max(1, d - 1)):
            ends = game.ends(rows)
            bases[rows], fulls[rows] = ends
            values[rows], errors[rows] = self._block(rows, ends, step)
        return finish(game, values, errors, base=bases, full=fulls, tolerance=self.tolerance)

    def _block(
        self, rows: Indices, ends: tuple[Floats, Floats], step: int
    ) -> tuple[Floats, Floats]:
        """Estimates and errors (R, d, k) of some rows; rows that meet the tolerance stop."""
        base, full = ends
        total = full - base
        values = np.empty((len(rows), self.game.n_players, total.shape[1]))
        errors = np.empty_like(values)
        active, moments, done = np.arange(len(rows)), None, 0
        for stop in stops(self.groups, self.tolerance, first=8):
            while done < stop:
                groups = np.arange(done, min(done + step, stop))
                phi, t, within_sum = self._walk(rows[active], (base[active], full[active]), groups)
                if moments is None:
                    moments = _Moments.empty(phi[:, 0], t[:, 0])
                moments.add(phi, t, within_sum)
                done = int(groups[-1]) + 1
            assert moments is not None
            values[active], errors[active] = self._estimate(moments, total[active])
            if self.tolerance is not None:
                left = ~within(values[active], errors[active], self.tolerance)
                active, moments = active[left], moments.keep(left)
                if len(active) == 0:
                    break
        return values, errors

    def _draws(self, groups: Indices) -> Indices:
        if self.game.endless:
            return groups
        return streams.cycles(self.seed, groups, self.game.n_draws)

    def _walk(
        self, rows: Indices, ends: tuple[Floats, Floats], groups: Indices
    ) -> tuple[Floats, Floats, Floats]:
        """Walk the pairs of some groups.

        Returns
        -------
        phi : (R, G, d, k), means of each group; t : (R, G, k); sum over groups of the squared
        half-differences within each, (R, d, k)
        """
        game, d = self.game, self.game.n_players
        pairs = (groups[:, None] * self.size + np.arange(self.size)).ravel()
        ranks = streams.ranks(self.seed, streams.PERMUTATION, pairs, d)
        forward = ranks[:, None, :] < np.arange(1, d)[None, :, None]
        coalitions = np.concatenate([forward, ~forward], axis=1).reshape(-1, d)
        draws = None
        if game.commutes:
            own = self._draws(groups) if _spreads(game) else np.zeros(len(groups), np.intp)
            draws = np.repeat(own, self.size * 2 * (d - 1))
        inner = game.grid(rows, coalitions, draws).reshape(
            len(rows), len(pairs), 2, d - 1, game.n_outputs
        )
        low, high = self._ends(rows, ends, groups)
        phi = _contributions(
            inner, np.repeat(low, self.size, 1), np.repeat(high, self.size, 1), ranks
        )
        phi = phi.reshape(len(rows), len(groups), self.size, d, -1)
        mean = phi.mean(axis=2)
        return mean, high - low, ((phi - mean[:, :, None]) ** 2).sum(axis=(1, 2))

    def _ends(
        self, rows: Indices, ends: tuple[Floats, Floats], groups: Indices
    ) -> tuple[Floats, Floats]:
        """Values of nothing and of everything at each group's draw, (R, G, k) each."""
        if _spreads(self.game):
            draws, d = self._draws(groups), self.game.n_players
            none, every = (np.full((len(groups), d), kept) for kept in (False, True))
            return self.game.grid(rows, none, draws), self.game.grid(rows, every, draws)
        base, full = (np.repeat(end[:, None], len(groups), axis=1) for end in ends)
        return base, full

    def _estimate(self, m: _Moments, total: Floats) -> tuple[Floats, Floats]:
        """Values and standard errors from the sums; see the class's notes."""
        count = m.groups
        mean, t_mean = m.phi / count, m.t / count
        var, cov, var_t = (np.zeros_like(a) for a in (mean, mean, t_mean))
        if count > 1:
            var = np.maximum(m.phi2 - count * mean**2, 0) / (count - 1)
            cov = (m.phi_t - count * mean * t_mean[:, None]) / (count - 1)
            var_t = np.maximum(m.t2 - count * t_mean**2, 0) / (count - 1)
        phi = mean + m.shift
        gap = total - (t_mean + m.t_shift)
        share = _share(var, phi)
        prior = (8 / count) * np.maximum(var_t, gap**2)[:, None]
        scale = var_t[:, None] + prior
        c = np.where(scale > 0, cov + prior * share, share) / np.where(scale > 0, scale, 1.0)
        values = phi + c * gap[:, None]
        residual = np.maximum(var - 2 * c * cov + c**2 * var_t[:, None], 0)
        # what the fitted slope costs: a share of a degree of freedom, and its own error at the gap
        fitted = np.where(scale > 0, var_t[:, None], 0.0) / np.where(scale > 0, scale, 1.0)
        residual = residual * (count - 1) / np.maximum(count - 1 - fitted, 1e-12)
        slope = fitted * gap[:, None] ** 2 / np.where(scale > 0, scale, 1.0)
        variance = self._variance(m, residual, c, var_t) + residual * slope / max(count - 1, 1)
        return values, np.sqrt(variance)

    def _variance(self, m: _Moments, residual: Floats, c: Floats, var_t: Floats) -> Floats:
        """Variance of the estimates: two-stage sampling, draws first, walks within them."""
        game, count = self.game, m.groups
        unknown_error = np.full_like(residual, np.nan)
        sampled = c**2 * var_t[:, None] / game.n_draws if game.sampled_draws else 0.0
        if self.size == 1:
            return residual / count + sampled if count > 1 else unknown_error
        inside = m.within / count / 2  # variance of a group's mean around its draw's own value
        cycles, rest = divmod(count, game.n_draws)
        if game.sampled_draws:
            visits = rest * (cycles + 1) ** 2 + (game.n_draws - rest) * cycles**2
            spread = visits / count**2
        else:
            spread = rest * (1 - rest / game.n_draws) / count**2
        if spread > 0 and count < 2:
            return unknown_error
        between = np.maximum(residual - inside, 0)
        return inside / count + spread * between + sampled


def _share(var: Floats, phi: Floats) -> Floats:
    """How to spread a gap before its slope is known: by variance, else by size, else evenly."""
    share = np.full_like(phi, 1 / phi.shape[1])
    for size in (phi**2, var):
        total = size.sum(axis=1, keepdims=True)
        share = np.where(total > 0, size / np.where(total > 0, total, 1.0), share)
    return share


def _contributions(inner: Floats, low: Floats, high: Floats, ranks: NDArray[np.intp]) -> Floats:
    """Each player's mean contribution over a walk and its reverse, (R, P, d, k).

    Parameters
    ----------
    inner : (R, P, 2, d-1, k)
        Values of the first s = 1..d-1 players, and of all but them.
    low, high : (R, P, k), values of nothing and of everything; ranks : (P, d)
    """
    forward = np.concatenate([low[:, :, None], inner[:, :, 0], high[:, :, None]], axis=2)
    backward = np.concatenate([high[:, :, None], inner[:, :, 1], low[:, :, None]], axis=2)
    steps = np.diff(forward, axis=2) - np.diff(backward, axis=2)
    return np.take_along_axis(steps, ranks[None, :, :, None], axis=2) / 2
