"""When a bar appears, and which one."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from xai import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand, and somebody who looks."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(progress, "_watched", lambda: True)
    return now


def test_the_first_rows_tell_nothing_of_the_rest(clock, capsys):
    work = progress.Progress(None, "work")
    work.expect(1000)
    clock[0] = 100.0  # compiling
    work.update(100)
    clock[0] = 101.0
    work.update(450)  # half of the rest in a second: two in all
    assert capsys.readouterr().err == ""
    work.close()


def test_long_work_shows_itself(clock, capsys):
    work = progress.Progress(None, "work")
    work.expect(1000)
    work.update(100)
    clock[0] = 1.0
    work.update(10)
    assert "work" in capsys.readouterr().err
    work.close()


def test_notebooks_without_widgets_get_a_plain_bar_and_no_warning(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    bar = progress._bar(total=1, disable=True)
    assert type(bar).__module__ == "tqdm.std"
