"""The command `xai`."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import matplotlib as mpl
import pytest

import xai
from xai.cli import main

mpl.use("Agg")


def test_without_a_command_it_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: xai")
    assert "demo" in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"xai {xai.__version__}\n"


def test_the_module_is_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["xai"])
    with pytest.raises(SystemExit) as leaving:
        runpy.run_module("xai", run_name="__main__")
    assert leaving.value.code == 0
    assert capsys.readouterr().out.startswith("usage: xai")


@pytest.mark.parametrize("rows", ["0", "51", "-1", "many", "2.5"])
def test_a_wrong_number_of_rows_is_refused(
    rows: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["demo", "--rows", rows, "--out", str(tmp_path)])
    assert leaving.value.code == 2
    assert "from 1 to 50" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_seed_or_folder_is_refused_before_anything_is_trained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for wrong in (["--seed", "-1"], ["--out", str(tmp_path / "file" / "x")]):
        with pytest.raises(SystemExit) as leaving:
            main(["demo", *wrong])
        assert leaving.value.code == 2
        said = capsys.readouterr()
        assert f"argument {wrong[0]}: " in said.err
        assert said.out == ""


def test_the_demo_explains_prints_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "folder"
    assert main(["demo", "--out", str(folder), "--rows", "2", "--seed", "3"]) == 0
    out, progress = capsys.readouterr()
    assert "100 training rows" in out
    assert "Patient 1: " in out
    head = next(line for line in out.splitlines() if line.startswith("attribution"))
    assert head.split()[-3:] == ["kernel_shap", "lime", "occlusion"]
    for label in ("base value", "prediction", "model rows per patient", "other features", "±"):
        assert label in out
    lines = {len(line.rstrip()) for line in out.splitlines()}
    assert max(lines - {len(line) for line in out.splitlines() if str(folder) in line}) <= 160
    for method in ("kernel_shap", "lime", "occlusion"):
        assert f"{method}: 100%" in progress
    written = {file.name for file in folder.iterdir()}
    assert written == {
        "index.html", "kernel_shap.png", "lime.png", "occlusion.png",
        "kernel_shap-waterfall.png", "kernel_shap-global.png",
    }  # fmt: skip
    for name in written:
        assert name in out
    assert str(folder / "index.html") in out
    page = (folder / "index.html").read_text(encoding="utf-8")
    (rows,) = re.findall(r'"rows":\[(.*?)\]', page)
    assert rows.count("patient") == 2
    for method in ("kernel_shap", "lime", "occlusion"):
        assert f'"name":"{method}"' in page
