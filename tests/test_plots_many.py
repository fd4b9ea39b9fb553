"""Pictures of many rows, of several methods and of scores: what they say, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import same_color

import xai
from xai.foreign import from_shap
from xai.metrics.intervals import of_mean
from xai.plots.many import read_many
from xai.plots.style import NEUTRAL, amounts
from xai.plots.swarm import partner, spread

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4))
NAMES = ["a", "b", "c", "d"]


def product(x: np.ndarray) -> np.ndarray:
    return 3 * x[:, 0] * x[:, 2] + x[:, 1] - 0.2 * x[:, 3]


def made(method: str = "exact_shapley", x: np.ndarray = X, **options: Any) -> xai.Explanation:
    return xai.explain(
        product, x, method, data=np.zeros((1, 4)), feature_names=NAMES, output_names=["price"],
        **options,
    )  # fmt: skip


def sampled() -> xai.Explanation:
    one = made()
    errors = np.full(one.values.shape, 0.25)
    return replace(one, std_error=errors, exact=np.zeros(len(one), bool))


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def tick_labels(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def dots(axes: Axes, place: int = 0) -> np.ndarray:
    """Positions (n, 2) of a scatter's dots."""
    found = [c for c in axes.collections if type(c).__name__ == "PathCollection"]
    return np.asarray(found[place].get_offsets())


# ---------------------------------------------------------------------------------- beeswarm


def test_a_beeswarm_has_a_dot_for_each_value_on_its_features_line() -> None:
    one = made()
    axes = one.plot("beeswarm", max_display=2)
    order = np.argsort(-np.abs(one.values).mean(axis=0))
    assert tick_labels(axes) == [*(NAMES[j] for j in order[:2]), "2 other features"]
    for place in range(2):
        found = dots(axes, place)
        np.testing.assert_allclose(np.sort(found[:, 0]), np.sort(one.values[:, order[place]]))
        assert (np.abs(found[:, 1] - place) < 0.5).all()
    np.testing.assert_allclose(
        np.sort(dots(axes, 2)[:, 0]), np.sort(one.values[:, order[2:]].sum(axis=1))
    )


def test_dots_of_equal_values_lie_beside_each_other() -> None:
    offsets = spread(np.zeros(30), 1.0)
    assert len(np.unique(offsets)) == 30
    assert np.abs(offsets).max() < 0.5
    assert abs(np.median(offsets)) < 0.1
    np.testing.assert_array_equal(spread(np.linspace(0, 1, 50), 1.0), 0)


def test_colours_of_dots_tell_the_features_value() -> None:
    one = xai.explain(lambda x: x[:, 0], X[:, :1], "exact_shapley", data=np.zeros((1, 1)))
    axes = one.plot("beeswarm")
    found = axes.collections[-1]
    codes = np.asarray(found.get_array())
    order = np.argsort(np.asarray(found.get_offsets())[:, 0])
    assert (np.diff(codes[order]) >= 0).all()
    assert (codes.min(), codes.max()) == (0, 1)
    assert axes.figure.axes[1].get_ylabel() == "feature value"


@pytest.mark.parametrize("kind", ["beeswarm", "heatmap", "decision", "page"])
def test_pictures_of_many_rows_take_no_row_out_for_itself(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    many = xai.explain(
        lambda x: np.column_stack([product(x), -product(x)]), X, "exact_shapley",
        data=np.zeros((1, 4)),
    )  # fmt: skip
    assert len(set(many.target.tolist())) == 2  # each row's own output

    def refused(data: Any, index: Any) -> Any:
        raise AssertionError("of a DataFrame that takes a millisecond")

    monkeypatch.setattr("xai.explanation.take_rows", refused)
    many.to_html(tmp_path / "page.html") if kind == "page" else many.plot(kind)


def test_what_is_no_number_is_grey_in_a_beeswarm() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"job": ["cook", "clerk", "cook", "pilot"], "age": [1.0, 2, 3, 4]})
    one = xai.explain(
        lambda f: (f["job"] == "cook").to_numpy() * 10.0 + f["age"].to_numpy(),
        frame, "exact_shapley", data=frame,
    )  # fmt: skip
    axes = one.plot("beeswarm")
    assert tick_labels(axes) == ["job", "age"]
    found = [c for c in axes.collections if type(c).__name__ == "PathCollection"]
    axes.figure.canvas.draw()
    assert all(same_color(colour, NEUTRAL) for colour in found[0].get_facecolors())
    assert not any(same_color(colour, NEUTRAL) for colour in found[1].get_facecolors())


@pytest.mark.parametrize("kind", ["beeswarm", "scatter"])
def test_dots_carry_their_intervals_where_values_are_sampled(kind: str) -> None:
    options = {"feature": "a"} if kind == "scatter" else {}
    axes = sampled().plot(kind, **options)
    lines = [c for c in axes.collections if type(c).__name__ == "LineCollection"]
    segments = np.array(lines[0].get_segments())
    length = np.abs(segments[:, 1] - segments[:, 0]).max(axis=1)
    np.testing.assert_allclose(length, 2 * 1.96 * 0.25)
    assert "±1.96" in axes.get_xlabel() + axes.get_ylabel()
    assert "±1.96" not in made().plot(kind, **options).get_xlabel()


# ----------------------------------------------------------------------------------- scatter


def test_a_scatter_is_attributions_over_values_coloured_by_the_interacting_feature() -> None:
    one = made()
    axes = one.plot("scatter", feature="a")
    np.testing.assert_allclose(dots(axes), np.stack([X[:, 0], one.values[:, 0]], axis=1))
    assert axes.get_xlabel() == "a"
    assert axes.figure.axes[1].get_ylabel() == "c"
    plain = one.plot("scatter", feature=0, color=None)
    assert len(plain.figure.axes) == 1
    bar = axes.figure.axes[1].get_yticklabels()
    low, high = np.percentile(X[:, 2], [5, 95])  # beyond which colours stay the same
    assert [label.get_text() for label in bar] == [f"≤ {low:.4g}", f"≥ {high:.4g}"]
    chosen = one.plot("scatter", feature="a", color="d")
    assert chosen.figure.axes[1].get_ylabel() == "d"


def test_the_partner_is_shaps_where_the_interaction_is_plain() -> None:
    shap = pytest.importorskip("shap")
    x = np.random.default_rng(3).normal(size=(200, 4))
    one = made(x=x)
    for feature in (0, 2):
        theirs = shap.utils.approximate_interactions(feature, one.values, x)[0]
        assert partner(read_many(one), feature) == theirs


def test_interactions_of_the_explanation_choose_the_partner() -> None:
    one = made(order=2)
    assert partner(read_many(one), 0) == 2
    turned = one.interactions.copy()
    turned[:, 0, 3] = turned[:, 3, 0] = 100
    assert partner(read_many(replace(one, interactions=turned)), 0) == 3


def test_categories_colour_the_dots_of_a_scatter_and_are_named() -> None:
    data = X.astype(object)
    kinds = np.array(["u", "$v$", "w"])[np.arange(len(X)) % 3]
    data[:, 1], data[:, 2] = kinds, [f"kind {i}" for i in range(len(X))]
    one = replace(made(), data=data)
    axes = one.plot("scatter", feature="a", color="b")
    assert len(axes.figure.axes) == 1  # no bar from low to high
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == [r"b = \$v\$", "b = u", "b = w"]
    dots = [c for c in axes.collections if c.get_label().startswith("b = ")]
    assert len({tuple(c.get_facecolor()[0]) for c in dots}) == 3
    for kind, drawn in zip(["$v$", "u", "w"], dots, strict=True):
        expected = np.stack([X[kinds == kind, 0], one.values[kinds == kind, 0]], axis=1)
        np.testing.assert_allclose(drawn.get_offsets(), expected)
    with pytest.raises(ValueError, match="color='c' has 40 categories, and at most 12 are told"):
        one.plot("scatter", feature="a", color="c")
    inter = np.zeros((len(X), 4, 4))
    inter[:, 0, 2] = inter[:, 2, 0] = 2  # whose categories are too many
    inter[:, 0, 1] = inter[:, 1, 0] = 1
    assert partner(read_many(replace(one, interactions=inter)), 0) == 1
    data[:, 1], data[:, 3] = data[:, 2], data[:, 2]
    assert partner(read_many(replace(one, data=data, interactions=inter)), 0) is None


def test_a_name_of_several_features_is_refused() -> None:
    twins = replace(made(), feature_names=["a", "b", "a", "c"])
    with pytest.raises(ValueError, match=r"2 features are called 'a': pass one of \[0, 2\]"):
        twins.plot("scatter", feature="a")
    assert twins.plot("scatter", feature=2).get_xlabel() == "a"


@pytest.mark.parametrize("feature", [0.7, True, 4])
def test_a_feature_is_a_name_or_an_index(feature: object) -> None:
    with pytest.raises(ValueError, match="there are 4, by name or index"):
        made().plot("scatter", feature=feature)


def test_a_single_feature_has_no_partner() -> None:
    x = np.arange(5.0)[:, None]
    one = xai.explain(lambda x: x[:, 0] ** 2, x, "exact_shapley", data=0 * x, order=2)
    assert one.interactions is not None
    assert len(one.plot("scatter", feature=0).figure.axes) == 1  # no bar of colours


def test_rows_are_a_list_or_a_mask_in_every_picture() -> None:
    one, mask = made(), np.arange(len(X)) % 4 == 1
    chosen = np.flatnonzero(mask)
    drawn = one.plot("heatmap", order=mask).images[0].get_array()
    np.testing.assert_array_equal(drawn, one.plot("heatmap", order=chosen).images[0].get_array())
    assert drawn.shape == (4, len(chosen))
    assert "10 rows" in one.plot("decision", rows=mask).get_title()
    score = xai.metrics.deletion(product, X, one.values, removal="baseline")
    lines = [xai.plots.curves(score, rows=rows).lines[0].get_ydata() for rows in (mask, chosen)]
    np.testing.assert_array_equal(*lines)
    for draw in (
        lambda rows: one.plot("heatmap", order=rows),
        lambda rows: one.plot("decision", rows=rows),
        lambda rows: xai.plots.curves(score, rows=rows),
    ):
        for wrong in (3, [0.5, 1.5], mask[:7], "all"):
            with pytest.raises(ValueError, match=r"must be a list of rows, or a mask of 40|order"):
                draw(wrong)
        with pytest.raises(ValueError, match="is empty"):
            draw(~mask & mask)
        with pytest.raises(IndexError, match="row 99 is out of range for 40 explained rows"):
            draw([0, 99])


def test_no_partner_has_only_missing_values() -> None:
    x = X.copy()
    x[:, 2] = np.nan
    assert partner(read_many(replace(made(), data=x)), 0) in (1, 3)


def test_a_scatter_of_categories_names_them() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"job": ["cook", "clerk", "cook", "pilot"], "age": [1.0, 2, 3, 4]})
    one = xai.explain(lambda f: f["age"].to_numpy(), frame, "exact_shapley", data=frame)
    axes = one.plot("scatter", feature="job")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["clerk", "cook", "pilot"]
    np.testing.assert_allclose(dots(axes)[:, 0].round(), [1, 0, 1, 2])


@pytest.mark.parametrize(("count", "width"), [(16, 7), (30, 7), (30, 4), (400, 7)])
def test_names_of_many_categories_do_not_cover_each_other(count: int, width: float) -> None:
    kinds = [f"kind {i:03d}" for i in range(count)]
    data = np.array([kinds, range(count)], object).T
    values = np.random.default_rng(0).normal(size=(count, 2))
    one = replace(
        made(), values=values, data=data, predictions=values.sum(axis=1), std_error=None,
        base_values=np.zeros(count), target=np.zeros(count, int), feature_names=["kind", "number"],
        element_players=np.tile(np.arange(2), (count, 1)), exact=np.ones(count, bool),
        runs=np.full(count, ""),
    )  # fmt: skip
    figure = plt.figure(figsize=(width, 4), layout="constrained")
    axes = xai.plots.scatter(one, "kind", color=None, ax=figure.add_subplot())
    figure.canvas.draw()
    labels, places = axes.get_xticklabels(), axes.get_xticks()
    assert [label.get_text() for label in labels] == [kinds[int(place)] for place in places]
    if count <= 30 and width == 7:
        assert len(labels) == count
    assert len(labels) > count // 20
    # across their own direction, names are a line apart
    apart = np.diff(axes.transData.transform(np.stack([places, 0 * places], 1))[:, 0])
    apart *= np.sin(np.deg2rad(labels[0].get_rotation()))
    assert apart.min() > labels[0].get_fontsize() * figure.dpi / 72


@pytest.mark.parametrize("step", [0, 64, 1e9])
def test_a_scatter_of_times_in_nanoseconds_has_a_histogram(step: float) -> None:
    data = X.copy()
    data[:, 0] = 1.6e18 + step * np.arange(len(X))
    axes = xai.plots.scatter(replace(made(), data=data), 0, color=None)
    assert np.isclose(max(bar.get_height() for bar in axes.patches), 0.2)
    edges = [bar.get_x() for bar in axes.patches]
    assert min(edges) <= data[0, 0] <= data[-1, 0]
    assert sum(bar.get_height() for bar in axes.patches) >= 0.2


def test_a_date_that_is_missing_has_no_place() -> None:
    data = np.tile(np.arange("2020-01-01", "2020-02-10", dtype="M8[D]")[:, None], (1, 4))
    data[3] = np.datetime64("NaT")
    axes = xai.plots.scatter(replace(made(), data=data), 0, color=None)
    assert "without a value, not drawn: 1 of 40 rows" in axes.get_xlabel()
    low, high = axes.get_xlim()
    assert high - low < 60  # days


def test_a_column_of_numbers_with_gaps_is_drawn_as_numbers() -> None:
    pandas = pytest.importorskip("pandas")
    old = pandas.array([30, None, 50, 20], dtype="Int64")
    frame = pandas.DataFrame({"age": old, "job": ["cook", "clerk", "cook", "pilot"]})
    one = xai.explain(
        lambda f: f["age"].fillna(0).to_numpy(float), frame, "exact_shapley", data=frame
    )
    many = read_many(one)
    assert many.categories == ([], ["clerk", "cook", "pilot"])
    np.testing.assert_array_equal(many.data[:, 0], [30, np.nan, 50, 20])
    np.testing.assert_array_equal(
        dots(one.plot("scatter", feature="age"))[[0, 2, 3], 0], [30, 50, 20]
    )


@pytest.mark.parametrize("kind", ["beeswarm", "scatter"])
def test_infinite_values_of_a_feature_have_the_last_colour(kind: str) -> None:
    x = X.copy()
    x[0] = np.inf
    one = replace(made(), data=x)
    options: dict[str, Any] = {"feature": 0, "color": 1} if kind == "scatter" else {}
    axes = one.plot(kind, **options)
    axes.figure.canvas.draw()
    found = next(c for c in axes.collections if type(c).__name__ == "PathCollection")
    colours = np.asarray(found.get_array())
    assert colours.max() == colours[0] == 1
    assert partner(read_many(one), 0) == partner(read_many(made()[1:]), 0)


def test_the_words_of_a_short_text_are_all_that_is_drawn() -> None:
    texts = ["good film", "a film of many more words"]
    made = xai.explain(lambda t: np.array([len(s) * 1.0 for s in t]), texts, "occlusion")
    assert sorted(tick_labels(made[0].plot("beeswarm"))) == ["film", "good"]
    assert xai.overview.importance(made[0]).names == ["good", "film"]
    every = ["good", "film", "a", "of", "many", "more", "words"]
    assert xai.overview.importance(made).names == every


def test_interactions_are_drawn_as_they_are() -> None:
    one = made(order=2)
    axes = one.plot("interactions", row=3)
    order = [one.feature_names.index(name) for name in tick_labels(axes)]
    found = one.interactions[3]
    apart = np.abs(found - np.diag(np.diag(found))).sum(axis=0)
    assert order == np.argsort(-apart, kind="stable").tolist()
    drawn, expected = axes.images[0].get_array(), found[np.ix_(order, order)]
    np.testing.assert_array_equal(drawn.filled(0), expected - np.diag(np.diag(expected)))
    assert [text.get_text() for text in axes.texts] == [f"{v:+.2g}" for v in expected.ravel()]
    assert axes.images[0].get_clim()[0] == -axes.images[0].get_clim()[1] == -np.abs(drawn).max()
    assert "row 3 of 40" in axes.get_title() and "prediction" in axes.get_title()


def test_interactions_of_many_rows_are_mean_sizes() -> None:
    one = made(order=2)
    axes = one.plot("interactions", max_display=2)
    first, second = (one.feature_names.index(name) for name in tick_labels(axes))
    size = np.abs(one.interactions).mean(axis=0)
    drawn = axes.images[0].get_array()
    assert drawn.mask.tolist() == [[True, False], [False, True]]
    assert drawn[0, 1] == size[first, second] and axes.images[0].get_clim()[0] == 0
    assert "40 rows" in axes.get_title() and "the 2 of 4 that interact most" in axes.get_title()
    sampled = replace(one, info={"interactions_std_error": np.full(one.interactions.shape, 0.25)})
    labels = [ax.get_ylabel() for ax in sampled.plot("interactions").figure.axes]
    assert "mean |interaction|\nmedian standard error 0.25" in labels


def test_interactions_tell_the_error_of_what_is_drawn() -> None:
    """Of this row and this output, of pairs alone; nothing where it is exact or unknown."""
    errors = np.zeros((40, 4, 4))
    errors[0], errors[1], errors[2] = 0.5, 0.25, np.nan
    errors[:, np.arange(4), np.arange(4)] = 9.0
    one = replace(made(order=2), info={"interactions_std_error": errors})
    for row, told in enumerate(("0.5", "0.25")):
        assert one.plot("interactions", row=row).figure.axes[-1].get_ylabel() == (
            f"interaction\nmedian standard error {told}"
        )
    for row in (2, 3):
        assert one.plot("interactions", row=row).figure.axes[-1].get_ylabel() == "interaction"


def test_interactions_of_one_text_are_of_its_words() -> None:
    texts = ["not good", "a film of many more words"]

    def judge(texts: Any) -> Any:
        return np.array([t.count("good") * (1.0 - 2 * t.count("not")) for t in texts])

    one = xai.explain(judge, texts, "shapley", order=2)
    axes = one.plot("interactions", row=0)
    assert tick_labels(axes) == ["not", "good"]
    assert [text.get_text() for text in axes.texts] == ["+0", "-1", "-1", "+1"]
    with pytest.raises(ValueError, match=r"words of several texts differ.*row="):
        one.plot("interactions")


def test_what_has_no_interactions_says_how_to_have_them() -> None:
    with pytest.raises(ValueError, match=r"no interactions.*order=2"):
        made().plot("interactions")
    with pytest.raises(ValueError, match="max_display"):
        made(order=2).plot("interactions", max_display=0)


@pytest.mark.parametrize("kind", ["bar", "beeswarm", "global", "heatmap"])
def test_values_that_are_all_unknown_make_an_empty_picture(kind: str) -> None:
    one = replace(made(), values=np.full((40, 4), np.nan))
    one.plot(kind).figure.canvas.draw()
    xai.plots.global_bar({"a": one, "b": one}).figure.canvas.draw()


def test_nothing_to_show_is_refused() -> None:
    for draw in (xai.plots.compare, xai.plots.global_bar):
        with pytest.raises(ValueError, match="max_display must be an integer of at least 1"):
            draw({"a": made()}, max_display=0)
    score = xai.metrics.deletion(product, X, made(), removal="baseline")
    with pytest.raises(ValueError, match="rows is empty"):
        xai.plots.curves(score, rows=[])


def test_scatters_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'a'"):
        made().plot("scatter", feature="A")
    with pytest.raises(ValueError, match="feature 9: there are 4"):
        made().plot("scatter", feature=9)
    groups = xai.explain(
        product, X, "exact_shapley", data=np.zeros((1, 4)), players=[["0", "1"], ["2", "3"]]
    )
    with pytest.raises(ValueError, match="not one column of a table"):
        groups.plot("scatter", feature=0)
    missing = np.where(np.arange(4) == 1, np.nan, X)
    filled = xai.explain(
        lambda x: product(np.nan_to_num(x)), missing, "exact_shapley", data=np.zeros((1, 4))
    )
    with pytest.raises(ValueError, match=r"'feature 1' is .* or one that is missing in every row"):
        filled.plot("scatter", feature=1)


# ----------------------------------------------------------------------------------- heatmap


def test_a_heatmap_holds_every_value_in_the_order_asked_for() -> None:
    one = made()
    order = np.argsort(-np.abs(one.values).mean(axis=0))
    for asked, rows in (
        (None, np.arange(40)), ("prediction", np.argsort(one.predictions)), (range(39, -1, -1),
        np.arange(39, -1, -1)),
    ):  # fmt: skip
        axes = one.plot("heatmap", order=asked)
        np.testing.assert_allclose(axes.images[0].get_array(), one.values[rows][:, order].T)
        line = axes.child_axes[0].lines[0]
        np.testing.assert_allclose(line.get_ydata(), one.predictions[rows])
    widths = [patch.get_width() for patch in axes.child_axes[1].patches]
    np.testing.assert_allclose(widths, np.abs(one.values).mean(axis=0)[order])
    assert tick_labels(axes) == [NAMES[j] for j in order]
    low, high = axes.images[0].get_clim()
    assert low == -high


def test_rows_explained_alike_lie_beside_each_other() -> None:
    x = np.tile([[1.0, 0, 0, 0], [0, 5.0, 0, 0]], (10, 1))
    axes = made(x=x).plot("heatmap")
    changes = np.abs(np.diff(axes.images[0].get_array(), axis=1)).max(axis=0) > 1e-9
    assert changes.sum() == 1
    with pytest.raises(ValueError, match="did you mean 'clusters'"):
        made().plot("heatmap", order="cluster")


# -------------------------------------------------------------------------- decision and force


def test_decision_lines_lead_from_the_base_value_to_the_predictions() -> None:
    one = made()
    axes = one.plot("decision", rows=[3, 1, 2], max_display=2)
    lines = [np.asarray(line.get_xdata()) for line in axes.lines[1:]]
    assert {len(line) for line in lines} == {4}
    np.testing.assert_allclose([line[0] for line in lines], one.base_values[:3])
    np.testing.assert_allclose([line[-1] for line in lines], np.sort(one.predictions[[1, 2, 3]]))
    top = np.argmax(np.abs(one.values).mean(axis=0))
    row = int(np.argsort(one.predictions[[1, 2, 3]])[0]) + 1
    np.testing.assert_allclose(lines[0][-1] - lines[0][-2], one.values[row, top])
    lowest, highest = axes.lines[1].get_color(), axes.lines[3].get_color()
    assert same_color(lowest, amounts()(0.0))
    assert same_color(highest, amounts()(1.0))


def extents(axes: Axes) -> np.ndarray:
    return np.array([np.ptp(patch.get_xy()[:, 0]) for patch in axes.patches])


def test_the_sides_of_a_force_line_meet_at_the_prediction() -> None:
    one = made()
    for row in range(3):
        axes = one.plot("force", row=row)
        np.testing.assert_allclose(
            np.sort(extents(axes)), np.sort(np.abs(one.values[row][one.values[row] != 0]))
        )
        for patch in axes.patches:
            x = patch.get_xy()[:, 0]
            if same_color(patch.get_facecolor(), xai.plots.style.POSITIVE):
                assert x.max() <= one.predictions[row] + 1e-9
            else:
                assert x.min() >= one.predictions[row] - 1e-9


def test_a_force_line_of_rounding_alone_has_an_axis() -> None:
    same = np.full(len(X), 0.7)
    one = replace(made(), values=np.full(X.shape, 1e-18), base_values=same, predictions=same)
    left, right = one.plot("force").get_xlim()
    assert left < 0.7 < right < 0.7 + 1e-6


@pytest.mark.parametrize("mask", [True, False])
def test_highlighted_rows_of_a_decision_plot_are_dashed(mask: bool) -> None:
    """Such as those that are misclassified, of all explained rows, drawn or not."""
    one = made()
    asked: Any = np.isin(np.arange(40), [2, 7]) if mask else [2, 7]
    axes = one.plot("decision", rows=[3, 2, 1], highlight=asked)
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[-1] for line in dashed] == [pytest.approx(one.predictions[2])]
    for none in ([], np.zeros(40, bool), None):
        forms = {line.get_linestyle() for line in one.plot("decision", highlight=none).lines}
        assert forms == {"-"}
    with pytest.raises(IndexError, match="highlight: row 40 is out of range for 40"):
        one.plot("decision", highlight=[40])


def test_steps_of_force_and_decision_carry_their_intervals() -> None:
    one = sampled()
    axes = one.plot("force", row=1)
    bars = [container.lines[2][0].get_segments()[0] for container in axes.containers]
    assert len(bars) == len(axes.patches) == 4
    np.testing.assert_allclose([np.ptp(bar[:, 0]) for bar in bars], 2 * 1.96 * 0.25)
    blunt = [patch.get_xy()[3, 0] for patch in axes.patches]  # the arrow's end away from its point
    np.testing.assert_allclose([bar[:, 0].mean() for bar in bars], blunt)
    assert "1.96 standard errors" in axes.get_title()
    axes = one.plot("decision", rows=[1])
    way = axes.lines[-1].get_xdata()
    steps = np.array(axes.collections[-1].get_segments())
    np.testing.assert_allclose(steps[:, :, 0].mean(axis=1), way[:0:-1])
    np.testing.assert_allclose(np.ptp(steps[:, :, 0], axis=1), 2 * 1.96 * 0.25)
    assert "1.96 standard errors" in axes.get_xlabel()
    together = one.plot("decision").collections
    assert len(together) == 1  # all rows' at once
    colours = np.array([line.get_color() for line in one.plot("decision").lines[1:]])
    np.testing.assert_array_equal(together[0].get_color()[::4, :3], colours[:, :3])
    assert not made().plot("force", row=1).containers


def test_a_heatmap_of_many_rows_has_no_distances_of_all_to_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng, clustered = np.random.default_rng(0), []
    kind = rng.permutation(np.repeat(np.arange(5), 60))
    x = 10.0 * np.eye(5)[kind] + rng.normal(size=(300, 5))
    explained = xai.explain(lambda x: x.sum(axis=1), x, "occlusion", removal="baseline")
    from scipy.spatial import distance

    pdist = distance.pdist
    monkeypatch.setattr(distance, "pdist", lambda a: (clustered.append(len(a)), pdist(a))[1])
    monkeypatch.setattr(import_module("xai.plots.heatmap"), "CLUSTERED", 40)
    drawn = np.asarray(explained.plot("heatmap").images[0].get_array())
    assert clustered == [40] and drawn.shape == (5, 300)
    assert np.count_nonzero(np.diff(drawn.argmax(axis=0))) == 4  # alike beside each other


def test_a_heatmap_of_as_many_rows_as_features_may_be_all_zero() -> None:
    one = made(x=X[:4])
    flat = replace(one, values=np.zeros_like(one.values))
    assert flat.plot("heatmap").images[0].get_array().shape == (4, 4)


def test_a_heatmap_tells_how_far_off_it_is() -> None:
    axes = sampled().plot("heatmap")
    assert axes.images[0].colorbar.ax.get_ylabel() == "attribution\nmedian standard error 0.25"
    beside = next(child for child in axes.child_axes if child.patches)
    size = np.abs(sampled().values)
    expected = np.sort(1.96 * size.std(axis=0, ddof=1) / np.sqrt(len(size)))
    found = [np.ptp(s[:, 0]) / 2 for s in beside.collections[0].get_segments()]
    np.testing.assert_allclose(np.sort(found), expected)


def test_no_two_of_many_series_look_alike() -> None:
    one = made()
    axes = xai.plots.global_bar({f"cohort {j}": one for j in range(12)})
    looks = {(c.lines[0].get_color(), c.lines[0].get_marker()) for c in axes.containers}
    assert len(looks) == 12


def test_labels_of_a_force_line_do_not_cover_each_other() -> None:
    x = np.ones((1, 12))
    w = np.linspace(1, 2, 12) * (-1) ** np.arange(12)
    one = xai.explain(
        lambda x: x @ w, x, "exact_shapley", data=np.zeros((1, 12)),
        feature_names=[f"a rather long name {j}" for j in range(12)],
    )  # fmt: skip
    axes = one.plot("force", max_display=12)
    axes.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 12
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
    for leader in axes.collections[:12]:  # nor does what leads to one pass through another
        for segment in axes.transData.transform(np.concatenate(leader.get_segments())).reshape(
            -1, 2, 2
        ):
            (x, low), (_, high) = segment
            assert not [b for b in boxes if b.x0 < x < b.x1 and low < b.y1 - 1 and b.y0 + 1 < high]


@pytest.mark.parametrize("kind", ["decision", "force"])
def test_what_does_not_add_up_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=r"of occlusion do not.*Draw kind='bar' instead"):
        made("occlusion").plot(kind)


# ------------------------------------------------------------- means, cohorts, several methods


def test_global_bars_carry_the_error_of_the_mean_over_rows() -> None:
    one = made()
    axes = xai.plots.global_bar(one)
    (whiskers,) = axes.containers[1].lines[2]
    sizes = np.abs(one.values)
    order = np.argsort(-sizes.mean(axis=0))
    expected = 1.96 * sizes.std(axis=0, ddof=1)[order] / np.sqrt(40)
    np.testing.assert_allclose(
        [np.ptp(segment[:, 0]) / 2 for segment in whiskers.get_segments()], expected
    )
    assert "over rows" in axes.get_xlabel()


def test_global_bars_of_sampled_values_say_how_far_off_these_are() -> None:
    """What sampled values have in common, intervals over rows do not show."""
    for given, told in ((made(), False), (sampled(), True)):
        for drawn in (given, {"a": made(), "b": given}):
            axes = xai.plots.global_bar(drawn)
            assert ("single values: median standard error 0.25" in axes.get_xlabel()) == told
    assert "single values" not in xai.plots.global_bar(sampled()[:1]).get_xlabel()  # has its own


def test_cohorts_are_drawn_beside_each_other() -> None:
    one = made()
    axes = xai.plots.global_bar({"low": one[X[:, 0] < 0], "high": one[X[:, 0] >= 0]})
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [f"low ({(X[:, 0] < 0).sum()})", f"high ({(X[:, 0] >= 0).sum()})"]
    line = axes.containers[0].lines[0]
    expected = np.abs(one.values[X[:, 0] < 0]).mean(axis=0)
    order = [NAMES.index(label) for label in tick_labels(axes)]
    np.testing.assert_allclose(line.get_xdata(), expected[order])
    with pytest.raises(ValueError, match="names differ"):
        xai.plots.global_bar({"a": one, "b": replace(one, feature_names=list("wxyz"))})


def test_of_many_outputs_the_largest_are_drawn_and_the_others_told_of() -> None:
    sizes = np.random.default_rng(0).permutation(50)
    every = xai.explain(
        lambda x: x[:, :1] * sizes, X[:3], "exact_shapley", target="all", data=np.zeros((1, 4))
    )
    axes = every.plot("global", output="all")
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told == [f"output {i}" for i in np.flatnonzero(sizes >= 40)]
    assert "the 10 of 50 outputs with the largest attributions" in axes.get_title()
    assert axes.figure.get_size_inches()[1] < 16


@pytest.mark.parametrize("names", [["no", "yes"], ["same", "same"]])
def test_all_outputs_importances_are_drawn_beside_each_other(names: list[str]) -> None:
    both = xai.explain(
        lambda x: np.stack([product(x), x[:, 1]], axis=1), X, "exact_shapley", target="all",
        data=np.zeros((1, 4)), feature_names=NAMES, output_names=names,
    )  # fmt: skip
    axes = both.plot("global", output="all")
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told == (names if names[0] != names[1] else ["same (0)", "same (1)"])
    assert axes.get_title() == "exact_shapley\nover 40 rows"
    order = [NAMES.index(label) for label in tick_labels(axes)]
    for output, drawn in enumerate(axes.containers):
        expected = np.abs(both.values[..., output]).mean(axis=0)[order]
        np.testing.assert_allclose(drawn.lines[0].get_xdata(), expected)
    with pytest.raises(ValueError, match="no rows"):
        both[[]].plot("global", output="all")
    assert len(made().plot("global", output="all").containers) == 1  # of one output: this


def test_methods_of_a_table_are_compared_in_dots_with_intervals() -> None:
    axes = xai.plots.compare({"exact": made(), "sampled": sampled()}, rows=1)
    exact, noisy = axes.containers
    assert exact.lines[2] == ()
    (whiskers,) = noisy.lines[2]
    np.testing.assert_allclose(
        [np.ptp(segment[:, 0]) for segment in whiskers.get_segments()], 2 * 1.96 * 0.25
    )
    order = [NAMES.index(label.split(" = ")[0]) for label in tick_labels(axes)]
    np.testing.assert_allclose(exact.lines[0].get_xdata(), made().values[1][order])
    own = xai.plots.compare([made(), replace(made(), values=7 * made().values)], shared=False)
    left, right = (container.lines[0].get_xdata() for container in own.containers)
    np.testing.assert_allclose(left, right)
    assert np.abs(left).max() == 1
    for rows in ([0, 1], slice(0, 2), None):
        with pytest.raises(ValueError, match="one row at a time"):
            xai.plots.compare([made()], rows=rows)


def test_what_is_of_another_output_or_method_than_the_title_is_told_with_it() -> None:
    f = lambda x: x @ np.array([[1.0, 2.0], [3.0, -1.0]])  # noqa: E731
    x, options = np.eye(2), {"data": np.zeros((1, 2)), "output_names": ["no", "yes"]}
    own = xai.explain(f, x, "occlusion", **options)
    no = xai.explain(f, x, "exact_shapley", target=0, **options)
    legends = []
    for row in (0, 1):  # whose largest outputs are "yes" and "no"
        axes = xai.plots.compare({"own": own, "other": no}, row)
        legends.append([text.get_text() for text in axes.get_legend().get_texts()])
    assert legends == [["own", "other, of no"], ["own", "other"]]
    both = xai.plots.global_bar({"a": own, "b": no})
    assert both.get_title() == "occlusion: each row's own output\nexact_shapley: no"


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (made, "\nwhiskers: ±1.96 standard errors over rows (95 %)"),
        (lambda: sampled()[0], "\nwhiskers: ±1.96 standard errors (95 %)"),
        (lambda: made()[0], ""),
    ],
)
def test_cohorts_say_what_their_whiskers_are_of(make: Any, note: str) -> None:
    axes = xai.plots.global_bar({"a": make(), "b": make()})
    assert axes.get_xlabel() == "mean |attribution|" + note


@pytest.mark.parametrize("name", ["_private", "", "$a$_b"])
def test_every_series_is_in_the_legend(name: str) -> None:
    score = xai.metrics.deletion(product, X, made().values, removal="baseline")
    drawn = [
        xai.plots.compare({name: made(), "other": made()}),
        xai.plots.global_bar({name: made(), "other": made()}),
        xai.plots.curves({name: score, "other": score}),
    ]
    for axes in drawn:
        first, second = (text.get_text() for text in axes.get_legend().get_texts())
        assert first.strip().startswith(name.replace("$", r"\$"))
        assert second.startswith("other")


# ------------------------------------------------------------------------------------- curves


def test_curves_of_several_metrics_name_them_all() -> None:
    found = {
        name: getattr(xai.metrics, name)(product, X, made().values, removal="baseline")
        for name in ("deletion", "insertion")
    }
    axes = xai.plots.curves(found)
    assert axes.get_title() == "deletion: lower is better\ninsertion: higher is better"
    assert axes.get_xlabel().startswith("players removed (%) or players put back (%)\n")
    assert axes.get_ylabel() == "value of the output"


def test_curves_are_means_over_rows_with_bands() -> None:
    score = xai.metrics.deletion(product, X, made().values, removal="baseline")
    axes = xai.plots.curves({"mine": score, "again": score})
    np.testing.assert_allclose(axes.lines[0].get_ydata(), score.curve.mean(axis=0))
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    low, high = np.transpose([of_mean(values) for values in score.curve.T])
    assert np.isclose(band.max(), high.max())
    assert np.isclose(band.min(), low.min())
    assert "bands: 95 %" in axes.get_xlabel()
    few = xai.plots.curves(score, rows=[0, 1])  # which ± 1.96 errors miss in 30 % of cases
    reach = np.ptp(few.collections[0].get_paths()[0].vertices[:, 1])
    assert reach > 2 * 12.7 * score.curve[:2].std(axis=0, ddof=1).max() / np.sqrt(2)
    span = np.ptp(score.curve[:2])  # the lines are told apart, though
    assert span < np.ptp(few.get_ylim()) < 1.2 * span
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts[0] == f"mine ({score.mean():.3g})"
    few = xai.plots.curves(score, rows=[5])
    np.testing.assert_allclose(few.lines[0].get_ydata(), score.curve[5])
    assert "bands" not in few.get_xlabel()


def test_curves_of_rows_with_fewer_players_reach_over_all_shares(recwarn: Any) -> None:
    texts = ["a b", "a b b b", "b a b b b b b", "a"]
    score = xai.metrics.deletion(
        lambda rows: np.array([text.split().count("a") / 2.0 for text in rows]),
        texts, np.array([[5.0, 4, 3, 2, 1, 0.5, 0.2]] * 4), removal="baseline",
    )  # fmt: skip
    assert np.isnan(score.curve).any()
    axes = xai.plots.curves(score)
    drawn, share = axes.lines[0].get_ydata(), axes.lines[0].get_xdata() / 100
    ends = [score.curve[i, len(text.split())] for i, text in enumerate(texts)]
    assert np.isclose(drawn[-1], np.mean(ends)) and np.isclose(drawn[0], score.curve[:, 0].mean())
    own = [row[~np.isnan(row)] for row in score.curve]
    middle = np.mean([np.interp(share[3], np.linspace(0, 1, len(r)), r) for r in own])
    assert np.isclose(drawn[3], middle)
    few = xai.plots.curves(score, rows=[0, 3])
    assert not np.isnan(few.lines[0].get_ydata()).any()
    assert [str(one.message) for one in recwarn if one.category is RuntimeWarning] == []


@pytest.mark.parametrize(
    ("metric", "labels"),
    [
        ("deletion", ("players removed (%)", "value of the output")),
        ("sufficiency", ("players put back (%)", "value of the output")),
        ("abpc", ("players removed (%)", "least minus most important first")),
        ("irof", ("players removed (%)", "value of the output / its size for x")),
    ],
)
def test_curves_say_what_they_are_of(metric: str, labels: tuple[str, str]) -> None:
    score = getattr(xai.metrics, metric)(product, X, made().values, removal="baseline")
    axes = xai.plots.curves(score)
    assert (axes.get_xlabel().split("\n")[0], axes.get_ylabel()) == labels


def test_curves_of_randomisation_are_of_layers() -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2))
    x = torch.randn(5, 4)
    axes = xai.plots.curves(
        xai.metrics.parameter_randomization(net, x, xai.explain(net, x, "gradient"))
    )
    assert list(axes.lines[0].get_xdata()) == [1, 2]
    assert "layers drawn anew" in axes.get_xlabel() and axes.get_ylabel() == "rank correlation"


def test_curves_of_a_report() -> None:
    report = xai.metrics.evaluate(
        product, X, {"mine": made().values}, metrics=["sparseness", "deletion"], removal="baseline"
    )
    axes = xai.plots.curves(report)
    assert "deletion" in axes.get_title()
    names = [text.get_text().rsplit(" (", 1)[0] for text in axes.get_legend().get_texts()]
    assert names == ["mine", "random"]
    assert same_color(axes.lines[1].get_color(), NEUTRAL)
    with pytest.raises(ValueError, match="has no curve"):
        xai.plots.curves(report, "sparseness")
    with pytest.raises(ValueError, match="nothing to draw"):
        xai.plots.curves({})


# --------------------------------------------------------------------------------------- shap


@pytest.mark.parametrize("target", [0, "all"])
def test_shaps_explanations_come_and_go(target: Any) -> None:
    pytest.importorskip("shap")
    ours = xai.explain(
        lambda x: x @ np.arange(8.0).reshape(4, 2), X, "exact_shapley", data=np.zeros((1, 4)),
        target=target, feature_names=NAMES,
    )  # fmt: skip
    back = from_shap(ours.to_shap())
    np.testing.assert_array_equal(back.values, ours.values)
    np.testing.assert_allclose(back.predictions, ours.predictions)
    assert back.feature_names == NAMES
    np.testing.assert_array_equal(back.map(), ours.map())


def test_shaps_explanations_are_drawn_and_scored() -> None:
    shap = pytest.importorskip("shap")
    ours = made()
    theirs = ours.to_shap()
    for kind, options in (
        ("bar", {}), ("waterfall", {}), ("beeswarm", {}), ("scatter", {"feature": "a"}),
        ("heatmap", {}), ("decision", {}), ("force", {}), ("global", {}),
    ):  # fmt: skip
        axes = xai.plots.plot(theirs, kind, **options)
        assert tick_labels(axes) == tick_labels(ours.plot(kind, **options))
    single = shap.Explanation(np.array([1.0, -2.0]), 0.5, np.array([3.0, 4.0]))
    assert [p.get_width() for p in xai.plots.bar(single).patches] == [-2, 1]
    score = xai.metrics.deletion(product, X, from_shap(theirs), removal="baseline")
    same = xai.metrics.deletion(product, X, ours, removal="baseline")
    np.testing.assert_allclose(score.curve, same.curve)
    with pytest.raises(TypeError, match="expected an Explanation, ours or shap's, not ndarray"):
        xai.plots.bar(np.ones((2, 2)))


# --------------------------------------------------------------------- every picture and style


def _wild() -> dict[str, Callable[[], xai.Explanation]]:
    long = "a name with a great many words $in_it$ that nobody would want to read, number"
    return {
        "errors": sampled,
        "one row": lambda: made()[0],
        "zero": lambda: replace(
            made(), values=np.zeros((40, 4)), predictions=np.zeros(40), base_values=np.zeros(40)
        ),
        "long": lambda: replace(made(), feature_names=[f"{long} {j}" for j in range(4)]),
        "longer": lambda: replace(made(), feature_names=[f"{3 * long} {j}" for j in range(4)]),
        "huge": lambda: replace(
            made(), values=1e9 * made().values, predictions=1e9 * made().predictions
        ),
    }


@pytest.mark.parametrize("style", ["default", "dark_background", "fivethirtyeight"])
@pytest.mark.parametrize("kind", ["beeswarm", "scatter", "heatmap", "decision", "force", "compare"])
@pytest.mark.parametrize("wild", _wild())
def test_no_label_is_cut_off(wild: str, kind: str, style: str) -> None:
    with plt.style.context(style):
        one = _wild()[wild]()
        options = {"feature": 0} if kind == "scatter" else {}
        compared = kind == "compare"
        axes = xai.plots.compare([one, one]) if compared else one.plot(kind, **options)
        axes.figure.canvas.draw()
        frame = axes.figure.bbox.padded(1)
        low, high = sorted(axes.get_ylim())  # beyond, no label is drawn
        texts = [
            *(label for label in axes.get_yticklabels() if low <= label.get_position()[1] <= high),
            axes.title,
            axes.xaxis.label,
            axes.yaxis.label,
            *axes.texts,
        ]
        for text in texts:
            box = text.get_window_extent()
            if text.get_text():
                assert frame.x0 <= box.x0 <= box.x1 <= frame.x1, text.get_text()
                assert frame.y0 <= box.y0 <= box.y1 <= frame.y1, text.get_text()
        if kind == "force":
            assert axes.get_window_extent().width > 0.8 * axes.figure.bbox.width
        elif kind != "scatter":
            for above, below in pairwise([t.get_window_extent() for t in axes.get_yticklabels()]):
                assert above.y0 > below.y1
        assert not same_color(axes.xaxis.label.get_color(), axes.figure.get_facecolor())


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda e: e.plot("beeswarm", max_displa=3), "of 'beeswarm' 'max_displa'.*'max_display'"),
        (lambda e: e.plot("heatmap", row=2), "unknown option of 'heatmap' 'row'"),
        (lambda e: e.plot("scatter"), "'scatter' needs feature="),
        (lambda e: xai.plots.compare([e, e], row=1), "option of compare 'row'.*'rows'"),
        (lambda e: xai.plots.compare(e), "a dict from names to Explanations, or a list"),
        (lambda e: xai.report.page(e, "page.html"), "dict from names.*to_html"),
    ],
)
def test_options_of_pictures_are_refused_in_words(draw: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        draw(made())


def test_a_beeswarm_says_what_its_grey_dots_are() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"job": ["cook", "clerk"], "age": [30, 40]})
    one = xai.explain(lambda f: f["age"].to_numpy(), frame, "exact_shapley", data=frame)
    bar = one.plot("beeswarm").figure.axes[1]
    assert bar.get_ylabel() == "feature value; grey: categories"


# --------------------------------------------------------------------- what the numbers are of

AXES: dict[str, Callable[[xai.Explanation], str]] = {
    "bar": lambda e: e[0].plot("bar").get_xlabel(),
    "beeswarm": lambda e: e.plot("beeswarm").get_xlabel(),
    "scatter": lambda e: e.plot("scatter", feature=0).get_ylabel(),
    "heatmap": lambda e: e.plot("heatmap").images[0].colorbar.ax.get_ylabel(),
    "compare": lambda e: xai.plots.compare([e, e]).get_xlabel().split("\n")[0],
    "global_bar": lambda e: xai.plots.global_bar(e).get_xlabel().split("\n")[0],
    "waterfall": lambda e: e[0].plot("waterfall").get_xlabel(),
    "decision": lambda e: e.plot("decision").get_xlabel(),
    "force": lambda e: e[0].plot("force").get_title(),
}


@pytest.mark.parametrize("kind", AXES)
def test_axes_say_what_their_numbers_are_of(kind: str) -> None:
    plain, logged = made(x=X[:5]), replace(made(x=X[:5]), unit="log odds above '$x$'")
    without = {
        "global_bar": "mean |attribution|",
        "waterfall": "value of the output",
        "decision": "value of the output",
        "force": f"exact_shapley: price\nprediction {plain.predictions[0]:.4g}, base value 0",
    }
    assert AXES[kind](plain) == without.get(kind, "attribution")
    said = {
        "global_bar": "mean |attribution to log odds above '$x$'|",
        "waterfall": "value of the output (log odds above '$x$')",
        "decision": "value of the output (log odds above '$x$')",
        "force": f"{without['force']} (log odds above '$x$')",
    }
    told = AXES[kind](logged).replace("\n(", " (")
    assert told == said.get(kind, "attribution to log odds above '$x$'")
    plt.gcf().canvas.draw()  # dollars are no formula


def test_what_is_not_known_or_not_the_same_of_all_is_not_told() -> None:
    one = made(x=X[:5])
    others = [replace(one, unit=unit) for unit in ("probability", "log odds", "")]
    for pair in (others[:2], others[1:]):
        label = xai.plots.compare({str(i): e for i, e in enumerate(pair)}).get_xlabel()
        assert label.split("\n")[0] == "attribution"
        assert xai.aggregate(pair).unit == ""
    assert xai.aggregate(others[:1] * 2).unit == "probability"
    relative = xai.plots.compare([others[0]] * 2, shared=False).get_xlabel()
    assert relative.startswith("attribution / each method's largest")
