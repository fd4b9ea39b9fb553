"""The HTML: what is the user's is escaped, nothing is loaded, nothing is left out silently."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import xai
from xai import report

mpl.use("Agg")

EVIL = "<script>alert('1')</script>&\""
VOID = {"meta", "img", "br"}


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


def test_a_page_loads_nothing(tmp_path: Path) -> None:
    text = write(tmp_path, {"one": linear(), "two": linear(method="occlusion")})
    seen = Reader(text)
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert "link" not in seen.tags
    sources = [value for name, value in seen.attributes if name in ("src", "href", "srcset")]
    assert len(sources) == 4  # two rows, two methods
    assert all(source and source.startswith("data:image/png;base64,") for source in sources)
    assert ("content", report._POLICY) in seen.attributes
    assert "default-src 'none'" in report._POLICY


def test_a_page_escapes_everything(tmp_path: Path) -> None:
    made = linear(1, feature_names=[EVIL, "b", "c", "d"], output_names=[EVIL])
    text = write(tmp_path, {EVIL: made}, title=EVIL, row_names=[EVIL])
    assert text.count("<script>") == 1  # the page's own
    assert Reader(text).text.count(EVIL) >= 6
    assert plt.get_fignums() == []


def test_a_page_compares_methods_in_one_table(tmp_path: Path) -> None:
    made = linear(1, 3)
    values = np.array([[0.5, np.nan, -0.25]])
    text = write(tmp_path, {"mine": replace(made, values=values), "shap": made}, row_names=["Ann"])
    head, *body = re.findall(r"<tr>(.*?)</tr>", text)
    assert re.findall('<button type="button">(.*?)</button>', head) == [
        "feature",
        "value",
        "mine",
        "shap",
    ]
    # by the first method's |value|, what is undefined last
    assert [re.findall('data-v="(.*?)"', row) for row in body] == [
        ["x0", "1", "0.5", "1.0"],
        ["x2", "1", "-0.25", "3.0"],
        ["x1", "1", "nan", "-2.0"],
    ]
    assert '<option value="0">Ann</option>' in text


def test_a_page_says_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_ROWS", 2)
    monkeypatch.setattr(report, "MOST_FEATURES", 3)
    text = write(tmp_path, {"one": linear(3, 5)})
    assert text.count("<section>") == text.count("<option") == 2
    assert "The first 2 of 3 rows" in text
    assert "2 features with smaller values are left out" in text
    assert text.count('<th data-v="x4"') == 2
    assert '<th data-v="x0"' not in text


def test_a_page_of_images_has_no_table(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((1, 6, 6, 1))
    made = xai.explain(lambda x: x.sum(axis=(1, 2, 3)), x, "occlusion", removal="baseline")
    seen = Reader(write(tmp_path, {"one": made}))
    assert "img" in seen.tags
    assert "table" not in seen.tags


@pytest.mark.parametrize(
    ("explanations", "options", "message"),
    [
        (dict, {}, "nothing to show"),
        (lambda: {"a": linear(1), "b": linear(2)}, {}, "they differ: {'a': 1, 'b': 2}"),
        (lambda: {"a": linear(d=3), "b": linear(d=4)}, {}, "compares the same features"),
        (lambda: {"a": linear()}, {"row_names": ["only one"]}, "1 names for 2 rows"),
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
