"""When a bar appears, and which one."""

from __future__ import annotations

import sys
from types import ModuleType

import joblib
import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

import xai
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


def test_work_in_other_processes_may_have_a_bar(capsys):
    X, y = make_classification(30, 6, random_state=0)
    model = LogisticRegression().fit(X, y)
    with joblib.parallel_config(backend="loky"):
        two = xai.explain(
            model, X[:2], "permutation_shap", data=X, budget=600, batch_size=100, n_jobs=2,
            progress=True,
        )  # fmt: skip
    one = xai.explain(model, X[:2], "permutation_shap", data=X, budget=600)
    np.testing.assert_allclose(two.values, one.values)
    assert "permutation_shap: 100%" in capsys.readouterr().err


def test_notebooks_without_widgets_get_a_plain_bar_and_no_warning(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    bar = progress._bar(total=1, disable=True)
    assert type(bar).__module__ == "tqdm.std"


def test_progress_is_a_choice_and_no_callback():
    with pytest.raises(TypeError, match="progress must be True, False or None, not 3"):
        xai.explain(lambda x: x[:, 0], [[1.0, 2.0]], "occlusion", removal="baseline", progress=3)
