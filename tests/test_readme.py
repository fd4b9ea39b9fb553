"""The README's Python, word for word and in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import xai

README = Path(__file__).parents[1] / "README.md"
GUIDE = README.parent / "docs" / "guide.md"

CORE_ALONE = """
import sys

class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in {"pandas", "polars", "torch", "captum", "shap", "skimage"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent)
"""


def test_every_line_of_the_readme_runs(tmp_path):
    """With what `pip install .` installs, and nothing else."""
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.S | re.M)
    assert len(blocks) == 3
    done = subprocess.run(
        [sys.executable, "-c", CORE_ALONE + "\n".join(blocks)],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_the_table_of_methods_holds_them_all():
    table = GUIDE.read_text("utf-8").split("## Methods")[1].split("\n\n")[2]
    named = re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", table, re.M)))
    assert set(named) == {record.name for record in xai.methods()}


def test_what_the_readme_points_at_is_there():
    text = README.read_text("utf-8")
    places = re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text)
    assert len(places) > 10
    assert [a or b for a, b in places if not (README.parent / (a or b)).is_file()] == []
