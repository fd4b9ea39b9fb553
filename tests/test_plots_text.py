"""Pictures of texts: words in their order, over colours of what they add."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.testing import assert_allclose

mpl.use("Agg")

import matplotlib.pyplot as plt

import xai
from xai.plots.style import NEGATIVE, POSITIVE

LONG = "the film was " + "very " * 40 + "good, not bad"


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def judge(texts: list[str]) -> np.ndarray:
    return np.array([2.0 * ("good" in text) - ("bad" in text) for text in texts])


def explained(*texts: str, **options: object) -> xai.Explanation:
    return xai.explain(judge, list(texts), "occlusion", **options)


def boxes(axes: mpl.axes.Axes) -> list[mpl.transforms.Bbox]:
    axes.figure.canvas.draw()
    return [word.get_window_extent() for word in axes.texts]


def test_each_word_has_the_colour_of_its_sign_as_deep_as_it_is_large() -> None:
    axes = explained("a bad good film").plot()  # of texts the picture that is drawn
    assert [word.get_text() for word in axes.texts] == ["a", "bad", "good", "film"]
    colours = np.array([word.get_bbox_patch().get_facecolor() for word in axes.texts])
    assert_allclose(colours[:, 3], [0, 0.4, 0.8, 0], atol=0.01)
    assert_allclose(colours[1, :3], to_rgb(NEGATIVE), atol=0.01)
    assert_allclose(colours[2, :3], to_rgb(POSITIVE), atol=0.01)
    assert "deepest colours: 2 up or down" in axes.get_title()
    assert "prediction 1, base value 0" in axes.get_title()


@pytest.mark.parametrize("size", [10.0, 20.0])
def test_words_stand_in_lines_that_fit_the_figure(size: float) -> None:
    """In their order, none over another, all inside, whatever the size of the texts."""
    with plt.rc_context({"font.size": size}):
        axes = explained("good", LONG).plot("text", row=1)
        found = boxes(axes)
    page = axes.figure.bbox
    assert [word.get_text() for word in axes.texts] == LONG.split()
    heights = [round(box.y0 + box.y1) for box in found]
    assert heights == sorted(heights, reverse=True)
    assert len(set(heights)) > 2
    for one, after in pairwise(found):
        assert one.x1 < after.x0 or one.y0 > after.y1
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and box.y0 >= page.y0 for box in found)
    title = axes.title.get_window_extent()
    assert title.y0 > found[0].y1
    assert title.y1 <= page.y1


def test_in_axes_that_were_given_lines_are_as_wide_as_these() -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
    assert explained(LONG).plot(ax=left) is left
    assert max(box.x1 for box in boxes(left)) <= left.bbox.x1 + 1
    assert not right.texts
    assert tuple(figure.get_size_inches()) == (9, 4)


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (["[CLS]", "un", "##kind", "word"], ["[CLS]", "unkind", "word"]),
        (["Un", "kind", "Ġword", "Ġ"], ["Unkind", "word", ""]),
        (["▁un", "kind", "▁wo", "rd"], ["unkind", "word"]),
    ],
)
def test_pieces_of_words_of_token_ids_stand_together(words: list[str], read: list[str]) -> None:
    ids = np.array([[3, 1, 4, 1]])
    e = xai.explain(lambda x: x @ np.arange(4.0), ids, "occlusion", removal="baseline")
    axes = e.plot("text", words=words)
    found, joined = boxes(axes), [axes.texts[0].get_text()]
    for place in range(1, len(found)):
        if abs(found[place].x0 - found[place - 1].x1) < 1:
            joined[-1] += axes.texts[place].get_text()
        else:
            joined.append(axes.texts[place].get_text())
    assert joined == read
    with pytest.raises(ValueError, match="there are 3 for the row's 4 players"):
        e.plot("text", words=words[:3])


def test_errors_and_outputs_are_told() -> None:
    e = xai.explain(
        lambda texts: np.column_stack([judge(texts), -judge(texts)]), [LONG], "banzhaf",
        target="all", budget=400, output_names=["up", "down"],
    )  # fmt: skip
    axes = e.plot(output="down")
    assert axes.get_title().startswith("banzhaf: down")
    assert "median standard error" in axes.get_title()


def test_each_row_may_have_words_of_its_own() -> None:
    ids = np.array([[3, 1], [4, 1]])
    e = xai.explain(lambda x: x @ np.arange(2.0), ids, "occlusion", removal="baseline")
    for words in ([["a", "b"], ["c", "d"]], np.array([["a", "b"], ["c", "d"]])):
        for row in (0, 1, -1):
            drawn = [word.get_text() for word in e.plot("text", words=words, row=row).texts]
            assert drawn == list(words[row])
    with pytest.raises(ValueError, match="words: there are lists for 1 rows, of 2"):
        e.plot("text", words=[["a", "b"]])
    with pytest.raises(ValueError, match="there are 3 for the row's 2 players"):
        e.plot("text", words=[["a", "b"], ["c", "d", "e"]], row=1)


def test_one_row_of_several_is_told_which_it_is() -> None:
    e = xai.explain(lambda t: np.array([len(s) * 1.0 for s in t]), ["a b", "c d"], "exact_shapley")
    for kind in ("text", "bar", "waterfall"):
        assert "row 0 of 2" in e.plot(kind, row=0).get_title()
        assert "row 1 of 2" in e.plot(kind, row=-1).get_title()
        assert "row" not in e[1].plot(kind).get_title()
    f = lambda x: x.sum(axis=(1, 2, 3))  # noqa: E731 # as in every example here
    m = xai.explain(f, np.ones((2, 1, 6, 6)), "occlusion", removal="baseline", channel_axis=1)
    assert "row 0 of 2" in m.plot("image").get_title()
    assert "row" not in m[0].plot("image").get_title()
    titles = [axes.get_title() for axes in m.plot("images").axes[:2]]
    assert [title.endswith(f"row {i} of 2") for i, title in enumerate(titles)] == [True, True]
    for both in (xai.plots.compare({"a": e, "b": e}), xai.plots.compare({"a": m, "b": m}).axes[0]):
        assert "row 0 of 2" in both.get_title()
