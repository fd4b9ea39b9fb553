"""The notebooks, each from a clean kernel: what they store is what they give."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e-?\d+)?")
MOST_BYTES = 3_000_000

notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def runner() -> SimpleNamespace:
    """`notebooks/run.py`, which is no part of the package."""
    return SimpleNamespace(**runpy.run_path(str(FOLDER / "run.py")))


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text(cell: Any) -> str:
    """What a cell prints, and its value as text."""
    parts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs]
    return "\n".join(part for part in parts if not part.startswith("<Figure"))


def kinds(cell: Any) -> list[tuple[str, ...]]:
    """What a cell's outputs are: texts, tables, pictures."""
    return [(out.output_type, *sorted(out.get("data", {}))) for out in cell.outputs]


def assert_clean(notebook: Any) -> None:
    """No errors and no warnings; counted in order; something to see."""
    cells = code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [out for cell in cells for out in cell.outputs]
    assert not [out for out in outputs if out.output_type == "error" or out.get("name") == "stderr"]
    assert sum("image/png" in out.get("data", {}) for out in outputs) >= 3


def assert_alike(fresh: str, stored: str) -> None:
    """Same words; same numbers, but for what another processor may round otherwise."""
    assert NUMBER.sub("#", fresh).split() == NUMBER.sub("#", stored).split()
    pairs = zip(NUMBER.findall(fresh), NUMBER.findall(stored), strict=True)
    for new, old in ((float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs):
        assert new == pytest.approx(old, rel=0.02, abs=0.011)


def test_they_are_small_and_the_readme_names_them() -> None:
    readme = (FOLDER.parent / "README.md").read_text("utf-8")
    named = re.findall(r"\(notebooks/(\w+\.ipynb)\)", readme)
    assert named == [path.name for path in NOTEBOOKS]
    assert len(named) == 5
    assert sum(path.stat().st_size for path in NOTEBOOKS) < MOST_BYTES


@notebook
def test_a_stored_notebook_is_valid_and_complete(path: Path, runner: SimpleNamespace) -> None:
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    assert stored.metadata == runner.METADATA  # nothing of the machine that ran it
    assert stored.metadata.kernelspec.name == "python3"
    assert_clean(stored)
    words = [cell.source for cell in stored.cells if cell.cell_type == "markdown"]
    assert max(len(part.split()) for part in words) < 110


@pytest.mark.slow
@notebook
def test_a_notebook_runs_and_gives_what_it_stores(path: Path, runner: SimpleNamespace) -> None:
    stored, fresh = nbformat.read(path, as_version=4), runner.run(path)
    assert_clean(fresh)
    for new, old in zip(code(fresh), code(stored), strict=True):
        assert kinds(new) == kinds(old)
        if "repeats" in old.metadata.get("tags", []):
            assert_alike(text(new), text(old))


def test_the_pictures_of_the_readme_are_the_notebooks(runner: SimpleNamespace) -> None:
    for name, (stem, place) in runner.SHOWN.items():
        stored = runner.pictures(nbformat.read(FOLDER / f"{stem}.ipynb", as_version=4))
        assert (FOLDER.parent / "docs/static" / name).read_bytes() == stored[place], name


def test_the_comparison_of_texts_can_fail() -> None:
    assert_alike("a 1.000 ± 0.01 (12,000 rows)", "a 1.001 ± 0.01 (12,000 rows)")
    for other in ("b 1.000 ± 0.01 (12,000 rows)", "a 1.000 ± 0.01 (14,000 rows)"):
        with pytest.raises(AssertionError):
            assert_alike("a 1.000 ± 0.01 (12,000 rows)", other)
