"""The README's Python, word for word and in order."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import xai

README = Path(__file__).parents[1] / "README.md"
GUIDE = README.parent / "docs" / "guide.md"


def test_every_line_of_the_readme_runs(monkeypatch, tmp_path):
    """Without the data frames and other extras that `pip install .` leaves out."""
    for extra in ("pandas", "polars", "shap", "skimage"):
        monkeypatch.setitem(sys.modules, extra, None)
    monkeypatch.chdir(tmp_path)
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.S | re.M)
    assert len(blocks) == 3
    names: dict[str, object] = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    plt.close("all")


def test_the_table_of_methods_holds_them_all():
    table = GUIDE.read_text("utf-8").split("## Methods")[1].split("\n\n")[2]
    named = re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", table, re.M)))
    assert set(named) == {record.name for record in xai.methods()}


def test_what_the_readme_points_at_is_there():
    text = README.read_text("utf-8")
    places = re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text)
    assert len(places) > 10
    assert [a or b for a, b in places if not (README.parent / (a or b)).is_file()] == []
