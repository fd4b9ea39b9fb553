"""Axioms: properties that some attributions have by construction, measured on any."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from xai import streams
from xai.game import Game, rounding_of
from xai.inputs import Inputs
from xai.known import keys_of
from xai.methods import Method
from xai.metrics import checks
from xai.metrics.attributed import in_columns_of, in_its_own_game
from xai.metrics.case import Case, Result, metric
from xai.metrics.models import composed
from xai.metrics.numerics import ratio
from xai.metrics.paths import alone
from xai.metrics.perturb import (
    Explain,
    by_element,
    explained,
    fixed,
    lengths,
    moved,
    refuse_codes,
)
from xai.metrics.score import Floats
from xai.metrics.simplicity import shares
from xai.metrics.subsets import shared
from xai.setting import padded
from xai.summary.base import all_coalitions
from xai.tables import frame_builder, of_columns

TOLERANCE = 1e-6
"""Changes below this part of the predictions' size are none."""
MOST_PLAYERS = 4096
"""Of which all pairs are looked at."""


@metric
def completeness_gap(case: Case, *, relative: bool = False) -> Result:
    """``|Σ a − (v(N) − v(∅))|``; `relative`: as a part of ``|v(N) − v(∅)|``, NaN where that is 0.

    Sundararajan, Taly & Yan 2017; efficiency, of Shapley values. v is the Explanation's own game,
    whose ends it holds, unless another removal, data, behavior, y, players or target is given;
    that of `removal` or `data` for arrays, and for explanations without an empty state.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x.prod(axis=1)
    >>> completeness_gap(f, np.full((1, 2), 3.0), np.array([[4.0, 4.0]]), removal="baseline").mean()
    1.0
    """
    checks.flag("relative", relative)

    def gap(total: Floats, base: Floats, full: Floats, rounding: float) -> Floats:
        error, change = np.abs(total - (full - base)), np.abs(full - base)
        if not relative:
            return error
        size = np.maximum(np.abs(base), np.abs(full))
        return ratio(error, np.where(change > rounding * size, change, 0.0))

    def of(game: Game, a: Floats) -> Floats:
        base, full = (end[:, 0] for end in game.ends(np.arange(game.n_rows)))
        return gap(a.sum(axis=1), base, full, game.rounding)

    e = case.explanation
    if not in_its_own_game(e, case.scene):
        return Result(np.asarray(case.per_row(of)))
    rounding = rounding_of(e.predictions.dtype)
    own = gap(np.nansum(case.flat, axis=1), e.base_values, e.predictions, rounding)
    return Result(own, removal=e.removal, output=e.behavior)


@metric
def dummy_mass(case: Case, *, tolerance: float = TOLERANCE) -> Result:
    """Share of Σ|a| on players whose removal changes nothing: ``|v(N) − v(N∖i)| = 0`` at each draw.

    "Non-sensitivity" (Nguyen & Martínez 2020) as a mass. `tolerance` is a part of |f(x)|, and of
    the largest |a|. ``info["count"]`` is the paper's number of players of which either the
    effect or the attribution is 0, but not both.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x @ np.array([3.0, 0.0])
    >>> score = dummy_mass(f, np.ones((1, 2)), np.array([[3.0, 1.0]]), removal="baseline")
    >>> score.mean(), score.info["count"]
    (0.25, array([1]))
    """
    checks.not_negative("tolerance", tolerance)
    effect = alone(case)[:, 0]
    p = shares(case.values)
    none = effect <= tolerance * np.abs(case.scene.predictions)[:, None]
    size = np.abs(case.values)
    silent = size <= tolerance * np.nanmax(size, axis=1, keepdims=True)
    return Result((p * none).sum(axis=1), None, {"count": (none != silent).sum(axis=1)})


@metric
def symmetry_gap(case: Case, *, samples: int = 16, tolerance: float = TOLERANCE) -> Floats:
    """Mean ``|a_i − a_j|`` of symmetric players, as a part of mean |a|; NaN where none are.

    i and j are taken as symmetric where ``v(S∪i) = v(S∪j)`` in so many coalitions S without
    them, the empty one first.

    Parameters
    ----------
    samples : int
        Of the coalitions; all where there are no more.
    tolerance : float
        Values that differ by no more than this part of the largest |v| are equal.

    Raises
    ------
    ValueError
        More players than pairs can be compared of.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: x.prod(axis=1)
    >>> symmetry_gap(f, np.ones((1, 2)), np.array([[0.75, 0.25]]), removal="baseline").mean()
    1.0
    """
    checks.count("samples", samples)
    checks.not_negative("tolerance", tolerance)

    def of(place: int, game: Game, a: Floats) -> Floats:
        d = game.n_players
        if d > MOST_PLAYERS:
            raise ValueError(
                f"symmetry_gap compares all pairs of players, and there are {d}: pass players= "
                f"for at most {MOST_PLAYERS}, such as Patches(16) for images"
            )
        S, eye = _contexts(d, samples, case.scene.seed), np.eye(d, dtype=bool)
        keys = keys_of(S)[:, None] + np.where(S, np.uint64(0), keys_of(eye))  # of S ∪ i

        def kept(some: Any) -> Any:
            return S[some // d] | eye[some % d]

        met = reduce(np.logical_or, map(_outside, S)) & ~eye
        out = np.empty(game.n_rows)
        for rows, values in shared(case.scene, place, keys.reshape(-1), kept):
            pairs = zip(values.reshape(-1, len(S), d), a[rows], strict=True)
            out[rows] = [_gap(v, own, S, met, tolerance) for v, own in pairs]
        return out

    parts = [(rows, of(place, game, a)) for place, (rows, game, a) in enumerate(case.games())]
    return padded(parts, case.scene.n)


def _gap(values: Floats, a: Floats, S: Any, met: Any, tolerance: float) -> float:
    """One row's mean ``|a_i − a_j|`` of pairs whose values (C, d) are the same in all contexts."""
    apart = np.zeros(met.shape)
    for v, context in zip(values, S, strict=True):
        apart = np.maximum(apart, np.where(_outside(context), np.abs(v[:, None] - v), 0))
    alike = met & (apart <= tolerance * np.abs(values).max())
    gaps = np.where(alike, np.abs(a[:, None] - a), 0).sum()
    return float(ratio(ratio(gaps, alike.sum()), np.abs(a).mean()))


def _outside(context: Any) -> Any:
    """Pairs (d, d) of players of which none is in a coalition."""
    return ~(context[:, None] | context)


def _contexts(d: int, samples: int, seed: int) -> Any:
    """Coalitions to add one player to: all of them, or none at all first, then random ones."""
    if d < 20 and 2**d <= samples:
        return all_coalitions(d)
    S = streams.kept(seed, np.arange(samples), d, 0.5)
    S[0] = False
    return S


@metric
def input_invariance(case: Case, *, shift: Any = 1.0, explain: Explain | None = None) -> Floats:
    """``‖a(f(· − c), x + c) − a(f, x)‖ / ‖a‖``: x and model shifted together change nothing.

    Kindermans et al. 2019. `shift` c: a number, or one for each column, a Series by its names;
    the explanation's `data`, or its removal's, is shifted, too, a fixed baseline is not.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x[:, 0] * x[:, 1]
    >>> x, data = np.ones((1, 2)), np.zeros((4, 2))
    >>> moving = xai.explain(f, x, "shapley", data=data)
    >>> fixed = xai.explain(f, x, "shapley", removal="baseline")
    >>> [round(input_invariance(f, x, e).mean(), 3) for e in (moving, fixed)]
    [0.0, 1.0]
    """
    scene = case.scene
    refuse_codes(scene.seen)
    inputs, n = scene.seen.inputs, scene.n
    c = np.where(fixed(inputs), 0.0, _by_column(shift, inputs))
    index = np.arange(n)
    x = moved(inputs, index, c[None])
    model = composed(scene.model, scene.seen, before=lambda rows: _plus(rows, -c))
    a = explained(case, x, index, explain, model, **_background_moved(case, c))
    return ratio(lengths(a - case.flat), lengths(case.flat))


def _background_moved(case: Case, c: Floats) -> dict[str, Any]:
    """What changes in a recipe whose background is shifted: `data`, and a removal's own."""
    recipe = getattr(case.explanation, "recipe", None) or {}

    def moved_by_name(rows: Any) -> Any:
        return _plus(in_columns_of(case.scene.x, rows), c)

    out = {} if case.scene.data is None else {"data": moved_by_name(case.scene.data)}
    for name in ("removal", "method"):
        part = recipe.get(name)
        removal: Any = part.removal if isinstance(part, Method) else part
        own = getattr(removal, "data", None) if is_dataclass(removal) else None
        if own is not None:
            removal = replace(removal, data=moved_by_name(own))
            out[name] = replace(part, removal=removal) if isinstance(part, Method) else removal
    return out


def _by_column(shift: Any, inputs: Inputs) -> Floats:
    """The shift of each element, (*shape); refused where it is none."""
    c = by_element(of_columns(shift, inputs.names, "shift="), inputs.shape)
    if not np.isfinite(c).all():
        raise ValueError(f"shift={shift!r}: expected a number, or one for each column")
    return c


def _plus(rows: Any, c: Floats) -> Any:
    """Rows of any kind plus a number for each element."""
    if hasattr(rows, "detach"):
        import torch

        kind = rows.dtype if rows.is_floating_point() else torch.get_default_dtype()
        return rows.to(kind) + torch.as_tensor(c, device=rows.device, dtype=kind)
    if hasattr(rows, "columns"):
        labels, moves = list(rows.columns), c.tolist()
        columns = [
            rows[name] + by if by else rows[name] for name, by in zip(labels, moves, strict=True)
        ]
        return frame_builder(rows, labels)(None, columns)
    rows = np.asarray(rows)
    try:
        return (rows + c).astype(rows.dtype) if rows.dtype.kind == "f" else rows + c
    except TypeError as error:
        raise TypeError("input_invariance shifts numbers, and these rows hold words") from error


@metric
def linearity_gap(case: Case, *, weight: float = 0.5, explain: Explain | None = None) -> Floats:
    """``‖a(αf + βg) − αa(f) − βa(g)‖ / ‖a(αf + βg)‖`` with g = f² and β = 1 − α.

    The axiom of Shapley 1953 and of Sundararajan et al. 2017. `weight`: α. Three explanations.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda x: x[:, 0] + 2 * x[:, 1]
    >>> e = xai.explain(f, np.ones((1, 2)), "shapley", removal="baseline")
    >>> round(linearity_gap(f, np.ones((1, 2)), e).mean(), 6)
    0.0
    """
    checks.number("weight", weight)
    scene, index = case.scene, np.arange(case.scene.n)
    inputs = scene.seen.inputs
    x = inputs.decode(inputs.block) if inputs.is_text else scene.x  # texts as any function's

    def attributed(after: Any) -> Floats:
        return explained(case, x, index, explain, composed(scene.model, scene.seen, after=after))

    f = attributed(lambda out: out)
    g = attributed(lambda out: out * out)
    both = attributed(lambda out: weight * out + (1 - weight) * out * out)
    return ratio(lengths(both - weight * f - (1 - weight) * g), lengths(both))
