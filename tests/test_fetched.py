"""Data sets that are downloaded: small files in the sources' formats, from a server of our own."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import xai
from xai import datasets

ADULT = """\
39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, \
2174, 0, 40, United-States, <=50K
54, ?, 180211, Some-college, 10, Married-civ-spouse, ?, Husband, Asian-Pac-Islander, Male, 0, 0, \
60, South, >50K

"""
ADULT_TEST = """\
|1x3 Cross validator
25, Private, 226802, 11th, 7, Never-married, Machine-op-inspct, Own-child, Black, Male, 0, 0, 40, \
United-States, <=50K.
44, Private, 160323, Some-college, 10, Married-civ-spouse, Machine-op-inspct, Husband, Black, \
Male, 7688, 0, 40, United-States, >50K.
"""
# The file has two columns called decile_score; the second is given another value here.
COMPAS = """\
id,name,sex,age,race,juv_fel_count,decile_score,juv_misd_count,juv_other_count,priors_count,\
days_b_screening_arrest,c_charge_degree,c_charge_desc,is_recid,decile_score,score_text,two_year_recid
1,kept,Male,69,Other,0,1,0,0,0,-30,F,Assault,0,9,Low,0
2,kept,Female,34,African-American,0,3,1,0,2,30,M,"Poss 3,4 MDMA (Ecstasy)",1,9,Low,1
3,too late,Male,24,Caucasian,0,4,0,1,4,31,F,Grand Theft,1,9,Low,1
4,too early,Male,24,Caucasian,0,4,0,1,4,-31,F,Grand Theft,1,9,Low,1
5,unknown day,Male,23,Caucasian,0,8,1,0,1,,F,Cannabis,0,9,High,0
6,unknown outcome,Male,43,Other,0,1,0,0,2,0,F,,-1,9,Low,0
7,traffic,Male,43,Other,0,1,0,0,2,0,O,,0,9,Low,0
8,no score,Male,43,Other,0,-1,0,0,2,0,F,,0,9,N/A,0
9,kept,Male,43,Hispanic,2,10,0,0,13,0,F,,1,9,High,1
"""
GERMAN = """\
A11 6 A34 A43 1169 A65 A75 4 A93 A101 4 A121 67 A143 A152 2 A173 1 A192 A201 1
A12 48 A32 A410 5951 A61 A73 2 A92 A101 2 A121 22 A143 A152 1 A173 1 A191 A201 2
"""
HELOC_ROWS = [
    ("Bad", [55, 144, 4, 84, 20, 3, 0, 83, 2, 3, 5, 23, 1, 43, 0, 0, 0, 33, -8, 8, 1, 1, 69]),
    ("Good", [61, 58, -9, 41, 2, 4, 4, 100, -7, 0, 8, 7, 0, 67, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ("Good", [-9] * 23),
]
HELOC_NAMES = import_module("xai.datasets.heloc").FEATURES
HELOC = "".join(
    f"{','.join(map(str, line))}\n"
    for line in [("RiskPerformance", *HELOC_NAMES), *((label, *v) for label, v in HELOC_ROWS)]
)
FILES = {
    "adult.data": ADULT,
    "adult.test": ADULT_TEST,
    "compas-scores-two-years.csv": COMPAS,
    "german.data": GERMAN,
}
FETCH = {
    "adult": datasets.fetch_adult,
    "compas": datasets.fetch_compas,
    "german": datasets.fetch_german_credit,
}


class Site:
    """A web server of files {path: text}; `asked` are the paths that were asked for."""

    def __init__(self):
        self.files, self.asked, self.short = {}, [], False
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append(self.path)
                text = site.files.get(self.path)
                content = (text or "no such file").encode()
                self.send_response(404 if text is None else 200)
                self.send_header("Content-Length", str(len(content) + 100 * site.short))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()


@pytest.fixture
def site(monkeypatch):
    """The sources, on this machine."""
    site = Site()
    site.files = {f"/{name}": text for name, text in FILES.items()}
    for name in FETCH:
        module = import_module(f"xai.datasets.{name}")
        monkeypatch.setattr(module, "SOURCES", {f: f"{site.url}/{f}" for f in module.SOURCES})
    yield site
    site.close()


@pytest.fixture
def openml(site, monkeypatch):
    """OpenML's answers for HELOC, in which the labels come last."""

    def serve(names=HELOC_NAMES, rows=HELOC_ROWS, labels=("Bad", "Good"), digest=None):
        arff = "@RELATION heloc\n\n"
        arff += "".join(f"@ATTRIBUTE {name} NUMERIC\n" for name in names)
        arff += f"@ATTRIBUTE RiskPerformance {{{','.join(labels)}}}\n\n@DATA\n"
        arff += "".join(f"{','.join(map(str, values))},{label}\n" for label, values in rows)
        columns = [(name, "numeric", "false") for name in names]
        columns.append(("RiskPerformance", "nominal", "true"))
        features = [
            {
                "index": str(j), "name": name, "data_type": kind, "is_target": target,
                "is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0",
            }
            for j, (name, kind, target) in enumerate(columns)
        ]  # fmt: skip
        digest = digest or hashlib.md5(arff.encode()).hexdigest()
        about = {
            "status": "active", "format": "ARFF", "url": f"{site.url}/heloc.arff",
            "md5_checksum": digest, "description": "HELOC",
        }  # fmt: skip
        count = [{"name": "NumberOfInstances", "value": str(len(rows))}]
        site.files |= {
            "/45553": json.dumps({"data_set_description": about}),
            "/features/45553": json.dumps({"data_features": {"feature": features}}),
            "/qualities/45553": json.dumps({"data_qualities": {"quality": count}}),
            "/heloc.arff": arff,
        }

    api = import_module("sklearn.datasets._openml")
    monkeypatch.setattr(api, "_OPENML_PREFIX", "", raising=False)  # of scikit-learn 1.5
    monkeypatch.setattr(api, "_DATA_INFO", site.url + "/{}")
    monkeypatch.setattr(api, "_DATA_FEATURES", site.url + "/features/{}")
    monkeypatch.setattr(api, "_DATA_QUALITIES", site.url + "/qualities/{}")
    return serve


# ------------------------------------------------------------------------------ what is read


def test_adult(site, tmp_path):
    data = datasets.fetch_adult(data_home=tmp_path)
    assert data.data.shape == (4, 13)
    assert "fnlwgt" not in data.feature_names
    assert_array_equal(data.target, [0, 1, 0, 1])
    assert data.target_names == ("<=50K", ">50K")
    assert_array_equal(data.info["test"], [False, False, True, True])
    assert_array_equal(data.info["weight"], [77516, 180211, 226802, 160323])
    age, work = (data.feature_names.index(name) for name in ("age", "workclass"))
    assert_array_equal(data.data[:, age], [39, 54, 25, 44])
    assert_array_equal(data.data[:, work], [1, np.nan, 0, 0])
    assert data.categories["workclass"] == ("Private", "State-gov")
    assert len(data.categories) == len(data.categorical) == 8
    assert {"race", "sex"} <= set(data.protected) <= set(data.feature_names)


def test_compas_keeps_propublicas_rows(site, tmp_path):
    pytest.importorskip("pandas")
    data = datasets.fetch_compas(data_home=tmp_path)
    assert len(data) == 3
    assert_array_equal(data.target, [0, 1, 1])
    assert_array_equal(data.info["decile_score"], [1, 3, 10])  # the first of two such columns
    frame = data.to_frame()
    assert frame["race"].tolist() == ["Other", "African-American", "Hispanic"]
    assert frame["c_charge_degree"].tolist() == ["F", "M", "F"]
    assert frame["priors_count"].tolist() == [0, 2, 13]
    assert not set(data.feature_names) & {"decile_score", "is_recid", "two_year_recid"}
    assert {"race", "sex"} <= set(data.protected) <= set(data.feature_names)


def test_german_credit(site, tmp_path):
    pytest.importorskip("pandas")
    data = datasets.fetch_german_credit(data_home=tmp_path)
    assert data.data.shape == (2, 20)
    assert [data.target_names[k] for k in data.target] == ["good", "bad"]
    frame = data.to_frame()
    assert frame["checking_status"].tolist() == ["< 0 DM", "0 to 200 DM"]
    assert frame["purpose"].tolist() == ["radio or television", "others"]
    assert frame["personal_status"].tolist()[1].startswith("female")
    assert frame["credit_amount"].tolist() == [1169, 5951]
    assert len(data.categories) == 13
    assert len({kind for kinds in data.categories.values() for kind in kinds}) > 50
    assert {"age", "personal_status"} <= set(data.protected) <= set(data.feature_names)


def check_heloc(data):
    assert data.data.shape == (2, 23)  # a row of -9 alone tells nothing
    assert data.feature_names[:2] == ("ExternalRiskEstimate", "MSinceOldestTradeOpen")
    assert data.target_names == ("Bad", "Good")
    assert data.target.tolist() == [0, 1]
    values = np.array([v for _, v in HELOC_ROWS[:2]], float)
    special = np.isin(values, [-7, -8, -9])
    assert special.sum() == 3
    assert_array_equal(data.data, np.where(special, np.nan, values))
    assert_array_equal(data.info["special"], np.where(special, values, 0))
    assert data.categories == {}


def test_heloc_is_ficos_file_where_it_lies(openml, site, tmp_path):
    (tmp_path / "heloc_dataset_v1.csv").write_text(HELOC)
    check_heloc(datasets.fetch_heloc(data_home=tmp_path))
    assert not site.asked


def test_heloc_is_openmls_copy_elsewhere(openml, site, tmp_path):
    openml()
    check_heloc(datasets.fetch_heloc(data_home=tmp_path))
    asked = len(site.asked)
    check_heloc(datasets.fetch_heloc(data_home=tmp_path))
    assert len(site.asked) == asked > 0


def test_openmls_columns_may_come_in_another_order(openml, tmp_path):
    rows = [(label, values[::-1]) for label, values in HELOC_ROWS]
    openml(names=HELOC_NAMES[::-1], rows=rows)
    check_heloc(datasets.fetch_heloc(data_home=tmp_path))


@pytest.mark.filterwarnings("ignore:Downloaded file could")  # scikit-learn tries again
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ("0", "1"), "rows": [("1", HELOC_ROWS[0][1])]}, "classes 1"),
        ({"names": ("MedInc", *HELOC_NAMES[1:])}, "columns MedInc"),
        ({"digest": "0" * 32}, "md5"),
    ],
)
def test_what_is_not_heloc_is_refused(openml, tmp_path, change, message):
    openml(**change)
    with pytest.raises(ConnectionError, match=message) as refused:
        datasets.fetch_heloc(data_home=tmp_path)
    assert f"community.fico.com/s/explainable-machine-learning-challenge  as  {tmp_path}" in str(
        refused.value
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FETCH)
def test_all_are_one_family(site, tmp_path, name):
    data = FETCH[name](data_home=tmp_path)
    assert type(data) is datasets.Dataset
    assert data.data.dtype == np.float64
    assert len(data.data) == len(data.target) == len(data)
    assert len(data.feature_names) == data.data.shape[1]
    assert data.citation and data.description and data.truth is None
    for array in (data.data, data.target, *data.info.values()):
        assert not array.flags.writeable
    with pytest.raises(TypeError):
        data.categories["mine"] = ()
    assert [data.target_names.index(label) for label in data.labels] == data.target.tolist()
    for j in data.categorical:
        codes = data.data[:, j]
        known = codes[~np.isnan(codes)].astype(int)
        assert set(known) <= set(range(len(data.categories[data.feature_names[j]])))


@pytest.mark.parametrize("name", FETCH)
def test_a_frame_holds_names_for_codes_and_is_ones_own(site, tmp_path, name):
    pandas = pytest.importorskip("pandas")
    data = FETCH[name](data_home=tmp_path)
    frame = data.to_frame()
    assert tuple(frame.columns) == data.feature_names
    for j, column in enumerate(data.feature_names):
        if column in data.categories:
            assert isinstance(frame[column].dtype, pandas.CategoricalDtype)
            assert tuple(frame[column].cat.categories) == data.categories[column]
            codes = np.where(np.isnan(data.data[:, j]), -1, data.data[:, j])
            assert_array_equal(frame[column].cat.codes, codes)
        else:
            assert_array_equal(frame[column], data.data[:, j])
    kept = data.data.copy()
    frame.iloc[0, data.feature_names.index("age")] = -1.0
    assert_array_equal(data.data, kept)
    assert data.to_frame()["age"].iloc[0] == kept[0, data.feature_names.index("age")]


def test_bundled_tables_make_frames_and_images_do_not():
    pytest.importorskip("pandas")
    wine = datasets.wine()
    assert_array_equal(wine.to_frame()["alcohol"], wine.data[:, 0])
    with pytest.raises(ValueError, match="only tables"):
        datasets.photographs().to_frame()


# --------------------------------------------------------------------------------- the cache


def test_a_second_call_asks_for_nothing(site, tmp_path):
    first = datasets.fetch_adult(data_home=tmp_path)
    assert site.asked == ["/adult.data", "/adult.test"]
    again = datasets.fetch_adult(data_home=tmp_path)
    assert len(site.asked) == 2
    assert_array_equal(first.data, again.data)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"adult.data", "adult.test", "adult.data.sha256", "adult.test.sha256"}


def test_digests_are_written_as_sha256sum_does(site, tmp_path):
    datasets.fetch_german_credit(data_home=tmp_path)
    digest = hashlib.sha256(GERMAN.encode()).hexdigest()
    assert (tmp_path / "german.data.sha256").read_text() == f"{digest}  german.data\n"


def test_only_what_is_missing_is_downloaded(site, tmp_path):
    (tmp_path / "adult.test").write_text(ADULT_TEST)
    assert len(datasets.fetch_adult(data_home=tmp_path)) == 4
    assert site.asked == ["/adult.data"]


def test_a_file_that_changed_on_disk_is_noticed_and_can_be_had_again(site, tmp_path):
    datasets.fetch_german_credit(data_home=tmp_path)
    (tmp_path / "german.data").write_text(GERMAN.replace("1169", "1170"))
    with pytest.raises(ValueError, match=r"changed or damaged.*redownload=True.*german.data.sha2"):
        datasets.fetch_german_credit(data_home=tmp_path)
    data = datasets.fetch_german_credit(data_home=tmp_path, redownload=True)
    assert data.data[0, 4] == 1169
    assert len(site.asked) == 2


@pytest.mark.parametrize("record", [b"", b"\xff\xfe"])
def test_a_damaged_digest_is_no_match(site, tmp_path, record):
    datasets.fetch_german_credit(data_home=tmp_path)
    (tmp_path / "german.data.sha256").write_bytes(record)
    with pytest.raises(ValueError, match=r"delete .*german\.data\.sha256"):
        datasets.fetch_german_credit(data_home=tmp_path)


def test_a_file_of_no_text_is_refused_by_name(tmp_path):
    (tmp_path / "german.data").write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(ValueError, match=r"german\.data holds no text"):
        datasets.fetch_german_credit(data_home=tmp_path)


def test_a_source_that_changed_is_noticed_and_replaces_nothing(site, tmp_path):
    datasets.fetch_german_credit(data_home=tmp_path)
    site.files["/german.data"] = GERMAN.replace("1169", "1170")
    with pytest.raises(ValueError, match=r"changed there. Nothing was replaced"):
        datasets.fetch_german_credit(data_home=tmp_path, redownload=True)
    assert datasets.fetch_german_credit(data_home=tmp_path).data[0, 4] == 1169
    (tmp_path / "german.data.sha256").unlink()  # as the message says
    assert datasets.fetch_german_credit(data_home=tmp_path, redownload=True).data[0, 4] == 1170


def test_a_download_cut_short_leaves_nothing(site, tmp_path):
    site.short = True
    with pytest.raises(ConnectionError, match="IncompleteRead"):
        datasets.fetch_german_credit(data_home=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_finished_leaves_nothing(site, monkeypatch, tmp_path):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        datasets.fetch_german_credit(data_home=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_for_reading_only_serves(site, monkeypatch, tmp_path):
    (tmp_path / "german.data").write_text(GERMAN)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert len(datasets.fetch_german_credit(data_home=tmp_path)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["german.data"]


def test_where_nothing_can_be_written_another_folder_is_asked_for(site, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="folder") as found:
        datasets.fetch_german_credit(data_home=tmp_path / "file" / "folder")
    assert "XAI_DATA_HOME" in found.value.__notes__[0]
    monkeypatch.delenv("XAI_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # of nobody, in a container
    with pytest.raises(RuntimeError) as found:
        datasets.fetch_german_credit()
    assert "XAI_DATA_HOME" in found.value.__notes__[0]


def test_files_are_as_readable_as_others(site, tmp_path):
    (tmp_path / "mine").write_text("")
    datasets.fetch_german_credit(data_home=tmp_path)
    mode = (tmp_path / "mine").stat().st_mode
    assert {path.stat().st_mode for path in tmp_path.iterdir()} == {mode}


def test_many_may_fetch_at_once(site, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda _: datasets.fetch_german_credit(data_home=tmp_path), range(16))
        )
    for data in found:
        assert_array_equal(data.data, found[0].data)
    assert {path.name for path in tmp_path.iterdir()} == {"german.data", "german.data.sha256"}


def test_a_failed_redownload_keeps_the_old_file(site, tmp_path):
    datasets.fetch_compas(data_home=tmp_path)
    del site.files["/compas-scores-two-years.csv"]
    with pytest.raises(ConnectionError, match=r"404(?s:.*)  as  .*compas-scores-two-years\.csv"):
        datasets.fetch_compas(data_home=tmp_path, redownload=True)
    assert len(datasets.fetch_compas(data_home=tmp_path)) == 3


def test_without_a_network_the_message_says_what_to_put_where(site, tmp_path):
    site.close()
    with pytest.raises(ConnectionError, match="by hand") as refused:
        datasets.fetch_adult(data_home=tmp_path)
    for name in ("adult.data", "adult.test"):
        assert f"{site.url}/{name}  as  {tmp_path / name}" in str(refused.value)
    assert "XAI_DATA_HOME" in str(refused.value)
    for name in ("adult.data", "adult.test"):
        (tmp_path / name).write_text(FILES[name])
    assert len(datasets.fetch_adult(data_home=tmp_path)) == 4


@pytest.mark.filterwarnings("ignore:A network error occurred")  # scikit-learn tries again
def test_without_a_network_heloc_names_ficos_file(openml, site, tmp_path):
    site.close()
    with pytest.raises(ConnectionError, match=r"community.fico.com.*heloc_dataset_v1.csv"):
        datasets.fetch_heloc(data_home=tmp_path)


def test_addresses_may_be_files(monkeypatch, tmp_path):
    source = tmp_path / "elsewhere" / "german.data"
    source.parent.mkdir()
    source.write_text(GERMAN)
    monkeypatch.setattr("xai.datasets.german.SOURCES", {"german.data": source.as_uri()})
    assert len(datasets.fetch_german_credit(data_home=tmp_path / "home")) == 2
    assert (tmp_path / "home" / "german.data").read_text() == GERMAN


def test_the_folder_is_named_by_argument_then_variable_then_platform(monkeypatch, tmp_path):
    from xai.datasets.cache import folder_of

    monkeypatch.setenv("XAI_DATA_HOME", str(tmp_path / "variable"))
    assert folder_of(tmp_path / "given") == tmp_path / "given"
    assert folder_of(None) == tmp_path / "variable"
    monkeypatch.setenv("XAI_DATA_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder_of("~/mine") == tmp_path / "mine"
    for platform, variable, value, expected in [
        ("linux", "XDG_CACHE_HOME", str(tmp_path / "xdg"), tmp_path / "xdg" / "xai"),
        ("linux", "XDG_CACHE_HOME", "", tmp_path / ".cache" / "xai"),
        ("darwin", "XDG_CACHE_HOME", "", tmp_path / "Library" / "Caches" / "xai"),
        ("win32", "LOCALAPPDATA", str(tmp_path / "local"), tmp_path / "local" / "xai"),
    ]:
        monkeypatch.setattr("sys.platform", platform)
        monkeypatch.setenv(variable, value)
        assert folder_of(None) == expected


def test_the_variable_is_obeyed(site, monkeypatch, tmp_path):
    monkeypatch.setenv("XAI_DATA_HOME", str(tmp_path / "a" / "b"))
    datasets.fetch_german_credit()
    assert (tmp_path / "a" / "b" / "german.data").exists()


# ------------------------------------------------------------------------- what is not right


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("adult", "adult.data", "<html>\nGo away\n", "row 1 has 1 entries where 15 are expected"),
        ("german", "german.data", GERMAN.replace("A93", "A99"), "'personal_status' holds 'A99'"),
        ("german", "german.data", GERMAN.replace("1169", "much"), "'credit_amount' holds no num"),
        ("adult", "adult.data", ADULT.replace("<=50K", "50K"), "'income' holds '50K'"),
        ("compas", "compas-scores-two-years.csv", "id,age\n1,2\n", "no column 'days_b_screening"),
        ("adult", "adult.data", "\n", "adult.data is empty"),
        ("german", "german.data", "\n", "german.data is empty"),
        ("compas", "compas-scores-two-years.csv", "\n", "years.csv is empty"),
    ],
)
def test_files_that_are_not_what_they_should_be(site, tmp_path, name, file, text, message):
    site.files[f"/{file}"] = text
    with pytest.raises(ValueError, match=message) as refused:
        FETCH[name](data_home=tmp_path)
    assert str(tmp_path) in str(refused.value)


# ------------------------------------------------------------------------------ used to explain


@pytest.fixture
def adult(site, tmp_path):
    """Adult's four rows, many times over with other ages and hours."""
    rng = np.random.default_rng(0)
    lines = ADULT.strip().splitlines()
    site.files["/adult.data"] = "\n".join(
        line.replace(line[:2], str(rng.integers(20, 70)), 1)
        for line in np.array(lines)[rng.integers(0, 2, 60)]
    )
    return datasets.fetch_adult(data_home=tmp_path)


def test_a_frame_is_explained_by_name_with_missing_values_and_categories(adult):
    pytest.importorskip("pandas")
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="category")),
        remainder=StandardScaler(),
    )
    X = adult.to_frame()
    model = make_pipeline(encoder, LogisticRegression()).fit(X, adult.labels)
    e = xai.explain(model, X[:3], data=X[10:30], target=">50K")
    assert e.output_names == list(adult.target_names)
    assert e.feature_names == list(adult.feature_names)
    np.testing.assert_allclose(
        e.values.sum(axis=1) + e.base_values, model.predict_proba(X[:3])[:, 1], atol=1e-9
    )
    assert np.abs(e.values[:, adult.feature_names.index("workclass")]).max() > 0


def test_codes_are_explained_as_categories(adult):
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        categorical_features=list(adult.categorical), min_samples_leaf=5
    ).fit(adult.data, adult.target)
    e = xai.explain(
        model, adult.data[:3], data=adult.data[10:30], categorical=adult.categorical,
        feature_names=adult.feature_names, target=1, budget=600,
    )  # fmt: skip
    np.testing.assert_allclose(
        e.values.sum(axis=1) + e.base_values, model.predict_proba(adult.data[:3])[:, 1], atol=1e-9
    )
