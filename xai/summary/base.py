"""How values become attributions: what a summary is, and what all of them share."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.game import GROUPS, Coalitions, Floats, FunctionGame, Game, Indices, Masks
from xai.inputs import is_number, is_whole
from xai.streams import as_seed
from xai.suggest import unknown


@dataclass(frozen=True)
class Budget:
    """A default number of model rows per explained row, linear in the size of the game.

    Attributes
    ----------
    rows : int
        A constant.
    per_player : int
        Sampled values for each player.
    whole : bool
        Whether each of them, of the constant's too, is a mean over all of the game's draws.

    Examples
    --------
    >>> str(Budget(rows=5000))
    '5000 + m + 1'
    """

    rows: int = 0
    per_player: int = 0
    whole: bool = False

    def __call__(self, game: Game) -> int:
        """Model rows for this game, the base value and the prediction included."""
        if self.whole:
            values = self.rows + self.per_player * game.n_players
            return values * game.value_cost + game.ends_cost
        return self.rows + self.per_player * game.n_players * unit_cost(game) + game.ends_cost

    def __str__(self) -> str:
        return self.text("d", "1")

    def text(self, per_player: str, full: str) -> str:
        """The rule as a formula in d players, m draws and n rows."""
        terms = [str(self.rows)] * bool(self.rows)
        terms += [f"{self.per_player}{per_player}"] * bool(self.per_player)
        if self.whole:
            terms = [f"({' + '.join(terms)})m"]
        return " + ".join([*terms, "m", full])


Ends: TypeAlias = tuple[Floats, Floats]
"""Values of the empty and of the full coalition, (n, k) each."""
PAIR_ERRORS = "interactions_std_error"
"""Where `info` has the errors of interactions."""
SAMPLED = Budget(rows=8192, per_player=32)
"""The default of summaries that sample coalitions, each at a draw of its own."""


def unit_cost(game: Game) -> int:
    """Model rows of one sampled coalition: at a draw of its own, as far as values commute."""
    return game.sample_cost if game.commutes else game.value_cost


def spreads(game: Game) -> bool:
    """Whether each sample has a draw of its own, out of several."""
    return game.commutes and (game.endless or game.n_draws > 1)


def new_end_cost(game: Game) -> int:
    """Model rows of the empty coalition at a sample's own draw, beside those of the base value."""
    new = spreads(game) and (game.endless or not game.shares_empty)
    return game.sample_cost if new else 0


@dataclass(frozen=True, eq=False)
class Attribution:
    """What a summary returns: (n, d, k) arrays; (d,) or (d, k) for a game of a set function.

    Attributes
    ----------
    values, std_error : attributions, and their Monte-Carlo errors (None: exact; NaN: unknown)
    base_value, prediction : values of the empty and of the full coalition
    evaluations : model rows per explained row, rounded up
    converged : (n,) bool, or None where no tolerance was given
    info : further arrays, (n,) or (n, k)
    ran : what computed the values, where the summary had a choice
    exact, runs : (n,) bool and str, or None
        Where rows differ: which are exact (their error is 0), and what computed each.

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S.all(axis=1), n_players=2)
    >>> attribution = xai.summary.Shapley()(game)
    >>> attribution.values, attribution.std_error is None, attribution.evaluations
    (array([0.5, 0.5]), True, 4)
    """

    values: Floats
    std_error: Floats | None
    base_value: Floats
    prediction: Floats
    evaluations: int
    converged: NDArray[np.bool_] | None = None
    interactions: Floats | None = None
    info: dict[str, NDArray[Any]] = field(default_factory=dict)
    ran: str = ""
    exact: NDArray[np.bool_] | None = None
    runs: NDArray[np.str_] | None = None

    def by_row(self) -> tuple[NDArray[np.bool_], NDArray[np.str_]]:
        """Whether each row is exact, and what computed it, (n,) each."""
        n = len(self.values)
        exact = np.full(n, self.std_error is None) if self.exact is None else self.exact
        return exact, np.full(n, self.ran) if self.runs is None else self.runs


@dataclass(frozen=True)
class Plan:
    """How much may be spent, and when to stop.

    Attributes
    ----------
    budget : model rows per explained row, or None for the default
    default : the rule behind None; words for a deterministic summary
    tolerance, seed : as for `Summary.__call__`

    Examples
    --------
    >>> import xai
    >>> game = xai.Game.from_function(lambda S: S.all(axis=1), n_players=2)
    >>> plan = Plan(budget=100, default=Budget(rows=50), tolerance=None, seed=0)
    >>> plan.room(game, samples=None, unit=1)
    100
    """

    budget: int | None
    default: Budget | str
    tolerance: float | None
    seed: int

    def room(self, game: Game, samples: int | None, unit: int) -> int:
        """Model rows per explained row: the budget, or what an explicit count or the rule asks.

        A TypeError where the default is of a deterministic summary.
        """
        check_samples("a summary", samples, least=1)
        if self.budget is not None:
            return self.budget
        if samples is not None:
            return game.ends_cost + samples * unit
        if isinstance(self.default, str):
            raise TypeError(
                "this summary has no rule of how many model rows to sample: pass budget=, or give "
                "its class default_budget = xai.summary.Budget(…)"
            )
        return self.default(game)

    def count(
        self,
        what: str,
        game: Game,
        *,
        samples: int | None,
        unit: int,
        least: int = 1,
        name: str = "samples",
        each: int = 1,
        enumerates: bool = True,
    ) -> int:
        """How many samples of `unit` model rows to take, the game's ends paid first.

        Parameters
        ----------
        samples : an explicit count, which raises the default budget
        least : the fewest samples that work
        name : what the explicit count is called
        each : how many of that count `unit` pays for
        enumerates : whether all coalitions will do instead
        """
        ends, whole = game.ends_cost, enumeration_cost(game) if enumerates else math.inf
        check_samples(what, samples, least=each * least, name=name)
        if samples is not None:
            count = int(samples) // each
            needs(f"{name}={samples}", int(min(ends + count * unit, whole)), self.budget)
            return count
        needs(what, int(min(ends + least * unit, whole)), self.budget)
        return max(least, (self.room(game, None, unit) - ends) // unit)


@dataclass(frozen=True)
class Summary(ABC):
    """A way to sum up each player's influence. Constructors only store.

    Examples
    --------
    >>> import xai
    >>> class Alone(Summary):
    ...     def attribute(self, game, plan):
    ...         return xai.summary.RemoveIndividual().attribute(game, plan)
    >>> game = xai.Game.from_function(lambda S: S.all(axis=1), n_players=2)
    >>> Alone()(game).values
    array([1., 1.])
    """

    default_budget: ClassVar[Budget | str] = "what it takes"
    """A rule, or the words for what a deterministic summary needs."""
    always_differentiates: ClassVar[bool] = False
    always_softens: ClassVar[bool] = False
    always_averages: ClassVar[bool] = False
    searches: ClassVar[bool] = False
    """Whether each output asks for other values than the next."""

    @property
    def averages(self) -> bool:
        """Whether it takes values as means over all draws, though the behavior commutes."""
        return self.always_averages

    @property
    def differentiates(self) -> bool:
        """Whether it needs the model's gradients."""
        return self.always_differentiates

    @property
    def softens(self) -> bool:
        """Whether it keeps parts of players: its coalitions are soft masks."""
        return self.always_softens

    def check(self) -> None:  # noqa: B027 — most have nothing to refuse
        """Refuse settings that are wrong whatever the game, before a model is called."""

    def __call__(
        self,
        game: Game,
        budget: int | None = None,
        tolerance: float | None = None,
        seed: int | np.random.Generator = 0,
        default: Budget | None = None,
    ) -> Attribution:
        """Attributions of all rows of a game.

        Parameters
        ----------
        game : Game
        budget : int, optional
            At most this many model rows (evaluations of a set function) per explained row.
        tolerance : float, optional
            Stop a row when its largest standard error is at most this fraction of the range of
            its values, at two looks in a row.
        seed : int or Generator
        default : Budget, optional
            What `budget` None means; the summary's own rule where None.

        Raises
        ------
        ValueError
            The budget is below the least that works, which the message names.
        """
        if budget is not None and not is_whole(budget):
            raise TypeError(f"budget must be an integer number of model rows, not {budget!r}")
        if tolerance is not None:
            check_positive("tolerance", tolerance)
        started = game.evaluations
        rule = default or self.default_budget
        plan = Plan(None if budget is None else int(budget), rule, tolerance, as_seed(seed))
        self.check()
        result = self._with_draws(game, plan)
        if isinstance(game, FunctionGame):
            spent = game.evaluations - started + 2  # the ends were evaluated when it was made
            return _squeezed(result, spent, flat=game.flat)
        return result

    def _with_draws(self, game: Game, plan: Plan) -> Attribution:
        """Attributions, and where values share draws that are a sample, the error of these, too.

        It is the jackknife's: beside the game's outputs are those without each group of draws.
        """
        wide = None
        if not self.differentiates and not self.searches:
            wide = game.jackknifed(averages=self.averages)
        if wide is None:
            return self.attribute(game, plan)
        return _of_own_outputs(self.attribute(wide, plan), game.n_outputs, wide.groups, plan)

    @abstractmethod
    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Attributions with all axes, (n, d, k)."""


def check_number(name: str, value: object) -> None:
    """Refuse a setting that is no number."""
    if not is_number(value):
        raise TypeError(f"{name} must be a number, not {value!r}")


def check_positive(name: str, value: Any) -> None:
    """Refuse a setting that is no number, or none that is positive and finite."""
    check_number(name, value)
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be positive and finite, not {value!r}")


def check_word(name: str, value: object, words: Sequence[object]) -> None:
    """Refuse a setting that is none of some words."""
    if value not in words:
        raise ValueError(unknown(name, value, words))


def _squeezed(result: Attribution, evaluations: int, *, flat: bool) -> Attribution:
    names = ("values", "std_error", "base_value", "prediction", "interactions")
    arrays = {name: getattr(result, name) for name in names}
    one: dict[str, Any] = {
        n: None if a is None else a[0, ..., 0] if flat else a[0] for n, a in arrays.items()
    }
    return replace(result, evaluations=evaluations, **one)


def _of_own_outputs(result: Attribution, k: int, groups: int, plan: Plan) -> Attribution:
    """What is known of the first k outputs, the others being those without one of some groups."""

    def spread(wide: Floats) -> Floats:
        if groups == 0:
            return np.full_like(wide[..., :k], np.nan)
        without = wide[..., k:].reshape(*wide.shape[:-1], groups, k)
        return np.asarray(without.var(axis=-2) * (groups - 1))

    def error(wide: Floats, sampling: Floats | None) -> Floats:
        own = 0.0 if sampling is None else sampling[..., :k] ** 2
        return np.asarray(np.sqrt(spread(wide) + own))

    def cut(array: NDArray[Any]) -> NDArray[Any]:
        wide = array.ndim > 1 and array.shape[-1] == (1 + groups) * k
        return array[..., :k] if wide else array

    values, errors = cut(result.values), error(result.values, result.std_error)
    info, pairs = {key: cut(array) for key, array in result.info.items()}, result.interactions
    if pairs is not None:
        info[PAIR_ERRORS] = error(pairs, result.info.get(PAIR_ERRORS))
    met = None if plan.tolerance is None else within(values, errors, plan.tolerance)
    return replace(
        result,
        values=values,
        std_error=errors,
        base_value=cut(result.base_value),
        prediction=cut(result.prediction),
        converged=met,
        interactions=None if pairs is None else cut(pairs),
        info=info,
        exact=None,
    )


class BudgetError(ValueError):
    """A budget below `least`, the least that works for `what`."""

    def __init__(self, what: str, least: int, budget: int) -> None:
        self.what, self.least, self.budget = what, least, budget
        super().__init__(
            f"budget={budget} is too small: {what} needs at least {least} model rows "
            "per explained row"
        )


def needs(what: str, least: int, budget: int | None) -> None:
    """Refuse a budget (None: no limit) below the least that works."""
    if budget is not None and budget < least:
        raise BudgetError(what, least, budget)


def check_samples(what: str, samples: object, *, least: int, name: str = "samples") -> None:
    """Refuse a number of samples (None: left open) that is no integer, or too small."""
    if samples is None:
        return
    if not is_whole(samples) or samples < least:
        raise ValueError(f"{name}={samples!r}: {what} needs an integer of at least {least}")


def finish(
    game: Game,
    values: Floats,
    std_error: Floats | None,
    ends: Ends,
    *,
    tolerance: float | None,
    converged: NDArray[np.bool_] | None = None,
    info: dict[str, NDArray[Any]] | None = None,
    ran: str = "",
) -> Attribution:
    """Assemble the result, with the cost and the verdict on the tolerance.

    `converged` (n,) is a summary's own verdict, where standard errors are not what it is about.
    """
    met = converged
    if met is None and tolerance is not None:
        met = within(values, std_error, tolerance)
    return Attribution(
        values=values,
        std_error=std_error,
        base_value=ends[0],
        prediction=ends[1],
        evaluations=-(-game.evaluations // game.n_rows),
        converged=met,
        info=info or {},
        ran=ran,
    )


def jackknife(game: Game, draws: Indices, fit: Callable[[NDArray[np.bool_]], Floats]) -> Floats:
    """Errors of what is estimated from samples that share the rows of a data set.

    The spread of samples is too little: what is left out is a group of rows, with all of theirs.

    Parameters
    ----------
    draws : each sample's
    fit : which draws stay (m,) -> estimates
    """
    if not np.ptp(draws % GROUPS):  # without this group there is nothing to estimate from
        return np.full_like(fit(np.ones(game.n_draws, bool)), np.nan)
    groups = np.arange(game.n_draws) % GROUPS
    without = [fit(groups != group) for group in np.unique(groups)]
    return np.asarray(np.sqrt((len(without) - 1) * np.var(without, axis=0)))


def unknown_error(game: Game, values: Floats) -> Floats | None:
    """Of means over all draws: unknown where these are a sample, else none."""
    return np.full_like(values, np.nan) if game.sampled_draws else None


def shares_rows(game: Game) -> bool:
    """Whether samples, each on a draw of its own, share draws that are a sample themselves."""
    return game.sampled_draws and not game.endless


def within(values: Floats, std_error: Floats | None, tolerance: float) -> NDArray[np.bool_]:
    """Rows (n,) whose largest error is at most `tolerance` of the range of their values."""
    if std_error is None:
        return np.ones(len(values), bool)
    spread = values.max(axis=1) - values.min(axis=1)
    return np.asarray((std_error.max(axis=1) <= tolerance * spread).all(axis=-1))


Check = TypeVar("Check", int, float)
Left: TypeAlias = NDArray[np.bool_] | slice
"""Which rows (R,) go on; a slice where all do."""


class Looks(Generic[Check]):
    """Looks at the errors of n rows, which stop where two in a row meet the tolerance.

    Iterating gives the `checks`, as long as any row goes on. Once may be a small error by chance.
    Few samples (two checks at most) allow no second look, and where samples double from one look to
    the next it is not `twice`. Where all samples agree on all outputs, what is rare has not been
    met: 0 is no error of it. Without a tolerance all rows go on.
    """

    def __init__(
        self, n: int, checks: Sequence[Check], tolerance: float | None, *, twice: bool = True
    ) -> None:
        self.checks: Sequence[Check] = checks
        self.once, self.tolerance = len(checks) < 3 or not twice, tolerance
        self.before = np.full(n, self.once)

    def __iter__(self) -> Iterator[Check]:
        return itertools.takewhile(lambda _: len(self.before) > 0, self.checks)

    def left(self, values: Floats, errors: Floats) -> Left:
        """Which rows (R,) go on, of those that did so far, by their values and errors (R, d, k)."""
        if self.tolerance is None:
            return slice(None)
        met = within(values, errors, self.tolerance)
        met &= (np.ptp(values, axis=1) > 0).any(axis=-1)
        left = ~(met & self.before)
        self.before = met[left] | self.once
        return np.asarray(left)


# ---------------------------------------------------------------------------------------------
# Exact answers


MOST_PLAYERS = 25
"""Most players whose coalitions are enumerated: the table of 2^25 takes 0.8 GB."""


def all_coalitions(d: int) -> Coalitions:
    """Every coalition of `d` players, (2^d, d): bit i of the index is player i."""
    index, table = np.arange(2**d), np.empty((2**d, d), bool)
    for i in range(d):  # one player at a time: no (2^d, d) array of integers is made
        table[:, i] = index >> i & 1
    return table


def empty_again(game: Game) -> int:
    """Model rows of v(∅) beside the game's ends, where `exact` meets it: draw by draw, unshared."""
    again = game.sampled_draws and game.commutes and not game.shares_empty
    return game.value_cost if again else 0


def enumeration_cost(game: Game) -> int:
    """Model rows per explained row of the values of all coalitions."""
    inner = (2**game.n_players - 2) * game.value_cost
    return int(inner + empty_again(game) + game.ends_cost)


def enumerates(game: Game, budget: int) -> bool:
    """Whether all coalitions, times the draws, fit the budget."""
    return game.n_players <= MOST_PLAYERS and enumeration_cost(game) <= budget


def enumeration_needs(what: str, game: Game, samples: int | None, plan: Plan) -> None:
    """Refuse what a summary that always enumerates cannot do."""
    d = game.n_players
    if samples is not None:
        raise ValueError(f"samples={samples!r} has no effect: {what} enumerates, and samples none")
    if d > MOST_PLAYERS:
        raise ValueError(
            f"{what}: {d} players have 2^{d} coalitions, and at most {2**MOST_PLAYERS:,} "
            f"({MOST_PLAYERS} players) are enumerated; sample instead, with "
            "method='permutation_shap' or 'kernel_shap', or group the columns with players="
        )
    needs(what, enumeration_cost(game), plan.budget)


def exact(
    game: Game,
    coalitions: Coalitions,
    linear: Callable[[Floats], Floats],
    plan: Plan | None = None,
) -> tuple[Floats, Floats | None, Ends]:
    """A linear function of the values of given coalitions, for every row; and the game's ends.

    Parameters
    ----------
    coalitions : (C, d) bool
    linear : (…, C, k) -> (…, d, k)
    plan : Plan, optional
        Where given, rows stop at its tolerance after fewer draws, taken in its seed's order.

    Returns
    -------
    values, std_error : (n, d, k)
        The error is None, unless the draws are themselves a sample: then it is their spread.
    ends : base values and predictions, (n, k) each

    Notes
    -----
    Memory: the values of all C coalitions for one row (8Ck bytes) beside the coalitions
    themselves (Cd bytes) and what `linear` makes of them; the rest is in blocks.
    """
    ends = game.ends(np.arange(game.n_rows))
    values, errors = [], []
    spread = game.sampled_draws and game.commutes
    for rows, step in game.blocks(len(coalitions)):
        if spread:
            value, error = _over_draws(game, rows, coalitions, linear, step, plan)
        else:
            value = linear(grid_in_parts(game, rows, coalitions, None))
            error = np.full_like(value, np.nan)
        values.append(value)
        errors.append(error)
    return np.concatenate(values), np.concatenate(errors) if game.sampled_draws else None, ends


def grid_in_parts(game: Game, rows: Indices, coalitions: Masks, draws: Indices | None) -> Floats:
    """`game.grid`, (R, C, k), in blocks that fit memory."""
    room = max(1, game.room // len(rows))
    parts = [
        game.grid(rows, coalitions[a : a + room], None if draws is None else draws[a : a + room])
        for a in range(0, len(coalitions), room)
    ]
    return np.concatenate(parts, axis=1)


def _over_draws(
    game: Game,
    rows: Indices,
    coalitions: Coalitions,
    linear: Callable[[Floats], Floats],
    step: int,
    plan: Plan | None,
) -> tuple[Floats, Floats]:
    """Mean and standard error over the game's draws of a linear function at each draw."""
    c, m = len(coalitions), game.n_draws
    order = streams.cycles(0 if plan is None else plan.seed, np.arange(m), m)
    tolerance = None if plan is None else plan.tolerance
    sums: _Sums | None = None
    values = errors = np.empty(0)
    active, done = np.arange(len(rows)), 0
    looks = Looks(len(rows), stops(m, tolerance, first=16), tolerance)
    for stop in looks:
        while done < stop:
            draws = order[done : min(done + step, stop)]
            tiled = np.tile(coalitions, (len(draws), 1))
            v = grid_in_parts(game, rows[active], tiled, np.repeat(draws, c))
            phi = linear(v.reshape(len(active), len(draws), c, -1))
            if sums is None:
                sums = _Sums(phi[:, 0])
                values, errors = np.empty_like(phi[:, 0]), np.empty_like(phi[:, 0])
            sums.add(phi)
            done += len(draws)
        assert sums is not None
        values[active], errors[active] = sums.mean_and_error()
        left = looks.left(values[active], errors[active])
        active = active[left]
        sums.keep(left)
    return values, errors


class _Sums:
    """Running mean and variance of (R, T, d, k) samples over T, around the first of them."""

    def __init__(self, first: Floats) -> None:
        self.first, self.count = first, 0
        self.total, self.squares = np.zeros_like(first), np.zeros_like(first)

    def add(self, phi: Floats) -> None:
        shifted = phi - self.first[:, None]
        self.count += phi.shape[1]
        self.total += shifted.sum(axis=1)
        self.squares += (shifted**2).sum(axis=1)

    def keep(self, rows: Left) -> None:
        self.first, self.total = self.first[rows], self.total[rows]
        self.squares = self.squares[rows]

    def mean_and_error(self) -> tuple[Floats, Floats]:
        mean = self.total / self.count
        if self.count < 2:
            return self.first + mean, np.full_like(mean, np.nan)
        variance = np.maximum(self.squares - self.count * mean**2, 0) / (self.count - 1)
        return self.first + mean, np.sqrt(variance / self.count)


def stops(count: int, tolerance: float | None, *, first: int, step: int | None = None) -> list[int]:
    """Sample counts at which a tolerance is checked: the same for every batch size.

    The `first`, and from one to the next half as many again, or `step` (None: `first`) if more.
    """
    if tolerance is None:
        return [count]
    points, at = [], first
    while at < count:
        points.append(at)
        at += max(first if step is None else step, at // 2)
    return [*points, count]
