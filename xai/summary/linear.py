"""A weighted linear fit of the game: LIME, KernelSHAP, and their kin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import BLOCK_BYTES, Coalitions, Floats, Game, Indices, mean_of_draws
from xai.summary.base import (
    SAMPLED,
    Attribution,
    Budget,
    Looks,
    Plan,
    Summary,
    all_coalitions,
    check_number,
    check_samples,
    check_word,
    enumerates,
    enumeration_cost,
    exact,
    finish,
    grid_in_parts,
    jackknife,
    needs,
    shares_rows,
    stops,
    unit_cost,
)
from xai.summary.fit import GROUPS, Fit, Regression
from xai.summary.gradient import Gradient
from xai.summary.kernel import ShapleyKernel
from xai.summary.nulls import without_nulls
from xai.summary.pairs import log_choose
from xai.summary.samples import own_draws
from xai.summary.shapley import Shapley

Kernel: TypeAlias = "Literal['exponential', 'cosine', 'shapley', 'uniform'] | Callable[[Any], Any]"
KERNELS = ("exponential", "cosine", "shapley", "uniform")
REGULARIZERS = ("ridge", "lasso", None)
Sampling: TypeAlias = "Literal['bernoulli', 'uniform_size']"
SAMPLINGS = ("bernoulli", "uniform_size")
LEAST = 3
"""Fewest samples of a fit."""
CACHED = 2**18
"""Numbers in the tables that are fitted together: each step finds them in the cache."""


@dataclass(frozen=True)
class LinearFit(Summary):
    """Coefficients of the linear model that fits the game best where the kernel weighs.

    ``min_b,phi Σ_S π(S) (v(S) − b − Σ_{i ∈ S} phi_i)² + penalty(phi)``

    Parameters
    ----------
    kernel : {"exponential", "cosine", "shapley", "uniform"} or callable
        Weights π. "exponential": exp(−D²/2w²), D² the number of removed players (or the squared
        distance of the removal's own regressors), w = `width`·√d. "cosine": the same with D the
        cosine distance to all players and w = `width`. "shapley": Shapley's kernel with
        efficiency as a hard constraint, so that the fit is the Shapley value (no penalty). A
        callable takes coalitions (B, d) and gives weights (B,); it and "cosine" are refused where
        the removal's regressors are distances.
    regularizer : {"ridge", "lasso", None}
        The penalty: alpha‖phi‖² or alpha·Σπ·‖phi‖₁ (scikit-learn's scales); None: plain weighted
        least squares. The intercept is not penalised.
    alpha : float
        Strength of the penalty.
    width : float, optional
        Kernel width; .75 ("exponential") or .25 ("cosine") where None.
    p : float in (0, 1)
        Chance to keep a player, where kernels other than Shapley's sample coalitions.
    samples : int, optional
        Number of coalitions; Shapley's kernel takes them in pairs.
    loss : {"value", "gradient"}
        What the fit matches: the game's values, or its gradients (Han et al. 2022, Eq. 3), whose
        best fit is their mean: see `Gradient`. That takes kernel "uniform" and no penalty.
    at : {"coalitions", "removed", "path", "kept"}
        Where: at coalitions (values only); at the gradients' places, see `Gradient`: "removed"
        is in the removal's noise, "path" and "kept" are in the masks.
    measure : {"bernoulli", "uniform_size"}
        How often each coalition counts, before the kernel: as each player is kept with chance
        `p`; or so that all sizes count alike, and the coalitions of one size.
    sampling : {"bernoulli", "uniform_size"}, optional
        How coalitions are drawn, as `measure` where None. Drawn by the other's measure they are
        weighed by the ratio of the two, so that the fit tends to the same: with sizes drawn
        uniformly, ``C(d, k) (d + 1) p^k (1 − p)^(d−k)`` for k players kept.

    Raises
    ------
    ValueError
        An unknown word, a number outside its range, options that contradict each other or
        have no effect, or weights of a kernel that are negative, not finite or of another
        shape.

    Notes
    -----
    Players that equal their replacement get 0 and are left out, where coalitions' weights are a
    product over players: of the exponential and the uniform kernel. The others' fit is the same.

    The penalty weighs against the samples' sum of squares, so that it matters less the more there
    are. Where all coalitions are enumerated they stand for as many samples as `samples`, or the
    budget, would have bought: the fit is what sampling that many tends to.

    LIME (Ribeiro, Singh & Guestrin 2016, Eq. 1–2); KernelSHAP (Lundberg & Lee 2017, Theorem 2).
    Of d players kept by tosses, nearly all coalitions keep some d/2. Sizes drawn uniformly show
    the model nearly full and nearly empty inputs, too (Rashid et al. 2024); weighed back, some
    √(πd)/(d + 1) of the samples count, and errors grow: what changes the answer is `measure`.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S[:, 0] * 2.0 - S[:, 1], n_players=2)
    >>> LinearFit("shapley", regularizer=None)(game).values.round(6)
    array([ 2., -1.])
    """

    kernel: Kernel = "exponential"
    regularizer: Literal["ridge", "lasso"] | None = "ridge"
    alpha: float = 1.0
    width: float | None = None
    p: float = 0.5
    samples: int | None = None
    loss: Literal["value", "gradient"] = "value"
    at: Literal["coalitions", "removed", "path", "kept"] = "coalitions"
    measure: Sampling = "bernoulli"
    sampling: Sampling | None = None
    default_budget: ClassVar[Budget | str] = SAMPLED

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Fit: Shapley's kernel by its own sampler, others on independent coalitions."""
        if self.loss == "gradient":
            return self._mean_gradient().attribute(game, plan)
        self._check_idle(game)
        if self.kernel == "shapley":
            check_samples("KernelSHAP", self.samples, least=2 * game.n_players)
            return without_nulls(game, lambda part: self._of_shapley(part, plan), plan)
        if game.has_regressors and not game.commutes:
            raise ValueError(
                "LIME's neighbourhood fits single draws, and this behavior is of their mean: "
                "use removal='marginal'"
            )
        if game.has_regressors:
            return self._sample(game, plan)
        if self.kernel not in ("exponential", "uniform") or self.measure != "bernoulli":
            return self._fit(game, plan)  # whose weights are no products over the players
        result = without_nulls(game, lambda part: self._as_in(game, part)._fit(part, plan), plan)
        told = result.info or dict.fromkeys(
            ("intercept", "r2"), np.full_like(result.base_value, np.nan)
        )
        same = np.isnan(told["intercept"])  # nothing changes the value of these rows
        intercept = np.where(same, result.base_value, told["intercept"])
        return replace(result, info=told | {"intercept": intercept})

    def _as_in(self, game: Game, part: Game) -> LinearFit:
        """The fit of some players that weighs them as the game of all does."""
        if part is game or self.kernel == "uniform":
            return self
        d, left_out = game.n_players, game.n_players - part.n_players
        width = (self.width or 0.75) * np.sqrt(d)
        mean = self.p + (1 - self.p) * np.exp(-1 / (2 * width**2))  # weight of one left out
        alpha = self.alpha if self.regularizer == "lasso" else self.alpha / mean**left_out
        return replace(self, width=width / np.sqrt(part.n_players), alpha=alpha)

    def _fit(self, game: Game, plan: Plan) -> Attribution:
        if enumerates(game, plan.room(game, self.samples, unit_cost(game))):
            return self._enumerate(game, plan)
        return self._sample(game, plan)

    def _of_shapley(self, game: Game, plan: Plan) -> Attribution:
        if game.n_players == 1:  # no coalition lies between nothing and everything: no fit
            pairs = None if self.samples is None else self.samples // 2
            return Shapley(samples=pairs).attribute(game, plan)
        return ShapleyKernel(game, self.samples, plan).run()

    def check(self) -> None:
        """Refuse what no fit has, and settings that exclude each other."""
        if not callable(self.kernel):
            check_word("kernel", self.kernel, KERNELS)
        check_word("regularizer", self.regularizer, REGULARIZERS)
        check_word("loss", self.loss, ["value", "gradient"])
        if self.loss == "value" and self.at != "coalitions":
            raise ValueError(f"at={self.at!r} is for loss='gradient': values are of coalitions")
        check_word("measure", self.measure, SAMPLINGS)
        if self.sampling is not None:
            check_word("sampling", self.sampling, SAMPLINGS)
        if self.kernel == "shapley" and self.regularizer is not None:
            raise ValueError(
                "Shapley's kernel takes no penalty, which would break efficiency: "
                "pass regularizer=None"
            )
        for name in ("alpha", "p", *(["width"] if self.width is not None else [])):
            check_number(name, getattr(self, name))
        if not 0 < self.p < 1:
            raise ValueError(f"p must lie between 0 and 1, not {self.p!r}")
        if not 0 <= self.alpha < np.inf:
            raise ValueError(f"alpha must be finite and not negative, not {self.alpha!r}")
        if self.width is not None and not self.width > 0:
            raise ValueError(f"width must be positive, not {self.width!r}")
        check_samples("a linear fit", self.samples, least=LEAST)
        if self.loss == "gradient":
            self._mean_gradient().check()

    @property
    def differentiates(self) -> bool:
        """Whether gradients are matched."""
        return self.loss == "gradient"

    def _mean_gradient(self) -> Gradient:
        """What minimises the gradient-matching loss."""
        if self.at == "coalitions":
            raise ValueError(
                "loss='gradient' needs a place: at='removed' for noise around x, at='path' "
                "or 'kept' for masks"
            )
        if (self.measure, self.sampling) != ("bernoulli", None):
            raise ValueError("measure and sampling have no effect with loss='gradient'")
        if self.kernel != "uniform" or self.regularizer is not None:
            raise ValueError(
                "loss='gradient' takes the mean gradient: pass kernel='uniform', regularizer=None"
            )
        return Gradient(self.at, "input" if self.at == "removed" else "mask", samples=self.samples)

    def _check_idle(self, game: Game) -> None:
        """Refuse settings that would change nothing."""
        idle = []
        drawn = ("p", "measure", "sampling")
        if self.kernel == "shapley":
            idle += [(name, "Shapley's kernel") for name in (*drawn, "width")]
        elif game.has_regressors:
            reason = "a neighbourhood of x, in which no player is kept"
            idle += [(name, reason) for name in drawn]
        elif self._by_size == (True, True):
            idle.append(("p", "sizes that are drawn and count alike"))
        if callable(self.kernel) or self.kernel == "uniform":
            idle.append(("width", f"kernel={self.kernel!r}"))
        if self.regularizer is None:
            idle.append(("alpha", "regularizer=None"))
        for name, reason in idle:
            if getattr(self, name) != getattr(type(self), name):
                raise ValueError(f"{name}={getattr(self, name)!r} has no effect with {reason}")

    # -- coalitions ---------------------------------------------------------------------------

    @property
    def _by_size(self) -> tuple[bool, bool]:
        """Whether sizes count alike, and whether they are drawn alike."""
        drawn = self.sampling or self.measure
        return self.measure == "uniform_size", drawn == "uniform_size"

    def _coalitions(self, seed: int, samples: Indices, d: int) -> Coalitions:
        if not self._by_size[1]:
            return streams.kept(seed, samples, d, self.p)
        sizes = streams.integers(seed, streams.SIZE, samples, 1, d + 1)[:, 0]
        return streams.subsets(seed, samples, sizes, d)

    def _log_chance(self, S: Coalitions, *, uniform: bool) -> NDArray[np.float64]:
        """Logarithm of each coalition's chance, (B,)."""
        d, k = S.shape[1], S.sum(axis=1)
        if uniform:
            return np.asarray(-np.log(d + 1) - log_choose(d, k))
        return np.asarray(k * np.log(self.p) + (d - k) * np.log1p(-self.p))

    def _ratio(self, S: Coalitions) -> NDArray[np.float64] | None:
        """Weights (B,) that turn sampled coalitions into the measure's; None: all 1."""
        counts, draws = self._by_size
        if counts == draws:
            return None
        return np.asarray(
            np.exp(self._log_chance(S, uniform=counts) - self._log_chance(S, uniform=draws))
        )

    # -- weights ------------------------------------------------------------------------------

    def _weights(self, distance2: NDArray[np.float64], d: int) -> Floats:
        """Weights at squared distances from all d players kept."""
        if self.kernel == "uniform":
            return np.ones(distance2.shape)
        if self.kernel == "cosine":
            width = self.width or 0.25
            distance2 = (1 - np.sqrt(1 - distance2 / d)) ** 2
        else:
            width = (self.width or 0.75) * np.sqrt(d)
        return np.exp(-distance2 / (2 * width**2))

    def _called(self, S: Coalitions) -> Floats:
        """A user's weights (B,) of coalitions (B, d)."""
        assert callable(self.kernel)
        weights = np.asarray(self.kernel(np.array(S, order="C")), np.float64)
        if weights.shape != (len(S),):
            raise ValueError(f"the kernel returned shape {weights.shape}; expected ({len(S)},)")
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError("the kernel returned negative, NaN or infinite weights")
        return weights

    # -- all coalitions -----------------------------------------------------------------------

    def _enumerate(self, game: Game, plan: Plan) -> Attribution:
        S, d, k = all_coalitions(game.n_players), game.n_players, game.n_outputs
        mass = np.exp(self._log_chance(S, uniform=self._by_size[0])) * self._count(game, plan)
        removed = (d - S.sum(axis=1)).astype(np.float64)
        weights = (self._called(S) if callable(self.kernel) else self._weights(removed, d)) * mass
        game.progress.expect(game.n_rows * enumeration_cost(game))

        def fit(v: Floats) -> Fit:  # v: (R, C, k)
            z, weigh = (lambda at: S[at].T[None]), (lambda at, moved: weights[None, at])
            return Regression(z, weigh, _columns(v), d, self.regularizer, self.alpha).fit()

        def linear(v: Floats) -> Floats:
            if self.regularizer == "lasso":  # not linear: only the mean of v is of use
                phi = np.full((*v.shape[:-2], d, k), np.nan)
            else:
                phi = _by_row(fit(v.reshape(-1, len(S), k)).phi, k)
                phi = phi.reshape(*v.shape[:-2], d, k)
            return np.concatenate([phi, v], axis=-2)

        both, errors, ends = exact(game, S, linear)
        result = _Results(game.n_rows, d, k)
        result.store(np.arange(game.n_rows), fit(both[:, d:]))
        own = None if errors is None else errors[:, :d]
        return finish(game, result.phi, own, ends, tolerance=plan.tolerance, info=result.info())

    # -- samples ------------------------------------------------------------------------------

    def _sample(self, game: Game, plan: Plan) -> Attribution:
        d, k, n = game.n_players, game.n_outputs, game.n_rows
        count, tolerance = self._count(game, plan), plan.tolerance
        samples = np.arange(count)
        if game.has_regressors:
            S, draws = np.zeros((count, d), bool), samples
        else:
            S = self._coalitions(plan.seed, samples, d)
            drawn = own_draws(game, plan.seed, samples)
            draws = samples if drawn is None else drawn
        alike = game.has_regressors and game.shares_empty  # one neighbourhood serves all rows
        game.progress.expect(count if alike else n * count)
        result, checks = _Results(n, d, k), stops(count, tolerance, first=64)
        base, full = np.empty((2, n, k))
        for rows, _ in game.blocks(count):
            base[rows], full[rows], v = _ends_and_first(game, rows)
            active, evaluated = rows, v.shape[1]
            looks = Looks(len(rows), checks, tolerance)
            for stop in looks:
                if stop > evaluated:
                    own = draws[evaluated:stop] if game.commutes else None
                    new = grid_in_parts(game, active, S[evaluated:stop], own)
                    v, evaluated = np.concatenate([v, new], axis=1), stop
                values = np.concatenate([full[active, None], v[:, :stop]], axis=1)
                for at, fit in self._fits(game, active, S[:stop], draws[:stop], values):
                    result.store(active[at], fit)
                if shares_rows(game):
                    result.error[active] = self._over_rows(game, S[:stop], draws[:stop], values)
                left = looks.left(result.phi[active], result.error[active])
                active, v = active[left], v[left]
        ends, info = (base, full), result.info()
        return finish(game, result.phi, result.error, ends, tolerance=tolerance, info=info)

    def _over_rows(self, game: Game, S: Coalitions, draws: Indices, v: Floats) -> Floats:
        """Errors (1, d, k) where samples, on single draws, share the rows of a data set."""

        def of_some(kept: NDArray[np.bool_]) -> Floats:
            at = np.flatnonzero(kept[draws])
            z, weigh = self._table(game, np.arange(1), S[at], draws[at])
            y, d = _columns(v[:, np.append(0, 1 + at)]), S.shape[1]
            fit = Regression(z, weigh, y, d, self.regularizer, self.alpha).fit()
            return _by_row(fit.phi, v.shape[2])

        return jackknife(game, draws, of_some)

    def _count(self, game: Game, plan: Plan) -> int:
        what, samples = "a linear fit", self.samples
        if not game.has_regressors:
            return plan.count(what, game, samples=samples, unit=unit_cost(game), least=LEAST)
        # the samples are draws of the empty coalition, and its value has paid the first
        what = what if samples is None else f"samples={samples}"
        least = LEAST if samples is None else int(samples)
        needs(what, game.ends_cost + max(0, least - game.n_draws), plan.budget)
        return max(least, 0 if samples else plan.room(game, None, 1) - game.ends_cost)

    def _fits(
        self, game: Game, rows: Indices, S: Coalitions, draws: Indices, v: Floats
    ) -> Iterator[tuple[Indices, Fit]]:
        """Places of rows and their fits, of values (R, C, k): of x itself, then of samples.

        Rows share a fit's table where it holds coalitions. Elsewhere as many are fitted together
        as stay in the cache, or, where a table is cut, as share the draws of its parts.
        """
        (count, d), places = S.shape, np.arange(len(rows))
        moments = GROUPS * d * d if self.regularizer == "lasso" else min(d, count) ** 2
        room = CACHED if count * d < 2**20 else BLOCK_BYTES // 8
        own = max(1, room // max(moments, min(2**20, count * d)))
        step = own if game.has_regressors else len(rows)
        for start in range(0, len(rows), step):
            some = places[start : start + step]
            z, weigh = self._table(game, rows[some], S, draws)
            y = _columns(v[some], len(some) if game.has_regressors else 1)
            fit = Regression(z, weigh, y, d, self.regularizer, self.alpha, errors=True)
            yield some, fit.fit()

    def _table(
        self, game: Game, rows: Indices, S: Coalitions, draws: Indices
    ) -> tuple[Callable[[slice], NDArray[Any]], Callable[[slice, Floats], Floats]]:
        """What x itself and samples are regressed on, and how they are weighed."""
        count, d = S.shape
        ratio = None if game.has_regressors else self._ratio(S)
        if ratio is not None:
            ratio = np.concatenate([[1.0], ratio])  # x itself is no sample

        def z(part: slice) -> NDArray[Any]:
            at = slice(max(part.start - 1, 0), part.stop - 1)
            own, here = game.regressors(rows, draws[at]) or (S[at].T[None], np.ones((1, d), bool))
            if part.start:
                return own
            here = np.broadcast_to(here, own.shape[:2])
            return np.concatenate([here[..., None], own], axis=2)

        every = None
        of_coalitions = callable(self.kernel) or self.kernel == "cosine"
        if of_coalitions and not z(slice(0, 2))[..., 0].all():
            raise ValueError(
                f"kernel={self.kernel!r} weighs coalitions, and a neighbourhood with "
                "discretise=False has distances from x: use kernel='exponential' or 'uniform'"
            )
        if callable(self.kernel):
            parts = streams.parts(count + 1, len(rows) * d)
            tables = np.concatenate([z(part).astype(bool) for part in parts], axis=2)
            every = np.stack([self._called(table.T) for table in tables])

        def weigh(part: slice, moved: Floats) -> Floats:
            if every is not None:
                weights = every[:, part]
            else:
                weights = self._weights(np.einsum("tds,tds->ts", moved, moved), d)
            return weights if ratio is None else weights * ratio[part]

        return z, weigh


def _ends_and_first(game: Game, rows: Indices) -> tuple[Floats, Floats, Floats]:
    """Values of the ends (R, k), and of samples that the empty one's is the mean of (R, m, k)."""
    if not game.has_regressors or game.shares_empty:  # none, or the game remembers them
        base, full = game.ends(rows)
        return base, full, np.empty((len(rows), 0, game.n_outputs))
    m, d = game.n_draws, game.n_players
    full = game.grid(rows, np.ones((1, d), bool), None)[:, 0]
    first = grid_in_parts(game, rows, np.zeros((m, d), bool), np.arange(m))
    return mean_of_draws(first), full, first


def _columns(v: Floats, tables: int = 1) -> Floats:
    """Values (R, C, k) of several rows as columns of tables (T, R k / T, C)."""
    return v.swapaxes(1, 2).reshape(tables, -1, v.shape[1])


def _by_row(columns: Floats, k: int) -> Floats:
    """Coefficients (T, R k / T, d) of several rows as (R, d, k)."""
    return columns.reshape(-1, k, columns.shape[2]).swapaxes(1, 2)


class _Results:
    """Fits of all rows, filled in some rows at a time."""

    def __init__(self, n: int, d: int, k: int) -> None:
        self.phi, self.error = np.empty((2, n, d, k))
        self.intercept, self.r2 = np.empty((2, n, k))

    def store(self, rows: Indices, fit: Fit) -> None:
        k = self.phi.shape[2]
        self.phi[rows], self.error[rows] = _by_row(fit.phi, k), _by_row(fit.error, k)
        self.intercept[rows], self.r2[rows] = fit.intercept.reshape(-1, k), fit.r2.reshape(-1, k)

    def info(self) -> dict[str, NDArray[Any]]:
        return {"intercept": self.intercept, "r2": self.r2}
