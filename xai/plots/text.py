"""Pictures of texts: the words in their order, each over the colour of what it adds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from xai.plots.picture import Scale
from xai.plots.row import Floats, known, read
from xai.plots.style import inches, median_note, some_axes, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xai.explanation import Explanation

WIDTH, LINE, SPACE, MARGIN = 7.4, 0.34, 0.1, 0.2
"""Inches: of a line of words, from one to the next, between words, and around them."""
DEEPEST = 0.8
"""How much of a colour there is at most."""
JOINED = "##"
"""What WordPiece begins the later pieces of a word with."""
SPACES = "Ġ▁"
"""What byte-pair encodings and SentencePiece begin the first piece of a word with."""


def text(
    explanation: Explanation,
    row: int = 0,
    output: int | str | None = None,
    *,
    words: Sequence[str] | Sequence[Sequence[str]] | None = None,
    percentile: float = 100.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw one text, each word over a colour that tells what it adds.

    Parameters
    ----------
    row, output, percentile, ax : as in `plot`
    words : list of str, or such a list for each row, optional
        A word for each player of the row, of token ids: what a tokenizer's
        ``convert_ids_to_tokens(ids[row])`` gives. Pieces of words are drawn as one.

    Raises
    ------
    ValueError
        Words that are not one for each player, or lists that are not one for each row.

    Examples
    --------
    >>> import numpy as np, xai
    >>> f = lambda texts: np.array([float("good" in text) for text in texts])
    >>> e = xai.explain(f, ["a good film"], "occlusion")
    >>> [word.get_text() for word in text(e).texts]
    ['a', 'good', 'film']
    """
    shown = read(explanation, row, output)
    own_words = shown.names if words is None else _of_row(words, row, len(explanation))
    pieces = _pieces(own_words, len(shown.values))
    scale = Scale.of([shown.values], percentile, signed=True)
    heading = [
        shown.heading,
        shown.ends,
        f"deepest colours: {scale.high:.3g} up or down",
        *median_note(known(shown.std_error)),
    ]
    across, line = inches(WIDTH, LINE)
    axes, own = some_axes(ax, (across + 2 * MARGIN, 4), None), ax is None
    box, dpi = axes.get_window_extent(), axes.figure.figure.dpi
    width = across if own else box.width / dpi
    lines = _write(axes, pieces, _colours(shown.values, scale), width)
    if own:
        _fit(axes, lines * line, 0.53 * len(heading) * line)
    axes.set(xlim=(0, width), ylim=(lines if own else max(lines, box.height / dpi / line), 0))
    axes.set_axis_off()
    title(axes, heading, 80)
    return axes


def _of_row(words: Sequence[str] | Sequence[Sequence[str]], row: int, rows: int) -> Sequence[str]:
    """The words of one row: those given, or its own of a list for each row."""
    if all(isinstance(word, str) for word in words):
        return [str(word) for word in words]
    if len(words) != rows:
        raise ValueError(f"words: there are lists for {len(words)} rows, of {rows}")
    return list(words[row])


def _pieces(words: Sequence[str], count: int) -> list[tuple[str, bool]]:
    """Each word as it is drawn, and whether there is space before it."""
    if len(words) != count:
        raise ValueError(f"words: there are {len(words)} for the row's {count} players")
    if any(word[:1] in SPACES for word in words if word):
        return [(word.lstrip(SPACES), word[:1] in SPACES) for word in words]
    return [(word.removeprefix(JOINED), not word.startswith(JOINED)) for word in words]


def _colours(values: Floats, scale: Scale) -> Floats:
    """Of each value, (d, 4): so transparent that ink stays readable over the deepest."""
    found = scale.colours((np.nan_to_num(values) - scale.low) / (scale.high - scale.low))
    return np.asarray(found * [1, 1, 1, DEEPEST])


def _write(ax: Axes, pieces: list[tuple[str, bool]], colours: Floats, width: float) -> int:
    """Write the words in lines of a width in inches, and down by one a line; how many lines."""
    x, line, dpi = 0.0, 0, ax.figure.figure.dpi
    box: dict[str, Any] = {"boxstyle": "square,pad=0.15", "edgecolor": "none"}
    starts = [place for place, (_, apart) in enumerate(pieces) if apart or not place]
    for start, stop in pairwise([*starts, len(pieces)]):
        drawn = [
            ax.text(0, 0, piece, va="center", bbox=box | {"facecolor": colour}, parse_math=False)
            for (piece, _), colour in zip(pieces[start:stop], colours[start:stop], strict=True)
        ]
        sizes = [part.get_window_extent().width / dpi for part in drawn]
        if x and x + sum(sizes) > width:
            x, line = 0.0, line + 1
        for part, size in zip(drawn, sizes, strict=True):
            part.set_position((x, line + 0.5))
            x += size
        x += inches(SPACE, 0)[0]
    return line + 1


def _fit(ax: Axes, words: float, heading: float) -> None:
    """Make the figure as high as its words and heading are, in inches."""
    figure = ax.figure.figure
    width, height = figure.get_size_inches()[0], words + heading + 2 * MARGIN
    figure.set_size_inches(width, height)
    ax.set_position((MARGIN / width, MARGIN / height, 1 - 2 * MARGIN / width, words / height))
