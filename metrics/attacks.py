"""Attacks on attributions: the worst input nearby, found by ascent, for any model and method.

The gradient of what is attacked is torch's, where the attribution can be differentiated
(`metrics.derivative`) and this is not 0, as it is in a network of ReLUs. Elsewhere it is taken by
central differences of explanations: along all axes where `directions` suffice, else along random
ones. Where these tell no way either, as between kinks, a step goes at random. Copies of as many
rows as fit memory are explained in one call. What an attack reaches is a lower bound of the worst
case, as `worst_case_bound` is a first-order upper one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai.metrics import checks
from xai.metrics.case import Case, Result, metric, outputs
from xai.metrics.derivative import Differentiable
from xai.metrics.numerics import ratio
from xai.metrics.paths import ranks
from xai.metrics.perturb import (
    Explain,
    explained,
    fixed,
    gone,
    lengths,
    moved,
    normals,
    refuse_codes,
    refuse_still,
    together,
)
from xai.metrics.robustness import RADIUS
from xai.metrics.score import Floats, Indices

Norm: TypeAlias = Literal["l2", "linf"]
Goal: TypeAlias = Callable[[Floats, Indices], tuple[Floats, Floats]]
"""(attributions (m, d), their rows) -> what is to rise (m,), and its slopes in these (m, d)."""
STEPS, DIRECTIONS = 10, 32


@metric
def distance_attack(
    case: Case,
    *,
    radius: float = RADIUS,
    norm: Norm = "l2",
    steps: int = STEPS,
    directions: int = DIRECTIONS,
    explain: Explain | None = None,
) -> Result:
    """Largest ``‖a(x + δ) − a(x)‖`` found in the ball, the predicted class kept.

    Projected gradient ascent (Madry et al. 2018) on the attribution's distance. ``info["delta"]``
    has the δ of each row.

    Parameters
    ----------
    radius : float
        Of the ball in `norm`, "l2" or "linf", in x's own units.
    steps : int
        Of the ascent.
    directions : int
        Along which slopes are told by differences: all axes where they suffice, else random ones.

    Examples
    --------
    >>> import numpy as np
    >>> slope = lambda model, x, target: np.asarray(x) * [2.0, 6.0]
    >>> f = lambda x: x[:, 0] ** 2 + 3 * x[:, 1] ** 2
    >>> x = np.ones((1, 2))
    >>> round(distance_attack(f, x, slope(f, x, 0), explain=slope, radius=0.5).mean(), 1)
    3.0
    """
    attack = _Attack(case, radius, norm, steps, directions, explain)
    own = np.nan_to_num(case.flat)

    def distance(a: Floats, index: Indices) -> tuple[Floats, Floats]:
        gap = np.nan_to_num(a) - own[index]
        reached = lengths(gap)
        return reached, np.nan_to_num(ratio(gap, reached[:, None]))

    best, delta, _ = attack.run(distance)
    return Result(best, None, {"delta": delta})


@metric
def top_k_attack(
    case: Case,
    *,
    k: int | None = None,
    radius: float = RADIUS,
    norm: Norm = "linf",
    steps: int = STEPS,
    directions: int = DIRECTIONS,
    explain: Explain | None = None,
) -> Result:
    """Largest share of the k players of largest |a| that drop out of them, the class kept.

    IFIA (Ghorbani, Abid & Zou 2019): ascent on minus the sum of those players' |a|.

    Parameters
    ----------
    k : int
        None: 3, or one fewer than there are.
    radius, norm, steps, directions : as for `distance_attack`

    Raises
    ------
    ValueError
        More than the players that there are, as `k`.

    Examples
    --------
    >>> import numpy as np
    >>> slope = lambda model, x, target: 2 * np.asarray(x)
    >>> f = lambda x: (x**2).sum(axis=1)
    >>> x = np.array([[1.0, 0.9, 0.1]])
    >>> top_k_attack(f, x, 2 * x, explain=slope, k=1, radius=0.2).mean()
    1.0
    """
    own = np.nan_to_num(case.flat)
    k = max(1, min(3, own.shape[1] - 1)) if k is None else k
    checks.count("k", k)
    if k > own.shape[1]:
        raise ValueError(f"k={k!r}: there are {own.shape[1]} players")
    inside = ranks(np.abs(own)) < k

    def mass_lost(a: Floats, index: Indices) -> tuple[Floats, Floats]:
        a = np.nan_to_num(a)
        size = np.abs(a)
        total = size.sum(axis=1)
        share = np.nan_to_num(ratio((size * inside[index]).sum(axis=1), total))
        slope = np.sign(a) * (share[:, None] - inside[index])
        return -share, np.nan_to_num(ratio(slope, total[:, None]))

    attack = _Attack(case, radius, norm, steps, directions, explain)
    _, delta, a = attack.run(mass_lost)
    kept = (inside & (ranks(np.abs(np.nan_to_num(a))) < k)).sum(axis=1) / k
    return Result(1 - kept, None, {"delta": delta})


@dataclass(frozen=True, eq=False)
class _Attack:
    """Projected ascent in a ball around each row."""

    case: Case
    radius: float
    norm: Norm
    steps: int
    directions: int
    explain: Explain | None

    def __post_init__(self) -> None:
        checks.word("norm", self.norm, "l2", "linf")
        checks.positive("radius", self.radius)
        checks.count("steps", self.steps)
        checks.count("directions", self.directions)
        self.case.check_rows()
        refuse_codes(self.case.scene.seen)

    def run(self, goal: Goal) -> tuple[Floats, Floats, Floats]:
        """Highest goal (n,) reached with the class kept, its δ (n, d) and the attribution there."""
        inputs, n = self.case.scene.seen.inputs, self.case.scene.n
        index, d = np.arange(n), int(np.prod(inputs.shape))
        there = self.case.flat
        best, best_delta = goal(there, index)[0], np.zeros((n, d))
        if not self.free.any():  # categories alone; what cannot be moved is refused by it
            return best, best_delta, there
        start = np.tile(self._noise(1, sample=0), (n, 1))
        delta = self._inside(start * self.radius / 4)
        for step in range(self.steps):
            uphill = self._gradient(goal, delta, step)
            # from long strides to short ones: the last refine what the first found
            stride = self.radius * (1 - step / self.steps)
            tried = self._inside(delta + stride * uphill)
            x = self.rows(tried, index)
            a = explained(self.case, x, index, self.explain)
            reached, kept = goal(a, index)[0], self._kept(x)
            better = kept & (reached > best)
            best = np.where(better, reached, best)
            there = np.where(better[:, None], a, there)
            best_delta = np.where(better[:, None], tried, best_delta)
            # beyond the class: -δ moves a alike, and lies on the row's own side of the boundary
            delta = np.where(kept[:, None], tried, -tried / 2)
        return best, best_delta, there

    @property
    def free(self) -> NDArray[np.bool_]:
        """Elements that can be moved, (d,)."""
        return ~fixed(self.case.scene.seen.inputs).reshape(-1)

    def rows(self, delta: Floats, index: Indices) -> Any:
        """Rows `index` moved by δ (m, d), as the model takes them."""
        inputs = self.case.scene.seen.inputs
        return moved(inputs, index, delta.reshape(-1, *inputs.shape))

    def _noise(self, count: int, sample: int) -> Floats:
        scene = self.case.scene
        e = normals(scene.seen.inputs, scene.seed, sample + np.arange(count))
        e = e.reshape(count, -1) * self.free
        return e / lengths(e)[:, None]

    def _gradient(self, goal: Goal, delta: Floats, step: int) -> Floats:
        """Direction of ascent, (n, d): of length 1, or signs for ℓ∞."""
        by_torch = None if self.explain is not None else Differentiable.of(self.case)
        g = np.zeros_like(delta)
        if by_torch is not None:
            x = self.rows(delta, np.arange(len(delta)))
            g = by_torch.pulled_back(x, lambda a, rows: goal(a, rows)[1]) * self.free
            g[~by_torch.held] = 0
        flat = np.asarray(~g.any(axis=1))
        if flat.any():
            g = np.where(flat[:, None], self._differences(goal, delta, step), g)
            onwards = self._noise(1, sample=1 + step * self.directions)
            g = np.where(g.any(axis=1, keepdims=True), g, onwards)
        return np.sign(g) if self.norm == "linf" else np.nan_to_num(ratio(g, lengths(g)[:, None]))

    def _differences(self, goal: Goal, delta: Floats, step: int) -> Floats:
        """The gradient by central differences, (n, d)."""
        inputs, (n, d) = self.case.scene.seen.inputs, delta.shape
        axes = np.flatnonzero(self.free)
        if len(axes) <= self.directions:
            V: Floats = np.eye(d)[axes]
        else:
            V = self._noise(self.directions, sample=1 + step * self.directions)
        h = self.radius * 1e-2
        both = np.concatenate([V, -V]) * h
        rise = np.empty((n, len(V)))
        for rows in together(inputs, len(both)):
            index = np.repeat(rows, len(both))
            x = self.rows((delta[rows, None] + both).reshape(-1, d), index)
            far = gone(inputs, index, x).reshape(-1, 2, len(V) * d)
            still = (far[:, 0] == far[:, 1]).all(axis=1)
            refuse_still(rows[still], f"radius={self.radius!r}, a hundredth of it")
            value = goal(explained(self.case, x, index, self.explain), index)[0]
            there, back = value.reshape(-1, 2, len(V)).swapaxes(0, 1)
            rise[rows] = there - back
        return rise @ V

    def _inside(self, delta: Floats) -> Floats:
        """δ projected to the ball."""
        if self.norm == "linf":
            return np.clip(delta, -self.radius, self.radius)
        return delta * np.minimum(1, self.radius / np.maximum(lengths(delta), 1e-300))[:, None]

    def _kept(self, x: Any) -> NDArray[np.bool_]:
        """Whether rows are predicted as before."""
        scene = self.case.scene
        own = scene.seen.outputs
        if own.shape[1] == 1 or not scene.seen.model.classifies:
            return np.ones(len(own), bool)
        return np.asarray(
            outputs(x, scene, np.arange(scene.n)).argmax(axis=1) == own.argmax(axis=1)
        )
