"""Shapley values as a constrained regression with Shapley's kernel (KernelSHAP)."""

from __future__ import annotations

from functools import cached_property
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xai import streams
from xai.game import Coalitions, Floats, Game, Indices
from xai.summary.base import (
    Attribution,
    Looks,
    Plan,
    check_samples,
    enumerates,
    finish,
    grid_in_parts,
    jackknife,
    new_end_cost,
    shares_rows,
    spreads,
    unit_cost,
)
from xai.summary.enumeration import enumerated, shapley_weights, whole_size
from xai.summary.fit import MANY, pseudo_inverse, weighted_moments
from xai.summary.process import fit_odd

HEAVY = 0.4
"""Leverage of the typical pair from which the fit follows its own noise: the error is unknown."""


class ShapleyKernel:
    """min Σ_S π(S) (v(S) − v(∅) − Σ_{i∈S} phi_i)²,  Σ_i phi_i = v(N) − v(∅).

    With all coalitions the solution is the Shapley value, and is computed as such. Otherwise
    coalitions come in complementary pairs, which cancel all terms of even order (Covert & Lee
    2021): sizes are enumerated from the outside in while the kernel's expected count covers
    them, the rest are drawn by size, evenly spread over the kernel's distribution. Every pair has
    a draw of its own; its straight line from v(∅) to v(N) at that draw is taken off first, which
    removes most of the spread between draws.

    Parameters
    ----------
    samples : number of coalitions, or None for what the budget allows
    leverage : draw all sizes equally often (Musco & Witter 2025) instead of by the kernel
    process : most pairs to which a Gaussian process is fitted first (0: none)
        It takes every coalition's value as a mean over all draws. What the process predicts of
        each pair from the others is taken off, its exact Shapley values are added back: the
        regression then only has to explain what is left, and its errors are those of the whole.
    """

    def __init__(
        self,
        game: Game,
        samples: int | None,
        plan: Plan,
        *,
        leverage: bool = False,
        process: int = 0,
    ) -> None:
        self.game, self.tolerance, self.seed = game, plan.tolerance, plan.seed
        self.leverage, self.process = leverage, process
        self.spreads = spreads(game) and not process
        self.pair_cost = 2 * unit_cost(game) + new_end_cost(game)
        if process:
            self.pair_cost = 2 * game.value_cost
        name = "a Gaussian process" if process else "leverage" if leverage else "KernelSHAP"
        check_samples(name, samples, least=2 * game.n_players)
        pairs = None if samples is None else int(samples) // 2
        self.exact = enumerates(game, plan.room(game, pairs, self.pair_cost))
        self.pairs = 0
        if not self.exact:
            what = f"{name} (pairs of coalitions)"
            self.pairs = plan.count(
                what, game, samples=samples, unit=self.pair_cost, least=game.n_players, each=2
            )

    def run(self) -> Attribution:
        """Solve for all rows, stage by stage where a tolerance may stop early."""
        game = self.game
        if self.exact:
            return enumerated(game, shapley_weights(game.n_players), self.tolerance)
        n, d, k = game.n_rows, game.n_players, game.n_outputs
        values, errors = np.empty((2, n, d, k))
        game.progress.expect(n * self.pairs * self.pair_cost + game.base_cost)
        several = None if not self.spreads else np.inf if game.endless else float(game.n_draws)
        design = Design.make(d, self.pairs, self.seed, several, leverage=self.leverage)
        draws, level = self._draws(design), design.level(self.seed)
        shares = self._shares(level)
        designs = {share: design if share == 1 else design.part(level < share) for share in shares}
        base, full = game.ends(np.arange(n))
        for rows, _ in game.blocks(2 * len(level)):
            active, done = np.arange(len(rows)), 0.0
            looks = Looks(len(rows), shares, self.tolerance, twice=False)
            y = np.empty((len(rows), len(level), k))
            for share in looks:
                new, so_far = (level >= done) & (level < share), level < share
                known = rows[active]
                own, total = None if draws is None else draws[new], full[known] - base[known]
                y[np.ix_(active, new)] = self._centred(known, design.S[new], own, total)
                done = share
                known_y = y[np.ix_(active, so_far)]
                values[known], variance = self._solve(designs[share], known_y, total)
                errors[known] = np.sqrt(variance)
                if shares_rows(game):
                    own = None if draws is None else draws[so_far]
                    over_rows = self._over_rows(designs[share], known_y, own)
                    errors[known] = np.where(np.isnan(variance), np.nan, over_rows)
                active = active[looks.left(values[known], errors[known])]
        ran = "a Gaussian process" if self.process else "regression"
        return finish(game, values, errors, (base, full), tolerance=self.tolerance, ran=ran)

    def _solve(self, design: Design, y: Floats, total: Floats) -> tuple[Floats, Floats]:
        """Values and variances (R, d, k), by way of a Gaussian process where it has a use."""
        plain, variance = design.solve(y, total)
        if not self.process:
            return plain, variance
        z = np.where(design.S, 1.0, -1.0)
        line = design.S.sum(axis=1) / self.game.n_players - 0.5
        drawn = design.left_out > 0
        for r, j in np.ndindex(total.shape):
            odd = np.asarray(y[r, :, j] + line * total[r, j], np.float64)
            misfit = np.abs(odd - z @ plain[r, :, j] / 2)
            if misfit.max() <= 1e-9 * np.abs(odd).max():
                continue  # additive: nothing is left to learn
            first = plain[r, :, j].astype(np.float64)
            fit = fit_odd(z, odd, design.left_out, float(total[r, j]), first, self.process)
            missed = (odd - fit.unseen)[drawn]
            if drawn.any() and np.mean(missed**2) > np.mean(misfit[drawn] ** 2):
                continue  # coalitions say nothing of one another beyond the players' own parts
            rest = np.array([[total[r, j] - fit.total]])
            left = np.stack([odd - fit.values, odd - fit.unseen]) - line * rest[0]
            (phi, _), (_, var) = (design.solve(part[None, :, None], rest) for part in left)
            plain[r, :, j], variance[r, :, j] = fit.phi + phi[0, :, 0], var[0, :, 0]
        return plain, variance

    def _over_rows(self, design: Design, y: Floats, draws: Indices | None) -> Floats | float:
        """Errors (1, d, k) where pairs, each on a draw of its own, share the rows of a data set."""
        if draws is None:
            return np.nan
        low, high = self.game.ends_by_draw(np.zeros(1, np.intp), np.arange(self.game.n_draws))
        total = high - low

        def of_some(kept: NDArray[np.bool_]) -> Floats:
            some = kept[draws]
            return design.of_some(some).fit(y[:, some], total[:, kept].mean(axis=1))

        return jackknife(self.game, draws, of_some)

    def _shares(self, level: NDArray[np.float64]) -> list[float]:
        """Shares of the pairs at which a tolerance is checked: the same for every batch size."""
        shares = [1.0]
        least = max(16, 3 * self.game.n_players)
        while (
            self.tolerance is not None
            and least <= (level < shares[0] / 2).sum() < 0.75 * (level < shares[0]).sum()
        ):
            shares.insert(0, shares[0] / 2)
        return shares

    def _centred(
        self, rows: Indices, S: Coalitions, draws: Indices | None, total: Floats
    ) -> Floats:
        """Odd part (v(S) − v(N∖S))/2 at each pair's draw, its line taken off: (R, P, k).

        The line is that to the `total` (R, k) over all draws, where pairs have none of their own.
        """
        own = None if draws is None else np.tile(draws, 2)
        v = grid_in_parts(self.game, rows, np.concatenate([S, ~S]), own)
        one, other = np.split(v, 2, axis=1)
        by_pair = total[:, None]
        if draws is not None:
            low, high = self.game.ends_by_draw(rows, draws)
            by_pair = high - low
        share = S.sum(axis=1)[None, :, None] / self.game.n_players
        return np.asarray((one - other) / 2 - (share - 0.5) * by_pair)

    def _draws(self, design: Design) -> Indices | None:
        """Each pair's draw: copies of a coalition get different ones, the rest use all evenly."""
        if not self.spreads:
            return None
        pairs = np.arange(len(design.S))
        if self.game.endless:
            return pairs
        m = self.game.n_draws
        draws = streams.cycles(self.seed, np.arange(m), m)[pairs % m]
        for part, copies, _ in design.strata:
            if copies:
                first = pairs[part][::copies]
                draws[part] = np.concatenate(
                    [self._distinct(first[some], copies) for some in streams.parts(len(first), m)]
                )
        return draws

    def _distinct(self, first: Indices, copies: int) -> Indices:
        """Different draws for the copies of some coalitions, one after the other."""
        m = self.game.n_draws
        order = np.argsort(streams.bits(self.seed, streams.DRAW, first + m, m), axis=1)
        return np.asarray(order[:, np.arange(copies) % m].ravel())


class Design:
    """Pairs of complementary coalitions with their weights, enumerated sizes first.

    Attributes
    ----------
    S : (P, d) bool
        One coalition of each pair; the game is evaluated at it and at its complement.
    strata : list of (slice, copies, factor)
        Pairs of one kind: how many times in a row each coalition stands (0: drawn ones), and the
        share of each pair's spread that is error (a finite-population correction).
    uncovered : bool
        Whether there are sizes without any pair, so that the error is unknown.
    """

    def __init__(self, d: int, draws: float | None) -> None:
        self.d, self.draws = d, draws
        self.uncovered = False
        self.parts: list[Coalitions] = []
        self.weights: list[NDArray[np.float64]] = []
        self.strata: list[tuple[slice, int, NDArray[np.float64]]] = []

    @classmethod
    def make(
        cls, d: int, pairs: int, seed: int, draws: float | None, *, leverage: bool = False
    ) -> Design:
        """Spend `pairs` pairs: whole sizes while they are covered, drawn ones for the rest.

        Parameters
        ----------
        draws : number of draws that the pairs are spread over (inf: endless), or None where a
            pair's values are exact, so that a second copy of a coalition would add nothing
        """
        design = cls(d, draws)
        sizes = np.arange(1, d // 2 + 1)
        mass = np.array([(1 if 2 * s == d else 2) / (s * (d - s)) for s in sizes])
        often = np.where(2 * sizes == d, 1.0, 2.0) if leverage else mass
        left = pairs
        for at, s in enumerate(sizes):
            count = comb(d, int(s)) // (2 if 2 * s == d else 1)
            fair = left * often[at] / often[at:].sum()
            if fair < count and (at > 0 or left < count):
                u = streams.uniforms(seed, streams.SIZE, np.zeros(1, np.intp), 1)[0, 0]
                size = _drawn_sizes(sizes[at:], often[at:], left, u)
                drawn, left_out = _drawn(d, size, seed, distinct=draws is None)
                share = 1 / (size * (d - size)) if leverage else np.ones(left)
                weight = mass[at:].sum() * share / share.sum()
                design._add(drawn, weight, copies=0, factor=left_out)
                break
            copies = 1 if draws is None else int(min(max(1, fair // count), draws))
            whole = np.repeat(whole_size(d, int(s)), copies, axis=0)
            factor = 0.0 if draws is None else _error_share(copies, draws)
            weight = np.full(len(whole), mass[at] / len(whole))
            design._add(whole, weight, copies=copies, factor=np.full(len(whole), factor))
            left -= count * copies
            if left <= 0:
                design.uncovered = at + 1 < len(sizes)
                break
        return design

    def _add(
        self,
        S: Coalitions,
        weight: NDArray[np.float64],
        *,
        copies: int,
        factor: NDArray[np.float64],
    ) -> None:
        start = sum(map(len, self.parts))
        self.parts.append(S)
        self.weights.append(weight)
        self.strata.append((slice(start, start + len(S)), copies, factor))

    def level(self, seed: int) -> NDArray[np.float64]:
        """An order of the pairs (P,), in [0, 1): those below any share are a smaller design.

        First copies of enumerated coalitions are at 0, drawn coalitions in random order.
        """
        out = np.empty(len(self.S))
        for stratum, copies, _ in self.strata:
            place = np.arange(stratum.stop - stratum.start)
            if copies:
                out[stratum] = place % copies / copies
            else:
                key = streams.bits(seed, streams.SIGN, place, 1)[:, 0]
                out[stratum.start + np.argsort(key)] = place / len(place)
        return out

    def part(self, chosen: NDArray[np.bool_]) -> Design:
        """The smaller design of the pairs (P,) below some share of `level`."""
        design = Design(self.d, None if self.draws is None else np.inf)
        design.uncovered = self.uncovered
        for (stratum, copies, factor), weight in zip(self.strata, self.weights, strict=True):
            inside = chosen[stratum]
            share = inside.sum() / len(inside)
            left_out = 1 - (1 - factor[inside]) * share
            scaled = weight[inside] * weight.sum() / weight[inside].sum()
            kept = round(copies * share)
            if kept == 1 < copies:  # as in `_error_share`
                left_out = np.ones_like(left_out)
            design._add(self.S[stratum][inside], scaled, copies=kept, factor=left_out)
        return design

    def of_some(self, chosen: NDArray[np.bool_]) -> Design:
        """Some of the pairs (P,), to fit values."""
        design = Design(self.d, self.draws)
        design.parts, design.weights = [self.S[chosen]], [self.weight[chosen]]
        return design

    @cached_property
    def S(self) -> Coalitions:  # noqa: N802 — the papers' letter
        """Coalitions (P, d)."""
        return np.concatenate(self.parts)

    @cached_property
    def left_out(self) -> NDArray[np.float64]:
        """Share (P,) of each pair's spread that is error."""
        return np.concatenate([factor for _, _, factor in self.strata])

    @cached_property
    def weight(self) -> NDArray[np.float64]:
        """The kernel's mass (P,) that each pair stands for."""
        return np.concatenate(self.weights)

    @cached_property
    def solver(self) -> Floats:
        """From Σ w z y to values: least squares (d, d) among vectors that sum to 0."""
        gram, _ = weighted_moments(self._signs, self.weight, np.empty((len(self.S), 0)))
        gram -= gram.mean(axis=0)  # the line has taken the total off
        gram -= gram.mean(axis=1, keepdims=True)
        along = gram.trace() / self.d  # of (1, …, 1), along which there would be nothing
        return np.asarray(pseudo_inverse(gram + along / self.d) - 1 / (along * self.d))

    @cached_property
    def leverage(self) -> NDArray[np.float64]:
        """How far each pair (P,) draws the fit to itself."""
        out = np.empty(len(self.S))
        for part in streams.parts(len(out), self.d):
            out[part] = np.einsum("pd,pd->p", self._influence(part), self._signs(part))
        return out * self.weight

    @cached_property
    def _rough(self) -> Floats:
        """The solver as errors need it: of many players in single precision, 3 times as fast."""
        return self.solver.astype(np.float32 if self.d >= MANY else np.float64)

    def _influence(self, pairs: slice) -> Floats:
        """How much some pairs move each player's value, (pairs, d)."""
        return self._signs(pairs).astype(self._rough.dtype) @ self._rough

    def fit(self, y: Floats, total: Floats) -> Floats:
        """Constrained fit of y (R, P, k) for totals (R, k): values (R, d, k)."""
        r, count, k = y.shape
        phi = self._slopes(np.moveaxis(y, 1, 0).reshape(count, r * k))
        return np.moveaxis(phi.reshape(self.d, r, k), 0, 1) + total[:, None] / self.d

    def _slopes(self, flat: Floats) -> Floats:
        """The fit's (d, columns) of (P, columns), which sum to 0."""
        moment = np.zeros((self.d, flat.shape[1]))
        for part in streams.parts(len(flat), self.d):
            moment += (self._signs(part) * self.weight[part, None]).T @ flat[part]
        return np.asarray(self.solver @ moment)

    def solve(self, y: Floats, total: Floats) -> tuple[Floats, Floats]:
        """The same, and the variances (R, d, k) of these values."""
        r, count, k = y.shape
        flat = np.moveaxis(y, 1, 0).reshape(count, r * k)
        phi, residual = self._slopes(flat), np.empty_like(flat)
        for part in streams.parts(count, self.d):
            residual[part] = flat[part] - self._signs(part) @ phi
        sampled = self.left_out > 0
        if self.uncovered or (sampled.any() and np.median(self.leverage[sampled]) > HEAVY):
            variance = np.full_like(phi, np.nan)
        else:
            spare = np.sqrt(np.maximum(1 - self.leverage, 1e-12))
            variance = self._variance(residual * (self.weight / spare)[:, None])
        shape = (self.d, r, k)
        phi, variance = (np.moveaxis(a.reshape(shape), 0, 1) for a in (phi, variance))
        return phi + total[:, None] / self.d, variance

    def _signs(self, part: slice) -> Floats:
        """±1/2 for kept and removed players of some pairs."""
        return np.subtract(self.S[part], 0.5)

    def _variance(self, residual: Floats) -> Floats:
        """Sum over strata of the spread of the pairs' influences within them, (d, columns).

        Where draws are used evenly, what a draw does to all pairs alike cancels: its mean is
        taken off first.
        """
        variance = np.zeros((self.d, residual.shape[1]))
        for stratum, copies, factor in self.strata:
            count, group = stratum.stop - stratum.start, max(copies, 2)
            if not factor.any():
                continue
            groups = max(1, count // group)  # the last takes what is left over
            even = int(self.draws) if not copies and self.draws and 4 * self.draws <= count else 0
            spare = count - groups - max(even - 1, 0)
            if spare < 1:
                return np.full_like(variance, np.nan)
            by_draw = self._means_by_draw(stratum, residual, even) if even else []
            for some in streams.parts(groups, group * self.d):
                end = some.stop * group if some.stop < groups else count
                at = np.arange(some.start * group, end)
                pairs = slice(stratum.start + at[0], stratum.start + end)
                influence, share = self._influence(pairs), factor[at]
                alike = len(at) // group * group
                if alike < len(at):
                    alike -= group
                if not copies and not even:  # of all columns at once
                    squares = _spread_of_twos(influence[:alike], residual[pairs][:alike], share)
                    variance += count / spare * squares
                    influence, share = influence[alike:], share[alike:]
                    pairs, alike = slice(pairs.start + alike, pairs.stop), 0
                for column, y in enumerate(residual[pairs].T if len(influence) else ()):
                    scores = influence * y[:, None]
                    if even:
                        scores -= by_draw[column][at % even]
                    squares = _spread(scores[:alike], share[:alike], group)
                    squares += _spread(scores[alike:], share[alike:], len(scores) - alike)
                    variance[:, column] += count / spare * squares
        return variance

    def _means_by_draw(self, stratum: slice, residual: Floats, m: int) -> list[Floats]:
        """For each column, the mean over each draw's pairs (m, d): every m-th has the same."""
        count = stratum.stop - stratum.start
        sums = [np.zeros((m, self.d)) for _ in residual.T]
        for part in streams.parts(count, self.d):
            pairs = slice(stratum.start + part.start, stratum.start + part.stop)
            z, at = self._signs(pairs), np.arange(part.start, part.stop)
            for total, y in zip(sums, residual[pairs].T, strict=True):
                total += sparse.csr_array((y, (at % m, at - part.start)), (m, len(at))) @ z
        uses = (count - np.arange(m) - 1) // m + 1
        return [total @ self.solver / uses[:, None] for total in sums]


def _spread(scores: Floats, share: Floats, group: int) -> Floats:
    """Squares about the mean of each so many scores (P, d), times their shares (P,): (d,)."""
    if not len(scores):
        return np.zeros(scores.shape[1])
    parts = scores.reshape(-1, group, scores.shape[1])
    parts = parts - parts.mean(axis=1, keepdims=True)
    return np.asarray(np.einsum("gp,gpd,gpd->d", share.reshape(-1, group), parts, parts))


def _spread_of_twos(a: Floats, y: Floats, share: Floats) -> Floats:
    """The same for each two of the scores a (P, d) times y (P, columns): (d, columns)."""
    first, second = slice(0, len(a), 2), slice(1, len(a), 2)
    half = ((share[: len(a) : 2] + share[1 : len(a) : 2]) / 4)[:, None]
    squares = (a[first] ** 2).T @ (half * y[first] ** 2)
    squares += (a[second] ** 2).T @ (half * y[second] ** 2)
    squares -= 2 * (a[first] * a[second]).T @ (half * y[first] * y[second])
    return np.maximum(squares, 0)


def _error_share(copies: int, draws: float) -> float:
    """Share of the spread between copies that is error, of `draws` that they do not repeat.

    What is seen of one copy is how it differs from another coalition, whose draw may be the same.
    """
    return 1.0 if copies == 1 < draws else max(0.0, 1 - copies / draws)


def _drawn_sizes(sizes: Indices, often: NDArray[np.floating], count: int, u: float) -> Indices:
    """Sizes of `count` coalitions, spread evenly over their distribution, in ascending order."""
    cumulative = np.cumsum(often) / often.sum()
    place = np.searchsorted(cumulative, (np.arange(count) + u) / count)
    return np.asarray(sizes[np.minimum(place, len(sizes) - 1)])


def _drawn(
    d: int, size: Indices, seed: int, *, distinct: bool
) -> tuple[Coalitions, NDArray[np.float64]]:
    """Random coalitions of given sizes, and the share of all others of the size that are left out.

    Where `distinct`, coalitions of a size are drawn without replacement wherever a second one of
    a kind is likely.
    """
    S = streams.subsets(seed, np.arange(len(size)), size, d)
    left_out = np.ones(len(size))
    for s in np.unique(size) if distinct else ():
        there = np.flatnonzero(size == s)
        every = comb(d, int(s)) // (2 if 2 * s == d else 1)
        if every > max(2**12, 4 * len(there)) or every < len(there):
            continue
        key = streams.bits(seed, streams.STRATUM, np.arange(every), int(s))[:, -1]
        S[there] = whole_size(d, int(s))[np.argsort(key)[: len(there)]]
        left_out[there] = 1 - len(there) / every
    return S, left_out
