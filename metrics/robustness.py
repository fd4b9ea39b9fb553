"""Robustness: whether like inputs get like explanations.

Copies of a row are moved uniformly within ``‖u‖∞ ≤ radius`` (a number, or one for each column, in
x's own units). ``explain=`` is a function ``(model, x, target) -> array``; None repeats the
Explanation's own recipe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xai import streams
from xai.inputs import Inputs, on_host, read
from xai.layers import probe_of
from xai.metrics import checks
from xai.metrics.attributed import labels_of
from xai.metrics.case import Case, Result, metric, outputs
from xai.metrics.derivative import Differentiable
from xai.metrics.numerics import average_ranks, ratio
from xai.metrics.perturb import (
    COPIES,
    Copies,
    Explain,
    answer,
    answers,
    check_repeats,
    copies,
    explained,
    fixed,
    fractions_told,
    gone,
    lengths,
    moved,
    numbers,
    of_copies,
    perturbations,
    refuse_codes,
    refuse_still,
    relative,
    same_class,
    takes_rows,
    together,
)
from xai.metrics.score import Floats, Indices
from xai.model import is_module
from xai.tables import matched

RADIUS, SAMPLES = 0.02, 10
"""captum's defaults."""
STEP = 1e-3
"""Of differences, where torch cannot differentiate."""
Attributed: TypeAlias = Callable[[Indices, Indices], Floats]
"""(rows (m,), their neighbours (m,)) -> attributions (m, d) of the neighbours, for the rows."""
MOST_PLAYERS = 1024
"""For which ``‖|J| 1‖`` is taken by automatic differentiation, a pass for each."""


@metric
def max_sensitivity(
    case: Case,
    *,
    radius: Any = RADIUS,
    samples: int = SAMPLES,
    among: Any = None,
    explain: Explain | None = None,
) -> Floats:
    """Largest relative change of the attribution: ``max_u ‖a(x + u) − a(x)‖ / ‖a(x)‖``.

    Yeh et al. 2019, eq. 3. With `among`, rows like x: Bhatt, Weller & Moura's (2020)
    ``max_z ‖a(z) − a(x)‖`` over its rows within ``‖z − x‖₂ ≤ radius`` and of the same predicted
    class, categories that differ being 1 apart; NaN where there are none.

    Examples
    --------
    >>> import numpy as np
    >>> slope = lambda model, x, target: np.ones_like(x)
    >>> f = lambda x: x.sum(axis=1)
    >>> max_sensitivity(f, np.ones((1, 2)), np.ones((1, 2)), explain=slope).mean()
    0.0
    """
    return _sensitivity(case, radius, samples, among, explain, np.max)


@metric
def avg_sensitivity(
    case: Case,
    *,
    radius: Any = RADIUS,
    samples: int = SAMPLES,
    among: Any = None,
    explain: Explain | None = None,
) -> Floats:
    """Mean relative change of the attribution: ``mean_u ‖a(x + u) − a(x)‖ / ‖a(x)‖``.

    Yeh et al. 2019; `among` as for `max_sensitivity`, averaged over the rows.

    Examples
    --------
    >>> import numpy as np
    >>> slope = lambda model, x, target: np.ones_like(x)
    >>> f = lambda x: x.sum(axis=1)
    >>> avg_sensitivity(f, np.ones((1, 2)), np.ones((1, 2)), explain=slope).mean()
    0.0
    """
    return _sensitivity(case, radius, samples, among, explain, np.mean)


def _sensitivity(
    case: Case, radius: Any, samples: int, among: Any, explain: Explain | None, summed: Any
) -> Floats:
    """Changes of the attribution under noise, or over neighbours, as `summed` sums them up."""
    if among is not None:
        return _over_neighbours(case, among, radius, explain, summed)
    made = copies(case, radius, samples, explain)
    return ratio(summed(made.changed, axis=1), made.attributed)


def others(case: Case, among: Any) -> tuple[Inputs, Floats]:
    """Other rows, and x (n, d) in their code: a category is the same number in both.

    Columns of DataFrames are matched by name.
    """
    scene = case.scene
    labels = labels_of(scene.x)
    if hasattr(among, "columns") and labels is not None:
        among = matched(among, labels, "among=", "x")
    rows, own = read(among, own=[scene.x]), scene.seen.inputs
    if rows.shape != own.shape:
        raise ValueError(f"among= has rows of shape {rows.shape}, x {own.shape}")
    if rows.columns is None:
        return rows, numbers(own)
    return rows, np.asarray(rows.encode(scene.x, "x"), np.float64)


def _over_neighbours(
    case: Case, among: Any, radius: Any, explain: Explain | None, summed: Any
) -> Floats:
    """Distances of attributions to those of the neighbours, each explained once for a class."""
    scene, inputs = case.scene, case.scene.seen.inputs
    checks.positive("radius", radius)
    codes = fixed(inputs).reshape(-1)
    rows, x = others(case, among)
    near, z = np.empty((scene.n, rows.n), bool), numbers(rows)
    own, classifies = scene.seen.outputs.argmax(axis=1), scene.seen.model.classifies
    other = outputs(rows.decode(rows.block), scene, of="among").argmax(axis=1)
    for some in together(inputs, rows.n):
        gap = x[some, None] - z
        gap = np.where(codes, gap != 0, gap)
        near[some] = np.sqrt((gap**2).sum(axis=2)) <= radius
        if classifies:
            near[some] &= own[some, None] == other
    out = np.full(scene.n, np.nan)
    if not near.any():
        return out

    def attributed(row: Indices, place: Indices) -> Floats:
        return explained(case, moved(rows, place, np.zeros((1, *rows.shape))), row, explain)

    each: Attributed = attributed
    if explain is not None or not takes_rows(case):  # else explained for each row anew
        each = _once_for_a_class(near, scene.seen.resolved.index[:, 0], attributed)
    for some in together(inputs, rows.n):
        row, place = np.nonzero(near[some])
        if len(row):
            far = lengths(each(some[row], place) - case.flat[some[row]])
            for i, first in zip(*np.unique(row, return_index=True), strict=True):
                out[some[i]] = summed(far[first : first + near[some[i]].sum()])
    return out


def _once_for_a_class(near: NDArray[np.bool_], target: Indices, given: Attributed) -> Attributed:
    """The same, a neighbour of several rows of one target explained for the first of these."""
    targets, own = np.unique(target, return_inverse=True)
    first = np.full((near.shape[1], len(targets)), -1)
    for part in reversed(streams.parts(*near.shape)):  # backwards: what is written last stays
        row, place = (at[::-1] for at in np.nonzero(near[part]))
        first[place, own[part][row]] = row + part.start
    met = first >= 0
    a, which = given(first[met], np.nonzero(met)[0]), np.cumsum(met).reshape(met.shape) - 1
    return lambda row, place: a[which[place, own[row]]]


@metric
def local_lipschitz(
    case: Case,
    *,
    radius: Any = RADIUS,
    samples: int = SAMPLES,
    explain: Explain | None = None,
) -> Floats:
    """Steepest change: ``max_u ‖a(x + u) − a(x)‖ / ‖u‖``; Alvarez-Melis & Jaakkola 2018.

    Examples
    --------
    >>> import numpy as np
    >>> double = lambda model, x, target: 2 * x
    >>> f = lambda x: (x**2).sum(axis=1)
    >>> round(local_lipschitz(f, np.ones((1, 2)), 2 * np.ones((1, 2)), explain=double).mean(), 3)
    2.0
    """
    made = copies(case, radius, samples, explain)
    return _steepest(ratio(made.changed, made.moved))


@metric
def relative_input_stability(
    case: Case,
    *,
    radius: Any = RADIUS,
    samples: int = SAMPLES,
    explain: Explain | None = None,
) -> Result:
    """Largest relative change per relative change of x: ``max (‖Δa‖/‖a‖) / (‖Δx‖/‖x‖)``.

    Agarwal et al. 2022, over copies of the same predicted class; ``info["kept"]`` is their share.

    Examples
    --------
    >>> import numpy as np
    >>> double = lambda model, x, target: 2 * x
    >>> f = lambda x: (x**2).sum(axis=1)
    >>> a = 2 * np.ones((1, 2))
    >>> round(relative_input_stability(f, np.ones((1, 2)), a, explain=double).mean(), 3)
    1.0
    """
    made = copies(case, radius, samples, explain)
    same = same_class(case.scene, radius, samples)
    return _stability(made, ratio(made.moved, made.size[:, None]), same)


@metric
def relative_output_stability(
    case: Case,
    *,
    radius: Any = RADIUS,
    samples: int = SAMPLES,
    explain: Explain | None = None,
) -> Result:
    """Largest relative change per relative change of the outputs h: ``(‖Δa‖/‖a‖) / (‖Δh‖/‖h‖)``.

    Agarwal et al. 2022. The outputs are the model's own: a module's logits. Copies that leave them
    as they are, as many do of trees, have no ratio, and are left out.

    Examples
    --------
    >>> import numpy as np
    >>> share = lambda model, x, target: x / 2
    >>> f = lambda x: 3 * x
    >>> x = np.ones((1, 2))
    >>> round(relative_output_stability(f, x, x / 2, explain=share, target=0).mean(), 3)
    1.0
    """
    made = copies(case, radius, samples, explain)
    change = answers(case.scene, radius, samples)[0]
    return _stability(made, change, same_class(case.scene, radius, samples))


@metric
def relative_representation_stability(
    case: Case,
    *,
    layer: Any,
    radius: Any = RADIUS,
    samples: int = SAMPLES,
    explain: Explain | None = None,
) -> Result:
    """The same per relative change of what `layer` (a module's name, or it) gives.

    Agarwal et al. 2022; torch modules. Copies that leave it as it is are left out.

    Raises
    ------
    TypeError
        The model is no torch module.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 1))
    >>> _ = net[0].weight.data.copy_(torch.eye(2))
    >>> share = lambda model, x, target: x / 2
    >>> x = torch.ones(1, 2)
    >>> score = relative_representation_stability(net, x, x / 2, layer="0", explain=share)
    >>> round(score.mean(), 3)
    1.0
    """
    if not is_module(case.scene.model):
        raise TypeError("a representation is a layer's of a torch module; the model is none")
    check_repeats(case, explain)
    scene, inputs = case.scene, case.scene.seen.inputs
    key, u = perturbations(scene, radius, samples)

    def look(index: Indices, x: Any) -> tuple[NDArray[Any], ...]:
        rows = index[::samples]
        own, _ = representation(case, layer, inputs.decode(inputs.block[rows]), rows)
        with fractions_told(inputs, x):
            other, given = representation(case, layer, x, index)
        return relative(own, index - rows[0], other), *answer(scene, index, given)

    change, *given = of_copies(inputs, u, look, scene.seen.model.width)
    scene.once(key, lambda: given)  # which `same_class` asks for
    made = copies(case, radius, samples, explain)
    return _stability(made, change, same_class(scene, radius, samples))


def representation(case: Case, layer: Any, x: Any, index: Indices) -> tuple[Floats, Floats]:
    """What a layer gives for rows x (m, features), of `index`, when it is called last in a pass.

    And what the model gives for them, (m, K).
    """
    model, parts, own = case.scene.seen.model, list[Floats](), threading.get_ident()
    probe = probe_of(model, layer)

    def keep(*_: Any) -> None:
        if threading.get_ident() == own:
            out = probe.latest(seen)
            parts.append(on_host(out.reshape(len(out), -1)).astype(np.float64))
            seen.clear()

    with probe.watching() as seen, model.module.register_forward_hook(keep):
        given = outputs(x, case.scene, index)
    found = np.concatenate(parts)
    if len(found) != len(index):
        raise ValueError(
            f"layer {probe.name!r} gives {len(found)} rows for {len(index)}: choose a layer that "
            "keeps the batch"
        )
    return found, given


def _stability(made: Copies, change: Floats, same: NDArray[np.bool_]) -> Result:
    """Largest relative change per `change`, over copies of the same class."""
    steep = ratio(ratio(made.changed, made.attributed[:, None]), change)
    return Result(_steepest(np.where(same, steep, np.nan)), None, {"kept": same.mean(axis=1)})


def _steepest(changes: Floats) -> Floats:
    """Largest of each row's ratios (n, N), those that are undefined left out."""
    most = np.where(np.isnan(changes), -np.inf, changes).max(axis=1)
    return np.where(np.isneginf(most), np.nan, most)


@metric
def shift_consistency(
    case: Case,
    *,
    among: Any = None,
    samples: int = SAMPLES,
    explain: Explain | None = None,
) -> Floats:
    """Bend of the attribution on the way to other rows: ``‖a(½x + ½z) − ½a(x) − ½a(z)‖/‖a(x)‖``.

    After Li et al. 2022 (DRE), averaged over rows z, the same for all x. Two explanations for each
    pair. Categories have no half: z takes those of x.

    Parameters
    ----------
    among : rows of another group, or of shifted data; None: of `data`
    samples : int
        How many of them are drawn as z.

    Raises
    ------
    ValueError
        No other rows: neither `among` nor `data`.

    Examples
    --------
    >>> import numpy as np
    >>> double = lambda model, x, target: 2 * x
    >>> f = lambda x: (x**2).sum(axis=1)
    >>> x, others = np.ones((1, 2)), np.zeros((3, 2))
    >>> shift_consistency(f, x, 2 * x, among=others, explain=double).mean()
    0.0
    """
    checks.count("samples", samples)
    scene = case.scene
    among = scene.data if among is None else among
    if among is None:
        raise ValueError("shift_consistency needs other rows: pass among= or data=")
    refuse_codes(scene.seen)
    inputs = scene.seen.inputs
    free = ~fixed(inputs).reshape(-1)
    rows, x = others(case, among)
    m = min(samples, rows.n)
    z = numbers(rows)[streams.cycles(scene.seed, np.arange(m), rows.n)]

    def bend(some: Indices) -> Floats:
        index = np.repeat(some, m)
        way = np.where(free, z - x[some, None], 0.0).reshape(-1, *inputs.shape)
        halfway, whole = (moved(inputs, index, by) for by in (way / 2, way))
        both = [explained(case, there, index, explain) for there in (halfway, whole)]
        far = lengths(both[0] - (case.flat[index] + both[1]) / 2)
        return np.asarray(far.reshape(-1, m).mean(axis=1))

    bends = np.concatenate([bend(some) for some in together(inputs, m)])
    return ratio(bends, lengths(case.flat))


@metric
def worst_case_bound(
    case: Case,
    *,
    radius: float = RADIUS,
    norm: Literal["l2", "linf"] = "l2",
    distance: Literal["euclidean", "cosine"] = "euclidean",
    step: float | None = None,
    explain: Explain | None = None,
) -> Result:
    """First-order bound of how far an attack within `radius` can move the attribution.

    Wang & Kong 2023: ``‖a(x + δ) − a(x)‖ ≤ T = radius σ_max(J)`` for ``‖δ‖₂ ≤ radius``, J the
    attribution's Jacobian; ``radius min(√d σ_max(J), ‖|J| 1‖)`` for ``‖δ‖∞``. The cosine distance
    is at most ``1 − √(1 − T²/‖a‖²)`` where T < ‖a‖, else the 2 that it can be at most.
    It is exact for quadratic models, and no certificate for others: J is taken at x alone.
    That δ keep the label is no part of it: each half-space ``δ·(∇f_j − ∇f_y) ≤ f_y − f_j`` holds δ
    or −δ, which move the attribution alike, so that between two classes T stays the same.

    Parameters
    ----------
    radius : float
        Of the ball in `norm`, "l2" or "linf", in x's own units.
    distance : "euclidean" or "cosine"
    step : float
        J is taken by central differences so long: 2d explanations. None: by automatic
        differentiation of a torch module's gradients (`gradient`, `gradient_x_input`,
        `smoothgrad`, `integrated_gradients`), in 41 passes and for ℓ∞ one for each player, up to
        1024 of these (above, ``radius √d σ_max`` alone). By differences of 0.001 of the others,
        and where J is 0 so, as the gradient's of a network of ReLUs: constant in pieces, it jumps
        at kinks, of which differences see those within `step`.

    Returns
    -------
    Score
        ``info["sigma"]``: σ_max (n,); ``info["differentiated"]`` (n,): whether J is automatic.

    Raises
    ------
    ValueError
        An unknown norm or distance.

    Examples
    --------
    >>> import numpy as np
    >>> slope = lambda model, x, target: np.asarray(x) * [2.0, 6.0]
    >>> f = lambda x: x[:, 0] ** 2 + 3 * x[:, 1] ** 2
    >>> x = np.ones((1, 2))
    >>> round(worst_case_bound(f, x, slope(f, x, 0), explain=slope, radius=0.5).mean(), 3)
    3.0
    """
    words = isinstance(norm, str) and isinstance(distance, str)
    if not words or norm not in ("l2", "linf") or distance not in ("euclidean", "cosine"):
        raise ValueError("expected norm='l2' or 'linf', and distance='euclidean' or 'cosine'")
    checks.positive("radius", radius)
    if step is not None:
        checks.positive("step", step)
    refuse_codes(case.scene.seen)
    held = np.zeros(case.scene.n, bool)
    sigma: Floats = np.empty(case.scene.n)
    rows: Floats = np.full(case.scene.n, np.inf)
    by_torch = Differentiable.of(case) if explain is None and step is None else None
    if by_torch is not None:
        sigma = case.once("sigma", by_torch.sigma)
        # where gradients are constant in pieces, differences see kinks
        held = by_torch.held & (sigma > 0)
        if norm == "linf" and case.flat.shape[1] <= MOST_PLAYERS:
            rows = case.once("absolute", by_torch.absolute)
    if not held.all():
        differences = by_differences(case, STEP if step is None else step, explain)
        sigma, rows = np.where(held, (sigma, rows), differences)
    bound = radius * sigma
    if norm == "linf":
        d = np.count_nonzero(~fixed(case.scene.seen.inputs))  # elements that δ can move
        bound = radius * np.minimum(np.sqrt(d) * sigma, rows)
    if distance == "cosine":
        part = ratio(bound, lengths(case.flat))
        square = np.minimum(part, 1) ** 2
        inside = square / (1 + np.sqrt(1 - square))  # 1 − √(1 − square), which would lose digits
        bound = np.where(np.isnan(part), np.nan, np.where(part < 1, inside, 2.0))
    return Result(bound, None, {"sigma": sigma, "differentiated": held})


def by_differences(case: Case, step: float, explain: Explain | None) -> Floats:
    """``σ_max(J)`` and ``‖|J| 1‖₂`` of J by central differences, (2, n)."""
    inputs = case.scene.seen.inputs
    free = np.flatnonzero(~fixed(inputs).reshape(-1))

    def make() -> Floats:
        out = np.empty((2, inputs.n))
        for rows in together(inputs, 2 * len(free)):
            J = jacobian(case, rows, free, step, explain)
            out[0, rows] = np.linalg.norm(J, ord=2, axis=(1, 2))
            out[1, rows] = np.sqrt((np.abs(J).sum(axis=2) ** 2).sum(axis=1))
        return out

    return case.once(("differences", step), make, of=explain)


def jacobian(
    case: Case, rows: Indices, free: Indices, step: float, explain: Explain | None
) -> Floats:
    """``∂a/∂x`` of some rows in the elements `free`, (R, players, free)."""
    inputs, n = case.scene.seen.inputs, len(rows)
    d = int(np.prod(inputs.shape))
    J = np.empty((n, case.flat.shape[1], len(free)))
    size = max(1, COPIES // (2 * n * d))  # of a single row's, which may be more than fit memory
    for start in range(0, len(free), size):
        some = free[start : start + size]
        by = np.zeros((2, len(some), d))
        by[:, np.arange(len(some)), some] = [[step], [-step]]
        index = np.repeat(rows, 2 * len(some))
        x = moved(inputs, index, by.reshape(-1, *inputs.shape))
        along = gone(inputs, index, x).reshape(n, 2, len(some), d)
        there, back = along[..., np.arange(len(some)), some].transpose(1, 0, 2)
        refuse_still(rows[(there == back).any(axis=1)], f"step={step!r}")
        a = explained(case, x, index, explain).reshape(n, 2, len(some), -1)
        rise = (a[:, 0] - a[:, 1]).transpose(0, 2, 1)
        J[:, :, start : start + size] = np.nan_to_num(rise / (there - back)[:, None])
    return J


@metric
def consistency(case: Case, *, k: int = 3) -> Floats:
    """Share of the other rows with the same explanation that are predicted alike.

    Dasgupta, Frost & Moshkovitz 2022, over the whole of x, with explanations told apart by the
    signs of their k players largest by |a|. NaN where no other row has the same.

    Parameters
    ----------
    k : int

    Raises
    ------
    ValueError
        The model has one output.

    Examples
    --------
    >>> import numpy as np
    >>> f = lambda x: np.stack([-x[:, 0], x[:, 0]], axis=1)
    >>> x = np.array([[1.0, 2.0], [3.0, 1.0], [-1.0, 1.0]])
    >>> consistency(f, x, x, k=2).values
    array([ 1.,  1., nan])
    """
    checks.count("k", k)
    case.check_rows()
    a, outs = np.nan_to_num(case.flat), case.scene.seen.outputs
    if outs.shape[1] == 1:
        raise ValueError("consistency compares predicted classes; the model has one output")
    order = np.argsort(-average_ranks(np.abs(a)), axis=1, kind="stable")  # equals by index
    top = np.sort(order[:, :k], axis=1)
    seen = np.concatenate([top, np.sign(np.take_along_axis(a, top, axis=1))], axis=1)
    _, group = np.unique(seen, axis=0, return_inverse=True)
    pairs = np.stack([group.reshape(-1), outs.argmax(axis=1)], axis=1)
    _, both, alike = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    others = np.bincount(pairs[:, 0])[pairs[:, 0]] - 1
    return ratio(alike[both.reshape(-1)] - 1, others)
