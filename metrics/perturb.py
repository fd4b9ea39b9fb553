"""Perturbed inputs, explained again: copies of as many rows as fit memory in one call of `explain`.

The perturbations are the same for every row and depend on the seed alone. An explanation repeats
its own recipe, seed included, so that a sampled one is compared under the same coalitions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import ndtri

from xai import streams
from xai.again import rows_of
from xai.batches import batch_rows
from xai.explanation import Explanation
from xai.finite import named_by
from xai.inputs import Inputs, is_tensor, on_host
from xai.kernels.distance import distances
from xai.metrics import checks
from xai.metrics.attributed import cut, in_columns_of, labels_of, numbers_of
from xai.metrics.case import Case, Scene, outputs
from xai.metrics.controls import RandomExplain
from xai.metrics.numerics import ratio
from xai.metrics.score import Floats, Indices
from xai.model import reads_codes
from xai.setting import Composed, Setting
from xai.tables import frame_builder, of_columns

Explain: TypeAlias = Callable[[Any, Any, Indices], Any]
"""(model, rows, target (m,)) -> an array like the rows or their players, or an Explanation."""
COPIES = 2**22
"""Numbers of the copies of rows that are held at once."""
TINY = 1e-140
"""Below which squares lose digits."""


def check_repeats(case: Case, explain: Explain | RandomExplain | None) -> None:
    """Refuse an attribution of which no recipe is known, where no function explains again."""
    if explain is not None and not callable(explain):
        raise TypeError(f"explain must be a function (model, x, target) -> array, not {explain!r}")
    held = isinstance(case.explanation, Explanation)
    if explain is None and not (held and case.explanation.recipe is not None):
        kind = "one without a recipe (loaded, aggregated or shap's)" if held else "an array"
        raise ValueError(
            f"this metric explains again, and the explanation is {kind}: pass "
            "explain=, a function (model, x, target) -> array"
        )


def explained(
    case: Case,
    x: Any,
    index: Indices,
    explain: Explain | RandomExplain | None,
    model: Any = None,
    target: Indices | None = None,
    **changed: Any,
) -> Floats:
    """Attributions (m, d) of the rows `x`, each made of the explained row `index`.

    A function of the caller's gets as many rows at once as the model would.

    Parameters
    ----------
    model, target : in place of the scene's
    changed : keywords of the recipe in place of its own
    """
    check_repeats(case, explain)
    case.check_rows()
    if isinstance(explain, RandomExplain):
        return explain(index)
    scene, seen = case.scene, case.scene.seen
    model = scene.own_model if model is None or scene.rehearses else model
    target = seen.resolved.index[index, 0] if target is None else target
    with fractions_told(seen.inputs, x):
        if explain is None:
            made = [_repeat(case, x, index, model, target, changed)]
        else:
            made = list(_asked(scene, explain, model, x, target))
    for part in made:
        if isinstance(part, Explanation):
            scene.spent_elsewhere += part.total_evaluations()
    made = [in_columns_of(scene.x, part) for part in made]
    arrays = [numbers_of(part, "an attribution that explain= gave") for part in made]
    flat = cut(np.concatenate([a.reshape(len(a), -1) for a in arrays]), case.flat.shape[1])
    behind = case.flat[index, flat.shape[1] :]
    if behind.size and np.isnan(behind).all():  # of rows with more players, not among these
        flat = np.pad(flat, ((0, 0), (0, behind.shape[1])), constant_values=np.nan)
    if flat.shape != (len(index), case.flat.shape[1]):
        raise ValueError(
            f"explain= gave an attribution of shape {flat.shape} for {len(index)} rows, where the "
            f"explanation that is scored has {case.flat.shape[1]} numbers for each"
        )
    return flat


def _asked(scene: Scene, explain: Explain, model: Any, x: Any, target: Indices) -> Iterator[Any]:
    """What a function of the caller's gives for the rows x, part by part."""
    # an array where x was one: for modules rows are kept as tensors
    rows, m = x if is_tensor(scene.x) or not is_tensor(x) else on_host(x), len(target)
    seen = scene.seen
    size = scene.batch_size or batch_rows(seen.model, seen.inputs, seen.outputs.shape[1])
    scene.bar.expect_more(m)
    for start in range(0, max(m, 1), size):
        part = slice(start, start + size)
        yield explain(model, rows[part] if m > size else rows, target[part])
        scene.bar.update(len(target[part]))


def _repeat(
    case: Case, x: Any, index: Indices, model: Any, target: Indices, changed: dict[str, Any]
) -> Explanation:
    from xai.explain import explain as front_door

    explanation = case.explanation
    recipe = _recipe_of(explanation, index)
    named = recipe | _by_name(recipe, explanation.layer) | case.scene.sizes | changed
    with named_by(index):
        return front_door(
            model, _named(case.scene.x, x), target=target, progress=case.scene.progress, **named
        )


def _named(given: Any, x: Any) -> Any:
    """Rows that a module takes as a DataFrame where x was one, as the recipe's data are."""
    labels = labels_of(given)
    if labels is None or not is_tensor(x):
        return x
    return frame_builder(given, labels)(on_host(x), None)


def _recipe_of(explanation: Explanation, index: Indices) -> dict[str, Any]:
    """Keywords that repeat the explanation for its rows `index`, of the same players."""
    shape = explanation.element_players.shape[1:]
    again = rows_of(explanation.recipe or {}, index, len(explanation), shape)
    if explanation.players.startswith("Superpixels("):  # of a copy they would be others
        again["players"] = explanation.element_players[index]
    return again


def takes_rows(case: Case) -> bool:
    """Whether the Explanation's recipe has something for each row, which others do not have."""
    e = case.explanation
    if not isinstance(e, Explanation) or e.recipe is None:
        return False
    again = _recipe_of(e, np.arange(len(e)))
    return any(value is not e.recipe.get(name) for name, value in again.items())


def _by_name(recipe: dict[str, Any], layer: str) -> dict[str, Any]:
    """The layer of a recipe by its name, which copies of the module know it by, too."""
    named: dict[str, Any] = {"layer": layer} if recipe.get("layer") is not None else {}
    players: Any = recipe.get("players")
    own = is_dataclass(players) and any(field.name == "layer" for field in fields(players))
    if layer and own:  # a bank of concepts knows its layer by name
        named["players"] = replace(players, layer=layer)
    return named


def together(inputs: Inputs, count: int, width: int = 1) -> Iterator[Indices]:
    """The explained rows, so many at a time that `count` copies of each fit memory.

    Parameters
    ----------
    width : numbers of what is made of a copy, where these may be more than its own
    """
    step = max(1, COPIES // max(1, count * max(width, math.prod(inputs.shape))))
    return (np.arange(at, min(at + step, inputs.n)) for at in range(0, inputs.n, step))


def of_copies(
    inputs: Inputs,
    u: Floats,
    look: Callable[[Indices, Any], Sequence[NDArray[Any]]],
    width: int = 1,
) -> list[NDArray[Any]]:
    """What ``look(index, x)`` tells of copies x of the rows `index`, (n, N) each.

    Parameters
    ----------
    u : (N, *shape) by which each row is moved
    width : as for `together`
    """
    found = []
    for rows in together(inputs, len(u), width):
        index = np.repeat(rows, len(u))
        found.append(look(index, moved(inputs, index, u)))
    return [np.concatenate(part).reshape(inputs.n, len(u)) for part in zip(*found, strict=True)]


@dataclass(frozen=True)
class Copies:
    """Perturbed copies of all rows, and their attributions.

    Attributes
    ----------
    moved : (n, N) Euclidean length of each perturbation, as the copies' dtype has it
    changed : (n, N) Euclidean distance of the attributions
    size, attributed : (n,) Euclidean length of x, of what can be moved, and of its attribution
    """

    moved: Floats
    changed: Floats
    size: Floats
    attributed: Floats


def copies(case: Case, radius: Any, samples: int, explain: Explain | None) -> Copies:
    """N copies of each row, moved uniformly within ``‖u‖∞ ≤ radius``, and explained."""
    inputs = case.scene.seen.inputs
    key, u = perturbations(case.scene, radius, samples)

    def look(index: Indices, x: Any) -> tuple[Floats, Floats]:
        step = distances_gone(inputs, index, x)
        still = u.any() & (step.reshape(-1, samples) == 0).all(axis=1)
        refuse_still(index[::samples][still], f"radius={radius!r}")
        gap = explained(case, x, index, explain)
        gap -= case.flat[index]
        return step, lengths(gap)

    def make() -> Copies:
        step, distance = of_copies(inputs, u, look)
        size = lengths(numbers(inputs) * ~fixed(inputs).reshape(-1))
        return Copies(step, distance, size, lengths(case.flat))

    return case.once(key, make, of=explain)


def perturbations(scene: Scene, radius: Any, samples: int) -> tuple[Hashable, Floats]:
    """By which all rows are moved, (N, *shape), and the key of what is known of such copies."""
    checks.count("samples", samples)
    refuse_codes(scene.seen)
    inputs = scene.seen.inputs
    reach = within(inputs, radius)
    return ("copies", reach.tobytes(), int(samples)), box(inputs, reach, samples, scene.seed)


def normals(inputs: Inputs, seed: int, samples: Indices) -> Floats:
    """Standard normal numbers (samples, *shape), in double precision."""
    u = streams.uniforms(seed, streams.MOVE, samples, int(np.prod(inputs.shape)))
    return np.asarray(ndtri(u + 2.0**-54)).reshape(len(samples), *inputs.shape)


def box(inputs: Inputs, reach: Floats, samples: int, seed: int) -> Floats:
    """Uniform perturbations (N, *shape), 0 for columns of categories."""
    width = int(np.prod(inputs.shape))
    u = 2 * streams.uniforms(seed, streams.MOVE, np.arange(samples), width) - 1
    return u.reshape(samples, *inputs.shape) * np.where(fixed(inputs), 0.0, reach)


def within(inputs: Inputs, radius: Any) -> Floats:
    """The radius of each element, (*shape); refused where it is none."""
    reach = by_element(of_columns(radius, inputs.names, "radius="), inputs.shape)
    if not (np.isfinite(reach).all() and (reach >= 0).all() and reach.any()):
        raise ValueError(f"radius={radius!r}: expected a positive number, or one for each column")
    return reach


def by_element(value: Any, shape: tuple[int, ...]) -> Floats:
    """A number for each element, (*shape), from one or several; NaN where they are none."""
    with suppress(TypeError, ValueError):  # no numbers, or of another shape
        given = np.asarray(on_host(value))
        if given.dtype.kind not in "bMm":  # flags and dates
            return np.broadcast_to(given.astype(np.float64), shape)
    return np.full(shape, np.nan)


def fixed(inputs: Inputs) -> NDArray[np.bool_]:
    """Elements that cannot be moved a little: codes of categories and strings."""
    if inputs.is_text:
        raise ValueError("texts cannot be moved a little: this metric is for numbers")
    if sparse.issparse(inputs.block):
        raise TypeError("this metric moves every element, which needs dense x: x.toarray()")
    out = np.zeros(inputs.shape, bool)
    if len(inputs.shape) == 1 and len(inputs.categorical):
        out |= inputs.categorical
    if inputs.columns is not None:
        out |= np.array([column.pool is not None for column in inputs.columns])
    return out


def refuse_codes(seen: Setting | Composed) -> None:
    """Refuse to move rows of codes that a module's embedding reads, such as token ids."""
    if reads_codes(seen.model, seen.inputs) and not fixed(seen.inputs).all():
        raise ValueError(
            "x holds codes that the module's embedding reads, such as token ids, which cannot be "
            "moved a little: this is for numbers, and categorical= names columns that stay"
        )


def moved(inputs: Inputs, index: Indices, by: Floats) -> Any:
    """Rows `index` moved `by` (m, *shape), as the user passed them; by fewer, again and again."""
    block = inputs.block[index].reshape(-1, *by.shape)
    if not by.any():  # codes that an embedding or a table is read by stay integers
        return inputs.decode(block.reshape(len(index), *inputs.shape))
    if is_tensor(block):
        import torch

        kind = block.dtype if block.is_floating_point() else torch.get_default_dtype()
        by = by.astype(np.float32 if kind.itemsize <= 4 else np.float64)
        block = block.to(kind)
        block += torch.from_numpy(by).to(block.device, kind)
    elif block.dtype.kind == "f":
        block += by
    else:
        block = block + by
    return inputs.decode(block.reshape(len(index), *inputs.shape))


@contextmanager
def fractions_told(inputs: Inputs, x: Any) -> Iterator[None]:
    """Tell with an error which columns of whole numbers have fractions in the copies x of rows.

    They may be codes or truth values, and the model may know no others.
    """
    try:
        yield
    except Exception as error:
        if len(inputs.shape) == 1 and not (inputs.is_text or sparse.issparse(inputs.block)):
            own, there = numbers(inputs), numbers(replace(inputs, block=inputs.encode(x, "x")))
            names = inputs.names or [str(j) for j in range(own.shape[1])]
            new = (there % 1 > 0).any(axis=0) & ~(own % 1 > 0).any(axis=0)
            if told := [names[j] for j in np.flatnonzero(new)]:
                error.add_note(
                    f"x has whole numbers in the columns {told[:5]}, and its copies are moved by "
                    "fractions: name columns of codes in categorical="
                )
        raise


def gone(inputs: Inputs, index: Indices, x: Any) -> Floats:
    """How far rows x, as rounded to their dtype, are from the rows `index`: (m, d)."""
    there = replace(inputs, block=inputs.encode(x, "x"))
    return numbers(there) - numbers(inputs)[index]


def distances_gone(inputs: Inputs, index: Indices, x: Any) -> Floats:
    """Euclidean length of what `gone` tells, (m,), in x's own units."""
    rows, copies = (_lines(block) for block in (inputs.block, inputs.encode(x, "x")))
    out = np.empty(len(index))
    distances(copies, rows, index, out)
    held = (out > TINY) & (out < np.inf)
    return out if held.all() else lengths(gone(inputs, index, x))


def _lines(block: Any) -> NDArray[Any]:
    """Rows of numbers (n, d), as a compiled loop takes them."""
    array = np.asarray(on_host(block))
    known = array.dtype in (np.float32, np.float64) and array.dtype.isnative
    return array.astype(array.dtype if known else np.float64, copy=False).reshape(len(array), -1)


def refuse_still(rows: Indices, by: str) -> None:
    """Refuse perturbations that are lost in some rows, as these are rounded to their dtype."""
    if len(rows):
        raise ValueError(
            f"{by}: row {rows[0]} (0-based) does not move, as x's dtype or the module's has no "
            "numbers so near: pass a larger one, or both in float64"
        )


def numbers(inputs: Inputs) -> Floats:
    """The explained rows as float64, (n, d)."""
    return flattened(inputs.block)


def flattened(rows: Any) -> Floats:
    """Rows of numbers, wherever they live, as float64 (n, d)."""
    return np.asarray(on_host(rows), np.float64).reshape(len(rows), -1)


def lengths(a: Floats) -> Floats:
    """Euclidean length of each row; padding counts as 0."""
    flat = a.reshape(len(a), -1)
    out = np.sqrt(np.einsum("ij,ij->i", flat, flat))
    odd = np.flatnonzero(~((out > TINY) & (out < np.inf)))
    odd = odd[flat[odd].any(axis=1)]
    if len(odd):  # padding, or numbers whose squares float64 does not hold
        part = np.where(np.isnan(flat[odd]), 0.0, flat[odd])
        largest = np.abs(part).max(axis=1, initial=0.0)
        part /= np.where(largest > 0, largest, 1.0)[:, None]
        out[odd] = largest * np.sqrt(np.einsum("ij,ij->i", part, part))
    return np.asarray(out)


def relative(own: Floats, index: Indices, other: Floats) -> Floats:
    """Distances of numbers (m, K) from the rows `index` of others, of whose length, (m,)."""
    gap = other - own.take(index, axis=0)
    gap *= gap
    return ratio(np.sqrt(gap.sum(axis=1)), lengths(own)[index])


def answers(scene: Scene, radius: Any, samples: int) -> list[NDArray[Any]]:
    """How far the model's outputs on copies are from their row's own, and whether the class stays.

    (n, N) each, the distances in lengths of the row's.
    """
    key, u = perturbations(scene, radius, samples)

    def look(index: Indices, x: Any) -> tuple[Floats, NDArray[np.bool_]]:
        return answer(scene, index, outputs(x, scene, index))

    return scene.once(key, lambda: of_copies(scene.seen.inputs, u, look))


def answer(scene: Scene, index: Indices, given: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The same of the outputs (m, K) on some copies, (m,) each."""
    own = scene.seen.outputs
    return relative(own, index, given), given.argmax(axis=1) == own.argmax(axis=1)[index]


def same_class(scene: Scene, radius: Any, samples: int) -> NDArray[np.bool_]:
    """Whether copies are still predicted as their row is, (n, N)."""
    if scene.seen.outputs.shape[1] == 1 or not scene.seen.model.classifies:
        return np.ones((scene.n, samples), bool)
    return answers(scene, radius, samples)[1]
