"""Summaries of set functions: slow enumeration from the papers is the oracle."""

from __future__ import annotations

import numpy as np
import pytest

import xai
from xai.summary import (
    Banzhaf,
    BetaShapley,
    IncludeIndividual,
    Interactions,
    LinearFit,
    MeanWhenIncluded,
    RemoveIndividual,
    Shapley,
)
from xai.summary.fit import pseudo_inverse
from xai.summary.included import kept_in_runs
from xai.summary.kernel import Design

SIZES = range(1, 8)
OUTPUTS = [None, 1, 3]


def game_of(v, d):
    return xai.Game.from_function(v, n_players=d)


def label(summary):
    """A short name, the same in every process."""
    words = [type(summary).__name__]
    if isinstance(summary, LinearFit):
        words.append("own kernel" if callable(summary.kernel) else summary.kernel)
    if isinstance(summary, MeanWhenIncluded):
        words.append(str(summary.p))
    return " ".join(words)


def kernel_weights(Z):
    """A kernel of a user's own: coalitions (B, d) -> weights (B,)."""
    return 0.1 + np.asarray(Z).mean(axis=1)


# ------------------------------------------------------------------------------------ the game


@pytest.mark.parametrize("k", OUTPUTS)
def test_a_game_from_a_function_gives_its_values(set_function, oracle, k):
    v = set_function(4, k)
    Z = oracle.subsets(4)
    values = game_of(v, 4).value(np.zeros(len(Z), dtype=int), Z)
    assert values.shape == (16, 1 if k is None else k)
    np.testing.assert_allclose(values.reshape(v.table.shape), v(Z), rtol=1e-12)


def test_a_game_refuses_coalitions_of_another_width(set_function):
    game = game_of(set_function(4), 4)
    with pytest.raises(ValueError, match="4"):
        game.value(np.zeros(2, dtype=int), np.ones((2, 5), dtype=bool))


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_set_function_that_is_not_finite_is_refused(size):
    """NaN for nothing, for one player, or for all three."""

    def v(Z):
        return np.where(Z.sum(axis=1) == size, np.nan, 1.0)

    with pytest.raises(ValueError, match=r"(?i)nan|finite"):
        Shapley()(game_of(v, 3))


def test_a_set_function_with_a_wrong_number_of_values_is_refused():
    with pytest.raises(ValueError, match="shape"):
        Shapley()(game_of(lambda Z: np.zeros(len(Z) + 1), 3))


# ------------------------------------------------------------- every summary against its oracle

ORACLES = {
    "remove": (
        RemoveIndividual(),
        lambda o, v, d: np.array(
            [v(np.ones((1, d), bool))[0] - v(~np.eye(d, dtype=bool)[[i]])[0] for i in range(d)]
        ),
    ),
    "include": (
        IncludeIndividual(),
        lambda o, v, d: np.array(
            [v(np.eye(d, dtype=bool)[[i]])[0] - v(np.zeros((1, d), bool))[0] for i in range(d)]
        ),
    ),
    "shapley": (Shapley(), lambda o, v, d: o.shapley(v, d)),
    "banzhaf": (Banzhaf(), lambda o, v, d: o.banzhaf(v, d)),
    "mean": (MeanWhenIncluded(), lambda o, v, d: o.mean_when_included(v, d)),
    "mean of 0.2": (MeanWhenIncluded(p=0.2), lambda o, v, d: o.mean_when_included(v, d, 0.2)),
    "kernel": (
        LinearFit(kernel="shapley", regularizer=None),
        lambda o, v, d: o.kernel_fit(v, d),
    ),
    "own kernel": (
        LinearFit(kernel=kernel_weights, regularizer=None),
        lambda o, v, d: o.linear_fit(v, d, kernel_weights)[0],
    ),
}


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("k", OUTPUTS)
@pytest.mark.parametrize("d", SIZES)
def test_enumeration_equals_the_oracle(set_function, oracle, name, d, k):
    summary, slowly = ORACLES[name]
    v = set_function(d, k, seed=d)
    attribution = summary(game_of(v, d), budget=2**d)
    assert attribution.evaluations == v.evaluations <= 2**d
    assert attribution.std_error is None
    expected = slowly(oracle, v, d)
    assert attribution.values.shape == ((d,) if k is None else (d, k))
    np.testing.assert_allclose(attribution.values, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", [name for name in ORACLES if name != "own kernel"])
@pytest.mark.parametrize("k", OUTPUTS)
def test_the_base_value_is_that_of_the_empty_coalition(set_function, name, k):
    v = set_function(4, k)
    attribution = ORACLES[name][0](game_of(v, 4))
    np.testing.assert_allclose(attribution.base_value, v.table[0], rtol=0, atol=1e-12)
    assert np.shape(attribution.base_value) == v.table[0].shape


def test_the_oracles_agree_with_each_other(set_function, oracle):
    """Lundberg & Lee's theorem 2: the kernel's fit is Shapley's value."""
    v = set_function(5, 2)
    np.testing.assert_allclose(oracle.kernel_fit(v, 5), oracle.shapley(v, 5), atol=1e-12)


@pytest.mark.parametrize("k", OUTPUTS)
def test_the_fit_reports_its_intercept(set_function, oracle, k):
    v = set_function(4, k)
    summary = LinearFit(kernel=kernel_weights, regularizer=None)
    attribution = summary(game_of(v, 4), budget=16)
    expected = oracle.linear_fit(v, 4, kernel_weights)[1]
    np.testing.assert_allclose(np.squeeze(attribution.info["intercept"]), expected, atol=1e-11)


# ------------------------------------------------------------------------------- closed forms

ALL_SUMMARIES = [summary for summary, _ in ORACLES.values()]
CHANGES = [summary for name, (summary, _) in ORACLES.items() if not name.startswith("mean")]


def and_of_three(Z):
    return Z[:, :3].all(axis=1).astype(float)


@pytest.mark.parametrize("d", [3, 4, 6])
def test_and_of_three(d):
    def share(summary):
        values = summary(game_of(and_of_three, d)).values
        assert np.all(values[3:] == 0)
        return values[:3]

    np.testing.assert_allclose(share(Shapley()), 1 / 3, atol=1e-12)
    np.testing.assert_allclose(share(Banzhaf()), 1 / 4, atol=1e-12)
    np.testing.assert_allclose(share(RemoveIndividual()), 1, atol=1e-12)
    np.testing.assert_allclose(share(IncludeIndividual()), 0, atol=1e-12)


def test_and_of_three_when_included():
    values = MeanWhenIncluded(p=0.5)(game_of(and_of_three, 4)).values
    np.testing.assert_allclose(values, [1 / 4, 1 / 4, 1 / 4, 1 / 8], atol=1e-12)


def test_a_product_of_two_is_shared():
    def product(Z):
        return 6.0 * Z[:, 0] * Z[:, 1]

    for summary in (Shapley(), Banzhaf(), LinearFit(kernel="shapley", regularizer=None)):
        np.testing.assert_allclose(summary(game_of(product, 2)).values, [3, 3], atol=1e-12)
    for summary, alone in ((RemoveIndividual(), 6), (IncludeIndividual(), 0)):
        np.testing.assert_allclose(summary(game_of(product, 2)).values, alone, atol=1e-12)


def test_the_mean_with_a_player_is_the_middle_and_half_of_what_the_player_adds():
    """Of a sum b + Σ w_j S_j it is b + w_i + ½ Σ_{j ≠ i} w_j, with the others there by half."""
    w = np.array([2.0, -1.0, 0.5, 3.0])
    values = MeanWhenIncluded(p=0.5)(game_of(lambda Z: 7 + Z @ w, 4)).values
    np.testing.assert_allclose(values, 7 + w.sum() / 2 + w / 2, atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "summary"),
    [
        ("uniform", Banzhaf()),
        (lambda Z: (Z.sum(axis=1) <= 1) * 1.0, IncludeIndividual()),
        (lambda Z: (Z.sum(axis=1) >= 4) * 1.0, RemoveIndividual()),
    ],
    ids=["all", "smallest", "largest"],
)
def test_where_the_kernel_weighs_alike_decides_which_summary_it_is(set_function, kernel, summary):
    """Everywhere: Banzhaf's; up to one player: each added alone; from all but one: each removed."""
    game = game_of(set_function(5, 2), 5)
    fit = LinearFit(kernel, regularizer=None)
    np.testing.assert_allclose(fit(game).values, summary(game).values, atol=1e-10)


@pytest.mark.parametrize("summary", CHANGES, ids=label)
@pytest.mark.parametrize("budget", [None, 500])
@pytest.mark.parametrize("d", [1, 3, 8, 40])
def test_an_additive_game_is_exact_even_when_sampled(summary, budget, d):
    w = np.linspace(-2, 3, d)
    attribution = summary(game_of(lambda Z: 1.5 + Z @ w, d), budget=budget)
    np.testing.assert_allclose(attribution.values, w, rtol=0, atol=1e-10)
    if budget is not None:
        assert attribution.evaluations <= budget


@pytest.mark.parametrize("summary", ALL_SUMMARIES, ids=label)
@pytest.mark.parametrize("d", [1, 2, 5, 30])
@pytest.mark.parametrize("tolerance", [None, 0.01])
def test_a_constant_game(summary, d, tolerance):
    game = game_of(lambda Z: np.full(len(Z), 2.5), d)
    values = summary(game, budget=400, tolerance=tolerance).values
    expected = 2.5 if isinstance(summary, MeanWhenIncluded) else 0.0
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("summary", ALL_SUMMARIES, ids=label)
def test_a_game_of_one_player(summary):
    value = summary(game_of(lambda Z: np.where(Z[:, 0], 5.0, 2.0), 1)).values
    expected = 5.0 if isinstance(summary, MeanWhenIncluded) else 3.0
    np.testing.assert_allclose(value, [expected], atol=1e-12)


def test_the_same_game_serves_every_summary(set_function):
    game = game_of(set_function(3), 3)
    for summary in ALL_SUMMARIES:
        assert np.isfinite(summary(game).values).all()


# -------------------------------------------------------------------------------- when sampled

SAMPLED = [
    Shapley(),
    Banzhaf(),
    MeanWhenIncluded(),
    LinearFit(kernel="shapley", regularizer=None),
    LinearFit(kernel=kernel_weights, regularizer=None),
]


@pytest.mark.parametrize("summary", SAMPLED, ids=label)
@pytest.mark.parametrize("budget", [50, 333, 1000])
def test_a_sampled_game_keeps_its_budget_and_repeats(set_function, summary, budget):
    v = set_function(12)
    one = summary(game_of(v, 12), budget=budget, seed=1)
    assert one.evaluations == v.evaluations <= budget
    again = summary(game_of(v, 12), budget=budget, seed=1)
    np.testing.assert_array_equal(one.values, again.values)
    other = summary(game_of(v, 12), budget=budget, seed=2)
    assert not np.allclose(one.values, other.values)
    assert one.std_error.shape == one.values.shape


@pytest.mark.parametrize("k", OUTPUTS)
@pytest.mark.parametrize(
    "summary", [Shapley(), LinearFit(kernel="shapley", regularizer=None)], ids=label
)
def test_sampled_shapley_values_sum_to_the_whole(set_function, summary, k):
    v = set_function(12, k)
    attribution = summary(game_of(v, 12), budget=300)
    total = attribution.values.sum(axis=0) + attribution.base_value
    np.testing.assert_allclose(total, v.table[-1], rtol=0, atol=1e-11)


def test_a_sampled_walk_gives_a_dummy_exactly_nothing(set_function):
    v = set_function(11)
    game = game_of(lambda Z: v(Z[:, :11]), 12)
    attribution = Shapley(estimator="permutation")(game, budget=300)
    assert attribution.values[11] == 0
    assert attribution.std_error[11] == 0
    assert np.all(attribution.values[:11] != 0)


@pytest.mark.parametrize("summary", SAMPLED[:4], ids=label)
def test_a_sampled_mean_is_right_in_expectation(set_function, summary):
    d = 8
    v = set_function(d, seed=3)
    estimates = np.array(
        [summary(game_of(v, d), budget=90, seed=seed).values for seed in range(150)]
    )
    exact = summary(game_of(v, d), budget=2**d).values
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    # a ratio estimator's bias falls as 1/budget: allowed for by a twentieth of its spread
    slack = 0.05 * estimates.std(axis=0)
    assert np.all(np.abs(estimates.mean(axis=0) - exact) <= 4 * error + slack)


@pytest.mark.parametrize("summary", SAMPLED, ids=label)
def test_a_game_budget_too_small_is_refused(set_function, summary):
    with pytest.raises(ValueError, match=r"budget.*\d|\d.*budget"):
        summary(game_of(set_function(10), 10), budget=1)


def test_individual_removal_names_the_least_budget(set_function):
    v = set_function(6)
    with pytest.raises(ValueError, match="8"):  # everything, nothing, and each player alone
        RemoveIndividual()(game_of(v, 6), budget=7)
    assert RemoveIndividual()(game_of(v, 6), budget=8).evaluations == 8


@pytest.mark.parametrize(
    "summary",
    [
        MeanWhenIncluded(), MeanWhenIncluded(p=0.35), Banzhaf(), BetaShapley(4, 4), BetaShapley(),
        LinearFit("exponential", None), Shapley(), Shapley(estimator="kernel"),
        Shapley(estimator="leverage"), Shapley(estimator="gp"), Interactions("k-SII"),
        Interactions("Banzhaf"),
    ],
    ids=repr,
)  # fmt: skip
def test_how_a_long_table_is_cut_changes_nothing(monkeypatch, set_function, summary):
    d = 9
    game = game_of(set_function(d), d)
    whole = summary(game, budget=400)
    monkeypatch.setattr(
        "xai.streams.parts", lambda n, d: [slice(a, min(a + 7, n)) for a in range(0, n, 7)]
    )
    cut = summary(game, budget=400)
    assert whole.std_error is not None
    for name in ("values", "std_error", "interactions"):
        if getattr(whole, name) is not None:
            np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), rtol=1e-7)


@pytest.mark.parametrize(("d", "pairs", "draws"), [(4, 200, 40), (5, 100, 30), (6, 300, 20)])
@pytest.mark.parametrize("share", [0.5, 0.25, 0.125])
def test_what_a_smaller_design_leaves_out_is_what_so_few_copies_do(d, pairs, draws, share):
    """One copy of several leaves out all of its spread: it is seen beside other coalitions."""
    design = Design.make(d, pairs, 0, float(draws))
    part = design.part(design.level(0) < share)
    assert part.weight.sum() == pytest.approx(design.weight.sum())
    for _, copies, left_out in part.strata:
        np.testing.assert_allclose(left_out, 1 - copies / draws if copies > 1 else 1)


# --------------------------------------------------------------------------- mean when included


@pytest.mark.parametrize("p", [0.5, 0.8, 0.35, 1 / 3, 0.1, 1 / 49])
def test_no_player_is_left_out_of_a_mean(p):
    """As few coalitions as there may be hold every player at least once."""
    least, d = int(np.ceil(1 / p - 1e-9)), 40
    for seed in range(5):
        found = MeanWhenIncluded(p=p, samples=least)(
            game_of(lambda Z: Z @ np.arange(d), d), seed=seed
        )
        assert np.isfinite(found.values).all() and found.evaluations <= least + 2
    few = MeanWhenIncluded(p=p, samples=least - 1)
    for summary, budget in [(few, None), (MeanWhenIncluded(p=p), least + 1)]:
        with pytest.raises(ValueError, match=f"{least} of which together hold every player.*least"):
            summary(game_of(lambda Z: Z @ np.arange(d), d), budget=budget)


def test_the_error_of_a_mean_knows_that_coalitions_of_a_run_depend():
    """A player is in both of a third of its runs; the others are there in turns."""
    d, summary = 8, MeanWhenIncluded(p=0.6)
    game = game_of(lambda Z: Z @ np.linspace(0.5, 1, d), d)
    exact = summary(game, budget=2**d).values
    found = [summary(game, budget=122, seed=seed) for seed in range(1000)]
    errors = np.mean([a.std_error**2 for a in found])
    assert 0.95 < np.sqrt(np.mean([(a.values - exact) ** 2 for a in found]) / errors) < 1.05


@pytest.mark.parametrize("p", [0.5, 0.8, 0.35])
def test_every_coalition_of_a_run_is_as_likely_as_if_drawn_alone(oracle, p):
    """A chance of p for each of 3 players, independently: 20,000 runs within 5 sigma."""
    run, Z = int(np.ceil(1 / p)), oracle.subsets(3)
    S = kept_in_runs(0, 20_000 * run + 1, 3, p)
    assert len(S) % run == 1 and S[:-1].reshape(-1, run, 3).any(axis=1).all()
    chance = np.prod(np.where(Z, p, 1 - p), axis=1)
    for place in range(run):
        counts = np.bincount(S[place:-1:run] @ [4, 2, 1], minlength=8)
        assert np.all(np.abs(counts - 20_000 * chance) < 5 * np.sqrt(20_000 * chance))
    if p == 0.5:
        np.testing.assert_array_equal(S[:-1:2], ~S[1::2])


# ------------------------------------------------------------------------------- regularizers


@pytest.mark.parametrize(
    "given",
    [{"p": 0}, {"p": 1}, {"p": np.nan}, {"alpha": -1}, {"width": 0}, {"width": -0.2}],
    ids=str,
)
def test_numbers_of_a_fit_out_of_range_are_named(set_function, given):
    with pytest.raises(ValueError, match=f"{next(iter(given))} must"):
        LinearFit(**given)(game_of(set_function(3), 3))


def test_ridge_shrinks_as_its_closed_form(set_function, oracle):
    """argmin sum w (v - b0 - Z b)^2 + alpha |b|^2, the intercept free; over as many samples as
    the budget buys beside both ends, all coalitions alike."""
    d, alpha = 4, 2.0
    v = set_function(d)
    Z = oracle.subsets(d).astype(float)
    w = kernel_weights(Z) * (16 - 2) / 2**d
    A = np.column_stack([np.ones(len(Z)), Z])
    penalty = np.diag([0.0] + [alpha] * d)
    beta = np.linalg.solve(A.T @ (w[:, None] * A) + penalty, A.T @ (w * v(Z.astype(bool))))
    summary = LinearFit(kernel=kernel_weights, regularizer="ridge", alpha=alpha)
    np.testing.assert_allclose(summary(game_of(v, d), budget=16).values, beta[1:], atol=1e-10)


@pytest.mark.parametrize("width", [None, 0.4])
def test_the_cosine_kernel_is_of_the_angle_to_all_players(set_function, oracle, width):
    """exp(-D^2 / 2 w^2), D = 1 - cos(S, N), of which the empty coalition's is 1."""

    def weights(S):
        cosine = S @ np.ones(4) / np.maximum(np.linalg.norm(S, axis=1) * 2, 1)
        return np.exp(-((1 - cosine) ** 2) / (2 * (width or 0.25) ** 2))

    v = set_function(4)
    found = LinearFit("cosine", None, width=width)(game_of(v, 4), budget=16)
    np.testing.assert_allclose(found.values, oracle.linear_fit(v, 4, weights)[0], rtol=1e-9)


@pytest.mark.parametrize("samples", [20, 5000])
def test_ridge_over_all_coalitions_is_what_sampling_as_many_tends_to(set_function, samples):
    """Three players: eight coalitions stand for 5,000 samples, and shrink no more than these."""
    from sklearn.linear_model import Ridge

    d, v = 3, set_function(3)
    summary = LinearFit("exponential", "ridge", samples=samples)
    found = summary(game_of(v, d))
    assert found.std_error is None and found.evaluations == 2**d
    rng, slowly = np.random.default_rng(0), []
    for _ in range(400):
        S = rng.random((samples, d)) < 0.5
        weights = np.exp(-(~S).sum(axis=1) / (2 * 0.75**2 * d))
        slowly.append(Ridge(alpha=1.0).fit(S, v(S), sample_weight=weights).coef_)
    error = np.std(slowly, axis=0, ddof=1) / np.sqrt(len(slowly))
    bias = 1 / samples  # of a sampled fit, whose expected inverse is not the inverse's
    assert np.all(np.abs(np.mean(slowly, axis=0) - found.values) <= 4 * error + bias)


def test_the_fit_does_not_jump_where_enumeration_begins():
    """Additive, so that only the penalty moves the values from the truth."""
    w = np.array([4.0, -2.0, 1.0, 3.0, 0.0, 1.0])
    summary = LinearFit("exponential", "ridge")

    def fit(budget, seed=0):
        return summary(game_of(lambda Z: Z @ w, 6), budget=budget, seed=seed).values

    sampled = np.mean([fit(63, seed) for seed in range(100)], axis=0)
    np.testing.assert_allclose(fit(64), sampled, rtol=0.03, atol=0.03)
    gaps = [np.abs(fit(budget) - w).max() for budget in (64, 128, 1000, 100_000)]
    assert np.all(np.diff(gaps) < 0) and gaps[-1] < 1e-3


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_a_strength_or_a_width_that_none_can_be_is_refused(set_function, value):
    game = game_of(set_function(4), 4)
    with pytest.raises(ValueError, match=f"alpha must be finite and not negative, not {value}"):
        LinearFit(alpha=value)(game)
    if value != np.inf:  # which weighs all alike
        with pytest.raises(ValueError, match=f"width must be positive, not {value}"):
            LinearFit(width=value)(game)


@pytest.mark.parametrize(
    ("summary", "option"),
    [
        (LinearFit("shapley", None, p=0.3), "p=0.3"),
        (LinearFit("shapley", None, alpha=2.0), "alpha=2.0"),
        (LinearFit("shapley", None, width=0.5), "width=0.5"),
        (LinearFit("uniform", width=0.5), "width=0.5"),
        (LinearFit(kernel_weights, width=0.5), "width=0.5"),
        (LinearFit("exponential", None, alpha=0.5), "alpha=0.5"),
        (Shapley("exact", samples=10), "samples=10"),
    ],
)
def test_an_option_without_effect_is_refused(set_function, summary, option):
    with pytest.raises(ValueError, match=f"{option} has no effect"):
        summary(game_of(set_function(4), 4))


@pytest.mark.parametrize("samples", ["abc", 200.5, True, 0, -3])
@pytest.mark.parametrize(
    "make",
    [
        lambda samples: Shapley(samples=samples),
        lambda samples: Banzhaf(samples=samples),
        lambda samples: MeanWhenIncluded(samples=samples),
        lambda samples: LinearFit(samples=samples),
        lambda samples: LinearFit("shapley", None, samples=samples),
    ],
    ids=["shapley", "banzhaf", "mean", "lime", "kernel"],
)
@pytest.mark.parametrize("d", [3, 12])
def test_a_number_of_samples_of_no_use(set_function, make, samples, d):
    with pytest.raises(ValueError, match=rf"samples={samples!r}: .* integer of at least \d"):
        make(samples)(game_of(set_function(d), d))


def test_too_few_samples_are_named_as_they_were_given(set_function):
    game = game_of(set_function(12), 12)
    with pytest.raises(ValueError, match="samples=2: a linear fit needs an integer of at least 3"):
        LinearFit(samples=2)(game)
    with pytest.raises(ValueError, match=r"samples=23: KernelSHAP needs .* at least 24"):
        LinearFit("shapley", None, samples=23)(game)
    assert LinearFit("shapley", None, samples=24)(game).evaluations == 26


@pytest.mark.parametrize("d", [26, 40, 64, 200])
def test_too_many_players_to_enumerate_name_a_sampler(d):
    def game():
        return game_of(lambda Z: Z.sum(axis=1), d)

    with pytest.raises(ValueError, match=rf"2\^{d} coalitions.*permutation_shap") as error:
        Shapley("exact")(game())
    assert "kernel_shap" in str(error.value) and "players=" in str(error.value)
    with pytest.raises(ValueError, match=rf"2\^{d} coalitions"):
        Shapley("exact")(game(), budget=500)
    np.testing.assert_allclose(Shapley()(game(), budget=1000).values, 1.0, atol=1e-12)


def test_the_coalitions_of_as_many_players_as_pixels_are_too_many():
    """Python writes no integer of more than 4,300 digits."""
    with pytest.raises(ValueError, match=r"20000 players have 2\^20000 coalitions"):
        Shapley("exact")(game_of(lambda Z: Z.sum(axis=1), 20_000))


def test_lasso_leaves_out_what_does_nothing():
    def game(Z):
        return 3.0 * Z[:, 0] - 2.0 * Z[:, 1] + 1e-4 * Z[:, 2]

    values = LinearFit(kernel=kernel_weights, regularizer="lasso", alpha=0.05)(
        game_of(game, 5)
    ).values
    assert np.all(values[2:] == 0)
    assert values[0] > 1 and values[1] < -1


def test_a_lasso_leaves_the_global_random_state_alone(set_function):
    before = np.random.get_state()  # noqa: NPY002
    LinearFit("uniform", regularizer="lasso", alpha=0.05)(game_of(set_function(4), 4), budget=16)
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2] == after[2]


@pytest.mark.parametrize("alpha", [1e-9, 0])
@pytest.mark.parametrize("regularizer", ["ridge", "lasso"])
def test_a_vanishing_penalty_is_no_penalty(set_function, oracle, regularizer, alpha):
    v = set_function(4)
    summary = LinearFit(kernel=kernel_weights, regularizer=regularizer, alpha=alpha)
    expected = oracle.linear_fit(v, 4, kernel_weights)[0]
    np.testing.assert_allclose(summary(game_of(v, 4), budget=16).values, expected, atol=1e-5)


def test_a_lasso_from_its_moments_is_that_of_the_table(set_function, oracle):
    """All coalitions as a table of 16 rows, for scikit-learn."""
    from sklearn.linear_model import Lasso

    v, Z = set_function(4), oracle.subsets(4)
    model = Lasso(alpha=0.03, tol=1e-12).fit(Z * 1.0, v(Z), sample_weight=kernel_weights(Z))
    summary = LinearFit(kernel=kernel_weights, regularizer="lasso", alpha=0.03)
    found = summary(game_of(v, 4), budget=16)
    np.testing.assert_allclose(found.values, model.coef_, atol=1e-6)
    np.testing.assert_allclose(found.info["intercept"], model.intercept_, atol=1e-6)
    assert 0 < (found.values == 0).sum() < 4


def test_a_lasso_is_found_to_the_last_digits(set_function, oracle):
    """Where the penalty is small, and the default tolerance of scikit-learn stops early."""
    from scipy.special import binom
    from sklearn.linear_model import Lasso

    v, Z = set_function(6), oracle.subsets(6)
    alike = 1 / binom(6, Z.sum(axis=1))
    model = Lasso(alpha=1e-3, tol=1e-14).fit(Z * 1.0, v(Z), sample_weight=alike)
    summary = LinearFit("uniform", regularizer="lasso", alpha=1e-3, measure="uniform_size")
    found = summary(game_of(v, 6), budget=64)
    np.testing.assert_allclose(found.values, model.coef_, atol=1e-8)


@pytest.mark.parametrize("alpha", [0.02, 0.1])
def test_the_errors_of_a_lasso_are_right(set_function, alpha):
    d, table = 10, set_function(10, seed=1)
    game = game_of(lambda Z: 0.5 * table(Z) + Z @ np.linspace(0, 2, d), d)
    summary = LinearFit("uniform", regularizer="lasso", alpha=alpha)
    exact = summary(game, budget=2**d).values
    found = [summary(game, budget=300, seed=seed) for seed in range(60)]
    misses = np.array([a.values for a in found]) - exact
    assert 0.8 < np.sqrt(np.mean(misses**2) / np.mean([a.std_error**2 for a in found])) < 1.25


@pytest.mark.parametrize("regularizer", ["ridge", "lasso", None])
@pytest.mark.parametrize("regressors", ["coalitions", "quartiles", "distances"])
def test_a_fit_does_not_depend_on_how_its_table_is_cut(monkeypatch, regressors, regularizer):
    rng = np.random.default_rng(3)
    x, data, w = rng.normal(size=(3, 9)), rng.normal(size=(20, 9)), rng.normal(size=9)
    keywords = {"regularizer": regularizer} | ({"alpha": 0.02} if regularizer else {})
    if regressors == "coalitions":
        keywords |= {"removal": "marginal", "kernel": lambda Z: Z.mean(axis=1) / Z.mean()}
    else:
        keywords["discretise"] = regressors == "quartiles"

    def explain(rows):
        return xai.explain(
            lambda z: np.tanh(z @ w) + z[:, 0] ** 2, rows, "lime", data=data, budget=700,
            tolerance=0.02, **keywords,
        )  # fmt: skip

    whole = explain(x)
    monkeypatch.setattr(
        "xai.streams.parts", lambda n, d: [slice(a, min(a + 37, n)) for a in range(0, n, 37)]
    )
    cut, alone = explain(x), explain(x[1:2])
    for name in ("values", "std_error"):
        of_whole = getattr(whole, name)
        np.testing.assert_allclose(getattr(cut, name), of_whole, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(getattr(alone, name)[0], of_whole[1], rtol=1e-9, atol=1e-12)
    for name, value in whole.info.items():
        np.testing.assert_allclose(cut.info[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("regularizer", ["ridge", "lasso", None])
@pytest.mark.parametrize("discretise", [True, False])
def test_rows_that_are_fitted_together_change_none_of_each_others_digits(discretise, regularizer):
    rng = np.random.default_rng(5)
    x, data = rng.normal(size=(2, 40, 6))
    keywords = {"regularizer": regularizer} | ({"alpha": 0.02} if regularizer else {})

    def explain(rows):
        return xai.explain(
            lambda z: np.tanh(z[:, 0]) + z[:, 1] * z[:, 2], rows, "lime", data=data, budget=300,
            discretise=discretise, **keywords,
        )  # fmt: skip

    together, alone = explain(x), [explain(x[i : i + 1]) for i in range(0, 40, 13)]
    for i, one in zip(range(0, 40, 13), alone, strict=True):
        np.testing.assert_array_equal(one.values[0], together.values[i])
        np.testing.assert_array_equal(one.std_error[0], together.std_error[i])
        for name, value in together.info.items():
            np.testing.assert_array_equal(one.info[name][0], value[i])


@pytest.mark.parametrize("regularizer", ["ridge", None])
def test_fewer_samples_than_players_are_fitted_as_many_are(regularizer):
    """As by the normal equations of all players; the fit itself solves those of the samples."""
    d, seen = 60, []
    w = np.random.default_rng(0).normal(size=d)

    def v(Z):
        seen.append(Z.astype(float))
        return np.tanh(Z @ w)

    keywords = {"regularizer": "ridge", "alpha": 0.3} if regularizer else {"regularizer": None}
    found = LinearFit(samples=25, **keywords)(game_of(v, d))
    Z = np.concatenate([seen[0][1:], *seen[1:]])  # x itself, then samples
    share = np.exp(-(d - Z.sum(axis=1)) / (2 * 0.75**2 * d))
    a, y = Z - np.average(Z, 0, share), v(Z) - np.average(v(Z), weights=share)
    gram = (a.T * share) @ a + (0.3 * np.eye(d) if regularizer else 0)
    phi = np.linalg.pinv(gram, rcond=1e-12) @ (a.T @ (share * y))
    intercept = np.average(v(Z) - Z @ phi, weights=share)
    assert len(Z) == 26
    np.testing.assert_allclose(found.values, phi, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.info["intercept"].ravel(), intercept, rtol=1e-8)
    missed = 1 - share @ (y - a @ phi) ** 2 / (share @ y**2)
    np.testing.assert_allclose(found.info["r2"].ravel(), missed, rtol=1e-8)
    assert np.isnan(found.std_error).all()


def test_a_lasso_of_fewer_samples_than_players_is_that_of_their_table():
    from sklearn.linear_model import Lasso

    d, seen = 60, []
    w = np.random.default_rng(0).normal(size=d)

    def v(Z):
        seen.append(Z.astype(float))
        return np.tanh(Z @ w)

    found = LinearFit("uniform", "lasso", alpha=0.02, samples=25)(game_of(v, d))
    Z = np.concatenate([seen[0][1:], *seen[1:]])  # x itself, then samples
    model = Lasso(alpha=0.02, tol=1e-12).fit(Z, v(Z))
    assert len(Z) == 26 and 0 < (found.values == 0).sum() < d
    np.testing.assert_allclose(found.values, model.coef_, atol=1e-6)
    np.testing.assert_allclose(found.info["intercept"].ravel(), model.intercept_, atol=1e-6)


@pytest.mark.parametrize("regularizer", ["ridge", None])
@pytest.mark.parametrize("extra", [1, 2])
def test_an_error_is_known_where_samples_outnumber_what_is_fitted(regularizer, extra):
    """By two at least, x itself among them: d slopes and an intercept are fitted."""
    d, w = 12, np.random.default_rng(0).normal(size=12)
    given = {} if regularizer else {"regularizer": None}
    found = LinearFit("uniform", samples=d + extra, **given)(game_of(lambda Z: np.tanh(Z @ w), d))
    assert np.isfinite(found.values).all()
    assert np.isfinite(found.std_error).all() == np.isfinite(found.std_error).any() == (extra == 2)


@pytest.mark.parametrize("discretise", [True, False])
def test_few_samples_of_rows_together_change_none_of_each_others_digits(discretise):
    x, data = np.random.default_rng(5).normal(size=(2, 9, 50))
    w = np.random.default_rng(6).normal(size=50)

    def explain(rows):
        return xai.explain(
            lambda z: np.tanh(z @ w), rows, "lime", data=data, samples=40, discretise=discretise
        )

    together, alone = explain(x), explain(x[4:5])
    np.testing.assert_array_equal(alone.values[0], together.values[4])


@pytest.mark.parametrize("discretise", [True, False])
def test_of_a_constant_nothing_is_left_to_fit(discretise):
    """.3 is no sum of powers of 2: its weighted mean may miss it by a digit."""
    x, data = np.random.default_rng(6).normal(size=(2, 20, 5))
    found = xai.explain(
        lambda z: np.full(len(z), 0.3), x, "lime", data=data, discretise=discretise
    )  # fmt: skip
    assert (found.values == 0).all() and (found.std_error == 0).all()
    assert np.isnan(found.info["r2"]).all() and (found.info["intercept"] == 0.3).all()


@pytest.mark.parametrize("singular", [False, True])
def test_an_inverse_of_many_players_is_that_of_eigenvalues(singular):
    z = np.random.default_rng(0).normal(size=(400, 200))
    if singular:
        z[:, 7] = z[:, 3]
    gram = z.T @ z
    expected = np.linalg.pinv(gram, rcond=1e-12, hermitian=True)
    np.testing.assert_allclose(pseudo_inverse(gram), expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("d", [20, 150])
def test_the_errors_of_shapleys_kernel_are_those_of_its_equations(d):
    """One draw of each pair, none enumerated: neighbours' spread about their mean, less leverage.

    150 players are more than whose errors are found in double precision.
    """
    w = np.random.default_rng(0).normal(size=d) / np.sqrt(d)
    rng = np.random.default_rng(1)
    weight, S = np.full(6 * d, 0.5 / d), rng.random((6 * d, d)) < 0.5
    design = Design(d, None)
    design._add(S, weight, copies=0, factor=np.ones(len(S)))
    y = np.tanh(S @ w) - np.tanh(~S @ w)
    values, variance = design.solve(y[None, :, None], np.zeros((1, 1)))
    z = S - 0.5
    z -= z.mean(axis=1, keepdims=True)
    solver = np.linalg.pinv((z.T * weight) @ z, rcond=1e-12)
    phi = solver @ (z.T @ (weight * y))
    leverage = weight * np.einsum("pi,ij,pj->p", z, solver, z)
    scores = (z @ solver) * (weight * (y - z @ phi) / np.sqrt(1 - leverage))[:, None]
    apart = scores[::2] - scores[1::2]
    np.testing.assert_allclose(values[0, :, 0], phi, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(variance[0, :, 0], (apart**2).sum(axis=0), rtol=1e-4)


# ------------------------------------------------------------------------------ the parts' form


@pytest.mark.parametrize("summary", ALL_SUMMARIES, ids=label)
def test_a_summary_is_frozen(summary):
    with pytest.raises(AttributeError):
        summary.seed = 3


@pytest.mark.parametrize(
    "summary", [s for s in ALL_SUMMARIES if "function" not in repr(s)], ids=label
)
def test_a_summary_repr_makes_it_again(summary):
    from xai import summary as names

    assert eval(repr(summary), vars(names)) == summary
