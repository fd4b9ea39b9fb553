"""Aggregates: means, least complex mixtures and AVA against closed forms and grids."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.spatial.distance import cdist

import xai
from xai import metrics
from xai.least_complexity import descent, entropy, shrinking
from xai.removal import Baseline

W = np.array([2.0, -1.0, 0.5, 0.0])
PROCEDURES = {"descent": descent, "shrinking": shrinking}


def linear(x):
    return np.asarray(x) @ W + 1


def crossed(x):
    x = np.asarray(x)
    return x[:, 0] * x[:, 1] + np.maximum(x[:, 2], 0) - x[:, 3] ** 2


def two(x):
    return np.stack([linear(x), crossed(x)], axis=1)


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(7, 4))


@pytest.fixture
def data():
    return np.random.default_rng(1).normal(size=(40, 4))


@pytest.fixture
def members(rows, data):
    methods = ("shapley", "occlusion", "include_one")
    return [xai.explain(crossed, rows, m, data=data) for m in methods]


def simple(explanation, values):
    """The same explanation with other numbers."""
    return dataclasses.replace(explanation, values=np.asarray(values, np.float64))


# ------------------------------------------------------------------------------------------- mean


def test_the_mean_is_the_mean(members):
    mean = xai.aggregate(members)
    assert_allclose(mean.values, np.mean([e.values for e in members], axis=0))
    assert_allclose(mean.predictions, members[0].predictions)
    assert_allclose(mean.base_values, np.mean([e.base_values for e in members], axis=0))
    assert mean.evaluations == sum(e.evaluations for e in members)
    assert mean.method == "mean(shapley, occlusion, include_one)"
    assert mean.removal == members[0].removal
    assert mean.summary.count("|") == 2
    assert mean.recipe is None
    assert mean.std_error is None


def test_sparse_rows_are_known_again(rows, data):
    x, other = (sparse.csr_array(np.maximum(each, 0)) for each in (rows, -rows))
    one, two = (
        xai.explain(lambda z: linear(z.toarray()), x, method, removal="baseline")
        for method in ("shapley", "occlusion")
    )
    assert_allclose(xai.aggregate([one, two]).values, one.values)
    with pytest.raises(ValueError, match="rows"):
        xai.aggregate([one, dataclasses.replace(two, data=other)])


def test_weights_are_scaled_to_a_convex_combination(members):
    values = np.stack([e.values for e in members])
    weighted = xai.aggregate(members, weights=[1, 0, 3])
    assert_allclose(weighted.values, 0.25 * values[0] + 0.75 * values[2])
    assert_allclose(weighted.info["weights"], np.tile([0.25, 0, 0.75], (7, 1)))


def test_weights_may_be_a_tensor(members):
    torch = pytest.importorskip("torch")
    weighted = xai.aggregate(members, weights=[1, 0, 3])
    half = xai.aggregate(members, weights=torch.tensor([1.0, 0.0, 3.0]).bfloat16())
    assert_allclose(half.values, weighted.values, rtol=0)


def test_efficiency_survives_averaging(rows, data):
    parts = [xai.explain(crossed, rows, "shapley", data=d) for d in (data, data[:5])]
    mean = xai.aggregate(parts, weights=[1, 2])
    assert_allclose(mean.values.sum(axis=1) + mean.base_values, mean.predictions)


def test_error_of_the_mean_is_below_the_mean_error(members):
    """The ambiguity decomposition: err(mean) = mean err − mean |g_i − mean|²."""
    truth = np.random.default_rng(2).normal(size=members[0].values.shape)
    mean = xai.aggregate(members).values
    errors = np.mean([((e.values - truth) ** 2).sum() for e in members])
    spread = np.mean([((e.values - mean) ** 2).sum() for e in members])
    assert_allclose(((mean - truth) ** 2).sum(), errors - spread)


def test_errors_are_an_upper_bound(rows, data):
    sampled = [
        xai.explain(crossed, rows, "permutation_shap", data=data, budget=300, seed=s)
        for s in range(2)
    ]
    exact = xai.explain(crossed, rows, "exact_shapley", data=data)
    mean = xai.aggregate([*sampled, exact], weights=[1, 1, 2])
    expected = 0.25 * sampled[0].std_error + 0.25 * sampled[1].std_error
    assert_allclose(mean.std_error, expected)
    assert exact.exact.all() and not mean.exact.any()


def test_several_outputs_images_and_texts_keep_their_shape(rows, data):
    every = [xai.explain(two, rows, m, data=data, target="all") for m in ("shapley", "occlusion")]
    for method in ("mean", "least_complexity"):
        out = xai.aggregate(every, method)
        assert out.values.shape == (7, 4, 2)
        assert out.predictions.shape == (7, 2)
        shares = out.info["weights"].reshape(7, 2, -1)  # (n, m), or of each output its own
        parts = np.stack([e.values for e in every], axis=1)
        assert_allclose(out.values, (shares[:, :, None] * parts).sum(axis=1), atol=1e-12)
        assert shares.shape[2] == (1 if method == "mean" else 2)
    images = np.random.default_rng(3).normal(size=(2, 1, 5, 5))

    def total(x):
        return np.asarray(x).sum(axis=(1, 2, 3))

    seen = [xai.explain(total, images, m, removal=Baseline(0)) for m in ("shapley", "occlusion")]
    assert xai.aggregate(seen, "least_complexity").map().shape == (2, 1, 5, 5)

    def words(texts):
        return np.array([float(len(t.split())) for t in texts])

    read = [
        xai.explain(words, ["a b", "a b c"], m, removal=Baseline(0))
        for m in ("shapley", "include_one")
    ]
    for method in ("mean", "least_complexity"):
        assert_array_equal(np.isnan(xai.aggregate(read, method).values[:, 2]), [True, False])


def test_aggregates_are_explanations(members, tmp_path):
    out = xai.aggregate(members, "least_complexity")
    assert len(out[2:4]) == 2
    assert_array_equal(out[2:4].info["weights"], out.info["weights"][2:4])
    out.save(tmp_path / "mine.npz")
    assert_array_equal(xai.load(tmp_path / "mine.npz").info["weights"], out.info["weights"])
    score = metrics.complexity(crossed, out.data, out)
    assert len(score) == 7


def test_members_are_not_touched(members):
    before = [e.values.copy() for e in members]
    xai.aggregate(members, "least_complexity")
    out = xai.aggregate(members)
    out.values[:] = 0
    for e, values in zip(members, before, strict=True):
        assert_array_equal(e.values, values)


# ------------------------------------------------------------------------------ least complexity


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_opposite_parts_cancel(members, procedure):
    """(1, 1) and (1, −1) have the simple mean (1, 0)."""
    a = np.tile([1.0, 1.0, 0.0, 0.0], (7, 1))
    b = np.tile([1.0, -1.0, 0.0, 0.0], (7, 1))
    pair = [simple(members[0], a), simple(members[0], b)]
    out = xai.aggregate(pair, "least_complexity", procedure=procedure)
    assert_allclose(out.values, np.tile([1.0, 0, 0, 0], (7, 1)), atol=1e-15)
    assert_allclose(out.info["weights"], 0.5)
    assert_allclose(metrics.complexity(None, None, out.values).values, 0)


@pytest.mark.parametrize("procedure", PROCEDURES.values())
def test_where_signs_agree_a_member_is_least_complex(procedure):
    """On one orthant shares move along lines, and entropy is concave there."""
    G = np.random.default_rng(4).exponential(size=(50, 4, 6))
    w = procedure(G)
    assert_array_equal(w, np.eye(4)[entropy(G).argmin(axis=1)])


@pytest.mark.parametrize("procedure", PROCEDURES.values())
def test_two_members_are_mixed_exactly(procedure):
    """No point of a fine grid between two is less complex than what is found."""
    G = np.random.default_rng(5).normal(size=(40, 2, 7))
    found = entropy(np.einsum("rm,rmd->rd", procedure(G), G))
    t = np.linspace(0, 1, 4001)[:, None, None]
    grid = entropy((1 - t) * G[:, 0] + t * G[:, 1]).min(axis=0)
    assert (found <= grid + 1e-12).all()
    assert (found >= grid - 0.05).all()  # and the grid comes near it


@pytest.mark.parametrize("procedure", PROCEDURES.values())
def test_three_members_come_near_the_best_of_a_grid(procedure):
    G = np.random.default_rng(6).normal(size=(30, 3, 5))
    found = entropy(np.einsum("rm,rmd->rd", procedure(G), G))
    u, v = np.meshgrid(np.linspace(0, 1, 201), np.linspace(0, 1, 201))
    inside = u + v <= 1
    w = np.stack([u[inside], v[inside], 1 - u[inside] - v[inside]], axis=1)
    grid = entropy(np.einsum("wm,rmd->rwd", w, G)).min(axis=1)
    members = entropy(G).min(axis=1)
    gained = (members - found).sum() / (members - grid).sum()
    assert gained > 0.85  # of what the whole simplex has to give


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_never_more_complex_than_members_or_their_mean(members, procedure):
    out = xai.aggregate(members, "least_complexity", procedure=procedure)
    w = out.info["weights"]
    assert_allclose(w.sum(axis=1), 1)
    assert (w >= -1e-12).all()
    mixed = np.einsum("nm,mnd->nd", w, np.stack([e.values for e in members]))
    assert_allclose(out.values, mixed, atol=1e-12)
    least = entropy(out.values)
    for other in [*members, xai.aggregate(members)]:
        assert (least <= entropy(other.values) + 1e-12).all()


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_no_kink_is_passed_over_among_features_that_agree(procedure):
    """Two large features cancel at ⅓, small ones at 0.1 and 0.9, two thousand nowhere."""
    p = np.full(2000, 1e-6)
    p[:3] = 1.0
    q = p * [1.0, -2.0, -2.0, -1 / 9, -9.0, *np.ones(1995)]
    found = PROCEDURES[procedure](np.stack([[p, q]]))
    assert_allclose(found, [[2 / 3, 1 / 3]])


@pytest.mark.parametrize("procedure", PROCEDURES.values())
def test_where_no_sign_differs_only_ends_are_tried(procedure, monkeypatch):
    tried = []

    def counting(g):
        tried.append(g.shape)
        return entropy(g)

    monkeypatch.setattr(xai.least_complexity, "entropy", counting)
    procedure(np.random.default_rng(0).uniform(1, 2, size=(5, 3, 60)))
    assert max(shape[1] for shape in tried if len(shape) == 3) <= 4  # ends, and corners


def test_a_row_is_moved_no_longer_than_alone(monkeypatch):
    rows, step = [], xai.least_complexity._step

    def counting(G, weights):
        rows.append(len(G))
        return step(G, weights)

    monkeypatch.setattr(xai.least_complexity, "_step", counting)
    G = np.random.default_rng(0).normal(size=(20, 3, 12))
    descent(G)
    together = sum(rows)
    rows.clear()
    for i in range(20):
        descent(G[i : i + 1])
    assert together == sum(rows)


@pytest.mark.parametrize("procedure", PROCEDURES.values())
def test_the_search_ends_and_rows_are_their_own(procedure):
    G = np.random.default_rng(7).normal(size=(9, 3, 8))
    G[1] = 0.0  # nothing attributed
    G[2] = G[2, :1]  # all alike
    G[3, 1] = -G[3, 0]  # they cancel out altogether
    whole = procedure(G)
    assert np.isfinite(whole).all()
    assert_allclose(whole.sum(axis=1), 1)
    alone = np.concatenate([procedure(G[i : i + 1]) for i in range(9)])
    assert_array_equal(whole, alone)
    assert np.isfinite(entropy(np.einsum("m,md->d", whole[3], G[3])))
    wide = np.random.default_rng(8).normal(size=(2, 2, 1000))  # more kinks than are tried
    found = entropy(np.einsum("rm,rmd->rd", procedure(wide), wide))
    assert (found <= entropy(wide).min(axis=1)).all()


# -------------------------------------------------------------------------------------------- AVA


def test_ava_of_a_linear_model(rows, data):
    """Φ_AVA(x) = w ⊙ (Σ λ_z z − μ), λ_z ∝ 1/ρ(x, z)."""
    e = xai.explain(linear, data, "shapley", data=data)
    out = xai.aggregate(e, "ava", query=rows, k=6)
    for i, x in enumerate(rows):
        rho = np.linalg.norm(data - x, axis=1)
        near = np.argsort(rho)[:6]
        lam = (1 / rho[near]) / (1 / rho[near]).sum()
        assert_array_equal(out.info["neighbours"][i], near)
        assert_allclose(out.info["weights"][i], lam)
        assert_allclose(out.values[i], W * (lam @ data[near] - data.mean(axis=0)), atol=1e-12)
    assert_array_equal(out.data, rows)
    assert out.method == "ava(shapley)"


def test_ava_is_the_shapley_value_of_the_mixture_of_games(rows, data):
    e = xai.explain(crossed, data, "exact_shapley", data=data[:10])
    out = xai.aggregate(e, "ava", query=rows[:1], k=5)
    lam, near = out.info["weights"][0], out.info["neighbours"][0]

    def v(S):
        total = 0.0
        for weight, z in zip(lam, data[near], strict=True):
            mixed = np.where(S[:, None], z, data[:10])
            total = total + weight * crossed(mixed.reshape(-1, 4)).reshape(len(S), -1).mean(axis=1)
        return total

    game = xai.Game.from_function(v, n_players=4)
    assert_allclose(out.values[0], xai.summary.Shapley("exact")(game).values, atol=1e-12)
    assert_allclose(out.values.sum(axis=1) + out.base_values, out.predictions)


def test_ava_at_the_ends(rows, data):
    e = xai.explain(crossed, data, "shapley", data=data[:5])
    assert_allclose(xai.aggregate(e, "ava", query=data[3:5], k=7).values, e.values[3:5])
    nearest = xai.aggregate(e, "ava", query=rows, k=1)
    assert_allclose(nearest.values, e.values[nearest.info["neighbours"][:, 0]])
    every = xai.aggregate(e, "ava", query=rows)
    assert every.info["neighbours"].shape == (7, 40)
    gap = 1 / np.linalg.norm(rows[:, None] - data, axis=2)
    assert_allclose(every.values, gap / gap.sum(axis=1, keepdims=True) @ e.values)
    far = xai.aggregate(e, "ava", query=1e9 * rows)
    assert_allclose(far.values, np.tile(e.values.mean(axis=0), (7, 1)), rtol=1e-5)


def test_ava_is_less_sensitive_than_its_members(rows, data):
    """‖Φ_AVA(x) − Φ_AVA(x')‖ ≤ max_z ‖Φ(z) − Φ̄‖ · ‖λ(x) − λ(x')‖₁."""
    e = xai.explain(crossed, data, "shapley", data=data)
    one, other = (xai.aggregate(e, "ava", query=q) for q in (rows, rows + 0.1))

    def shares(out):
        full = np.zeros((7, 40))
        np.put_along_axis(full, out.info["neighbours"], out.info["weights"], axis=1)
        return full

    change = np.linalg.norm(one.values - other.values, axis=1)
    reach = np.linalg.norm(e.values - e.values.mean(axis=0), axis=1).max()
    assert (change <= reach * np.abs(shares(one) - shares(other)).sum(axis=1) + 1e-12).all()
    own = xai.explain(crossed, np.concatenate([rows, rows + 0.1]), "shapley", data=data).values
    assert change.mean() < np.linalg.norm(own[:7] - own[7:], axis=1).mean()


def test_what_pads_a_short_text_has_no_part_in_a_mixture():
    def score(texts):
        return np.array([len(t) ** 0.5 + ("bad" in t) * len(t.split()) for t in texts])

    texts, methods = ["very bad", "not at all as bad as they say"], ("shapley", "occlusion")
    both, alone = (
        xai.aggregate([xai.explain(score, x, m) for m in methods], "least_complexity")
        for x in (texts, texts[:1])
    )
    assert np.isnan(both.values[0, 2:]).all()
    assert_allclose(both.info["weights"][:1], alone.info["weights"], atol=1e-9)
    assert_allclose(both.values[:1, :2], alone.values, atol=1e-9)


def test_an_aggregate_is_exact_where_all_that_it_is_made_of_is(rows, data):
    e = xai.explain(linear, rows, "shapley", data=data)
    some = dataclasses.replace(e, exact=np.arange(7) % 3 > 0)
    assert e.exact.all()
    assert_array_equal(xai.aggregate([e, some]).exact, some.exact)
    alone = xai.aggregate(some, "ava", query=rows, k=1)
    assert_array_equal(alone.exact, some.exact)
    two = xai.aggregate(some, "ava", query=rows, k=2)
    assert_array_equal(two.exact, some.exact[two.info["neighbours"]].all(axis=1))
    assert alone.exact.sum() > two.exact.sum() > 0
    few = xai.aggregate(some, "ava", query=rows[:3], k=1)  # spent on few rows, rounded up
    assert few.evaluations == -(-e.total_evaluations() // 3) > e.total_evaluations() / 3


def test_neighbours_as_near_as_one_another_come_in_their_order(rows, data):
    e = xai.explain(linear, np.repeat(rows[:2], 20, axis=0), "shapley", data=data)
    near = xai.aggregate(e, "ava", query=rows[[1, 0]], k=25).info["neighbours"]
    assert near.tolist() == [[*range(20, 40), *range(5)], [*range(25)]]


def test_a_column_of_one_number_tells_no_neighbours_apart(rows, data):
    e, flat = xai.explain(linear, data, "shapley", data=data), [1, 1, 0, 1]

    def weights(columns):
        part = dataclasses.replace(e, data=(data * flat)[:, columns])
        query = (rows * flat)[:, columns]
        return xai.aggregate(part, "ava", query=query, k=4, distance="seuclidean").info["weights"]

    assert_allclose(weights([0, 1, 2, 3]), weights([0, 1, 3]))


def test_ava_weights_scales_and_frames(rows, data):
    pandas = pytest.importorskip("pandas")
    e = xai.explain(linear, data, "shapley", data=data)
    only = xai.aggregate(e, "ava", query=rows, weights=np.eye(40)[5])
    assert_allclose(only.values, np.tile(e.values[5], (7, 1)))
    stretched = data * [1, 1000, 1, 1]
    f = xai.explain(lambda x: linear(x / [1, 1000, 1, 1]), stretched, "shapley", data=stretched)
    spread = data.std(axis=0, ddof=1)
    a = xai.aggregate(f, "ava", query=rows * [1, 1000, 1, 1], k=4, distance="seuclidean")
    g = xai.explain(lambda x: linear(x * spread), data / spread, "shapley", data=data / spread)
    b = xai.aggregate(g, "ava", query=rows / spread, k=4)
    assert_allclose(a.values, b.values)
    frame = pandas.DataFrame(data, columns=list("abcd"))
    h = xai.explain(lambda x: linear(x.to_numpy()), frame, "shapley", data=frame)
    query = pandas.DataFrame(rows, columns=list("abcd"))[list("dbac")]
    assert_allclose(
        xai.aggregate(h, "ava", query=query, k=3).values,
        xai.aggregate(e, "ava", query=rows, k=3).values,
    )
    assert xai.aggregate(e, "ava", query=rows[0], k=3).data.shape == (1, 4)
    for distance in ("seuclidean", "mahalanobis"):  # which one neighbour has no spread for
        alone = xai.aggregate(e[0], "ava", query=rows, distance=distance)
        assert_allclose(alone.values, np.tile(e.values[0], (7, 1)))
    assert_allclose(
        xai.aggregate(e, "ava", query=rows[0], k=3).values,
        xai.aggregate(e, "ava", query=rows[:1].tolist(), k=3).values,
    )


@pytest.mark.parametrize("distance", ["seuclidean", "S", "mahalanobis", "mahal", "cityblock"])
def test_a_query_knows_nothing_of_other_queries(rows, data, distance):
    """The spread that scales distances is the neighbours' own."""
    e = xai.explain(crossed, data, "shapley", data=data[:5])
    given = {"k": 5, "distance": distance}
    whole = xai.aggregate(e, "ava", query=rows * 3, **given)
    for i in range(7):
        alone = xai.aggregate(e, "ava", query=rows[i : i + 1] * 3, **given)
        assert_array_equal(alone.values, whole.values[i : i + 1])


def test_mahalanobis_is_euclidean_where_neighbours_are_whitened(rows, data):
    turned = np.random.default_rng(2).normal(size=(4, 4))
    x, z = rows @ turned, data @ turned
    back = np.linalg.inv(np.linalg.cholesky(np.cov(z, rowvar=False)).T)
    e, f = (xai.explain(crossed, points, "shapley", data=z[:5]) for points in (z, z @ back))
    one = xai.aggregate(e, "ava", query=x, k=6, distance="mahalanobis")
    other = xai.aggregate(f, "ava", query=x @ back, k=6)
    assert_array_equal(one.info["neighbours"], other.info["neighbours"])
    assert_allclose(one.info["weights"], other.info["weights"])
    flat = xai.explain(crossed, z * [1, 1, 0, 1], "shapley", data=z[:5])  # a column of no spread
    some = xai.aggregate(flat, "ava", query=x, k=6, distance="mahalanobis").info["weights"]
    assert np.isfinite(some).all()


def test_a_query_is_told_by_the_others_where_it_has_no_weight_itself(rows, data):
    """At distance 0 from the rows that are left out, or nearly: their distance does not count."""
    e = xai.explain(crossed, data, "shapley", data=data[:5])
    others = xai.explain(crossed, data[1:], "shapley", data=data[:5])
    for query in (data[:1], data[:1] + 1e-300, data[:1] + 1e-9):
        out = xai.aggregate(e, "ava", query=query, weights=np.arange(40) > 0)
        assert_allclose(out.values, xai.aggregate(others, "ava", query=query).values, rtol=1e-12)
        assert out.info["weights"][0, 0] == 0
    with pytest.raises(ValueError, match=r"neighbours of query row 0 .* have weight 0"):
        xai.aggregate(e, "ava", query=data[:1], k=1, weights=np.arange(40) > 0)


def test_columns_of_a_query_are_told_by_name(rows, data):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(data, columns=list("abcd"))
    e = xai.explain(lambda x: linear(x.to_numpy()), frame, "shapley", data=frame)
    query = pandas.DataFrame(rows[:1], columns=list("abcd"))
    want = xai.aggregate(e, "ava", query=query, k=3)
    turned = query[list("dbac")]
    for given in (turned, turned.iloc[0]):
        out = xai.aggregate(e, "ava", query=given, k=3)
        assert_array_equal(out.values, want.values)
        assert_array_equal(np.asarray(out.data), rows[:1])  # beside the names of its columns
        assert list(out.data) == list("abcd")
    with pytest.raises(ValueError, match=r"query lacks \['c'\], by the columns"):
        xai.aggregate(e, "ava", query=turned.iloc[0][:3], k=3)


def test_members_of_a_frame_with_missing_cells_are_of_the_same_rows():
    """They neither equal one another nor differ, as pandas has it."""
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame({
        "count": pandas.array([1, None, 3], dtype="Int64"),
        "word": pandas.array(["u", "v", None], dtype="string"),
    })  # fmt: skip
    f = lambda x: x["count"].notna() * 2.0 + (x["word"] == "u").fillna(False)  # noqa: E731
    one, two = (xai.explain(f, x, m, data=x) for m in ("exact_shapley", "occlusion"))
    assert_allclose(xai.aggregate([one, two]).values, (one.values + two.values) / 2)
    other = xai.explain(f, x.fillna({"count": 2}), "occlusion", data=x)
    with pytest.raises(ValueError, match="other rows than the first"):
        xai.aggregate([one, other])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_truth_values_and_counts_of_a_frame_are_numbers(library, rows, data):
    """Beside amounts they make a table of objects, which was refused as no numbers."""
    frame = pytest.importorskip(library).DataFrame

    def table(x):
        return frame({"a": x[:, 0], "b": x[:, 1] > 0, "c": x[:, 2].round().astype(int)})

    def model(table):
        return linear(
            np.column_stack([*(np.asarray(table[c], float) for c in "abc"), 0 * table["a"]])
        )

    e = xai.explain(model, table(data), "shapley", data=table(data[:5]))
    out = xai.aggregate(e, "ava", query=table(rows), k=3)
    points = (
        np.column_stack([np.asarray(table(x)[c], float) for c in "abc"]) for x in (rows, data)
    )
    rho = cdist(*points)
    near = np.argsort(rho, axis=1, kind="stable")[:, :3]
    closeness = 1 / np.take_along_axis(rho, near, axis=1)
    share = closeness / closeness.sum(axis=1, keepdims=True)
    assert_allclose(out.values, (share[:, :, None] * e.values[near]).sum(axis=1))


def test_a_row_of_a_tensor_is_a_query(rows, data):
    torch = pytest.importorskip("torch")
    e = xai.explain(linear, data, "shapley", data=data)
    want = xai.aggregate(e, "ava", query=rows[0])
    learnt = torch.tensor(rows[0], requires_grad=True)
    assert_array_equal(xai.aggregate(e, "ava", query=learnt).values, want.values)
    half = torch.tensor(rows[0]).bfloat16()
    assert_allclose(xai.aggregate(e, "ava", query=half).values, want.values, rtol=0.1)


def test_the_smallest_distances_are_shared_out_as_any(rows, data):
    e = xai.explain(linear, data, "shapley", data=data)
    alike = xai.aggregate(e, "ava", query=rows, distance=lambda x, z: 1e-310)
    assert_allclose(alike.values, np.tile(e.values.mean(axis=0), (7, 1)), atol=1e-12)
    some = xai.aggregate(e, "ava", query=rows, distance=lambda x, z: 2.0 if z[0] > 0 else np.inf)
    assert_allclose(some.values, np.tile(e.values[data[:, 0] > 0].mean(axis=0), (7, 1)))


@pytest.mark.parametrize("unknown", ["base_values", "std_error"])
def test_what_has_no_weight_has_no_say(members, rows, data, unknown):
    """NaN of a member, or of a neighbour, that is left out."""
    first, second = members[:2]
    gone = dataclasses.replace(
        second,
        std_error=np.full_like(second.values, np.nan),
        base_values=np.full_like(second.base_values, np.nan),
    )
    out = getattr(xai.aggregate([first, gone], weights=[1, 0]), unknown)
    own = getattr(first, unknown)
    assert_array_equal(out, np.zeros_like(first.values) if own is None else own)
    assert np.isnan(getattr(xai.aggregate([first, gone]), unknown)).all()
    e = xai.explain(crossed, rows, "shapley", data=data)
    error, base = np.full_like(e.values, np.nan), np.full_like(e.base_values, np.nan)
    error[3], base[3] = 0.25, 0.5
    part = dataclasses.replace(e, std_error=error, base_values=base)
    found = getattr(xai.aggregate(part, "ava", query=rows[3:5]), unknown)
    assert (found[0] == (0.5 if unknown == "base_values" else 0.25)).all()
    assert np.isnan(found[1]).all()


def test_precisions_may_differ(rows, data):
    single, double = (
        xai.explain(linear, rows.astype(t), "shapley", data=data.astype(t))
        for t in (np.float32, np.float64)
    )
    for both in ([single, double], [double, single]):
        assert_allclose(xai.aggregate(both).values, double.values, atol=1e-5)
    other = xai.explain(linear, np.nextafter(rows.astype(np.float32), np.float32(9)), data=data)
    with pytest.raises(ValueError, match="other rows"):
        xai.aggregate([double, other])


def test_rows_with_the_same_missing_cells_are_the_same(members):
    first, second = members[:2]
    gone = np.where(np.eye(7, 4) > 0, np.nan, first.data)
    both = [dataclasses.replace(e, data=gone) for e in (first, second)]
    assert_array_equal(xai.aggregate(both).values, xai.aggregate([first, second]).values)
    for pair in ((both[0], second), (second, both[0])):
        with pytest.raises(ValueError, match="other rows"):
            xai.aggregate(pair)


def test_channels_of_other_layers_are_other_players():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    parts = (torch.nn.Conv2d(1, 2, 3), torch.nn.Conv2d(2, 2, 3))
    net = torch.nn.Sequential(*parts, torch.nn.Flatten(), torch.nn.Linear(32, 2))
    x = torch.rand(2, 1, 8, 8)
    first, second = (xai.explain(net, x, "gradcam", layer=name, target=0) for name in "01")
    with pytest.raises(ValueError, match="other players"):
        xai.aggregate([first, second])
    other = xai.explain(net, x, "gradcam++", layer="0", target=0)
    assert_allclose(xai.aggregate([first, other]).values, (first.values + other.values) / 2)


# ------------------------------------------------------------------------------------------ shap's


def shaps(explanation):
    """An explanation as shap would have given it."""
    return pytest.importorskip("shap").Explanation(
        values=explanation.values, base_values=explanation.base_values, data=explanation.data
    )


@pytest.mark.parametrize("method", ["mean", "least_complexity"])
def test_shaps_explanations_are_aggregated_as_ours(members, method):
    """Of one output that shap does not name: the model's only one, whichever comes first."""
    want = xai.aggregate(members[:2], method)
    first, second = members[:2]
    both = [shaps(first), shaps(second)]
    for given in (both, [first, shaps(second)], [shaps(first), second]):
        out = xai.aggregate(given, method)
        assert_array_equal(out.values, want.values)
        assert_array_equal(out.base_values, want.base_values)
        assert_array_equal(out.target, np.full(7, -1 if given is both else 0))
    unseen = pytest.importorskip("shap").Explanation(first.values, base_values=first.base_values)
    for given in ([unseen, second], [second, unseen]):  # of rows that are not told
        assert_array_equal(xai.aggregate(given, method).values, want.values)


def test_shaps_neighbours_are_averaged(rows, data):
    e = xai.explain(crossed, data, "shapley", data=data)
    ours, theirs = (xai.aggregate(given, "ava", query=rows, k=3) for given in (e, shaps(e)))
    assert_array_equal(theirs.values, ours.values)


def test_an_output_that_shap_does_not_name_is_not_guessed(rows, data):
    first, second = (xai.explain(two, rows, "shapley", data=data, target=t) for t in (0, 1))
    with pytest.raises(ValueError, match="does not tell which"):
        xai.aggregate([first, shaps(second)])


# ---------------------------------------------------------------------------------------- refusals


def test_what_cannot_be_aggregated_is_refused(members, rows, data):
    e = members[0]
    cases = [
        (lambda: xai.aggregate(members, "maen"), ValueError, "mean"),
        (lambda: xai.aggregate([]), ValueError, "no explanations"),
        (lambda: xai.aggregate(e), TypeError, "a list of Explanations"),
        (lambda: xai.aggregate(None), TypeError, "a list of Explanations, not None"),
        (lambda: xai.aggregate(3), TypeError, "a list of Explanations, not 3"),
        (lambda: xai.aggregate({"a": e}), TypeError, "not a dict"),
        (lambda: xai.aggregate([e, e.values]), TypeError, "explanation 1 is a ndarray"),
        (lambda: xai.aggregate([e, e[:3]]), ValueError, r"values \(3, 4\)"),
        (lambda: xai.aggregate(members, weights=[1, 2]), ValueError, "3 numbers"),
        (lambda: xai.aggregate(members, weights=[1, -1, 1]), ValueError, "none negative"),
        (lambda: xai.aggregate(members, weights=[1, 1, np.inf]), ValueError, "3 numbers"),
        (lambda: xai.aggregate(members, weights=[1, 1, np.nan]), ValueError, "3 numbers"),
        (lambda: xai.aggregate(members, weights=[0, 0, 0]), ValueError, "not all 0"),
        (lambda: xai.aggregate(members, weights={"a": 1.0}), ValueError, "3 numbers"),
        (lambda: xai.aggregate(members, k=3), ValueError, "for method='ava'"),
        (lambda: xai.aggregate(members, distance="cosine"), ValueError, "distance= is for"),
        (lambda: xai.aggregate(members, procedure="shrinking"), ValueError, "procedure= is for"),
        (lambda: xai.aggregate(members, "least_complexity", weights=[1] * 3), ValueError, "looks"),
        (
            lambda: xai.aggregate(members, "least_complexity", procedure="decent"),
            ValueError,
            "descent",
        ),
        (lambda: xai.aggregate(members, "ava", query=rows), TypeError, "one Explanation"),
        (lambda: xai.aggregate(e, "ava"), ValueError, "needs query="),
        *(
            (lambda k=k: xai.aggregate(e, "ava", query=rows, k=k), ValueError, "1 to 7")
            for k in (0, 8, 2.5, True)
        ),
        (lambda: xai.aggregate(e, "ava", query=rows[:, :3]), ValueError, "3 columns"),
        (
            lambda: xai.aggregate(e, "ava", query=np.where(np.eye(7, 4), np.nan, rows)),
            ValueError,
            "query: distances to rows with NaN",
        ),
        (
            lambda: xai.aggregate(e, "ava", query=rows * [[0.0]], distance="cosine"),
            ValueError,
            "distance='cosine' is nan between query row 0 and neighbour 0",
        ),
        (
            lambda: xai.aggregate(e, "ava", query=rows, distance=lambda x, z: -1.0),
            ValueError,
            "-1.0 between",
        ),
        (lambda: xai.aggregate(e, "ava", query=rows[:0]), ValueError, "query has no rows"),
        (lambda: xai.aggregate(e, "ava", query=rows.astype(str)), TypeError, "rows of numbers"),
        (
            lambda: xai.aggregate(e, "ava", query=rows, distance=lambda x, z: np.inf),
            ValueError,
            "infinitely far",
        ),
        (
            lambda: xai.aggregate(
                e, "ava", query=rows, distance=lambda x, z: np.inf, weights=np.eye(7)[2]
            ),
            ValueError,
            "infinitely far",
        ),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()
    pairs = [[[0, 1], [2], [3]], [[0], [1, 2], [3]]]
    with pytest.raises(ValueError, match="explanation 1 has other players than the first"):
        xai.aggregate([xai.explain(crossed, rows, "shapley", data=data, players=p) for p in pairs])
    other = xai.explain(crossed, rows + 1, "shapley", data=data)
    with pytest.raises(ValueError, match="other rows"):
        xai.aggregate([e, other])
    first, second = (xai.explain(two, rows, "shapley", data=data, target=t) for t in (0, 1))
    with pytest.raises(ValueError, match="other outputs"):
        xai.aggregate([first, second])
    mixed = xai.explain(two, rows, "shapley", data=data)
    assert len(np.unique(mixed.target)) == 2
    with pytest.raises(ValueError, match="target=an index"):
        xai.aggregate(mixed, "ava", query=rows)
    ids = np.array([[0, 1, 2, 2]] * 6 + [[0, 0, 1, 2]])
    own = xai.explain(crossed, rows, "shapley", data=data, players=ids)
    with pytest.raises(ValueError, match="different outputs or players"):
        xai.aggregate(own, "ava", query=rows)
    whole = xai.explain(crossed, rows, "permutation_test", data=data, y=crossed(rows))
    with pytest.raises(ValueError, match="data set as a whole"):
        xai.aggregate(whole, "ava", query=rows)


def test_the_name_stays_a_function():
    """Importing the module of the same name does not hide it."""
    code = (
        "import xai, sys; import xai.aggregate; print(callable(xai.aggregate), 'torch' in "
        "sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
