"""Ours in shap's plots, shap's in ours and in the metrics: the same numbers, wherever they go."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import xai
from xai import metrics, plots
from xai.foreign import from_shap
from xai.metrics.registry import RECORDS
from xai.players import Patches, Windows

shap = pytest.importorskip("shap")
pandas = pytest.importorskip("pandas")

plt.switch_backend("Agg")

pytestmark = [
    # shap's own calls of matplotlib and NumPy
    pytest.mark.filterwarnings("ignore::DeprecationWarning:shap"),
    pytest.mark.filterwarnings("ignore::FutureWarning:shap"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning:shap"),
]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True, as_frame=True)
    return X, y, RandomForestClassifier(20, random_state=0).fit(X, y)


@pytest.fixture(scope="module")
def mixed(iris):
    """A table with a column of words."""
    X, y, _ = iris
    X = X.assign(kind=pandas.Categorical(np.where(np.arange(150) % 3, "odd", "even")))
    encoder = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    return X, make_pipeline(encoder, RandomForestClassifier(10, random_state=0)).fit(X, y)


@pytest.fixture(scope="module")
def ours(iris, mixed):
    """Explanations of tables, by what is special about them."""
    X, y, forest = iris
    x, data = X[::8], X[::10]
    sampled = {"estimator": "permutation", "budget": 100}
    mixture, pipe = mixed
    return {
        "exact": xai.explain(forest, x, "shapley", data=data, target=1),
        "sampled": xai.explain(forest, x, "shapley", data=data, target=1, **sampled),
        "words": xai.explain(pipe, mixture[::8], data=mixture[::15], target=1),
        "groups": xai.explain(
            forest, x, "shapley", data=data, target=1, players=[[0, 1], [2, 3]]
        ),
        "interactions": xai.explain(forest, x, "shapley", data=data, target=1, order=2),
        "loss": xai.explain(forest, x, "loss_shap", data=data, y=y[::8], loss="squared"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def every(iris):
    X, _, forest = iris
    return xai.explain(forest, X[::8], "shapley", data=X[::10], target="all")


@pytest.fixture(scope="module")
def theirs(iris):
    """Of shap's TreeExplainer: (n, d, k)."""
    X, _, forest = iris
    return shap.TreeExplainer(forest, X[::10])(X[::8])


# ------------------------------------------------------------------------ ours in shap's plots

ROW = {
    "waterfall": lambda s: shap.plots.waterfall(s[0], show=False),
    "bar of a row": lambda s: shap.plots.bar(s[0], show=False),
    "force of a row": lambda s: shap.plots.force(s[0], matplotlib=True, show=False),
}
TABLE = {
    "bar": lambda s: shap.plots.bar(s, show=False),
    "bar of cohorts": lambda s: shap.plots.bar(s.cohorts(2).abs.mean(0), show=False),
    "beeswarm": lambda s: shap.plots.beeswarm(s, show=False),
    "violin": lambda s: shap.plots.violin(s, show=False),
    "scatter": lambda s: shap.plots.scatter(s[:, 0], show=False),
    "scatter in colour": lambda s: shap.plots.scatter(s[:, -1], color=s, show=False),
    "heatmap": lambda s: shap.plots.heatmap(s, show=False),
    "decision": lambda s: shap.plots.decision(
        float(s.base_values[0]), s.values, s.data, list(s.feature_names), show=False
    ),
    "force": lambda s: shap.plots.force(s),
    "group_difference": lambda s: shap.plots.group_difference(
        s.values, np.arange(len(s)) % 2 == 0, list(s.feature_names), show=False
    ),
}


@pytest.mark.parametrize("plot", [*ROW, *TABLE])
@pytest.mark.parametrize("name", ["exact", "sampled", "words"])
def test_shaps_plots_draw_tables_of_ours(ours, name, plot):
    (ROW | TABLE)[plot](ours[name].to_shap())


@pytest.mark.parametrize("plot", [*ROW, "bar", "beeswarm", "heatmap", "decision"])
@pytest.mark.parametrize("name", ["groups", "interactions", "loss"])
def test_shaps_plots_draw_other_games(ours, name, plot):
    (ROW | TABLE)[plot](ours[name].to_shap())


@pytest.mark.parametrize("plot", [*ROW, *TABLE])
def test_shaps_plots_draw_one_of_several_outputs(every, plot):
    (ROW | TABLE)[plot](every.to_shap()[..., 2])


def test_shaps_plots_draw_several_outputs_and_data_sets(iris, every):
    X, y, forest = iris
    s = every.to_shap()
    outputs = [s.values[..., k] for k in range(3)]
    shap.multioutput_decision_plot(s.base_values[0].tolist(), outputs, 0, show=False)
    for method, options in [("permutation_test", {}), ("sage", {"data": X[::30]})]:
        e = xai.explain(forest, X[::5], method, y=y[::5], **options)
        shap.plots.bar(e.to_shap()[0], show=False)


def test_how_far_off_shaps_values_are_is_unknown(ours):
    theirs = xai.Explanation.from_shap(ours["sampled"].to_shap())
    assert not theirs.exact.any() and np.isnan(theirs.std_error).all()
    assert "whiskers" not in theirs[0].plot().get_xlabel()


def test_shap_draws_our_numbers(ours):
    e = ours["exact"]
    axes = shap.plots.bar(e.to_shap(), show=False)
    lengths = sorted(patch.get_width() for patch in axes.patches)
    assert_allclose(lengths, np.sort(np.abs(e.values).mean(axis=0)))


def test_words_stay_words_for_labels_and_become_codes_for_colours(ours, mixed):
    s = ours["words"].to_shap()
    assert s.data.dtype == float
    words = mixed[0]["kind"][::8].tolist()
    assert s.display_data[:, -1].tolist() == words
    assert_array_equal(s.data[:, -1], [float(word == "odd") for word in words])
    axes = shap.plots.waterfall(s[0], show=False)
    assert any("even" in text.get_text() for text in axes.get_yticklabels())


def test_columns_come_in_the_order_of_their_players(mixed):
    X, pipe = mixed
    groups = {"kind": ["kind"]} | {name: [name] for name in X.columns[:4]}
    e = xai.explain(pipe, X[::20], "shapley", data=X[::15], target=1, players=groups)
    s = e.to_shap()
    assert s.feature_names == list(groups)
    assert_array_equal(s.display_data, X[::20][list(groups)].to_numpy(object))
    groups = {"flower": list(X.columns[:4]), "kind": ["kind"]}
    e = xai.explain(pipe, X[::20], "shapley", data=X[::15], target=1, players=groups)
    assert e.to_shap().data is None
    assert e.to_shap().feature_names == ["flower", "kind"]


# ------------------------------------------------------------------------------------- images


def images(shape, axis):
    """Two images, and a model of two outputs that weighs their pixels."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(2, *shape))

    def model(x):
        return np.tensordot(np.asarray(x), w, axes=([1, 2, 3], [1, 2, 3]))

    x = rng.random((2, *shape))
    common = {"removal": xai.removal.Baseline(0), "channel_axis": axis}
    return model, x, common


@pytest.mark.parametrize(("shape", "axis"), [((8, 8, 3), -1), ((3, 8, 8), 1), ((1, 8, 8), 1)])
@pytest.mark.parametrize("players", ["elements", None, "patches"])
def test_images_are_shared_out_among_pixels_and_keep_their_sums(shape, axis, players):
    model, x, common = images(shape, axis)
    owners = Patches(4) if players == "patches" else players
    size = {"elements": 1, None: x.shape[axis], "patches": 16 * x.shape[axis]}[players]
    for target in (1, "all"):
        e = xai.explain(model, x, "occlusion", target=target, players=owners, **common)
        s = e.to_shap()
        assert_array_equal(s.data, np.moveaxis(x, axis, -1))
        assert s.values.shape == s.data.shape + e.base_values.shape[1:]
        assert_allclose(s.values.sum(axis=(1, 2, 3)) + e.base_values, e.predictions, atol=1e-9)
        heat = np.moveaxis(e.map(), axis % 4, 3)
        assert_allclose(s.values, heat / size, atol=1e-12)  # each player's elements alike
        shap.plots.image(s, show=False)
        shap.plots.image(s[0], show=False)


def test_what_is_never_removed_has_no_share_of_a_picture():
    model, x, common = images((3, 8, 8), 1)
    owners = np.arange(192).reshape(3, 8, 8) // 48 - 1
    e = xai.explain(model, x, "occlusion", target=0, players=owners, **common)
    shares = np.where(owners < 0, 0.0, e.values[:, owners] / 48)
    assert_allclose(e.to_shap().values, np.moveaxis(shares, 1, 3), atol=1e-12)


def test_truth_values_are_numbers_and_need_no_words():
    x = np.eye(3, 2, dtype=bool)
    s = xai.explain(
        lambda x: x[:, 0] * 1.0, x, "occlusion", removal=xai.removal.Baseline(0)
    ).to_shap()
    assert_array_equal(s.data, x * 1.0)
    assert s.data.dtype == float and s.display_data is None


def test_windows_that_overlap_and_channels_of_a_network_come_as_their_map():
    model, x, common = images((8, 8, 3), -1)
    e = xai.explain(model, x, "occlusion", target=0, players=Windows(4, stride=2), **common)
    s = e.to_shap()
    assert_allclose(s.values.sum(axis=3), e.map()[..., 0])
    shap.plots.image(s, show=False)


def test_cams_and_tensors_of_a_network():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2)
    )
    x = torch.rand(2, 3, 8, 8)
    gradient = xai.explain(net, x, "gradient", target=0).to_shap()
    assert gradient.values.shape == gradient.data.shape == (2, 8, 8, 3)
    shap.plots.image(gradient, show=False)
    cam = xai.explain(net, x, "gradcam", target=0, layer="1")
    s = cam.to_shap()
    assert_allclose(s.values.sum(axis=3), cam.map(signed=True)[:, 0], atol=1e-6)
    shap.plots.image(s, show=False)
    units = xai.explain(net, x, "layer_integrated_gradients", target=0, layer="2")  # no places
    assert_array_equal(units.to_shap().values, units.values)
    shap.plots.bar(units.to_shap()[0], show=False)


# -------------------------------------------------------------------------------------- texts


def word_model(texts):
    return np.array([len(t.split()) + 2.0 * ("b" in t) for t in texts])


def test_texts_reach_shaps_plots_word_for_word():
    texts = ["a bb", "a bb ccc <dddd>"]
    e = xai.explain(word_model, texts, "occlusion", removal="baseline")
    s = e.to_shap()
    assert ["".join(words) for words in s.data] == texts
    assert s.feature_names == [["a", "bb", "", ""], ["a", "bb", "ccc", "<dddd>"]]
    assert_array_equal(s.values, np.nan_to_num(e.values))
    page = shap.plots.text(s, display=False)
    assert "&lt;dddd&gt;" in page
    shap.plots.text(s[1], display=False)
    shap.plots.waterfall(s[1], show=False)
    axes = shap.plots.bar(s[1], show=False)
    assert any("ccc" in text.get_text() for text in axes.get_yticklabels())


def test_one_text_of_shaps_is_drawn_and_several_are_refused():
    words = [["a ", "bb ", "c"], ["a ", "bb ", "ccc ", "dddd ", "e"]]  # as shap's Text masks them
    values = np.array([np.arange(1.0, 4.0), np.arange(1.0, 6.0)], object)
    names = [[word.strip() for word in row] for row in words]
    data = tuple(np.array(row, object) for row in words)
    found = shap.Explanation(values, np.zeros(2), data, feature_names=names)
    labels = [text.get_text() for text in plots.bar(found[1]).get_yticklabels()]
    assert sorted(labels) == ["a", "bb", "ccc", "dddd", "e"]
    plots.waterfall(found[1])
    plots.force(found[1])
    with pytest.raises(ValueError, match=r"one by one: pass explanation\[i\]"):
        plots.bar(found)


# ------------------------------------------------------------------------- and back, unchanged


@pytest.mark.parametrize("name", ["exact", "sampled", "words", "loss"])
def test_there_and_back(ours, name):
    e = ours[name]
    back = from_shap(e.to_shap())
    assert_array_equal(back.values, e.values)
    assert_array_equal(back.base_values, e.base_values)
    assert_allclose(back.predictions, e.predictions, atol=1e-12)
    assert back.feature_names == e.feature_names
    assert_array_equal(back.data, np.asarray(e.data))


def test_there_and_back_with_several_outputs(every):
    back = from_shap(every.to_shap())
    assert_array_equal(back.values, every.values)
    assert_array_equal(back.target, every.target)
    assert back.output_names == every.output_names


def test_there_and_back_with_images():
    model, x, common = images((3, 8, 8), 1)
    e = xai.explain(model, x, "shapley", target="all", players=Patches(4), budget=64, **common)
    back = from_shap(e.to_shap())
    assert back.channel_axis == 3
    pixels = e.map()[:, 0] / 16  # a patch has 4 × 4 of them
    assert_allclose(back.map().sum(axis=3), pixels, atol=1e-12)


# ------------------------------------------------------------------------ shap's in our plots

OURS = {
    "bar": lambda s, **o: plots.bar(s, 3, **o),
    "waterfall": lambda s, **o: plots.waterfall(s, 3, **o),
    "force": lambda s, **o: plots.force(s, 3, **o),
    "global_bar": plots.global_bar,
    "cohorts": lambda s, **o: plots.global_bar({"first": s[:9], "others": s[9:]}, **o),
    "beeswarm": plots.beeswarm,
    "scatter": lambda s, **o: plots.scatter(s, 2, **o),
    "scatter by name": lambda s, **o: plots.scatter(s, "petal width (cm)", **o),
    "heatmap": plots.heatmap,
    "decision": plots.decision,
    "compare": lambda s, **o: plots.compare({"one": s, "other": s}, 3, **o),
    "plot": plots.plot,
    "importance": lambda s, **o: xai.overview.importance(s, **o),
    "pick": lambda s, **o: xai.overview.submodular_pick(s, 2, **o),
}


@pytest.mark.parametrize("plot", OURS)
def test_our_plots_draw_shaps(theirs, plot):
    OURS[plot](theirs, output=1)
    OURS[plot](theirs[..., 1])


def test_we_draw_shaps_numbers(theirs):
    one = {"output": 1}
    for given, row, options in [(theirs, 3, one), (theirs[..., 1], 3, {}), (theirs[3], 0, one)]:
        axes = plots.bar(given, row, **options)
        lengths = sorted(patch.get_width() for patch in axes.patches)
        assert_allclose(lengths, np.sort(theirs.values[3, :, 1]))


@pytest.mark.parametrize("plot", ["bar", "waterfall", "force"])
def test_our_plots_draw_a_single_row_of_shaps(theirs, plot):
    getattr(plots, plot)(theirs[3], output=1)
    getattr(plots, plot)(theirs[3, :, 1])
    bare = shap.Explanation(theirs.values[3], theirs.base_values[3], output_names=["a", "b", "c"])
    getattr(plots, plot)(bare, output="b")


def test_a_page_of_shaps(theirs, tmp_path):
    for given in (theirs, theirs[..., 1], theirs[3]):
        path = xai.report.page({"tree": given}, tmp_path / "page.html")
        assert "petal width" in path.read_text("utf-8")


def test_images_of_shaps(theirs):
    rng = np.random.default_rng(0)
    x, values = rng.random((2, 8, 8, 3)), rng.normal(size=(2, 8, 8, 3, 2))
    found = shap.Explanation(values, np.zeros((2, 2)), x, output_names=["a", "b"])
    for given, options in [
        (found, {"output": 1}), (found, {"output": "b"}), (found[..., 1], {}),
        (found[0], {"output": 1}), (found[0][..., 1], {}),
    ]:  # fmt: skip
        drawn = plots.image(given, **options).images[1].get_array()
        assert_allclose(drawn, values[0, ..., 1].sum(axis=-1))
        plots.images(given, **options)
    plots.compare({"one": found, "other": found}, [0, 1], "a")
    for kind in ("masks", "concepts"):
        with pytest.raises(ValueError, match=r"learned no masks|explanations of concepts"):
            plots.plot(found[..., 1], kind)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((3, 8, 9), 1), ((8, 9, 3), 3), ((8, 9, 4), 3), ((1, 8, 8), 1), ((3, 8, 3), None),
     ((8, 9, 5), None), ((8, 3), None)],
)  # fmt: skip
def test_channels_of_shaps_images_are_where_they_are_plain(shape, axis):
    values = np.ones((2, *shape))
    found = from_shap(shap.Explanation(values, np.zeros(2), values))
    assert found.channel_axis == axis and found.values.shape == values.shape


def test_interaction_values_of_shaps_are_interactions(iris, theirs):
    X, _, forest = iris
    x = X[::30]
    found = shap.TreeExplainer(forest)(x, interactions=True)
    plain = shap.TreeExplainer(forest)(x)
    back = from_shap(found)
    assert back.interactions.shape == (5, 4, 4, 3)
    assert_array_equal(back.interactions, found.values)
    assert_allclose(back.values, plain.values, atol=1e-8)  # their sums are the values
    one = from_shap(found[..., 1])
    assert_array_equal(one.interactions, found.values[..., 1])
    plots.scatter(found, 2, output=1)
    plots.beeswarm(found[..., 1])


def test_which_output_it_is_where_shap_tells(theirs):
    assert_array_equal(from_shap(theirs).target[0], [0, 1, 2])
    assert_array_equal(from_shap(theirs[..., 2]).target, 2)  # shap calls it "Output 2"
    assert_array_equal(from_shap(theirs[:, :, 0]).target, 0)
    shared = from_shap(shap.Explanation(theirs.values, np.ones(3), output_names=["a", "b", "c"]))
    assert_array_equal(shared.base_values, np.ones((len(theirs), 3)))
    values, base = theirs.values[..., 1], theirs.base_values[:, 1]
    assert_array_equal(from_shap(shap.Explanation(values, base)).target, -1)
    # each row's own two largest, as shap's argsort gives them
    names = [["b", "a"], ["a", "c"]]
    ranked = shap.Explanation(theirs.values[:2, :, :2], np.zeros((2, 2)), output_names=names)
    back = from_shap(ranked)
    assert [[back.output_names[j] for j in row] for row in back.target] == names
    labels = plots.bar(ranked, 1, output="c").patches
    assert len(labels) == 4


# --------------------------------------------------------------------------- shap's in metrics

NETWORKS = {
    "parameter_randomization", "efficient_parameter_randomization",
    "relative_representation_stability",
}  # fmt: skip
OTHER_ROWS = {"grid_pointing": "mosaics of images", "input_invariance": "arrays alone"}
MASK = np.array([False, False, True, True])


@pytest.mark.filterwarnings("ignore:Mean of empty slice")  # a score that is undefined in a row
@pytest.mark.parametrize(
    "record", [r for r in RECORDS if r.name not in NETWORKS | {*OTHER_ROWS}], ids=lambda r: r.name
)
def test_every_metric_scores_shaps_as_the_array_in_it(iris, theirs, record):
    X, _, forest = iris
    x, found = X[::8][:10], theirs[:10]
    options = {"data": X[::30]}
    if "reference" in record.needs:
        options["reference"] = found[..., 0]
    if record.home == "localisation":
        options["mask"] = MASK
    if "explain" in record.needs:
        options["explain"] = lambda model, rows, target: np.tile(np.arange(4.0), (len(target), 1))
    score = getattr(metrics, record.name)
    array = score(forest, x, found.values[..., 1], target=1, **options).values
    assert np.isfinite(array).any() or record.name == "symmetry_gap"  # no two columns alike
    assert_array_equal(score(forest, x, found, target=1, **options).values, array)
    assert_array_equal(score(forest, x, found[..., 1], **options).values, array)


def test_the_metrics_left_out_above_are_known():
    assert NETWORKS | {*OTHER_ROWS} <= {record.name for record in RECORDS}


def test_metrics_of_images_take_shaps_in_the_layout_of_x():
    rng = np.random.default_rng(0)
    x, values = rng.random((2, 3, 8, 8)), rng.normal(size=(2, 3, 8, 8, 2))
    w = rng.normal(size=(2, 3, 8, 8))

    def model(rows):
        return np.tensordot(np.asarray(rows), w, axes=([1, 2, 3], [1, 2, 3]))

    found, options = shap.Explanation(values, np.zeros((2, 2)), x), {"removal": "baseline"}
    for name in ("deletion", "insertion", "infidelity", "roc_auc"):
        own = {"mask": x > 0.5} if name == "roc_auc" else options
        score = getattr(metrics, name)
        array = score(model, x, values[..., 1], target=1, players="elements", **own).values
        assert_array_equal(score(model, x, found, target=1, **own).values, array)
    last = np.moveaxis(values, 1, 3)
    turned = shap.Explanation(last, np.zeros((2, 2)), np.moveaxis(x, 1, 3))
    with pytest.raises(ValueError, match=r"rows of shape \(8, 8, 3\), and x has .*\(3, 8, 8\)"):
        metrics.deletion(model, x, turned, target=1, channel_axis=1, **options)


def test_shaps_values_of_groups_are_of_the_players_that_are_given(iris):
    X, _, forest = iris
    x, options = X[::8], {"data": X[::10], "target": 1, "players": [[0, 1], [2, 3]]}
    e = xai.explain(forest, x, "shapley", **options)
    for name in ("deletion", "infidelity", "completeness_gap"):
        ours, theirs = (getattr(metrics, name)(forest, x, a, **options) for a in (e, e.to_shap()))
        assert_allclose(theirs.values, ours.values, atol=1e-12)
    with pytest.raises(ValueError, match=r"rows of shape \(2,\), and x has rows of shape \(4,\)"):
        metrics.deletion(forest, x, e.to_shap(), target=1, data=X[::10])


def test_target_names_one_of_several_outputs_of_ours_too(iris, every):
    X, _, forest = iris
    x, options = X[::8], {"data": X[::10]}
    for target in (2, "2", np.arange(len(x)) % 3):
        index = np.broadcast_to(int(target) if isinstance(target, str) else target, len(x))
        values = every.values[np.arange(len(x)), :, index]
        found = metrics.deletion(forest, x, every, target=target, **options).values
        alone = metrics.deletion(forest, x, values, target=index, **options).values
        assert_allclose(found, alone)
    top = xai.explain(forest, x, "shapley", target=xai.Top(1), **options)
    with pytest.raises(ValueError, match=r"output 0 of row \d+ \(0-based\) is not explained"):
        metrics.deletion(forest, x, top, target=0, **options)
    with pytest.raises(ValueError, match="3 outputs, and a metric scores one: pass target="):
        metrics.deletion(forest, x, every, **options)


def test_which_output_shap_means_is_asked_where_it_matters(iris, theirs):
    X, _, forest = iris
    x, options = X[::8], {"data": X[::10]}
    unnamed = shap.Explanation(theirs.values[..., 1], theirs.base_values[:, 1], x.to_numpy())
    with pytest.raises(ValueError, match=r"model has 3 outputs.*pass target=an index"):
        metrics.deletion(forest, x, unnamed, **options)
    score = metrics.deletion(forest, x, unnamed, target=1, **options)
    told = metrics.deletion(forest, x, theirs, target=1, **options)
    assert_array_equal(score.values, told.values)

    def one(rows):
        return forest.predict_proba(rows)[:, 1]

    assert_allclose(metrics.deletion(one, x, unnamed, **options).values, score.values)


def test_reports_choices_and_judgements_take_shaps(iris, theirs, ours):
    X, _, forest = iris
    x, options = X[::8], {"data": X[::10], "target": 1}
    report = metrics.evaluate(
        forest, x, {"shap": theirs, "ours": ours["exact"]}, ["deletion", "complexity"], **options
    )
    assert report.names[:2] == ("shap", "ours")
    assert_allclose(
        report["deletion", "shap"].values,
        metrics.deletion(forest, x, theirs, **options).values,
    )
    alone = metrics.evaluate(forest, x, theirs[..., 1], ["deletion"], data=X[::10])
    assert_allclose(alone["deletion", "shap"].values, report["deletion", "shap"].values)
    check = metrics.meta_check(forest, x, {"shap": theirs}, "abpc", **options)
    assert [*check.above_flipped] == ["shap"]
    finding = metrics.tasks.depends_on(forest, x[:3], **options)
    of_shap = metrics.tasks.judge(finding, theirs[:3][..., 1])
    assert repr(of_shap) == repr(metrics.tasks.judge(finding, theirs.values[:3, :, 1]))
    choice = xai.choose(forest, x[:3], explanations={"shap": theirs[:3]}, **options)
    assert "shap" in choice.r2
