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


def test_work_that_grows_shows_how_much_there_is(capsys):
    work = progress.Progress(True, "work")
    with work.of("first"):
        work.update(10)  # before it is known how much there is
        work.expect_more(30)
        work.update(20)
        assert work._bar.total == 40 and work._bar.n == 30
    with work.of("second"):
        work.expect_more(5)
        work.update(5)
    assert "second: 100%" in capsys.readouterr().err and work.done == 5


def test_a_score_that_takes_long_shows_itself(clock, capsys):
    def slow(x):
        clock[0] += len(x)
        return x.sum(axis=1)

    x = np.ones((2, 6))
    xai.metrics.deletion(slow, x, x, removal="baseline", batch_size=2)
    assert "deletion: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("show", [True, False])
def test_scores_of_several_say_which_is_at_work(show, capsys):
    common = {"data": np.zeros((2, 3)), "progress": show}
    f, x = lambda x: x.prod(axis=1), np.arange(6.0).reshape(2, 3) + 1
    xai.compare(f, x, ["occlusion", "shapley"], ["deletion", "max_sensitivity"], **common)
    told = capsys.readouterr().err
    assert ("deletion of 'occlusion': 100%" in told) == show
    assert ("shapley: 100%" in told) == show and (told == "") != show
    xai.choose(f, x, **common)
    assert ("choose: 100%" in capsys.readouterr().err) == show


def test_tasks_show_their_work(capsys):
    x = np.ones((2, 3))
    xai.metrics.tasks.recourse(lambda x: x[:, 0], x, step=0.1, progress=True)
    assert "recourse: 100%" in capsys.readouterr().err
    xai.metrics.tasks.depends_on(lambda x: x[:, 0], x, data=0 * x, progress=True)
    assert "depends_on: 100%" in capsys.readouterr().err


def test_effects_expect_what_they_spend(monkeypatch):
    told = []
    monkeypatch.setattr(progress.Progress, "close", lambda bar: told.append((bar.total, bar.done)))
    x, seen = np.random.default_rng(0).normal(size=(40, 3)), []

    def model(x):
        seen.append(len(x))
        return x.sum(axis=1)

    for effect in (xai.overview.partial_dependence, xai.overview.accumulated_local_effects):
        effect(model, x, 0, progress=True)
        assert told.pop() == (sum(seen), sum(seen))
        seen.clear()


def test_a_metrics_progress_is_a_choice_and_no_callback():
    with pytest.raises(TypeError, match="progress must be True, False or None, not 'yes'"):
        xai.metrics.deletion(lambda x: x[:, 0], [[1.0, 2.0]], [[1.0, 2.0]], progress="yes")


def test_a_bar_expects_what_a_method_spends(case, large, run, monkeypatch):
    told = []
    monkeypatch.setattr(progress.Progress, "close", lambda bar: told.append((bar.total, bar.done)))
    spent = run(case, large).spent
    assert told == [(told[0][0], spent)]
    assert told[0][0] == pytest.approx(spent, rel=0.15)  # what is shared, or known before
