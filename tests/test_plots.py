"""What the pictures say: widths are values, colours are signs, nothing is cut off or hidden."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import same_color, to_rgba
from matplotlib.figure import Figure

import xai
from xai.plots.png import png
from xai.plots.row import read
from xai.plots.style import NEGATIVE, POSITIVE, signed

W = np.array([0.5, -2.0, 1.0, -0.25])


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def linear(values: np.ndarray | None = None, **changes: Any) -> xai.Explanation:
    """Exact values W and 2W of a linear model's two rows, or other values in their place."""
    made = xai.explain(
        lambda x: x @ W + 3, np.array([[1.0] * 4, [2.0] * 4]), "exact_shapley",
        data=np.zeros((1, 4)), feature_names=["a", "b", "c", "d"], output_names=["price"],
    )  # fmt: skip
    if values is not None:
        owners = np.tile(np.arange(values.shape[1]), (len(values), 1))
        names = [f"x{j}" for j in range(values.shape[1])]
        made = replace(
            made, values=values, data=np.ones(values.shape), element_players=owners,
            feature_names=names, base_values=np.full(len(values), 3.0), evaluations=1,
            predictions=3 + np.nansum(values, axis=1), target=np.zeros(len(values), int),
            exact=np.ones(len(values), bool), runs=np.full(len(values), "enumeration"),
        )  # fmt: skip
    exact = np.full(len(made), "std_error" not in changes)
    return replace(made, exact=exact, **changes)


def pictures(channels_first: bool, **keywords: Any) -> xai.Explanation:
    """Two 6 x 8 colour images; the model sees rows 0 and 1 as good, row 5 as bad."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 255, (2, 3, 6, 8)).astype(np.uint8)

    def f(batch: np.ndarray) -> np.ndarray:
        batch = batch if channels_first else np.moveaxis(batch, -1, 1)
        weights = np.array([1.0, 0.5, 0, 0, 0, -1.0])
        return (batch * weights[:, None]).sum(axis=(1, 2, 3))

    axis = 1 if channels_first else 3
    x = x if channels_first else np.moveaxis(x, 1, -1)
    return xai.explain(
        f, x, "occlusion", removal=xai.removal.Baseline(0), channel_axis=axis, **keywords
    )


def tick_labels(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def widths(axes: Axes) -> list[float]:
    return [patch.get_width() for patch in axes.patches]


def numbers(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


# ---------------------------------------------------------------------------------------- bars


def test_bars_are_the_values_sorted_coloured_and_labelled() -> None:
    axes = xai.plots.bar(linear(), row=1)
    np.testing.assert_allclose(widths(axes), [-4, 2, 1, -0.5])
    assert tick_labels(axes) == ["b = 2", "c = 2", "a = 2", "d = 2"]
    assert numbers(axes) == ["-4.00", "+2.00", "+1.00", "-0.500"]
    expected = [NEGATIVE, POSITIVE, POSITIVE, NEGATIVE]
    for patch, colour in zip(axes.patches, expected, strict=True):
        assert same_color(patch.get_facecolor(), colour)
    top, bottom = axes.patches[0].get_window_extent(), axes.patches[-1].get_window_extent()
    assert top.y0 > bottom.y1
    assert axes.get_title() == "exact_shapley: price\nprediction 1.5, base value 3, row 1 of 2"


def test_the_others_are_summed_not_dropped() -> None:
    axes = xai.plots.bar(linear(), max_display=1)
    assert tick_labels(axes) == ["b = 1", "3 other features"]
    np.testing.assert_allclose(widths(axes), [-2, 1.25])
    assert tick_labels(xai.plots.bar(linear(), max_display=3))[-1] == "1 other feature"
    with pytest.raises(ValueError, match="max_display must be an integer of at least 1, not 0"):
        xai.plots.bar(linear(), max_display=0)


def test_whiskers_are_196_standard_errors() -> None:
    errors = np.array([[0.1, 0.2, np.nan, 0.3]] * 2)
    axes = xai.plots.bar(linear(std_error=errors), max_display=3)
    (whiskers,) = axes.containers[1].lines[2]
    ends = np.array([segment[:, 0] for segment in whiskers.get_segments() if len(segment)])
    # sorted b, c, a; c's error is unknown; nothing is known of the sum of the others
    np.testing.assert_allclose(ends.mean(axis=1), [-2, 0.5])
    np.testing.assert_allclose(np.ptp(ends, axis=1), [2 * 1.96 * 0.2, 2 * 1.96 * 0.1])
    assert "±1.96 standard errors" in axes.get_xlabel()
    assert "whiskers" not in xai.plots.bar(linear()).get_xlabel()


def test_the_steps_of_a_waterfall_have_whiskers_at_their_heads() -> None:
    made = linear(std_error=np.array([[0.1, 0.2, np.nan, 0.3]] * 2))
    axes = xai.plots.waterfall(made, max_display=3)
    (whiskers,) = axes.containers[1].lines[2]
    ends = np.array([segment[:, 0] for segment in whiskers.get_segments() if len(segment)])
    np.testing.assert_allclose(ends.mean(axis=1), [made.predictions[0], 3 + W[3] + W[0]])
    np.testing.assert_allclose(np.ptp(ends, axis=1), [2 * 1.96 * 0.2, 2 * 1.96 * 0.1])
    assert "±1.96 standard errors" in axes.get_xlabel()
    assert "whiskers" not in xai.plots.waterfall(linear()).get_xlabel()


def test_large_whole_numbers_are_written_out() -> None:
    made = replace(linear(), data=np.array([[17800.0, 1.78e9, 0.123456, 3.0]] * 2))
    assert read(made).labels == ["a = 17800", "b = 1.78e+09", "c = 0.1235", "d = 3"]


def test_no_number_is_told_as_minus_0() -> None:
    nothing = linear(-np.zeros((2, 3)), predictions=-np.zeros(2), base_values=-np.zeros(2))
    nothing = replace(nothing, data=-np.zeros((2, 3)))
    drawn = [nothing.plot(kind) for kind in ("bar", "waterfall", "force")]
    said = [text.get_text() for axes in drawn for text in [*axes.texts, axes.title]]
    said += [label for axes in drawn for label in tick_labels(axes)]
    one = replace(
        pictures(True)[0], values=np.where(np.arange(48) == 1, 1.0, -0.0).reshape(1, 6, 8)
    )
    said += [ax.get_title() for ax in xai.plots.compare([one, one]).axes]
    assert "x0 = 0" in said
    assert not any(part == "-0" or part.startswith("-0…") for text in said for part in text.split())


def test_nan_is_left_out_and_said() -> None:
    values = np.array([[1.0, np.nan, -2.0, np.nan]])
    for draw in (xai.plots.bar, xai.plots.waterfall):
        axes = draw(linear(values))
        assert "left out, their value is NaN: 2" in axes.get_xlabel()
        np.testing.assert_allclose(np.abs(widths(axes)), [2, 1])
    assert widths(xai.plots.bar(linear(np.full((1, 3), np.nan)))) == []


def test_global_bars_are_means_of_sizes() -> None:
    values = np.array([[1.0, -3.0, 0.0], [-2.0, -4.0, 1.0]])
    axes = xai.plots.global_bar(linear(values))
    np.testing.assert_allclose(widths(axes), [3.5, 1.5, 0.5])
    assert tick_labels(axes) == ["x1", "x0", "x2"]
    assert "over 2 rows" in axes.get_title()
    assert numbers(axes) == ["3.5", "1.5", "0.5"]
    owners = np.array([[0, 1, 2], [2, 1, 0]])
    with pytest.raises(ValueError, match=r"same players in every row.*explanation\[0\].plot\(\)"):
        xai.plots.global_bar(linear(values, element_players=owners))


def test_cells_are_shown_where_a_player_is_one_column() -> None:
    x = np.array([[1.0, 2.0, 3.0, 4.0]])
    grouped = xai.explain(
        lambda x: x @ W,
        x,
        "exact_shapley",
        data=np.zeros((1, 4)),
        players=[["2"], ["0", "1"], ["3"]],
    )
    labels = tick_labels(xai.plots.bar(grouped))
    assert sum(" = " in label for label in labels) == 2
    assert any(label.endswith("= 3") for label in labels)


def test_numbers_of_groups_are_no_columns() -> None:
    x = np.arange(12.0).reshape(2, 6)
    groups = np.array([0, 0, 1, -1, 2, 2])
    one = xai.explain(lambda x: x @ np.arange(6.0), x, "occlusion", data=0 * x, players=groups)
    assert tick_labels(one.plot()) == ["group 2", "group 1 = 2", "group 0"]
    series = xai.explain(
        lambda x: x.sum(axis=(1, 2)), x[..., None], "occlusion", removal=xai.removal.Baseline(0),
        players=np.arange(6)[:, None] // 2,
    )  # fmt: skip
    assert tick_labels(series[1].plot("bar")) == ["group 2", "group 1", "group 0"]
    alone = xai.explain(lambda x: x @ np.arange(6.0), x, "occlusion", data=0 * x)
    assert tick_labels(alone.plot())[0] == "feature 5 = 5"


def test_words_are_the_names_of_a_texts_players() -> None:
    texts = ["good film", "a very bad film"]
    made = xai.explain(lambda t: np.array([len(s) * 1.0 for s in t]), texts, "exact_shapley")
    assert sorted(tick_labels(xai.plots.bar(made, row=0))) == ["film", "good"]
    axes = xai.plots.bar(made, row=1)
    assert sorted(tick_labels(axes)) == ["a", "bad", "film", "very"]
    assert "NaN" not in xai.plots.bar(made, row=0).get_xlabel()


# ----------------------------------------------------------------------------------- waterfall


def test_a_waterfall_leads_from_the_base_value_to_the_prediction() -> None:
    axes = xai.plots.waterfall(linear(), row=1, max_display=2)
    assert tick_labels(axes) == ["prediction", "b = 2", "c = 2", "2 other features", "base value"]
    assert numbers(axes) == ["1.5", "-4.00", "+2.00", "+0.500", "3"]
    starts = np.array([patch.get_x() for patch in axes.patches])
    ends = starts + widths(axes)
    np.testing.assert_allclose(ends[0], 1.5)
    np.testing.assert_allclose(starts[:-1], ends[1:])
    np.testing.assert_allclose(starts[-1], 3)


def test_a_waterfall_refuses_what_does_not_add_up() -> None:
    product = xai.explain(
        lambda x: x[:, 0] * x[:, 1], np.ones((1, 2)), "occlusion", data=np.zeros((1, 2))
    )
    for kind in ("waterfall", "force", "decision"):
        told = rf"^a {kind}.* needs .*those of occlusion do not.*Draw kind='bar' instead"
        with pytest.raises(ValueError, match=told):
            product.plot(kind)
    with pytest.raises(ValueError, match="add up"):
        linear(base_values=np.full(2, np.nan)).plot("waterfall")
    thirds = np.float32([[0.1, 1 / 3, -1 / 7, 1e3]])
    single = linear(thirds, predictions=3 + thirds.sum(axis=1))
    assert isinstance(single.plot("waterfall"), Axes)


# ------------------------------------------------------------------------- outputs, rows, kinds


def test_one_of_several_outputs_must_be_chosen() -> None:
    W2 = np.array([[1.0, 0.0], [3.0, -3.0]])
    made = xai.explain(
        lambda x: x @ W2, np.ones((1, 2)), "exact_shapley", data=np.zeros((1, 2)), target="all",
        output_names=["no", "yes"],
    )  # fmt: skip
    for kind in ("bar", "waterfall", "global"):
        with pytest.raises(ValueError, match=r"choose one with output=.*0 \('no'\), 1 \('yes'\)"):
            made.plot(kind)
    np.testing.assert_allclose(widths(made.plot(output="yes")), [-3, 0])
    np.testing.assert_allclose(widths(made.plot(output=0)), [3, 1])
    with pytest.raises(ValueError, match="output 'maybe' is not explained"):
        made.plot(output="maybe")
    with pytest.raises(ValueError, match=r"output \[0, 1\] is not explained here"):
        made.plot(output=[0, 1])


def test_an_output_is_the_models_index_not_the_place_in_top() -> None:
    W3 = np.array([[1.0, 3.0, 2.0]])
    made = xai.explain(
        lambda x: x @ W3, np.ones((1, 1)), "exact_shapley", data=np.zeros((1, 1)),
        target=xai.Top(2), output_names=["p", "q", "r"],
    )  # fmt: skip
    assert widths(made.plot(output=1)) == [3.0]
    assert widths(made.plot(output="r")) == [2.0]
    with pytest.raises(ValueError, match="output 0 is not explained"):
        made.plot(output=0)


def test_wrong_rows_and_kinds_are_refused() -> None:
    with pytest.raises(IndexError, match="row 2 is out of range"):
        linear().plot(row=2)
    with pytest.raises(ValueError, match="did you mean 'waterfall'"):
        linear().plot("waterfal")
    with pytest.raises(ValueError, match=r"no picture: .*\(4,\)"):
        linear().plot("image")
    assert widths(linear().plot(row=-1)) == widths(linear().plot(row=1))


# -------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("channels_first", [True, False])
def test_the_heat_map_is_signed_and_symmetric(channels_first: bool) -> None:
    made = pictures(channels_first)
    axes = made.plot()
    picture, heat = axes.images
    np.testing.assert_allclose(heat.get_array(), made.values[0])
    low, high = heat.get_clim()
    assert low == -high == -np.percentile(np.abs(made.values[0]), 99)
    assert made.values[0, 0].min() > 0 > made.values[0, 5].max()
    assert same_color(heat.to_rgba(high, bytes=False), POSITIVE)
    assert same_color(heat.to_rgba(low, bytes=False), NEGATIVE)
    assert to_rgba(heat.to_rgba(0.0))[3] < 0.02
    assert picture.get_array().shape == (6, 8)
    assert axes.figure.axes[1].get_ylabel() == "attribution"
    assert heat.colorbar.extend == "both"
    full = xai.plots.image(made, percentile=100)
    assert full.images[1].get_clim()[1] == np.abs(made.values[0]).max()
    assert full.images[1].colorbar.extend == "neither"


def test_both_channel_orders_are_the_same_picture() -> None:
    first, last = (pictures(order).plot(row=1) for order in (True, False))
    for one, other in zip(first.images, last.images, strict=True):
        np.testing.assert_allclose(one.get_array(), other.get_array())


def test_channels_explained_apart_are_summed_and_groups_are_not() -> None:
    elements = pictures(True, players="elements")
    axes = elements.plot()
    np.testing.assert_allclose(axes.images[1].get_array(), elements.values[0].sum(axis=0))
    assert axes.figure.axes[1].get_ylabel() == "attribution (sum of the channels)"
    patches = pictures(True, players=xai.players.Patches(2))
    heat = patches.plot().images[1].get_array()
    np.testing.assert_allclose(heat, np.kron(patches.values[0].reshape(3, 4), np.ones((2, 2))))


def test_images_share_one_scale_and_one_colour_bar() -> None:
    made = pictures(True)
    figure = made.plot("images", rows=[1, 0, 1])
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 4
    limits = {axes.images[1].get_clim() for axes in figure.axes[:3]}
    assert limits == {(-1 * h, h) for h in [np.percentile(np.abs(made.values[[1, 0, 1]]), 99)]}
    np.testing.assert_allclose(figure.axes[0].images[1].get_array(), made.values[1])
    assert len(made.plot("images").axes) == len(made) + 1
    with pytest.raises(ValueError, match="rows is empty"):
        made.plot("images", rows=[])


def test_odd_pictures_are_drawn() -> None:
    made = pictures(False)
    nothing = replace(made, values=np.zeros_like(made.values)).plot()
    assert nothing.images[1].get_clim() == (-1, 1)
    holes = made.values.copy()
    holes[:, 0] = np.nan
    assert np.isfinite(replace(made, values=holes).plot().images[1].get_clim()).all()
    replace(made, values=np.full_like(holes, np.nan)).plot()
    spike = np.zeros_like(holes)
    spike[0, 2, 2] = -5
    assert replace(made, values=spike).plot(percentile=90).images[1].get_clim() == (-5, 5)
    flat = replace(made, data=np.full_like(made.data, 7)).plot().images[0].get_array()
    np.testing.assert_allclose(flat, 0.5)


def test_images_need_a_channel_axis_and_a_sound_percentile() -> None:
    made = replace(pictures(True), channel_axis=None)
    with pytest.raises(ValueError, match="Pass channel_axis=1 or 3"):
        xai.plots.image(made)
    known = xai.plots.image(made, channel_axis=1)
    np.testing.assert_allclose(known.images[1].get_array(), made.values[0])
    assert widths(made.plot(max_display=2))  # bars, where no picture is known
    with pytest.raises(ValueError, match="percentile must lie in"):
        xai.plots.image(made, channel_axis=1, percentile=0)


# ------------------------------------------------------------------- every picture, every style


def _wild() -> dict[str, xai.Explanation]:
    rng = np.random.default_rng(1)
    many = rng.normal(size=(3, 30))
    long = "a name with a great many words $in_it$ that nobody would want to read, number"
    return {
        "many": linear(many, std_error=np.abs(many) / 5),
        "long": linear(many[:, :5], feature_names=[f"{long} {j}" for j in range(5)]),
        "wide": linear(many[:, :3], output_names=["an output " * 12]),
        "tiny": linear(many[:, :5] * 1e-12),
        "huge": linear(many[:, :5] * -1e12, std_error=np.abs(many[:, :5]) * 1e11),
        "zero": linear(np.zeros((2, 4))),
        "one": linear(np.ones((1, 1))),
    }


@pytest.mark.parametrize("style", ["default", "dark_background", "fivethirtyeight"])
@pytest.mark.parametrize("kind", ["bar", "waterfall", "global"])
@pytest.mark.parametrize("wild", _wild())
def test_no_label_is_cut_off_or_covered(wild: str, kind: str, style: str) -> None:
    with plt.style.context(style):
        axes = _wild()[wild].plot(kind)
        figure = axes.figure
        figure.canvas.draw()
        frame = figure.bbox.padded(1)
        texts = [*axes.get_yticklabels(), *axes.texts, axes.title, axes.xaxis.label]
        boxes = [text.get_window_extent() for text in texts]
        for text, box in zip(texts, boxes, strict=True):
            assert frame.x0 <= box.x0 < box.x1 <= frame.x1, text.get_text()
            assert frame.y0 <= box.y0 < box.y1 <= frame.y1, text.get_text()
        rows = boxes[: len(axes.get_yticks())]
        for above, below in pairwise(rows):
            assert above.y0 > below.y1 + 5
        inside = axes.get_window_extent().padded(1)
        for patch in axes.patches:
            box = patch.get_window_extent()
            assert inside.x0 <= box.x0 <= box.x1 <= inside.x1
        for text in axes.texts:
            assert text.get_window_extent().x0 >= inside.x1 - 1
        # text and zero line follow the style; the bars' colours do not
        ink, paper = axes.xaxis.label.get_color(), figure.get_facecolor()
        assert not same_color(ink, paper)


def test_mathematics_in_names_is_not_typeset() -> None:
    axes = linear(feature_names=["$x_1$", "$broken", "c", "d"], output_names=["$y"]).plot()
    axes.figure.canvas.draw()
    assert not any(label.get_parse_math() for label in axes.get_yticklabels())
    assert not axes.title.get_parse_math()


def test_numbers_are_written_with_three_digits_and_a_sign() -> None:
    written = [signed(v) for v in (0.0812, -3.1e-9, 0.0, -0.0, float("nan"), 123.4, 5e7)]
    assert written == ["+0.0812", "-3.10e-09", "0", "0", "NaN", "+123", "+5.00e+07"]


@pytest.mark.parametrize("make", [linear, lambda: pictures(True)], ids=["table", "image"])
def test_drawing_changes_nothing(make: Callable[[], xai.Explanation]) -> None:
    made = make()
    before = {name: np.array(getattr(made, name)) for name in ("values", "data", "predictions")}
    settings = dict(mpl.rcParams)
    axes = plt.figure().add_subplot()
    assert made.plot(ax=axes) is axes
    made.plot()
    assert dict(mpl.rcParams) == settings
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(made, name), array)


@pytest.mark.parametrize("ax", [3, "ax", np.zeros(2), plt.Figure()], ids=type)
@pytest.mark.parametrize("kind", ["bar", "waterfall", "force", "beeswarm", "heatmap", "image"])
def test_what_is_no_axes_is_told(ax: object, kind: str) -> None:
    made = pictures(True) if kind == "image" else linear()
    told = f"ax must be one of matplotlib's Axes, .* not a {type(ax).__name__}"
    with pytest.raises(TypeError, match=told):
        made.plot(kind, ax=ax)


def test_colour_bars_and_tables_say_what_their_numbers_are_of() -> None:
    shown = replace(pictures(True), unit="log odds above 'a class of a long name'")
    axes = xai.plots.image(shown)
    label = "attribution to log odds above 'a class\nof a long name'"
    assert axes.figure.axes[1].get_ylabel() == label
    figure = xai.plots.compare({"one": shown, "two": shown}, shared=True)
    assert figure.axes[-1].get_ylabel() == label
    table = replace(linear(), unit="raw output")
    assert "price, prediction 2.25, base value 3 (raw output)<" in table._repr_html_()


def test_png_leaves_no_figure_open() -> None:
    for content in (png(linear(), "waterfall", row=1), png(pictures(True), row=1)):
        assert content.startswith(b"\x89PNG")
    assert plt.get_fignums() == []


def test_importing_the_pictures_does_not_import_matplotlib() -> None:
    code = "import sys, xai; xai.plots.plot; import xai.report, xai.cli; " \
           "assert 'matplotlib' not in sys.modules"  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")
