"""From an Explanation or an array to one number for each of a game's players."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai.again import options_of
from xai.archive import as_array, same_rows
from xai.explanation import Explanation
from xai.foreign import converted
from xai.inputs import is_tensor, on_host
from xai.methods import Method, find
from xai.metrics.score import Floats
from xai.places import channels_of, sides_of, with_channels
from xai.players import Pixels, Units
from xai.recipe import part_with_options
from xai.setting import Setting
from xai.tables import amounts_of
from xai.targets import Label, Sole, one_index
from xai.text import words_of

if TYPE_CHECKING:
    from xai.metrics.case import Scene


BY_OUTPUT = ("values", "base_values", "predictions", "std_error", "interactions", "target")
"""What an Explanation has of each output, along its last axis."""
NEAR = 1e-2
"""Relative differences of rows that are the same, but for their precision."""


def numbers_of(explanation: Any, what: str = "the attribution") -> Floats:
    """An attribution as a float64 copy (n, …) of one output."""
    explanation = converted(explanation)
    if isinstance(explanation, Explanation):
        if explanation.base_values.ndim == 2:
            raise ValueError(
                f"the explanation has {explanation.base_values.shape[1]} outputs, and a metric "
                "scores one: pass target=an index"
            )
        return _finite(np.array(explanation.values, np.float64), what)
    if np.ma.is_masked(explanation):
        raise TypeError(f"{what} is a masked array: fill it, such as by a.filled(0)")
    given = on_host(explanation)
    array: Floats = np.empty(0)
    with suppress(TypeError, ValueError):  # no numbers at all
        if not np.iscomplexobj(given):
            array = np.array(given, np.float64)
    if array.size == 0 or array.ndim == 0:
        raise TypeError(
            f"{what} must be an Explanation or an array of real numbers, shaped like x or like its "
            f"players, not {given!r:.80}"
        )
    return _finite(array[None] if array.ndim == 1 else array, what, some=True)


def labels_of(x: Any) -> list[Any] | None:
    """Names of a DataFrame's columns, or of a Series' cells."""
    labels = getattr(x, "columns", getattr(x, "index", None))
    return None if labels is None or callable(labels) else list(labels)


def in_columns_of(x: Any, given: Any) -> Any:
    """Numbers for the columns of a DataFrame x in its order, where they have its names, too."""
    own, labels = labels_of(x), labels_of(given)
    if own is None or labels is None or not hasattr(x, "columns"):
        return given
    moved = labels != own and len(labels) == len(own) and set(labels) == set(own)
    return given[own] if moved else given


def _finite(array: Floats, what: str, *, some: bool = False) -> Floats:
    """An attribution as it is: only behind a row's last player may be NaN; `some`: not in all."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum()):
            return array
    flat = array.reshape(len(array), -1)
    absent = np.isnan(flat)
    holes = (absent[:, :-1] & ~absent[:, 1:]).any(axis=1) | (some & absent.all(axis=1))
    bad = np.flatnonzero(holes | np.isinf(flat).any(axis=1))
    if len(bad):
        kind = "infinite" if np.isinf(flat[bad[0]]).any() else "NaN"
        named = ", ".join(map(str, bad[:5]))
        raise ValueError(f"{what} is {kind} in row {named} (0-based): there is no order")
    return array


def _check_same(explained: Any, x: Any) -> None:
    """Refuse texts, or rows of numbers in whatever precision, that are not those explained."""
    if explained is None or hasattr(x, "tocsr"):
        return
    if hasattr(x, "columns") and list(x.columns) != list(getattr(explained, "columns", x.columns)):
        raise ValueError(
            f"the columns of x are not those of the explanation, {list(explained.columns)}: pass "
            "the x that was explained"
        )
    if isinstance(explained, list):
        _refuse_others([i for i, text in enumerate(x) if str(text) != explained[i]])
        return
    if is_tensor(x) and is_tensor(explained):  # most often the very same, on a device
        alike = (x.device, x.dtype) == (explained.device, explained.dtype)
        if alike and x.equal(explained):
            return
    own, other = _amounts(explained), _amounts(x)
    if own is None or other is None or own.shape != other.shape:
        return
    numbers = own.dtype.kind in "biuf" and other.dtype.kind in "biuf"  # others may be missing ones
    if numbers and not np.array_equal(own, other):
        near = np.isclose(own, other, rtol=NEAR, atol=1e-6, equal_nan=True)
        _refuse_others(np.flatnonzero(~near.reshape(len(near), -1).all(axis=1)))


def _amounts(rows: Any) -> NDArray[Any] | None:
    """Rows as an array; of a DataFrame of objects the numbers, whatever stands beside them."""
    array = as_array(rows)
    if array is None or array.dtype != object or not hasattr(rows, "columns"):
        return array
    amounts = amounts_of(rows)
    return np.column_stack(amounts) if amounts else None


def _refuse_others(rows: Sequence[int] | NDArray[np.intp]) -> None:
    if len(rows):
        raise ValueError(
            f"row {rows[0]} (0-based) of x is not the one of the explanation: pass the x that was "
            "explained"
        )


def own_keywords(explanation: Explanation, given: dict[str, Any], x: Any) -> dict[str, Any]:
    """What a scene of these rows takes from the explanation where nothing else is `given`."""
    refuse_data_set(explanation)
    if x is None:  # a metric of the numbers alone
        return {}
    texts = isinstance(explanation.data, list) and not isinstance(x, str)
    if texts or len(getattr(x, "shape", ())) > 1:  # before its targets are asked of other rows
        check_rows(explanation, len(x) if texts else int(x.shape[0]))
        _check_same(explanation.data, x)
    recipe = explanation.recipe or {}
    names = ("y", "data", "feature_names", "categorical", "batch_size", "n_jobs")
    own = {name: recipe[name] for name in names if recipe.get(name) is not None}
    own["behavior"] = _own_behavior(explanation)
    if explanation.target.ndim == 1:
        own["target"] = target_of(explanation)
    if explanation.channel_axis is not None:
        own["channel_axis"] = explanation.channel_axis
    own["players"] = _own_players(explanation)
    if "data" not in own and "data" not in given:
        own["removal"] = asked_for(recipe, "removal")
    return {name: value for name, value in own.items() if value is not None}


def asked_for(recipe: Mapping[str, Any], part: str) -> Any:
    """A removal or behavior that was asked for: by itself, in a Method, or by a behavior's options.

    With its own options, as `explain` takes them: ``removal="baseline", value=0.5``.
    """
    given, method, options = recipe.get(part), recipe.get("method"), options_of(recipe)
    if given is None and isinstance(method, Method):
        own = getattr(method, part)
        given = None if own == getattr(Method, part) else own  # as where nothing is asked for
    if given is not None:
        return part_with_options(given, part, options)
    if part == "removal":
        return None
    own = _methods_behavior(recipe)
    with_options = part_with_options(own, part, options)
    return None if with_options is own else with_options


@dataclass(frozen=True)
class Named:
    """A behavior of which an explanation without a recipe holds the name alone."""

    name: str


def _own_behavior(explanation: Explanation) -> Any:
    """The behavior that was explained; None for the prediction as it stands."""
    recipe = explanation.recipe
    if recipe is None:
        known = explanation.behavior in ("unknown", repr(Method.behavior))
        return None if known else Named(explanation.behavior)
    given = asked_for(recipe, "behavior")
    own = _methods_behavior(recipe) if given is None else given
    return None if own == Method.behavior else own


def _methods_behavior(recipe: Mapping[str, Any]) -> Any:
    return find(recipe.get("method", "auto")).behavior


def refuse_data_set(explanation: Explanation) -> None:
    """Refuse an explanation of no row of its own."""
    if len(explanation.element_players) != len(explanation):
        raise ValueError(
            f"{explanation.method!r} explained a data set as a whole: its values are of no row, "
            "and metrics score rows"
        )


def check_rows(explanation: Explanation, n: int) -> None:
    """Refuse an explanation of more or fewer rows than x has."""
    if len(explanation) != n:
        raise ValueError(f"the explanation has {len(explanation)} rows, and x has {n}")


def target_of(explanation: Explanation) -> Any:
    """The explained output of each row; where nobody told it, the model's only one."""
    return explanation.target if (explanation.target >= 0).all() else Sole()


def by_place(target: Any, explanation: Explanation) -> Any:
    """A target's index where it is a name that the explanation has for it; others as they are.

    The model knows its labels, but not what `output_names` call them.
    """
    names, told = explanation.output_names, (explanation.target >= 0).all()
    named = isinstance(target, str) and target in names and target not in ("predicted", "all")
    return names.index(target) if named and told else target


def of_output(explanation: Explanation, target: Any) -> Explanation:
    """Of an explanation of several outputs, the one that `target` names in each row.

    Only an index, one for each row, a name or a label says which; others are left as they are.
    """
    several = explanation.base_values.ndim == 2
    target = str(target.value) if isinstance(target, Label) else on_host(target)
    if several and target is None and explanation.base_values.shape[1] == 1:
        target = explanation.target[:, 0]  # the only one of each row
    by_name = isinstance(target, str) and target not in ("predicted", "all")
    if not several or not (by_name or np.asarray(target).dtype.kind in "iu"):
        return explanation
    if by_name:
        names = explanation.output_names
        target = one_index(target, (), names, len(names))
    wanted = np.broadcast_to(np.asarray(target), len(explanation))
    found = explanation.target == wanted[:, None]
    missing = np.flatnonzero(~found.any(axis=1))
    if len(missing):
        raise ValueError(
            f"output {wanted[missing[0]]} of row {missing[0]} (0-based) is not explained here; "
            f"explained: {', '.join(map(str, explanation.target[missing[0]]))}"
        )
    rows, place = np.arange(len(explanation)), found.argmax(axis=1)
    given = {name: getattr(explanation, name) for name in BY_OUTPUT}
    picked: dict[str, Any] = {
        name: None if array is None else array[rows, ..., place] for name, array in given.items()
    }
    return replace(explanation, **picked)


def in_its_own_game(explanation: Any, scene: Scene) -> bool:
    """Whether a scene is the explanation's own, and it holds the ends of its game."""
    if not isinstance(explanation, Explanation) or np.isnan(explanation.base_values).any():
        return False
    recipe = explanation.recipe or {}
    own = {"removal": asked_for(recipe, "removal"), "behavior": _own_behavior(explanation)}
    own |= {name: recipe.get(name) for name in ("data", "y")}
    same = all(getattr(scene, p) is None or _alike(getattr(scene, p), own[p]) for p in own)
    same &= scene.players is None or np.array_equal(scene.players, _own_players(explanation))
    return same and (scene.target is None or np.array_equal(scene.target, explanation.target))


def _alike(a: Any, b: Any) -> bool:
    """The same, made of the very same settings, or rows that hold the same."""
    if a is b or type(a) is not type(b) or hasattr(a, "tocsr"):
        return a is b
    if is_dataclass(a):
        return all(getattr(a, f.name) is getattr(b, f.name) for f in fields(a))
    own, other = as_array(a), as_array(b)
    return own is not None and other is not None and same_rows(own, other)


def _own_players(explanation: Explanation) -> Any:
    """The explanation's players, for any batch of the same rows."""
    if not has_places(explanation):
        return Units(explanation.layer)
    if explanation.spans is not None or explanation.layer:  # overlapping windows; channels
        return Pixels()
    owner = _owner(explanation)
    first = owner[0]
    if (owner != first).any():
        return owner
    axis = explanation.channel_axis
    plane = np.take(first, 0, axis=axis - 1) if axis else first
    if (first.reshape(-1) == np.arange(first.size)).all():
        return "elements" if axis != 0 else Pixels()
    if axis and (first >= 0).all() and (plane.reshape(-1) == np.arange(plane.size)).all():
        whole = (first == np.expand_dims(plane, axis - 1)).all()
        return Pixels() if whole else first
    return first


def _owner(explanation: Explanation) -> NDArray[np.intp]:
    """The player of each element; of some texts only, as wide as the longest of these."""
    owner, texts = explanation.element_players, explanation.data
    if not isinstance(texts, list):
        return owner
    return owner[:, : max([1, *(len(words_of(text)) for text in texts)])]


def has_places(explanation: Explanation) -> bool:
    """Whether it has a map over x, which that of a layer's units without places has not."""
    maps = explanation.activations is not None and explanation.channel_axis is not None
    return maps or not explanation.layer


def per_player(explanation: Any, setting: Setting) -> Floats:
    """Attributions (n, d) of the setting's players; NaN where a row has fewer.

    An attribution of other players is shared out evenly among their elements, and summed over
    the setting's players: what is attributed in all stays the same. Of windows that overlap, and
    of a layer's channels that are not the setting's players, the map is scored.
    """
    if setting.partition.overlap is not None:
        raise ValueError(
            "attributions cannot be shared out among windows that overlap: pass players= to "
            "xai.explain alone (of xai.compare in the method's own dict), and their map is scored"
        )
    of = _of_explanation if isinstance(explanation, Explanation) else _of_array
    return of(explanation, setting)


def _of_explanation(explanation: Explanation, setting: Setting) -> Floats:
    n, shape, own = setting.inputs.n, setting.inputs.shape, setting.partition.description
    check_rows(explanation, n)
    flat = numbers_of(explanation).reshape(n, -1)
    if setting.cut is not None:
        if (explanation.players, explanation.layer) != (own, setting.cut.name):
            raise ValueError(
                f"players={own} are inside the network, and the explanation is of "
                f"{explanation.players}: leave players= out, or score one of these players"
            )
        return _padded(flat, setting.partition.counts)
    if not has_places(explanation):
        raise ValueError(
            f"{explanation.players} have no places in x, whose features are removed: pass "
            f"players=xai.players.{explanation.players}"
        )
    if explanation.spans is not None or explanation.layer:
        each = np.asarray(explanation.map()) / channels_of(shape, setting.axis)
        return of_elements(each, setting)
    explained, owner = _owner(explanation), setting.owner
    if explained.shape != owner.shape:
        counts = setting.partition.counts
        if explanation.summary == "unknown" and explanation.values.shape[1:] == (counts.max(),):
            return _padded(flat, counts)  # shap's, which tell no players: as many as these
        raise ValueError(
            f"the explanation is of rows of shape {explained.shape[1:]}, and x has rows of "
            f"shape {shape}: pass the x that was explained"
        )
    if np.array_equal(explained, owner):
        return _padded(flat, setting.partition.counts)
    return of_elements(_shared_out(flat, explained), setting)


def _of_array(attribution: Any, setting: Setting) -> Floats:
    n, shape, players = setting.inputs.n, setting.inputs.shape, setting.partition
    array, d = numbers_of(attribution), int(players.counts.max())
    if len(array) != n:
        raise ValueError(f"the attribution has {len(array)} rows, and x has {n}")
    array = cut(array, d) if array.ndim == 2 and players.shape == (d,) else array
    if array.shape[1:] in (players.shape, (d,)):
        return _padded(array.reshape(n, -1), players.counts)
    if players.atlas is not None:
        raise ValueError(
            f"attributions cannot be shared out among {players.description}, which overlap"
        )
    spread = _over_elements(array, shape, setting.axis)
    if spread is None:
        raise ValueError(
            f"an attribution of shape {array.shape} fits neither x {(n, *shape)} nor its players "
            f"{(n, *players.shape)}"
            + " (of series and volumes without their channels: pass channel_axis=)"
            * (setting.axis is None and len(shape) > 1)
        )
    shared = 1 if array.shape[1:] == shape else channels_of(shape, setting.axis)
    return of_elements(spread, setting) / shared  # of sums, so that equal ones stay equal


def cut(flat: Floats, d: int) -> Floats:
    """Attributions without places behind d that all are empty: those of rows with more players."""
    return flat[:, :d] if np.isnan(flat[:, d:]).all() else flat


def fits(explanation: Any, setting: Setting) -> bool:
    """Whether an attribution says something of the setting's players: any Explanation does."""
    if isinstance(explanation, Explanation):
        return True
    array, players = numbers_of(explanation), setting.partition
    own = array.shape[1:] in (players.shape, (int(players.counts.max()),))
    return own or _over_elements(array, setting.inputs.shape, setting.axis) is not None


def of_players(explanation: Any, setting: Setting) -> bool:
    """Whether an array is read as one number for each player, whatever else has such a shape."""
    if isinstance(explanation, Explanation):
        return False
    return numbers_of(explanation).shape[1:] == (int(setting.partition.counts.max()),)


def in_elements(explanation: Any, setting: Setting) -> Floats:
    """An array of the setting's players shared out among their elements, (n, *shape)."""
    return _shared_out(per_player(explanation, setting), setting.owner)


def of_elements(elements: Floats, setting: Setting) -> Floats:
    """Numbers of x's elements (n, …) summed over the setting's players, (n, d)."""
    counts, n = setting.partition.counts, setting.inputs.n
    d = int(counts.max())
    owner = setting.owner.reshape(n, -1)
    place = np.where(owner < 0, d, owner) + np.arange(n)[:, None] * (d + 1)
    sums = np.bincount(place.ravel(), weights=elements.reshape(-1), minlength=n * (d + 1))
    return _padded(sums.astype(np.float64).reshape(n, d + 1)[:, :d], counts)


def _padded(flat: Floats, counts: NDArray[np.intp]) -> Floats:
    """Attributions (n, d) of so many players in each row; NaN behind them, and nowhere else."""
    d = int(counts.max())
    absent = np.arange(d) >= counts[:, None]
    out = np.where(absent, np.nan, flat[:, :d])
    bad = np.flatnonzero((np.isnan(out) > absent).any(axis=1))
    if len(bad):
        named = ", ".join(map(str, bad[:5]))
        raise ValueError(f"the attribution is NaN in row {named} (0-based): there is no order")
    return out


def _over_elements(array: Floats, shape: tuple[int, ...], axis: int | None) -> Floats | None:
    """An attribution shaped like x, or like images' pixels, at each element, (n, *shape)."""
    if array.shape[1:] == shape:
        return array
    if axis is None:
        return None
    if array.shape[1:] == sides_of(shape, axis):
        array = with_channels(array, axis)
    one = tuple(1 if a == axis else s for a, s in enumerate(shape, 1))
    if array.shape[1:] != one:
        return None
    return np.broadcast_to(array, (len(array), *shape))


def _shared_out(flat: Floats, owner: NDArray[np.intp]) -> Floats:
    """Each player's value divided among its elements, (n, *shape)."""
    out = np.zeros(owner.shape)
    for i, players in enumerate(owner):
        mine = players >= 0
        sizes = np.bincount(players[mine], minlength=flat.shape[1])
        out[i][mine] = (flat[i] / np.maximum(sizes, 1))[players[mine]]
    return out
