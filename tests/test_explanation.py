"""The labelled result: slices, maps, tables, files."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest

import xai
from xai.archive import in_numbers
from xai.removal import Baseline

ARRAYS = ("values", "base_values", "predictions", "std_error", "converged", "data", "target")


@pytest.fixture(scope="module")
def sampled(large):
    """Three rows, two outputs, errors and a tolerance."""
    return xai.explain(
        large.model, large.x, "shapley", data=large.data, budget=1500, target="all",
        tolerance=0.1, feature_names=list("abcdefgh"), output_names=["no", "yes"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain(large):
    return xai.explain(
        large.model, large.x, "occlusion", data=large.data, feature_names=list("abcdefgh")
    )


def assert_same(one, other):
    for name in ARRAYS:
        a, b = getattr(one, name), getattr(other, name)
        if a is None:
            assert b is None, name
        else:
            np.testing.assert_array_equal(a, b, err_msg=name)
            assert np.asarray(a).dtype == np.asarray(b).dtype, name
    for name in ("method", "removal", "behavior", "summary", "players", "seed", "evaluations"):
        assert getattr(one, name) == getattr(other, name), name
    assert list(one.feature_names) == list(other.feature_names)
    assert list(one.output_names) == list(other.output_names)
    assert one.info.keys() == other.info.keys()
    for name, value in one.info.items():
        np.testing.assert_array_equal(value, other.info[name], err_msg=name)


# ---------------------------------------------------------------------------- length and slices


def test_its_length_is_the_number_of_rows(sampled, plain):
    assert len(sampled) == len(plain) == 3


@pytest.mark.parametrize("i", [0, 1, 2, -1])
def test_an_index_keeps_a_batch_of_one(sampled, plain, i):
    for explanation in (sampled, plain):
        one = explanation[i]
        assert isinstance(one, xai.Explanation) and len(one) == 1
        np.testing.assert_array_equal(one.values, explanation.values[[i]])
        np.testing.assert_array_equal(one.base_values, explanation.base_values[[i]])
        np.testing.assert_array_equal(one.predictions, explanation.predictions[[i]])
        np.testing.assert_array_equal(one.data, explanation.data[[i]])
        assert (one.std_error is None) == (explanation.std_error is None)


def test_slices_and_masks(sampled):
    np.testing.assert_array_equal(sampled[1:].values, sampled.values[1:])
    np.testing.assert_array_equal(sampled[[2, 0]].values, sampled.values[[2, 0]])
    chosen = np.array([True, False, True])
    np.testing.assert_array_equal(sampled[chosen].values, sampled.values[chosen])


def test_rows_of_tensors_come_in_reverse():
    torch = pytest.importorskip("torch")
    x = torch.rand(3, 2)
    e = xai.explain(lambda x: x.sum(axis=1), x, "occlusion", removal="baseline")
    assert torch.equal(e[::-1].data, x.flip(0))
    np.testing.assert_array_equal(e[::-1].values, e.values[::-1])


def test_an_index_out_of_range_ends_iteration(sampled):
    with pytest.raises(IndexError):
        sampled[3]
    assert [len(one) for one in sampled] == [1, 1, 1]


@pytest.mark.parametrize("none", [[], slice(0, 0), np.zeros(3, bool)], ids=repr)
def test_no_row_may_be_chosen(sampled, plain, none, tmp_path):
    for explanation in (sampled, plain):
        empty = explanation[none]
        assert len(empty) == len(empty.to_frame()) == len(empty.map()) == len(empty.top(2)) == 0
        assert empty.top(2).shape[1:] == explanation.top(2).shape[1:]
        assert list(empty.to_frame()) == list(explanation.to_frame())
        for show in (lambda e: e.plot("global"), lambda e: e.to_html(tmp_path / "page.html")):
            with pytest.raises(ValueError, match="no rows"):
                show(empty)


@pytest.mark.parametrize("rows", [(0, 1), True, 1.0, "0", None, [[0, 1]]], ids=repr)
def test_what_chooses_no_rows_is_refused(plain, rows):
    """A pair is a row and a feature elsewhere: it is not taken for two rows."""
    with pytest.raises(IndexError, match="rows are an int, a slice, a list or a mask"):
        plain[rows]


def test_a_rows_own_baseline_goes_with_it_into_slices():
    x, own = np.arange(8.0).reshape(2, 4), np.arange(8.0)[::-1].reshape(2, 4)
    explanation = xai.explain(
        lambda z: z.prod(axis=1), x, "occlusion", removal="baseline", value=own
    )
    np.testing.assert_array_equal(explanation[1:].recipe["value"], own[1:])


def test_info_is_sliced_too(large):
    explanation = xai.explain(large.model, large.x, "lime", data=large.data, budget=500)
    assert explanation.info
    for name, value in explanation.info.items():
        np.testing.assert_array_equal(explanation[1].info[name], value[[1]])


def test_a_result_cannot_be_reassigned(plain):
    with pytest.raises(AttributeError):
        plain.values = np.zeros(3)


# -------------------------------------------------------------------------------- map and top


def test_a_map_has_the_inputs_shape(sampled, plain):
    np.testing.assert_array_equal(plain.map(), plain.values)
    assert sampled.map().shape == (3, 8, 2)
    np.testing.assert_array_equal(sampled.map(), sampled.values)


def test_top_orders_players_by_size(plain, sampled):
    order = np.argsort(-np.abs(plain.values), axis=1)
    for k in (1, 3, 8):
        np.testing.assert_array_equal(plain.top(k), order[:, :k])
    assert sampled.top(2).shape[:2] == (3, 2)


@pytest.mark.parametrize("k", [0, -1, 9, 2.5, "2"])
def test_top_of_more_players_than_there_are_is_refused(plain, k):
    with pytest.raises(ValueError, match="8"):
        plain.top(k)


def test_top_passes_over_padding(line):
    ids = np.array([[0, 0, 0, 0], [0, 1, 2, 3]])
    explanation = xai.explain(
        line.model, line.x[:2], "occlusion", removal=Baseline(0.0), players=ids
    )
    assert explanation.top(1)[0, 0] == 0


# ------------------------------------------------------------------------------------ to_frame


def test_a_frame_is_long(sampled, plain):
    pd = pytest.importorskip("pandas")
    frame = plain.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == 3 * 8
    frame = sampled.to_frame()
    assert len(frame) == 3 * 8 * 2
    values = frame["value"].to_numpy().reshape(3, 8, 2)
    np.testing.assert_array_equal(values, sampled.values)
    assert set(frame["feature"]) == set("abcdefgh")
    assert set(frame["output"]) == {"no", "yes"}
    first = frame[(frame["row"] == 1) & (frame["feature"] == "c") & (frame["output"] == "yes")]
    assert first["value"].item() == sampled.values[1, 2, 1]
    assert first["std_error"].item() == sampled.std_error[1, 2, 1]


@pytest.mark.parametrize("players", [xai.players.Elements(), xai.players.Pixels()])
def test_players_of_several_axes_are_named_by_their_place(players):
    """The name of a step of a series, or of a pixel, is its index in the row's values."""
    f, x = lambda x: x[:, :, 1, 2].sum(axis=1), np.arange(24.0).reshape(1, 2, 3, 4)
    given = {"removal": "baseline", "players": players, "channel_axis": 1}
    e = xai.explain(f, x, "occlusion", **given)
    places = [str(list(place)) for place in np.ndindex(e.values.shape[1:])]
    assert e.feature_names == places == e.to_frame()["feature"].tolist()
    whole = e.values.ndim == 4
    assert e.feature_names[e.top(1)[0, 0]] == ("[1, 1, 2]" if whole else "[1, 2]")


def test_a_frame_names_the_class_of_each_row(trees):
    pytest.importorskip("pandas")
    explanation = xai.explain(trees.model, trees.x, "occlusion", removal=Baseline(0.0))
    frame = explanation.to_frame()
    assert frame.groupby("row")["output"].first().tolist() == trees.model.predict(trees.x).tolist()


def test_a_frame_of_groups_and_of_images(line):
    pytest.importorskip("pandas")
    grouped = xai.explain(
        line.model, line.x[:2], "occlusion", removal=Baseline(0.0), players=[[0, 1], [2, 3]]
    )
    assert len(grouped.to_frame()) == 4
    image = xai.explain(
        lambda z: z[:, 0, 0, 0], np.ones((1, 5, 6, 3)), "occlusion", removal=Baseline(0.0)
    )
    assert len(image.to_frame()) == 30


def test_a_frame_of_a_data_set(large, run, method_table):
    pytest.importorskip("pandas")
    frame = run(method_table["sage"], large).to_frame()
    assert len(frame) == 8 and np.isfinite(frame["value"]).all()


# ------------------------------------------------------------------------------------- to_shap


def test_shaps_explanation_has_the_same_numbers(sampled, plain):
    shap = pytest.importorskip("shap")
    for explanation in (sampled, plain):
        other = explanation.to_shap()
        assert isinstance(other, shap.Explanation)
        np.testing.assert_array_equal(other.values, explanation.values)
        np.testing.assert_array_equal(other.base_values, explanation.base_values)
        np.testing.assert_array_equal(other.data, explanation.data)
        assert list(other.feature_names) == list("abcdefgh")
        assert len(other) == 3


@pytest.mark.filterwarnings("ignore")
def test_shaps_plots_take_it(plain):
    shap = pytest.importorskip("shap")
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    shap.plots.bar(plain.to_shap(), show=False)
    shap.plots.waterfall(plain.to_shap()[0], show=False)
    plt.close("all")


# --------------------------------------------------------------------------------- save and load


@pytest.mark.parametrize("name", ["result.npz", "result", "result.xai", "my result.v1"])
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_saving_writes_that_very_path_and_loading_gives_the_same(
    sampled, plain, tmp_path, name, kind
):
    for explanation in (sampled, plain):
        path = tmp_path / name
        explanation.save(kind(path))
        assert [entry.name for entry in tmp_path.iterdir()] == [name]
        assert_same(xai.load(kind(path)), explanation)


def test_texts_come_back(tmp_path):
    texts = ["a good film", "bad"]
    explanation = xai.explain(lambda x: np.array([float(len(t)) for t in x]), texts, "occlusion")
    explanation.save(tmp_path / "one")
    assert xai.load(tmp_path / "one").data == texts
    assert_same(xai.load(tmp_path / "one"), explanation)


def test_a_file_holds_no_pickle(sampled, tmp_path):
    sampled.save(tmp_path / "one")
    with np.load(tmp_path / "one", allow_pickle=False) as file:
        for name in file.files:
            assert file[name].dtype != object


def test_what_would_need_pickle_is_refused_and_the_file_stays(sampled, tmp_path):
    sampled.save(tmp_path / "one")
    before = (tmp_path / "one").read_bytes()
    told = replace(sampled, info={"why": np.array([{"of": "objects"}])})
    with pytest.raises(TypeError, match="info/why holds objects"):
        told.save(tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == before


def test_every_methods_result_can_be_saved(case, large, run, tmp_path):
    explanation = run(case, large)
    explanation.save(tmp_path / "one")
    assert_same(xai.load(tmp_path / "one"), explanation)


def test_a_loaded_result_does_what_the_first_did(sampled, tmp_path):
    sampled.save(tmp_path / "one")
    loaded = xai.load(tmp_path / "one")
    np.testing.assert_array_equal(loaded.map(), sampled.map())
    np.testing.assert_array_equal(loaded.top(3), sampled.top(3))
    np.testing.assert_array_equal(loaded[1].values, sampled[1].values)
    assert loaded.to_frame().equals(sampled.to_frame())


def test_a_frame_with_strings_and_categories_comes_back(mixed, tmp_path):
    explanation = xai.explain(mixed.pipeline, mixed.x, "occlusion", data=mixed.data)
    explanation.save(tmp_path / "one")
    data = xai.load(tmp_path / "one").data
    assert list(data.columns) == list(mixed.x.columns)
    for column in data.columns:
        assert data[column].tolist() == mixed.x[column].tolist()


def test_sparse_rows_come_back(tmp_path):
    from scipy import sparse

    x = sparse.csr_matrix(np.eye(3))
    explanation = xai.explain(
        lambda rows: np.asarray(rows.sum(axis=1)).ravel(), x, "occlusion", removal=Baseline(0)
    )
    explanation.save(tmp_path / "one")
    data = xai.load(tmp_path / "one").data
    assert sparse.issparse(data)
    np.testing.assert_array_equal(data.toarray(), np.eye(3))


def test_tensors_come_back_as_arrays(tmp_path):
    torch = pytest.importorskip("torch")
    x = torch.rand(2, 3)
    explanation = xai.explain(lambda z: z.sum(1), x, "occlusion", removal=Baseline(0.0))
    explanation.save(tmp_path / "one")
    np.testing.assert_array_equal(xai.load(tmp_path / "one").data, x.numpy())


def test_padding_comes_back(line, tmp_path):
    ids = np.array([[0, 0, 0, 0], [0, 1, 2, 3]])
    explanation = xai.explain(
        line.model, line.x[:2], "occlusion", removal=Baseline(0.0), players=ids
    )
    explanation.save(tmp_path / "one")
    loaded = xai.load(tmp_path / "one")
    np.testing.assert_array_equal(loaded.values, explanation.values)
    np.testing.assert_array_equal(loaded.map(), explanation.map())


def test_a_foreign_file_is_refused(tmp_path):
    np.savez(tmp_path / "one.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match=r"one\.npz"):
        xai.load(tmp_path / "one.npz")
    (tmp_path / "two").write_text("no archive")
    with pytest.raises(ValueError, match="two"):
        xai.load(tmp_path / "two")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "empty").touch()
    for name in ("one.npy", "empty"):
        with pytest.raises(ValueError, match=f"{name} is no explanation"):
            xai.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        xai.load(tmp_path / "three")


def test_rows_of_a_kind_that_is_unknown_are_named(plain, tmp_path):
    """As a later version may store them."""
    plain.save(tmp_path / "one.npz")
    with np.load(tmp_path / "one.npz") as file:
        parts = dict(file)
    text = str(parts["json"])
    parts["json"] = np.array(text.replace('"kind": "array"', '"kind": "ragged"'))
    assert parts["json"] != text
    np.savez(tmp_path / "one.npz", **parts)
    with pytest.raises(ValueError, match="'ragged', unknown to this version"):
        xai.load(tmp_path / "one.npz")


def test_a_damaged_file_is_refused(plain, tmp_path):
    plain.save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    with zipfile.ZipFile(tmp_path / "whole") as archive:
        text = archive.getinfo("json.npy")
    end = text.header_offset + text.compress_size
    for place in range(end - text.compress_size // 2, end, 7):
        damaged = bytearray(whole)
        damaged[place] ^= 255
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged is no explanation"):
            xai.load(tmp_path / "damaged")


# ----------------------------------------------------------------------------------- how it reads


def test_its_repr_says_what_it_is(plain):
    assert "occlusion" in repr(plain)
    assert len(repr(plain)) < 1000
    assert "<" in plain._repr_html_()
    assert "occlusion" in plain._repr_html_()


def test_data_and_arrays_are_not_shared_with_the_caller(large):
    """Changing x afterwards does not change what was explained."""
    x = large.x.copy()
    explanation = xai.explain(large.model, x, "occlusion", data=large.data)
    x[:] = 0
    np.testing.assert_array_equal(explanation.data, large.x)


# ------------------------------------------------------------------- names of outputs and words


def test_shaps_outputs_are_named_as_the_columns_are():
    pytest.importorskip("shap")
    explanation = xai.explain(
        lambda x: x, np.array([[0.0, 1.0, 5.0], [5.0, 1.0, 0.0]]), "occlusion",
        removal=Baseline(0.0), target=xai.Top(2), output_names=["low", "mid", "high"],
    )  # fmt: skip
    assert list(explanation[0].to_shap().output_names) == ["high", "mid"]
    assert list(explanation[1].to_shap().output_names) == ["low", "mid"]
    for some in (explanation, explanation[:0]):
        assert list(some.to_shap().output_names) == ["top 1", "top 2"]


def test_names_of_outputs_that_are_no_axis_are_refused():
    one = xai.explain(lambda x: x @ np.eye(2), np.eye(2), "occlusion", removal=Baseline(0.0))
    with pytest.raises(ValueError, match="one output of each row is explained"):
        _ = one.output_labels


def test_shaps_outputs_of_all_keep_their_names(sampled):
    pytest.importorskip("shap")
    assert list(sampled.to_shap().output_names) == ["no", "yes"]


def lengths(texts):
    return np.array([float(len(text)) for text in texts])


def test_a_row_of_texts_has_its_own_words():
    pytest.importorskip("pandas")
    texts = ["a good film", "bad film"]
    both = xai.explain(lengths, texts, "shapley")
    assert both.feature_names == ["0", "1", "2"]
    assert both[0].feature_names == xai.explain(lengths, texts[:1], "shapley").feature_names
    assert both[0].feature_names == ["a", "good", "film"]
    assert both[1:].feature_names == ["bad", "film", ""]
    frame = both.to_frame()  # which has no lines for what pads the shorter text
    assert frame["feature"].tolist() == ["a", "good", "film", "bad", "film"]
    assert frame["row"].tolist() == [0, 0, 0, 1, 1] and list(frame.index) == [0, 1, 2, 3, 4]
    assert frame["value"].tolist() == [*both.values[0], *both.values[1, :2]]
    assert both[1].to_frame()["feature"].tolist() == ["bad", "film"]


def test_groups_of_words_are_named_by_their_ids():
    e = xai.explain(lengths, ["good old film"], "occlusion", players=np.array([0, 0, 1]))
    assert e.feature_names == e.names_of(0) == ["0", "1"]


def test_given_names_of_words_stay():
    both = xai.explain(lengths, ["good film", "bad film"], "shapley", feature_names=["p", "q"])
    assert both[1].feature_names == both.feature_names == ["p", "q"]


# ---------------------------------------------------------------------- data come back as they were


def saved(data, path):
    """What an explanation's data are once they have been written and read."""
    from dataclasses import replace

    explanation = xai.explain(
        lambda x: x[:, 0], np.eye(data.shape[0]), "occlusion", removal=Baseline(0.0)
    )
    replace(explanation, data=data).save(path)
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    return xai.load(path).data


@pytest.mark.parametrize("index", [[10, 20], ["p", "q"], "dates", "pairs", "steps", None])
def test_a_frame_comes_back_with_its_dtypes_and_index(index, tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "int": np.array([2**60 + 1, 1]),
            "half": np.array([1, np.nan], np.float32),
            "word": ["x", None],
            "object": pd.Series([1.5, "1.5"], dtype=object),
            "cell": pd.Series([None, (1, True)], dtype=object),
            "category": pd.Categorical(["u", None], categories=["v", "u"], ordered=True),
            "number": pd.Categorical([3, 1]),
            "day": pd.to_datetime(["2020-01-01", None]),
            "zone": pd.to_datetime(["2020-01-01", "2020-07-01"]).tz_localize("Europe/Berlin"),
            "Int64": pd.array([1, None], dtype="Int64"),
            "boolean": pd.array([True, None], dtype="boolean"),
        }
    )
    if index == "dates":
        frame.index = pd.Index(pd.to_datetime(["2020-01-01", "2021-01-01"]), name="when")
    elif index == "pairs":
        frame.index = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None])
    elif index == "steps":
        frame.index = pd.RangeIndex(7, 1, -3, name="id")
    elif index is not None:
        frame.index = pd.Index(index, name="id")
    pd.testing.assert_frame_equal(saved(frame, tmp_path / "one"), frame, check_index_type=True)


def test_labels_of_columns_come_back(tmp_path):
    pd = pytest.importorskip("pandas")
    for labels in ([0, 1], pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])):
        frame = pd.DataFrame([[1, 2.5]], columns=labels)
        pd.testing.assert_frame_equal(saved(frame, tmp_path / "one"), frame)


def test_a_polars_frame_comes_back(tmp_path):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [1, None], "c": pl.Series(["u", "v"], dtype=pl.Categorical)})
    assert saved(frame, tmp_path / "one").equals(frame)
    assert saved(frame, tmp_path / "one").schema == frame.schema


@pytest.mark.parametrize("sizes", [[1.0, 2.0], [1, 2]])
def test_polars_dates_beside_numbers_are_told_as_dates(sizes):
    pl = pytest.importorskip("polars")
    born = pl.Series([1, 2]).cast(pl.Date)
    for column in (born, born.cast(pl.Datetime)):
        frame = pl.DataFrame({"born": column, "size": sizes})
        explanation = xai.explain(lambda f: f["size"].to_numpy(), frame, data=frame)
        assert "born = 1970-01-03" in explanation[1]._repr_html_()


def test_objects_come_back_with_their_types(tmp_path):
    day, ago = np.datetime64("2020-01-01"), np.timedelta64(3, "D")
    array = np.array([["a", 1.5, None], [True, np.float32(2), 3], [day, ago, ("b", 4)]], object)
    back = saved(array, tmp_path / "one")
    assert back.tolist() == array.tolist()
    assert [type(cell) for cell in back.ravel()] == [type(cell) for cell in array.ravel()]


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array"])
def test_sparse_rows_keep_dtype_and_class(kind, tmp_path):
    from scipy import sparse

    data = getattr(sparse, kind)(
        np.eye(3, 5, dtype=np.int32) * [[0], [7], [0]]
    )  # empty at its ends
    back = saved(data, tmp_path / "one")
    assert type(back) is type(data) and back.dtype == data.dtype
    np.testing.assert_array_equal(back.toarray(), data.toarray())


def test_a_half_tensor_comes_back_as_an_array(tmp_path):
    torch = pytest.importorskip("torch")
    back = saved(torch.full((1, 2), 0.5, dtype=torch.bfloat16), tmp_path / "one")
    np.testing.assert_array_equal(back, [[0.5, 0.5]])


def test_what_is_missing_is_no_category_and_categories_have_one_line():
    pd = pytest.importorskip("pandas")
    numbers, none = in_numbers(np.array([1, None, pd.NA, 2.5], object))
    np.testing.assert_array_equal(numbers, [1, np.nan, np.nan, 2.5])
    assert none == []
    dates, none = in_numbers(np.array(["1970-01-03", "NaT"], "M8[D]"))
    np.testing.assert_array_equal(dates, [2, np.nan])
    assert none == []
    codes, kinds = in_numbers(np.array(["b\n c", "a", "b\n c"], object))
    assert codes.tolist() == [1, 0, 1] and kinds == ["a", "b c"]


def test_what_would_not_come_back_is_refused_by_name(tmp_path):
    pd = pytest.importorskip("pandas")
    months = pd.DataFrame({"month": pd.period_range("2020", periods=2, freq="M")})
    sets = pd.DataFrame({"month": [{1}, {2}]})
    for data in (months, sets):
        with pytest.raises(TypeError, match=r"'month'.*data=None"):
            saved(data, tmp_path / "one")
    with pytest.raises(TypeError, match=r"the explained rows.*data=None"):
        saved(np.array([[np.longdouble(1.5)]], object), tmp_path / "one")
    assert saved(np.eye(1), tmp_path / "one") is not None


def test_an_explanation_without_its_data_can_be_saved(plain, tmp_path):
    from dataclasses import replace

    replace(plain, data=None).save(tmp_path / "one")
    loaded = xai.load(tmp_path / "one")
    assert loaded.data is None and loaded[1].data is None
    np.testing.assert_array_equal(loaded.values, plain.values)


def test_a_pair_of_indices_is_told_where_players_are():
    e = xai.explain(lambda x: x[:, 0], np.eye(2), "occlusion", data=np.eye(2))
    with pytest.raises(IndexError, match=r"\(of players: explanation.values\[:, j\]\)"):
        e[:, 0]
