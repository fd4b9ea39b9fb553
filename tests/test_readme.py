"""The README's Python, word for word and in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import xai

README = Path(__file__).parents[1] / "README.md"


def test_every_line_of_the_readme_runs():
    pytest.importorskip("pandas")
    pytest.importorskip("torch")
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.S | re.M)
    assert len(blocks) == 4
    names: dict[str, object] = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    plt.close("all")


def test_the_table_of_methods_holds_them_all():
    table = README.read_text("utf-8").split("## Methods")[1].split("\n\n")[2]
    named = re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", table, re.M)))
    assert set(named) == {record.name for record in xai.methods()}
