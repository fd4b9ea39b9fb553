"""A named method with a user's parts and options: the triple that is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from xai import behavior as behaviors
from xai import removal as removals
from xai import summary as summaries
from xai.inputs import Inputs, is_flag
from xai.methods import METHODS, Method
from xai.model import Model
from xai.partition import Partition
from xai.places import sides_of
from xai.players import (
    ActivationMaps,
    Channels,
    Columns,
    Concepts,
    Grid,
    Groups,
    Patches,
    Players,
    Units,
)
from xai.suggest import nearest, unknown

PARTS: dict[str, tuple[dict[str, Any], Any]] = {
    "removal": (removals.NAMES, removals.Removal),
    "behavior": (behaviors.NAMES, behaviors.Behavior),
    "summary": (summaries.NAMES, summaries.Summary),
}
"""What each third of a method may be called, and what it is."""


def whole(recipe: Method) -> Method:
    """The method with its parts as objects: a user may have given their names."""
    parts = {what: _part(getattr(recipe, what), what) for what in PARTS}
    for what, part in parts.items():
        if part is None:
            raise TypeError(f"method {recipe.name!r} has no {what}: it is None")
    return replace(recipe, **parts)


def own_rows(removal: Any, options: dict[str, Any]) -> list[Any]:
    """A removal's own rows, where it has some: their values are values of x's columns, too."""
    own = [options.get("value")]
    if isinstance(removal, removals.Removal):
        own.append(getattr(removal, "data", None))
    if isinstance(removal, removals.Baseline):
        own.append(removal.value)
    return own


def composed(
    recipe: Method,
    inputs: Inputs,
    axis: int | None,
    removal: Any,
    behavior: Any,
    summary: Any,
    data: Any,
    *,
    auto: bool,
    inside: bool = False,
) -> tuple[Method, Any]:
    """The method with parts replaced, and the players it uses where none are given.

    Where they are given and `inside` a network, features are set to 0, as by Grad-CAM and its
    kind: a colour's mean, a blur and inpainting are of pictures, and leave a channel the mean that
    a network with global pooling reads of it.
    """
    players = None
    default = recipe.removal
    if inputs.is_text:
        if removal is None:
            _refuse_texts(recipe)
        tabular = removals.Marginal, removals.Neighbourhood
        if isinstance(default, tabular) and default.data is None:
            default = removals.Baseline(0)
    elif axis is not None and recipe.image is not None:
        default, players = recipe.image
        sides = sides_of(inputs.shape, axis)
        if isinstance(players, Patches) or auto:
            cells = _as_many(12, sides)
            players = Patches(
                max(1, min(sides) // cells) if len(sides) < 3
                else tuple(max(1, side // cells) for side in sides)
            )  # fmt: skip
        recipe, players = _in_proportion(recipe, players, sides)
        if (
            data is not None
            and recipe.name != "lime"
            and not isinstance(default, type(recipe.removal))
        ):
            default = recipe.removal
        elif inside:
            default = removals.Baseline(0)
    elif inside and recipe.image is not None and data is None:
        default = removals.Baseline(0)
    elif isinstance(default, removals.Neighbourhood) and len(inputs.shape) > 1:
        default = removals.Marginal()  # series have no columns to bin
    if axis is None and recipe.image is not None and isinstance(recipe.image[1], _INSIDE):
        players = recipe.image[1]  # whose layer= may be one that no place is known of, as of tokens
    triple = replace(
        recipe,
        removal=_part(removal, "removal") or default,
        behavior=_part(behavior, "behavior") or recipe.behavior,
        summary=_part(summary, "summary") or recipe.summary,
        budget=recipe.budget if summary is None else None,
    )
    permuted = isinstance(triple.removal, removals.Permuted)
    if permuted and not triple.of_data_set and not inputs.is_text:  # which refuses texts
        raise ValueError(
            "permuted removal pairs the rows of a data set with one another, so that no row has "
            "an explanation of its own: use removal='marginal', or behavior='dataset_loss'"
        )
    return triple, players


def _as_many(along: int, sides: tuple[int, ...]) -> int:
    """Along each axis: in all as many as an image has with so many along each of two sides."""
    cells: int = round(float(along) ** (2 / len(sides)))
    return cells


def _in_proportion(
    recipe: Method, players: Players | None, sides: tuple[int, ...]
) -> tuple[Method, Players | None]:
    """Cells of a series or a volume, in all about as many as the method has in images."""
    if isinstance(players, Grid):
        players = Grid(_as_many(players.cells, sides))
    summary = recipe.summary
    if isinstance(summary, summaries.MeanWhenIncluded) and summary.masks is not None:
        masks = replace(summary.masks, cells=_as_many(summary.masks.cells, sides))
        recipe = replace(recipe, summary=replace(summary, masks=masks))
    return recipe, players


def needs_places(recipe: Method, removal: Any, players: Players | None) -> bool:
    """Whether a part has a meaning only where axes of x are of places: steps, pixels, voxels."""
    chosen = _part(removal, "removal") or recipe.removal
    spatial = players is not None and (players.of_places or players.layer is not None)
    return "table" not in recipe.inputs or chosen.of_places or spatial


def _refuse_texts(recipe: Method) -> None:
    if "text" not in recipe.inputs:
        kinds = recipe.inputs.partition(";")[0]
        leave = ", or pass removal=xai.removal.Baseline(0), which leaves tokens out"
        raise ValueError(
            f"method {recipe.name!r} is for {kinds}, not for texts: choose another, such as "
            f"'shapley'{'' if recipe.summary.softens else leave}"  # no half of a token is left
        )


_INSIDE = (ActivationMaps, Channels, Concepts, Units)
"""Players inside a network, where a method names them."""


def refuse_without_layer(recipe: Method, players: Players, inputs: Inputs) -> None:
    """Refuse rows that are no images where a method is to find a layer that sees some."""
    if isinstance(players.layer, str) and players.layer == "auto":
        rows = "texts" if inputs.is_text else f"rows of shape {inputs.shape}"
        raise ValueError(
            f"method {recipe.name!r} finds its players in a network's layer that sees images (4-D "
            f"batches), not {rows}: pass channel_axis= where they are series or volumes (0: "
            "without channels), layer= of that network, or choose another method, such as "
            "'shapley'"
        )


def _part(given: Any, what: str) -> Any:
    """A part of the triple from an object, a name or (for removal) a function."""
    names, kind = PARTS[what]
    if given is None or isinstance(given, kind):
        return given
    if isinstance(given, str):
        if given not in names:
            raise ValueError(unknown(what, given, names))
        return names[given]()
    if what == "removal" and callable(given) and not isinstance(given, type):
        return removals.Function(given)
    raise TypeError(f"{what} must be an xai.{what} object or one of {sorted(names)}, not {given!r}")


def with_options(
    recipe: Method, players: Players, options: dict[str, Any], known_names: Sequence[str]
) -> tuple[Method, Players]:
    """Hand each option to the part that has it, the players last; refuse what none has."""
    parts: dict[str, Any] = {what: getattr(recipe, what) for what in PARTS} | {"players": players}
    known = {what: _settings(part) for what, part in parts.items()}
    for name, value in options.items():
        owner = next((what for what, names in known.items() if name in names), None)
        if owner is None:
            choices = [n for names in known.values() for n in names]
            choices += [*known_names, "channel_axis"]
            raise TypeError(_unknown_option(name, choices, recipe))
        parts[owner] = replace(parts[owner], **{name: value})
    parts = {what: _checked(part) for what, part in parts.items()}
    players = parts.pop("players")
    return replace(recipe, **parts), players


def part_with_options(given: Any, what: str, options: Mapping[str, Any]) -> Any:
    """A removal or behavior with the options that set it; where none does, as it was given."""
    part = _part(given, what)
    own = {name: options[name] for name in _settings(part) if name in options}
    return replace(part, **own) if own else given


def _checked(part: Any) -> Any:
    """A part whose whole numbers are Python's: NumPy's small ones overflow, and look odd in a repr.

    Refused is what is neither True nor False where a part asks for that: "no" would mean yes.
    """
    whole = {}
    for f in fields(part) if is_dataclass(part) else ():
        value = getattr(part, f.name)
        if f.type in ("bool", bool) and not is_flag(value):
            raise TypeError(f"{f.name} must be True or False, not {value!r}")
        if f.init and isinstance(value, np.integer):
            whole[f.name] = int(value)
    return replace(part, **whole) if whole else part


def _settings(part: Any) -> list[str]:
    """What an option may set: a dataclass' fields, but for the caller's own ids or columns."""
    fixed = isinstance(part, Groups | Columns) or not is_dataclass(part)
    return [] if fixed else [f.name for f in fields(part)]


def with_repeats(
    recipe: Method, model: Model, rows: Inputs, partition: Partition, data: Any,
    budget: int | None, paid: int | None,
) -> Method:  # fmt: skip
    """As many permutations as the budget allows, where their number is left open.

    Not for summaries that sample coalitions: they spend the budget themselves.

    Parameters
    ----------
    rows : the explained ones themselves
    paid : what finding the way on from players inside a network has cost each; None: they are not
    """
    removal = recipe.removal
    if budget is None or not isinstance(removal, removals.Permuted) or removal.repeats is not None:
        return recipe
    if not isinstance(recipe.summary, summaries.RemoveIndividual | summaries.IncludeIndividual):
        return recipe
    background = data if removal.data is None else removal.data
    n, inside = rows.n, paid is not None
    m = n if background is None else _count(background, rows, inside=inside)
    through = m if inside and background is not None else 0  # run up to the layer
    # rows with nothing left are not shared
    apart = not (partition.covers(np.arange(n)).all() and model.alike)
    ends = n * (1 + (paid or 0)) + through + (0 if apart else m)
    repeats = (budget - ends) // (n * (int(partition.counts.max()) + apart))
    return replace(recipe, removal=replace(removal, repeats=max(1, repeats)))


def _count(background: Any, rows: Inputs, *, inside: bool) -> int:
    """How many rows a background has; a layer's may be what it makes of them."""
    if not inside:
        return int(rows.encode(background, "data").shape[0])
    return 1 if tuple(np.shape(background)) == rows.shape else len(background)


def _unknown_option(name: str, choices: list[str], recipe: Method) -> str:
    method = recipe.name
    owners = {
        m.name: what for m in METHODS for what in PARTS if name in _settings(getattr(m, what))
    }
    having = list(owners)
    meant = nearest(name, choices, 0.4)
    hint = f"; did you mean {meant!r}?" if meant else "."
    if having:  # right, but elsewhere
        more = ", …" * bool(having[5:])
        hint = f": {', '.join(having[:5])}{more} {'have' if having[1:] else 'has'} it."
    if method in owners:  # as it is, but not as it runs
        instead = type(getattr(recipe, owners[method])).__name__
        hint = f": its own {owners[method]} has it, and {instead} took the place of that."
    known = ", ".join(sorted(set(choices)))
    return f"unknown option {name!r} for method {method!r}{hint} Known: {known}"
