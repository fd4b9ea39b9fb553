"""The least budget that works: what the error names works, and one row less does not."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

import xai
from xai.removal import Baseline, Function, Neighbourhood, Permuted, ProductOfMarginals, Uniform

RNG = np.random.default_rng(2)
X, Y = RNG.normal(size=(4, 4)), np.array([0, 1, 1, 0])
DATA = RNG.normal(size=(3, 4))

REMOVALS = {
    "own": None,
    "marginal": "marginal",
    "uniform": Uniform(n_draws=5),
    "product": ProductOfMarginals(n_draws=5),
    "baseline": Baseline(0.0),
    "baselines": Baseline(RNG.normal(size=(4, 4))),
    "function": Function(lambda x, kept: x * kept, soft=True),
}
PLAYERS = {
    "columns": None,
    "one": np.zeros(4, int),
    "one apart": np.array([-1, -1, 0, 0]),
    "two apart": np.array([1, 2, -1, 1]),
    "by row": np.array([[0, 0, 0, 0], [0, 1, 2, 3], [0, 1, 1, 0], [0, -1, 1, -1]]),
}


def model(x):
    s = 0.3 + x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] + 0.5 * x[:, 0]
    p = s * s / (1 + s * s)
    return np.stack([1 - p, p], axis=1)


def least(explain):
    """The budget that the error names."""
    with pytest.raises(ValueError, match=r"budget=0 is too small: .* at least \d+") as error:
        explain(0)
    return int(re.search(r"at least (\d+)", str(error.value))[1])


def check(counting, method, **keywords):
    counted = counting(model)

    def explain(budget):
        return xai.explain(counted, X, method, data=DATA, budget=budget, **keywords)

    enough = least(explain)
    with pytest.raises(ValueError, match=f"at least {enough} "):
        explain(enough - 1)
    for budget in (enough, enough + 5, 3 * enough):
        counted.rows = 0
        explanation = explain(budget)
        assert explanation.evaluations == -(-counted.rows // len(explanation)) <= budget


SUMMARIES = sorted(name for name, kind in xai.summary.NAMES.items() if not kind().differentiates)


@pytest.mark.parametrize("players", PLAYERS)
@pytest.mark.parametrize("removal", REMOVALS)
def test_the_least_that_is_named_works(case, counting, removal, players):
    if case.data_set and players == "by row":  # a data set has the same players in every row
        players = next(iter(PLAYERS))
    if not case.groups and removal == "own":  # its own removal has slopes, which are of columns
        players = next(iter(PLAYERS))
    keywords = {"y": Y} if case.needs_y else {}
    check(
        counting, case.name, removal=REMOVALS[removal], players=PLAYERS[players], **keywords
    )  # fmt: skip


@pytest.mark.parametrize("players", ["one apart", "two apart"])
@pytest.mark.parametrize("removal", ["marginal", "uniform"])
@pytest.mark.parametrize("method", ["occlusion", "include_one"])
def test_the_least_of_one_player_at_a_time_is_what_it_spends(method, removal, players):
    """Rows share nothing: the value of nobody, draw by draw, only where it is asked for."""

    def explain(budget):
        return xai.explain(
            model, X, method, data=DATA, removal=REMOVALS[removal], players=PLAYERS[players],
            budget=budget,
        )  # fmt: skip

    enough = least(explain)
    assert explain(enough).evaluations == enough


@pytest.mark.parametrize("players", ["columns", "one apart", "two apart", "by row"])
@pytest.mark.parametrize("removal", ["marginal", "uniform", "function"])
@pytest.mark.parametrize("behavior", ["margin", "prediction_loss"])
@pytest.mark.parametrize("summary", SUMMARIES)
def test_the_least_of_what_is_taken_of_the_mean(counting, summary, behavior, removal, players):
    check(
        counting, "shapley", summary=summary, behavior=behavior, removal=REMOVALS[removal],
        players=PLAYERS[players], y=Y,
    )  # fmt: skip


@pytest.mark.parametrize("players", ["columns", "one", "one apart", "two apart"])
@pytest.mark.parametrize("removal", [Permuted(), Permuted(repeats=3), "marginal", "uniform"])
@pytest.mark.parametrize("summary", SUMMARIES)
def test_the_least_of_a_data_set(counting, summary, removal, players):
    check(
        counting, "permutation_test", summary=summary, removal=removal, players=PLAYERS[players],
        y=Y,
    )  # fmt: skip


@pytest.mark.parametrize("players", PLAYERS)
@pytest.mark.parametrize("removal", ["marginal", "uniform", "baseline"])
@pytest.mark.parametrize("method", ["occlusion", "include_one", "mean_when_included"])
def test_a_forest_costs_what_its_function_costs(method, removal, players):
    """Its rows go into one call with others, and never more of them."""
    forest = RandomForestRegressor(3, random_state=0).fit(DATA, DATA[:, 0])
    how = {"data": DATA, "removal": REMOVALS[removal], "players": PLAYERS[players], "budget": 400}
    one, other = (xai.explain(f, X, method, **how) for f in (forest, lambda x: forest.predict(x)))
    assert one.evaluations == other.evaluations
    np.testing.assert_array_equal(one.values, other.values)


@pytest.mark.parametrize(("own", "data", "m"), [(30, 3, 30), (30, None, 30), (None, 30, 30)])
def test_permutations_fill_the_budget_that_their_background_leaves(own, data, m):
    rows, n, d = np.random.default_rng(0).normal(size=(30, 4)), *X.shape
    how = {"y": Y, "data": None if data is None else rows[:data]}
    removal, budget = Permuted(None if own is None else rows[:own]), n + m + 5 * n * d + 3
    free = xai.explain(model, X, "permutation_test", removal=removal, budget=budget, **how)
    five = xai.explain(model, X, "permutation_test", removal=removal, repeats=5, **how)
    assert free.evaluations == five.evaluations <= budget
    np.testing.assert_array_equal(free.values, five.values)


@pytest.mark.parametrize("discretise", [True, False])
@pytest.mark.parametrize("samples", [None, 3, 7, 50])
@pytest.mark.parametrize("summary", ["linear_fit", "kernel"])
def test_the_least_of_a_neighbourhood(counting, discretise, samples, summary):
    options = {"removal": Neighbourhood(discretise=discretise, n_draws=20)}
    if summary == "kernel":
        options["summary"] = xai.summary.LinearFit("uniform", None, samples=samples)
    elif samples is not None:
        options["samples"] = samples
    check(counting, "lime", **options)


@pytest.mark.parametrize(
    ("method", "samples"),
    [("shapley", 1), ("kernel_shap", 8), ("banzhaf", 1), ("banzhaf", 40), ("lime", 6),
     ("mean_when_included", 2), ("mean_when_included", 100), ("shapley", 30)],
)  # fmt: skip
@pytest.mark.parametrize("removal", ["marginal", "uniform", "baseline"])
@pytest.mark.parametrize("players", ["columns", "two apart"])
def test_the_least_of_an_explicit_count(counting, method, samples, removal, players):
    check(
        counting, method, samples=samples, removal=REMOVALS[removal], players=PLAYERS[players]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "count"),
    [("kernel_shap", {"samples": 401}), ("lime", {"samples": 400}), ("banzhaf", {"samples": 200}),
     ("permutation_shap", {"samples": 60}), ("sobol", {"designs": 64}), ("hsic", {"designs": 200})],
)  # fmt: skip
def test_a_count_too_large_for_the_budget_is_named_as_the_caller_wrote_it(method, count):
    """And nothing else: it is the count that needs the rows, not one sample of it."""
    (name, value), x = *count.items(), RNG.normal(size=(1, 12))
    with pytest.raises(ValueError, match=f"budget=99 is too small: {name}={value} needs at least"):
        xai.explain(lambda z: z.sum(axis=1), x, method, data=x + 1, budget=99, **count)


SAMPLERS = ["permutation_shap", "kernel_shap", "banzhaf", "owen", "mean_when_included", "lime"]


@pytest.mark.parametrize("behavior", ["prediction", "margin"])
@pytest.mark.parametrize("method", [*SAMPLERS, "occlusion", "sobol", "hsic"])
def test_background_rows_cost_walks_and_regressions_nothing(method, behavior):
    """Each of their samples has a row of its own, where the behavior commutes with the mean."""
    x, rows = RNG.normal(size=(1, 12)), RNG.normal(size=(8, 12))
    count = {"samples": 40} if method in SAMPLERS else {}
    count |= {"designs": 64} if method in ("sobol", "hsic") else {}
    few, many = (
        xai.explain(
            model, x, method, data=rows[:m], behavior=behavior, removal="marginal", **count
        ).evaluations - m - 1
        for m in (2, 8)
    )  # fmt: skip
    assert many == (few if method in SAMPLERS and behavior == "prediction" else 4 * few)


@pytest.mark.parametrize("alpha", [1, 4])
@pytest.mark.parametrize("removal", REMOVALS)
def test_the_least_of_a_regression_on_pairs(counting, alpha, removal):
    """It has the pair of everything and nothing, whose values are known."""
    check(counting, "beta_shapley", alpha=alpha, beta=alpha, removal=REMOVALS[removal])


def test_rows_with_other_players_are_asked_before_anything_is_spent(counting):
    """The row of most players needs most, though it is not the first."""
    counted = counting(model)
    with pytest.raises(ValueError, match="at least 46 "):  # (2^4 - 1) 3 + 1
        xai.explain(counted, X, "exact_shapley", data=DATA, players=PLAYERS["by row"], budget=4)
    assert counted.rows == len(X)


def test_a_budget_of_no_row_or_less_names_the_least_too():
    for budget in (0, -5):
        with pytest.raises(ValueError, match=f"budget={budget} is too small.* at least 16 "):
            xai.explain(model, X, "occlusion", data=DATA, budget=budget)


@pytest.mark.parametrize("method", ["permutation_shap", "shapley", "kernel_shap"])
def test_a_single_player_that_owns_part_of_the_row(method):
    """Nothing lies between nothing and everything: both ends say it all."""
    keywords = {"data": DATA, "removal": "uniform", "players": PLAYERS["one apart"]}
    explanation = xai.explain(model, X, method, budget=140, **keywords)
    change = explanation.predictions - explanation.base_values
    np.testing.assert_allclose(explanation.values[:, 0], change, atol=1e-12)
    assert explanation.evaluations <= 140


def test_predictions_and_base_values_of_an_ensemble_are_one_call(cancer, counting):
    def spent(rows, **options):
        forest = copy.copy(cancer.forest)
        forest.predict_proba = model = counting(cancer.forest.predict_proba)
        found = xai.explain(
            forest, cancer.x[:rows], "occlusion", data=cancer.x[20:30], progress=False, **options
        )
        assert model.rows == found.evaluations * rows
        return model.calls, found

    # 8 coalitions × 10 draws of each row are the other call
    (calls, joined), (apart, alone) = spent(2), spent(2, batch_size=11)
    assert calls == 2 and apart == 1 + 1 + -(-2 * 8 * 10 // 11)
    np.testing.assert_array_equal(joined.base_values, alone.base_values)
    np.testing.assert_array_equal(joined.values, alone.values)


@pytest.mark.parametrize(("batch_size", "rows"), [(12, 12), (11, 2)])
def test_a_budget_refused_costs_an_ensemble_one_call(cancer, counting, batch_size, rows):
    forest = copy.copy(cancer.forest)
    forest.predict_proba = model = counting(cancer.forest.predict_proba)
    x, data = cancer.x[:2], cancer.x[20:30]
    with pytest.raises(ValueError, match="budget=5 is too small"):
        xai.explain(forest, x, "occlusion", data=data, budget=5, batch_size=batch_size)
    assert (model.calls, model.rows) == (1, rows)


@pytest.mark.parametrize("members", [None, [1, 2]])
def test_rows_of_other_models_with_members_are_one_call_with_those_of_x(counting, members):
    """Though nobody knows what these models read."""

    class Model:
        predict = counted = counting(lambda x: x[:, 0] * x[:, 1])

    if members:
        Model.estimators_ = members
    xai.explain(Model(), X, "occlusion", data=DATA, progress=False)
    assert Model.counted.calls == (2 if members else 3)


def test_a_method_of_an_ensemble_is_called_as_the_ensemble_is():
    """With x beside others, and many rows at once."""
    seen = []

    class Watched(RandomForestRegressor):
        def predict(self, x):
            seen.append(len(x))
            return super().predict(x)

    rows = np.random.default_rng(0).normal(size=(20, 15))
    forest = Watched(3, random_state=0).fit(rows, rows[:, 0] * rows[:, 1])
    calls = []
    for model in (forest, forest.predict):
        seen.clear()
        xai.explain(model, rows[:1], "kernel_shap", data=rows, budget=60_000)
        calls.append(list(seen))
    assert calls[1] == calls[0]
    assert len(calls[0]) == 2  # the ends; all coalitions


@pytest.mark.parametrize("members", [None, [1, 2]])
def test_rows_of_x_stay_integers_beside_rows_that_are_none(members):
    """No float64 is 2^53 + 1."""

    class Model:
        def predict(self, x):
            return x[:, 0] % 2 + x[:, 1]

    if members:
        Model.estimators_ = members
    x, data = np.array([[2**53 + 1, 1], [4, 2]]), np.array([[0.5, 1.0], [1.5, 3.0]])
    found = xai.explain(Model(), x, "occlusion", data=data)
    np.testing.assert_array_equal(found.predictions, [2, 2])


@pytest.mark.parametrize("members", [None, [1, 2]])
def test_nan_with_everything_removed_says_so(members):
    class Model:
        """Of members, an ensemble: it is evaluated with the predictions."""

        _estimator_type = "regressor"

        def predict(self, x):
            return np.where(x.any(axis=1), x.sum(axis=1), np.nan)

    if members:
        Model.estimators_ = members
    with pytest.raises(ValueError, match="with every feature removed, the model returned NaN"):
        xai.explain(Model(), np.ones((3, 2)), "occlusion", removal="baseline")


@pytest.mark.parametrize("method", ["permutation_test", "sage"])
def test_the_least_of_a_data_set_has_what_finding_a_layer_costs(method):
    torch, seen = pytest.importorskip("torch"), []
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(48, 2),
    )  # fmt: skip
    net[-1].register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    common = {"players": xai.players.Channels("0"), "y": Y, "removal": "baseline"}
    x = torch.randn(4, 1, 4, 4)
    with pytest.raises(ValueError, match="at least") as told:
        xai.explain(net, x, method, budget=1, **common)
    least = int(re.search(r"at least (\d+)", str(told.value))[1])
    with pytest.raises(ValueError, match=f"at least {least} "):
        xai.explain(net, x, method, budget=least - 1, **common)
    seen.clear()
    assert xai.explain(net, x, method, budget=least, **common).evaluations == sum(seen) == least


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("background", [None, "several", "one"])
def test_permutations_inside_a_network_fill_what_finding_the_layer_leaves(skips, background):
    """Whatever the budget is, from the least on."""
    torch, seen = pytest.importorskip("torch"), []

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.maps, self.head = torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.Linear(48, 2)
            self.head.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))

        def forward(self, x):
            beside = x.flatten(1).tanh()[:, :2] if skips else 0.0
            return self.head(self.maps(x).flatten(1)) + beside

    torch.manual_seed(0)
    x, data = torch.randn(4, 1, 4, 4), None
    if background is not None:
        data = torch.randn(7, 1, 4, 4) if background == "several" else torch.ones(1, 4, 4)
    how = {"players": xai.players.Channels("maps"), "y": Y, "data": data}
    net, step = Net(), 4 * (3 + skips)
    with pytest.raises(ValueError, match="at least") as told:
        xai.explain(net, x, "permutation_test", budget=1, **how)
    least = int(re.search(r"at least (\d+)", str(told.value))[1])
    for budget in (least, least + step - 1, least + step, least + 5 * step + 1):
        seen.clear()
        e = xai.explain(net, x, "permutation_test", budget=budget, **how)
        # of seven background rows fewer may be met, which are not spent on another permutation
        assert budget - step - 7 < e.evaluations == sum(seen) <= budget
