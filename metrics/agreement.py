"""Faithfulness by agreement: whether attributions say what removing does to the prediction.

``Δ_S = f(x) − f(x∖S)`` is what removing the players S takes away, ``Σ_{i∈S} a_i`` what the
attribution says of it. The subsets are the same for all rows, and for all attributions that
`evaluate` scores together: their model rows are spent once.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from xai.explanation import Explanation
from xai.game import Game
from xai.metrics import checks
from xai.metrics.attributed import of_elements
from xai.metrics.case import Case, Result, metric
from xai.metrics.numerics import pearson, ratio, spearman
from xai.metrics.paths import Amount, alone, amounts, cuts, ranks
from xai.metrics.score import Floats
from xai.metrics.subsets import (
    Scored,
    adds_noise,
    by_noise,
    by_subset,
    displacement,
    drops,
    drops_alone,
    of_size,
    subsets,
)
from xai.model import reads_codes
from xai.model_game import ModelGame
from xai.setting import padded

SAMPLES = 200
"""Subsets, where their number is not given."""


@metric
def faithfulness_correlation(
    case: Case, *, subset_size: Amount = 0.2, samples: int = SAMPLES
) -> Floats:
    """``μ_F = corr_S(Σ_{i∈S} a_i, Δ_S)`` over subsets of one size.

    Bhatt, Weller & Moura 2020, eq. 3; over all subsets where `samples` suffice.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0, -2.0])
    >>> a = np.array([[3.0, 1.0, -2.0], [1.0, 1.0, 1.0]])
    >>> faithfulness_correlation(f, np.ones((2, 3)), a, removal="baseline").values
    array([ 1., nan])
    """
    return by_subset(case, _sized(case, subset_size, samples), pearson)


@metric
def mu_fidelity(case: Case, *, subset_size: Amount = 0.2, samples: int = SAMPLES) -> Floats:
    """Rank correlation of ``Σ_{i∈S} a_i`` and ``Δ_S`` over subsets of one size.

    Fel et al. 2022 (Xplique), there of a grid's cells: pass ``players=Patches(…)``.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0, -2.0])
    >>> a = np.array([[3.0, 1.0, -2.0]])
    >>> round(mu_fidelity(f, np.ones((1, 3)), a, removal="baseline", subset_size=1).mean(), 3)
    1.0
    """
    return by_subset(case, _sized(case, subset_size, samples), spearman)


def _sized(case: Case, size: Amount | None, samples: int) -> Any:
    return lambda d: subsets(d, size, samples, case.scene.seed)


@metric
def faithfulness_estimate(case: Case, *, steps: int | None = None) -> Floats:
    """``corr(a_i, Δ_i)`` over single players, or groups of like importance.

    Alvarez-Melis & Jaakkola 2018.

    Parameters
    ----------
    steps : int
        So many groups: players are removed in the order of importance, those of one step
        together, as Quantus's ``features_in_step``. None: single players.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0, -2.0])
    >>> a = np.array([[-3.0, -1.0, 2.0]])
    >>> round(faithfulness_estimate(f, np.ones((1, 3)), a, removal="baseline").mean(), 3)
    -1.0
    """
    if steps is None:
        parts = [(rows, pearson(a, drops_alone(case.scene, place)))
                 for place, (rows, _, a) in enumerate(case.games())]  # fmt: skip
        return padded(parts, case.scene.n)
    checks.count("steps", steps)

    def of(game: Game, a: Floats) -> Floats:
        n, d, K = game.n_rows, game.n_players, min(steps, game.n_players)
        # the step at which each player goes, and what goes with it
        step = (np.searchsorted(cuts(d, K), np.arange(d), side="right") - 1)[ranks(a)]
        place = (step + K * np.arange(n)[:, None]).ravel()
        said = np.asarray(np.bincount(place, a.ravel(), n * K), np.float64).reshape(n, K)
        left = np.empty((n, K))
        for rows, part in game.pieces(K):
            kept = step[rows][:, None, :] != np.arange(K)[part, None]
            each = np.repeat(rows, kept.shape[1])
            values = game.value(each, kept.reshape(-1, d))[:, 0]
            left[rows, part] = values.reshape(len(rows), -1)
        return pearson(said, -left)  # f(x) is the same for all

    return np.asarray(case.per_row(of))


@metric
def sensitivity_n(case: Case, *, subset_size: Amount | None = None, samples: int = 100) -> Result:
    """``corr_S(Σ_{i∈S} a_i, Δ_S)`` for each size n of S, averaged over sizes.

    Ancona et al. 2018. `subset_size`: the sizes; None: ten, evenly from 1 to 0.8 d, below d.
    ``info["correlations"]`` has each size's, (n, sizes).

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0, -2.0])
    >>> a = np.array([[3.0, 1.0, -2.0]])
    >>> score = sensitivity_n(f, np.ones((1, 3)), a, removal="baseline", subset_size=[1, 2])
    >>> round(score.mean(), 3)
    1.0
    """
    checks.count("samples", samples, least=2)

    def sizes(d: int) -> Any:
        if subset_size is not None:
            return amounts(subset_size, d, "subset_size")
        even = np.linspace(1, max(1, 0.8 * d), 10).round().astype(np.intp)
        return np.minimum(even, max(1, d - 1))  # of all players there is one subset

    parts = []
    for place, (own, game, a) in enumerate(case.games()):
        distinct, which = np.unique(sizes(game.n_players), return_inverse=True)
        S = [of_size(game.n_players, int(s), samples, case.scene.seed) for s in distinct]
        ends, members = np.cumsum([len(s) for s in S])[:-1], [s.T.astype(float) for s in S]
        for rows, gone in drops(case.scene, place, np.concatenate(S)):
            each = zip(members, np.split(gone, ends, axis=1), strict=True)
            r = [pearson(a[rows] @ some, taken) for some, taken in each]
            parts.append((own[rows], np.stack([r[i] for i in which], axis=1)))
    out = padded(parts, case.scene.n)
    return Result(out.mean(axis=1), None, {"correlations": out})


@metric
def infidelity(
    case: Case,
    *,
    subset_size: Amount | None = None,
    samples: int = SAMPLES,
    normalise: bool = False,
) -> Floats:
    """``E_I[(Iᵀa − (f(x) − f(x − I)))²]``: the error of the attribution as a linear model.

    Yeh et al. 2019, eq. 1. I removes random subsets (each player with chance ½, or
    `subset_size` of them), and a are effects, which an Explanation by derivatives is turned into,
    ``a ⊙ (x − b)`` as in `lfa_error`; with ``removal=Noise(s)`` I is the noise, and a are slopes.
    `normalise` scales a by the best factor, as the authors' code does.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> x = np.ones((1, 2))
    >>> infidelity(f, x, np.array([[3.0, 1.0]]), removal="baseline").mean()
    0.0
    >>> infidelity(f, x, np.array([[3.0, 0.0]]), removal="baseline").mean()
    0.5
    """
    checks.flag("normalise", normalise)
    if not adds_noise(case) and kind_of(case.explanation) == "slope":
        case = _as_effect(case, "effect")

    def error(said: Floats, done: Floats) -> Floats:
        if normalise:
            factor = ratio((said * done).sum(axis=1), (said**2).sum(axis=1))
            said = np.where(np.isnan(factor), 0.0, factor)[:, None] * said
        return np.asarray(((said - done) ** 2).mean(axis=1))

    return _of_changes(case, subset_size, samples, error)


def _of_changes(case: Case, size: Amount | None, samples: int, score: Scored) -> Floats:
    """A score of what the attribution says of perturbed inputs and what the model does there."""
    checks.count("samples", samples, least=2)
    if adds_noise(case):
        if size is not None:
            raise ValueError(
                f"subset_size={size!r} counts removed players, and noise moves all: leave it out"
            )
        return by_noise(case, samples, score)
    return by_subset(case, _sized(case, size, samples), score)


Kind = Literal["effect", "slope"]


@metric
def lfa_error(
    case: Case,
    *,
    subset_size: Amount | None = None,
    samples: int = SAMPLES,
    kind: Kind | None = None,
) -> Result:
    """Mean squared error of the attribution as a surrogate of f in a neighbourhood.

    Han, Srinivas & Lakkaraju 2022: ``g(x∖S) = f(x) − Σ_{i∈S} φ_i`` with players removed,
    ``g(x + δ) = f(x) + γᵀδ`` with ``removal=Noise(s)``.

    Parameters
    ----------
    kind : "effect" (φ sums up to a difference of f) or "slope" (γ, a derivative)
        None: a slope where the Explanation is a derivative in the inputs. The other one is
        φ = γ ⊙ (x − b), with b the removal's mean.

    Returns
    -------
    Score
        ``info["r2"]``: 1 − error / variance of f, below 0 where a constant is nearer;
        ``info["worst"]``: the largest |error|, as `xai.choose` has it.

    Raises
    ------
    ValueError
        An unknown `kind`, or slopes where x holds texts, words or codes.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0])
    >>> score = lfa_error(f, np.ones((1, 2)), np.array([[3.0, 1.0]]), removal="baseline")
    >>> score.mean(), score.info["r2"]
    (0.0, array([1.]))
    """
    kind = kind_of(case.explanation) if kind is None else kind
    checks.word("kind", kind, "effect", "slope")
    wanted = "slope" if adds_noise(case) else "effect"
    case = case if kind == wanted else _as_effect(case, wanted)

    def errors(said: Floats, done: Floats) -> Floats:
        error = np.abs(said - done)
        mean = (error**2).mean(axis=1)
        r2 = 1 - ratio(mean, done.var(axis=1))
        return np.stack([mean, r2, error.max(axis=1)], axis=1)

    mean, r2, worst = _of_changes(case, subset_size, samples, errors).T
    return Result(mean, None, {"r2": r2, "worst": worst})


def kind_of(explanation: Any) -> Kind:
    """Whether an attribution is a derivative in the inputs ("slope") or a difference of f."""
    if not isinstance(explanation, Explanation):
        return "effect"
    summary = explanation.summary
    derivative = summary.startswith("Gradient(") and "wrt='input'" in summary
    # a fit to derivatives in the removal's noise, or of values to that noise (C-LIME)
    to_noise = "at='removed'" in summary or "displacements=True" in explanation.removal
    fitted = summary.startswith("LinearFit(") and to_noise
    return "slope" if derivative or fitted else "effect"


def _as_effect(case: Case, wanted: str) -> Case:
    """The same attribution as effects ``γ ⊙ (x − b)``."""
    if wanted == "slope":
        raise ValueError(
            "effects have no slopes without a baseline to divide by: score a derivative, or "
            "divide the values by x − b and pass kind='slope'"
        )
    if case.scene.setting.cut is not None:
        raise ValueError(
            "slopes become effects element by element of x, and players= are inside the network: "
            "leave players= out"
        )
    inputs = case.scene.seen.inputs
    held = (
        "codes that an embedding reads" if reads_codes(case.scene.seen.model, inputs)
        else "texts" if inputs.is_text
        else f"words or categories in the columns {inputs.worded[:5]}" if inputs.worded
        else ""
    )  # fmt: skip
    if held:
        raise ValueError(
            "slopes become effects by how far x is from the baseline, which nobody can tell where "
            f"x holds {held}: score effects, such as gradient_x_input's"
        )

    def make() -> Case:
        fine = case.changed("elements", players="elements")
        effects = np.empty((case.scene.n, fine.values.shape[1]))
        for rows, game, a in fine.games():
            assert isinstance(game, ModelGame)
            every, m = np.arange(game.n_rows), game.n_draws
            gone = sum(displacement(game, every, np.full_like(every, t)) for t in range(m))
            effects[rows] = a * gone / m
        return Case(case.scene, of_elements(effects, case.scene.setting))

    return case.once("effects", make)


@metric
def monotonicity_correlation(case: Case) -> Floats:
    """Rank correlation of ``|a_i|`` and ``E(f(x) − f(x with i removed))²`` over draws.

    Nguyen & Martínez 2020, whose draws are uniform: ``removal="uniform"``.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 1.0, -2.0])
    >>> a = np.array([[3.0, 1.0, -2.0]])
    >>> round(monotonicity_correlation(f, np.ones((1, 3)), a, removal="baseline").mean(), 3)
    1.0
    """
    sizes = np.sqrt(alone(case)[:, 1])  # in the order of the squares; small ones stay
    parts = [
        (rows, spearman(np.abs(a), sizes[rows, : game.n_players])) for rows, game, a in case.games()
    ]
    return padded(parts, case.scene.n)
