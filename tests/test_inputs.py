"""Kinds of x and kinds of model: the model is called with what it was made for."""

from __future__ import annotations

import weakref
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier

import xai
from xai import tables
from xai.composition import soft
from xai.inputs import read, widest
from xai.model import wrap
from xai.removal import Baseline, sampled
from xai.removal.base import Context
from xai.text import read_text, tokens_of, words_of

# --------------------------------------------------------------------------------- NumPy arrays


def test_one_dimension_is_a_batch_of_one(line):
    one = xai.explain(line.model, line.x[0], "shapley", data=line.data)
    batch = xai.explain(line.model, line.x[:1], "shapley", data=line.data)
    assert one.values.shape == (1, 4)
    np.testing.assert_array_equal(one.values, batch.values)


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_the_memory_layout_does_not_matter(line, order):
    x = line.x[:4]
    x = np.repeat(x, 2, axis=0)[::2] if order == "strided" else np.asarray(x, order=order)
    explanation = xai.explain(line.model, x, "shapley", data=line.data)
    reference = xai.explain(line.model, line.x[:4].copy(), "shapley", data=line.data)
    np.testing.assert_allclose(explanation.values, reference.values, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32, np.uint8, bool])
def test_the_model_sees_the_dtype_of_x(counting, dtype):
    """Where replacements are of the same kind, columns keep their dtype."""
    rng = np.random.default_rng(0)
    x, data = (rng.integers(0, 2, size=(n, 3)).astype(dtype) for n in (2, 5))
    model = counting(lambda rows: rows[:, 0] * 2.0 + rows[:, 1])
    xai.explain(model, x, "shapley", data=data)
    assert {rows.dtype for rows in model.seen} == {np.dtype(dtype)}


@pytest.mark.parametrize(("value", "kind"), [(0, "i"), (3.0, "i"), (0.5, "f")])
def test_integers_become_float_only_where_a_replacement_is_not_integral(counting, value, kind):
    x = np.array([[1, 2, 3], [4, 5, 6]])
    model = counting(lambda rows: rows.sum(axis=1) * 1.0)
    explanation = xai.explain(model, x, "occlusion", removal=Baseline(value))
    kinds = {rows.dtype.kind for rows in model.seen}
    assert kinds == {kind} or kinds == {"i", kind}  # x itself may stay as it is
    np.testing.assert_allclose(explanation.values, x - value)


def test_integers_are_not_truncated_by_a_mean():
    x, data = np.array([[4, 6]]), np.array([[1, 2], [2, 3]])
    explanation = xai.explain(
        lambda rows: rows.sum(axis=1) * 1.0, x, "occlusion", removal=Baseline("mean"), data=data
    )
    np.testing.assert_allclose(explanation.values, [[2.5, 3.5]])


def test_large_integers_survive(counting):
    """Identifiers beyond 2^53 reach the model as they are."""
    big = 2**60 + 1
    x, data = np.array([[big, 1]]), np.array([[big - 2, 0], [big - 4, 3]])
    model = counting(lambda rows: (rows[:, 0] == big) * 1.0)
    explanation = xai.explain(model, x, "shapley", data=data)
    np.testing.assert_allclose(explanation.values, [[1.0, 0.0]])


def test_float64_values_are_not_rounded_to_float32(line):
    x = line.x[:1] + 1e-12
    a = xai.explain(line.model, x, "shapley", data=line.data).values
    b = xai.explain(line.model, line.x[:1], "shapley", data=line.data).values
    np.testing.assert_allclose(a - b, line.w[None] * 1e-12, atol=1e-14)
    assert not np.array_equal(a, b)


@pytest.mark.parametrize(("own", "other"), [("int32", "float32"), ("int64", "float64")])
def test_a_float_just_beyond_the_largest_integer_does_not_wrap(own, other):
    x, beyond = np.ones((1, 2), own), np.full(2, float(np.iinfo(own).max) + 1, other)
    values = xai.explain(lambda z: z[:, 0] * 1.0, x, "occlusion", removal=Baseline(beyond)).values
    np.testing.assert_array_equal(values, [[1.0 - float(beyond[0]), 0.0]])


@pytest.fixture(params=["array", "tensor"])
def kind(request):
    """What makes rows of numbers, and what names their dtype."""
    if request.param == "array":
        return np.array
    torch = pytest.importorskip("torch")
    return lambda rows, dtype: torch.tensor(rows, dtype=getattr(torch, dtype))


def first_column(counting):
    """A model that hands numbers on as they are, and its counter."""
    return counting(lambda rows: rows[:, 0])


def dtypes_seen(model):
    return {str(rows.dtype).removeprefix("torch.") for rows in model.seen}


def test_replacements_that_float32_cannot_hold_are_not_rounded(counting, kind):
    x, tenth = kind([[1.0, 2.0], [3.0, 4.0]], dtype="float32"), kind([0.1, 0.7], dtype="float64")
    for keywords in [{"data": tenth[None]}, {"removal": Baseline(tenth)}]:
        model = first_column(counting)
        explanation = xai.explain(model, x, "occlusion", **keywords)
        np.testing.assert_array_equal(explanation.values, [[1 - 0.1, 0], [3 - 0.1, 0]])
        assert dtypes_seen(model) == {"float32", "float64"}  # x itself stays as it is


def test_replacements_that_float32_holds_leave_it_alone(counting, kind):
    x = kind([[1.0, 2.0], [3.0, 4.0]], dtype="float32")
    plain = [[0.5, np.nan], [-3.0, 2.0**100]]
    for data in [kind(plain, dtype="float64"), kind([[1, 2**24]], dtype="int64")]:
        model = first_column(counting)
        xai.explain(model, x, "shapley", data=data)
        assert dtypes_seen(model) == {"float32"}


def test_integers_beyond_float32_widen_it(counting, kind):
    x, data = kind([[1.0, 2.0]], dtype="float32"), kind([[2**24 + 1, 0]], dtype="int64")
    model = first_column(counting)
    explanation = xai.explain(model, x, "occlusion", data=data)
    np.testing.assert_array_equal(explanation.values, [[-(2.0**24), 0]])


def test_integers_are_not_rounded_beside_a_fraction(counting, kind):
    x, half = kind([[2**24 + 1, 2]], dtype="int64"), kind([0.5, 0.5], dtype="float32")
    explanation = xai.explain(first_column(counting), x, "include_one", removal=Baseline(half))
    np.testing.assert_array_equal(explanation.values, [[2**24 + 0.5, 0]])


@pytest.mark.parametrize("method", ["lime", "qii", "permutation_shap"])
def test_sampled_rows_of_a_wider_dtype(kind, method):
    """Values of a float32 x beside a float64 background are those of a float64 x."""
    rng = np.random.default_rng(0)
    x, data = kind(rng.normal(size=(2, 6)), dtype="float32"), rng.normal(size=(20, 6))
    data = kind(data, dtype="float64")
    wide = x.double() if hasattr(x, "double") else x.astype(float)

    def model(rows):
        return rows[:, 0] * rows[:, 1] + rows[:, 2] * rows[:, 3]

    one, other = (xai.explain(model, part, method, data=data, budget=300) for part in (x, wide))
    np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-6)


TREES = [
    "DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor",
    "RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier",
    "ExtraTreesRegressor", "GradientBoostingClassifier", "GradientBoostingRegressor",
    "HistGradientBoostingClassifier",
]  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_trees_are_given_the_precision_that_they_read(name, monkeypatch):
    """Numbers between two floats32 go where the tree itself would send them, to the last bit."""
    import sklearn.ensemble
    import sklearn.tree

    kind = getattr(sklearn.ensemble, name, None) or getattr(sklearn.tree, name)
    rng = np.random.default_rng(0)
    rows = 1 + rng.integers(0, 40, (80, 5)) * 2.0**-26  # five doubles to each float32
    y = (rows.sum(axis=1) + 2.0**-25 * rng.normal(size=80) > rows.sum(axis=1).mean()).astype(int)
    model = kind(max_depth=4, random_state=0).fit(rows, y)
    own = type("Own", (kind,), {})(**model.get_params()).fit(rows, y)  # may look at its rows
    call = "predict_proba" if "Classifier" in name else "predict"
    seen = {}
    for estimator in (model, own):
        inner = getattr(estimator, call)

        def counted(x, inner=inner, key=estimator):
            seen.setdefault(key, []).append(np.asarray(x))
            return inner(x)

        monkeypatch.setattr(estimator, call, counted, raising=False)
    options = {"data": rows[:20], "estimator": "permutation", "target": "all", "budget": 300}
    found, doubles = (xai.explain(m, rows[70:], "shapley", **options) for m in (model, own))
    np.testing.assert_array_equal(found.values, doubles.values)
    np.testing.assert_array_equal(found.std_error, doubles.std_error)
    kinds = [{x.dtype for x in seen[m] if len(x) > 30} for m in (model, own)]
    single = np.dtype(np.float64 if "Hist" in name else np.float32)
    assert kinds == [{single}, {np.dtype(np.float64)}]
    counts = rng.integers(0, 9, (80, 5))
    seen.clear()
    model.fit(counts, y)
    xai.explain(model, counts[70:], "shapley", data=counts[:20], estimator="permutation")
    assert {x.dtype for x in seen[model]} == {counts.dtype}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")  # the forest's
def test_what_a_forest_refuses_is_its_own_to_say():
    """A number beyond single precision: the message tells nothing of a dtype that nobody chose."""
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    model = RandomForestClassifier(5, random_state=0).fit(x, x[:, 0] > 0)
    far = x.copy()
    far[3, 1] = 1e200
    with pytest.raises(ValueError, match="too large for dtype") as refused:
        xai.explain(model, x[:2], "shapley", data=far, estimator="permutation")
    assert not getattr(refused.value, "__notes__", [])


def test_columns_of_a_frame_stay_float32_where_that_holds_all_of_data(counting):
    pd = pytest.importorskip("pandas")
    x = pd.DataFrame({"a": np.float32([1, 2]), "w": ["yes", "no"]})
    for value, dtype in [(0.5, "float32"), (0.1, "float64")]:
        model = counting(lambda frame: frame["a"].to_numpy())
        data = pd.DataFrame({"a": [value], "w": ["no"]})
        explanation = xai.explain(model, x, "occlusion", data=data)
        np.testing.assert_array_equal(explanation.values, [[1 - value, 0], [2 - value, 0]])
        assert str(model.seen[-1].dtypes["a"]) == dtype


@pytest.mark.filterwarnings("error")
def test_numbers_whose_sum_is_infinite_are_taken_without_a_warning():
    def model(z):
        return np.where(z[:, 0] > 0, 3e38, 2e38).astype(np.float32)

    values = xai.explain(model, np.ones((2, 2)), "occlusion", removal="baseline").values
    np.testing.assert_allclose(values, [[1e38, 0.0]] * 2, rtol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gap", [np.nan, np.inf])
def test_soft_masks_take_gaps_away_without_a_warning(gap):
    x = np.array([[1.0, gap, 3.0]])
    inputs = read(x)
    draws = Baseline(0).bind(Context(inputs, None, 0))
    compose = soft(inputs, xai.players.Elements().encode(inputs, None), draws)
    made = compose(np.array([[0.5, 0.0, 1.0]]))(*np.zeros((3, 1), np.intp))
    np.testing.assert_array_equal(made, [[0.5, 0.0, 3.0]])


def test_nan_is_explained_where_the_model_takes_it():
    from sklearn.ensemble import HistGradientBoostingRegressor

    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    X[::4, 1] = np.nan
    y = np.where(np.isnan(X[:, 1]), 3.0, X[:, 0])
    model = HistGradientBoostingRegressor(max_iter=10, min_samples_leaf=5).fit(X, y)
    explanation = xai.explain(model, X[:4], "shapley", data=X[1:9])
    total = explanation.values.sum(axis=1) + explanation.base_values
    np.testing.assert_allclose(total, model.predict(X[:4]), atol=1e-10)
    assert explanation.values[0, 1] > 0.5


# ----------------------------------------------------------------------------------- DataFrames


@pytest.fixture
def pd():
    return pytest.importorskip("pandas")


class Recorder:
    """A callable on DataFrames that notes columns, dtypes and type."""

    def __init__(self, weights):
        self.weights, self.seen = weights, []

    def __call__(self, frame):
        self.seen.append((type(frame), list(frame.columns), [str(t) for t in frame.dtypes]))
        return sum(np.asarray(frame[c], dtype=float) * w for c, w in self.weights.items())


def test_a_callable_receives_the_frame_that_x_is(pd):
    x = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": [3, 4]})
    data = pd.DataFrame({"a": [7, 8], "b": [0.0, 1.0], "c": [1, 1]})
    model = Recorder({"a": 2, "b": 1, "c": -1})
    explanation = xai.explain(model, x, "shapley", data=data)
    expected = (x - data.mean()).to_numpy() * [2, 1, -1]
    np.testing.assert_allclose(explanation.values, expected, atol=1e-12)
    for kind, columns, dtypes in model.seen:
        assert kind is pd.DataFrame
        assert columns == ["a", "b", "c"]
        assert dtypes == ["int64", "float64", "int64"]


@pytest.mark.parametrize(("value", "dtype"), [(0, "int64"), (0.5, "float64")])
def test_integer_columns_become_float_only_for_a_fraction(pd, value, dtype):
    x = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
    model = Recorder({"a": 2, "b": 1})
    explanation = xai.explain(model, x, "occlusion", removal=Baseline(value))
    np.testing.assert_allclose(explanation.values, (x.to_numpy() - value) * [2, 1])
    kinds = {dtypes[0] for _, _, dtypes in model.seen}
    assert kinds == {dtype} or kinds == {"int64", dtype}  # x itself may stay as it is


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("dtype", ["Int64", "UInt8", "boolean"])
@pytest.mark.parametrize("method", ["lime", "ime", "shapley"])
def test_missing_integers_are_missing_numbers(library, dtype, method):
    """They keep their dtype, and a row's answer does not depend on whether another lacks one."""
    table = missing_numbers(library, dtype)
    data, x, own = table([1, 0, 1, 1] * 5), table([1, None, 0]), table([1]).dtypes
    seen = []

    def model(frame):
        seen.append(list(frame.dtypes) == list(own))
        return np.array([-5.0 if v is None or v != v else float(v) for v in numbers_of(frame)])

    together = xai.explain(model, x, method, data=data, budget=2000)
    assert all(seen)
    for i, value in enumerate([1, None, 0]):
        alone = xai.explain(model, table([value]), method, data=data, budget=2000)
        np.testing.assert_array_equal(together[i].values, alone.values)


@pytest.mark.parametrize("dtype", ["Float32", "Float64"])
@pytest.mark.parametrize("where", ["x", "data", "removal"])
def test_missing_floats_of_polars_stay_missing(dtype, where):
    """They are null for `fill_null`, and NaN where that is what the frames hold."""
    pl = pytest.importorskip("polars")

    def table(*cells):
        return pl.DataFrame({"a": pl.Series(cells, dtype=getattr(pl, dtype)), "b": [1.0, 2.0]})

    def model(frame):
        assert frame.schema == x.schema
        return frame["a"].fill_nan(10.0).fill_null(100.0).to_numpy()

    for gap, told in ((None, 100.0), (float("nan"), 10.0)):
        x, other = table(2.0, gap if where == "x" else 3.0), table(5.0, gap)
        removal = xai.removal.Marginal(other if where == "removal" else table(5.0, 7.0))
        how = {"data": other} if where == "data" else {"removal": removal}
        values = xai.explain(model, x, "occlusion", **how).values
        mean = (5.0 + (7.0 if where == "x" else told)) / 2
        np.testing.assert_allclose(values[0], [2.0 - mean, 0.0])
        np.testing.assert_allclose(values[1], [(told if where == "x" else 3.0) - mean, 0.0])


@pytest.mark.parametrize("dtype", ["Int64", "Boolean"])
def test_missing_integers_of_polars_stay_missing_among_fractions(dtype):
    """They are null for `fill_null` where a replacement makes floats of the others."""
    pl = pytest.importorskip("polars")
    cells = pl.Series([1, None, 0], dtype=pl.Int64).cast(getattr(pl, dtype))
    x = pl.DataFrame({"a": cells, "b": [1.0, 2.0, 3.0]})

    def model(frame):
        return frame["a"].cast(pl.Float64).fill_null(10.0).to_numpy()

    gone = xai.explain(model, x, "occlusion", removal=xai.removal.Baseline([0.25, 0.0]))
    np.testing.assert_allclose(gone.values, [[0.75, 0.0], [9.75, 0.0], [-0.25, 0.0]])
    noisy = xai.explain(model, x, "occlusion", removal=xai.removal.Noise(0.1)).values
    assert noisy[0, 0] != 0 and noisy[1, 0] == 0


def missing_numbers(library, dtype):
    """Makes tables of one column, which may have missing cells."""
    if library == "pandas":
        pd = pytest.importorskip("pandas")
        return lambda cells: pd.DataFrame({"a": pd.array(cells, dtype=dtype)})
    pl = pytest.importorskip("polars")
    kind = {"Int64": pl.Int64, "UInt8": pl.UInt8, "boolean": pl.Boolean}[dtype]
    return lambda cells: pl.DataFrame({"a": pl.Series(cells, dtype=pl.Int64).cast(kind)})


def numbers_of(frame):
    return [None if v is None or str(v) == "<NA>" else v for v in frame["a"].to_list()]


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "float32", "bool", "Int64", "Float64"])
def test_dtypes_of_columns_are_kept(pd, dtype):
    x = pd.DataFrame({"a": pd.Series([1, 0], dtype=dtype), "b": [0.5, 1.5]})
    data = pd.DataFrame({"a": pd.Series([1, 0, 1], dtype=dtype), "b": [0.0, 1.0, 2.0]})
    model = Recorder({"a": 2, "b": 1})
    xai.explain(model, x, "shapley", data=data)
    assert {tuple(dtypes) for _, _, dtypes in model.seen} == {(dtype, "float64")}


def test_a_frame_is_not_written_to(pd, mixed):
    x, data = mixed.x.copy(deep=True), mixed.data.copy(deep=True)
    xai.explain(mixed.pipeline, x, "shapley", data=data)
    pd.testing.assert_frame_equal(x, mixed.x)
    pd.testing.assert_frame_equal(data, mixed.data)


@pytest.mark.parametrize(
    "method", ["occlusion", "include_one", "shapley", "kernel_shap", "banzhaf", "lime", "qii"]
)
def test_a_pipeline_on_a_mixed_table(mixed, method):
    """Strings, categories, integers: the columns reach the ColumnTransformer unchanged."""
    explanation = xai.explain(mixed.pipeline, mixed.x, method, data=mixed.data, target=1)
    assert explanation.values.shape == (3, 4)
    assert list(explanation.feature_names) == ["age", "income", "town", "grade"]
    p = mixed.pipeline.predict_proba(mixed.x)[:, 1]
    np.testing.assert_allclose(explanation.predictions, p, atol=1e-12)
    if method in ("shapley", "kernel_shap"):
        base = mixed.pipeline.predict_proba(mixed.data)[:, 1].mean()
        np.testing.assert_allclose(explanation.base_values, base, atol=1e-12)
        total = explanation.values.sum(axis=1) + explanation.base_values
        np.testing.assert_allclose(total, p, atol=1e-12)


def test_a_mixed_table_against_brute_force(mixed):
    """One column at a time, its values swapped for the background's by hand."""
    explanation = xai.explain(mixed.pipeline, mixed.x, "occlusion", data=mixed.data, target=1)
    for i in range(3):
        for j, column in enumerate(mixed.frame.columns):
            rows = mixed.x.iloc[[i] * len(mixed.data)].reset_index(drop=True)
            rows[column] = mixed.data[column].reset_index(drop=True)
            here = mixed.pipeline.predict_proba(mixed.x.iloc[[i]])[0, 1]
            gone = mixed.pipeline.predict_proba(rows)[:, 1].mean()
            np.testing.assert_allclose(explanation.values[i, j], here - gone, atol=1e-12)


def test_columns_are_matched_by_name(mixed):
    """Reordered columns: the same value for each name, in x's own order."""
    order = ["grade", "income", "age", "town"]
    one = xai.explain(mixed.pipeline, mixed.x, "shapley", data=mixed.data)
    for x, data in [
        (mixed.x[order], mixed.data),
        (mixed.x[order], mixed.data[order]),
        (mixed.x, mixed.data[order]),
    ]:
        other = xai.explain(mixed.pipeline, x, "shapley", data=data)
        assert list(other.feature_names) == list(x.columns)
        places = [list(mixed.x.columns).index(c) for c in x.columns]
        np.testing.assert_allclose(other.values, one.values[:, places], atol=1e-12)


def test_a_callable_gets_the_columns_in_xs_own_order(pd):
    x = pd.DataFrame({"b": [1.0], "a": [2.0]})
    data = pd.DataFrame({"a": [0.0, 1.0], "b": [5.0, 6.0]})
    model = Recorder({"a": 10, "b": 1})
    explanation = xai.explain(model, x, "occlusion", data=data)
    np.testing.assert_allclose(explanation.values, [[1 - 5.5, 20 - 5]])
    assert {tuple(columns) for _, columns, _ in model.seen} == {("b", "a")}


def test_a_frames_index_does_not_matter(mixed):
    x = mixed.x.set_index([["u", "v", "w"]])
    one = xai.explain(mixed.pipeline, x, "shapley", data=mixed.data)
    other = xai.explain(mixed.pipeline, mixed.x, "shapley", data=mixed.data)
    np.testing.assert_array_equal(one.values, other.values)


def test_a_series_is_a_batch_of_one(mixed):
    """Its dtypes are those of data: a row of a mixed table is a Series of objects."""
    one = xai.explain(mixed.pipeline, mixed.x.iloc[0], "shapley", data=mixed.data)
    batch = xai.explain(mixed.pipeline, mixed.x.iloc[:1], "shapley", data=mixed.data)
    assert one.values.shape == (1, 4)
    np.testing.assert_allclose(one.values, batch.values, atol=1e-12)
    assert list(one.feature_names) == list(mixed.x.columns)


def test_a_series_takes_its_dtypes_from_data(pd):
    data = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, 2.5]})
    model = Recorder({"a": 2, "b": 1})
    xai.explain(model, pd.Series({"a": 2.0, "b": 1.0}), "shapley", data=data)
    assert {tuple(dtypes) for _, _, dtypes in model.seen} == {("int64", "float64")}


def test_a_category_that_x_lacks_reaches_the_model(pd):
    """Categories of x and of data are joined; no value turns into a missing one."""
    x = pd.DataFrame({"c": pd.Categorical(["low"]), "n": [1.0]})
    data = pd.DataFrame({"c": pd.Categorical(["top", "mid", "top"]), "n": [0.0, 1.0, 2.0]})

    def model(frame):
        assert not frame["c"].isna().any()
        return (frame["c"] == "top").to_numpy() * 1.0

    explanation = xai.explain(model, x, "occlusion", data=data)
    np.testing.assert_allclose(explanation.values, [[-2 / 3, 0]], atol=1e-12)


def test_dates_and_missing_strings_reach_the_model(pd):
    x = pd.DataFrame({"day": pd.to_datetime(["2024-05-01"]), "word": ["yes"]})
    data = pd.DataFrame({"day": pd.to_datetime(["2023-01-01", "2025-01-01"]), "word": [None, "no"]})

    def model(frame):
        late = frame["day"] > pd.Timestamp("2024-01-01")
        return late.to_numpy() * 1.0 + frame["word"].isna().to_numpy() * 10.0

    explanation = xai.explain(model, x, "occlusion", data=data)
    np.testing.assert_allclose(explanation.values, [[0.5, -5.0]], atol=1e-12)


def test_objects_stay_objects_where_all_of_a_batch_are_strings(pd):
    cells = pd.Series(["yes", None, "no", None], dtype=object)
    x = pd.DataFrame({"word": cells, "number": [1.0, 2.0, 3.0, 4.0]})

    def model(frame):
        assert frame.dtypes.equals(x.dtypes)
        return np.array([float(word is None) for word in frame["word"]])

    explanation = xai.explain(model, x[:2], "occlusion", data=x[2:])
    np.testing.assert_array_equal(explanation.values, [[-0.5, 0.0], [0.5, 0.0]])


def test_an_estimator_fitted_without_names_takes_a_frame(pd, line):
    frame = pd.DataFrame(line.x, columns=list("abcd"))
    explanation = xai.explain(line.model, frame.iloc[:2], "shapley", data=frame.iloc[10:20])
    reference = xai.explain(line.model, line.x[:2], "shapley", data=line.data)
    np.testing.assert_allclose(explanation.values, reference.values, atol=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_an_estimator_takes_tensors(pd, torch, dtype, named):
    from sklearn.linear_model import LinearRegression

    rows = np.random.default_rng(0).integers(0, 9, size=(20, 3)).astype(np.float32)
    model = LinearRegression().fit(pd.DataFrame(rows, columns=list("abc")) if named else rows, rows)
    x = torch.tensor(rows).to(getattr(torch, dtype))
    reference = xai.explain(model, rows[:2], "occlusion", data=rows, target=0)
    for data in (x, rows):
        explanation = xai.explain(model, x[:2], "occlusion", data=data, target=0)
        np.testing.assert_allclose(explanation.values, reference.values, atol=1e-5)
    explanation = xai.explain(model, rows[:2], "occlusion", data=x, target=0)
    np.testing.assert_allclose(explanation.values, reference.values, atol=1e-5)


@pytest.mark.parametrize("dtypes", [{"a": "Int64"}, {"a": "Float64", "b": "boolean"}])
def test_an_estimator_fitted_without_names_takes_missing_numbers_of_frames(pd, dtypes):
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, size=(200, 3)).astype(float)
    x[rng.random(x.shape) < 0.2] = np.nan
    model = HistGradientBoostingClassifier(max_iter=5).fit(x, x[:, 0] == 1)
    frame = pd.DataFrame(x, columns=list("abc")).astype(dtypes)
    explanation = xai.explain(model, frame[:3], "shapley", data=frame[:20])
    reference = xai.explain(model, x[:3], "shapley", data=x[:20])
    np.testing.assert_array_equal(explanation.values, reference.values)


@pytest.mark.filterwarnings("error")
def test_an_estimator_fitted_on_a_frame_takes_arrays_without_a_warning(pd):
    from sklearn.linear_model import LinearRegression

    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3)), columns=list("abc"))
    model = LinearRegression().fit(frame, frame["a"] * 2)
    explanation = xai.explain(model, frame.to_numpy()[:2], "shapley", data=frame.to_numpy()[5:9])
    np.testing.assert_allclose(explanation.values[:, 1:], 0, atol=1e-10)


class ByName(ClassifierMixin, BaseEstimator):
    """As CatBoost: it knows the names of its columns by another attribute than scikit-learn's."""

    __module__ = "catboost.core"

    def fit(self, X, y):
        self.feature_names_ = [str(c) for c in getattr(X, "columns", range(X.shape[1]))]
        self.n_features_in_, self.classes_ = X.shape[1], np.unique(y)
        return self

    def predict_proba(self, X):
        columns = X[self.feature_names_].to_numpy() if hasattr(X, "columns") else X
        p = 1 / (1 + np.exp(-columns @ np.arange(1.0, 4.0)))
        return np.stack([1 - p, p], axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(1)]


@pytest.mark.parametrize("made", [ByName, lambda: GridSearchCV(ByName(), {}, cv=2)])
def test_columns_go_by_the_names_that_catboost_knows(pd, made):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3)), columns=list("abc"))
    y = frame["a"] > 0
    model, turned = made().fit(frame, y), frame[["c", "b", "a"]]
    explanation = xai.explain(model, turned[:3], "shapley", data=frame[5:15], target=1)
    np.testing.assert_array_equal(explanation.predictions, model.predict_proba(turned[:3])[:, 1])
    reference = xai.explain(model, frame[:3], "shapley", data=frame[5:15], target=1)
    np.testing.assert_allclose(explanation.values, reference.values[:, ::-1], atol=1e-15)
    with pytest.raises(ValueError, match=r"lacks \['c'\]"):
        xai.explain(model, frame[["a", "b"]], data=frame)
    unnamed = made().fit(frame.to_numpy(), y)
    explanation = xai.explain(unnamed, frame[:3], "shapley", data=frame[5:15], target=1)
    np.testing.assert_array_equal(explanation.values, reference.values)


def test_catboost_takes_codes_of_its_categories_from_a_frame(pd):
    catboost = pytest.importorskip("catboost")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=60), "kind": rng.integers(0, 3, 60)})
    model = catboost.CatBoostRegressor(
        iterations=3, cat_features=["kind"], verbose=False, allow_writing_files=False
    ).fit(frame, frame["size"] * (frame["kind"] == 1))
    explanation = xai.explain(model, frame[:3], data=frame[10:20])
    np.testing.assert_allclose(explanation.predictions, model.predict(frame[:3]))


def test_an_object_array_of_strings_and_numbers():
    """A callable receives the kind of thing x is: an object array stays one."""
    x = np.array([[3, "up"], [5, "down"]], dtype=object)
    data = np.array([[1, "down"], [2, "up"], [3, "down"]], dtype=object)

    def model(rows):
        assert rows.dtype == object
        return np.array([float(a) + (b == "up") for a, b in rows])

    explanation = xai.explain(model, x, "shapley", data=data)
    np.testing.assert_allclose(explanation.values, [[1, 2 / 3], [3, -1 / 3]], atol=1e-12)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("big", [2**53 + 1, -(2**53) - 1])
def test_integers_of_a_frame_that_no_float_holds_stay_what_they_are(library, big):
    frame = pytest.importorskip(library).DataFrame({"id": [big, 5], "v": [1.0, 2.0]})
    seen = []

    def is_big(rows):
        seen.extend(rows["id"].to_list())
        return np.array([float(value == big) for value in rows["id"].to_list()])

    explanation = xai.explain(is_big, frame[:1], "occlusion", data=frame)
    np.testing.assert_array_equal(explanation.values, [[0.5, 0]])
    assert set(seen) == {big, 5}


@pytest.mark.parametrize("kind", ["array", "list"])
def test_numbers_among_words_stay_what_they_are(counting, kind):
    """In an array of objects, and in a list, integers are neither floats nor words."""
    rows = [["up", 3, True, 0.5], ["down", 2**53 + 1, False, 1.5], ["up", 5, True, 2.5]]
    x = np.array(rows, object) if kind == "array" else rows
    model = counting(lambda z: np.array([float(row[0] == "up") + row[1] + row[3] for row in z]))
    explanation = xai.explain(model, x[:2], "occlusion", data=x)
    seen = np.concatenate(model.seen)
    assert {tuple(type(cell) for cell in row) for row in seen} == {(str, int, bool, float)}
    assert set(seen[:, 1]) == {3, 5, 2**53 + 1}
    assert explanation.data[:2].tolist() == rows[:2]


@pytest.mark.parametrize("method", ["ime", "lime", "occlusion", "shapley"])
def test_none_among_numbers_is_a_missing_number(counting, method):
    """And no reason for a column to be categories, in this row or in others."""
    rng = np.random.default_rng(0)
    data = np.array([["up" if u > 0 else "down", float(u), int(9 * u), u > 0.2]
                     for u in rng.normal(size=40)], object)  # fmt: skip
    x = data[:4].copy()
    x[0, 1] = x[1, 2] = x[2, 3] = None

    def f(rows):
        return np.array([(w == "up") + (0 if a is None else a) + (5 if b is None else b) + bool(c)
                         for w, a, b, c in rows], float)  # fmt: skip

    model = counting(f)
    budget = {} if method == "occlusion" else {"budget": 900}
    together = xai.explain(model, x, method, data=data, **budget)
    kinds = {tuple(type(cell) for cell in row) for row in np.concatenate(model.seen)}
    assert all(
        a in (float, type(None)) and b in (int, type(None)) and c in (bool, type(None))
        for _, a, b, c in kinds
    )
    assert any(a is type(None) for _, a, *_ in kinds) and any(b is type(None) for *_, b, _ in kinds)
    for i in range(4):
        alone = xai.explain(f, x[i : i + 1], method, data=data, **budget)
        np.testing.assert_allclose(alone.values, together[i].values, atol=1e-9)


def test_a_fraction_makes_floats_of_a_column_of_integers_among_words(counting):
    model = counting(lambda z: np.array([float(row[1]) for row in z]))
    x, data = np.array([["up", 3]], object), np.array([["up", 0.5], ["up", 2.0]], object)
    explanation = xai.explain(model, x, "occlusion", data=data)
    np.testing.assert_allclose(explanation.values, [[0, 1.75]])


def test_a_truth_value_is_not_the_number_that_equals_it(pd):
    frame = pd.DataFrame({"answer": pd.Series([True, "no", 1], dtype=object)})

    def model(rows):
        return np.array([float(isinstance(value, bool)) for value in rows["answer"]])

    explanation = xai.explain(model, frame, "occlusion", data=frame)
    np.testing.assert_array_equal(explanation.predictions, [1, 0, 0])


@pytest.mark.parametrize("kind", ["words", "dates"])
def test_cells_of_many_rows_are_told_apart_once_each(pd, monkeypatch, kind):
    asked, key = [], tables._key
    monkeypatch.setattr(tables, "_key", lambda value: [asked.append(value), key(value)][1])
    cells = ["a", "b", None] if kind == "words" else pd.to_datetime(["2020", "2021", None])
    frame = pd.DataFrame({"x": np.tile(np.asarray(cells), 1000)})
    inputs = read(frame, frame[:10])
    np.testing.assert_array_equal(inputs.block[:4, 0], [0, 1, 2, 0])
    assert inputs.encode(frame[::-1], "data")[:3, 0].tolist() == [2, 1, 0]
    assert len(asked) <= 20  # not 3000


@pytest.mark.parametrize("where", ["x", "removal"])
def test_a_cell_that_is_a_list_is_refused_by_its_column(pd, where):
    words, lists = pd.DataFrame({"a": ["x", "y"]}), pd.DataFrame({"a": [[1], [2]]})
    with pytest.raises(TypeError, match="column 'a' holds a list: a cell is a number"):
        read(lists, None) if where == "x" else read(words, None).encode(lists, "the removal")


def test_polars_frames_stay_polars():
    pl = pytest.importorskip("polars")
    x = pl.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "w": ["yes", "no"]})
    data = pl.DataFrame({"b": [0.0, 1.0], "w": ["no", "no"], "a": [7, 8]})
    seen = []

    def model(frame):
        seen.append((type(frame), frame.columns, frame.dtypes))
        return (frame["a"] * 2 + frame["b"] + (frame["w"] == "yes").cast(pl.Int64)).to_numpy()

    explanation = xai.explain(model, x, "shapley", data=data)
    expected = [[2 * (1 - 7.5), 0, 1], [2 * (2 - 7.5), 1, 0]]
    np.testing.assert_allclose(explanation.values, expected, atol=1e-12)
    assert list(explanation.feature_names) == ["a", "b", "w"]
    for kind, columns, dtypes in seen:
        assert kind is pl.DataFrame
        assert columns == ["a", "b", "w"]
        assert dtypes == [pl.Int64, pl.Float64, pl.String]


def test_a_pipeline_on_polars():
    pl = pytest.importorskip("polars")
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"town": rng.choice(["Bonn", "Ulm"], 40), "size": rng.normal(size=40)})
    y = (frame["town"] == "Ulm").to_numpy() * 2.0 + frame["size"].to_numpy()
    encode = ColumnTransformer(
        [("word", OneHotEncoder(), ["town"]), ("number", "passthrough", ["size"])]
    )
    model = make_pipeline(encode, LinearRegression()).fit(frame, y)
    data = frame[20:30]
    explanation = xai.explain(model, frame[:3], "shapley", data=data)
    ulm = (frame["town"] == "Ulm").to_numpy()
    expected = np.stack(
        [
            2.0 * (ulm[:3] - ulm[20:30].mean()),
            frame["size"].to_numpy()[:3] - data["size"].mean(),
        ],
        axis=1,
    )
    np.testing.assert_allclose(explanation.values, expected, atol=1e-9)


# --------------------------------------------------------------------------------------- sparse


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array", "csc_matrix", "coo_matrix"])
@pytest.mark.parametrize("removal", ["baseline", "marginal"])
def test_sparse_stays_sparse(counting, kind, removal):
    from scipy import sparse

    rng = np.random.default_rng(0)
    dense = rng.random((5, 6)) * (rng.random((5, 6)) < 0.4)
    x, data = (getattr(sparse, kind)(part) for part in (dense[:2], dense[2:]))
    w = np.arange(1.0, 7)
    model = counting(lambda rows: np.asarray(rows @ w).ravel())
    keywords = {"removal": Baseline(0)} if removal == "baseline" else {"data": data}
    explanation = xai.explain(model, x, "shapley", **keywords)
    assert all(sparse.issparse(rows) for rows in model.seen)
    stand_in = 0 if removal == "baseline" else dense[2:].mean(axis=0)
    np.testing.assert_allclose(explanation.values, (dense[:2] - stand_in) * w, atol=1e-12)
    np.testing.assert_array_equal(x.toarray(), dense[:2])


@pytest.mark.parametrize("method", ["permutation_shap", "kernel_shap", "lime", "banzhaf", "owen"])
def test_small_integers_of_numpys_count_as_pythons(method):
    """100 · 2 is beyond int8; and a repr of np.int8(100) is nobody's."""
    x = np.random.default_rng(0).normal(size=(40, 12))
    made = []
    for count in (100, np.int8(100)):
        removal = xai.removal.Uniform(n_draws=count)
        made.append(xai.explain(
            lambda z: z[:, 0] * z[:, 1] + z.sum(axis=1), x[:3], method, data=x, removal=removal,
            samples=count, batch_size=count,
        ))  # fmt: skip
    np.testing.assert_array_equal(made[0].values, made[1].values)
    assert repr(made[0]) == repr(made[1]) and "int8" not in repr(made[1])


def test_one_sparse_line_is_a_batch_of_one_and_sparse_data_go_with_dense_rows():
    from scipy import sparse

    row, data = np.array([0.0, 2, 0, 3]), np.diag([1.0, 2, 3, 4])
    one = xai.explain(lambda x: x @ row, sparse.coo_array(row), "occlusion", removal=Baseline(0))
    np.testing.assert_array_equal(one.values, [row**2])
    two = xai.explain(lambda x: x @ row, row, "occlusion", data=sparse.csr_array(data))
    three = xai.explain(lambda x: x @ row, row, "occlusion", data=data)
    np.testing.assert_array_equal(two.values, three.values)


def test_a_module_reads_sparse_rows_as_dense_ones():
    torch = pytest.importorskip("torch")
    from scipy import sparse

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)).eval()
    dense = np.eye(3, 6, dtype=np.float32) * 2 - np.eye(3, 6, 2, dtype=np.float32)
    one = xai.explain(net, sparse.csr_array(dense), "shapley", removal=Baseline(0))
    other = xai.explain(net, dense, "shapley", removal=Baseline(0))
    np.testing.assert_array_equal(one.values, other.values)


def test_a_sparse_text_classifier():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    texts = ["good film", "bad film", "good good plot", "bad plot", "fine film", "bad bad"]
    vectorizer = CountVectorizer()
    X = vectorizer.fit_transform(texts)
    model = MultinomialNB().fit(X, [1, 0, 1, 0, 1, 0])
    explanation = xai.explain(
        model, X[:2], "shapley", removal=Baseline(0), target=1,
        feature_names=vectorizer.get_feature_names_out(),
    )  # fmt: skip
    names = list(explanation.feature_names)
    assert explanation.values[0, names.index("good")] > 0.1
    assert explanation.values[1, names.index("bad")] < -0.1
    assert explanation.values[0, names.index("bad")] == 0


# ---------------------------------------------------------------------------------------- torch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def network(torch):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(5, 8),
        torch.nn.BatchNorm1d(8),
        torch.nn.Tanh(),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(8, 3),
    )


def logits(torch, network, x):
    network.eval()
    with torch.no_grad():
        return network(torch.as_tensor(np.asarray(x)).float()).numpy().astype(float)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 5)), rng.normal(size=(4, 5))


def test_a_module_takes_arrays_and_tensors_alike(torch, network, rows):
    x, data = rows
    arrays = xai.explain(network, x, "shapley", data=data)
    tensors = xai.explain(network, torch.tensor(x), "shapley", data=torch.tensor(data))
    np.testing.assert_allclose(arrays.values, tensors.values, atol=1e-6)
    assert isinstance(tensors.values, np.ndarray)
    assert arrays.values.shape == (2, 5)
    assert arrays.values.dtype in (np.float32, np.float64)


def _read_only(a):
    a.flags.writeable = False
    return a


LAID_OUT = {
    "reversed rows": lambda a: a[::-1].copy()[::-1],
    "reversed columns": lambda a: a[:, ::-1].copy()[:, ::-1],
    "swapped bytes": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": lambda a: _read_only(a.copy()),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", LAID_OUT)
def test_arrays_of_any_layout_become_tensors(torch, network, rows, kind):
    x, data = rows
    expected = xai.explain(network, x, "occlusion", data=data)
    found = xai.explain(network, LAID_OUT[kind](x), "occlusion", data=LAID_OUT[kind](data))
    np.testing.assert_array_equal(found.values, expected.values)
    found = xai.explain(network, torch.tensor(x), "occlusion", data=LAID_OUT[kind](data))
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", LAID_OUT)
@pytest.mark.parametrize("inside", ["a layer", "concepts"])
def test_baselines_of_any_layout_stand_for_what_is_inside(torch, kind, inside):
    torch.manual_seed(0)
    nn, x = torch.nn, torch.rand(2, 1, 6, 6)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
    players = xai.players.Units("1")
    if inside == "concepts":
        bank = xai.concepts.fit(net, torch.rand(6, 1, 6, 6), layer="1", n_concepts=3)
        players = xai.players.Concepts(bank)
    baseline = np.random.default_rng(0).random((2, 3, 4, 4)).astype(np.float32)
    expected, found = (
        xai.explain(net, x, "occlusion", players=players, removal=Baseline(given)).values
        for given in (baseline, LAID_OUT[kind](baseline))
    )
    np.testing.assert_array_equal(found, expected)


def test_a_module_is_explained_by_its_logits_in_eval_mode(torch, network, rows, oracle):
    x, data = rows
    explanation = xai.explain(network, x, "exact_shapley", data=data, target="all")
    for i in range(2):
        v = oracle.marginal_game(lambda z: logits(torch, network, z), x[i], data)
        np.testing.assert_allclose(explanation.values[i], oracle.shapley(v, 5), atol=1e-5)


def test_a_modules_probability_is_its_softmax(torch, network, rows):
    x, data = rows
    explanation = xai.explain(
        network, x, "occlusion", data=data, target=2,
        behavior=xai.behavior.Prediction("probability"),
    )  # fmt: skip
    z = np.exp(logits(torch, network, x))
    np.testing.assert_allclose(explanation.predictions, z[:, 2] / z.sum(axis=1), atol=1e-6)


def test_a_module_of_one_output_has_a_sigmoid(torch, rows):
    torch.manual_seed(0)
    network = torch.nn.Linear(5, 1)
    x, data = rows
    raw = xai.explain(network, x, "occlusion", data=data)
    np.testing.assert_allclose(raw.predictions, logits(torch, network, x)[:, 0], atol=1e-5)
    explanation = xai.explain(
        network, x, "occlusion", data=data, behavior=xai.behavior.Prediction("probability")
    )
    expected = 1 / (1 + np.exp(-logits(torch, network, x)[:, 0]))
    np.testing.assert_allclose(explanation.predictions, expected, atol=1e-6)


@pytest.mark.parametrize("output", ["logit", "raw", "log_odds"])
def test_outputs_of_a_module(torch, network, rows, output):
    x, data = rows
    explanation = xai.explain(
        network, x, "occlusion", data=data, target=0, behavior=xai.behavior.Prediction(output)
    )
    z = logits(torch, network, x)
    p = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))[:, 0]
    expected = np.log(p / (1 - p)) if output == "log_odds" else z[:, 0]
    np.testing.assert_allclose(explanation.predictions, expected, atol=1e-5)


def test_a_modules_loss_takes_class_indices(torch, network, rows):
    x, data = rows
    explanation = xai.explain(network, x, "loss_shap", data=data, y=np.array([2, 0]), budget=1000)
    z = logits(torch, network, x)
    expected = (z - np.log(np.exp(z).sum(axis=1, keepdims=True)))[[0, 1], [2, 0]]
    np.testing.assert_allclose(explanation.predictions, expected, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_a_module_is_left_as_it_was(torch, network, rows, training, fails):
    """Modes of every part, flags, hooks, gradients, buffers, random state; also after an error."""
    network.train(training)
    network[1].train(not training)
    network[0].weight.requires_grad_(False)
    network[4].bias.grad = torch.ones(3)
    handle = network[2].register_forward_hook(lambda *_: None)
    modes = [part.training for part in network.modules()]
    flags = [p.requires_grad for p in network.parameters()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    random_state, grad = torch.get_rng_state(), torch.is_grad_enabled()
    x, data = (a.copy() for a in rows)
    if fails:
        x[1, 0] = np.nan
        with pytest.raises(ValueError, match=r"(?i)nan|finite"):
            xai.explain(network, x, "shapley", data=data)
    else:
        xai.explain(network, x, "shapley", data=data)
    assert [part.training for part in network.modules()] == modes
    assert [p.requires_grad for p in network.parameters()] == flags
    assert network[0].weight.grad is None
    assert torch.equal(network[4].bias.grad, torch.ones(3))
    assert list(network[2]._forward_hooks) == [handle.id]
    assert not any(part._forward_pre_hooks for part in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.is_grad_enabled() == grad


def test_a_double_module_answers_in_float64(torch, rows):
    torch.manual_seed(0)
    network = torch.nn.Linear(5, 1).double()
    x, data = rows
    explanation = xai.explain(network, x, "shapley", data=data)
    w = network.weight.detach().numpy()[0]
    assert explanation.values.dtype == np.float64
    np.testing.assert_allclose(explanation.values, w * (x - data.mean(axis=0)), atol=1e-12)


@pytest.mark.parametrize(
    ("given", "read_as"),
    [("float16", "float32"), ("float32", "float32"), ("int8", "float64"), ("bool", "float64")],
)
def test_what_a_model_returns_is_read_in_float32_at_least(given, read_as):
    x = np.array([[0.0], [1.0]])
    outputs = wrap(lambda rows: rows.astype(given), read(x))(x)
    assert outputs.dtype == read_as
    np.testing.assert_array_equal(outputs, x)


def test_a_half_module_answers_in_float32_at_least(torch, rows):
    network = torch.nn.Linear(5, 2).bfloat16()
    explanation = xai.explain(network, rows[0], "occlusion", data=rows[1])
    assert explanation.values.dtype in (np.float32, np.float64)
    assert explanation.predictions.dtype in (np.float32, np.float64)


@pytest.mark.parametrize("whose", ["data", "baseline", "x"])
def test_tensors_in_bfloat16_meet_arrays_and_estimators(torch, rows, whose):
    """NumPy has no such numbers: they are what they are in single precision."""
    x, data = (torch.tensor(part).bfloat16() for part in rows)
    given = {"data": data} if whose == "data" else {"removal": xai.removal.Baseline(data[0])}
    own = {"data": data.float().numpy()}
    if whose != "data":
        own = {"removal": xai.removal.Baseline(data[0].float().numpy())}
    known = x.float().numpy()
    tree = DecisionTreeClassifier(random_state=0).fit(rows[1], rows[1][:, 0] > 0)
    found = xai.explain(tree, x if whose == "x" else known, "occlusion", **given)
    np.testing.assert_array_equal(found.values, xai.explain(tree, known, "occlusion", **own).values)


def test_a_tensor_is_not_written_to_and_needs_no_gradient(torch, network, rows):
    x = torch.tensor(rows[0], dtype=torch.float32, requires_grad=True)
    before = x.detach().clone()
    explanation = xai.explain(network, x, "shapley", data=torch.tensor(rows[1]).float())
    assert torch.equal(x.detach(), before) and x.grad is None and x.requires_grad
    assert np.isfinite(explanation.values).all()


def test_a_callable_receives_tensors_where_x_is_one(torch, rows):
    kinds = []

    def model(z):
        kinds.append((type(z), z.dtype))
        return (z[:, 0] * z[:, 1]).double()

    x, data = (torch.tensor(a) for a in rows)
    explanation = xai.explain(model, x, "shapley", data=data)
    assert set(kinds) == {(torch.Tensor, torch.float64)}
    assert explanation.values.dtype == np.float64
    total = explanation.values.sum(axis=1) + explanation.base_values
    np.testing.assert_allclose(total, explanation.predictions, atol=1e-12)


def test_pythons_numbers_take_the_dtype_of_x(torch, counting):
    for dtype in (torch.float32, torch.float64):
        x, model = torch.ones((1, 2), dtype=dtype), counting(lambda rows: rows[:, 0])
        explanation = xai.explain(model, x, "occlusion", removal=Baseline([0.1, 0.2]))
        tenth = torch.tensor(0.1, dtype=dtype).item()
        np.testing.assert_allclose(explanation.values, [[1 - tenth, 0]], rtol=1e-7)
        assert {rows.dtype for rows in model.seen} == {dtype}
    np.testing.assert_array_equal(explanation.values, [[1 - 0.1, 0]])


def test_the_wider_dtype_is_not_blamed_for_what_is_refused_of_x():
    class Members:
        estimators_, predict = (1, 2), staticmethod(lambda rows: rows.sum(axis=1))

    x, data = np.ones((2, 3), int), np.full((4, 3), 0.1)
    for ask, third in ((xai.explain, "occlusion"), (xai.metrics.deletion, x)):
        with pytest.raises(ValueError, match="target 9 is out of range") as caught:
            ask(Members(), x, third, data=data, target=9)
        assert not getattr(caught.value, "__notes__", [])


@pytest.mark.parametrize("x", [np.ones((2, 3), int), np.ones((2, 3), np.float32)])
def test_an_ensemble_is_given_x_in_its_own_dtype(x, counting):
    class Members:
        estimators_, predict = (1, 2), counting(lambda rows: rows.sum(axis=1))

    data = np.full((4, 3), 0.1)
    xai.explain(Members(), x, "occlusion", data=data)
    xai.metrics.deletion(Members(), x, np.ones((2, 3)), data=data)
    assert [rows.dtype for rows in Members.predict.seen if len(rows) == 2] == [x.dtype] * 2


def test_a_model_that_refuses_the_wider_dtype_is_told_why(torch):
    layer = torch.nn.Linear(5, 2)
    x, data = torch.rand(2, 5), torch.rand(4, 5, dtype=torch.float64)
    with pytest.raises(RuntimeError) as caught:
        xai.explain(lambda rows: layer(rows).detach(), x, "shapley", data=data)
    (note,) = caught.value.__notes__
    assert "given torch.float64: x is torch.float32" in note and "data.to(x.dtype)" in note
    xai.explain(lambda rows: layer(rows).detach(), x, "shapley", data=data.to(x.dtype))


def test_codes_of_an_embedding_are_not_truncated(torch):
    module = torch.nn.Sequential(torch.nn.EmbeddingBag(5, 3), torch.nn.Linear(3, 1))
    x = torch.tensor([[0, 1, 4]])
    whole = xai.explain(module, x, "occlusion", data=torch.tensor([[1.0, 2.0, 3.0]]))
    assert np.isfinite(whole.values).all()
    with pytest.raises(RuntimeError, match=r"(?i)long|int"):
        xai.explain(module, x, "occlusion", data=torch.tensor([[1.5, 2.0, 3.0]]))


def test_names_of_units_are_not_taken_for_names_of_columns(torch):
    """A layer's output with one axis looks like a row of a table."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    given = {"players": xai.players.Units("1"), "removal": "baseline"}
    names = ["a", "b", "c", "d"]
    explanation = xai.explain(module, np.ones((2, 3)), "shapley", feature_names=names, **given)
    assert explanation.feature_names == names
    with pytest.raises(ValueError, match="3 names for 4 players"):
        xai.explain(module, np.ones((2, 3)), "shapley", feature_names=names[:3], **given)


def test_codes_of_an_embedding_may_be_an_array(torch):
    """A module that begins with an embedding takes integers, whatever holds them."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Embedding(9, 4), torch.nn.Flatten(), torch.nn.Linear(12, 2)
    )
    rng = np.random.default_rng(0)
    x, data = rng.integers(0, 9, (2, 3)), rng.integers(0, 9, (5, 3))
    array = xai.explain(module, x, "shapley", data=data)
    tensor = xai.explain(module, torch.as_tensor(x), "shapley", data=torch.as_tensor(data))
    np.testing.assert_array_equal(array.values, tensor.values)


def test_rules_for_a_whole_network_do_not_begin_at_an_embedding(torch):
    """And of copies that are moved, codes must be named."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Embedding(9, 4), torch.nn.Flatten(), torch.nn.Linear(12, 2)
    )
    x, data = torch.randint(0, 9, (2, 3)), torch.randint(0, 9, (5, 3))
    for method in ("deeplift", "lrp"):
        with pytest.raises(TypeError, match=r"embedding of codes.*'integrated_gradients'"):
            xai.explain(module, x, method)
    of_units = xai.explain(module, x, "integrated_gradients", players=xai.players.Units("0"))
    assert of_units.values.shape == (2, 3, 4)
    with pytest.raises(ValueError, match=r"codes that the module's embedding .*categorical="):
        xai.choose(module, x, data=data)  # which moves x, too
    choice = xai.choose(module, x, data=data, categorical=[0, 1, 2])
    assert set(choice.errors) == {"occlusion", "shapley", "lime", "banzhaf"}
    amounts = xai.explain(torch.nn.Linear(3, 2), x, "gradient_x_input")  # no codes: whole numbers
    assert np.isfinite(amounts.values).all()


@pytest.mark.parametrize(
    ("method", "removal"),
    [("occlusion", "noise"), ("shapley", xai.removal.Baseline("mean"))],
)
def test_an_embedding_that_gets_floats_says_what_to_do(torch, method, removal):
    """Where a removal makes fractions of codes, or x holds floats."""
    module = torch.nn.Sequential(torch.nn.EmbeddingBag(9, 4), torch.nn.Linear(4, 2))
    codes = torch.tensor([[0, 1, 2], [5, 4, 7]])
    for x in (codes, codes.float()):
        with pytest.raises(RuntimeError, match=r"(?i)long|int") as caught:
            xai.explain(module, x, method, data=codes, removal=removal)
        assert "pass x as integers" in caught.value.__notes__[0]


def test_a_detector_that_returns_a_dict_for_each_image_says_what_to_do():
    torch = pytest.importorskip("torch")

    class Detector(torch.nn.Module):
        def forward(self, x):
            return [{"scores": image.mean(0)} for image in x]

    def of_the_first(found):
        return torch.stack([each["scores"] for each in found])[:, :2]

    x = torch.rand(2, 3, 4)
    with pytest.raises(TypeError, match=r"list of dicts.*xai\.TorchModel\(module, output=f\)"):
        xai.explain(Detector(), x, "occlusion", removal="baseline")
    one = xai.TorchModel(Detector(), output=of_the_first)
    assert xai.explain(one, x, "occlusion", removal="baseline").values.shape == (2, 3, 4)


def test_a_list_of_outputs_is_none_and_a_list_of_numbers_is_one():
    """onnxruntime's `run` gives a list of arrays; a loop over rows one of tensors without axes."""
    torch = pytest.importorskip("torch")
    x = np.arange(6.0).reshape(2, 3)
    with pytest.raises(TypeError, match="returned a list: say which of its outputs is explained"):
        xai.explain(lambda x: [x], x, "occlusion", removal="baseline")
    weight = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))

    def one_by_one(x):
        return [torch.tensor(row) @ weight for row in x]

    e = xai.explain(one_by_one, x, "occlusion", removal="baseline")
    np.testing.assert_allclose(e.values, x)
    with pytest.raises(TypeError, match=r"returned 'no'; .* == \['no', 'yes'\] of a function f"):
        xai.explain(lambda x: ["no"] * len(x), x, "occlusion", removal="baseline")


def test_an_estimator_that_is_never_fitted_is_a_model():
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Rule(ClassifierMixin, BaseEstimator):
        def predict_proba(self, x):
            return np.stack([x[:, 0] <= 0, x[:, 0] > 0], axis=1) * 1.0

    e = xai.explain(Rule(), np.array([[1.0, 2.0]]), "shapley", removal="baseline")
    assert e.values.tolist() == [[1, 0]]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("how", ["frozen", "exported", "held"])
def test_modules_without_modes_are_run_as_they_are(how):
    """A frozen script has none, an exported program refuses to be put in one."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).eval()
    x = torch.rand(2, 3)
    if how == "frozen":
        model = torch.jit.freeze(torch.jit.script(net))
    else:
        sizes = ({0: torch.export.Dim("n", min=1, max=4096)},)
        model = torch.export.export(net, (x,), dynamic_shapes=sizes).module()
    if how == "held":
        model = torch.nn.Sequential(model, torch.nn.Dropout(0.5))
    modes = [getattr(part, "training", None) for part in model.modules()]
    for name in ("shapley", "integrated_gradients"):
        expected = xai.explain(net, x, name, removal="baseline").values
        np.testing.assert_allclose(
            xai.explain(model, x, name, removal="baseline").values, expected, atol=1e-6
        )
    assert modes == [getattr(part, "training", None) for part in model.modules()]


@pytest.mark.parametrize("method", ["gradient", "occlusion", "gradcam", "deeplift", "fit"])
def test_a_module_says_which_way_images_go_into_it(method):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU())
    x = np.ones((2, 9, 8, 3), np.float32)
    with pytest.raises(RuntimeError, match="channels") as caught:
        xai.concepts.fit(net, x) if method == "fit" else xai.explain(net, x, method)
    (note,) = caught.value.__notes__
    assert "x is (" in note and "9, 8, 3): pass x.transpose(0, 3, 1, 2)" in note


@pytest.fixture
def reader(torch):
    """A transformer of token ids, padded with 0, that does not look at the padding."""
    nn = torch.nn

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(9, 4, padding_idx=0)
            layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
            self.encoder, self.head = nn.TransformerEncoder(layer, 1), nn.Linear(4, 2)

        def forward(self, ids):
            read = (ids != 0)[..., None].float()
            made = self.encoder(self.words(ids), src_key_padding_mask=ids == 0)
            return self.head((made * read).sum(1) / read.sum(1).clamp(min=1))

    torch.manual_seed(0)
    return Reader()


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_transformer_of_padded_tokens_may_run_on_nested_tensors(torch, reader):
    """As torch's own does in eval mode, where there are no gradients."""
    ids = torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    whole = xai.explain(reader, ids, "exact_shapley", data=ids)
    np.testing.assert_allclose(
        whole.values.sum(axis=1), whole.predictions - whole.base_values, atol=1e-6
    )
    filled = xai.removal.Baseline(1)  # all padding has nothing to read
    alone = xai.explain(reader, ids[:1, :3], "occlusion", removal=filled)
    padded = xai.explain(reader, ids[:1], "occlusion", removal=filled)
    np.testing.assert_allclose(padded.predictions, alone.predictions, atol=1e-6)


def test_units_behind_which_a_padding_mask_waits(torch, reader):
    """Attention asserts that its mask has as many rows as its input: it does not broadcast."""
    ids = torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    e = xai.explain(reader, ids, "integrated_gradients", players=xai.players.Units("words"))
    assert e.values.shape == (2, 5, 4)
    np.testing.assert_allclose(e.values.sum(axis=(1, 2)), e.predictions - e.base_values, atol=1e-3)


def test_a_background_of_tensors_need_not_be_a_tensor(torch):
    """But a list of its rows; what holds no rows of numbers is refused in words."""
    module, rows = torch.nn.Linear(3, 2), torch.rand(4, 3)
    want = xai.explain(module, rows, "occlusion", data=rows).values
    for data in (list(rows), tuple(rows), rows.numpy(), rows.tolist()):
        got = xai.explain(module, rows, "occlusion", data=data).values
        np.testing.assert_allclose(got, want, atol=1e-7)
    loader = torch.utils.data.DataLoader(rows, batch_size=4)
    for data, told in [
        (loader, "data has dtype object, but x is numeric"),
        ([["a", "b", "c"]], "data has dtype <U1, but x is numeric"),
        ([[1.0, 2.0, 3.0], [4.0]], "the rows of data do not have the same shape"),
        ([rows, rows[:, 0]], "the rows of data do not have the same shape"),
    ]:
        with pytest.raises((TypeError, ValueError), match=told):
            xai.explain(module, rows, "occlusion", data=data)


@pytest.mark.parametrize("kind", ["complex", "sparse"])
def test_tensors_that_hold_no_dense_real_numbers_are_refused(torch, kind):
    x = torch.ones(2, 3)
    x = x.to(torch.complex64) if kind == "complex" else x.to_sparse()
    with pytest.raises(TypeError, match=r"expected real numbers, x.to_dense\(\)"):
        xai.explain(lambda z: z.sum(1), x, "occlusion", removal="baseline")


def test_a_tensor_beside_a_frame_is_refused(torch):
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="data is a DataFrame but x has no column names"):
        xai.explain(lambda t: t[:, 0], torch.ones(1, 2), data=pd.DataFrame({"a": [1], "b": [2]}))


def test_images_are_channels_first_for_a_module(torch):
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(2)
    )
    x = torch.rand(2, 3, 6, 8)
    network(x)
    explanation = xai.explain(network, x, "occlusion", removal=Baseline(0.0), target=0)
    assert explanation.values.shape == (2, 6, 8)
    assert explanation.map().shape == (2, 3, 6, 8)
    gone = x.clone()
    gone[:, :, 2, 5] = 0
    with torch.no_grad():
        expected = (network(x) - network(gone))[:, 0].numpy()
    np.testing.assert_allclose(explanation.values[:, 2, 5], expected, atol=1e-5)


@pytest.mark.parametrize("method", ["occlusion", "shapley", "kernel_shap", "banzhaf", "lime"])
def test_a_device_changes_nothing(torch, network, rows, method):
    """The same coalitions and draws where the module lives: values agree to float error."""
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    x, data = rows
    here = xai.explain(network, x, method, data=data, budget=120)
    there = xai.explain(network.cuda(), x, method, data=data, budget=120)
    assert here.evaluations == there.evaluations
    np.testing.assert_allclose(here.values, there.values, atol=1e-5)
    tensors = (torch.tensor(a).cuda() for a in rows)
    again = xai.explain(network, next(tensors), method, data=next(tensors), budget=120)
    np.testing.assert_allclose(again.values, there.values, atol=1e-5)


def test_numbers_of_a_device_without_float64_are_widened_on_the_host(torch, monkeypatch):
    from xai.summary.moments import host

    class Single(torch.Tensor):
        def double(self):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

        def cpu(self):
            return self.as_subclass(torch.Tensor)

    there = torch.rand(3, 2).as_subclass(Single)
    assert host(there).dtype == np.float64
    np.testing.assert_array_equal(host(there), np.asarray(there.cpu()))
    whole = torch.tensor([[1, 2, 3]])
    for device, wide in (("mps", torch.float32), ("cuda", torch.float64), ("cpu", torch.float64)):
        assert widest(torch.device(device)) == wide
        monkeypatch.setattr(sampled, "widest", lambda device, wide=wide: wide)
        assert sampled._rows_like(whole, np.array([[0.5, 1, 2]])).dtype == wide


@pytest.fixture
def elsewhere(torch):
    """Makes tensors that NumPy cannot read where they are, as those of a GPU."""

    class Elsewhere(torch.Tensor):
        def __array__(self, *args, **kwargs):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

        def numpy(self, *args, **kwargs):
            return self.__array__()

        def cpu(self):
            return self.as_subclass(torch.Tensor)

    return lambda array: torch.as_tensor(array).as_subclass(Elsewhere)


@pytest.mark.parametrize("what", ["y", "target", "players", "groups", "low"])
def test_arguments_may_be_tensors_of_any_device(network, rows, elsewhere, what):
    x, data = rows
    n, d = x.shape
    keywords = {"data": data}

    def given(kind):
        if what == "y":
            return {"y": kind(np.arange(n) % 3), "behavior": "prediction_loss", **keywords}
        if what == "target":
            return {"target": kind(np.arange(n) % 3), **keywords}
        if what == "low":
            removal = xai.removal.Uniform(kind(np.zeros(d)), kind(np.ones(d)), n_draws=4)
            return {"removal": removal}
        ids = kind(np.arange(n * d).reshape(n, d) // 2)
        return {"players": xai.players.Groups(ids) if what == "groups" else ids, **keywords}

    here, there = (
        xai.explain(network, x, "occlusion", **given(kind)) for kind in (np.array, elsewhere)
    )
    np.testing.assert_array_equal(here.values, there.values)
    scores = [xai.metrics.max_sensitivity(network, x, e, samples=3) for e in (here, there)]
    np.testing.assert_array_equal(scores[0].values, scores[1].values)
    labels = np.arange(n) % 2
    assert scores[0].gap(labels) == scores[1].gap(elsewhere(labels))


OPTIONS = {
    "max_sensitivity": ("radius", np.linspace(0.1, 0.5, 6)),
    "input_invariance": ("shift", np.linspace(0.1, 0.5, 6)),
    "grid_pointing": ("cell", np.array([1, 2])),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_metrics_may_be_tensors_of_any_device(torch, elsewhere, name):
    torch.manual_seed(0)
    net, x = torch.nn.Linear(6, 2).double(), torch.randn(2, 6).double()
    e = xai.explain(net, x, "gradient_x_input")
    option, value = OPTIONS[name]
    args = (None, None, np.arange(32.0).reshape(2, 4, 4)) if option == "cell" else (net, x, e)
    here, there = (
        getattr(xai.metrics, name)(*args, **{option: kind(value)}) for kind in (np.array, elsewhere)
    )
    np.testing.assert_array_equal(here.values, there.values)


def test_a_module_on_a_frame_of_numbers(torch, rows):
    pd = pytest.importorskip("pandas")
    torch.manual_seed(0)
    network = torch.nn.Linear(5, 2)
    x, data = (pd.DataFrame(a, columns=list("abcde")) for a in rows)
    explanation = xai.explain(network, x, "shapley", data=data)
    reference = xai.explain(network, rows[0], "shapley", data=rows[1])
    np.testing.assert_allclose(explanation.values, reference.values, atol=1e-6)
    assert list(explanation.feature_names) == list("abcde")


AGAIN = {
    "max_sensitivity": {}, "local_lipschitz": {}, "relative_output_stability": {},
    "shift_consistency": {}, "worst_case_bound": {}, "distance_attack": {"directions": 2},
    "parameter_randomization": {"smooth": 2}, "relative_representation_stability": {"layer": "0"},
}  # fmt: skip


@pytest.mark.parametrize("name", AGAIN)
@pytest.mark.parametrize("kind", ["pandas", "polars", "a Series", "bfloat16"])
def test_rows_of_a_module_are_explained_again_as_they_were_given(torch, rows, kind, name):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    rows = [torch.as_tensor(a).bfloat16().float().numpy() for a in rows]

    def make(a):
        if kind == "bfloat16":
            return torch.as_tensor(a).bfloat16()
        frames = pytest.importorskip("pandas" if kind == "a Series" else kind)
        return frames.DataFrame(dict(zip("abcde", a.T, strict=True)))

    there = deepcopy(network).bfloat16() if kind == "bfloat16" else network
    options = {"radius": 0.5, "step": 0.5} if kind == "bfloat16" else {}
    metric = getattr(xai.metrics, name)
    options = {n: v for n, v in options.items() if n in metric.options} | AGAIN[name]
    scores = []
    rows[0] = rows[0][:1] if kind == "a Series" else rows[0]
    given = [make(a) for a in rows]
    given[0] = given[0].iloc[0] if kind == "a Series" else given[0]
    for module, (x, data) in ((network, rows), (there, given)):
        e = xai.explain(module, x, "shapley", data=data)
        scores.append(metric(module, x, e, **options).values)
    close = 0.1 if kind == "bfloat16" else 1e-4
    np.testing.assert_allclose(scores[1], scores[0], rtol=close, atol=close)


# ------------------------------------------------------------------------------- other estimators


def test_steps_of_a_model_that_is_no_pipeline_are_its_own_affair():
    class Model:
        steps = 10

        def predict(self, x):
            return x.sum(axis=1)

    for model in (Model(), Model().predict):
        found = xai.explain(model, np.eye(3), "occlusion", removal="baseline")
        np.testing.assert_array_equal(found.values, np.eye(3))


def test_a_grid_search_is_an_estimator(cancer):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV

    search = GridSearchCV(
        RandomForestClassifier(n_estimators=3, random_state=0), {"max_depth": [2, 3]}, cv=2
    ).fit(cancer.x, cancer.y)
    explanation = xai.explain(search, cancer.x[:2], "shapley", data=cancer.x[50:60])
    np.testing.assert_allclose(
        explanation.predictions, search.predict_proba(cancer.x[:2]).max(axis=1)
    )


def test_an_object_with_predict_proba_need_not_be_scikit_learns(cancer):
    class Wrapped:
        classes_ = np.array(["ill", "well"])

        def predict(self, x):
            return self.classes_[self.predict_proba(x).argmax(axis=1)]

        def predict_proba(self, x):
            return cancer.forest.predict_proba(x)

    explanation = xai.explain(
        Wrapped(), cancer.x[:2], "occlusion", data=cancer.x[50:60], target="well"
    )
    np.testing.assert_allclose(
        explanation.predictions, cancer.forest.predict_proba(cancer.x[:2])[:, 1]
    )


def test_labels_may_be_a_list():
    class Model:
        def __init__(self):
            self.classes_ = ["no", "yes"]

        def predict_proba(self, x):
            return np.stack([1 - x[:, 0], x[:, 0]], axis=1)

    x = np.array([[0.25, 1.0], [0.75, 0.0]])
    explanation = xai.explain(Model(), x, "occlusion", data=x, target="yes")
    assert explanation.output_names == ["no", "yes"]
    np.testing.assert_array_equal(explanation.predictions, [0.25, 0.75])


def test_a_bound_method_is_a_callable(cancer):
    explanation = xai.explain(
        cancer.forest.predict_proba, cancer.x[:2], "occlusion", data=cancer.x[50:60], target=1
    )
    reference = xai.explain(
        cancer.forest, cancer.x[:2], "occlusion", data=cancer.x[50:60], target=1
    )
    np.testing.assert_allclose(explanation.values, reference.values, atol=1e-14)


def test_a_model_may_return_lists_or_frames():
    pd = pytest.importorskip("pandas")
    x = np.array([[1.0, 2.0]])
    nullable = lambda v: pd.DataFrame({"y": pd.array(v, "Float64")})  # noqa: E731
    objects = lambda v: v.astype(object)  # noqa: E731
    for kind in (list, pd.Series, lambda v: pd.DataFrame({"y": v}), nullable, objects):
        explanation = xai.explain(
            lambda rows, kind=kind: kind(rows[:, 0] * 2), x, "occlusion", removal=Baseline(0.0)
        )
        np.testing.assert_allclose(explanation.values, [[2.0, 0.0]])


def test_integer_outputs_are_numbers():
    explanation = xai.explain(
        lambda rows: (rows[:, 0] > 0).astype(int), np.array([[1.0, 2.0]]), "occlusion",
        removal=Baseline(0.0),
    )  # fmt: skip
    np.testing.assert_array_equal(explanation.values, [[1.0, 0.0]])


def test_an_object_may_have_predict_proba_or_decision_function_alone():
    class Probabilities:
        def predict_proba(self, x):
            return np.stack([1 - x[:, 0], x[:, 0]], axis=1)

    class Scores:
        def decision_function(self, x):
            return x[:, 0]

    x = np.array([[0.75, 1.0]])
    for model in (Probabilities(), Scores()):
        explanation = xai.explain(model, x, "occlusion", removal=Baseline(0.0), target=1)
        np.testing.assert_allclose(explanation.values, [[0.75, 0.0]])


def test_numpy_integers_are_integers(line):
    explanation = xai.explain(
        lambda x: x, line.x[:2], "occlusion", data=line.data, target=xai.Top(np.int64(2))
    )
    assert explanation.values.shape == (2, 4, 2)
    game = xai.Game.from_function(lambda S: S.all(axis=1) * 1.0, n_players=np.int64(3))
    np.testing.assert_allclose(xai.summary.Shapley()(game).values, 1 / 3)


# ------------------------------------------------------------------- categories, dates, words


def is_missing(frame):
    return frame["c"].isna().to_numpy() * 1.0


@pytest.mark.parametrize(
    ("x", "data"), [(["u"], ["zzz"]), ([1], [2]), ([1.5], [2]), ([True], ["no"])]
)
def test_a_value_that_is_no_category_of_x_reaches_the_model(pd, x, data):
    """A background of another dtype: its values become categories, and never missing ones."""
    x = pd.DataFrame({"c": pd.Categorical(x)})
    seen = []

    def model(frame):
        seen.extend(frame["c"].tolist())
        return is_missing(frame)

    for keywords in ({"data": pd.DataFrame({"c": data})}, {"removal": Baseline(data)}):
        seen.clear()
        explanation = xai.explain(model, x, "occlusion", **keywords)
        assert explanation.base_values.tolist() == [0.0]
        assert data[0] in seen


def test_missing_dates_are_one_value_and_stay_missing(pd):
    x = pd.DataFrame({"c": pd.to_datetime(["2024-05-01", None])})
    data = pd.DataFrame({"c": pd.to_datetime([None, None, "2024-01-01"])})
    explanation = xai.explain(is_missing, x, "occlusion", data=data)
    np.testing.assert_allclose(explanation.values, [[-2 / 3], [1 / 3]])
    pl = pytest.importorskip("polars")
    explanation = xai.explain(
        lambda frame: frame["c"].is_null().to_numpy() * 1.0, pl.from_pandas(x), "occlusion",
        data=pl.from_pandas(data),
    )  # fmt: skip
    np.testing.assert_allclose(explanation.values, [[-2 / 3], [1 / 3]])


def test_a_series_keeps_values_that_its_dtypes_cannot_hold(pd):
    data = pd.DataFrame({"a": [1, 2], "c": pd.Categorical(["u", "v"])})
    x = pd.Series({"a": 2.5, "c": "w"})

    def model(frame):
        return frame["a"].to_numpy() * 1.0 + 10 * is_missing(frame)

    explanation = xai.explain(model, x, "occlusion", data=data)
    assert explanation.predictions.tolist() == [2.5]


# ---------------------------------------------------------------------------------- sparse, torch


def test_nan_in_a_sparse_row_can_be_removed():
    from scipy import sparse

    x = np.array([[np.nan, 1.0, 2.0]])

    def model(rows):
        assert sparse.issparse(rows)
        return np.isnan(rows.toarray()).sum(axis=1) * 1.0

    explanation = xai.explain(model, sparse.csr_array(x), "occlusion", removal=Baseline(0))
    np.testing.assert_array_equal(explanation.values, [[1.0, 0.0, 0.0]])


def test_a_permutation_test_of_sparse_rows_keeps_its_budget(line):
    from scipy import sparse

    def model(rows):
        return np.asarray(rows @ line.w).ravel() + 2

    x, data = line.x[:4], line.data
    keywords = {"y": line.x[:4, 0], "budget": 100}
    dense = xai.explain(model, x, "permutation_test", data=data, **keywords)
    thin = xai.explain(
        model, sparse.csr_array(x), "permutation_test", data=sparse.csr_array(data), **keywords
    )
    np.testing.assert_allclose(thin.values, dense.values, atol=1e-12)
    assert thin.evaluations == dense.evaluations <= 100


@pytest.mark.parametrize(
    "kind", ["coo_matrix", "coo_array", "dia_matrix", "bsr_array", "lil_array"]
)
def test_rows_can_be_taken_from_sparse_data_of_any_format(kind):
    from scipy import sparse

    x = getattr(sparse, kind)(np.diag([1.0, 2.0, 3.0]))
    explanation = xai.explain(
        lambda rows: np.asarray(rows.sum(axis=1)).ravel(), x, "occlusion", removal=Baseline(0)
    )
    assert isinstance(explanation.data, sparse.spmatrix) == isinstance(x, sparse.spmatrix)
    np.testing.assert_array_equal(explanation[1].data.toarray(), [[0.0, 2.0, 0.0]])
    assert "occlusion" in explanation._repr_html_()


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_thread_computes_gradients(torch, jobs):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.seen = torch.nn.Linear(4, 2), []

        def forward(self, x):
            self.seen.append(torch.is_grad_enabled())
            return self.layer(x)

    net = Net()
    xai.explain(
        net, torch.ones(2, 4), "permutation_shap", data=torch.zeros(30, 4), n_jobs=jobs,
        batch_size=20,
    )  # fmt: skip
    assert len(net.seen) > 10 and not any(net.seen)


@pytest.mark.parametrize("kind", ["array", "frame"])
def test_a_module_takes_columns_of_codes(torch, kind):
    x, data = np.array([[0.0, 1.0]]), np.array([[1.0, 2.0], [0.0, 5.0]])
    column = 0
    if kind == "frame":
        pd = pytest.importorskip("pandas")
        x, data = (pd.DataFrame(rows, columns=["a", "b"]) for rows in (x, data))
        column = "a"
    explanation = xai.explain(
        torch.nn.Linear(2, 1), x, "occlusion", data=data, categorical=[column]
    )
    assert np.isfinite(explanation.values).all()


@pytest.mark.parametrize("kind", [list, np.array, "Index"])
def test_codes_are_named_by_the_names_of_an_arrays_columns(kind):
    """A DataFrame's columns, handed on with its numbers, have no truth value."""
    kind = pytest.importorskip("pandas").Index if kind == "Index" else kind
    x, data = np.array([[0.0, 1.0]]), np.array([[1.0, 2.0], [0.0, 5.0]])
    f = lambda rows: rows[:, 0] * rows[:, 1]  # noqa: E731
    named = {"feature_names": kind(["size", "code"]), "categorical": kind(["code"])}
    e = xai.explain(f, x, "lime", data=data, **named)
    by_place = xai.explain(f, x, "lime", data=data, categorical=[1])
    np.testing.assert_array_equal(e.values, by_place.values)
    assert e.feature_names == ["size", "code"]
    assert len(xai.metrics.max_sensitivity(f, x, e, samples=2)) == 1


# ------------------------------------------------------------------------------------------ texts


def lengths(texts):
    assert isinstance(texts, list)
    return np.array([float(len(text)) for text in texts])


@pytest.mark.parametrize("text", ["", " ", "\n\t", "good", "  a good\nfilm \n", "bon\u00a0– film"])
def test_words_with_their_spaces_are_the_text(text):
    assert "".join(tokens_of(text)) == text
    assert words_of(text) == (text.split() or [""] * (text != ""))
    block = read_text([text, "a longer one than that is"])
    assert block.decode(block.block)[0] == text


@pytest.mark.parametrize(
    ("texts", "rows"),
    [
        ([""], "0"), (["", ""], "0, 1"), (["", "good"], "0"), (["good", ""], "1"),
        (["good", *[""] * 9], "1, 2, 3, 4, 5"),
    ],
)  # fmt: skip
def test_an_empty_text_is_refused(texts, rows):
    told = rf"row {rows} \(0-based\) is an empty text: nothing to remove, so leave it out"
    with pytest.raises(ValueError, match=told):
        xai.explain(lengths, texts, "occlusion")


def test_space_before_the_first_word_is_no_word():
    """Posts begin with a line's end: that is no player, and words keep their places."""

    def count(texts):
        return np.array([len(text.split()) + 0.5 * ("bad" in text) for text in texts])

    for text in ("good bad film", "\n\tgood bad film", "  good\nbad film \n"):
        e = xai.explain(count, [text], "exact_shapley")
        assert e.names_of(0) == ["good", "bad", "film"]
        np.testing.assert_allclose(e.values, [[1, 1.5, 1]])
        assert xai.explain(count, [text], "occlusion", players=[[0, 1], [2]]).values.shape == (1, 2)
    seen = []
    spaced = lambda texts: (seen.extend(texts), count(texts))[1]  # noqa: E731
    xai.explain(spaced, ["\n good  film "], "exact_shapley")
    assert set(seen) == {"\n good  film ", "\n good  ", "film ", ""}


def test_a_tuple_of_texts_is_a_batch_of_texts():
    explanation = xai.explain(lengths, ("good film", "bad film"), "shapley")
    assert explanation[1].data == ["bad film"]


@pytest.mark.parametrize("players", ["elements", xai.players.Elements()])
@pytest.mark.parametrize("budget", [None, 40])
def test_the_elements_of_a_text_are_its_words(players, budget):
    """And none of the places after its end, which other rows' lengths made players."""
    texts = ["good film", "a good film and a very long one indeed"]
    given = {"budget": budget, "summary": xai.summary.LinearFit("uniform", None)}
    words = xai.explain(lengths, texts, **given)
    elements = xai.explain(lengths, texts, players=players, **given)
    np.testing.assert_array_equal(elements.values, words.values)
    assert elements.names_of(0) == words.names_of(0) == ["good", "film", *[""] * 7]


@pytest.mark.parametrize("kind", ["list", "array", "object array", "pandas", "polars"])
def test_a_text_pipeline_takes_its_texts_in_any_container(kind):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = ["good film", "bad film"]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0])
    x = {"list": list, "array": np.array, "object array": lambda v: np.array(v, object)}.get(kind)
    x = (x or pytest.importorskip(kind).Series)(texts)
    explanation = xai.explain(model, x, "shapley", target=1)
    assert explanation.data == texts
    assert explanation.values[0, 0] > 0 > explanation.values[1, 0]


def test_a_series_of_numbers_without_an_index_is_one_row():
    pl = pytest.importorskip("polars")
    explanation = xai.explain(
        lambda rows: rows.sum(axis=1), pl.Series([1.0, 2.0]), "occlusion", removal=Baseline(0.0)
    )
    np.testing.assert_array_equal(explanation[0].data, [[1.0, 2.0]])


def test_a_removal_in_place_of_one_that_is_not_for_texts():
    one = xai.explain(lengths, ["good film"], "ime", removal=Baseline(0))
    other = xai.explain(lengths, ["good film"], "shapley")
    np.testing.assert_array_equal(one.values, other.values)


class _Odd:
    """What a module returns for a batch, by its number of rows; and the sizes of its batches."""

    def __init__(self, torch, give):
        self.sizes = sizes = []

        class Module(torch.nn.Module):
            def forward(self, x):
                sizes.append(len(x))
                return give(x)

        self.module = Module()


GIVEN = {
    "(n,)": lambda x: x.sum(1),
    "(n, 1)": lambda x: x.sum(1, keepdim=True),
    "an array": lambda x: x.numpy().sum(1),
    "half": lambda x: x.sum(1).bfloat16(),
    "integers": lambda x: (x.sum(1) * 10).int(),
    "(n,), then (n, 1)": lambda x: x.sum(1, keepdim=len(x) % 2 == 0),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_several_calls_of_a_module_are_read_as_one_is(torch, monkeypatch, kind):
    x = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    whole = xai.explain(_Odd(torch, GIVEN[kind]).module, x, "occlusion", removal="baseline")
    monkeypatch.setattr(xai.batches, "TENSOR_BATCHES", ((2**19, 7),))
    odd = _Odd(torch, GIVEN[kind])
    parts = xai.explain(odd.module, x, "occlusion", removal="baseline")
    assert max(odd.sizes[1:]) == 7 < len(odd.sizes)
    np.testing.assert_allclose(parts.values, whole.values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("give", "output", "told"),
    [
        (lambda x: x[:, :2], 0, "output=0: the module returned a Tensor, which is its one output"),
        (lambda x: (x, x), "logits", "output='logits': the module returned a tuple, which has no"),
        (lambda x: (x, x), 2, "output=2: the module returned a tuple, which has no such output"),
        (lambda x: {"logits": x}, 0, "output=0: the module returned a dict, which has no such"),
    ],
    ids=["a tensor", "a name", "a place", "a dict"],
)
def test_an_output_that_a_module_does_not_have_is_told(torch, give, output, told):
    model = xai.TorchModel(_Odd(torch, give).module, output=output)
    with pytest.raises((TypeError, ValueError), match=told):
        xai.explain(model, np.ones((2, 3)), "occlusion", removal="baseline")


@pytest.mark.parametrize("batch_size", [None, 1, 7, 40])
@pytest.mark.parametrize("kind", ["function", "tensors", "module"])
def test_a_model_may_write_every_output_to_the_same_memory(torch, monkeypatch, kind, batch_size):
    monkeypatch.setattr(xai.batches, "TENSOR_BATCHES", ((2**19, 7),))
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(40, 5)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    memory = np.zeros((200, 3), np.float32)

    def reuse(batch):
        out = memory[: len(batch)]
        out[:] = np.asarray(batch) @ w
        return out if kind == "function" else torch.from_numpy(out)

    model = _Odd(torch, reuse).module if kind == "module" else reuse
    rows = torch.from_numpy(x) if kind == "tensors" else x
    how = {"removal": "baseline", "target": "all", "batch_size": batch_size}
    values = xai.explain(model, rows, "occlusion", **how).values
    np.testing.assert_allclose(values, x[..., None] * w, atol=1e-5)


def test_graphs_of_calls_of_one_block_are_not_kept(torch, monkeypatch):
    monkeypatch.setattr(xai.batches, "TENSOR_BATCHES", ((2**19, 7),))
    x, saved, most = torch.ones(30, 8), weakref.WeakSet(), []

    class Saved:
        def __init__(self, tensor):
            self.tensor = tensor
            saved.add(self)

    w = torch.ones(8, 2, requires_grad=True)

    def model(batch):
        most.append(len(saved))
        with torch.autograd.graph.saved_tensors_hooks(Saved, lambda s: s.tensor):
            return batch.square() @ w

    xai.explain(model, x, "occlusion", removal="baseline")
    assert len(most) > 30 and max(most) == 0


@pytest.mark.parametrize(
    ("give", "told"),
    [
        (lambda x: x[:, :2] if len(x) > 6 else x[:, :3], "2 outputs in one call and 3 in another"),
        (lambda x: x[:6, :2] if len(x) < 20 else x[:, :2], r"shape \(6, 2\) for 7 rows"),
        (lambda x: x.sum() if len(x) < 20 else x[:, :2], r"shape \(\) for \d rows"),
    ],
    ids=["width", "rows", "a number"],
)
def test_a_module_that_is_at_odds_with_itself_is_refused(torch, monkeypatch, give, told):
    x = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    monkeypatch.setattr(xai.batches, "TENSOR_BATCHES", ((2**19, 7),))
    with pytest.raises(ValueError, match=told):
        xai.explain(_Odd(torch, give).module, x, "occlusion", removal="baseline")


# ------------------------------------------------------------------------------------------ texts


def test_a_word_takes_the_place_of_each_word_removed():
    """With the space around it; whole coalitions are x as it is, of one text or of several."""
    given: list[str] = []

    def f(texts):
        given.extend(texts)
        return np.array([2.0 * ("good" in t) - ("[MASK]" in t) for t in texts])

    texts = ["a good  film ", " x\ny "]
    mask = xai.removal.Baseline("[MASK]")
    e = xai.explain(f, texts, "occlusion", removal=mask)
    np.testing.assert_array_equal(e.values, [[1, 3, 1], [1, 1, np.nan]])
    np.testing.assert_array_equal(e.base_values, [-1, -1])
    assert set(given) == {
        *texts,
        "[MASK] good  film ", "a [MASK]  film ", "a good  [MASK] ", "[MASK] [MASK]  [MASK] ",
        " [MASK]\ny ", " x\n[MASK] ", " [MASK]\n[MASK] ",
    }  # fmt: skip
    alone = xai.explain(f, texts[1:], "occlusion", removal=mask)
    np.testing.assert_array_equal(alone.values[0], e.values[1, :2])
    score = xai.metrics.deletion(f, texts[:1], e[0])
    assert score.curve[0, -1] == -1  # metrics remove as the explanation did
    left_out = xai.explain(f, texts, "occlusion", removal=xai.removal.Baseline(""))
    plain = xai.explain(f, texts, "occlusion", removal=xai.removal.Baseline(0))
    np.testing.assert_array_equal(left_out.values, plain.values)
    for value in (1, "mean", ["x"]):
        with pytest.raises(ValueError, match="texts"):
            xai.explain(f, texts, "occlusion", removal=xai.removal.Baseline(value))


class Pipeline:
    """What transformers' text classification gives: labels by falling score, one text or more."""

    task = "text-classification"

    def __init__(self, top_k=1):
        self.top_k, self.sizes = top_k, []
        config = SimpleNamespace(id2label={1: "good", 0: "bad"})
        self.model, self.tokenizer = (
            SimpleNamespace(config=config),
            SimpleNamespace(pad_token="[PAD]"),
        )

    def __call__(self, texts, top_k="unset", batch_size=1):
        self.sizes.append((len(texts), batch_size))
        good = [(1 + t.count("good")) / (2 + t.count("good") + t.count("bad")) for t in texts]
        scores = [[{"label": "good", "score": g}, {"label": "bad", "score": 1 - g}] for g in good]
        ranked = [sorted(one, key=lambda each: -each["score"]) for one in scores]
        kept = self.top_k if top_k == "unset" else top_k
        return [one[0] for one in ranked] if kept == 1 else [one[:kept] for one in ranked]


def test_a_pipeline_of_transformers_is_a_model_of_texts():
    """Every label's score, in the model's order, however few it was made to give."""
    texts, pipeline = ["a good film", "bad bad sound"], Pipeline()
    e = xai.explain(pipeline, np.array(texts), "exact_shapley", target="all")
    assert e.output_names == ["bad", "good"]
    np.testing.assert_allclose(e.predictions, [[1 / 3, 2 / 3], [3 / 4, 1 / 4]])
    np.testing.assert_allclose(e.values[0, :, 1], [0, 1 / 6, 0], atol=1e-12)
    assert all(size == 32 for _, size in pipeline.sizes)
    good = xai.explain(pipeline, texts, "occlusion", target=xai.Label("good"))
    np.testing.assert_allclose(good.values[0], [0, 1 / 6, 0], atol=1e-12)
    assert xai.explain(pipeline, texts, "lime", target="good", budget=60).values.shape == (2, 3)
    pipeline._batch_size = 8  # as it was made
    xai.explain(pipeline, texts, "occlusion")
    assert pipeline.sizes[-1][1] == 8


def test_a_booster_that_predicts_of_its_own_matrices_is_called_in_place():
    """As XGBoost's, whose `predict` takes no array and no DataFrame."""

    class Booster:
        def predict(self, data):
            raise TypeError("Expecting data to be a DMatrix")

        def inplace_predict(self, data):
            return np.asarray(data) @ [1.0, 2.0]

    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    for rows in (x, pytest.importorskip("pandas").DataFrame(x, columns=["a", "b"])):
        e = xai.explain(Booster(), rows, "shapley", removal="baseline")
        np.testing.assert_allclose(e.values, [[1, 4], [3, 8]])
