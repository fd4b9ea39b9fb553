"""Players that equal their replacement at every draw are left out of the game."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import xai
from xai.summary import Banzhaf, BetaShapley, Interactions, LinearFit, Semivalue

D = 12
LOSSES = ("loss_shap", "sage", "permutation_test")


def model(x):
    """(n, 12) -> (n,): products of three, and a threshold."""
    return x[:, 0] * x[:, 1] * x[:, 2] + (x[:, 3:8].sum(axis=1) > 0) + np.sin(x[:, 8] * x[:, 11])


@pytest.fixture(scope="module")
def table():
    """Three rows: two with columns that equal the whole background, one without."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(7, D))
    data[:, [2, 5, 9]] = [1.0, -0.5, np.nan]
    x = rng.normal(size=(3, D))
    x[0, [2, 9]] = [1.0, np.nan]
    x[1, [2, 5, 9]] = [1.0, -0.5, np.nan]
    return x, data


ESTIMATORS = ["permutation", "kernel", "leverage", "gp", "exact"]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_nulls_get_exactly_nothing_and_cost_nothing(table, estimator):
    x, data = table
    rows = []

    def counted(batch):
        rows.append(len(batch))
        return model(batch)

    budget = None if estimator == "exact" else 3000
    e = xai.explain(counted, x, "shapley", data=data, estimator=estimator, budget=budget)
    assert np.all(e.values[0, [2, 9]] == 0) and np.all(e.values[1, [2, 5, 9]] == 0)
    assert e.values[2, 2] != 0
    total = e.values.sum(axis=1) + e.base_values
    np.testing.assert_allclose(total, e.predictions, rtol=0, atol=1e-12)
    assert e.evaluations == -(-sum(rows) // 3)
    if estimator == "exact":  # 9 players of 12 are left to enumerate for row 1
        assert sum(rows) == 3 + 7 + 7 * (2**10 - 2 + 2**9 - 2 + 2**12 - 2)


@pytest.mark.parametrize(
    "summary", [Interactions(), Interactions("SII"), Interactions("Banzhaf")], ids=str
)
@pytest.mark.parametrize("removal", ["marginal", "mean"])
def test_nulls_have_exactly_no_interactions(table, summary, removal):
    """Sampled, by walks and on pairs; the others' are right, and have errors."""
    x, data = table
    data = data if removal == "marginal" else data[:1]
    e = xai.explain(model, x, "shapley", summary=summary, data=data, budget=3000)
    errors = e.info["interactions_std_error"]
    for row, nulls in ((0, [2, 9]), (1, [2, 5, 9])):
        for of_pairs in (e.interactions, errors):
            assert np.all(of_pairs[row, nulls] == 0) and np.all(of_pairs[row][:, nulls] == 0)
    exact = replace(summary, estimator="exact")
    exact = xai.explain(model, x, "shapley", summary=exact, data=data)
    assert exact.std_error is None and "interactions_std_error" not in exact.info
    apart = np.triu_indices(D, 1)
    misses = np.abs(e.interactions - exact.interactions)[:, *apart]
    assert np.all(misses <= 6 * errors[:, *apart].max(axis=1, keepdims=True))
    assert errors[2, 0, 1] > 0


def test_rows_of_nulls_alone_have_no_interactions():
    x = np.ones((2, 3))
    e = xai.explain(lambda x: x.prod(axis=1), x, "shapley", data=x, order=2)
    assert e.interactions.shape == (2, 3, 3) and np.all(e.interactions == 0)
    assert e.std_error is None and e.ran == "nothing changes"


def test_interactions_are_enumerated_where_asked_and_where_they_can_be(table):
    x, data = table
    summary = Interactions(estimator="exact")
    with pytest.raises(ValueError, match=r"budget=500 is too small: .*needs at least 28"):
        xai.explain(model, x, "shapley", summary=summary, data=data, budget=500)
    wide = xai.Game.from_function(lambda S: S.sum(axis=1), n_players=40)
    with pytest.raises(ValueError, match=r"40 players have 2.40 coalitions"):
        summary(wide)


@pytest.mark.parametrize(
    "summary",
    [
        LinearFit(kernel="shapley", regularizer=None),
        Banzhaf(),
        BetaShapley(16, 1),
        Semivalue(lambda d: np.arange(1, d + 1) / (2 ** (d - 2) * (d + 1))),
        Semivalue(lambda d: np.eye(d)[-1]),
    ],
    ids=["kernel_shap", "banzhaf", "beta_shapley", "semivalue", "leave one out"],
)
def test_nulls_of_other_values_and_the_rest_are_as_if_they_were_there(table, summary):
    x, data = table

    def explained(budget):
        return xai.explain(model, x, "shapley", summary=summary, data=data, budget=budget)

    few, exact = explained(1500), explained(100_000)
    assert np.all(few.values[0, [2, 9]] == 0) and np.all(few.values[1, [2, 5, 9]] == 0)
    assert few.values[0, 0] != 0 and exact.std_error is None
    for row, values in zip(x, exact.values, strict=True):
        game = xai.Game.from_function(
            lambda S, row=row: np.mean([model(np.where(S, row, z)) for z in data], axis=0), D
        )
        np.testing.assert_allclose(values, summary(game, budget=2**D).values, atol=1e-12)


CHANGES = [r.name for r in xai.methods() if "table" in r.inputs and "torch" not in r.inputs
           and r.name != "mean_when_included"]  # fmt: skip


@pytest.mark.parametrize("method", CHANGES)
def test_a_constant_column_gets_nothing_of_whatever_measures_a_change(table, method):
    x, data = (np.nan_to_num(rows[:, :9]) for rows in (table[0][:2], table[1]))
    f = lambda z: z[:, 0] * z[:, 1] * z[:, 2] + np.sin(z[:, 3:]).sum(axis=1)  # noqa: E731
    e = xai.explain(f, x, method, data=data, **({"y": f(x)} if method in LOSSES else {}))
    assert np.all(np.abs(e.values[:, 2]) < 1e-10) and np.all(np.abs(e.values[:, 0]) > 1e-6)


@pytest.mark.parametrize("designs", [64, None])
def test_hsic_of_the_rest_is_as_if_nulls_were_not_there(table, designs):
    """Its bandwidth is of coalitions that differ: two that differ in a null alone are one."""
    x, data = table
    null = np.array([2, 9])
    rest = np.setdiff1d(np.arange(D), null)

    def fewer(batch):
        whole = np.tile(x[0], (len(batch), 1))
        whole[:, rest] = batch
        return model(whole)

    budget = None if designs else 50_000
    given = {"designs": designs, "budget": budget}
    with_nulls = xai.explain(model, x, "hsic", data=data, **given)
    without = xai.explain(fewer, x[:1, rest], "hsic", data=data[:, rest], **given)
    assert np.all(with_nulls.values[0, null] == 0) and with_nulls.values[2, 2] != 0
    np.testing.assert_allclose(with_nulls.values[0, rest], without.values[0], atol=1e-12)


@pytest.mark.parametrize("removal", ["marginal", "a baseline", "a baseline for each row"])
@pytest.mark.parametrize("estimator", ["auto", "exact", "permutation"])
def test_sparse_rows_leave_out_what_dense_ones_do(estimator, removal):
    """A text's words are few of all: walks over the others took most of the model's rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 40)) * (rng.random((3, 40)) < 0.15)
    data = rng.normal(size=(4, 40)) * (rng.random((4, 40)) < 0.1)
    data[:, 7], x[0, 7], x[1, 7] = 2.0, 2.0, 0.0
    baseline = {"a baseline": data[0], "a baseline for each row": data[1:]}.get(removal)
    given = removal if baseline is None else xai.removal.Baseline(baseline)
    keywords = {"estimator": estimator, "budget": 40_000, "removal": given}

    def both(kind):
        def call(batch):
            return model(batch.toarray()[:, ::3] if kind is sparse.csr_array else batch[:, ::3])

        return xai.explain(call, kind(x), "shapley", data=kind(data), **keywords)

    thin, thick = both(sparse.csr_array), both(np.asarray)
    assert thin.evaluations == thick.evaluations and thin.ran == thick.ran
    np.testing.assert_allclose(thin.values, thick.values, rtol=0, atol=1e-12)
    assert (thin.values == 0).sum() > 30


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_row_alone_is_the_same(table, estimator):
    x, data = table
    keywords = {"data": data, "estimator": estimator, "budget": 40_000}
    together = xai.explain(model, x, "shapley", **keywords)
    for i in range(3):
        alone = xai.explain(model, x[i : i + 1], "shapley", **keywords)
        np.testing.assert_allclose(together.values[i], alone.values[0], rtol=1e-9, atol=1e-12)


def test_a_row_that_is_exact_among_others_has_no_error_of_its_own(table, tmp_path):
    """9 of 12 players are left in row 1, and their coalitions fit the budget."""
    pytest.importorskip("pandas")
    x, data = table
    keywords = {"data": data, "budget": 4000, "tolerance": 0.2}
    e = xai.explain(model, x, "permutation_shap", **keywords)
    e.save(tmp_path / "e.npz")
    for found in (e, xai.load(tmp_path / "e.npz")):
        assert np.all(found.std_error[1] == 0) and found.std_error[2].max() > 0
        assert found.exact.tolist() == [False, True, False]
        assert found.runs.tolist() == ["walks", "enumeration", "walks"]
        assert found.ran == "enumeration, walks"
        assert found[1].std_error is None and found[1].ran == "enumeration"
        told = found.to_frame().groupby("row")["std_error"].count()  # of numbers
        assert told.tolist() == [D, 0, D]
        assert found[[1, 2]].std_error.shape == (2, D) and found[[2]].ran == "walks"
    for i in range(3):
        alone = xai.explain(model, x[i : i + 1], "permutation_shap", **keywords)
        assert (alone.std_error is None) == (e[i].std_error is None)
        assert alone.ran == e[i].ran and alone.converged == e[i].converged


def test_rows_of_many_players_beside_rows_of_few():
    """Groups that differ between rows: the first row's coalitions are enumerated."""
    x = np.arange(16.0).reshape(2, 8) + 1
    ids = np.array([[0, 0, 0, 1, 1, 1, 2, 2], np.arange(8)])
    keywords = {"removal": xai.removal.Baseline(0), "budget": 40}

    def product(rows):
        return np.log(rows + 2).prod(axis=1)

    for method in ("permutation_shap", "banzhaf", "mean_when_included"):
        e = xai.explain(product, x, method, players=ids, **keywords)
        assert e.exact.tolist() == [True, False]
        assert e[0].std_error is None and np.all(e.std_error[0, :3] == 0)
        assert e[1].std_error is not None
        alone = xai.explain(product, x[:1], method, players=ids[:1], **keywords)
        np.testing.assert_array_equal(alone.values, e[0].values[:, :3])
        assert alone.std_error is None
        if method != "mean_when_included":
            assert e.runs[0] == "enumeration" and e.runs[1]
        assert not e.ran.startswith(",")


def test_values_are_those_of_the_whole_game(table):
    x, data = table
    e = xai.explain(model, x, "exact_shapley", data=data)

    def exact(row):
        def v(S):
            return np.stack([model(np.where(S, row, b)) for b in data]).mean(axis=0)

        return xai.summary.Shapley()(xai.Game.from_function(v, D), budget=2**D).values

    whole = np.stack([exact(row) for row in x])
    np.testing.assert_allclose(e.values, whole, rtol=0, atol=1e-12)


def test_a_row_that_is_the_background_gets_nothing(table):
    _, data = table
    e = xai.explain(model, data[:1], "shapley", data=data[:1], tolerance=0.1)
    assert np.all(e.values == 0) and e.std_error is None and e.converged.all()
    assert e.ran == "nothing changes" and e.evaluations == 2


def test_groups_and_images():
    rng = np.random.default_rng(1)
    image = rng.random((1, 8, 8, 1))
    image[:, :4] = 0

    def score(batch):
        return batch.sum(axis=(1, 2, 3)) ** 3

    e = xai.explain(
        score, image, "shapley", removal=xai.removal.Baseline(0), players=xai.players.Patches(2)
    )
    assert np.all(e.values[0, :8] == 0) and np.all(e.values[0, 8:] > 0)
    assert e.std_error is None  # 8 patches of 16 are left: 256 coalitions


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"width": 0.3},
        {"kernel": "uniform"},
        {"regularizer": "lasso", "alpha": 0.01},
        {"p": 0.3},
    ],
)
def test_a_linear_fit_leaves_nulls_out_and_weighs_the_rest_as_if_they_were_there(table, options):
    """LIME's: words that a text has not, beside those of all other texts."""
    x, data = table
    fit = LinearFit(**options)
    e = xai.explain(model, x, "shapley", summary=fit, data=data, budget=100_000)
    assert np.all(e.values[0, [2, 9]] == 0) and np.all(e.values[1, [2, 5, 9]] == 0)
    assert e.std_error is None
    samples = 100_000 - 8  # which all coalitions stand for, each at one draw
    for i, row in enumerate(x):
        game = xai.Game.from_function(
            lambda S, row=row: np.mean([model(np.where(S, row, z)) for z in data], axis=0), D
        )
        whole = fit(game, budget=samples + 2)
        np.testing.assert_allclose(e.values[i], whole.values, atol=1e-9)
        np.testing.assert_allclose(e.info["intercept"][i], whole.info["intercept"], atol=1e-9)
        np.testing.assert_allclose(e.info["r2"][i], whole.info["r2"], atol=1e-9)


def test_a_linear_fit_of_many_nulls_is_one_of_the_few_others():
    """With its errors, which more players than samples would leave unknown."""
    x = np.zeros((2, 30_000))
    x[0, [0, *range(17_000, 17_006)]] = x[1, 1] = 1.0  # 7 words, and one
    x, few = sparse.csr_array(x), LinearFit(samples=20)

    def found(z):
        return z[:, [0, 17_003]].sum(axis=1)

    e = xai.explain(found, x, "lime", removal="baseline", summary=few, budget=100)
    assert np.isfinite(e.std_error).all() and e.info["r2"][0] > 0.8
    assert set(np.flatnonzero(np.abs(e.values[0]) > 0.3)) == {0, 17_003}
    nothing = xai.explain(found, 0 * x, "lime", removal="baseline")
    assert not nothing.values.any() and np.array_equal(nothing.info["intercept"], [0, 0])
    assert np.isnan(nothing.info["r2"]).all()


@pytest.mark.parametrize("method", ["occlusion", "include_one"])
def test_removing_or_including_one_by_one_costs_nothing_of_nulls(table, method):
    """Of 30,000 words only the seven that a text has are left out."""
    x, data = table
    e = xai.explain(model, x, method, data=data)
    for i, row in enumerate(x):
        other = row if method == "occlusion" else data
        each = [np.where(np.arange(D) == j, data if method == "occlusion" else row, other)
                for j in range(D)]  # fmt: skip
        sign = -1 if method == "occlusion" else 1
        whole = model(np.broadcast_to(other, data.shape)).mean()
        expected = [sign * (model(one).mean() - whole) for one in each]
        np.testing.assert_allclose(e.values[i], expected, rtol=0, atol=1e-12)
    assert e.evaluations == -(-(3 + 7 + 7 * (10 + 9 + 12)) // 3) and e.std_error is None
    words = np.zeros((1, 30_000))
    words[0, :7] = 1.0
    x = sparse.csr_array(words)
    seven = xai.explain(lambda z: z.sum(axis=1), x, method, removal="baseline")
    assert seven.evaluations == 9


@pytest.mark.parametrize("method", ["occlusion", "include_one"])
def test_a_budget_is_enough_where_it_is_for_the_row_that_changes_most(method):
    x = np.array([[1.0, 0, 0, 0], [1, 1, 1, 0]])

    def explained(budget):
        return xai.explain(lambda z: z.sum(axis=1), x, method, removal="baseline", budget=budget)

    np.testing.assert_array_equal(explained(5).values, x)
    with pytest.raises(ValueError, match="at least 5 model rows"):
        explained(4)
