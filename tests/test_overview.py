"""The model as a whole: equal to scikit-learn's curves, Algorithm 2 word for word, and refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import partial_dependence as theirs
from sklearn.linear_model import LogisticRegression

import xai
from xai.overview import (
    accumulated_local_effects,
    cohorts,
    importance,
    partial_dependence,
    submodular_pick,
)
from xai.plots.many import read_groups, read_many

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)) @ np.array([[1.0, 0.8, 0], [0, 0.6, 0], [0, 0, 1.0]])


def additive(x: np.ndarray) -> np.ndarray:
    return x[:, 0] ** 2 + 3 * x[:, 1] - np.abs(x[:, 2])


def mixed(x: np.ndarray) -> np.ndarray:
    return x[:, 0] * x[:, 1] + x[:, 2]


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def explained(values: np.ndarray) -> xai.Explanation:
    """An explanation of these values."""
    made = xai.explain(
        lambda x: x.sum(axis=1), np.ones(values.shape), "occlusion",
        data=np.zeros((1, values.shape[1])),
    )  # fmt: skip
    return replace(made, values=values)


# ----------------------------------------------------------------------------- SP-LIME's pick


def algorithm_2(W: np.ndarray, budget: int) -> list[int]:
    """Ribeiro et al. 2016, Algorithm 2, line by line."""
    I = np.sqrt(np.abs(W).sum(axis=0))  # noqa: E741 # the paper's letter

    def c(V: list[int]) -> float:
        return float(sum(I[j] for j in range(W.shape[1]) if any(W[i, j] != 0 for i in V)))

    V: list[int] = []
    while len(V) < budget:
        left = [i for i in range(len(W)) if i not in V]
        V.append(max(left, key=lambda i: c([*V, i])))
    return V


@pytest.mark.parametrize("seed", range(5))
def test_the_pick_is_algorithm_2(seed: int) -> None:
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(12, 20)) * (rng.random((12, 20)) < 0.15)
    assert submodular_pick(explained(W), 3, max_features=20).tolist() == algorithm_2(W, 3)


def test_the_pick_of_the_papers_figure_5() -> None:
    W = np.array(
        [[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 1, 1.0]]
    )
    # the second row of f2 and f3, then the fifth of f4 and f5
    assert submodular_pick(explained(W), 2).tolist() == [1, 4]


def test_a_row_shows_only_its_largest_features() -> None:
    W = np.array([[5.0, 0.1, 0.1], [0.1, 5.0, 0.1], [0.1, 0.1, 6.0]])
    assert sorted(submodular_pick(explained(W), 3, max_features=1)) == [0, 1, 2]
    assert submodular_pick(explained(W), 1, max_features=1)[0] == 2


def test_every_count_is_picked_without_repetition() -> None:
    for values in (np.zeros((4, 2)), np.ones((4, 2)), -np.ones((4, 2))):
        assert sorted(submodular_pick(explained(values), 4).tolist()) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="pick 1 to 4 rows"):
        submodular_pick(explained(np.ones((4, 2))), 5)
    with pytest.raises(ValueError, match="at least one feature"):
        submodular_pick(explained(np.ones((4, 2))), 2, max_features=0)


# ------------------------------------------------------------------ all rows, groups of rows


def test_importance_is_the_mean_size_with_its_error() -> None:
    values = RNG.normal(size=(50, 3))
    found = importance(explained(values))
    np.testing.assert_allclose(found.values, np.abs(values).mean(axis=0))
    np.testing.assert_allclose(found.std_error, np.abs(values).std(axis=0, ddof=1) / np.sqrt(50))
    pytest.importorskip("pandas")
    frame = found.to_frame()
    assert frame["importance"].is_monotonic_decreasing
    assert np.isnan(importance(explained(values[:1])).std_error).all()


TEXTS = ["good good film", "a bad film", "good", "bad bad bad", "a film"]


def judged(texts: list[str] = TEXTS, **how: Any) -> xai.Explanation:
    """Texts' "good"s less twice their "bad"s, and 1 where a film is good."""

    def judge(texts: Any) -> np.ndarray:
        words = [text.split() for text in texts]
        return np.array(
            [w.count("good") - 2.0 * w.count("bad") + ("good" in w and "film" in w) for w in words]
        )

    return xai.explain(judge, texts, "shapley", **how)


def test_the_importance_of_words_is_the_mean_size_of_their_sums() -> None:
    made = judged()
    found = importance(made)
    assert found.names == ["good", "film", "a", "bad"] and found.rows == 5
    frame = made.to_frame().groupby(["row", "feature"]).value.sum().abs()
    expected = frame.groupby("feature").sum() / 5
    np.testing.assert_allclose(found.values, expected[found.names], rtol=0, atol=1e-12)
    assert found.values[3] == pytest.approx(2 * 4 / 5)


def test_texts_are_bags_of_words() -> None:
    many = read_many(judged())
    total = many.values.sum(axis=1) + many.base
    np.testing.assert_allclose(total, many.prediction, rtol=0, atol=1e-12)
    often = [[2, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 3], [0, 1, 1, 0]]
    assert many.data.tolist() == often
    W = np.abs(many.values)
    np.testing.assert_array_equal(submodular_pick(judged(), 2, max_features=3), algorithm_2(W, 2))
    assert {name: len(part) for name, part in cohorts(judged(), by="bad").items()} == {
        "bad <= 0": 3, "bad > 0": 2,
    }  # fmt: skip


def test_the_error_of_a_words_sum_is_no_less_than_what_its_errors_may_add_up_to() -> None:
    made = judged(["good good film " + "or so " * 9, "good"], estimator="permutation", samples=9)
    errors = read_many(made).std_error
    assert made.std_error is not None and errors is not None
    assert errors[0, 0] == made.std_error[0, 0] + made.std_error[0, 1] > 0


@pytest.mark.parametrize("room", [5, 10, 15])
def test_of_very_many_words_the_smaller_ones_are_one(room: int, monkeypatch: Any) -> None:
    whole = read_many(judged())
    monkeypatch.setattr("xai.plots.many.WORDS", room)
    many, own = read_many(judged()), room // 5
    assert many.names == [w for w in whole.names if w in ["bad", "good", "film"][:own]] + [
        f"{4 - own} other word{'s' * (own < 3)}"
    ]
    np.testing.assert_allclose(many.values.sum(axis=1), whole.values.sum(axis=1), atol=1e-12)
    assert many.largest(1).names == whole.largest(1).names == ["bad", "3 other words"]


@pytest.mark.parametrize(
    ("room", "names"),
    [(2**23, ["good", "film", "a", "bad"]), (10, ["good", "bad", "2 other words"])],
)
def test_cohorts_of_texts_are_over_the_words_of_all(
    room: int, names: list[str], monkeypatch: Any
) -> None:
    parts = cohorts(judged(), by="bad")
    monkeypatch.setattr("xai.plots.many.WORDS", room)
    groups = read_groups([*parts.values()])
    for part, many in zip(parts.values(), groups, strict=True):
        assert many.names == names
        alone = read_many(part)
        own = [word for word in names[:2] if word in alone.names]
        for word in own:
            np.testing.assert_array_equal(
                many.values[:, names.index(word)], alone.values[:, alone.names.index(word)]
            )
        np.testing.assert_allclose(many.values.sum(axis=1), alone.values.sum(axis=1), atol=1e-12)
    axes = xai.plots.global_bar(parts)
    assert sorted(label.get_text() for label in axes.get_yticklabels()) == sorted(names)


def test_cohorts_are_the_rows_of_their_labels() -> None:
    made = xai.explain(additive, X, "exact_shapley", data=X[:20], feature_names=["a", "b", "c"])
    labels = np.where(X[:, 0] > 0, "up", "down")
    found = cohorts(made, labels)
    assert list(found) == ["down", "up"]
    np.testing.assert_array_equal(found["up"].values, made.values[X[:, 0] > 0])
    middle = np.median(X[:, 1])
    halves = cohorts(made, "b")
    assert list(halves) == [f"b <= {middle:.4g}", f"b > {middle:.4g}"]
    assert [len(part) for part in halves.values()] == [30, 30]
    with pytest.raises(ValueError, match="2 labels for 60 rows"):
        cohorts(made, ["x", "y"])
    with pytest.raises(ValueError, match="expected 2 to 60 groups"):
        cohorts(made, 1)


def test_a_tree_finds_the_groups_that_are_explained_alike() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, size=(200, 3))
    made = xai.explain(
        lambda x: np.where(x[:, 2] > 0, 5 * x[:, 0], -5 * x[:, 1]), x, "exact_shapley",
        data=np.array([[1.0, 1.0, 0.5]]), feature_names=["a", "b", "switch"],
    )  # fmt: skip
    low, high = cohorts(made, 2).values()
    assert sum(map(len, (low, high))) == 200
    names = list(cohorts(made, 2))
    assert all(name.startswith("switch") for name in names)
    assert low.data[:, 2].max() < high.data[:, 2].min()


def test_cohorts_of_a_category() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"job": ["cook", "clerk", "cook"], "age": [1.0, 2, 3]})
    made = xai.explain(lambda f: f["age"].to_numpy(), frame, "exact_shapley", data=frame)
    assert {name: len(part) for name, part in cohorts(made, "job").items()} == {
        "job = clerk": 1, "job = cook": 2,
    }  # fmt: skip


def test_a_tree_tells_categories_by_name() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"job": [*"abcd"] * 5, "age": np.arange(20.0)})
    pay = {"a": 1.0, "b": 5.0, "c": 2.0, "d": 2.0}
    f = lambda table: table["job"].map(pay).to_numpy()  # noqa: E731
    made = xai.explain(f, frame, "exact_shapley", data=frame.iloc[:1])
    assert {name: len(part) for name, part in cohorts(made, 3).items()} == {
        "job = a": 5, "job = b": 5, "job = c or d": 10,
    }  # fmt: skip


def test_a_cohorts_name_is_true_of_its_rows() -> None:
    """A rule is rounded no further than the split allows, and a gap is neither high nor low."""
    year = np.array([2012.0, 2013, 2013, 2014, 2014, 2015])
    made = xai.explain(
        lambda x: 1.0 * (x[:, 0] > 2013), year[:, None], "exact_shapley", data=year[:2, None],
        feature_names=["year"],
    )  # fmt: skip
    for by in (2, "year"):
        sizes = {name: len(part) for name, part in cohorts(made, by).items()}
        assert sizes == {"year <= 2013.5": 3, "year > 2013.5": 3}
    gaps = replace(made, data=np.array([[1.0], [1], [1], [0], [0], [np.nan]]))
    assert {name: len(part) for name, part in cohorts(gaps, "year").items()} == {
        "year <= 0": 2, "year > 0": 3, "year missing": 1,
    }  # fmt: skip


# --------------------------------------------------------------------------- partial dependence


@pytest.mark.parametrize("target", [0, 1, 2])
def test_partial_dependence_is_scikit_learns(target: int) -> None:
    y = (X[:, 0] > 0).astype(int) + (X[:, 2] > 0.5)
    forest = RandomForestClassifier(10, random_state=0).fit(X, y)
    ours = partial_dependence(forest, X, 1, target=target, resolution=10)
    asked = {"custom_values": {1: ours.grid}, "method": "brute", "kind": "both"}
    same = theirs(forest, X, [1], **asked)
    np.testing.assert_allclose(ours.values, same["average"][target], atol=1e-12)
    np.testing.assert_allclose(ours.individual, same["individual"][target], atol=1e-12)
    assert len(ours.grid) == 10
    assert np.isin(ours.grid, X[:, 1]).all()


def test_partial_dependence_less_its_base_is_the_shapley_value_of_an_additive_model() -> None:
    made = xai.explain(additive, X, "exact_shapley", data=X)
    for j in range(3):
        effect = partial_dependence(additive, X, j, grid=X[:, j])
        np.testing.assert_allclose(effect.centred, made.values[:, j], atol=1e-12)
        assert np.isclose(effect.base, additive(X).mean())


@pytest.mark.parametrize("grid", [[], 5, ["a"], [[1.0, 2.0]]], ids=repr)
def test_a_grid_that_is_no_list_of_numbers_is_refused(grid: Any) -> None:
    with pytest.raises(ValueError, match="expected a list of numbers, for 'feature 0'"):
        partial_dependence(mixed, X, 0, grid=grid)


def test_effects_count_their_model_rows() -> None:
    seen = 0

    def counting(x: np.ndarray) -> np.ndarray:
        nonlocal seen
        seen += len(x)
        return mixed(x)

    effect = partial_dependence(counting, X, 0, resolution=5)
    assert effect.evaluations == seen == 60 * 6 + 5
    seen = 0
    effect = accumulated_local_effects(counting, X, 0)
    assert effect.evaluations == seen == 2 * 60


def test_tables_of_every_make_have_the_same_effects() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = {"job": ["cook", "clerk", "cook", "pilot"], "age": [30, 40, 25, 60]}

    def f(frame: Any) -> np.ndarray:
        assert frame["age"].dtype == kind["age"].dtype
        assert frame["job"].dtype == kind["job"].dtype
        return np.asarray(frame["job"] == "cook") * 10.0 + np.asarray(frame["age"])

    made = pandas.DataFrame(columns, index=list("wxyz"))
    for kind in (made, made.astype({"job": "category"}), polars.DataFrame(columns)):
        effect = partial_dependence(f, kind, "job")
        assert effect.grid.tolist() == ["clerk", "cook", "pilot"]
        np.testing.assert_allclose(effect.values, [38.75, 48.75, 38.75])
        curve = accumulated_local_effects(f, kind, "age")
        np.testing.assert_allclose(np.diff(curve.values), np.diff([25, 30, 40, 60]))
        with pytest.raises(ValueError, match="holds no numbers"):
            accumulated_local_effects(f, kind, "job")


def dated(kind: str, n: int = 200) -> Any:
    """A table with a date in every row but one, and a number."""
    days = np.datetime64("2020-01-01") + np.random.default_rng(0).permutation(n)
    if kind == "polars":
        polars = pytest.importorskip("polars")
        when = polars.Series(days).set(polars.Series(np.arange(n) == 3), None)
        return polars.DataFrame({"when": when, "size": np.arange(n) / n})
    pandas = pytest.importorskip("pandas")
    when = pandas.Series(days.astype("M8[s]")).where(np.arange(n) != 3)
    when = when.dt.tz_localize("Europe/Berlin") if kind == "in a time zone" else when
    return pandas.DataFrame({"when": when, "size": np.arange(n) / n})


def lately(table: Any) -> np.ndarray:
    """1 from 10 April 2020 on, and the size."""
    when = table["when"].to_numpy()
    if when.dtype == object:  # in a time zone
        when = table["when"].dt.tz_localize(None).to_numpy()
    return (when >= np.datetime64("2020-04-10")) + table["size"].to_numpy()


@pytest.mark.parametrize("kind", ["pandas", "in a time zone", "polars"])
def test_dates_have_an_order_and_quantiles(kind: str) -> None:
    """As categories they were as many as rows, which makes rows² model rows."""
    table = dated(kind)
    effect = partial_dependence(lately, table, "when", resolution=10)
    assert len(effect.grid) == 10 and effect.grid.dtype.kind == "M"
    assert effect.evaluations == 11 * 200 + 10
    np.testing.assert_allclose(np.ptp(effect.values), 1)
    np.testing.assert_allclose(
        np.diff(effect.values)[effect.grid[1:] < np.datetime64("2020-04-09")], 0, atol=1e-12
    )
    curve = accumulated_local_effects(lately, table, "when", bins=10)
    np.testing.assert_allclose(curve.values[[0, -1]] @ [-1, 1], 1)


@pytest.mark.parametrize("kind", ["pandas", "in a time zone", "polars"])
def test_effects_of_dates_are_drawn_over_dates_where_the_attributions_are(kind: str) -> None:
    from matplotlib.dates import date2num

    from xai.plots import dependence

    table = dated(kind)
    effect = partial_dependence(lately, table, "when", resolution=10)
    explanation = xai.explain(lately, table[:40], "exact_shapley", data=table[40:60])
    for axes in (dependence(effect), dependence(effect, explanation)):
        np.testing.assert_allclose(axes.lines[-1].get_xdata(), date2num(effect.grid))
        axes.figure.canvas.draw()
        assert any("2020" in label.get_text() for label in axes.get_xticklabels())
    dots = np.asarray(axes.collections[0].get_offsets())
    assert len(axes.get_xticks()) < 20 and "not drawn: 1 of 40 rows" in axes.get_xlabel()
    late = dots[:, 0] >= date2num(np.datetime64("2020-04-10")) - 0.2  # Berlin is ahead of UTC
    np.testing.assert_array_equal(dots[late, 1] > 0, True)
    np.testing.assert_array_equal(dots[~late, 1] < 0, True)


@pytest.mark.parametrize("kind", ["pandas", "in a time zone"])
def test_cohorts_of_dates_are_named_by_dates(kind: str) -> None:
    table = dated(kind)[4:]
    explanation = xai.explain(lately, table, "exact_shapley", data=table[:20])
    halves = cohorts(explanation, "when")
    cut = next(iter(halves)).removeprefix("when <= ")
    assert list(halves) == [f"when <= {cut}", f"when > {cut}"] and cut.startswith("2020-04")
    (early, late) = cohorts(explanation, 2)
    assert early.startswith("when <= 2020-04-") and late.startswith("when > 2020-04-")
    only = xai.explain(lambda t: lately(t.assign(size=0.0)), table[["when"]], data=table[["when"]])
    assert all(name.startswith("when ") and "2020-04" in name for name in cohorts(only, "when"))


def test_missing_categories_are_no_place_of_a_curve() -> None:
    pandas = pytest.importorskip("pandas")
    jobs = pandas.DataFrame({"job": ["cook", None, "clerk", "cook"], "age": [30, 40, 25, 60]})

    def g(table: Any) -> np.ndarray:
        return np.asarray(table["job"].isin(["cook"])) * 10.0

    for made in (jobs, jobs.astype({"job": "category"}), jobs.astype({"job": "string"})):
        effect = partial_dependence(g, made, "job")
        assert effect.grid.tolist() == ["clerk", "cook"] and effect.values.tolist() == [0, 10]
    for effect in (partial_dependence, accumulated_local_effects):
        with pytest.raises(ValueError, match="'feature 0' has no value in any row"):
            effect(gaps_at_0, np.where(np.arange(3) == 0, np.nan, X), 0)


def test_effects_of_a_torch_module() -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Linear(3, 2)
    w = net.weight.detach().numpy()[1, 0]
    x = torch.tensor(X, dtype=torch.float32)
    effect = partial_dependence(net, x, 0, target=1)
    np.testing.assert_allclose(effect.centred, w * (effect.grid - X[:, 0].mean()), atol=1e-5)
    curve = accumulated_local_effects(net, x, 0, target=1)
    np.testing.assert_allclose(np.diff(curve.values), w * np.diff(curve.grid), atol=1e-5)


def gaps_at_0(x: Any) -> np.ndarray:
    return mixed(np.nan_to_num(np.asarray(x)))


@pytest.mark.parametrize("kind", ["array", "frame"])
@pytest.mark.parametrize("most", [4, 100])
def test_where_a_value_is_missing_it_is_no_place_on_the_curve(most: int, kind: str) -> None:
    x = np.where(np.arange(3) == 0, np.where(np.arange(60)[:, None] % 5, X, np.nan), X)
    known = x[~np.isnan(x[:, 0])]
    table = x if kind == "array" else pytest.importorskip("pandas").DataFrame(x)
    effect = partial_dependence(gaps_at_0, table, 0, resolution=most)
    places = partial_dependence(gaps_at_0, known, 0, resolution=most).grid
    np.testing.assert_array_equal(effect.grid, places)
    for value, mean in zip(effect.grid, effect.values, strict=True):
        assert np.isclose(mean, gaps_at_0(np.column_stack([np.full(60, value), x[:, 1:]])).mean())
    curves = [accumulated_local_effects(gaps_at_0, rows, 0, bins=most) for rows in (table, known)]
    np.testing.assert_array_equal(curves[0].grid, curves[1].grid)
    np.testing.assert_array_equal(curves[0].values, curves[1].values)


def test_a_grid_of_categories_keeps_the_columns_dtype() -> None:
    pandas = pytest.importorskip("pandas")
    kind = pandas.CategoricalDtype(["a", "b", "c"])
    frame = pandas.DataFrame({"job": pandas.Series(["b", None, "a"], dtype=kind)})

    def codes(frame: Any) -> np.ndarray:
        assert frame["job"].dtype == kind
        return frame["job"].cat.codes.to_numpy() * 1.0

    assert partial_dependence(codes, frame, "job").grid.tolist() == ["a", "b"]
    assert partial_dependence(codes, frame, "job", grid=["c", "a"]).values.tolist() == [2, 0]


@pytest.mark.parametrize("effect", [partial_dependence, accumulated_local_effects])
def test_effects_of_columns_that_are_named_by_other_places(effect: Any) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({1: [0.0, 1.0, 2.0, 3.0], 0: [3.0, 2.0, 0.0, 1.0]})
    found = effect(lambda x: 10 * np.asarray(x)[:, 0], frame, 1)
    np.testing.assert_allclose(np.diff(found.values), 10 * np.diff(found.grid))


def test_effects_of_a_sparse_matrix() -> None:
    from scipy import sparse

    for effect in (partial_dependence, accumulated_local_effects):
        found = effect(lambda x: mixed(x.toarray()), sparse.csr_matrix(X), 0)
        np.testing.assert_allclose(found.values, effect(mixed, X, 0).values)


@pytest.mark.parametrize("effect", [partial_dependence, accumulated_local_effects])
def test_effects_that_cannot_be_had_are_refused(effect: Any) -> None:
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    with pytest.raises(ValueError, match="effect is of one output: pass target="):
        effect(model, X, 0)
    with pytest.raises(ValueError, match="effect is of one output"):
        effect(model, X, 0, target="all")
    with pytest.raises(ValueError, match="column 7 is out of range"):
        effect(model, X, 7, target=0)
    with pytest.raises(ValueError, match="must be a table"):
        effect(model, X[0], 0, target=0)
    with pytest.raises(ValueError, match="2 names for 3 columns"):
        effect(model, X, 0, target=0, feature_names=["a", "b"])
    with pytest.raises(TypeError, match="feature_names must be a list of names, not 3"):
        effect(model, X, 0, target=0, feature_names=3)
    for size in (0, -1):  # of which the rows never came to an end
        with pytest.raises(ValueError, match=f"batch_size must be positive, not {size}"):
            effect(model, X, 0, target=0, batch_size=size)
    count = "resolution" if effect is partial_dependence else "bins"
    with pytest.raises(ValueError, match=f"{count} must be positive"):
        effect(model, X, 0, target=0, **{count: 0})


# ------------------------------------------------------------------------------------------ ALE


def slow_ale(f: Any, x: np.ndarray, j: int, edges: np.ndarray) -> np.ndarray:
    """Apley & Zhu 2020, eq. 15, row by row, centred as in their ALEPlot."""
    K, curve = len(edges) - 1, [0.0]
    place = [max(1, int(np.searchsorted(edges, v))) for v in x[:, j]]
    for k in range(1, K + 1):
        gaps = []
        for i, row in enumerate(x):
            if place[i] == k:
                high, low = row.copy(), row.copy()
                high[j], low[j] = edges[k], edges[k - 1]
                gaps.append(float(f(high[None])[0] - f(low[None])[0]))
        curve.append(curve[-1] + float(np.mean(gaps)))
    means = [(curve[p] + curve[p - 1]) / 2 for p in place]
    return np.array(curve) - np.mean(means)


@pytest.mark.parametrize("f", [additive, mixed])
@pytest.mark.parametrize("bins", [1, 4, 20])
def test_ale_is_the_papers_sum(f: Any, bins: int) -> None:
    for j in range(3):
        ours = accumulated_local_effects(f, X, j, bins=bins)
        np.testing.assert_allclose(ours.values, slow_ale(f, X, j, ours.grid), atol=1e-10)


def test_ale_stays_in_the_data_where_features_go_together() -> None:
    """The reason for ALE: a bend where no row is moves partial dependence, and not ALE."""
    rng = np.random.default_rng(2)
    a = rng.uniform(-1, 1, 400)
    x = np.stack([a, a + 0.05 * rng.normal(size=400)], axis=1)

    def bent(x: np.ndarray) -> np.ndarray:
        return x[:, 0] + 50 * np.maximum(0, np.abs(x[:, 0] - x[:, 1]) - 0.7)

    curve = accumulated_local_effects(bent, x, 0)
    np.testing.assert_allclose(np.diff(curve.values), np.diff(curve.grid), atol=0.02)
    assert np.abs(partial_dependence(bent, x, 0).values).max() > 5


@pytest.mark.parametrize("effect", [partial_dependence, accumulated_local_effects])
def test_errors_of_effects_hold_over_many_samples(effect: Any) -> None:
    """The spread of the centred curve over data sets, against the error that each one tells."""
    grid, found, errors = np.array([-1.0, 0.0, 1.0]), [], []
    for seed in range(150):
        x = np.random.default_rng(seed).normal(size=(80, 2))
        x[:3, 0] = grid
        f = lambda x: x[:, 0] * (1 + x[:, 1])  # noqa: E731 # as in every example here
        made = (
            effect(f, x, 0, grid=grid) if effect is partial_dependence else effect(f, x, 0, bins=6)
        )
        found.append(np.interp(grid, made.grid, made.centred))
        errors.append(np.interp(grid, made.grid, made.std_error))
    told = np.sqrt(np.mean(np.square(errors), axis=0))
    ratio = told / np.std(found, axis=0)
    assert (ratio > 0.7).all(), ratio
    assert (ratio < 1.5).all(), ratio


@pytest.mark.parametrize("rows", [12, 60])
def test_errors_of_accumulated_effects_know_that_the_centre_moves_with_the_rows(rows: int) -> None:
    """Of a straight line nothing but the centre differs from one data set to another."""
    found, errors = [], []
    for seed in range(200):
        x = np.random.default_rng(seed).integers(0, 3, (rows, 2)).astype(float)
        x[:3, 0] = range(3)
        made = accumulated_local_effects(lambda x: 2 * x[:, 0] + x[:, 1], x, 0)
        found.append(made.centred)
        errors.append(made.std_error)
    ratio = np.std(found, axis=0) / np.sqrt(np.mean(np.square(errors), axis=0))
    assert (np.abs(ratio - 1) < 0.15).all(), ratio


def test_a_constant_column_has_no_effect_to_accumulate() -> None:
    x = np.column_stack([np.ones(10), np.arange(10.0)])
    with pytest.raises(ValueError, match="same value in every row"):
        accumulated_local_effects(lambda x: x.sum(axis=1), x, 0)
    assert len(partial_dependence(lambda x: x.sum(axis=1), x, 0).grid) == 1


# --------------------------------------------------------------------------------------- picture


def test_dependence_is_drawn_beside_the_attributions() -> None:
    made = xai.explain(additive, X, "exact_shapley", data=X)
    curves = [partial_dependence(additive, X, 0), accumulated_local_effects(additive, X, 0)]
    axes = xai.plots.dependence(curves, made)
    dots = axes.collections[0].get_offsets()
    np.testing.assert_allclose(dots, np.stack([X[:, 0], made.values[:, 0]], axis=1))
    lines = [line for line in axes.lines if line.get_label() in [c.kind for c in curves]]
    for line, curve in zip(lines, curves, strict=True):
        np.testing.assert_allclose(line.get_ydata(), curve.centred)
    with pytest.raises(ValueError, match="one picture shows one feature"):
        xai.plots.dependence([curves[0], partial_dependence(additive, X, 1)])
    with pytest.raises(ValueError, match="nothing to draw"):
        xai.plots.dependence([])
    with pytest.raises(ValueError, match=r"'feature 0', which is no feature.*pass a DataFrame"):
        xai.plots.dependence(curves[0], replace(made, feature_names=[*"wxyz"][: X.shape[1]]))
    assert "standard errors over rows" in axes.get_xlabel()


@pytest.mark.parametrize("kind", ["numbers", "words"])
def test_rows_own_curves_are_drawn_with_the_centre_of_their_mean(kind: str) -> None:
    table = X.astype(object)
    table[:, 0] = np.array(["low", "high"])[(X[:, 0] > 0).astype(int)]
    x = X if kind == "numbers" else table
    model = mixed if kind == "numbers" else lambda x: (x[:, 0] == "high") * x[:, 1].astype(float)
    effect = partial_dependence(model, x, 0, resolution=7)
    plain = xai.plots.dependence(effect)
    axes = xai.plots.dependence([effect], individual=True)
    assert len(axes.lines) == len(plain.lines) + len(X)
    drawn = [line.get_ydata() for line in axes.lines if line.get_alpha() is not None]
    np.testing.assert_allclose(np.mean(drawn, axis=0), effect.centred, atol=1e-12)
    np.testing.assert_allclose(drawn, effect.individual - effect.base)
    with pytest.raises(ValueError, match="accumulated local effects have no curve of each row"):
        xai.plots.dependence(accumulated_local_effects(mixed, X, 0), individual=True)


def test_an_effect_of_one_value_is_seen() -> None:
    axes = xai.plots.dependence(partial_dependence(additive, X[:1], 0))
    assert axes.lines[-1].get_marker() == "D"
    assert xai.plots.dependence(partial_dependence(additive, X, 0)).lines[-1].get_marker() == ""


def test_dependence_tells_what_its_curves_and_lines_are() -> None:
    """A curve of the other class bends the other way; lines of dots are no bands of curves."""

    def two(x: np.ndarray) -> np.ndarray:
        return np.stack([x[:, 0], -x[:, 0] - x[:, 1:].prod(axis=1)], axis=1)

    keywords = {"data": X, "target": 1, "budget": 4 * len(X)}
    made = xai.explain(two, X, "permutation_shap", **keywords)
    assert made.std_error is not None
    curves = [partial_dependence(two, X, 0, target=target) for target in (0, 1)]
    axes = xai.plots.dependence(curves, made)
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told == ["partial dependence, of output 0", "partial dependence"]
    assert axes.get_ylabel().endswith("\nlines: ±1.96 standard errors (95 %)")
    alone = xai.plots.dependence(curves)
    assert alone.get_title() == "effect on output 0"
    told = [text.get_text() for text in alone.get_legend().get_texts()]
    assert told == ["partial dependence", "partial dependence, of output 1"]


def test_rows_without_a_value_are_counted_beside_a_scatter() -> None:
    gaps = np.where(np.arange(len(X))[:, None] < 3, np.nan, X)
    made = xai.explain(lambda x: np.nan_to_num(x).sum(axis=1), gaps, "occlusion", data=X)
    effect = partial_dependence(lambda x: np.nan_to_num(x).sum(axis=1), X, 0)
    for axes in (made.plot("scatter", feature=0), xai.plots.dependence(effect, made)):
        note = f"without a value, not drawn: 3 of {len(X)} rows"
        assert axes.get_xlabel().split("\n")[:2] == ["feature 0", note]
    assert made[3:].plot("scatter", feature=0).get_xlabel() == "feature 0"


@pytest.mark.parametrize(
    ("jobs", "places"), [(["clerk", "cook", "pilot"], [0, 3]), (["1", "2", "4"], [1, 4])]
)
def test_effects_of_categories_are_drawn_where_the_attributions_are(
    jobs: list[str], places: list[int]
) -> None:
    """The explained rows hold a gap and no pilot, those averaged over no cook."""
    pandas = pytest.importorskip("pandas")
    seen = pandas.DataFrame({"job": [jobs[1], None, jobs[0]], "age": [30.0, 40, 25]})
    other = pandas.DataFrame({"job": [jobs[0], jobs[2]], "age": [30.0, 40]})

    def f(table: Any) -> np.ndarray:
        return np.asarray(table["job"].isin(jobs[1:])) * table["age"].to_numpy()

    axes = xai.plots.dependence(
        partial_dependence(f, other, "job"), xai.explain(f, seen, "occlusion", data=seen)
    )
    ((drawn,), _) = axes.get_legend_handles_labels()
    line = drawn[0] if isinstance(drawn, tuple) else drawn  # with whiskers where it is words
    assert line.get_xdata().tolist() == places
    if jobs[0] == "clerk":
        told = [tick.get_text() for tick in axes.get_xticklabels()]
        assert [told[0], told[1], told[3]] == jobs


def test_curves_of_tensors_in_bfloat16():
    torch = pytest.importorskip("torch")
    half = torch.tensor(X).bfloat16()
    for curve in (partial_dependence, accumulated_local_effects):
        found = curve(lambda x: 2 * x[:, 0] + x[:, 1], half, 0)
        same = curve(lambda x: 2 * x[:, 0] + x[:, 1], half.float(), 0)
        np.testing.assert_array_equal(found.grid, same.grid)
        np.testing.assert_allclose(found.values, same.values, atol=0.05)


def test_grids_and_labels_may_be_tensors():
    torch = pytest.importorskip("torch")
    grid = [0.0, 0.5, 2.0]
    found = partial_dependence(additive, X, 0, grid=torch.tensor(grid).bfloat16())
    same = partial_dependence(additive, X, 0, grid=grid)
    np.testing.assert_array_equal(found.values, same.values)
    e = xai.explain(additive, X[:4], "occlusion", data=X)
    assert list(cohorts(e, torch.tensor([1, 0, 1, 0]))) == ["0", "1"]
