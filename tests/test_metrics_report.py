"""evaluate, compare, meta_check and choose: sharing, controls, intervals, the no free lunch."""

from __future__ import annotations

import dataclasses
import itertools
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from scipy.stats import bootstrap, spearmanr
from scipy.stats import t as student
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression

import xai
from xai import metrics
from xai.metrics.case import Case, Scene
from xai.metrics.controls import random_like
from xai.metrics.intervals import of_mean
from xai.metrics.neighbourhoods import areas_of, as_surrogate
from xai.metrics.proportions import clopper_pearson
from xai.metrics.subsets import of_size
from xai.removal import Baseline

W = np.array([3.0, -1.0, 0.5, 2.0])
ZERO = Baseline(0.0)


def linear(x):
    return np.asarray(x) @ W


def bent(x):
    return np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2] + x[:, 3]


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(12, 4))


@pytest.fixture
def two(rows):
    return {
        "shapley": xai.explain(bent, rows, "exact_shapley", removal=ZERO),
        "occlusion": xai.explain(bent, rows, "occlusion", removal=ZERO),
    }


def test_scores_are_those_of_the_metrics_alone(rows, two):
    asked = ["deletion", "faithfulness_correlation", "complexity"]
    asked.append(("max_sensitivity", {"radius": 0.3}))
    report = metrics.evaluate(bent, rows, two, asked)
    assert report.metrics == (*asked[:3], "max_sensitivity")
    flipped = ("shapley (flipped)", "occlusion (flipped)")
    assert report.names == ("shapley", "occlusion", *flipped, "random")
    for name, e in two.items():
        alone = metrics.deletion(bent, rows, e, removal=ZERO)
        assert_array_equal(report["deletion", name].values, alone.values)
        moved = metrics.max_sensitivity(bent, rows, e, radius=0.3)
        assert_array_equal(report["max_sensitivity", name].values, moved.values)
    assert report["deletion", "random"].removal == "Baseline(value=0.0)"
    assert ("complexity", "shapley (flipped)") not in report.scores
    with pytest.raises(KeyError, match="did you mean"):
        report["deletoin", "shapley"]


def test_a_seed_is_that_of_all_metrics_and_controls(rows, two):
    by = {"samples": 5, "subset_size": 2}
    reports = {
        seed: metrics.evaluate(bent, rows, two, [("mu_fidelity", by)], seed=seed) for seed in (0, 7)
    }
    for seed, report in reports.items():
        alone = metrics.mu_fidelity(bent, rows, two["shapley"], seed=seed, **by)
        assert_array_equal(report["mu_fidelity", "shapley"].values, alone.values)
        chance = metrics.mu_fidelity(
            bent, rows, random_like(two["shapley"].values, seed), removal=ZERO, seed=seed, **by
        )
        assert_array_equal(report["mu_fidelity", "random"].values, chance.values)
        assert report.seed == seed
    values = [report["mu_fidelity", "shapley"].values for report in reports.values()]
    assert (values[0] != values[1]).any()


def test_rows_of_the_tables_and_functions_are_names_too(rows):
    """What `methods()` and `names()` list can be asked for."""
    methods = [row for row in xai.methods() if row.name in ("occlusion", "banzhaf")]
    listed = [row for row in metrics.names() if row.name in ("deletion", "complexity")]
    given = {"data": rows, "controls": False}
    named = xai.compare(bent, rows, ["occlusion", "banzhaf"], ["deletion", "complexity"], **given)
    functions = [(metrics.deletion, {}), metrics.complexity]
    for asked in (listed, functions, {"deletion": listed[0], "complexity": metrics.complexity}):
        report = xai.compare(bent, rows, methods, asked, **given)
        assert (report.names, report.metrics) == (named.names, named.metrics)
        for key, score in named.scores.items():
            assert_array_equal(report[key].values, score.values)
    assert xai.explain(bent, rows, methods[0], removal=ZERO).method == "occlusion"
    assert (
        metrics.meta_check(bent, rows, {"a": rows}, metrics.deletion, data=rows).metric
        == "deletion"
    )


@pytest.mark.parametrize("controls", [True, False])
def test_a_misspelt_name_is_not_taken_for_one_without_a_control(rows, two, controls):
    report = metrics.evaluate(bent, rows, two, ["deletion"], controls=controls)
    assert report.beats_random("deletion", "shapley") is (True if controls else None)
    for asked in (("deletoin", "shapley"), ("deletion", "shaply")):
        with pytest.raises(KeyError, match="did you mean"):
            report.beats_random(*asked)
    with pytest.raises(KeyError, match="did you mean 'deletion'"):
        report.better("deletoin")


def test_each_metric_states_its_own_removal_and_output(rows, two):
    """Not those of others that are computed before it, in the same scene."""
    images = np.random.default_rng(0).random((2, 6, 6, 1))
    mask = np.zeros((6, 6), bool)
    mask[1] = True
    f = lambda x: np.asarray(x).sum(axis=(1, 2, 3))  # noqa: E731
    asked = ["deletion", "road", ("iou", {"mask": mask}), "complexity", "max_sensitivity"]
    e = xai.explain(f, images, "occlusion")
    report = metrics.evaluate(f, images, e, asked)
    removals = {m: report[m, "occlusion"].removal for m in report.metrics}
    assert removals["deletion"] == "Baseline(value='mean')"
    assert removals["road"].startswith("Inpaint")
    assert removals["iou"] == removals["complexity"] == removals["max_sensitivity"] == ""
    for name, score in (("iou", ""), ("complexity", ""), ("max_sensitivity", "Prediction")):
        assert report[name, "occlusion"].output.startswith(score)
        assert bool(report[name, "occlusion"].output) == bool(score)
    said = (f"removal: {removals['deletion']}; {removals['road']}", "output: Prediction(")
    assert all(words in repr(report) for words in said)
    alone = report["deletion", "occlusion"]
    assert f"removal={alone.removal}, output={alone.output}" in repr(alone)
    assert "removal=" not in repr(report["complexity", "occlusion"])
    shared = metrics.evaluate(bent, rows, two, ["dummy_mass", "comprehensiveness"])
    assert {s.removal for s in shared.scores.values()} == {"Baseline(value=0.0)"}


def test_texts_and_sparse_rows_are_scored_by_default():
    from scipy import sparse as scipy

    f = lambda texts: np.array([len(t) + 2.0 * ("b" in t) for t in texts])  # noqa: E731
    e = xai.explain(f, ["a bb", "a bb ccc dddd"], "occlusion", removal="baseline")
    assert "max_sensitivity" not in metrics.evaluate(f, ["a bb", "a bb ccc dddd"], e).metrics
    x = scipy.random_array((4, 5), density=0.6, rng=np.random.default_rng(0), format="csr")
    g = lambda x: np.asarray(x.sum(axis=1)).reshape(-1)  # noqa: E731
    e = xai.explain(g, x, "occlusion", removal="baseline")
    assert "deletion" in metrics.evaluate(g, x, e).metrics


def distinct(seen):
    """How many different inputs a model has seen."""
    return len(np.unique(np.concatenate(seen), axis=0))


def test_an_explanation_of_other_rows_is_refused(rows, two):
    """As many, but not these; the same in another precision, or as a list, are these."""
    e = xai.explain(bent, rows, "occlusion", removal=ZERO)
    want = metrics.deletion(bent, rows, e).values
    for same in (rows.astype(np.float16), rows.astype(np.float32), rows.tolist()):
        assert_allclose(metrics.deletion(bent, same, e).values, want, rtol=0.05)
    for score in (metrics.deletion, metrics.max_sensitivity, metrics.evaluate):
        with pytest.raises(ValueError, match=r"row 0 \(0-based\) of x is not the one"):
            score(bent, rows[::-1], e)
    with pytest.raises(ValueError, match=r"row 11 \(0-based\) of x"):
        metrics.evaluate(bent, np.where(np.arange(12)[:, None] == 11, 7.0, rows), {"e": e})


def test_an_explanation_of_other_rows_of_a_dataframe_is_refused(rows):
    """Or of columns in another order, whose attributions were read by place."""
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame(rows[:, :3], columns=["a", "b", "c"])
    f = lambda x: x["a"] * x["b"] + x["c"]  # noqa: E731
    e = xai.explain(f, x, "occlusion", removal=ZERO)
    want = metrics.deletion(f, x, e).values
    assert_allclose(metrics.deletion(f, x.astype("float32"), e).values, want, rtol=1e-5)
    with pytest.raises(ValueError, match=r"row 0 \(0-based\) of x is not the one"):
        metrics.deletion(f, x[::-1], e)
    with pytest.raises(ValueError, match=r"not those of the explanation, \['a', 'b', 'c'\]"):
        metrics.deletion(f, x[["b", "a", "c"]], e)


def test_an_explanation_of_other_rows_of_a_mixed_dataframe_is_refused(rows):
    """Amounts tell rows apart, whatever stands beside them."""
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame({"a": rows[:, 0], "b": rows[:, 1] > 0, "word": ["u", "v"] * 6})
    f = lambda x: x["a"] * x["b"] + (x["word"] == "u")  # noqa: E731
    e = xai.explain(f, x, "occlusion", data=x[:3])
    assert metrics.deletion(f, x.copy(), e).mean() == metrics.deletion(f, x, e).mean()
    with pytest.raises(ValueError, match=r"row 0 \(0-based\) of x is not the one"):
        metrics.deletion(f, x[::-1], e)


def test_an_explanation_of_a_dataframe_with_missing_cells_is_scored():
    """Which neither equal one another nor differ."""
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame({
        "count": pandas.array([1, None, 3, 4], dtype="Int64"),
        "word": pandas.array(["u", pandas.NA, "v", "u"], dtype="string"),
        "amount": [1.0, 2.0, np.nan, 4.0],
    })  # fmt: skip
    f = lambda x: x["count"].notna() * 2.0 + (x["word"] == "u").fillna(False) + x["amount"].notna()  # noqa: E731
    e = xai.explain(f, x, "exact_shapley", data=x)
    score = metrics.deletion(f, x, e)
    assert_allclose(score.curve[:, 0], np.asarray(f(x), float))
    assert_allclose(score.curve[:, -1], np.asarray(f(x), float).mean())


def test_what_is_shared_is_evaluated_once(rows, two, counting):
    model = counting(bent)
    report = metrics.evaluate(
        model, rows, two, ["deletion", "comprehensiveness", "pixel_flipping", "abpc",
                           "monotonicity", "faithfulness_correlation", "faithfulness_estimate"],
        controls=False,
    )  # fmt: skip
    # predictions, one baseline, what two curves of three inner steps each and single players meet
    assert model.rows == distinct(model.seen) < 12 + 1 + 12 * (2 * 6 + 4)
    assert report.evaluations == -(-model.rows // 12)
    assert report["comprehensiveness", "shapley"].evaluations == 0


def test_a_subset_is_evaluated_once_for_all_metrics_and_sizes(counting):
    """Fewer subsets of a size are the first of more; single players are subsets, too."""
    x = np.random.default_rng(0).normal(size=(3, 10))
    model, f = counting(lambda x: np.sin(x).sum(axis=1)), lambda x: np.sin(x).sum(axis=1)
    a = {"one": x, "other": x**2}
    asked = [
        ("faithfulness_correlation", {"subset_size": 4, "samples": 30}),
        ("mu_fidelity", {"subset_size": 4, "samples": 20}),
        ("sensitivity_n", {"subset_size": [1, 4, 6], "samples": 20}),
        "faithfulness_estimate",
    ]
    report = metrics.evaluate(model, x, a, asked, removal=ZERO, controls=False)
    distinct = [len(np.unique(of_size(10, size, n, 0), axis=0)) for size, n in ((4, 30), (6, 20))]
    assert model.rows == 3 + 3 * (sum(distinct) + 10)
    assert report["mu_fidelity", "one"].evaluations == 0
    for name, options in asked[:3]:
        for label, values in a.items():
            alone = getattr(metrics, name)(f, x, values, removal=ZERO, **options)
            assert_array_equal(report[name, label].values, alone.values)


def test_random_halves_are_subsets_that_sizes_have_met(counting):
    """Of each size the first ones: infidelity finds what sensitivity-n has evaluated."""
    x = np.random.default_rng(0).normal(size=(3, 10))
    sizes = ("sensitivity_n", {"subset_size": list(range(1, 10)), "samples": 40})
    spent = []
    for asked in ([sizes], [sizes, ("infidelity", {"samples": 60})]):
        model = counting(lambda x: np.sin(x).sum(axis=1))
        metrics.evaluate(model, x, {"one": x, "other": x**2}, asked, removal=ZERO, controls=False)
        assert model.rows == distinct(model.seen)
        spent.append(model.rows)
    assert spent[1] == spent[0]


def test_no_input_is_evaluated_twice_alone_or_beside_others(counting):
    """Random halves of six players repeat, noise meets what others have, copies are all alike."""
    x = np.random.default_rng(0).normal(size=(3, 6))
    for score in (
        lambda model: metrics.infidelity(model, x, x, removal=ZERO, samples=50),
        lambda model: metrics.meta_check(model, x, {"a": x}, "mu_fidelity", removal=ZERO, seeds=1),
        lambda model: metrics.meta_check(
            model, x, {"a": x}, "mu_fidelity", removals=[ZERO], seeds=1
        ),
        lambda model: metrics.symmetry_gap(model, x, x, removal=ZERO, samples=50),
        lambda model: metrics.monotonicity_correlation(model, x, x, removal=ZERO),
        lambda model: metrics.evaluate(
            model, x, {"a": x}, ["dummy_mass", "monotonicity_correlation"], removal=ZERO
        ),
        lambda model: metrics.evaluate(
            model,
            x,
            {"a": x, "b": x**2},
            ["relative_output_stability"],
            explain={"a": lambda _, rows, __: rows, "b": lambda _, rows, __: rows**2},
        ),
        lambda model: metrics.road(model, x, x, data=np.arange(12.0).reshape(2, 6)),
    ):
        model = counting(lambda x: np.sin(x).sum(axis=1))
        score(model)
        assert model.rows == distinct(model.seen)


BY_REMOVAL = ["deletion", "insertion", "comprehensiveness", "sufficiency", "pixel_flipping",
              "region_perturbation", "irof", "abpc", "monotonicity", "selectivity",
              ("road", {"steps": 4}), ("pgi", {"k": [1, 3]}), ("pgu", {"k": 2})]  # fmt: skip


@pytest.mark.parametrize("order", [1, -1])
def test_all_that_is_measured_by_removal_is_read_off_two_curves(rows, counting, order):
    """2(K + 1) model rows, of which both curves share their ends, and all rows the baseline."""
    model, a = counting(bent), rows[::-1] + 0.01 * np.arange(4)
    report = metrics.evaluate(model, rows, {"a": a}, BY_REMOVAL[::order], removal=ZERO,
                              controls=False)  # fmt: skip
    assert model.rows == 12 + 1 + 12 * 2 * 3
    for asked in BY_REMOVAL:
        name, options = (asked, {}) if isinstance(asked, str) else asked
        alone = getattr(metrics, name)(bent, rows, a, removal=ZERO, **options)
        assert_array_equal(report[name, "a"].values, alone.values)


def test_rows_are_explained_again_once_for_all_metrics(rows, counting):
    model = counting(bent)
    e = xai.explain(bent, rows, "occlusion", removal=ZERO)
    asked = ["max_sensitivity", "avg_sensitivity", "local_lipschitz", "relative_input_stability",
             "relative_output_stability"]  # fmt: skip
    report = metrics.evaluate(model, rows, {"a": e}, asked, controls=False)
    # predictions; ten copies: predicted, four players removed, their one baseline; their output,
    # which is one, and so no class that relative input stability asks for
    assert model.rows == 12 + 120 * 5 + 1 + 120
    assert [report[m, "a"].evaluations for m in asked[1:]] == [0, 0, 0, 10]


@pytest.mark.parametrize("ties", [False, True])
def test_flipped_curves_find_what_the_others_have_met(rows, counting, ties):
    """The flipped control meets the same subsets, but where its own order among ties differs."""
    model = counting(bent)
    a = np.round(2 * rows) if ties else rows + 0.01 * np.arange(4)
    assert ties == any(len(np.unique(row)) < 4 for row in a)
    asked = ["deletion", "insertion", "abpc", ("road", {"steps": 3}), "monotonicity"]
    report = metrics.evaluate(model, rows, {"a": a}, asked, removal=ZERO)
    # predictions, the baseline, two curves of three inner steps: of a and noise; −a with ties
    assert model.rows == distinct(model.seen) < 12 + 1 + 12 * 6 * (3 if ties else 2)
    for label in report.metrics:
        options = {"steps": 3} if label == "road" else {}
        alone = getattr(metrics, label)(bent, rows, -a, removal=ZERO, **options)
        assert_array_equal(report[label, "a (flipped)"].values, alone.values)


def test_flipped_curves_of_imputed_images_are_read_from_the_other_end(counting):
    images = np.random.default_rng(0).random((2, 6, 7, 1))
    f = lambda x: np.asarray(x)[:, :3].sum(axis=(1, 2, 3))  # noqa: E731
    model, a = counting(f), images[..., 0] - 0.5
    report = metrics.evaluate(model, images, {"a": a}, [("road", {"steps": 4})])
    want = metrics.road(f, images, -a, steps=4)
    assert_array_equal(report["road", "a (flipped)"].values, want.values)
    # the predictions; of a and of noise two curves of three steps
    assert model.rows == 2 + 2 * 2 * 6


def test_controls_tell_chance_from_faith(rows):
    e = xai.explain(linear, rows, "exact_shapley", removal=ZERO)
    report = metrics.evaluate(linear, rows, e, ["abpc", "infidelity", "max_sensitivity"])
    gap = report["abpc", "exact_shapley"]
    assert_allclose(report["abpc", "exact_shapley (flipped)"].values, -gap.values, atol=1e-12)
    assert report.beats_random("abpc", "exact_shapley")
    assert not report.beats_random("abpc", "exact_shapley (flipped)")
    assert report.beats_random("abpc", "random") is None
    low, high = report.interval("abpc", "exact_shapley")
    assert low < gap.mean() < high
    assert "random" in repr(report) and "↑" in repr(report) and "<table>" in report._repr_html_()
    again = metrics.evaluate(linear, rows, e, ["abpc", "infidelity", "max_sensitivity"])
    assert repr(again) == repr(report)


@pytest.mark.parametrize("method", ["gradcam", "shapley"])
def test_the_flipped_control_of_a_layers_channels_is_the_opposite_of_their_map(method):
    """The map's negative parts are cut off, so that flipped channels have a map of their own."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(5 * 36, 2)
    )
    x = torch.rand(3, 3, 8, 8)
    players = {} if method == "gradcam" else {"players": xai.players.Channels("1")}
    e = xai.explain(net, x, method, **players)
    asked = ["faithfulness_correlation", "mu_fidelity"]  # which ties of the map do not change
    report = metrics.evaluate(net, x, e, asked, removal="baseline")
    for metric in asked:
        mine, against = (report[metric, e.method + which].values for which in ("", " (flipped)"))
        assert_allclose(against, -mine, atol=1e-9)
        assert np.abs(mine).max() > 0.01
    check = metrics.meta_check(net, x, e, asked[0], removal="baseline", randoms=1, seeds=1)
    assert check.above_flipped[e.method] == (report[asked[0], e.method].values > 0).mean()
    # others than those of signs score the channels' own numbers
    again = ("max_sensitivity", {"samples": 2})
    both = metrics.meta_check(net, x, e, again, removals=["baseline", "blur"], randoms=1, seeds=1)
    assert list(both.agreement.values()) == [1]


@pytest.mark.parametrize("unit", [2.0**-12, 2.0**12])
def test_chance_is_as_large_as_the_explanation_in_every_unit_of_the_output(unit, rows):
    """Scores that grow with the output's unit do so for the control, too."""
    asked = ["infidelity", "completeness_gap", "local_lipschitz", "distance_attack"]
    plain, scaled = (
        xai.compare(lambda z, u=u: u * bent(z), rows, ["shapley"], asked, data=rows[:4])
        for u in (1.0, unit)
    )
    for metric, name in plain.scores:
        by = unit**2 if metric == "infidelity" else unit
        want = by * plain[metric, name].values
        assert_allclose(scaled[metric, name].values, want, rtol=1e-9, atol=1e-12 * by)
        assert scaled.beats_random(metric, name) == plain.beats_random(metric, name)
    assert not plain.beats_random("infidelity", "shapley (flipped)")
    checks = [
        metrics.meta_check(lambda z, u=u: u * bent(z), rows, r.explanations, "local_lipschitz")
        for u, r in ((1.0, plain), (unit, scaled))
    ]
    assert checks[0].above_chance == checks[1].above_chance


def test_chance_is_as_large_beside_places_that_a_row_does_not_have():
    values = np.array([[3.0, -1.0, np.nan], [0.5, 2.0, 1.0], [0.0, 0.0, np.nan]])
    chance = random_like(values, 3)
    assert_array_equal(np.isnan(chance), np.isnan(values))
    assert (np.abs(chance[:2]) <= [[3.0], [2.0]])[~np.isnan(values[:2])].all()
    assert_array_equal(random_like(8 * values, 3)[:2], 8 * chance[:2])
    assert (chance[2, :2] != 0).all()  # in no unit where nothing is attributed
    one = np.abs(random_like(np.eye(1, 99) * 100, 0))
    assert 90 < one.max() <= 100 and 40 < one.mean() < 60


def test_the_random_control_is_the_same_in_every_batch(rows):
    e = xai.explain(linear, rows, "exact_shapley", removal=ZERO)
    whole, small = (
        metrics.evaluate(linear, rows, e, ["max_sensitivity"], batch_size=size)
        for size in (None, 7)
    )
    own = ("max_sensitivity", {"explain": lambda model, x, target: x * W})
    given = metrics.evaluate(linear, rows, e, [own])  # how others explain again is not how it does
    scores = [report["max_sensitivity", "random"].values for report in (whole, small, given)]
    assert_array_equal(*scores[:2])
    assert_array_equal(*scores[1:])
    spread = [metrics.meta_check(linear, rows, e, m).above_chance for m in ("max_sensitivity", own)]
    assert spread == [{"exact_shapley": 1.0}] * 2


def test_intervals_cover_the_mean():
    """A 95 % interval of 40 Gaussian scores misses 0 in about 5 % of reports."""
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        score = metrics.Score(rng.normal(size=40), "abpc", "higher", "")
        low, high = metrics.Report({("abpc", "a"): score}, ("abpc",), ("a",)).interval("abpc", "a")
        missed += not low < 0 < high
    assert 4 <= missed <= 35


def of_scores(values, name="abpc", **others):
    """A report of one metric's scores, "a" first."""
    scores = {(name, e): metrics.Score(v, name, "higher", "")
              for e, v in ({"a": values} | others).items()}  # fmt: skip
    return metrics.Report(scores, (name,), ("a", *others), tuple(others))


@pytest.mark.parametrize("n", [2, 3, 5, 6, 8, 10])
def test_intervals_of_few_rows_cover_as_often_as_of_many(n):
    """Plain percentiles miss 50, 25, 16, 14, 11 and 8 % of these means."""
    draws = np.random.default_rng(n).normal(size=(1000, n))
    covered = [low < 0 < high for low, high in (of_scores(v).interval("abpc", "a") for v in draws)]
    assert 0.925 < np.mean(covered) < 0.975


@pytest.mark.parametrize("draw", ["exponential", "mostly 0", "lognormal"])
@pytest.mark.parametrize("n", [10, 20])
def test_intervals_of_skewed_scores_reach_further_where_the_tail_is(draw, n):
    """Student's miss 11, 20 and 16 % of these means at ten rows, 9, 16 and 13 at twenty."""
    rng, size = np.random.default_rng(n), (2000, n)
    draws, mean = {
        "exponential": (rng.exponential(size=size), 1.0),
        "mostly 0": ((rng.random(size) < 0.3) * rng.exponential(size=size), 0.3),
        "lognormal": (rng.lognormal(size=size), np.exp(0.5)),
    }[draw]
    ends = np.array([of_scores(v).interval("abpc", "a") for v in draws])
    most = {"exponential": (0.085, 0.07), "mostly 0": (0.17, 0.095), "lognormal": (0.125, 0.1)}
    assert ((ends[:, 0] > mean) | (ends[:, 1] < mean)).mean() < most[draw][n == 20]
    mirrored = np.array([of_scores(-v).interval("abpc", "a") for v in draws[:50]])
    assert_allclose(mirrored[:, ::-1], -ends[:50], rtol=1e-12)


def test_bootstrap_intervals_are_scipys_of_the_rows_and_repeat():
    values = np.random.default_rng(0).exponential(size=20)
    report = of_scores(np.append(values, np.nan))
    found = report.interval("abpc", "a", 0.9, bootstrap=True)
    rng = np.random.default_rng(report.seed)
    want = bootstrap((values,), np.mean, confidence_level=0.9, random_state=rng)
    assert_allclose(found, want.confidence_interval)
    assert found == report.interval("abpc", "a", 0.9, bootstrap=True)
    assert found[0] < values.mean() < found[1]
    assert of_scores(np.full(4, 0.3)).interval("abpc", "a", bootstrap=True) == (0.3, 0.3)
    for none in (np.ones(1), np.array([1.0, 2.0, np.inf])):
        assert np.isnan(of_scores(none).interval("abpc", "a", bootstrap=True)).all()


def test_one_row_of_few_carries_no_interval_beyond_all_bounds():
    """Uncapped, the mean of these areas, probabilities, might be 1.68."""
    low, high = of_scores(np.array([0.3, 0.35, 0.32, 0.33, 0.9])).interval("abpc", "a")
    assert 0.2 < low < 0.44 and 0.8 < high < 1.1


@pytest.mark.parametrize("n", [2, 5, 10, 20])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_intervals_without_skew_are_students(n, level):
    half = np.random.default_rng(n).normal(size=n)
    values = 3 + np.concatenate([half, -half])
    error = values.std(ddof=1) / np.sqrt(2 * n) * student.ppf((1 + level) / 2, 2 * n - 1)
    ends = of_scores(values).interval("abpc", "a", level)
    assert_allclose(ends, (3 - error, 3 + error), rtol=1e-12)


@pytest.mark.parametrize("name", ["pointing_game", "monotonicity"])
@pytest.mark.parametrize(("hits", "n"), [(5, 5), (0, 3), (7, 9), (1, 1)])
def test_intervals_of_yes_or_no_are_exact(name, hits, n):
    """All of five rows are right of a metric that is wrong in half: once in 32 reports."""
    values = np.r_[np.ones(hits), np.zeros(n - hits), np.nan]
    ends = of_scores(values, name).interval(name, "a", 0.9)
    assert_allclose(ends, clopper_pearson(hits, n, 0.9))
    assert of_scores(np.full(3, 0.5), name).interval(name, "a") == (0.5, 0.5)  # ties


@pytest.mark.parametrize("n", [4, 12])
def test_a_check_of_a_metric_says_how_sure_its_shares_are(n):
    """Noise is above noise in half of the rows: within its interval, as often as that says."""
    rng, missed = np.random.default_rng(n), []
    for seed in range(40):
        x, noise = rng.normal(size=(2, n, 4))
        check = metrics.meta_check(
            linear, x, {"noise": noise}, "abpc", removal=ZERO, seeds=1, seed=seed
        )
        (low, high), (below, above) = check.intervals["noise"]
        missed += [not low <= 0.5 <= high, not below <= 0.5 <= above]
        assert f"({100 * low:.0f} to {100 * high:.0f})" in repr(check)
        assert low <= check.above_chance["noise"] <= high
    assert np.mean(missed) < 0.11
    e = xai.explain(linear, x, "exact_shapley", removal=ZERO)
    check = metrics.meta_check(linear, x, e, "abpc")
    assert check.above_flipped == {"exact_shapley": 1.0}  # which four rows do not prove
    assert_allclose(check.intervals["exact_shapley"][1], clopper_pearson(n, n))
    unsigned = metrics.meta_check(linear, x, e, "complexity").intervals["exact_shapley"][1]
    assert np.isnan(unsigned).all()


@pytest.mark.parametrize("n", [2, 3, 4, 5, 10])
def test_noise_is_better_than_noise_as_often_as_is_said(n):
    """Of two rows 25 % of the tables had a star, of three 12; equal gains are no less by chance."""
    rng = np.random.default_rng(n)
    same, other = rng.normal(size=(2, 1000, n))
    for mine, noise in ((same, other), (same > 0, other > 0), (same > 1, other > 1)):
        stars = [
            of_scores(a, random=b).beats_random("abpc", "a")
            for a, b in zip(mine.astype(float), noise.astype(float), strict=True)
        ]
        assert np.mean(stars) < 0.04
    one = np.ones(5)
    assert not of_scores(one, random=0 * one).beats_random("abpc", "a")
    assert of_scores(one, random=0 * one).beats_random("abpc", "a", 0.9)
    assert of_scores(np.ones(6), random=np.zeros(6)).beats_random("abpc", "a")


@pytest.mark.parametrize(("methods", "said"), [(2, None), (200, "about 5 of 200 would be")])
def test_a_table_of_many_says_how_many_stars_are_chances(methods, said):
    rng = np.random.default_rng(0)
    noise = {f"e{i}": rng.normal(size=8) for i in range(methods)}
    scores = {("abpc", e): metrics.Score(v, "abpc", "higher", "")
              for e, v in (noise | {"random": rng.normal(size=8)}).items()}  # fmt: skip
    report = metrics.Report(scores, ("abpc",), (*noise, "random"), ("random",))
    assert ("by chance" in repr(report)) == (said is not None)
    assert said is None or said in repr(report)


def test_no_score_where_rows_are_hard_is_no_merit():
    """By the mean over its own rows "a", worse wherever both have scores, was the front alone."""
    nan = np.nan
    scores = {"a": [0.2, 0.2, nan, nan], "b": [0.1, 0.1, 0.9, 0.9], "none": [nan] * 4}
    made = {("deletion", e): metrics.Score(v, "deletion", "lower", "faithfulness by removal")
            for e, v in scores.items()}  # fmt: skip
    report = metrics.Report(made, ("deletion",), tuple(scores))
    assert report.pareto() == ["b"]
    apart = made | {("deletion", "b"): metrics.Score([nan, nan, 1, 1], "deletion", "lower", "")}
    assert metrics.Report(apart, ("deletion",), tuple(scores)).pareto(["deletion"]) == ["a", "b"]


def test_frames_ranks_and_the_front(rows, two):
    pytest.importorskip("pandas")
    good, bad = np.ones(12), np.zeros(12)
    made = {
        ("deletion", "a"): metrics.Score(bad, "deletion", "lower", "faithfulness by removal"),
        ("deletion", "b"): metrics.Score(good, "deletion", "lower", "faithfulness by removal"),
        ("deletion", "c"): metrics.Score(good, "deletion", "lower", "faithfulness by removal"),
        ("sparseness", "a"): metrics.Score(bad, "sparseness", "higher", "simplicity"),
        ("sparseness", "b"): metrics.Score(good, "sparseness", "higher", "simplicity"),
        ("sparseness", "c"): metrics.Score(bad, "sparseness", "higher", "simplicity"),
    }
    report = metrics.Report(made, ("deletion", "sparseness"), ("a", "b", "c"))
    assert report.pareto() == ["a", "b"]  # c is as good as each in one and worse in the other
    assert report.ranks()["deletion"] == {"a": 1.0, "b": 2.5, "c": 2.5}
    frame = metrics.evaluate(bent, rows, two).to_frame()
    assert set(frame["explanation"]) >= {"shapley", "random"}
    assert (frame["low"] <= frame["mean"]).all() and frame["removal"].str.len().max() > 0
    chance = {"shapley (flipped)", "occlusion (flipped)", "random"}
    assert {*frame["explanation"][frame["control"]]} == chance
    samples = metrics.evaluate(bent, rows, two, ["deletion"]).per_sample()
    assert len(samples) == 12 * 5


def test_scores_that_differ_by_rounding_have_equal_ranks(rows):
    """On a linear model these methods are one, and only rounding tells their scores apart."""

    def linear(x):
        return x @ np.array([0.3, -1.1, 0.7, 2.3])

    methods = ["occlusion", "shapley", "banzhaf"]
    by = ["faithfulness_correlation", "infidelity", "complexity", "completeness_gap"]
    report = xai.compare(linear, rows, methods, by, data=rows[:5])
    values = [report[m, n].values for m in by for n in methods]
    assert len({v.tobytes() for v in values}) > len(by)  # they do differ
    assert report.ranks() == {m: dict.fromkeys(methods, 2.0) for m in by}
    assert report.pareto() == methods
    assert report.pareto(by) == methods
    with pytest.raises(KeyError, match="complexity"):
        report.pareto(["complexty"])
    with pytest.raises(TypeError, match=r"such as \['complexity'\]"):
        report.pareto("complexity")
    removals = [ZERO, Baseline(1.0)]
    for metric in by[:2]:
        check = metrics.meta_check(
            linear, rows, report.explanations, metric, removals=removals, data=rows[:5]
        )
        ((_, agreement),) = check.agreement.items()
        scores = [
            metrics.evaluate(
                linear, rows, {"any": report.explanations["shapley"]}, [metric], removal=r
            )
            for r in removals
        ]
        table = [np.stack([t[metric, n].values for n in t.names]) for t in scores]
        assert agreement == pytest.approx(
            np.mean([
                spearmanr(a[[0, 0, 0, 1, 1, 1, 2]], b[[0, 0, 0, 1, 1, 1, 2]]).statistic
                for a, b in zip(*(t.T for t in table), strict=True)
            ])
        )  # fmt: skip


def test_an_explanation_without_any_score_takes_no_ranks_from_others():
    none, some = np.full(3, np.nan), np.array([2.0, 1, np.nan])
    given = {"a": np.array([1.0, 2, 0]), "b": none, "c": some}
    scores = {("deletion", n): metrics.Score(v, "deletion", "lower", "") for n, v in given.items()}
    report = metrics.Report(scores, ("deletion",), tuple(given))
    assert report.ranks()["deletion"] == pytest.approx(
        {"a": 1.5, "b": np.nan, "c": 1.5}, nan_ok=True
    )
    apart = {
        "a": np.array([1.0, 1, 0]),
        "c": np.array([2.0, 2, np.nan]),
    }  # the last row is left out
    beside = {("deletion", n): metrics.Score(v, "deletion", "lower", "") for n, v in apart.items()}
    report = metrics.Report(beside, ("deletion",), ("a", "c"))
    assert report.ranks()["deletion"] == {"a": 1.0, "c": 2.0}
    assert report.pareto(["deletion"]) == ["a"]
    fewer = {("deletion", n): metrics.Score(-v, "deletion", "lower", "") for n, v in apart.items()}
    front = metrics.Report(fewer, ("deletion",), ("a", "c")).pareto(["deletion"])
    assert front == ["c"]  # by the mean of the scores that there are
    alone = {key: score for key, score in scores.items() if key[1] == "b"}
    assert np.isnan(metrics.Report(alone, ("deletion",), ("b",)).ranks()["deletion"]["b"])


def test_what_is_read_beside_a_score_is_a_mean():
    beside = {"floor": np.array([0.25, np.nan, 0.75]), "faithfulness": np.array([1.0, 2.0, 6.0])}
    score = metrics.Score(np.ones(3), "random_logit", "lower", "", info=beside)
    assert (score.beside("floor"), score.beside("faithfulness")) == (0.5, 3)
    assert score.beside("curve") is None


def test_groups_that_fare_alike_have_no_gap():
    score = metrics.Score(np.array([1.0, 2, 2, 1, 5]), "deletion", "lower", "")
    gone = metrics.Score(np.array([1.0, np.nan]), "deletion", "lower", "")
    assert np.isnan(gone.gap(["a", "b"]))  # a group without a score
    assert score.gap(["a", "a", "b", "b", "c"]) == 3.5
    assert metrics.Score(np.array([1.0, 2, 2, 1]), "deletion", "lower", "").gap([0, 0, 1, 1]) == 0
    with pytest.raises(ValueError, match="shape"):
        score.gap([1])


@pytest.mark.parametrize("groups", [["a", None, "b"], [1.0, np.nan, 2.0], [1, None, 2]])
def test_a_row_of_no_group_is_named(groups):
    """It would be a group without a score: a gap of NaN."""
    score = metrics.Score(np.array([1.0, 2, 3]), "deletion", "lower", "")
    with pytest.raises(ValueError, match="row 1 has no label"):
        score.gap(groups)


def test_pictures(rows, two):
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    report = metrics.evaluate(bent, rows, two)
    assert len([a for a in report.plot().axes if a.get_visible()]) == len(report.metrics)
    lines = report.plot("ranks").containers  # with their intervals
    assert [one.get_label() for one in lines] == list(report.ranks()["deletion"])
    for one, name in zip(lines, report.ranks()["deletion"], strict=True):
        assert one.has_yerr
        means = [report.ranks()[metric][name] for metric in report.metrics]
        np.testing.assert_allclose(np.asarray(one[0].get_ydata(), float), means)
        (bars,) = one[2]
        for metric, bar in zip(report.metrics, bars.get_segments(), strict=True):
            ranked = report.row_ranks()[metric][name]
            np.testing.assert_allclose(bar[:, 1], np.clip(of_mean(ranked), 1, 2))  # no rank beyond
    assert len(report.plot("radar").lines) == 2
    with pytest.raises(ValueError, match="kind"):
        report.plot("bar chart")
    with pytest.raises(ValueError, match='needs axes with projection="polar"'):
        report.plot("radar", ax=plt.figure().add_subplot())
    round_axes = plt.figure().add_subplot(projection="polar")
    assert report.plot("radar", ax=round_axes) is round_axes
    empty = metrics.evaluate(bent, rows, two, [])
    for kind in ("bars", "ranks", "radar"):
        with pytest.raises(ValueError, match="no metrics"):
            empty.plot(kind)
    plt.close("all")


LONG = {f"deletion, all channels replaced by the mean colour of image {i}": "deletion"
        for i in range(5)}  # fmt: skip
AROUND = ["deletion", "insertion", "abpc", "faithfulness_correlation", "complexity",
          "completeness_gap"]  # fmt: skip


@pytest.mark.parametrize("asked", [[AROUND[0], *AROUND[3:]], AROUND, LONG])
@pytest.mark.parametrize("many", [1, 12])
@pytest.mark.parametrize("kind", ["ranks", "radar", "curves"])
def test_nothing_of_a_picture_is_cut_off_or_below_its_legend(kind, many, asked, rows):
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    name = "A method with a long $name, at a baseline of zero, "
    every = {name + str(i): rows * (1 + i) for i in range(many)}
    report = metrics.evaluate(bent, rows, every, asked, controls=False, data=rows)
    ax = xai.plots.curves(report) if kind == "curves" else report.plot(kind)
    figure = ax.get_figure()
    figure.canvas.draw()
    legend = ax.get_legend() or figure.legends[0]
    shown = [text.get_text().replace("\n", " ") for text in legend.get_texts()]
    assert [text.split(" (")[0] for text in shown] == [n.replace("$", r"\$") for n in every]
    whole, beside = figure.bbox, legend.get_window_extent()
    for box in (beside, ax.xaxis.get_tightbbox(), ax.yaxis.get_tightbbox()):
        assert whole.x0 - 1 <= box.x0 and box.x1 <= whole.x1 + 1
        assert whole.y0 - 1 <= box.y0 and box.y1 <= whole.y1 + 1
        assert box is beside or not box.overlaps(beside)
    assert ax.get_window_extent().width > 0.4 * (whole.width - beside.width)
    plt.close("all")


def test_long_names_leave_room_for_bars(rows):
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    report = metrics.evaluate(bent, rows, {"a long $name " * 10: rows}, ["deletion"], data=rows)
    figure = report.plot()
    figure.canvas.draw()
    (panel,) = (ax for ax in figure.axes if ax.get_visible())
    assert panel.get_window_extent().width > 0.4 * figure.bbox.width
    assert panel.yaxis.get_tightbbox().x0 > -1
    plt.close("all")


def test_long_labels_of_metrics_stay_over_their_own_panel(rows):
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    figure = metrics.evaluate(bent, rows, {"rows": rows}, LONG, data=rows).plot()
    figure.canvas.draw()
    first, second, third = (panel.title.get_window_extent() for panel in figure.axes[:3])
    assert first.x1 < second.x0 and second.x1 < third.x0 and third.x1 < figure.bbox.x1
    plt.close("all")


def test_ranks_of_many_stay_with_their_metric(rows):
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    every = {str(i): rows**2 + i for i in range(30)}
    report = metrics.evaluate(bent, rows, every, ["complexity", "sparseness"], controls=False)
    at = np.array([one[0].get_xdata() for one in report.plot("ranks").containers])
    assert (np.abs(at - [0, 1]) < 0.5).all() and (np.diff(at[:, 0]) > 0).all()
    plt.close("all")


def test_a_control_looks_like_no_explanation(rows):
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    every = {str(i): rows for i in range(7)}  # one more than there are colours
    (panel,) = metrics.evaluate(bent, rows, every, ["complexity"]).plot().axes
    points = [line for line in panel.lines if line.get_marker() not in ("None", None)]
    *mine, random = [(line.get_color(), line.get_markerfacecolor()) for line in points]
    assert len(mine) == 7 and random not in mine
    plt.close("all")


def test_arrays_are_scored_and_what_cannot_be_repeated_is_said_first(rows, counting):
    model = counting(linear)
    given = {"removal": ZERO}
    report = metrics.evaluate(model, rows, {"mine": W * rows}, **given)
    assert "max_sensitivity" not in report.metrics
    before = model.rows
    with pytest.raises(ValueError, match="explain="):
        metrics.evaluate(model, rows, {"mine": W * rows}, ["max_sensitivity"], **given)
    assert model.rows == before
    again = {"mine": lambda model, x, target: W * x}
    report = metrics.evaluate(
        linear, rows, {"mine": W * rows}, ["max_sensitivity"], explain=again, **given
    )
    assert report["max_sensitivity", "mine"].mean() < 0.05
    held = dataclasses.replace(xai.explain(linear, rows, "occlusion", removal=ZERO), recipe=None)
    assert "max_sensitivity" not in metrics.evaluate(linear, rows, held, **given).metrics
    with pytest.raises(ValueError, match="explain="):
        metrics.evaluate(linear, rows, held, ["max_sensitivity"])
    own = [("max_sensitivity", {"explain": again["mine"]})]
    beside = metrics.evaluate(linear, rows, {"mine": W * rows}, own, **given)
    assert_array_equal(
        beside["max_sensitivity", "mine"].values, report["max_sensitivity", "mine"].values
    )
    with pytest.raises(ValueError, match="control"):
        metrics.evaluate(linear, rows, {"random": rows}, **given)
    with pytest.raises(TypeError, match="list"):
        metrics.evaluate(linear, rows, {"mine": rows}, "deletion", **given)


@pytest.mark.parametrize(
    ("asked", "kind", "match"),
    [
        (["deletoin"], ValueError, "did you mean 'deletion'"),
        ([None], TypeError, r"a metric is a name or a pair \(name, options\), not None"),
        ([("abpc", {}, 3)], TypeError, "a metric is a name or a pair"),
        ([("abpc", "steps")], TypeError, "a metric is a name or a pair"),
        ([(3, {})], TypeError, "a metric is a name or a pair"),
        ([("abpc", {"stepz": 3})], TypeError, "did you mean 'steps'"),
        ([("abpc", {"seed": 3})], TypeError, "seed are for all metrics"),
        ([("iou", {"k": 1}), "abpc"], TypeError, r"needs mask=: ask for \('iou', {'mask': …}\)"),
        ("abpc", TypeError, r"such as \['abpc'\]"),
    ],
)
def test_metrics_that_are_none_are_refused_before_anything_is_evaluated(
    asked, kind, match, rows, counting
):
    f = counting(bent)
    with pytest.raises(kind, match=match):
        metrics.evaluate(f, rows, {"a": rows}, asked, data=rows)
    with pytest.raises(kind, match=match):
        xai.compare(f, rows, ["occlusion"], asked, data=rows)
    if not isinstance(asked, str):
        with pytest.raises(kind, match=match):
            metrics.meta_check(f, rows, {"a": rows}, asked[0], data=rows)
    assert f.rows == 0


@pytest.mark.parametrize("target", ["all", xai.Top(2)])
def test_several_outputs_are_refused_before_anything_is_evaluated(target, rows, counting):
    f = counting(lambda x: np.stack([bent(x), -bent(x)], axis=1))
    with pytest.raises(ValueError, match="metrics score one output; pass an index, or a name"):
        xai.compare(f, rows, ["occlusion"], ["deletion"], data=rows, target=target)
    assert f.rows == 0
    one = np.arange(len(rows)) % 2  # an output for each row is one output
    report = xai.compare(f, rows, ["occlusion"], ["deletion"], data=rows, target=one)
    alone = metrics.deletion(f, rows, report.explanations["occlusion"])
    assert_array_equal(report["deletion", "occlusion"].values, alone.values)


@pytest.mark.parametrize("methods", [[], "lime", [None], ["lime", None], {}, 3, {"lime"}])
def test_methods_are_a_list_or_a_dict(methods, rows, counting):
    f = counting(bent)
    for front in (xai.compare, xai.choose):
        with pytest.raises(TypeError, match="methods must be a list"):
            front(f, rows, methods=methods, data=rows)
        with pytest.raises(ValueError, match="two methods have the same name"):
            front(f, rows, methods=["lime", "lime"], data=rows)
    with pytest.raises(ValueError, match="control"):
        xai.compare(f, rows, {"random": "lime"}, data=rows)
    assert f.rows == 0


def test_methods_that_are_none_are_refused_before_any_explains(rows, counting):
    f = counting(linear)
    for methods in (["shapley", "shapely"], {"a": "shapley", "b": {"method": "shapely"}}):
        with pytest.raises(ValueError, match="'shapely'; did you mean 'shapley'"):
            xai.compare(f, rows, methods, ["deletion"], data=rows)
    with pytest.raises(ValueError, match="'abpc' is asked for twice: pass metrics as a dict"):
        xai.compare(f, rows, ["shapley"], ["abpc", ("abpc", {"steps": 3})], data=rows)
    with pytest.raises(ValueError, match=r"methods\['b'\] names no method="):
        xai.compare(f, rows, {"a": "shapley", "b": {"budget": 9}}, ["deletion"], data=rows)
    assert f.rows == 0


@pytest.mark.parametrize("wrong", [None, {}, [], 3, "shapley"])
def test_explanations_are_one_or_a_dict(wrong, rows):
    for front in (metrics.evaluate, metrics.meta_check):
        with pytest.raises(TypeError, match="explanations must be an Explanation, or a dict"):
            front(bent, rows, wrong, *["abpc"][: front is metrics.meta_check], data=rows)


def test_an_error_says_which_of_several_it_is_of(rows):
    gone = {"a": rows, "b": np.full_like(rows, np.nan)}
    asked = ["complexity", ("roc_auc", {"mask": np.ones(3)})]
    cases = [
        (lambda: metrics.evaluate(bent, rows, gone, ["complexity"]), ["explanations['b']"]),
        (lambda: metrics.evaluate(bent, rows, {"a": rows}, asked),
         ["roc_auc of 'a' was to be measured"]),
        (lambda: xai.compare(bent, rows, ["occlusion"], ["deletion"], removal=ZERO),
         ["methods['occlusion'] was to explain", "removal= is the metrics' here; of a method: "
          "{label: {'method': …, 'removal': …}}"]),
        (lambda: xai.compare(bent, rows, ["occlusion"], ["deletion"]),
         ["methods['occlusion'] was to explain"]),
    ]  # fmt: skip
    for ask, notes in cases:
        with pytest.raises(ValueError, match=r"NaN|mask|background") as caught:
            ask()
        assert caught.value.__notes__ == notes


def test_explain_has_a_function_for_each_name(rows, counting):
    f, again = counting(bent), lambda model, x, target: x
    for explain, kind in ((again, TypeError), ({"b": again}, ValueError)):
        for front in (metrics.evaluate, metrics.meta_check):
            asked = "max_sensitivity" if front is metrics.meta_check else None
            with pytest.raises(kind, match=r"explain must be a dict|unknown explanation 'b'"):
                front(f, rows, {"a": rows}, asked, explain=explain, data=rows)
    with pytest.raises(ValueError, match="two explanations have the same name"):
        metrics.evaluate(f, rows, {1: rows, "1": -rows}, data=rows)
    assert f.rows == 0
    report = metrics.evaluate(f, rows, {1: rows}, ["max_sensitivity"], explain={1: again})
    assert np.isfinite(report["max_sensitivity", "1"].mean())


def test_small_numbers_of_numpys_choose_alike(rows):
    ours, theirs = (
        xai.choose(bent, rows, data=rows, methods=["occlusion"], samples=kind(20), copies=kind(2))
        for kind in (int, np.int8)
    )
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "a", True, float("nan")])
def test_counts_of_checks_and_choices_are_positive_integers(wrong, rows, counting):
    f = counting(bent)
    for name in ("seeds", "randoms"):
        with pytest.raises(ValueError, match=rf"{name}=.*expected a positive integer"):
            metrics.meta_check(f, rows, {"a": rows}, "abpc", data=rows, **{name: wrong})
    for samples in (wrong, 1):  # of one perturbation no R² can be told
        with pytest.raises(ValueError, match=r"samples=.*expected an integer of at least 2"):
            xai.choose(f, rows, data=rows, samples=samples)
    if wrong != 1.5:
        with pytest.raises(ValueError, match=r"scale=.*expected a positive number"):
            xai.choose(f, rows, data=rows, scale=wrong)
    if wrong != 0:
        with pytest.raises(ValueError, match=r"copies=.*expected an integer of at least 0"):
            xai.choose(f, rows, data=rows, copies=wrong)
    for one, named in (("baseline", "'baseline'"), (ZERO, r"Baseline\(value=0\.0\)")):
        with pytest.raises(TypeError, match=rf"removals must be a list, such as \[{named}\]"):
            metrics.meta_check(f, rows, {"a": rows}, "abpc", data=rows, removals=one)
    assert f.rows == 0


def test_an_infinite_score_leaves_its_interval_one_end():
    draws = np.random.default_rng(0).normal(size=(2, 50)) + np.array([[1], [0]])
    low = {}
    for first in (3.0, np.inf):
        draws[0, 3] = first
        scores = {("abpc", e): metrics.Score(v, "abpc", "higher", "")
                  for e, v in zip(("a", "random"), draws, strict=True)}  # fmt: skip
        report = metrics.Report(scores, ("abpc",), ("a", "random"), ("random",))
        low[first], high = report.interval("abpc", "a")
        assert report.beats_random("abpc", "a")
    assert np.isfinite(low[np.inf]) and low[np.inf] > low[3.0] and not np.isfinite(high)


def test_levels_are_shares(rows):
    report = metrics.evaluate(bent, rows, {"a": rows}, ["complexity"])
    for ask, level in itertools.product((report.interval, report.beats_random), (0, 1, 95, None)):
        with pytest.raises(ValueError, match=rf"level={level}: expected a share such as 0\.95"):
            ask("complexity", "a", level=level)


def test_explanations_must_be_of_the_same_class(cancer):
    x = cancer.x[:4]
    given = {"method": "occlusion", "data": cancer.x[:9]}
    e, other = (xai.explain(cancer.forest, x, target=t, **given) for t in (0, 1))
    with pytest.raises(ValueError, match="target"):
        metrics.evaluate(cancer.forest, x, {"a": e, "b": other}, ["deletion"])
    groups = [[0, 1], [2, 3], [4, 5], [6, 7]]
    pairs = xai.explain(cancer.forest, x, players=groups, target=0, **given)
    report = metrics.evaluate(cancer.forest, x, {"a": e, "b": pairs}, ["deletion"])
    assert report["deletion", "b"].curve.shape == (4, 9)  # groups share out their value


def test_compare_explains_and_scores(cancer):
    x, data = cancer.x[:5], cancer.x[5:15]
    report = xai.compare(
        cancer.forest, x,
        {"occlusion": "occlusion", "few": {"method": "kernel_shap", "budget": 200}},
        ["deletion", "complexity"], data=data, removal=Baseline("mean"),
    )  # fmt: skip
    e = xai.explain(cancer.forest, x, "kernel_shap", budget=200, data=data)
    assert_array_equal(report.explanations["few"].values, e.values)
    want = metrics.deletion(cancer.forest, x, e, removal=Baseline("mean"))
    assert_allclose(report["deletion", "few"].values, want.values)
    with pytest.raises(TypeError, match="list"):
        xai.compare(cancer.forest, x, "occlusion", data=data)


def test_meta_check_finds_a_metric_that_tells_nothing(rows, two):
    removals = [ZERO, Baseline(0.5)]
    good = metrics.meta_check(linear, rows, {"true": W * rows}, "abpc", removals=removals)
    assert good.above_chance["true"] > 0.9 and good.above_flipped["true"] == 1
    assert good.seed_spread["true"] == 0
    assert 0.5 < next(iter(good.agreement.values())) <= 1
    assert "better than a random attribution" in repr(good)
    ((pair, r),) = good.agreement.items()
    assert f"ranks under {pair[0]} and {pair[1]} agree by {r:.2f}" in repr(good)
    constant = lambda x: np.ones(len(x))  # noqa: E731
    blind = metrics.meta_check(constant, rows, {"a": rows}, "deletion", removal=ZERO)
    assert blind.above_chance["a"] == 0.5
    blind = metrics.meta_check(constant, rows, {"a": rows}, "mu_fidelity", removals=removals)
    assert np.isnan([blind.above_chance["a"], blind.seed_spread["a"]]).all()
    few = ("faithfulness_correlation", {"samples": 3, "subset_size": 2})
    for seed in (0, 3):
        drawn = metrics.meta_check(bent, rows, two, few, seed=seed)
        means = [
            metrics.faithfulness_correlation(bent, rows, two["shapley"], seed=s, **few[1]).mean()
            for s in range(seed, seed + 3)
        ]
        assert drawn.seed_spread["shapley"] == pytest.approx(np.std(means, ddof=1))
        assert drawn.seed_spread["shapley"] > 0
    moved = metrics.meta_check(bent, rows, two, "max_sensitivity")
    assert np.isnan(moved.above_flipped["shapley"])


def test_rows_without_a_score_are_told_from_no_chance(rows):
    """One feature alone is simpler than any random attribution; a row of zeros is neither."""
    one = np.where(np.arange(4) == 1, 1.0, 0.0) * np.ones_like(rows)
    one[3] = 0
    check = metrics.meta_check(bent, rows, {"one": one, "none": 0 * one}, "sparseness")
    assert check.above_chance["one"] == 1
    assert np.isnan(check.above_chance["none"])


def test_rows_in_which_an_explanation_has_no_score_agree_about_nothing(rows, two):
    """They are left out of the mean rank correlation, with a score under another removal or not."""
    a = {name: e.values.copy() for name, e in two.items()}
    a["occlusion"][-1] = 1  # no correlation with a constant
    asked = ("faithfulness_correlation", {"subset_size": 1}), {"removals": [ZERO, Baseline(0.5)]}
    whole, fewer = (
        metrics.meta_check(bent, rows[:n], {k: v[:n] for k, v in a.items()}, asked[0], **asked[1])
        for n in (12, 11)
    )
    (r,) = whole.agreement.values()
    assert r < 1 and [r] == pytest.approx([*fewer.agreement.values()])


def test_every_surrogate_of_a_linear_model_is_perfect(rows):
    choice = xai.choose(linear, rows, data=rows[::-1] * 2, methods=["occlusion", "shapley"])
    for method in ("occlusion", "shapley"):
        for r2 in choice.r2[method].values():
            assert r2 == pytest.approx(1)
        assert choice.recovery[method] == pytest.approx(1)
    assert choice.warnings == []
    dummy = xai.choose(lambda x: 2 * x[:, 0], rows, data=rows[::-1] * 2, methods=["occlusion"])
    assert dummy.recovery["occlusion"] == pytest.approx(1) and dummy.warnings == []


def test_gaps_are_mean_completeness_gaps(rows):
    methods = ["occlusion", "shapley"]
    choice = xai.choose(bent, rows[:3], data=rows[3:], methods=methods, self_test=False)
    for name, e in choice.explanations.items():
        gap = np.abs(e.values.sum(axis=1) - (e.predictions - e.base_values))
        assert choice.gaps[name] == pytest.approx(gap.mean(), abs=1e-12)
    assert choice.gaps["occlusion"] > 0.1
    arrays = {"array": bent(rows)[:, None] * rows}
    assert np.isnan(xai.choose(bent, rows, data=rows, explanations=arrays).gaps["array"])


@pytest.mark.parametrize("area", ["absent", "nearby", "path"])
def test_what_does_not_recover_a_linear_model_is_named(area, rows):
    """Of a linear model itself the self-test finds the errors that the table has."""
    methods = ["shapley", "mean_when_included", "lime"]
    choice = xai.choose(linear, rows, data=rows[::-1] * 2, methods=methods, neighbourhood=area)
    assert choice.recovery == pytest.approx({m: choice.r2[m][area] for m in methods})
    assert choice.best == "shapley" and max(choice.recovery[m] for m in methods[1:]) < 0.9
    assert choice.warnings[-1].startswith("mean_when_included, lime: do not even recover")
    assert "do not even recover a linear model here" in repr(choice)


def test_the_question_decides():
    """sin(9x) on [-1, 1]: slopes are right nearby, effects where features are absent."""
    torch = pytest.importorskip("torch")

    class Sine(torch.nn.Module):
        def forward(self, x):
            return torch.sin(9 * x).sum(dim=1)

    rng = np.random.default_rng(1)
    X = torch.as_tensor(rng.uniform(-1, 1, size=(60, 3)))
    methods = {"slope": "gradient_x_input", "shapley": "shapley"}
    near, far = (
        xai.choose(Sine(), X[:10], data=X[10:], methods=methods, neighbourhood=area, scale=0.02,
                   removal=Baseline(X[10:].mean(dim=0)) if area == "nearby" else None)
        for area in ("nearby", "absent")
    )  # fmt: skip
    assert near.best == "slope" and near.r2["slope"]["nearby"] > 0.9
    assert far.best == "shapley" and far.r2["shapley"]["absent"] > 0.9
    assert any("free lunch" in warning for warning in far.warnings)
    assert "→ shapley" in repr(far)


def test_where_no_method_holds_none_is_nearest():
    """Of an additive model these noisy values are the exact ones, and nearer by luck alone."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(80, 6)), rng.normal(size=6)
    f = lambda z: np.sin(2 * z) @ w  # noqa: E731
    exact, luck = xai.explain(f, x[:3], "occlusion", data=x[20:]), 0
    for noise in rng.normal(1, 0.05, size=(8, 3, 6)):
        both = {"exact": exact, "noisy": exact.values * noise}
        choice = xai.choose(f, x[:3], data=x[20:], explanations=both)
        luck += choice.r2["exact"]["path"] < choice.r2["noisy"]["path"] < 0
        assert not any("free lunch" in warning for warning in choice.warnings)
    assert luck


@pytest.mark.parametrize("shape", [(3,), (1, 4, 4)])
def test_methods_of_another_baseline_are_no_worse_for_it(shape):
    """Gradient × input and integrated gradients start at 0; here the data's mean is 5."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    d = int(np.prod(shape))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(d, 1)).double()
    x = torch.as_tensor(np.random.default_rng(3).normal(size=(12, *shape))) + 5
    from_zero = {"gradient_x_input": "gradient_x_input", "ig": "integrated_gradients"}
    slope = {"slope": "gradient"}
    for methods in (None, from_zero | slope):
        choice = xai.choose(net, x[:3], data=x[3:], methods=methods)
        for method in ["gradient_x_input", *(slope if methods else ["integrated_gradients"])]:
            for r2 in choice.r2[method].values():
                assert r2 == pytest.approx(1)
            assert choice.recovery[method] == pytest.approx(1)
    assert np.isnan(choice.gaps["slope"]) and choice.gaps["ig"] < 1e-9
    assert choice.costs["slope"] == 2
    assert "gap" in repr(choice)


def test_choose_answers_for_series():
    """Rows that are neither columns of a table nor images."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(8, 4, 2)), rng.normal(size=(4, 2))
    choice = xai.choose(lambda rows: (rows * w).sum(axis=(1, 2)), x[:2], data=x)
    assert list(choice.r2) == ["occlusion", "shapley", "lime", "banzhaf"]
    assert_allclose([choice.r2[name]["nearby"] for name in ("occlusion", "shapley", "banzhaf")], 1)


@pytest.mark.parametrize("last", [False, True])
def test_the_features_of_images_are_pixels(last):
    """Of a linear model of colours: effects are exact where pixels are absent, slopes nearby."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(75, 1)).double()
    x = torch.rand(8, 3, 5, 5).double()
    f, methods = net, ["occlusion", "shapley", "gradient"]
    if last:
        f = lambda z: net(torch.as_tensor(z).movedim(-1, 1)).detach().numpy()  # noqa: E731
        x, methods = x.movedim(1, -1).numpy(), methods[:2]
    choice = xai.choose(f, x[:2], data=x[2:], methods=methods)
    for name, areas in choice.r2.items():
        for area in ("absent", "path") if name != "gradient" else ("nearby",):
            assert areas[area] == pytest.approx(1)
        assert choice.recovery[name] == pytest.approx(1)
    assert not any("recover" in warning for warning in choice.warnings)
    with Scene(f, x[:2], data=x[2:], players="elements") as scene:
        areas = areas_of(scene, x[2:], 0.1, 20)
    for part in (areas.kept, areas.steps):
        moved = part.reshape(20, *x.shape[1:])
        moved = moved if last else np.moveaxis(moved, 1, -1)
        assert (moved == moved[..., :1]).all() and len(np.unique(moved[..., 0], axis=0)) == 20


def test_nearby_is_as_far_as_a_pixels_channels_spread_on_average():
    images = np.random.default_rng(0).random((6, 5, 4, 3)) * [1.0, 2.0, 5.0]
    f = lambda x: np.asarray(x).sum(axis=(1, 2, 3))  # noqa: E731
    with Scene(f, images[:2], data=images, players="elements") as scene:
        reach = areas_of(scene, images, 0.1, 8).reach
    spread = np.sqrt(images.var(axis=0).mean(axis=2, keepdims=True))
    assert_allclose(reach, np.broadcast_to(0.1 * spread, reach.shape))


def test_choosing_hears_what_explaining_hears(rows, counting):
    """The batch size, the axis of channels, a loss's labels: all are `explain`'s keywords."""
    largest = []

    def f(x):
        largest.append(len(x))
        return linear(x)

    given = {"methods": ["occlusion"], "samples": 20}
    small = xai.choose(f, rows, data=rows, batch_size=7, **given)
    assert max(largest) <= 7
    assert small.r2 == xai.choose(f, rows, data=rows, **given).r2
    images = np.random.default_rng(0).random((2, 3, 5, 3))
    g = lambda x: np.asarray(x)[:, 0].sum(axis=(1, 2))  # noqa: E731
    axis = xai.choose(g, images, data=images, channel_axis=1, self_test=False, **given)
    assert axis.explanations["occlusion"].channel_axis == 1
    assert axis.recovery == {}
    pair = xai.choose(lambda x: np.c_[linear(x), bent(x)], rows, data=rows, target=1, **given)
    alone = xai.choose(bent, rows, data=rows, **given)
    assert pair.r2 == alone.r2 and pair.recovery == alone.recovery
    y = rows[:, 0] ** 2
    loss = given | {"behavior": xai.behavior.PredictionLoss("squared"), "data": rows}
    whole = xai.choose(linear, rows[:3], y=y[:3], **loss).errors["occlusion"]
    alone = [xai.choose(linear, rows[i : i + 1], y=y[i : i + 1], **loss) for i in range(3)]
    for area, error in whole.items():  # each row has its own label
        assert error == pytest.approx(np.mean([one.errors["occlusion"][area] for one in alone]))


def test_the_sensitivity_of_each_method_is_asked_for(rows, counting):
    """`max_sensitivity` within `scale` standard deviations of each column, explained again."""
    made = {m: xai.explain(bent, rows, m, data=rows) for m in ("occlusion", "banzhaf")}
    choice = xai.choose(bent, rows, data=rows, explanations=made, copies=4, scale=0.2)
    radius = 0.2 * rows.std(axis=0)
    for name, e in made.items():
        want = metrics.max_sensitivity(bent, rows, e, radius=radius, samples=4)
        assert choice.sensitivity[name] == pytest.approx(want.mean())
    assert "sensitivity" in repr(choice)
    model = counting(bent)
    plain = xai.choose(model, rows, data=rows, explanations=made, scale=0.2)
    assert plain.evaluations == choice.evaluations == -(-model.rows // 12)
    assert isinstance(plain.evaluations, int)
    assert plain.sensitivity == {} and "sensitivity" not in repr(plain)
    still = xai.choose(bent, rows, data=rows[:1], explanations={"array": rows}, copies=2)
    assert np.isnan(still.sensitivity["array"]) and "sensitivity" in repr(still)
    held = {"held": dataclasses.replace(made["banzhaf"], recipe=None)}
    alone = xai.choose(bent, rows, data=rows, explanations=held, copies=2)
    assert np.isnan(alone.sensitivity["held"])
    still = np.where(np.arange(4) == 2, 0.5, rows)  # a column without any spread
    one = xai.choose(bent, rows, data=still, explanations=made, copies=2)
    assert one.sensitivity["banzhaf"] > 0


def test_explanations_are_chosen_among_by_their_own_output(rows):
    """Of log odds a logistic model is linear, and any effects are exact; of its chances none is."""
    model = LogisticRegression().fit(rows, rows @ W > 0)
    for behavior, exact in ((xai.behavior.Prediction("log_odds"), True), (None, False)):
        methods = ("occlusion", "shapley", "banzhaf")
        made = {m: xai.explain(model, rows, m, data=rows[::-1] * 2, behavior=behavior)
                for m in methods}  # fmt: skip
        choice = xai.choose(model, rows, data=rows[::-1] * 2, explanations=made)
        r2 = [choice.r2[m][area] for m in methods for area in choice.r2[m]]
        assert (np.abs(np.array(r2) - 1) < 1e-9).all() == exact
    odds = xai.explain(model, rows, "shapley", data=rows, behavior=xai.behavior.Margin())
    with pytest.raises(ValueError, match="pass behavior="):
        xai.choose(model, rows, data=rows, explanations=made | {"odds": odds})


def test_a_column_at_its_mean_but_for_rounding_has_no_slope():
    """x − b = 2e-16 and φ = 3e-14 are rounding, and their quotient is no slope."""
    data = np.array([[0.9, 1.0], [1.7, 2.2], [1.2, 1.4], [2.0, 1.8], [1.3, 1.6], [1.6, 1.6]])
    f = lambda x: x @ np.array([100.0, -37.3]) + 0.7  # noqa: E731
    data = np.concatenate([data, 2 * np.array([1.45, 1.6]) - data])
    for x in (data.mean(axis=0), np.nextafter(data.mean(axis=0), 0), data.mean(axis=0) + 4e-16):
        e = xai.explain(f, x, "occlusion", data=data)
        with Scene(f, x[None], data=data, players="elements") as scene:
            phi, gamma = as_surrogate(Case(scene, e), data.mean(axis=0))
        assert_array_equal(gamma, 0)
        assert_array_equal(phi, e.values)


def test_a_groups_effect_is_shared_out_as_the_shortest_slope():
    """Of a linear model: γ is w's part along x − b within the group, and so never the longer."""
    rng = np.random.default_rng(0)
    x, w = rng.random((3, 6, 6, 1)), rng.normal(size=36)
    f = lambda z: np.asarray(z).reshape(len(z), -1) @ w  # noqa: E731
    e = xai.explain(f, x, "shapley", players=xai.players.Patches(3), removal="baseline")
    with Scene(f, x, data=x, players="elements") as scene:
        _, gamma = as_surrogate(Case(scene, e), np.full(36, 0.5))
    owner, gap = e.element_players.reshape(3, 36), x.reshape(3, 36)
    for i in range(3):
        for g in range(4):
            own, step = w[owner[i] == g], gap[i, owner[i] == g]
            assert_allclose(gamma[i, owner[i] == g], (own @ step) / (step @ step) * step)
    choice = xai.choose(f, x, data=x, explanations={"patches": e}, samples=2000)
    assert choice.r2["patches"]["nearby"] > 0


def test_frames_are_tested_on_a_linear_model_and_categories_say_why_not(rows, mixed):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows, columns=list("abcd"))
    choice = xai.choose(
        lambda x: bent(x.to_numpy()), frame[:3], data=frame[3:], methods=["shapley"]
    )
    assert choice.recovery["shapley"] == pytest.approx(1)
    worded = xai.choose(mixed.pipeline, mixed.x[:3], data=mixed.data, methods=["shapley"])
    assert worded.recovery == {} and any("no self-test" in w for w in worded.warnings)
    assert any("some columns are categories" in w for w in worded.warnings)


def test_what_categories_are_said_to_do_counts_where_they_move_alone():
    """They stay nearby and on the path, where exact values of a sum of columns are exact, too."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.normal(size=(12, 2)), columns=["v", "w"])
    frame["c"] = rng.choice(list("pqr"), 12)
    f = lambda z: z["v"] * 2 + z["w"] + z["c"].map({"p": 0.0, "q": 1.0, "r": 5.0})  # noqa: E731
    x, first = frame[4:8], Baseline(frame[:1])
    methods = {"own": "shapley", "row": {"method": "shapley", "removal": first}}
    choice = xai.choose(f, x, data=frame, methods=methods, samples=50)
    assert list(choice.r2["own"].values()) == pytest.approx([1, 1, 1])
    assert [choice.r2["row"][area] for area in ("nearby", "path")] == pytest.approx([1, 1])
    scene = Scene(f, x, data=frame, players="elements")
    e = choice.explanations["row"]
    phi, _ = as_surrogate(Case(scene, e), np.zeros(3))
    assert_array_equal(phi[:, 2], e.values[:, 2])


def test_categories_of_arrays_are_chosen_by_name(rows):
    x = np.c_[rows[:, :3], np.arange(12) % 3]
    given = {"data": x, "samples": 20, "feature_names": list("abcd")}
    named, by_place = (
        xai.choose(linear, x[:3], categorical=[column], **given) for column in ("d", 3)
    )
    assert named.r2 == by_place.r2


def test_methods_that_agree_but_for_rounding_are_no_lunch_to_pay_for(rows):
    choice = xai.choose(linear, rows, data=rows[::-1] * 2, methods=["occlusion", "shapley"])
    assert choice.warnings == []


def test_rounding_does_not_choose(rows):
    """Of methods that agree the first is chosen, whatever the batches."""
    methods = ["banzhaf", "shapley", "occlusion"]
    for names in (methods, methods[::-1]):
        for batch_size in (None, 1, 7):
            choice = xai.choose(linear, rows, data=rows, methods=names, batch_size=batch_size)
            assert choice.best == names[0]


def test_choosing_for_modules_of_frames_and_of_tensors_of_any_dtype(rows):
    pandas, torch = pytest.importorskip("pandas"), pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    frame = pandas.DataFrame(rows + np.arange(4), columns=list("abcd"))
    want = xai.choose(net, frame[:3], data=frame)
    turned = xai.choose(net, frame[:3], data=frame[list("dbca")])
    assert turned.r2 == want.r2
    whole = torch.tensor(10 * rows).long()
    for dtype in (torch.int64, torch.float64):
        x = whole.to(dtype)
        found = xai.choose(net, x[:3], data=x)
        assert found.recovery["integrated_gradients"] == pytest.approx(1)
    half = torch.tensor(rows).bfloat16()
    assert xai.choose(net.bfloat16(), half[:3], data=half).recovery["shapley"] == pytest.approx(1)


def test_choosing_for_a_module_of_codes(rows):
    """Of which there are no gradients; columns of a DataFrame are named as what they are."""
    pandas, torch = pytest.importorskip("pandas"), pytest.importorskip("torch")
    torch.manual_seed(0)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = torch.nn.Embedding(3, 4), torch.nn.Linear(6, 1)

        def forward(self, x):
            return self.head(torch.cat([x[:, :2], self.embedding(x[:, 2].long())], dim=1))

    net, x = Net(), np.column_stack([rows[:, :2], np.arange(12) % 3])
    want = xai.choose(net, x[:3], data=x, categorical=[2], samples=20)
    assert list(want.errors) == ["occlusion", "shapley", "lime", "banzhaf"]
    frame = pandas.DataFrame(x, columns=["a", "b", "code"])
    found = xai.choose(net, frame[:3], data=frame, categorical=["code"], samples=20)
    assert found.errors == want.errors


@pytest.mark.parametrize("around", ["no_grad", "inference_mode"])
def test_choosing_for_a_module_leaves_torch_as_it_is(rows, around):
    """The linear model of the self-test is made as any is: of gradients, and of random weights."""
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    x = torch.tensor(rows).float()
    want = xai.choose(net, x[:3], data=x, samples=20)
    state = torch.get_rng_state()
    with getattr(torch, around)():
        found = xai.choose(net, x[:3], data=x, samples=20)
    assert torch.equal(torch.get_rng_state(), state)
    assert found.recovery == want.recovery and found.errors == want.errors
    assert found.recovery["gradient_x_input"] == pytest.approx(1)


def test_rows_with_gaps_are_not_moved(rows):
    f = lambda x: np.nan_to_num(np.asarray(x)) @ W  # noqa: E731
    gaps = rows.copy()
    gaps[2, 1] = np.nan
    for x, data, what in ((gaps, rows, "x"), (rows, gaps, "data")):
        with pytest.raises(ValueError, match=f"{what} holds NaN"):
            xai.choose(f, x, data=data, methods=["occlusion"], neighbourhood="nearby")


def test_a_model_that_does_not_change_answers_no_question(rows):
    choice = xai.choose(lambda x: np.ones(len(x)), rows[:3], data=rows, methods=["occlusion"])
    assert np.isnan(choice.r2["occlusion"]["absent"])
    assert any("does not change in the neighbourhood 'absent'" in w for w in choice.warnings)
    still = xai.choose(linear, rows[:3], data=rows[:1], methods=["occlusion"])
    assert not any("'absent'" in w for w in still.warnings)


def test_that_these_methods_fail_is_not_said_of_all(rows):
    """Effects say little of the slopes of a logistic curve, which is nearly straight nearby."""
    model = LogisticRegression().fit(rows, rows[:, 0] * rows[:, 1] > 0)
    given = {"data": rows, "neighbourhood": "nearby", "scale": 1e-3, "self_test": False}
    bad = xai.choose(model, rows, explanations={"flipped": -rows}, **given)
    (warning,) = (w for w in bad.warnings if "worse than a constant" in w)
    assert "none of them holds there; try others" in warning
    good = xai.choose(model, rows, methods=["c_lime"], **given)
    assert good.r2["c_lime"]["nearby"] > 0.99
    assert not any("worse than a constant" in w for w in good.warnings)


def test_no_linear_explanation_holds_everywhere(rows):
    wild = lambda x: np.sin(400 * x).sum(axis=1)  # noqa: E731
    choice = xai.choose(wild, rows, data=rows, methods=["occlusion"], neighbourhood="nearby")
    assert any("worse than a constant" in warning for warning in choice.warnings)
    with pytest.raises(ValueError, match="did you mean 'nearby'"):
        xai.choose(wild, rows, data=rows, neighbourhood="near by")
    with pytest.raises(ValueError, match="not both"):
        xai.choose(wild, rows, data=rows, methods=["lime"], explanations={"a": rows})
    for wrong in ({"smaples": 5}, {"budget": 50}):
        with pytest.raises(TypeError, match=rf"{next(iter(wrong))}= is for methods="):
            xai.choose(wild, rows, data=rows, explanations={"a": rows}, **wrong)
    with pytest.raises(TypeError, match="choose needs rows"):
        xai.choose(wild, rows, data=None)
    with pytest.raises(TypeError, match=r"choose needs dense x.*x\.toarray\(\)"):
        xai.choose(wild, csr_matrix(rows), data=csr_matrix(rows), methods=["shapley"])
    for data in (None, ["a film"]):
        with pytest.raises(TypeError, match=r"x holds texts: use xai\.compare"):
            xai.choose(wild, ["a good film"], data=data)


def test_an_explanation_of_other_rows_is_told_by_their_number(rows):
    e = xai.explain(linear, rows[:4], "occlusion", data=rows)
    with pytest.raises(ValueError, match="the explanation has 4 rows, and x has 3"):
        metrics.complexity(linear, rows[:3], e)  # which looks at no row
    with pytest.raises(ValueError, match="the explanation has 4 rows, and x has 3"):
        metrics.evaluate(linear, rows[:3], {"a": e}, ["deletion"])


def test_choosing_costs_the_same_for_any_number_of_methods(rows, two, counting):
    spent = []
    for chosen in (dict(list(two.items())[:1]), two):
        model = counting(bent)
        choice = xai.choose(model, rows, data=rows, explanations=chosen, samples=50)
        spent.append(model.rows)
        assert choice.evaluations == -(-model.rows // 12)
    assert spent[0] == spent[1]


def test_one_row_is_enough(rows):
    """What needs several rows to say anything is NaN, and nothing warns of it."""
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    one, data = rows[:1].copy(), rows[1:].copy()
    for given in (one, data):
        given.setflags(write=False)
    report = xai.compare(bent, one, ["occlusion", "shapley"], data=data)
    assert all(len(score) == 1 for score in report.scores.values())
    assert np.isnan(report.interval("deletion", "shapley")).all()
    assert not report.beats_random("deletion", "shapley")
    assert repr(report) and report._repr_html_() and report.pareto()
    assert report.ranks()["completeness_gap"] == {"occlusion": 2.0, "shapley": 1.0}
    for kind in ("bars", "ranks", "radar"):
        report.plot(kind)
    plt.close("all")
    e = report.explanations["shapley"]
    check = metrics.meta_check(bent, one, e, "abpc", removals=[ZERO, Baseline(0.5)])
    assert check.above_chance["shapley"] in np.arange(0, 1.05, 0.05).round(2)
    for method in ("occlusion", "shapley"):
        alone = xai.choose(bent, one, data=data, methods=[method])
        assert np.isfinite(alone.errors[method]["absent"]) and alone.best == method


def test_the_default_report_asks_for_each_kind_of_quality(rows, two):
    """Faithfulness by removal and by agreement, robustness, simplicity, an axiom; as one line."""
    report = metrics.evaluate(bent, rows, two)
    assert report.metrics == ("deletion", "insertion", "abpc", "faithfulness_correlation",
                              "max_sensitivity", "complexity", "completeness_gap")  # fmt: skip
    assert report["deletion", "random"].removal == "Baseline(value=0.0)"
    assert "removal: Baseline(value=0.0)" in repr(report) and "random" in repr(report)


def test_comparing_costs_its_explanations_and_the_shared_scores(rows, counting):
    """Of all three methods together one set of predictions, and each subset once."""
    model, methods = counting(bent), ["occlusion", "shapley", "banzhaf"]
    asked = ["faithfulness_correlation", "faithfulness_estimate", "sensitivity_n"]
    report = xai.compare(model, rows, methods, asked, data=rows, removal=ZERO)
    own = sum(e.spent or e.evaluations * len(e) for e in report.explanations.values())
    assert model.rows == own + 12 + 12 * (4 + 6 + 4)


def test_without_metrics_to_go_by_there_is_no_front(rows):
    report = metrics.evaluate(bent, rows, {"a": rows, "b": W * rows}, ["completeness_gap"],
                              removal=ZERO)  # fmt: skip
    for ask in (report.pareto, lambda: report.pareto([])):
        with pytest.raises(ValueError, match=r"pass metrics=, of \['completeness_gap'\]"):
            ask()
    assert report.pareto(["completeness_gap"])


@pytest.mark.parametrize("key", ["complexity", "ab", ("complexity",), 0])
def test_a_score_is_asked_for_by_metric_and_explanation(key, rows):
    report = metrics.evaluate(bent, rows, {"a": rows}, ["complexity"])
    with pytest.raises(KeyError, match=r"a score is report\[metric, explanation\]"):
        report[key]


def test_explanations_that_are_best_in_one_of_three_ways_are_the_front():
    best = {"faithful": (0.0, 1.0, 2.0), "steady": (1.0, 0.0, 2.0), "simple": (1.0, 1.0, 0.0),
            "none": (1.0, 1.0, 2.0)}  # fmt: skip
    of = {"deletion": "faithfulness by removal", "max_sensitivity": "robustness",
          "complexity": "simplicity"}  # fmt: skip
    made = {
        (m, n): metrics.Score(np.full(3, best[n][i]), m, "lower", of[m])
        for n in best
        for i, m in enumerate(of)
    }
    extra = {("iou", n): metrics.Score(np.full(3, 5.0 * (n == "none")), "iou", "higher",
                                       "ground truth") for n in best}  # fmt: skip
    report = metrics.Report(made | extra, (*of, "iou"), tuple(best))
    assert report.pareto() == ["faithful", "steady", "simple"]
    assert report.pareto(["deletion"]) == ["faithful"]
    assert report.pareto(["iou", "deletion"]) == ["faithful", "none"]
    unscored = made | {(m, "none"): metrics.Score([np.nan] * 3, m, "lower", of[m]) for m in of}
    assert metrics.Report(unscored, tuple(of), tuple(best)).pareto() == report.pareto()


def test_bars_show_means_with_their_intervals_and_spokes_ranks(rows, two):
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    report = metrics.evaluate(bent, rows, two, ["deletion", "max_sensitivity", "complexity"])
    for panel, metric in zip(report.plot().axes, report.metrics, strict=True):
        scored = [n for n in report.names if (metric, n) in report.scores]
        points, bars = panel.lines[::2], panel.lines[1::2]
        assert len(points) == len(bars) == len(scored)
        for point, bar, name in zip(points, bars, scored, strict=True):
            assert_allclose(point.get_xdata(), [report[metric, name].mean()])
            assert_allclose(bar.get_xdata(), report.interval(metric, name))
    ranks = report.ranks()
    for line, name in zip(report.plot("radar").lines, two, strict=True):
        reach = [3 - ranks[metric][name] for metric in report.metrics]
        assert_allclose(line.get_ydata(), [*reach, reach[0]])
    plt.close("all")


def test_a_line_for_each_row_holds_the_scores(rows, two):
    pytest.importorskip("pandas")
    report = metrics.evaluate(bent, rows, two, ["deletion", "complexity"])
    lines = report.per_sample()
    for (metric, name), score in report.scores.items():
        mine = lines[(lines["metric"] == metric) & (lines["explanation"] == name)]
        assert_array_equal(mine["value"], score.values)
        assert_array_equal(mine["row"], np.arange(12))
    frame = report.to_frame().set_index(["metric", "explanation"])
    for key, score in report.scores.items():
        assert frame.loc[key, "mean"] == score.mean()
        assert (frame.loc[key, "low"], frame.loc[key, "high"]) == report.interval(*key)


def test_agreement_of_removals_is_the_mean_rank_correlation_of_the_rows(rows, two):
    """Over explanations, their flipped twins and noise, each scored under both removals."""
    removals = [ZERO, Baseline(0.5)]
    check = metrics.meta_check(bent, rows, two, "abpc", removals=removals)
    tables = [metrics.evaluate(bent, rows, two, ["abpc"], removal=r) for r in removals]
    scores = [np.stack([t["abpc", n].values for n in t.names], axis=1) for t in tables]
    ranks = [spearmanr(*row).statistic for row in zip(*scores, strict=True)]
    ((pair, agreement),) = check.agreement.items()
    assert pair == tuple(map(repr, removals))
    assert agreement == pytest.approx(np.nanmean(ranks))
    same = metrics.meta_check(bent, rows, two, "abpc", removals=[ZERO, Baseline(np.zeros(4))])
    assert next(iter(same.agreement.values())) == pytest.approx(1)


def test_chance_is_told_from_but_for_rounding(rows):
    """Of two players any attribution correlates by 1 or by −1: as it orders them."""
    x = rows[:, :2]
    e = xai.explain(lambda z: z @ np.array([0.3, 1.7]), x, "shapley", data=x)
    check = metrics.meta_check(
        lambda z: z @ np.array([0.3, 1.7]), x, e, "faithfulness_correlation", data=x, randoms=40
    )
    noise = np.stack([random_like(e.values, seed) for seed in range(40)])
    alike = np.diff(noise)[..., 0] * np.diff(e.values)[:, 0] > 0
    assert check.above_chance["shapley"] == np.where(alike, 0.5, 1.0).mean()


def test_removals_that_are_printed_alike_are_compared_as_any(rows, two):
    given = {"removals": [xai.removal.Marginal(rows[:3]), xai.removal.Marginal(rows[3:])]}
    check = metrics.meta_check(bent, rows, two, "abpc", **given)
    assert list(check.agreement) == [("Marginal()", "Marginal() (2)")]
    drawn = metrics.meta_check(bent, rows, two, "abpc", seed=np.random.default_rng(0), **given)
    seed = int(np.random.default_rng(0).integers(2**63))
    assert repr(drawn) == repr(metrics.meta_check(bent, rows, two, "abpc", seed=seed, **given))


def test_a_choices_errors_are_those_of_surrogates_row_by_row(rows):
    """Mean square, R² and the worst, where features are absent: of all 16 subsets of the four."""
    data, x = rows[6:], rows[:6]
    made = {"one": x * W, "other": np.abs(x) - 0.3}
    choice = xai.choose(bent, x, data=data, explanations=made, samples=16)
    f = bent(x)
    for name, phi in made.items():
        error, done = [], []
        for S in np.arange(16)[:, None] >> np.arange(4) & 1 == 1:
            gone = np.where(S, data[None], x[:, None])
            value = bent(gone.reshape(-1, 4)).reshape(6, 6).mean(axis=1)
            error.append(f - phi[:, S].sum(axis=1) - value)
            done.append(value)
        error, done = np.array(error), np.array(done)
        assert choice.errors[name]["absent"] == pytest.approx((error**2).mean())
        assert choice.worst[name]["absent"] == pytest.approx(np.abs(error).max())
        r2 = 1 - (error**2).mean() / done.var(axis=0).mean()
        assert choice.r2[name]["absent"] == pytest.approx(r2)
        b = data.mean(axis=0)
        share = (np.arange(16) + 0.5) / 16
        way = np.stack([bent(b + s * (x - b)) for s in share])
        walked = f + (share[:, None] - 1) * phi.sum(axis=1) - way
        assert choice.errors[name]["path"] == pytest.approx((walked**2).mean())
        assert choice.worst[name]["path"] == pytest.approx(np.abs(walked).max())
    assert choice.best == min(made, key=lambda name: choice.errors[name]["absent"])


def test_nearby_errors_are_those_of_a_quadratics_curvature(rows):
    """f = |x|²/2, γ = x, δ ~ N(0, s²) by column: error −|δ|²/2, E = (2Σs⁴ + (Σs²)²)/4."""
    f = lambda x: 0.5 * (x**2).sum(axis=1)  # noqa: E731
    scale, data = 0.3, rows
    b = data.mean(axis=0)
    choice = xai.choose(f, rows[:3], data=data, explanations={"slope": rows[:3] * (rows[:3] - b)},
                        scale=scale, samples=40_000, neighbourhood="nearby")  # fmt: skip
    s = scale * data.std(axis=0)
    expected = (2 * (s**4).sum() + (s**2).sum() ** 2) / 4
    assert choice.errors["slope"]["nearby"] == pytest.approx(expected, rel=0.05)


def test_a_model_that_gives_nan_nearby_is_told_with_the_row(rows):
    x = rows[:4].copy()
    x[2] += 50
    holes = lambda z: np.where((z > 30).all(axis=1) & (z != x[2]).any(axis=1), np.nan,  # noqa: E731
                               z.sum(axis=1))  # fmt: skip
    with pytest.raises(ValueError, match=r"NaN or inf for row 2 \(0-based\) of x"):
        xai.choose(holes, x, data=rows, methods=["occlusion"])


@pytest.mark.parametrize("rows_given", [False, True])
def test_a_method_of_parts_is_scored_as_parts_by_name(rows, rows_given):
    """Its removal and behavior are the explanation's own, as keywords' are."""

    def model(z):
        return z @ np.random.default_rng(1).normal(size=(z.shape[1], 3))

    given = {"data": rows} if rows_given else {}
    removal = xai.removal.Marginal() if rows_given else xai.removal.Baseline(2.0)
    parts = {"removal": removal, "behavior": xai.behavior.Margin()}
    one = xai.explain(model, rows[:3], xai.Method(**parts), **given)
    other = xai.explain(model, rows[:3], "shapley", **parts, **given)
    for score in (metrics.deletion, metrics.completeness_gap):
        own, same = (score(model, rows[:3], e) for e in (one, other))
        assert (own.removal, own.output) == (same.removal, same.output)
        assert own.output == "Margin(output='auto')"
        assert_array_equal(own.values, same.values)
        assert own.evaluations == same.evaluations
    metrics.evaluate(model, rows[:3], {"a": one, "b": other}, ["deletion"])


UNASKED = [r for r in metrics.names() if not r.needs or "scikit-image" in r.needs
           or r.name == "consistency"]  # fmt: skip


@pytest.mark.parametrize("record", UNASKED, ids=lambda record: record.name)
def test_the_cost_that_the_table_shows_is_what_is_spent(record, counting):
    """With background rows each removal costs all of them; subsets that come twice cost once."""
    drawn = np.random.default_rng(0).normal(size=(9, 12))
    x, a, data = drawn[:1], drawn[1:2], drawn[2:]
    counted = counting(lambda z: np.stack([z[:, 0] * z[:, 1], z[:, 2]], axis=1))
    metric = getattr(metrics, record.name)
    options = {"samples": 16} if "samples" in metric.options else {}
    score = metric(counted, x, a, data=data, **options)
    product = re.sub(r"(?<=[\w)])\s*(?=[A-Za-z(])", "*", record.cost.replace("−", "-"))
    shown = eval(product, {"__builtins__": {}}, {"K": 12, "d": 12, "m": 7, "N": 16})
    assert counted.rows == score.evaluations
    assert 0.85 * shown <= score.evaluations <= shown


def test_two_curves_serve_all_metrics_of_the_order(counting):
    """The most and the least important first; what is left when these meet is shared, too."""
    drawn = np.random.default_rng(0).normal(size=(4, 12))
    x, data = drawn[:1], drawn[1:]
    counted = counting(lambda z: z[:, 0] * z[:, 1] + z[:, 2])
    asked = ["deletion", "insertion", "comprehensiveness", "sufficiency", "pixel_flipping", "abpc",
             "monotonicity"]  # fmt: skip
    report = metrics.evaluate(counted, x, {"a": x}, asked, controls=False, data=data)
    assert counted.rows == report.evaluations == (2 * 12 - 1) * len(data) + 1


AGAIN = [r for r in metrics.names() if re.search(r"\bex\b", r.cost) and "torch" not in r.needs]


@pytest.mark.parametrize("d", [5, 40])
@pytest.mark.parametrize("record", AGAIN, ids=lambda record: record.name)
def test_the_explanations_that_the_table_shows_are_made(record, d):
    """By differences; those along random directions, from 33 columns on, cost no more."""
    x, made = np.random.default_rng(0).normal(size=(1, d)), []

    def explain(model, rows, target):
        made.append(len(rows))
        return rows**2

    data = {"data": np.random.default_rng(1).normal(size=(12, d))}
    model = lambda z: np.stack([z[:, 0] * z[:, 1], z[:, 2]], axis=1)  # noqa: E731
    getattr(metrics, record.name)(model, x, x**2, explain=explain, **data)
    some, _, most = re.split(r" ex\b", record.cost.split(" or ")[-1])[0].partition(" ≤ ")
    shown = eval(re.sub(r"(?<=\d)(?=[dN(])", "*", some), {"__builtins__": {}}, {"d": d, "N": 10})
    assert sum(made) == min(shown, int(most or shown))


# ------------------------------------------------------- what is refused before anything is spent


@pytest.mark.parametrize(
    ("methods", "metrics", "keywords", "message"),
    [
        ({"a": "lime", "b": {"method": "lime", "kernl": "uniform"}}, ["deletion"], {}, "'kernel'"),
        (["lime", "gradcam"], ["deletion"], {}, "needs gradients"),
        ({"a": "lime", "b": {"method": "lime", "removal": "marginl"}}, None, {}, "'marginal'"),
        (["lime"], ["deletion"], {"removal": "marginl"}, "'marginal'"),
        (["lime"], ["parameter_randomization"], {}, "looks into a torch module"),
        (["lime", "loss_shap"], ["deletion"], {}, "pass y="),
        ({"a": "lime", "b": {"method": "lime", "kernel": "unifrm"}}, None, {}, "'uniform'"),
    ],
)
def test_a_comparison_refuses_names_before_any_method_is_run(methods, metrics, keywords, message):
    calls, x = [], np.random.default_rng(0).normal(size=(5, 3))

    def model(rows):
        calls.append(len(rows))
        return rows.sum(axis=1)

    with pytest.raises((TypeError, ValueError), match=message):
        xai.compare(model, x, methods, metrics, data=x, **keywords)
    assert not calls


WRONG_METHODS = [
    ({"method": "shapley", "behavior": xai.behavior.Prediction("logitt")}, "'logit'"),
    ({"method": "shapley", "behavior": "margin"}, "a margin needs at least two outputs"),
    ({"method": "rise"}, "draws masks over the pixels of images"),
    ({"method": "occlusion", "removal": "blur"}, "is for images"),
    ({"method": "occlusion", "removal": xai.removal.Baseline(np.zeros(4))}, r"shape \(4,\)"),
    ({"method": "occlusion", "removal": xai.removal.Uniform(1, 0)}, "high must not be below low"),
    ({"method": "kernel_shap", "budget": 3}, "budget=3 is too small: KernelSHAP"),
    ({"method": "shapley", "target": 9}, "target 9 is out of range"),
    ({"method": "shapley", "tolerance": -1}, "tolerance must be positive"),
    ({"method": "owen", "groups": [[0, 1]]}, r"in no group: 2 \(2\)"),
    ({"method": "sage", "y": np.zeros(5)}, "explained a data set as a whole"),
    ({"method": "loss_shap", "y": np.zeros(5), "loss": "sqared"}, "'squared'"),
]
WRONG_METRICS = [
    ("comprehensiveness", {"k": 99}, "k=99: there are 3 players"),
    ("insertion", {"steps": 0}, "steps=0: expected a positive integer"),
    ("faithfulness_correlation", {"subset_size": 99}, "subset_size=99"),
    ("infidelity", {"samples": 0}, "samples=0"),
    ("max_sensitivity", {"radius": -1}, "radius=-1"),
    ("lfa_error", {"samples": 0}, "samples=0"),
    ("relevance_mass", {"mask": np.ones((5, 9), bool)}, "does not fit the attributions"),
    ("rank_correlation", {"reference": np.ones((5, 9))}, "the reference has shape"),
    ("random_logit", {}, "the model has one output"),
    ("consistency", {}, "the model has one output"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG_METHODS)
@pytest.mark.parametrize("run", [xai.compare, xai.choose])
def test_what_a_later_method_refuses_is_told_before_the_first_is_run(counting, run, wrong, message):
    model, x = counting(lambda rows: rows.sum(axis=1)), np.random.default_rng(0).normal(size=(5, 3))
    with pytest.raises(ValueError, match=message):
        run(model, x, methods={"a": "lime", "b": wrong}, data=x[:4])
    assert model.rows <= len(x)


@pytest.mark.parametrize(("metric", "options", "message"), WRONG_METRICS)
def test_what_a_metric_refuses_is_told_before_another_is_measured(
    counting, metric, options, message
):
    model, x = counting(lambda rows: rows.sum(axis=1)), np.random.default_rng(0).normal(size=(5, 3))
    asked = ["deletion", (metric, options)]
    with pytest.raises(ValueError, match=message):
        xai.compare(model, x, ["lime", "shapley"], asked, data=x[:4])
    assert model.rows == len(x)
    e = xai.explain(model, x, "shapley", data=x[:4])
    model.rows = 0
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(model, x, e, asked)
    assert model.rows == len(x)


def test_a_rehearsal_refuses_nothing_that_can_be_done():
    """30 players in closed form alone; of a network those inside it, rules, and a concept."""
    wide = np.random.default_rng(0).normal(size=(40, 30))
    forest = RandomForestRegressor(4, random_state=0).fit(wide, wide.sum(axis=1))
    report = xai.compare(forest, wide[:3], ["exact_shapley", "occlusion"], data=wide)
    assert set(report.explanations) == {"exact_shapley", "occlusion"}
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2)
    )
    x = torch.randn(12, 1, 8, 8)
    concept = xai.behavior.Concept(xai.concepts.fit(net, x, layer="1", n_concepts=2), 0)
    own = {"method": "gradient", "behavior": concept}
    asked = ["deletion", ("max_sensitivity", {"samples": 2}), "parameter_randomization"]
    for methods in (["gradcam", "gradient"], ["gradient", "deeplift"], {"a": own, "b": own}):
        report = xai.compare(net, x[:2], methods, asked[: 2 if "a" in methods else 3])
        assert report.explanations.keys() == set(methods)


def test_a_metrics_own_option_is_told_where_it_goes():
    f, x = lambda x: x.sum(axis=1), np.ones((2, 3))
    with pytest.raises(TypeError, match=r"ask for \('deletion', \{'steps': …\}\) in metrics="):
        xai.metrics.evaluate(f, x, {"a": x}, ["complexity", "deletion"], data=0 * x, steps=3)


@pytest.mark.parametrize("what", ["x", "data"])
def test_choose_refuses_gaps_before_any_method_is_run(what):
    calls, rows = [], np.random.default_rng(0).normal(size=(6, 3))
    gaps = rows.copy()
    gaps[0, 1] = np.nan

    def model(rows):
        calls.append(len(rows))
        return np.nan_to_num(rows).sum(axis=1)

    x, data = (gaps, rows) if what == "x" else (rows, gaps)
    for neighbourhood in ("nearby", "path"):
        with pytest.raises(ValueError, match=f"{what} holds NaN: fill them .*='absent'"):
            xai.choose(model, x, data=data, neighbourhood=neighbourhood)
    with pytest.raises(ValueError, match=f"{what} holds inf: fill them first$"):
        xai.choose(model, np.nan_to_num(x, nan=np.inf), data=np.nan_to_num(data, nan=np.inf))
    pandas = pytest.importorskip("pandas")
    frames = [pandas.DataFrame(block, columns=["a", "b", "c"]) for block in (x, data)]
    with pytest.raises(ValueError, match="holds NaN: fill them first in column 'b', or ask"):
        xai.choose(
            lambda frame: model(frame.to_numpy()), frames[0], data=frames[1], neighbourhood="path"
        )
    with pytest.raises(ValueError, match="one output at a time"):
        xai.choose(model, rows, data=rows, target="all")
    assert not calls
    marked = xai.choose(model, x, data=data, categorical=[1], methods=["occlusion"])
    assert marked.best == "occlusion"  # codes are not moved


def test_an_option_that_a_check_of_a_metric_lacks_is_told_of_under_its_name():
    f, x = lambda x: x.sum(axis=1), np.ones((3, 2))
    e = xai.explain(f, x, "exact_shapley", removal="baseline")
    with pytest.raises(TypeError, match="option of meta_check 'taget'; did you mean 'target'"):
        metrics.meta_check(f, x, e, "abpc", taget=1)


@pytest.mark.parametrize("what", ["x", "data", "both"])
def test_choose_asks_models_that_take_gaps_about_absence(what):
    """There no number is moved: as with NaN for a value, which the model takes for 0.7."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(12, 3))
    gaps = np.where(rng.random(rows.shape) < [0.4, 0.4, 0], np.nan, rows)
    x, data = (rows if what == "data" else gaps)[:4], (rows if what == "x" else gaps)[4:]

    def model(z):
        filled = np.nan_to_num(z, nan=0.7)
        return filled[:, 0] * filled[:, 1] + np.abs(filled[:, 2])

    given = {"samples": 50, "methods": ["occlusion", "shapley"], "copies": 2}
    choice = xai.choose(model, x, data=data, **given)
    filled = xai.choose(
        model, np.nan_to_num(x, nan=0.7), data=np.nan_to_num(data, nan=0.7), **given
    )
    for name in given["methods"]:
        assert choice.errors[name]["absent"] == pytest.approx(filled.errors[name]["absent"])
        assert np.isfinite([*choice.errors[name].values(), choice.sensitivity[name]]).all()
    assert choice.best == filled.best and choice.recovery == {} and filled.recovery
    told = [w for w in choice.warnings if "NaN" in w]
    assert [w.split(":")[0] for w in told] == [
        "some columns hold NaN", "a linear model of columns that hold NaN has no slopes to recover"
    ]  # fmt: skip


def test_slopes_say_nothing_of_gaps():
    torch = pytest.importorskip("torch")
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    data = x.clone()
    data[0, 0] = float("nan")
    model = lambda z: torch.nan_to_num(z).sum(dim=1)  # noqa: E731
    with pytest.raises(ValueError, match="'gradient' gives slopes, which say nothing of columns"):
        xai.choose(model, x, data=data, methods=["occlusion", "gradient"])


def test_a_wide_report_prints_in_blocks(line):
    names = [
        "deletion", "insertion", "comprehensiveness", "sufficiency", "sparseness", "complexity",
        "completeness_gap", "dummy_mass",
    ]  # fmt: skip
    report = xai.compare(line.model, line.x[:3], ["shapley", "lime"], names, data=line.data)
    lines = [text for text in repr(report).splitlines() if not text.startswith(("*", "removal:"))]
    assert max(map(len, lines)) <= 120
    heads = [text for text in lines if "↑" in text or "↓" in text]
    assert len(heads) == 2 and sum(text.startswith("shapley  ") for text in lines) == 2
    assert [word for text in heads for word in text.split() if word in names] == names
