"""The laws that hold for every method: each test runs over the table of methods in conftest.py."""

from __future__ import annotations

import random
import re

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import xai

FIELDS = ("values", "base_values", "predictions", "std_error")


def assert_agree(one, other, exactly=False):
    """The same numbers: to the last bit, or to float error."""
    for field in FIELDS:
        a, b = getattr(one, field), getattr(other, field)
        if a is None or b is None:
            assert a is b is None, f"{field}: {a} against {b}"
        elif exactly:
            np.testing.assert_array_equal(a, b, err_msg=field)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=field)


# ----------------------------------------------------------- 1. same coalitions, the same answer


@pytest.mark.parametrize("batch_size", [1, 7, 64, 100_000])
def test_batch_size_changes_nothing(case, large, run, counting, batch_size):
    if batch_size == 1 and case.name == "exact_shapley":
        batch_size = 3  # 5,120 calls for each of three rows are slow
    model = counting(large.model)
    batched = run(case, large, model=model, batch_size=batch_size)
    default = run(case, large)
    assert model.largest <= batch_size
    assert batched.evaluations == default.evaluations
    assert_agree(batched, default)


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_workers_may_be_processes(large, backend):
    """joblib's backend of the moment makes the model calls: processes here, dask elsewhere."""
    model = LogisticRegression().fit(large.rows, large.y)
    keywords = {"data": large.data, "batch_size": 200, "budget": 1500}
    one = xai.explain(model, large.x, "permutation_shap", **keywords)
    with joblib.parallel_config(backend=backend):
        two = xai.explain(model, large.x, "permutation_shap", n_jobs=2, **keywords)
    assert_agree(one, two)
    assert one.evaluations == two.evaluations


def test_workers_share_what_an_ensemble_takes_in_one_call(large, monkeypatch):
    monkeypatch.setattr("xai.batches.BATCH_ROWS", 50)
    model = RandomForestClassifier(3, random_state=0).fit(large.rows, large.y)
    predict, largest = model.predict_proba, {}
    for jobs in (1, 2, 3):
        sizes = []

        def predict_proba(rows, sizes=sizes):
            sizes.append(len(rows))
            return predict(rows)

        monkeypatch.setattr(model, "predict_proba", predict_proba)
        keywords = {"data": large.data, "budget": 1500}
        xai.explain(model, large.x, "permutation_shap", n_jobs=jobs, **keywords)
        largest[jobs] = max(sizes)
    assert largest[2] == -(-largest[1] // 2) and largest[3] == -(-largest[1] // 3)


def test_n_jobs_changes_nothing(case, large, run):
    one, two = (run(case, large, n_jobs=jobs, batch_size=50) for jobs in (1, 2))
    assert one.evaluations == two.evaluations
    assert_agree(one, two)


def test_a_seed_repeats_itself(case, large, run):
    assert_agree(run(case, large, seed=3), run(case, large, seed=3), exactly=True)


def test_another_seed_draws_anew(sampling_case, large, run):
    one, other = (run(sampling_case, large, seed=seed) for seed in (3, 4))
    assert not np.allclose(one.values, other.values, rtol=1e-6)


def test_the_global_random_state_is_neither_set_nor_read(case, large, run):
    np.random.seed(11)
    random.seed(11)
    before, before_python = np.random.get_state(), random.getstate()
    one = run(case, large)
    after = np.random.get_state()
    assert before[0] == after[0] and before[2:] == after[2:]
    np.testing.assert_array_equal(before[1], after[1])
    assert before_python == random.getstate()
    np.random.seed(12)
    random.seed(12)
    assert_agree(one, run(case, large), exactly=True)


def test_each_row_is_explained_alone(local_case, large, run):
    together = run(local_case, large)
    for i in range(len(large.x)):
        keywords = {"y": large.y[i : i + 1]} if local_case.needs_y else {}
        alone = run(local_case, large, x=large.x[i : i + 1], **keywords)
        assert_agree(together[i], alone)


def test_several_rows_take_no_more_calls_than_one(local_case, large, run, counting):
    """Rows, coalitions and draws are one stream, which others cut at every row, or every draw."""
    alone, together = (counting(large.model) for _ in range(2))
    run(local_case, large, model=alone, x=large.x[:1])
    run(local_case, large, model=together)
    assert together.calls == alone.calls <= 4


def test_all_outputs_cost_no_more_than_one_and_agree(output_case, large, run, counting):
    model = counting(large.model)
    every = run(output_case, large, model=model, target="all")
    assert every.values.shape == (3, 8, 2)
    for target in (0, 1):
        one = run(output_case, large, target=target)
        assert one.evaluations == every.evaluations
        np.testing.assert_allclose(every.values[..., target], one.values, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(every.base_values[:, target], one.base_values, rtol=1e-12)
        np.testing.assert_allclose(every.predictions[:, target], one.predictions, rtol=1e-12)


# --------------------------------------------------------------------------- 2. an honest budget


@pytest.mark.parametrize("n", [1, 2, 3])
def test_evaluations_are_the_rows_that_the_model_saw(case, large, run, counting, n):
    model = counting(large.model)
    x = large.rows if case.data_set else large.x[:n]
    explanation = run(case, large, model=model, x=x)
    rows_explained = 1 if case.data_set else n
    assert explanation.evaluations == -(-model.rows // rows_explained)
    assert isinstance(explanation.evaluations, int)
    if case.budget is not None:
        assert explanation.evaluations <= case.budget


@pytest.mark.parametrize("budget", [400, 777, 3000])
def test_a_budget_is_never_exceeded(sampling_case, large, run, counting, budget):
    model, budget = counting(large.model), max(budget, sampling_case.least)
    x = large.rows if sampling_case.data_set else large.x[:1]
    explanation = run(sampling_case, large, model=model, x=x, budget=budget)
    assert model.rows == explanation.evaluations <= budget


def test_a_budget_that_reaches_makes_the_answer_exact(enumerating_case, small, run):
    explanation = run(enumerating_case, small, budget=100_000)
    assert explanation.std_error is None
    assert explanation.evaluations <= 2**5 * 6 + 1
    assert_agree(explanation, run(enumerating_case, small, budget=100_000, seed=9))


@pytest.mark.parametrize(
    "name", ["shapley", "permutation_shap", "kernel_shap", "banzhaf", "mean_when_included"]
)
def test_all_coalitions_are_enumerated_as_soon_as_they_fit(small, run, method_table, name):
    """Everything kept is one row; each other coalition costs the whole background."""
    enough = (2**5 - 1) * 6 + 1
    x = small.x[:1]
    exact = run(method_table[name], small, x=x, budget=enough)
    assert exact.std_error is None and exact.evaluations == enough
    sampled = run(method_table[name], small, x=x, budget=enough - 1)
    assert sampled.std_error is not None and sampled.evaluations < enough


def test_the_default_budget_is_honest_too(case, small, run, counting):
    model = counting(small.model)
    x = small.rows if case.data_set else small.x[:1]
    explanation = run(case, small, model=model, x=x, budget=None)
    assert explanation.evaluations == model.rows


def test_a_budget_too_small_names_the_least_that_works(case, large, run):
    check_the_least(case, large, run, np.arange(8))


@pytest.mark.parametrize("players", [2, 1])
def test_groups_name_the_least_that_works_too(grouping_case, large, run, players):
    check_the_least(grouping_case, large, run, np.arange(8) % players)


def check_the_least(case, large, run, ids):
    x = large.rows if case.data_set else large.x[:1]

    def explain(budget):
        return run(case, large, x=x, players=ids, budget=budget)

    with pytest.raises(ValueError, match="budget") as error:
        explain(1)
    numbers = {int(re.sub("[,_]", "", word)) for word in re.findall(r"\d[\d,_]*", str(error.value))}
    named = [number for number in numbers if 1 < number <= 100_000]
    assert named, f"no number in: {error.value}"

    def works(budget):
        try:
            return explain(budget).evaluations <= budget
        except ValueError:
            return False

    assert any(works(number) and not works(number - 1) for number in named), str(error.value)


# --------------------------------------------------------- 3. efficiency, dummies, symmetry


@pytest.mark.parametrize("budget", [400, 1500, None])
def test_shapley_values_sum_to_the_prediction(sum_case, large, run, budget):
    if sum_case.name == "exact_shapley":
        budget = None
    explanation = run(sum_case, large, budget=budget)
    total = explanation.values.sum(axis=1) + explanation.base_values
    np.testing.assert_allclose(total, explanation.predictions, rtol=0, atol=1e-12)


def test_shapley_values_of_every_output_sum_to_its_prediction(output_sum_case, large, run):
    explanation = run(output_sum_case, large, target="all")
    total = explanation.values.sum(axis=1) + explanation.base_values
    np.testing.assert_allclose(total, explanation.predictions, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_dummy_gets_exactly_nothing(dummy_case, small, large, run, size):
    problem = small if size == "small" else large

    def ignores_column_4(x):
        return problem.model(x[:, :5])

    explanation = run(dummy_case, problem, model=ignores_column_4)
    assert np.all(explanation.values[:, 4:] == 0)
    assert np.all(np.abs(explanation.values[:, :4]).max(axis=1) > 1e-3)
    if explanation.std_error is not None:
        assert np.all(explanation.std_error[:, 4:] == 0)


def test_a_dummy_gets_nothing_once_all_coalitions_are_known(known_dummy_case, small, run):
    explanation = run(known_dummy_case, small, budget=100_000)
    np.testing.assert_allclose(explanation.values[:, 4], 0, atol=1e-14)


@pytest.fixture(scope="module")
def twins(large):
    """The large problem with columns 2 and 3 alike, and a model that treats them alike."""
    from dataclasses import replace

    def alike(array):
        array = array.copy()
        array[:, 3] = array[:, 2]
        return array

    return replace(
        large,
        model=lambda x: large.model(x[:, :5]),
        x=alike(large.x),
        rows=alike(large.rows),
        data=alike(large.data),
    )


def test_symmetric_players_get_equal_values_in_expectation(case, twins, run):
    if not case.samples:
        values = run(case, twins).values
        np.testing.assert_allclose(values[:, 2], values[:, 3], rtol=0, atol=1e-12)
        return
    gaps = []
    for seed in range(30):
        values = run(case, twins, budget=max(600, case.least), seed=seed).values
        gaps.append(values[:, 2] - values[:, 3])
    error = np.std(gaps, axis=0, ddof=1) / np.sqrt(len(gaps))
    assert np.all(np.abs(np.mean(gaps, axis=0)) <= 4.5 * error + 1e-12)


# --------------------------------------------------------------------------- 4. inputs untouched


def test_inputs_are_not_written_to(case, large, run):
    x, rows, y, data = (a.copy() for a in (large.x, large.rows, large.y, large.data))
    given = {"x": rows if case.data_set else x, "data": data}
    if case.needs_y:
        given["y"] = y[: len(given["x"])]
    run(case, large, **given)
    for mine, original in ((x, large.x), (rows, large.rows), (y, large.y), (data, large.data)):
        np.testing.assert_array_equal(mine, original)


def test_the_model_may_write_to_what_it_is_given(case, large, run):
    """A model that scribbles over its input spoils neither the caller's arrays nor the answer."""

    def scribbler(x):
        out = large.model(x)
        x[...] = np.nan
        return out

    x = (large.rows if case.data_set else large.x).copy()
    data = large.data.copy()
    assert_agree(run(case, large, model=scribbler, x=x, data=data), run(case, large, x=x))
    assert np.isfinite(x).all() and np.isfinite(data).all()


# -------------------------------------------------------------------------------- 5. no silence


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_names_the_explained_row(case, large, run, value):
    rows = (large.rows if case.data_set else large.x).copy()
    rows[1, 0] = 99.0

    def model(x):
        return np.where((x[:, 0] == 99.0)[:, None], value, large.model(x))

    with pytest.raises(ValueError, match=r"(?i)nan|inf|finite") as error:
        run(case, large, model=model, x=rows)
    named = re.search(r"rows?\b[^0-9]*((?:\d+[, and]*)+)", str(error.value))
    assert named, str(error.value)
    if not case.data_set:
        assert [int(row) for row in re.findall(r"\d+", named[1])] == [1], str(error.value)


def test_an_iteration_of_the_models_that_ends_is_an_error(case, small, run, counting):
    """One output would stand for all that a batch of one and its followers were to give."""
    whole = counting(small.model)
    removal = {"removal": "baseline"} if case.default_removal == "Marginal" else {}
    run(case, small, model=whole, batch_size=1, **removal)
    for last in sorted({2, len(small.x) + 1, len(small.x) + 3, whole.calls // 2, whole.calls}):
        model = counting(small.model)

        def ending(x, model=model, last=last):
            return next(iter(())) if model.calls + 1 == last else model(x)

        with pytest.raises((StopIteration, RuntimeError)) as error:
            run(case, small, model=ending, batch_size=1, **removal)
        assert isinstance(error.value.__cause__ or error.value, StopIteration)


def test_the_whole_background_is_used(background_case, large, run, counting):
    """Every background row's mark reaches the model: no silent subsampling."""
    model = counting(large.model)
    run(background_case, large, model=model, budget=5000 if background_case.samples else None)
    seen = set(np.concatenate([x[:, 0] for x in model.seen]))
    assert set(large.data[:, 0]) <= seen


# --------------------------------------------------------------------------------- 7. terminates


@pytest.mark.parametrize("keywords", [{}, {"tolerance": 0.01}], ids=["plain", "tolerance"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_a_constant_model_gives_nothing_to_every_player(case, large, run, keywords, outputs):
    def constant(x):
        return np.full((len(x), outputs), 0.5)

    explanation = run(case, large, model=constant, **keywords)
    expected = 0.0 if case.change else 0.5
    np.testing.assert_allclose(explanation.values, expected, rtol=0, atol=1e-12)
    if explanation.std_error is not None:
        np.testing.assert_allclose(explanation.std_error, 0, atol=1e-12)
    if keywords and explanation.converged is not None:
        assert explanation.converged.all()


@pytest.mark.parametrize("keywords", [{}, {"tolerance": 0.01}], ids=["plain", "tolerance"])
def test_a_single_player_carries_the_whole_change(case, run, large, keywords):
    def model(x):
        p = x[:, 0] ** 2 / (1 + x[:, 0] ** 2)
        return np.stack([1 - p, p], axis=1)

    x = (large.rows if case.data_set else large.x)[:, :1]
    explanation = run(case, large, model=model, x=x, data=large.data[:, :1], **keywords)
    assert explanation.values.shape == ((1, 1) if case.data_set else (3, 1))
    change = explanation.predictions - explanation.base_values
    if case.name == "mean_when_included":
        np.testing.assert_allclose(explanation.values[:, 0], explanation.predictions, atol=1e-12)
    elif case.sums or case.name in ("occlusion", "include_one", "banzhaf"):
        np.testing.assert_allclose(explanation.values[:, 0], change, rtol=0, atol=1e-12)
    else:
        assert np.isfinite(explanation.values).all()


def test_a_range_of_no_width_gives_nothing_to_every_player(case, large, run):
    """x equal to every background row: removing changes nothing."""
    data = np.repeat(large.x[:1], 5, axis=0)
    x = np.repeat(large.x[:1], 12, axis=0) if case.data_set else large.x[:1]
    explanation = run(case, large, x=x, data=data)
    if case.change:
        np.testing.assert_allclose(explanation.values, 0, rtol=0, atol=1e-12)
    else:
        every = np.broadcast_to(explanation.predictions[:, None], explanation.values.shape)
        np.testing.assert_allclose(explanation.values, every, atol=1e-12)


def test_a_symmetric_game_terminates_under_a_tolerance(case, large, run):
    """All players alike: the range of the values is zero but for noise."""

    def model(x):
        p = 1 / (1 + (x * x).sum(axis=1))
        return np.stack([1 - p, p], axis=1)

    column = large.x[:, :1]
    x = np.repeat(large.rows[:, :1] if case.data_set else column, 8, axis=1)
    data = np.repeat(large.data[:, :1], 8, axis=1)
    explanation = run(case, large, model=model, x=x, data=data, tolerance=0.01)
    assert np.isfinite(explanation.values).all()


# ------------------------------------------------------------------------------------ dtypes


def test_float64_in_is_float64_out(case, large, run):
    explanation = run(case, large)
    assert explanation.values.dtype == np.float64
    assert explanation.base_values.dtype == np.float64
    assert explanation.predictions.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_values_are_at_least_float32(local_case, large, run, dtype):
    def model(x):
        return large.model(x).astype(dtype)

    values = run(local_case, large, model=model).values
    assert values.dtype in (np.float32, np.float64)
    reference = run(local_case, large).values
    np.testing.assert_allclose(values, reference, atol=50 * np.finfo(dtype).eps)


def test_auto_is_a_method_and_records_what_ran(large):
    explanation = xai.explain(large.model, large.x, data=large.data)
    names = {record.name for record in xai.methods()}
    assert explanation.method in names
    named = xai.explain(large.model, large.x, explanation.method, data=large.data)
    assert_agree(explanation, named)
