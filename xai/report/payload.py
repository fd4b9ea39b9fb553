"""Explanations as the data of a page: JSON, with numbers as base64 of little-endian arrays."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai.plots.choose import is_drawn
from xai.plots.many import columns_of, places_of
from xai.plots.picture import Floats, Panel, Scale, panel
from xai.plots.row import chosen, known, names_of_players, per_row
from xai.plots.signal import bands, channels, is_series
from xai.plots.style import diverging, sequential
from xai.report.fragment import address, in_base64, recipe_of

if TYPE_CHECKING:
    from xai.explanation import Explanation

MOST_NUMBERS = 1_000_000
"""Attributions, errors and data on one page: what makes 4 bytes each, and a third for base64."""
MOST_BYTES = 4_000_000
"""Pictures on one page."""
SIDE = 256
"""Maps of longer sides are shown as means of blocks, each side's as long as it needs."""
LEVELS = 1023
"""Steps of a map's values from where its colours begin to where they end: three digits."""
MOST_LEVELS = 2**15 - 1
"""Steps to either side that two bytes tell."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """One output of every row, as a page shows it.

    Attributes
    ----------
    label : str
        In the list to choose from.
    index : (n,) int array
        Which output of the model it is.
    names : list of n str
    places : (n,) int array, or None
        Where on the last axis of the values it lies; None where there is no such axis.
    """

    label: str
    index: NDArray[np.intp]
    names: list[str]
    places: NDArray[np.intp] | None


def payload(
    explanations: Mapping[str, Explanation],
    names: Sequence[str],
    output: int | str | None,
    words: Sequence[Sequence[str]] | None = None,
) -> Json:
    """Everything a page shows; `rows` says how many of the explained rows that are."""
    first = next(iter(explanations.values()))
    wanted = _choices(first, output)
    choices = {name: _choices(one, output, wanted) for name, one in explanations.items()}
    pictures = [is_drawn(one) for one in explanations.values()]
    if any(pictures) and not all(pictures):
        raise ValueError("one page shows images or tables: write a page for each")
    if all(pictures):
        if words is not None:
            raise ValueError("words are of token ids, and these are images: leave them out")
        shown = _images(explanations, choices)
        count = len(shown["photos"])
    else:
        layers = sum(2 * len(own) for own in choices.values()) + 1
        count = max(1, min(len(first), MOST_NUMBERS // (first.values[0].size * layers)))
        shown = _table(explanations, words, count)
    return {
        "methods": [
            _method(name, one, choices[name], count, values=not all(pictures))
            for name, one in explanations.items()
        ],
        "total": len(first),
        "perRow": per_row(first),
        **shown,
        "rows": list(names[:count]),
    }


def _choices(
    one: Explanation, output: int | str | None, wanted: Sequence[Choice] | None = None
) -> list[Choice]:
    """The outputs that a page shows of an explanation: those `wanted`, where it has all of them."""
    n, names = len(one), [str(name) for name in one.output_names]
    targets = one.target.reshape(n, -1)
    if one.base_values.ndim == 1 or output is not None:
        at, _ = places_of(one, output)
        places = [np.zeros(n, np.intp) if at is None else at]
        labels = [names[targets[0, places[0][0]]]]
    else:
        labels = one.output_labels
        places = [np.full(n, place) for place in range(len(labels))]
        same = [targets == choice.index[:, None] for choice in wanted or []]
        if same and all(has.any(axis=1).all() for has in same):
            places = [has.argmax(axis=1) for has in same]
    axis = one.base_values.ndim == 2
    index = [targets[np.arange(n), at] for at in places]
    return [
        Choice(label, own, [names[i] for i in own], at if axis else None)
        for label, own, at in zip(labels, index, places, strict=False)
    ]


def _method(
    name: str, one: Explanation, choices: Sequence[Choice], count: int, *, values: bool
) -> Json:
    """A method's recipe, and the first rows' numbers of each output that is shown.

    No `values` where maps show them.
    """
    errors = known(one.std_error)

    def told(array: Floats | None, choice: Choice) -> str | None:
        return None if array is None else numbers(chosen(array, choice.places)[:count])

    layers = [
        {
            "label": choice.label,
            "output": choice.names[0] if len(set(choice.names)) == 1 else choice.names[:count],
            "values": told(one.values if values else None, choice),
            "errors": told(errors if values else None, choice),
            "base": told(one.base_values, choice),
            "prediction": told(one.predictions, choice),
            "unit": one.unit,
        }
        for choice in choices
    ]
    return {"name": name, "recipe": recipe_of(one), "layers": layers}


def _table(
    explanations: Mapping[str, Explanation], given: Sequence[Sequence[str]] | None, count: int
) -> Json:
    """Names of the features, or of each row's words, and what stands in their columns."""
    first = next(iter(explanations.values()))
    counts = [one.values.size // one.predictions.size for one in explanations.values()]
    d = counts[0]
    names = [names_of_players(*both) for both in zip(explanations.values(), counts, strict=True)]
    if any(other != names[0] for other in names):
        raise ValueError("one page compares the same features: write a page for each set of them")
    words = None if given is None else [[str(word) for word in row] for row in given]
    if words is not None and [len(row) for row in words] != [d] * len(first):
        raise ValueError(
            f"words: expected {d} for each of {len(first)} rows, one a player; not "
            f"{sorted({len(row) for row in words})} for {len(words)}"
        )
    if words is None and isinstance(first.data, list) and first.players == "Tokens()":
        words = [first.names_of(row) for row in range(count)]
    shared = bool((first.element_players == first.element_players[0]).all())
    data, categories = columns_of(first, d) if shared else (np.full((len(first), d), np.nan), ())
    return {
        "features": names[0],
        "words": words and words[:count],
        "data": numbers(data[:count]),
        "categories": {str(j): kinds for j, kinds in enumerate(categories) if kinds},
    }


def numbers(array: Floats) -> str:
    """An array as base64 of little-endian float32."""
    return in_base64(np.ascontiguousarray(array, "<f4").tobytes())


# ---------------------------------------------------------------------------------------------
# Images


def _images(explanations: Mapping[str, Explanation], choices: Mapping[str, list[Choice]]) -> Json:
    """Photographs, or lines of series, and maps of the first rows, until they fill the page."""
    series = is_series(next(iter(explanations.values())))
    photos: list[str] = []
    maps: list[list[list[Json]]] = []  # row, method, output
    spent = 0
    for row in range(len(next(iter(explanations.values())))):
        panels = [
            [_panel(one, row, int(choice.index[row])) for choice in choices[name]]
            for name, one in explanations.items()
        ]
        line = [[_map(shown) for shown in own] for own in panels]
        photo = (_lines if series else _photo)(panels[0][0])
        spent += len(photo) + sum(len(one["bytes"]) for method in line for one in method)
        if photos and spent > MOST_BYTES:
            break
        photos.append(photo)
        maps.append(line)
    colours = {"signed": _lut(diverging()), "unsigned": _lut(sequential())}
    return {"photos": photos, "maps": maps, "colours": colours, "series": series}


def _panel(one: Explanation, row: int, output: int) -> Panel:
    """One row as it is drawn; the lines of a series as they are."""
    return (channels if is_series(one) else panel)(one, row, output, None)


def _map(shown: Panel) -> Json:
    """A heat map as deflated bytes: the lower ones of all pixels, then the higher ones."""
    scale, steps = Scale.of([shown.heat], 99), _steps(shown)
    heat, (height, width) = _smaller(shown.heat, steps), shown.heat.shape
    start = 0.0 if scale.signed else scale.low
    # what lies far beyond the colours is told, too
    far = float(np.abs(heat - start).max(initial=0.0, where=np.isfinite(heat)))
    unit = max((scale.high - start) / LEVELS, far / MOST_LEVELS)
    levels = np.nan_to_num((heat - start) / unit).round()
    levels = np.clip(levels, -MOST_LEVELS, MOST_LEVELS).astype("<i2")
    planes = levels.view(np.uint8).reshape(-1, 2).T
    return {
        "height": heat.shape[0], "width": heat.shape[1], "start": start, "unit": unit,
        "low": scale.low, "high": scale.high,
        "bytes": in_base64(zlib.compress(planes.tobytes(), 9)),
        "steps": steps, "ratio": width / (height * shown.aspect),
    }  # fmt: skip


def _steps(shown: Panel) -> tuple[int, int]:
    """Height and width of the smallest blocks that make both sides at most `SIDE` long.

    Those of an image are square.
    """
    down, across = (-(-side // SIDE) for side in shown.heat.shape)
    return (max(down, across),) * 2 if shown.square else (down, across)


def _smaller(picture: Floats, steps: tuple[int, int]) -> Floats:
    """Means of blocks; the last ones have what is left."""
    for axis, step in enumerate(steps):
        starts = np.arange(0, picture.shape[axis], step)
        counts = np.diff(starts, append=picture.shape[axis])
        each = np.expand_dims(counts, [a for a in range(picture.ndim) if a != axis])
        picture = np.add.reduceat(picture, starts, axis=axis) / each
    return picture


def _photo(shown: Panel) -> str:
    """A photograph as the address of its data: PNG where it is small, else JPEG."""
    from PIL import Image

    levels = np.asarray((255 * _smaller(shown.photo, _steps(shown))).round(), np.uint8)
    kind = "PNG" if max(levels.shape[:2]) <= 64 else "JPEG"
    file = io.BytesIO()
    Image.fromarray(levels).save(file, kind, **({"quality": 88} if kind == "JPEG" else {}))
    return address(f"image/{kind.lower()}", file.getvalue())


def _lines(shown: Panel) -> str:
    """A series' lines as the address of a drawing that fills its map, a band for each channel.

    Where steps are shown as blocks, a line goes through the least and the most of each.
    """
    heights, (_, step) = bands(shown), _steps(shown)
    starts = np.arange(0, heights.shape[1], step)
    at = np.arange(len(starts)) + 0.5
    if step > 1:
        ends = [
            np.fmin.reduceat(heights, starts, axis=1),
            np.fmax.reduceat(heights, starts, axis=1),
        ]
        heights, at = np.stack(ends, axis=2).reshape(len(heights), -1), at.repeat(2)
    drawn = ""
    for line in heights:
        known = np.isfinite(line)
        begins = known & ~np.append(False, known[:-1])
        steps = zip(at[known], line[known], begins[known], strict=True)
        drawn += "".join(f"{'M' if first else 'L'}{x:g} {y + 0.5:.3f}" for x, y, first in steps)
    size = f"{len(starts)} {len(heights)}"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" preserveAspectRatio="none">'
        f'<path fill="#fff" d="M-1-1h{len(starts) + 2}v{len(heights) + 2}h-{len(starts) + 2}"/>'
        f'<path fill="none" stroke="#000" vector-effect="non-scaling-stroke" d="{drawn}"/></svg>'
    )
    return address("image/svg+xml", svg.encode())


def _lut(colours: Any) -> str:
    """256 colours with their opacities."""
    table = np.asarray(255 * colours(np.linspace(0, 1, 256))).round().astype(np.uint8)
    return in_base64(table.tobytes())
