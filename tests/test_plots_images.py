"""Maps without signs, methods side by side, learned masks, and the strip under a map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import xai
from xai.plots.picture import displayed


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def total(x: np.ndarray) -> np.ndarray:
    """Rows 0 and 1 speak for it, row 5 against."""
    return (x * np.array([1.0, 0.5, 0, 0, 0, -1.0])[:, None]).sum(axis=(1, 2, 3))


def made(method: str = "occlusion", n: int = 2, **options: object) -> xai.Explanation:
    x = np.random.default_rng(0).uniform(0.1, 1, (n, 3, 6, 8))
    return xai.explain(total, x, method, removal=xai.removal.Baseline(0), channel_axis=1, **options)


def positive(low: float = 0.0) -> xai.Explanation:
    one = made()
    return replace(one, values=np.abs(one.values) + low)


def pixels(axes: Axes, which: int = -1) -> np.ndarray:
    return np.asarray(axes.images[which].get_array())


def shown(axes: Axes) -> np.ndarray:
    """Colours of a drawn heat map (H, W, 4)."""
    heat = axes.images[-1]
    return np.asarray(heat.cmap(heat.norm(heat.get_array())))


def test_channels_are_listed_as_no_place_differs_from_another() -> None:
    """Their map was one colour, the sum of all of them."""
    bands = made(players=xai.players.Channels())
    assert [label.get_text() for label in bands.plot().get_yticklabels()] == [
        f"channel {i}" for i in np.argsort(bands.values[0])[::-1]
    ]
    assert xai.plots.compare([bands, bands]).get_legend() is not None
    assert "channel 1" in bands._repr_html_()
    assert not made(players=np.arange(3)[:, None, None]).plot().images
    apart = made(players="elements")
    assert len(apart.plot().images) == 2  # channels of a place and places differ


def test_units_of_a_dense_layer_are_listed() -> None:
    """No map of them lies over the image, nor over a series."""
    nn = pytest.importorskip("torch").nn
    x = np.random.default_rng(0).random((2, 1, 6, 6), np.float32)
    for rows in (x, x[:, 0, :2], x.reshape(2, 36)):
        net = nn.Sequential(nn.Flatten(), nn.Linear(rows[0].size, 4), nn.ReLU(), nn.Linear(4, 2))
        e = xai.explain(net, rows, "shapley", players=xai.players.Units("1"))
        assert not e.plot().images
        assert xai.plots.compare([e, e]).get_legend() is not None
        assert "<table>" in e._repr_html_()


@pytest.mark.parametrize("target", ["all", xai.Top(2)])
def test_all_outputs_of_an_image_stand_in_its_line(target: str | xai.Top) -> None:
    """Those that this row explains, each under its name, on one scale."""
    x = np.random.default_rng(0).uniform(0.1, 1, (2, 3, 6, 8))
    x[1] *= -1  # so that its largest outputs are others
    e = xai.explain(
        lambda x: np.stack([total(x), 0 * total(x), -total(x)], axis=1), x, "occlusion",
        removal=xai.removal.Baseline(0), channel_axis=1, target=target,
    )  # fmt: skip
    figure = e.plot("images", output="all")
    k = e.values.shape[-1]
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title().split("\n")[0] for ax in panels] == [
        f"occlusion: output {index}" for row in e.target for index in row
    ]
    for place, ax in enumerate(panels):
        np.testing.assert_allclose(pixels(ax), e.values[place // k, ..., place % k])
        spec = ax.get_subplotspec()
        assert (spec.rowspan.start, spec.colspan.start) == divmod(place, k)
    assert len({ax.images[-1].get_clim() for ax in panels}) == 1


# ---------------------------------------------------------------------------- photographs


@pytest.mark.parametrize("scaled", [(0, 255), (-1, 2), (-0.5, 2), (3.0, 7.0)])
def test_a_photograph_looks_the_same_however_it_was_scaled(scaled: tuple[float, float]) -> None:
    shift, factor = scaled
    photo = np.random.default_rng(1).random((5, 4, 3))
    np.testing.assert_allclose(displayed(shift + factor * photo), displayed(photo), atol=1e-12)
    assert displayed(photo).min() == 0
    assert displayed(photo).max() == 1


def test_photographs_of_odd_channels_and_of_one_colour() -> None:
    assert displayed(np.random.default_rng(1).random((5, 4, 7))).shape == (5, 4)
    assert displayed(np.random.default_rng(1).random((5, 4, 4))).shape == (5, 4, 3)
    np.testing.assert_array_equal(displayed(np.full((2, 2), -3.0)), 0.5)
    holes = np.array([[0.0, np.nan], [np.inf, 2.0]])
    np.testing.assert_array_equal(displayed(holes), [[0, 0.5], [1, 1]])


# ------------------------------------------------------------------------- colours of maps


def test_what_is_never_negative_goes_from_dark_to_bright() -> None:
    one = positive()
    axes = one.plot(percentile=100)
    low, high = axes.images[1].get_clim()
    assert (low, high) == (one.values[0].min(), one.values[0].max())
    order = np.argsort(one.values[0].ravel())
    colours = shown(axes).reshape(-1, 4)[order]
    brightness = colours[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(brightness) >= -1e-9).all()
    assert (np.diff(colours[:, 3]) >= -1e-9).all()
    assert colours[0, 3] == 0


def test_a_map_far_from_0_shows_its_differences() -> None:
    far = positive(low=100.0)
    assert far.plot(percentile=100).images[1].get_clim()[0] > 99
    assert np.ptp(shown(far.plot())[..., 3]) > 0.5


def test_one_negative_value_makes_the_scale_symmetric() -> None:
    values = positive().values.copy()
    values[0, 0, 0] = -0.01
    low, high = replace(positive(), values=values).plot().images[1].get_clim()
    assert low == -high


def test_several_rows_share_the_kind_of_scale() -> None:
    values = np.abs(made().values)
    values[1] *= -1
    figure = replace(made(), values=values).plot("images")
    assert {axes.images[1].get_clim()[0] < 0 for axes in figure.axes[:2]} == {True}


def test_class_activation_maps_are_drawn_with_and_without_signs() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 2)
    )
    one = xai.explain(net, torch.rand(1, 3, 8, 8), "gradcam")
    cut, whole = one.plot(percentile=100), one.plot(percentile=100, signed=True)
    np.testing.assert_allclose(pixels(cut), one.map()[0, 0], atol=1e-7)
    np.testing.assert_allclose(pixels(whole), one.map(signed=True)[0, 0], atol=1e-7)
    assert cut.images[1].get_clim()[0] >= 0
    assert whole.images[1].get_clim()[0] < 0


# --------------------------------------------------------------------------- side by side


def test_methods_side_by_side_share_a_scale_of_their_own_units() -> None:
    one = made()
    double = replace(one, values=2 * one.values)
    figure = xai.plots.compare({"one": one, "double": double, "cam": positive()}, rows=[0, 1])
    assert isinstance(figure, Figure)
    photo, first, second, third = figure.axes[:4]
    assert pixels(photo).shape == (6, 8, 3)
    np.testing.assert_allclose(pixels(first), pixels(second))
    assert [ax.images[-1].get_clim() for ax in (first, second, third)] == [(-1, 1), (-1, 1), (0, 1)]
    assert [ax.get_title().split("\n")[0] for ax in (first, second, third)] == [
        "one", "double", "cam",
    ]  # fmt: skip
    unit = np.percentile(np.abs(one.values[0]), 99)
    assert f"±1 = ±{unit:.3g}" in first.get_title()
    assert len(figure.axes) == 2 * 4 + 2  # two kinds of scale, a bar for each


def test_a_method_that_tells_signs_in_one_row_is_drawn_with_signs_in_all() -> None:
    one = made()
    values = one.values.copy()
    values[1] = np.abs(values[1])
    figure = xai.plots.compare({"one": replace(one, values=values), "cam": positive()}, rows=[0, 1])
    limits = [ax.images[-1].get_clim() for ax in figure.axes[:6] if len(ax.images) > 1]
    assert limits == [(-1, 1), (0, 1)] * 2


def test_methods_on_one_absolute_scale() -> None:
    one = made()
    double = replace(one, values=2 * one.values)
    figure = xai.plots.compare([one, double], shared=True, percentile=100)
    limits = {ax.images[-1].get_clim() for ax in figure.axes[1:3]}
    high = np.abs(double.values[0]).max()
    assert limits == {(-high, high)}
    np.testing.assert_allclose(pixels(figure.axes[2]), double.values[0])
    assert len(figure.axes) == 4


def test_a_map_of_another_output_is_told_with_it() -> None:
    f = lambda x: x.reshape(len(x), -1)[:, :3]  # noqa: E731 - three outputs, each of a pixel
    x = np.zeros((2, 6, 5, 1))
    x[0, 0, 0], x[1, 0, 1] = 1, 1
    names = ["cat", "dog", "owl"]
    own, dog = (
        xai.explain(f, x, "occlusion", removal="baseline", target=target, output_names=names)
        for target in ("predicted", 1)
    )
    figure = xai.plots.compare({"own": own, "dogs": dog}, rows=[0, 1])
    heads = [ax.get_title().split("\n")[0] for ax in figure.axes[:6]]
    assert heads == ["cat", "own", "dogs, of dog", "dog", "own", "dogs"]


def test_a_row_may_be_numpys_number() -> None:
    one, double = made(), replace(made(), values=2 * made().values)
    drawn = [xai.plots.compare([one, double], rows=row) for row in (1, np.int64(1))]
    same, other = (pixels(figure.axes[2]) for figure in drawn)
    np.testing.assert_array_equal(same, other)


def test_methods_of_one_name_are_told_apart() -> None:
    one, other = made(), made()
    other = replace(other, removal="Blur(sigma=3)")
    titles = [ax.get_title() for ax in xai.plots.compare([one, other]).axes[1:3]]
    assert "Baseline" in titles[0]
    assert "Blur" in titles[1]
    titles = [ax.get_title() for ax in xai.plots.compare([one, one]).axes[1:3]]
    assert "(1)" in titles[0]
    assert "(2)" in titles[1]


@pytest.mark.parametrize(("methods", "rows", "lines"), [(4, [0], 1), (5, [0], 2), (5, [0, 1], 2),
                                                        (11, [0, 1], 4)])  # fmt: skip
def test_many_methods_go_on_in_further_lines(methods, rows, lines) -> None:
    figure = xai.plots.compare({f"m{i}": made() for i in range(methods)}, rows=rows)
    panels = figure.axes[: (methods + 1) * len(rows)]
    figure.canvas.draw()
    assert len({round(ax.get_position().y0, 2) for ax in panels}) == lines
    titles = [ax.get_title().split("\n")[0] for ax in panels]
    own = [f"m{i}" for i in range(methods)]
    assert titles[1 : methods + 1] == own
    assert titles[methods + 2 :] == own * (len(rows) - 1)


def test_comparisons_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        xai.plots.compare([])
    with pytest.raises(ValueError, match=r"numbers differ: {'a': 2, 'b': 1}"):
        xai.plots.compare({"a": made(), "b": made(n=1)})
    with pytest.raises(ValueError, match="rows is empty"):
        xai.plots.compare([made()], rows=[])
    smaller = xai.explain(
        lambda x: x.sum(axis=(1, 2, 3)), np.ones((2, 3, 4, 4)), "occlusion",
        removal=xai.removal.Baseline(0), channel_axis=1,
    )  # fmt: skip
    with pytest.raises(ValueError, match="same images"):
        xai.plots.compare({"a": made(), "b": smaller})


# ---------------------------------------------------------------------------------- masks


def with_masks() -> xai.Explanation:
    masks = np.zeros((2, 3, 6, 8))
    for place, rows in enumerate((1, 2, 3)):
        masks[:, place, :rows] = 1
    return replace(made(), info={"masks": masks})


def test_masks_show_what_they_keep() -> None:
    one = with_masks()
    figure = one.plot("masks", row=1)
    photo = displayed(np.moveaxis(one.data[1], 0, -1))
    titles = [ax.get_title() for ax in figure.axes[1:]]
    assert titles == ["keeps 16.7 %", "keeps 33.3 %", "keeps 50.0 %"]
    for rows, ax in zip((1, 2, 3), figure.axes[1:], strict=True):
        np.testing.assert_allclose(pixels(ax, 0)[:rows], photo[:rows])
        rest = pixels(ax, 0)[rows:]
        np.testing.assert_allclose(rest, rest.mean(axis=-1, keepdims=True).repeat(3, -1))


def test_masks_that_are_missing_or_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="occlusion learned no masks"):
        made().plot("masks")
    wrong = replace(made(), info={"masks": np.zeros((2, 3, 5, 8))})
    with pytest.raises(ValueError, match=r"shape \(3, 5, 8\); expected \(areas, 6, 8\)"):
        wrong.plot("masks")


# ---------------------------------------------------------------------------------- strip


@pytest.mark.parametrize("metric", ["deletion", "insertion"])
@pytest.mark.parametrize("players", [None, "patches"])
def test_a_strip_shows_the_inputs_that_were_scored(metric: str, players: str | None) -> None:
    """What is faded in a frame is what was 0 in the model's input of that step."""
    one = made(players=xai.players.Patches(2)) if players else made()
    seen: list[np.ndarray] = []

    def watched(x: np.ndarray) -> np.ndarray:
        seen.extend(x.copy())
        return total(x)

    score = getattr(xai.metrics, metric)(watched, one.data, one, removal="baseline", steps=4)
    figure = xai.plots.strip(one, score, 1, frames=5)
    frames = figure.axes[1:6]
    assert [ax.get_title() for ax in frames] == ["0 %", "25 %", "50 %", "75 %", "100 %"]
    photo = displayed(np.moveaxis(one.data[1], 0, -1))
    inputs = {tuple((x != 0).all(axis=0).ravel()) for x in seen}
    counts = []
    for ax in frames:
        kept = np.isclose(pixels(ax), photo).all(axis=-1)
        counts.append(int(kept.sum()))
        assert tuple(kept.ravel()) in inputs
    expected = [48, 36, 24, 12, 0]
    assert counts == (expected if metric == "deletion" else expected[::-1])
    line = figure.axes[6].lines[0]
    np.testing.assert_allclose(line.get_ydata(), score.curve[1])
    assert "Baseline(value=0)" in figure.axes[6].get_xlabel()


def test_a_strip_of_a_row_with_fewer_players_shows_its_own_steps() -> None:
    x = made().data
    ids = np.tile(np.arange(12).reshape(6, 2).repeat(4, axis=1), (2, 3, 1, 1))
    ids[1] //= 4  # three of two lines each, beside twelve
    one = xai.explain(
        lambda x: np.stack([-total(x), total(x)], axis=1), x, "occlusion", removal="baseline",
        channel_axis=1, players=ids, target="all",
    )  # fmt: skip
    score = xai.metrics.deletion(
        lambda x: np.stack([-total(x), total(x)], axis=1), x, one, removal="baseline", target=1
    )
    with pytest.raises(ValueError, match="choose one with output="):
        xai.plots.strip(one, score, 1)
    figure = xai.plots.strip(one, score, 1, output=1, frames=4)
    photo = displayed(np.moveaxis(x[1], 0, -1))
    lines = [np.isclose(pixels(ax), photo).all(axis=(1, 2)) for ax in figure.axes[1:5]]
    assert [ax.get_title() for ax in figure.axes[1:5]] == ["0 %", "33 %", "67 %", "100 %"]
    order = np.argsort(-one.values[1, :3, 1])
    for step, kept in enumerate(lines):
        np.testing.assert_array_equal(kept, ~np.isin(np.arange(6) // 2, order[:step]))
    assert figure.axes[5].get_ylabel() == "output 1"


def test_a_strip_needs_a_curve_of_these_rows() -> None:
    one = made()
    score = xai.metrics.deletion(total, one.data, one, removal="baseline")
    with pytest.raises(ValueError, match="no curve"):
        xai.plots.strip(one, replace(score, curve=None))
    with pytest.raises(ValueError, match="score is of 2 rows, and the explanation of 1"):
        xai.plots.strip(one[0], score)


@pytest.mark.parametrize("style", ["default", "dark_background", "fivethirtyeight"])
def test_no_title_of_an_image_is_cut_off(style: str) -> None:
    one = with_masks()
    score = xai.metrics.deletion(total, one.data, one, removal="baseline")
    with plt.style.context(style):
        figures = [
            xai.plots.compare([one, positive()], rows=[0, 1]), xai.plots.masks(one),
            xai.plots.strip(one, score),
        ]  # fmt: skip
        for figure in figures:
            figure.canvas.draw()
            frame = figure.bbox.padded(2)
            for axes in figure.axes:
                box = axes.title.get_window_extent()
                assert frame.x0 <= box.x0 <= box.x1 <= frame.x1, axes.get_title()
                assert frame.y0 <= box.y0 <= box.y1 <= frame.y1, axes.get_title()


@pytest.mark.parametrize("shape", [(1, 500), (500, 1), (2, 41)])
def test_a_signal_is_stretched_until_it_is_seen(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).random((2, 1, *shape))
    one = xai.explain(
        lambda x: x.reshape(len(x), -1)[:, 3], x, "occlusion", removal="baseline", channel_axis=1,
        players=np.arange(max(shape)).reshape(shape[0] if shape[0] > 2 else 1, -1) // 10
        + np.zeros((1, *shape), int),
    )  # fmt: skip
    for figure in (one.plot().figure, one.plot("images"), xai.plots.compare([one, one])):
        figure.canvas.draw()
        for ax in figure.axes:
            if ax.images:
                box = ax.images[-1].get_window_extent()
                assert min(box.width, box.height) > 40


@pytest.mark.parametrize("height", [8, 80])
def test_titles_of_narrow_images_do_not_cover_each_other(height: int) -> None:
    x = np.random.default_rng(0).random((3, height, 4, 1))
    one = xai.explain(lambda x: x.sum(axis=(1, 2, 3)), x, "occlusion", removal="baseline")
    kept = replace(one, info={"masks": np.abs(one.values[:, None])})
    for figure in (one.plot("images"), xai.plots.compare([one, one]), xai.plots.masks(kept)):
        figure.canvas.draw()
        boxes = [ax.title.get_window_extent() for ax in figure.axes if ax.get_title()]
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize("shape", [(400, 2), (2, 400), (500, 1)])
def test_a_series_is_no_hairline(shape: tuple[int, int]) -> None:
    """Its steps and channels are no lengths of one kind; they have numbers, and do not blend."""
    x = np.random.default_rng(0).random((2, *shape))

    def total(x: np.ndarray) -> np.ndarray:
        return x.sum(axis=(1, 2))

    one = xai.explain(total, x, "occlusion", removal="baseline")
    score = xai.metrics.deletion(total, x, one, removal="baseline", steps=4)
    strip = xai.plots.strip(one, score, frames=2)
    strip.axes[-1].remove()  # the curve
    for figure in (one.plot("image").figure, one.plot("images"), strip):
        figure.canvas.draw()
        for ax in (ax for ax in figure.axes if ax.images):
            box = ax.get_window_extent()
            assert box.height / box.width == pytest.approx(2 if shape[0] > 2 else 0.4)
            assert {drawn.get_interpolation() for drawn in ax.images} == {"nearest"}
            assert ax.axison
            assert (np.array([*ax.get_xticks(), *ax.get_yticks()]) % 1 == 0).all()


@pytest.mark.parametrize("shape", [(80, 4, 1), (13, 23), (28, 28), (10, 25)])
def test_an_image_keeps_square_pixels(shape: tuple[int, ...]) -> None:
    """However narrow, and without channels, too."""
    x = np.random.default_rng(0).random((1, *shape))
    total = lambda x: x.reshape(len(x), -1).sum(axis=1)  # noqa: E731
    ax = xai.explain(total, x, "occlusion", removal="baseline").plot("image")
    assert ax.get_aspect() == 1
    assert not ax.axison


def test_a_colour_bar_tells_how_far_off_sampled_values_are() -> None:
    one = made()
    exact = replace(one, std_error=None, exact=np.ones(len(one), bool))
    error = np.full(one.values.shape, 0.25)
    sampled = replace(one, std_error=error, exact=np.zeros(len(one), bool))
    assert xai.plots.image(exact).figure.axes[-1].get_ylabel() == "attribution"
    for figure in (xai.plots.image(sampled).figure, xai.plots.images(sampled)):
        assert "median standard error 0.25" in figure.axes[-1].get_ylabel()
