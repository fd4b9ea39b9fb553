"""The HTML: what is the user's is escaped, nothing is loaded, nothing is left out silently."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xai
from xai import report
from xai.report import payload

mpl.use("Agg")

EVIL = "<script>alert('1')</script>&\""
VOID = {"meta", "img", "br", "input"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def linear(
    n: int = 2, d: int = 4, method: str = "exact_shapley", **changes: Any
) -> xai.Explanation:
    w = (-1.0) ** np.arange(d) * np.arange(1, d + 1)
    names = [f"x{j}" for j in range(d)]
    made = xai.explain(
        lambda x: x @ w, np.ones((n, d)), method, data=np.zeros((1, d)), feature_names=names
    )
    return replace(made, **changes)


def bars(text: str) -> list[tuple[float, float]]:
    """(left, width) of every bar, in per cent of its track."""
    found = re.findall(r"left:([\d.]+)%;width:([\d.]+)%", text)
    return [(float(left), float(width)) for left, width in found]


# ------------------------------------------------------------------------------------ fragment


def test_a_fragment_shows_rows_values_and_bars() -> None:
    errors = np.full((1, 4), 0.25)
    text = linear(1, std_error=errors, exact=np.array([False]))._repr_html_()
    seen = Reader(text)
    assert "row 0, exact_shapley: output, prediction -2, base value 0" in seen.text
    for part in ("x3 = 1", "-4.00", "± 0.25", "x0 = 1", "+1.00"):
        assert part in seen.text
    # values -4, 3, -2, 1: the largest reaches an end of its track, the signs go apart
    assert bars(text) == [(0, 50), (50, 37.5), (25, 25), (50, 12.5)]


def test_a_fragment_says_what_it_leaves_out() -> None:
    made = linear(7, 12)
    text = Reader(report.fragment(made, max_tables=2, max_display=5)).text
    assert "7 other features" in text
    assert "5 more not shown" in text
    assert "row 1" in text
    assert "row 2" not in text
    values = made.values[:1].copy()
    values[0, 3] = np.nan
    assert "NaN: 1" in Reader(linear(1, 12, values=values)._repr_html_()).text
    assert "not shown" not in linear(3)._repr_html_()


def test_a_fragment_tells_all_digits_to_a_resting_pointer() -> None:
    values = np.array([[1 / 3, -2.0, 0.5, 1.0]])
    text = linear(1, values=values, std_error=np.full((1, 4), 0.25), exact=np.zeros(1, bool))
    assert 'title="0.3333333 ± 0.25"' in text._repr_html_()


def test_names_are_shown_not_run() -> None:
    names = [EVIL, "b", "c", "d"]
    made = linear(1, feature_names=names, output_names=[EVIL], players=EVIL)
    text = replace(made, method=EVIL)._repr_html_()
    assert "<script" not in text
    assert Reader(text).text.count(EVIL) >= 3


def test_a_fragment_shows_one_table_per_output() -> None:
    made = xai.explain(
        lambda x: np.stack([x[:, 0], -x[:, 0]], axis=1), np.ones((2, 1)), "exact_shapley",
        data=np.zeros((1, 1)), target="all", output_names=["up", "down"],
    )  # fmt: skip
    text = Reader(made._repr_html_()).text
    assert text.index("row 0, exact_shapley: up") < text.index("row 0, exact_shapley: down")
    assert "1 more not shown" in text


def test_a_fragment_of_images_holds_pictures() -> None:
    x = np.random.default_rng(0).random((2, 6, 6, 1))
    made = xai.explain(lambda x: x.sum(axis=(1, 2, 3)), x, "occlusion", removal="baseline")
    text = made._repr_html_()
    assert text.count("data:image/png;base64,") == 2
    assert plt.get_fignums() == []


def test_a_fragment_never_fails() -> None:
    data_set = xai.explain(
        lambda x: x[:, :1], np.ones((5, 2)), "sage", y=np.zeros(5), data=np.zeros((1, 2))
    )
    for made in (
        linear(values=np.zeros((2, 4))),
        linear(values=np.full((2, 4), np.nan)),
        linear(base_values=np.full(2, np.nan)),
        linear(1, 1),
        data_set,
    ):
        Reader(made._repr_html_())
    assert "row 0" not in data_set._repr_html_()


# ---------------------------------------------------------------------------------------- page


def write(tmp_path: Path, explanations: dict[str, xai.Explanation], **options: Any) -> str:
    path = report.page(explanations, tmp_path / "page.html", **options)
    assert path == tmp_path / "page.html"
    return path.read_text(encoding="utf-8")


def data_of(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    made: dict[str, Any] = json.loads(found)
    return made


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_a_page_holds_the_numbers(tmp_path: Path) -> None:
    made = linear(3, std_error=np.full((3, 4), 0.25), exact=np.zeros(3, bool))
    data = data_of(write(tmp_path, {"mine": made, "other": linear(3)}, row_names=["A", "B", "C"]))
    assert data["rows"] == ["A", "B", "C"]
    assert data["features"] == ["x0", "x1", "x2", "x3"]
    np.testing.assert_array_equal(floats(data["data"]), 1)
    mine, other = (method["layers"][0] for method in data["methods"])
    np.testing.assert_allclose(floats(mine["values"]), made.values.ravel())
    np.testing.assert_allclose(floats(mine["errors"]), 0.25)
    np.testing.assert_allclose(floats(mine["prediction"]), made.predictions)
    assert other["errors"] is None
    assert [method["name"] for method in data["methods"]] == ["mine", "other"]


def test_a_page_loads_nothing_and_runs_one_script(tmp_path: Path) -> None:
    text = write(tmp_path, {"one": linear(), "two": linear(method="occlusion")})
    seen = Reader(text)
    for word in ("http://", "https://", "@import", "url(", "fetch("):
        assert word not in text
    assert "link" not in seen.tags
    assert not [value for name, value in seen.attributes if name in ("src", "href", "srcset")]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(v for k, v in seen.attributes if k == "content" and v and "default-src" in v)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "innerHTML" not in script


def test_a_page_escapes_everything(tmp_path: Path) -> None:
    made = linear(1, feature_names=[EVIL, "b", "c", "d"], output_names=[EVIL])
    text = write(tmp_path, {EVIL: made}, title=EVIL, row_names=[EVIL])
    assert text.count("<script") == 2  # the page's own: its data and its script
    assert "<script>alert" not in text
    data = data_of(text)
    assert data["rows"] == data["features"][:1] == [EVIL]
    assert Reader(text).text.count(EVIL) >= 3  # the title, above the page and on it, and the recipe


def test_wide_tables_break_no_word_in_the_middle(tmp_path: Path) -> None:
    rules = [rule for rule in write(tmp_path, {"mine": linear(2)}).split("}") if ".wide" in rule]
    assert rules
    assert "anywhere" not in "".join(rules)


def test_rows_may_be_named_by_an_index(tmp_path: Path) -> None:
    days = np.array(["2020-01-01", "2020-01-02"], "M8[D]")
    for names in (np.arange(7, 9), days):
        text = write(tmp_path, {"mine": linear(2)}, row_names=names)
        assert data_of(text)["rows"] == [str(name) for name in names]


def test_a_page_says_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MOST_NUMBERS", 2 * 5 * 3)
    text = write(tmp_path, {"one": linear(3, 5)})
    assert "The first 2 of 3 rows" in Reader(text).text
    data = data_of(text)
    assert len(data["rows"]) == 2
    assert len(floats(data["data"])) == 10
    assert "The first" not in write(tmp_path, {"one": linear(2, 5)})


def test_categories_and_words_are_shown_as_they_are(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"job": ["cook", "clerk"], "age": [30, 40]})
    made = xai.explain(lambda f: f["age"].to_numpy(), frame, "exact_shapley", data=frame)
    data = data_of(write(tmp_path, {"one": made}))
    assert data["categories"] == {"0": ["clerk", "cook"]}
    np.testing.assert_array_equal(floats(data["data"]).reshape(2, 2), [[1, 30], [0, 40]])
    texts = xai.explain(lambda t: np.array([len(s) for s in t]), ["a b", "c"], "exact_shapley")
    assert data_of(write(tmp_path, {"one": texts}))["words"] == [["a", "b"], ["c", ""]]


def test_token_ids_are_shown_by_their_words(tmp_path: Path) -> None:
    ids = np.array([[3, 1], [4, 0]])
    made = xai.explain(lambda x: x @ np.arange(2.0), ids, "occlusion", removal="baseline")
    words = [["good", "film"], ["bad", ""]]
    made.to_html(tmp_path / "page.html", words=words)
    assert data_of((tmp_path / "page.html").read_text())["words"] == words
    for wrong in ([["good", "film"]], [["good", "film"], ["bad"]]):
        with pytest.raises(ValueError, match=r"words: expected 2 for each of 2 rows"):
            made.to_html(tmp_path / "page.html", words=wrong)
    images = xai.explain(
        lambda x: x.sum(axis=(1, 2, 3)), np.ones((1, 3, 5, 5)), "occlusion", removal="baseline"
    )
    with pytest.raises(ValueError, match="words are of token ids"):
        images.to_html(tmp_path / "page.html", words=[["a"] * 16])


def test_all_outputs_are_on_the_page_unless_one_is_chosen(tmp_path: Path) -> None:
    W = np.array([[1.0, 2.0], [3.0, -3.0]])
    made = xai.explain(
        lambda x: x @ W, np.ones((2, 2)), "exact_shapley", data=np.zeros((1, 2)), target="all",
        output_names=["no", "yes"],
    )  # fmt: skip
    (method,) = data_of(write(tmp_path, {"one": made}))["methods"]
    assert [layer["output"] for layer in method["layers"]] == ["no", "yes"]
    np.testing.assert_allclose(floats(method["layers"][1]["values"]), [2, -3, 2, -3])
    (method,) = data_of(write(tmp_path, {"one": made}, output="yes"))["methods"]
    assert [layer["output"] for layer in method["layers"]] == ["yes"]


def pets(x: np.ndarray) -> np.ndarray:
    """Three outputs, of which each of the rows of `np.eye(3)` has another as its largest."""
    return x @ (np.eye(3) + np.arange(9).reshape(3, 3) / 20)


PETS: dict[str, Any] = {"data": np.zeros((1, 3)), "output_names": ["cat", "dog", "owl"]}


def test_the_largest_outputs_of_each_row_are_told_by_their_names(tmp_path: Path) -> None:
    made = xai.explain(pets, np.eye(3), "exact_shapley", target=xai.Top(2), **PETS)
    (method,) = data_of(write(tmp_path, {"one": made}))["methods"]
    assert [layer["label"] for layer in method["layers"]] == ["top 1", "top 2"]  # to choose from
    assert method["layers"][0]["output"] == ["cat", "dog", "owl"]
    assert method["layers"][1]["output"] == ["owl", "owl", "dog"]


@pytest.mark.parametrize("kind", ["table", "image"])
def test_all_methods_show_the_outputs_of_the_first_where_they_have_them(
    tmp_path: Path, kind: str
) -> None:
    x, options, model = np.eye(3), dict(PETS), pets
    if kind == "image":
        x = np.eye(3).reshape(3, 1, 3, 1)
        options |= {"removal": "baseline", "data": None, "channel_axis": -1}
        model = lambda x: pets(x.reshape(len(x), 3))  # noqa: E731 - the same model, of images
    every = xai.explain(model, x, "occlusion", target="all", **options)
    own = xai.explain(model, x, "occlusion", **options)
    page = data_of(write(tmp_path, {"own": own, "all": every}))
    for method in page["methods"]:
        (layer,) = method["layers"]
        assert layer["output"] == ["cat", "dog", "owl"]
        np.testing.assert_allclose(floats(layer["prediction"]), own.predictions)
        if kind == "table":
            np.testing.assert_allclose(floats(layer["values"]), own.values.ravel())
    if kind == "image":
        for row, (ours, theirs) in enumerate(page["maps"]):
            assert ours == theirs
            assert len(theirs) == 1
            np.testing.assert_allclose(heat(ours[0]), own.values[row], atol=1e-3)


def images(n: int = 2) -> xai.Explanation:
    x = np.random.default_rng(0).random((n, 6, 8, 3))
    w = np.array([1.0, 0.5, 0, 0, 0, -1])[:, None, None]
    return xai.explain(lambda x: (x * w).sum(axis=(1, 2, 3)), x, "occlusion", removal="baseline")


def heat(one: dict[str, Any]) -> np.ndarray:
    planes = np.frombuffer(zlib.decompress(base64.b64decode(one["bytes"])), np.uint8)
    low, high = planes.reshape(2, -1).astype(np.uint16)
    levels = (low | high << 8).astype(np.uint16).view(np.int16)
    return one["start"] + one["unit"] * levels.reshape(one["height"], one["width"])


def test_a_page_of_images_holds_photographs_and_maps(tmp_path: Path) -> None:
    made = images()
    data = data_of(write(tmp_path, {"one": made, "half": replace(made, values=made.values / 2)}))
    assert len(data["photos"]) == 2
    assert data["photos"][0].startswith("data:image/png;base64,")
    for row in range(2):
        for place, factor in enumerate((1, 0.5)):
            one = data["maps"][row][place][0]
            expected = factor * made.values[row]
            np.testing.assert_allclose(heat(one), expected, atol=0.51 * one["high"] / 1023)
            assert one["low"] == -one["high"]
    assert data["methods"][0]["layers"][0]["values"] is None


def test_a_page_of_images_tells_what_is_far_from_0_and_beyond_the_colours(tmp_path: Path) -> None:
    part = np.random.default_rng(0).random((2, 6, 8))
    far = replace(images(), values=1e3 + 1e-3 * part)  # as a mean of predictions under masks
    one = data_of(write(tmp_path, {"one": far}))["maps"][1][0][0]
    np.testing.assert_allclose(heat(one), far.values[1], rtol=0, atol=1e-6)
    spike = 1e-3 * part
    spike[:, 2, 3] = 5.0
    for sign in (1, -1):
        beyond = replace(images(), values=sign * spike)
        one = data_of(write(tmp_path, {"one": beyond}))["maps"][1][0][0]
        assert one["high"] < 3
        np.testing.assert_allclose(heat(one), beyond.values[1], rtol=0, atol=2e-3)


def test_a_page_of_images_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MOST_BYTES", 1)
    text = write(tmp_path, {"one": images(3)})
    assert "The first 1 of 3 rows" in Reader(text).text
    monkeypatch.setattr(payload, "SIDE", 4)
    one = data_of(write(tmp_path, {"one": images(1)}))["maps"][0][0][0]
    assert (one["height"], one["width"], one["steps"]) == (3, 4, [2, 2])
    blocks = images(1).values[0].reshape(3, 2, 4, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(heat(one), blocks, atol=0.51 * one["high"] / 1023)


def test_a_signal_of_two_lines_keeps_them_on_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "SIDE", 11)
    x = np.random.default_rng(0).normal(size=(1, 1, 2, 41))
    made = xai.explain(
        lambda x: x[:, 0, 0, :9].sum(axis=1) - x[:, 0, 1, 20], x, "occlusion", removal="baseline",
        channel_axis=1,
    )  # fmt: skip
    one = data_of(write(tmp_path, {"one": made}))["maps"][0][0][0]
    assert (one["height"], one["width"], one["steps"]) == (2, 11, [1, 4])
    assert one["ratio"] == pytest.approx(2.5)
    blocks = [made.values[0].reshape(2, 41)[:, i : i + 4].mean(axis=1) for i in range(0, 41, 4)]
    np.testing.assert_allclose(heat(one), np.transpose(blocks), atol=0.51 * one["high"] / 1023)


def test_a_page_of_long_series_averages_steps_and_no_channels(tmp_path: Path) -> None:
    """Their last step among them; in a figure as high as that of an image."""
    x = np.ones((1, 2 * payload.SIDE + 3, 2))  # 515 steps: 171 blocks of three, and two
    x[:, -1] = 5
    made = xai.explain(lambda s: (s @ [1.0, -2.0]).sum(axis=1), x, "occlusion", removal="baseline")
    one = data_of(write(tmp_path, {"one": made}))["maps"][0][0][0]
    assert (one["height"], one["width"], one["steps"]) == (2, 172, [1, 3])  # from left to right
    assert one["ratio"] == pytest.approx(2.5)
    expected = [made.values[0, start : start + 3].mean(axis=0) for start in range(0, 515, 3)]
    np.testing.assert_allclose(heat(one), np.transpose(expected), atol=0.51 * one["high"] / 1023)


def test_a_page_of_series_draws_each_channel_in_its_own_range(tmp_path: Path) -> None:
    """Not on one scale, as a photograph; and gaps are left open."""
    x = np.ones((1, 2, 40)) * [[[1.0], [1e6]]]
    x[0, 0, 5], x[0, 1, 7], x[0, 1, 20] = 3, 1e6 + 2, np.nan
    made = xai.explain(lambda s: s[:, 0].sum(axis=1), x, "occlusion", removal="baseline")
    page = data_of(write(tmp_path, {"one": made}))
    assert page["series"]
    kind, _, code = page["photos"][0].partition(",")
    assert kind == "data:image/svg+xml;base64"
    svg = base64.b64decode(code).decode()
    assert 'viewBox="0 0 40 2"' in svg
    path = re.findall(r' d="([^"]*)"', svg)[1]
    points = [
        (mark, float(at), float(y)) for mark, at, y in re.findall(r"([ML])(\S+) ([\d.]+)", path)
    ]
    assert len(points) == 79
    assert [at for mark, at, _ in points if mark == "M"] == [0.5, 0.5, 21.5]
    assert {y for _, at, y in points[:40] if at != 5.5} == {0.9}
    assert {y for _, at, y in points[40:] if at != 7.5} == {1.9}
    assert [y for _, at, y in points if y % 1 < 0.5] == [0.1, 1.1]


@pytest.mark.parametrize(
    ("explanations", "options", "message"),
    [
        (dict, {}, "nothing to show"),
        (lambda: {"a": linear(1), "b": linear(2)}, {}, "they differ: {'a': 1, 'b': 2}"),
        (lambda: {"a": linear(d=3), "b": linear(d=4)}, {}, "compares the same features"),
        (lambda: {"a": linear()}, {"row_names": ["only one"]}, "1 names for 2 rows"),
        (lambda: {"a": linear(), "b": images()}, {}, "images or tables"),
    ],
)
def test_a_page_refuses_what_it_cannot_show(
    tmp_path: Path,
    explanations: Callable[[], dict[str, xai.Explanation]],
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        write(tmp_path, explanations(), **options)
    assert not (tmp_path / "page.html").exists()


def test_a_thousand_rows_of_thirty_features_stay_under_five_megabytes(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(1000, 30))
    errors, sampled = np.abs(values), np.zeros(1000, bool)
    made = linear(1000, 30, "occlusion", std_error=errors, exact=sampled, values=values)
    text = made.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(text) < 1e6
    assert len(data_of(text)["rows"]) == 1000


# --------------------------------------------------------------------------------- in a browser

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


def browse(path: Path, script: str = "") -> tuple[str, str]:
    """The page as it stands after `script` has run on it, and what the console says.

    The page's own policy would not let the script run, so it is taken out.
    """
    text = path.read_text(encoding="utf-8")
    if script:
        text = re.sub(r"<meta http-equiv=.Content-Security-Policy.*?>", "", text)
        text = text.replace("</body>", f"<script>{script}</script></body>")
        path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            "--window-size=1300,900", "--virtual-time-budget=3000", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(console)


def screenshot(path: Path, *, dark: bool) -> np.ndarray:
    """The page as a picture (H, W, 3) of bytes, on the light or the dark theme."""
    import matplotlib.image as mpimg

    shot, theme = path.with_suffix(".png"), ["--force-dark-mode"] if dark else []
    subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1100,1400",
            "--virtual-time-budget=3000", f"--screenshot={shot}", *theme, path.as_uri(),
        ],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    return np.rint(255 * mpimg.imread(shot)[..., :3]).astype(int)


in_browser = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")


@in_browser
def test_names_are_shown_not_run_in_a_browser(tmp_path: Path) -> None:
    evil = (
        "<script>document.title = 'hacked'</script><img src=x onerror=\"document.title='hacked'\">"
    )
    made = linear(2, feature_names=[evil, "b", "c", "d"], output_names=[evil])
    made.to_html(tmp_path / "page.html", row_names=[evil, "b"], title="safe")
    dom, console = browse(tmp_path / "page.html")
    assert console == ""
    assert "<title>safe</title>" in dom
    assert "&lt;img src=x onerror=" in dom
    assert "<img src=" not in dom


@in_browser
def test_values_that_are_rounded_do_not_look_like_whole_numbers(tmp_path: Path) -> None:
    x = np.array([[2.0**53, 1234567.0, 1234567.8, 955.44, 0.39, -2.5e-9]])
    made = xai.explain(lambda x: x.sum(axis=1), x, "occlusion", removal="baseline")
    dom, _ = browse(made.to_html(tmp_path / "page.html"))
    for shown in ("9.007e15", "1234567", "1.235e6", "955.4", "0.39", "-2.5e-9"):
        assert f">{shown}</" in dom
    assert "9007000" not in dom and "1235000" not in dom


@in_browser
def test_what_is_explained_lies_under_all_of_its_map_in_a_browser(tmp_path: Path) -> None:
    """Of a slim image, too, which is stretched as its map is."""
    x = np.zeros((1, 1, 2, 60))
    x[..., 1, :] = 1  # of two lines, one dark and one bright
    made = xai.explain(lambda x: x[:, 0, 0, 0], x, "occlusion", removal="baseline", channel_axis=1)
    made.to_html(tmp_path / "page.html")
    script = """setInterval(() => { document.title = ['.stack img', '.stack canvas'].map(
      (s) => Math.round(document.querySelector(s).getBoundingClientRect().height)) }, 100)"""
    dom, _ = browse(tmp_path / "page.html", script)
    photo, heat = re.search(r"<title>(\d+),(\d+)</title>", dom).groups()
    assert photo == heat


@in_browser
@pytest.mark.parametrize("dark", [False, True])
def test_bars_of_both_signs_are_seen_on_a_light_and_a_dark_page(tmp_path: Path, dark) -> None:
    values = np.array([[4.0, -3.0, 2.0, -1.0]])
    linear(values=values, predictions=values.sum(axis=1)).to_html(tmp_path / "page.html")
    seen = screenshot(tmp_path / "page.html", dark=dark)
    ground = np.median(seen, axis=(0, 1))
    assert (ground < 60).all() if dark else (ground > 200).all()
    size = {}
    for name in ("POSITIVE", "NEGATIVE"):
        colour = getattr(xai.plots.style, name)
        rgb = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        size[name] = (np.abs(seen - rgb).max(axis=2) <= 3).sum()
    assert size["POSITIVE"] > size["NEGATIVE"] > 500  # 4 + 2 beside 3 + 1, in the signs' colours


@in_browser
def test_rows_and_columns_are_chosen_in_a_browser(tmp_path: Path) -> None:
    values = np.array([[1.0, -3.0, 0.5], [9.0, 2.0, -8.0], [0.1, 0.2, 0.3]])
    made = linear(3, 3, values=values, predictions=values.sum(axis=1))
    made.to_html(tmp_path / "page.html")
    dom, console = browse(
        tmp_path / "page.html",
        """
        const first = (id) => [...document.querySelectorAll(`#${id} tbody tr`)]
          .map((row) => row.cells[0].textContent).join();
        const said = [first('row')];
        at('next').click(); said.push(at('name').textContent, first('row'));
        const heads = document.querySelectorAll('#row thead button');
        heads[2].click(); said.push(first('row')); heads[2].click(); said.push(first('row'));
        document.querySelectorAll('#rows thead button')[2].click(); said.push(first('rows'));
        document.querySelector('#rows tbody tr:last-child').click();
        said.push(at('name').textContent);
        said.push(first('features'));
        document.title = said.join('|');
        """,
    )
    assert console == ""
    (title,) = re.findall("<title>(.*?)</title>", dom)
    assert title.split("|") == [
        "x1,x0,x2", "row 1", "x0,x2,x1", "x0,x1,x2", "x2,x1,x0", "row 1,row 2,row 0", "row 0",
        "x0,x2,x1",
    ]  # fmt: skip


@in_browser
def test_a_method_that_explains_another_output_is_told_with_it_in_a_browser(tmp_path: Path) -> None:
    own = xai.explain(pets, np.eye(3), "occlusion", **PETS)
    dog = xai.explain(pets, np.eye(3), "occlusion", target=1, **PETS)
    top = xai.explain(pets, np.eye(3), "occlusion", target=xai.Top(2), **PETS)
    report.page({"top": top, "own": own, "dog": dog}, tmp_path / "page.html")
    dom, console = browse(
        tmp_path / "page.html",
        """
        const heads = (id) => [...document.querySelectorAll(`#${id} thead th`)]
          .map((head) => head.textContent);
        const said = [at('state').textContent, heads('row'), heads('features')];
        choose({ layer: 1 });
        said.push(at('state').textContent, heads('row'));
        choose({ layer: 0, row: 1 });
        said.push(heads('row'), [...at('output').options].map((o) => o.textContent));
        document.title = JSON.stringify(said);
        """,
    )
    assert console == ""
    (found,) = re.findall(r"<title>(.*?)</title>", dom)
    first, row, features, second, row_of_second, other_row, choices = json.loads(found)
    assert first.startswith("cat: prediction")
    assert row == ["feature", "value", "top", "own", "dog, of dog"]
    assert features == ["feature", "mean |top|", "mean |own|", "mean |dog, of dog|"]
    assert second.startswith("owl: prediction")
    assert row_of_second == ["feature", "value", "top", "own, of cat", "dog, of dog"]
    assert other_row == ["feature", "value", "top", "own", "dog"]
    assert choices == ["top 1", "top 2"]


@in_browser
def test_features_of_one_name_and_large_whole_numbers_in_a_browser(tmp_path: Path) -> None:
    values = np.array([[np.nan, 1.0, -3.0], [np.nan, 1.0, 2.0]])
    made = linear(2, 3, values=values, feature_names=["gap", "a", "a"])
    made = replace(made, data=np.array([[12345.0, 0.123456, 7], [1, 2, 3]]))
    made.to_html(tmp_path / "page.html")
    dom, console = browse(
        tmp_path / "page.html",
        """
        const all = (where) => [...document.querySelectorAll(where)];
        const texts = (where) => all(where).map((one) => one.textContent);
        document.title = [
          texts('#rows tbody tr:first-child td:last-child'), texts('#row td:nth-child(2)'),
          texts('#features tr[aria-current] td').map(parseFloat),
        ].join('|');
        """,
    )
    assert console == ""
    (title,) = re.findall("<title>(.*?)</title>", dom)
    assert title == "a -3.00|7,0.1235,12345|2.5"


@in_browser
@pytest.mark.parametrize("count", [3, 16, 300])
def test_names_and_intervals_of_categories_are_inside_the_canvas(
    tmp_path: Path, count: int
) -> None:
    n = max(count, 6)
    kinds = np.array([f"a long category {i % count:03d}" for i in range(n)])
    values = np.random.default_rng(0).normal(size=(n, 2))
    data = np.array([kinds, np.arange(n)], object).T
    made = linear(
        n, 2, values=values, data=data, std_error=np.abs(values), exact=np.zeros(n, bool)
    )  # fmt: skip
    made.to_html(tmp_path / "page.html")
    dom, console = browse(
        tmp_path / "page.html",
        """
        const texts = [], bars = [], pen = CanvasRenderingContext2D.prototype;
        const [fillText, fillRect] = [pen.fillText, pen.fillRect];
        pen.fillText = function (text, x, y) {
          const wide = this.measureText(text).width, at = this.textAlign;
          const from = at === 'center' ? x - wide / 2 : at === 'right' ? x - wide : x;
          const corners = [[from, y - 9], [from + wide, y]].map(([a, b]) =>
            this.getTransform().transformPoint(new DOMPoint(a, b)));
          texts.push([text, ...corners.flatMap(({ x, y }) => [x, y])]);
        };
        pen.fillRect = function (x, y, w, h) { bars.push([x, y, w, h]); };
        choose({ feature: 0 });
        const canvas = at('scatter');
        document.title = JSON.stringify([canvas.width, canvas.height, texts, bars]);
        """,
    )
    assert console == ""
    (found,) = re.findall(r"<title>(.*?)</title>", dom)
    width, height, texts, bars = json.loads(found)
    names = [one for one in texts if "category" in one[0]]
    assert len(names) == count if count < 20 else 20 < len(names) < count
    boxes = [[*sorted((a, c)), *sorted((b, d))] for _, a, b, c, d in names]
    for left, right, top, bottom in boxes:
        assert 0 <= left < right <= width
        assert 0 < top < bottom <= height
    assert all(a[1] <= b[0] for a, b in pairwise(sorted(boxes)))
    whiskers = [one for one in bars if one[2] == 1]
    assert len(whiskers) == n
    ceiling = min(top for _, _, top, _ in boxes)
    assert all(0 <= y <= y + high <= ceiling for _, y, _, high in whiskers)


@in_browser
def test_maps_have_a_slider_and_tell_their_values_in_a_browser(tmp_path: Path) -> None:
    made = images()
    made.to_html(tmp_path / "page.html")
    dom, console = browse(
        tmp_path / "page.html",
        """
        setTimeout(() => {
          const canvas = document.querySelector('.stack canvas');
          at('opacity').value = 0.25; at('opacity').oninput();
          const { clientWidth, clientHeight } = canvas;
          canvas.onmousemove({ offsetX: clientWidth * 0.99, offsetY: clientHeight * 0.01 });
          document.title = `${canvas.width}x${canvas.height}|${canvas.style.opacity}|` +
            document.querySelector('.readout').textContent;
        }, 500);
        """,
    )
    assert console == ""
    (title,) = re.findall("<title>(.*?)</title>", dom)
    size, opacity, told = title.split("|")
    assert (size, opacity) == ("8x6", "0.25")
    assert told.startswith("row 0, column 7: ")
    assert np.isclose(float(told.split(": ")[1]), made.values[0, 0, 7], rtol=1e-2)


@in_browser
def test_every_kind_of_page_opens_without_a_word_on_the_console(tmp_path: Path) -> None:
    data_set = xai.explain(
        lambda x: x[:, :1], np.ones((5, 2)), "sage", y=np.zeros(5), data=np.zeros((1, 2))
    )
    texts = xai.explain(lambda t: np.array([len(s) for s in t]), ["a b", "c"], "exact_shapley")
    made = {
        "one row": linear(1), "NaN": linear(values=np.full((2, 4), np.nan)), "sage": data_set,
        "texts": texts, "zero": linear(values=np.zeros((2, 4))),
        "no base": linear(base_values=np.full(2, np.nan)),
    }  # fmt: skip
    for name, one in made.items():
        one.to_html(tmp_path / f"{name}.html")
        dom, console = browse(tmp_path / f"{name}.html")
        assert console == "", name
        assert dom.count("<tr") > 1, name


BESIDE = ("faithfulness", "floor")


def test_a_page_of_scores_says_what_randomisation_is_read_with(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    asked = ["deletion", ("parameter_randomization", {"order": "top_down"})]
    e = xai.explain(net, x, "gradient_x_input")
    for some, heads in ((asked[:1], 0), (asked, 1)):
        scored = xai.metrics.evaluate(net, x, e, some, removal="baseline")
        path = scored.to_html(tmp_path / "scores.html")
        (line,) = (
            line for line in data_of(path.read_text(encoding="utf-8"))["lines"]
            if (line["metric"], line["explanation"]) == (scored.metrics[-1], e.method)
        )  # fmt: skip
        figures = {what: scored[scored.metrics[-1], e.method].beside(what) for what in BESIDE}
        assert [figure is not None for figure in figures.values()] == [bool(heads)] * 2
        assert {what: line[what] for what in BESIDE} == figures
        if CHROMIUM:
            dom, console = browse(path)
            assert console == ""
            assert [dom.count(f">{what}</button>") for what in BESIDE] == [heads] * 2
            for figure in figures.values():
                assert figure is None or f"<td>{figure:.3g}" in dom.replace(' title=""', "")


def test_a_page_of_scores_has_every_line_and_the_curves(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(6, 4))
    scored = xai.metrics.evaluate(
        lambda x: x[:, 0] * x[:, 1], x, {EVIL: x}, metrics=["deletion", "abpc", "sparseness"],
        removal="baseline",
    )  # fmt: skip
    path = scored.to_html(tmp_path / "scores.html", title=EVIL)
    text = path.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    lines = data_of(text)["lines"]
    assert [(line["metric"], line["explanation"]) for line in lines] == list(scored.scores)
    assert np.isclose(lines[0]["mean"], scored["deletion", EVIL].mean())
    assert text.count("data:image/png;base64,") == 2
    assert "thin lines: ±1.96 of them" in text  # narrower than the intervals, of few rows
    if CHROMIUM:
        dom, console = browse(path)
        assert console == ""
        assert dom.count("<tr") == len(lines) + 1
        assert any(line["mean"] < 0 for line in lines)  # scores with signs have bars, too,
        assert dom.count("background: gray") == len(lines)  # in the colour of no push
        drawn = re.findall(r'class="error" style="left: ([\d.]+)%; width: ([\d.]+)%', dom)
        errors = [line for line in lines if line["std_error"]]
        assert len(drawn) == len(errors)
        for (_, width), line in zip(drawn, errors, strict=True):  # none is cut off
            same = [one for one in errors if one["metric"] == line["metric"]]
            size = max(abs(one["mean"]) + 1.96 * one["std_error"] for one in same)
            low, high = (line["mean"] + side * 1.96 * line["std_error"] for side in (-1, 1))
            if all(one["mean"] >= 0 for one in same):  # bars from the left end
                expected = 100 * (high - max(low, 0)) / size
            else:
                expected = 50 * (high - low) / size
            assert np.isclose(float(width), expected, rtol=1e-3)


def test_a_page_of_scores_tells_infinite_ones(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(6, 4))
    scored = xai.metrics.evaluate(
        lambda x: x[:, 0] * x[:, 1], x, {"a": x, "b": -x}, metrics=["abpc"], removal="baseline"
    )  # fmt: skip
    endless = replace(scored["abpc", "a"], values=np.full(6, -np.inf))
    scored = replace(scored, scores=scored.scores | {("abpc", "a"): endless})
    path = scored.to_html(tmp_path / "scores.html")
    lines = data_of(path.read_text(encoding="utf-8"))["lines"]
    assert (lines[0]["mean"], lines[0]["std_error"]) == ("-Infinity", None)
    assert np.isclose(lines[1]["mean"], scored["abpc", "b"].mean())
    if CHROMIUM:
        dom, console = browse(path)
        assert console == ""
        assert ">-Infinity<" in dom
        bars = re.findall(r"left: ([\d.]+)%; width: ([\d.]+)%; background: gray", dom)
        assert bars[0] == ("0", "50")  # as long as there is room, and others have bars, too
        size = max(abs(one["mean"]) + 1.96 * one["std_error"] for one in lines[1:])
        assert np.isclose(float(bars[1][1]), 50 * abs(lines[1]["mean"]) / size, rtol=1e-3)
