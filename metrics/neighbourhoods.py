"""Neighbourhoods of rows: what the model does there, and what an attribution says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai.again import keywords_of
from xai.explanation import Explanation
from xai.finite import named_by
from xai.inputs import Inputs, on_host
from xai.metrics.agreement import kind_of
from xai.metrics.case import Case, Scene
from xai.metrics.numerics import ratio
from xai.metrics.perturb import fixed, flattened, fractions_told, moved, normals, numbers, together
from xai.metrics.score import Floats, Indices
from xai.metrics.subsets import of_halves
from xai.removal import Baseline
from xai.removal.base import Context
from xai.setting import compose

SAME = 1e-9
"""Of their size: numbers that differ by less are the same but for rounding."""


@dataclass(frozen=True, eq=False)
class Areas:
    """Perturbed inputs of each neighbourhood, and what the model says of them.

    Attributes
    ----------
    kept : (C, d) bool, gone : change of f (n, C) where the others are absent
    steps : (N, d) "nearby", step : change of f (n, N); both move a pixel's channels together
    shares : (P,) ξ of b + ξ(x − b), walked : change of f (n, P)
    baseline : (d,)
    free : (d,) bool, the columns that move "nearby" and on the "path": no categories, no gaps
    reach : (*shape,) one standard deviation of the steps
    """

    kept: Any
    gone: Floats
    steps: Floats
    step: Floats
    shares: Floats
    walked: Floats
    baseline: Floats
    free: NDArray[np.bool_]
    reach: Floats

    def errors(self, phi: Floats, gamma: Floats) -> dict[str, tuple[float, float, float]]:
        """Mean squared error, R² and largest error of a surrogate in each neighbourhood."""
        total = phi[:, self.free].sum(axis=1, keepdims=True)
        said = {
            "absent": (-phi @ ~self.kept.T, self.gone),
            "nearby": (gamma @ self.steps.T, self.step),
            "path": ((self.shares - 1)[None] * total, self.walked),
        }
        return {area: _errors(guess, true) for area, (guess, true) in said.items()}


def _errors(said: Floats, done: Floats) -> tuple[float, float, float]:
    error = said - done
    square = float((error**2).mean())
    r2 = 1 - float(ratio(square, done.var(axis=1).mean()))
    return square, r2, float(np.abs(error).max())


def areas_of(scene: Scene, data: Any, scale: float, samples: int) -> Areas:
    """Perturb the scene's rows in each neighbourhood, and evaluate the model there."""
    inputs, n, owner = scene.setting.inputs, scene.n, features_of(scene)
    _, first, size = np.unique(owner, return_index=True, return_counts=True)
    d = int(np.prod(inputs.shape))
    background, x = flattened(inputs.encode(data, "data")), numbers(inputs)
    b = background.mean(axis=0)
    still = fixed(inputs).reshape(-1) | has_gaps(x, b)
    e = normals(inputs, scene.seed, np.arange(samples)).reshape(samples, d)[:, first[owner]]
    spread = np.sqrt(np.bincount(owner, background.var(axis=0)) / size)[owner]
    reach = np.where(still, 0.0, scale * spread)
    steps = reach * e
    shares = (np.arange(samples) + 0.5) / samples
    kept = ~of_halves(len(size), samples, scene.seed)[:, owner]
    absent = np.empty((n, len(kept)))
    for rows, game in scene.games:
        for some, part in game.pieces(len(kept)):
            absent[rows[some], part] = game.grid(some, kept[part], None)[:, :, 0]
    own = scene.predictions[:, None]
    there = values_at(scene, samples, lambda rows: steps)
    way = np.where(still, 0.0, x - b)
    walked = values_at(scene, samples, lambda rows: way[rows, None] * (shares - 1)[:, None])
    return Areas(kept, absent - own, steps, there - own, shares, walked - own, b, ~still,
                 reach.reshape(inputs.shape))  # fmt: skip


def has_gaps(x: Floats, baseline: Floats) -> NDArray[np.bool_]:
    """Which columns of x (n, d), or of the rows whose mean is the baseline (d,), hold NaN: (d,)."""
    return np.isnan(baseline) | np.isnan(x).any(axis=0)


def refuse_gaps(inputs: Inputs, data: Any, neighbourhood: str) -> None:
    """Refuse rows that lack numbers, or hold infinite ones, which could not be moved.

    Where features are absent none is moved: there they may lack some.
    """
    still = fixed(inputs).reshape(-1)
    for what, block in (("x", inputs.block), ("data", inputs.encode(data, "data"))):
        moved = flattened(block)[:, ~still]
        odd = np.isinf(moved) if neighbourhood == "absent" else ~np.isfinite(moved)
        if odd.any():
            name = "inf" if np.isinf(moved[odd]).all() else "NaN"
            bad = np.flatnonzero(~still)[np.argmax(odd.any(axis=0))]
            where = f" in column {inputs.names[bad]!r}" if inputs.names else ""
            asked = ", or ask about neighbourhood='absent', which takes them" * (name == "NaN")
            raise ValueError(
                f"rows are moved by numbers, and {what} holds {name}: fill them first{where}{asked}"
            )


def features_of(scene: Scene) -> Indices:
    """Which feature each element of x is, (d,): of images a pixel, all its channels together."""
    shape, axis = scene.seen.inputs.shape, scene.seen.axis
    plane = tuple(1 if axis == place else size for place, size in enumerate(shape, 1))
    owner = np.arange(np.prod(plane, dtype=np.intp)).reshape(plane)
    return np.broadcast_to(owner, shape).reshape(-1)


def values_at(scene: Scene, count: int, by: Callable[[Indices], Floats]) -> Floats:
    """The explained output (n, count) of rows moved by (R, count, d), or (count, d) all alike."""
    inputs = scene.seen.inputs
    out = np.empty((inputs.n, count))
    scene.bar.expect_more(inputs.n * count)
    for rows in together(inputs, count):
        index = np.repeat(rows, count)
        x = moved(inputs, index, by(rows).reshape(-1, *inputs.shape))
        y = None if scene.y is None else np.atleast_1d(np.asarray(on_host(scene.y)))[index]
        with named_by(index), fractions_told(inputs, x), Scene(
            scene.own_model, x, target=scene.seen.resolved.index[index, 0], behavior=scene.behavior,
            y=y, batch_size=scene.batch_size, feature_names=scene.column_names,
            categorical=scene.categorical, channel_axis=scene.channel_axis,
        ) as other:  # fmt: skip
            found = other.seen.values.at_one_draw(np.arange(len(index)), other.seen.outputs)
            scene.spent_elsewhere += other.spent
            scene.bar.update(len(index))
        out[rows] = np.asarray(found[:, 0]).reshape(len(rows), count)
    return out


def as_surrogate(case: Case, baseline: Floats) -> tuple[Floats, Floats]:
    """An attribution as effects φ of losing x to the baseline b (d,), and as slopes γ: (n, d) each.

    Effects of another, fixed baseline become slopes first: ``γ = φ′/(x − b′)``, 0 where x = b′
    but for rounding, which says nothing of a slope. A group's effect says how far its elements
    carry together: its γ are the shortest ones with ``γᵀ(x − b′) = φ′``. Categories have no
    slopes, and where numbers are missing there are none: their φ stay.
    """
    inputs = case.scene.seen.inputs
    a, x = case.values, numbers(inputs)
    gaps = has_gaps(x, baseline) & ~fixed(inputs).reshape(-1)
    still = fixed(inputs).reshape(-1) | gaps
    if kind_of(case.explanation) == "slope":
        if gaps.any():
            raise ValueError(
                f"{case.explanation.method!r} gives slopes, which say nothing of columns that hold "
                "NaN: fill them first, or choose among methods that remove features"
            )
        return a * (x - baseline), a
    own = _own_baseline(case)
    b = baseline if own is None else own
    known = ~still & (np.abs(x - b) > SAME * np.maximum(np.abs(x), np.abs(b)))
    gamma = _slopes(case.explanation, np.where(still, 0.0, a), np.where(known, x - b, 0.0))
    return np.where(still | (own is None), a, gamma * (x - baseline)), gamma


def _slopes(explanation: Any, a: Floats, gap: Floats) -> Floats:
    """Slopes (n, d) of effects a (n, d) over gaps x − b (n, d), of each group together."""
    plain = isinstance(explanation, Explanation) and explanation.spans is None
    if not plain or explanation.layer:
        return np.nan_to_num(ratio(a, gap))
    owner = explanation.element_players.reshape(a.shape)
    mine, gamma = owner >= 0, np.zeros_like(a)
    group = (owner + np.arange(len(a))[:, None] * (owner.max() + 1))[mine]  # of each row its own
    effect, square = np.bincount(group, a[mine]), np.bincount(group, gap[mine] ** 2)
    gamma[mine] = np.nan_to_num(ratio(effect, square))[group] * gap[mine]
    return gamma


def _own_baseline(case: Case) -> Floats | None:
    """The fixed baseline (n, d) that an Explanation was made with; None where there is none."""
    e = case.explanation
    if not isinstance(e, Explanation) or e.recipe is None:
        return None
    own = compose(case.scene.model, case.scene.x, **keywords_of(compose, e.recipe))
    removal = own.recipe.removal
    if not isinstance(removal, Baseline):
        return None
    draws = removal.bind(Context(own.inputs, e.recipe.get("data"), 0, own.axis))
    every = np.arange(own.inputs.n)
    block, place = draws.source(every, np.zeros_like(every))
    return flattened(block[place])
