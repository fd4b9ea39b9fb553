"""Pictures of series: lines over colours, for whatever axis is the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

mpl.use("Agg")

import matplotlib.pyplot as plt

import xai
from xai.report.payload import payload

T, C = 24, 3
X = np.random.default_rng(0).normal(size=(4, T, C))
W = np.zeros((T, C))
W[5:9, 0], W[12:15, 2] = 1.0, -2.0


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def weighed(x: np.ndarray) -> np.ndarray:
    """A linear model of series, of either layout."""
    rows = x.reshape(len(x), *x.shape[-2:])
    rows = rows if rows.shape[1:] == W.shape else rows.swapaxes(1, 2)
    return (rows * W).sum(axis=(1, 2))


def explained(x: np.ndarray = X, method: str = "occlusion") -> xai.Explanation:
    return xai.explain(weighed, x, method, removal="baseline")


@pytest.mark.parametrize("x", [X, X.swapaxes(1, 2)], ids=["steps first", "channels first"])
def test_a_series_is_drawn_along_its_longer_axis(x: np.ndarray) -> None:
    axes = explained(x)[1].plot()
    assert axes.get_xlabel() == "step"
    assert_allclose(axes.images[0].get_array(), (W * X[1]).T)
    assert axes.images[0].get_extent() == [-0.5, T - 0.5, C - 0.5, -0.5]
    assert [t.get_text() for t in axes.get_yticklabels()] == [f"channel {c}" for c in range(C)]
    low, high = axes.images[0].get_clim()
    assert low == -high
    for c, line in enumerate(axes.lines):  # in its band, stretched to its own range, upwards
        own = X[1, :, c]
        assert_array_equal(line.get_xdata(), np.arange(T))
        assert_allclose(line.get_ydata(), c + 0.4 - 0.8 * (own - own.min()) / np.ptp(own))


def test_the_time_can_be_named() -> None:
    square = np.random.default_rng(0).normal(size=(2, 6, 6))
    e = xai.explain(lambda x: x[:, 0, 3] * 2.0, square, "occlusion", removal="baseline")
    assert len(e.plot().lines) == 0  # an image
    for axis in (1, 2):
        axes = e.plot("signal", time_axis=axis)
        heat = e.values[0] if axis == 2 else e.values[0].T
        assert_allclose(axes.images[0].get_array(), heat)
        first = axes.lines[0].get_ydata()
        own = square[0, 0] if axis == 2 else square[0, :, 0]
        assert_allclose(first, 0.4 - 0.8 * (own - own.min()) / np.ptp(own))
    with pytest.raises(ValueError, match="time_axis=3: the axes of a row are 1 to 2"):
        e.plot("signal", time_axis=3)


def test_channels_have_the_names_that_they_are_given() -> None:
    axes = explained().plot(channel_names=["lead I", "lead II", "V1"])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lead I", "lead II", "V1"]
    with pytest.raises(ValueError, match="channel_names has 1 names for 3 channels"):
        explained().plot(channel_names=["lead I"])


def test_one_channel_needs_no_axis_of_its_own() -> None:
    flat = np.random.default_rng(0).normal(size=(2, 50))
    e = xai.explain(lambda x: x[:, 20] - x[:, 3], flat, "occlusion", removal="baseline")
    assert not e[0].plot().images  # a table of its own accord
    drawn = e[0].plot("signal"), xai.explain(
        lambda x: x[:, 0, 20] - x[:, 0, 3], flat[:, None], "occlusion", removal="baseline"
    )[0].plot()  # fmt: skip
    for axes in drawn:
        assert len(axes.lines) == 1
        assert_allclose(axes.images[0].get_array(), e.values[:1])
        assert not any(t.get_text() for t in axes.get_yticklabels())


def test_groups_of_steps_share_their_value_and_gaps_stay_gaps() -> None:
    x = X.copy()
    x[0, 3, 1] = np.nan
    e = xai.explain(
        lambda x: np.nan_to_num(x) @ np.ones(C) @ np.ones(T), x, "occlusion",
        removal=xai.removal.Baseline(0), players=np.arange(T)[:, None] // 6,
    )  # fmt: skip
    assert e.values.shape == (4, 4)
    axes = e.plot()
    assert_allclose(axes.images[0].get_array(), np.tile(np.repeat(e.values[0], 6), (C, 1)))
    assert_array_equal(np.flatnonzero(np.isnan(axes.lines[1].get_ydata())), [3])


def test_a_series_is_drawn_where_it_is_asked_for_and_what_is_none_is_refused() -> None:
    _, ax = plt.subplots()
    assert xai.plots.signal(explained(), 2, ax=ax) is ax
    images = xai.explain(
        lambda x: x.sum(axis=(1, 2, 3)), np.ones((1, 4, 4, 2)), "occlusion", removal="baseline",
        channel_axis=-1,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"no series: one explained row has the shape \(4, 4, 2\)"):
        images.plot("signal")
    for axis in ("last", 9, 1.0):
        with pytest.raises(
            ValueError, match=f"channel_axis={axis!r}: the axes of a row are 1 to 3"
        ):
            images.plot("image", channel_axis=axis)
    with pytest.raises(ValueError, match=r"percentile must lie in \(0, 100\], not '99'"):
        images.plot("image", percentile="99")
    text = xai.explain(lambda x: np.ones(len(x)), ["a b"], "occlusion", removal="baseline")
    with pytest.raises(ValueError, match="no picture: some cells of the row are no numbers"):
        text.plot("slices")
    pandas = pytest.importorskip("pandas")
    words = pandas.DataFrame({"kind": ["a", "b"], "size": [1.0, 2.0]})
    table = xai.explain(lambda x: x["size"].to_numpy(), words, "occlusion", data=words)
    with pytest.raises(ValueError, match="no picture: some cells of the row are no numbers"):
        table.plot("signal")
    several = xai.explain(
        lambda x: np.stack([weighed(x)] * 2, axis=1), X, "occlusion", removal="baseline",
        target="all",
    )  # fmt: skip
    with pytest.raises(ValueError, match="several outputs are explained"):
        several.plot()
    assert several[0].plot(output=1).get_title().startswith("occlusion: output 1")


def test_methods_are_compared_below_each_other_in_their_own_units() -> None:
    one = explained()
    ten = replace(one, values=10 * one.values, method="ten times")
    for shared in (False, True):
        figure = xai.plots.compare([one, ten], shared=shared)
        first, second, *_ = figure.axes
        assert first.get_title().startswith("occlusion")
        assert second.get_title().startswith("ten times")
        heats = [np.asarray(ax.images[0].get_array()) for ax in (first, second)]
        assert_allclose(heats[1], heats[0] * (10 if shared else 1))
        assert first.images[0].get_clim() == second.images[0].get_clim()
        assert len(first.lines) == len(second.lines) == C
    with pytest.raises(ValueError, match="one row at a time"):
        xai.plots.compare([one, ten], rows=[0, 1])
    longer = np.ones((4, T + 1, C))
    other = xai.explain(lambda x: x.sum(axis=(1, 2)), longer, "occlusion", removal="baseline")
    with pytest.raises(ValueError, match="their shapes differ"):
        xai.plots.compare([one, other])


def test_pages_have_the_picture_of_a_series_from_left_to_right() -> None:
    e = explained()
    assert e[0]._repr_html_().count("data:image/png") == 1
    one = payload({"occlusion": e}, ["a", "b", "c", "d"], None)["maps"][0][0][0]
    assert (one["height"], one["width"]) == (C, T)


@pytest.mark.parametrize("axis", [1, -1, 0])
def test_where_channels_are_known_time_is_the_other_axis(axis: int) -> None:
    """Also of series shorter than they have channels, or of as many, or of no channel axis."""
    x = np.random.default_rng(0).normal(size={1: (2, 7, 5), -1: (2, 5, 7), 0: (2, 5)}[axis])
    e = xai.explain(
        lambda x: x.reshape(len(x), -1).sum(axis=1), x, "occlusion", removal="baseline",
        channel_axis=axis,
    )  # fmt: skip
    axes = e.plot()
    assert e.values.shape == (2, 5) and axes.get_xlabel() == "step"
    channels = 7 if axis else 1
    assert_allclose(axes.images[0].get_array(), np.tile(e.values[0], (channels, 1)))
    assert len(axes.lines) == channels
    score = xai.metrics.deletion(
        lambda x: x.reshape(len(x), -1).sum(axis=1), x, e, removal="baseline"
    )
    frames = xai.plots.strip(e, score, frames=6).axes[1:7]
    shown = [ax.images[0].get_array() for ax in frames]
    assert all(array.shape == (channels, 5, 3) for array in shown)
    changed = [(array != shown[0]).any(axis=(0, 2)) for array in shown]
    assert [int(steps.sum()) for steps in changed] == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero(changed[1]) == [e.values[0].argmax()]


def test_learned_masks_of_a_series_are_colours_behind_its_lines() -> None:
    x = np.random.default_rng(0).normal(size=(1, 2, 20))
    e = xai.explain(
        lambda x: x.sum(axis=(1, 2)), x, "occlusion", removal="baseline", channel_axis=1
    )
    masks = np.zeros((1, 2, 20))
    masks[0, 0, 3:7], masks[0, 1, 3:13] = 1.0, 1.0
    figure = replace(e, info={"masks": masks}).plot("masks")
    titles = [ax.get_title() for ax in figure.axes[:2]]
    assert titles == ["keeps 20.0 %", "keeps 50.0 %"]
    for ax, mask in zip(figure.axes, masks[0], strict=False):
        assert_array_equal(ax.images[0].get_array(), np.tile(mask, (2, 1)))
    with pytest.raises(ValueError, match=r"shape \(2, 7\); expected \(areas, 20\)"):
        replace(e, info={"masks": masks[..., :7]}).plot("masks")


@pytest.mark.parametrize("axis", [1, -1, 0])
def test_volumes_are_drawn_slice_by_slice(axis: int) -> None:
    sides = (9, 4, 5)
    shape = {1: (2, 3, *sides), -1: (2, *sides, 3), 0: (2, *sides)}[axis]
    x = np.random.default_rng(0).normal(size=shape)
    e = xai.explain(
        lambda x: x.reshape(len(x), -1).sum(axis=1), x, "occlusion", removal="baseline",
        channel_axis=axis,
    )  # fmt: skip
    figure = e[1].plot(frames=5)
    assert [ax.get_title() for ax in figure.axes[:5]] == ["0", "2", "4", "6", "8"]
    for ax, place in zip(figure.axes, (0, 2, 4, 6, 8), strict=False):
        assert_allclose(ax.images[1].get_array(), e.values[1, place])
    limits = {ax.images[1].get_clim() for ax in figure.axes[:5]}
    assert len(limits) == 1
    with pytest.raises(ValueError, match="kind='slices'"):
        e.plot("image")
    with pytest.raises(ValueError, match=r"no slices: .* places \(5,\)"):
        xai.explain(
            lambda x: x.sum(axis=1), np.ones((1, 5)), "occlusion", removal="baseline",
            channel_axis=0,
        ).plot("slices")  # fmt: skip
