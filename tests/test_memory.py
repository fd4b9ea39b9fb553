"""Peak memory is set by the batch, not by rows times coalitions times background."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import xai
from xai.known import Known

SCRIPT = """
import resource
import sys

import numpy as np
import xai
from xai.known import Known

method = sys.argv[1]
rng = np.random.default_rng(0)
x, data = rng.normal(size=(2, 784)), rng.normal(size=(1000, 784))
w = rng.normal(size=784)


def model(rows):
    return rows @ w


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB; Linux counts in KiB


xai.explain(lambda rows: rows[:, 0], x[:1, :6], method, data=data[:3, :6])
before = peak()
explanation = xai.explain(model, x, method, data=data, budget=10_000)
print(before, peak(), explanation.evaluations)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
@pytest.mark.parametrize(
    "method",
    ["shapley", "permutation_shap", "kernel_shap", "banzhaf", "mean_when_included", "lime", "ime"],
)
def test_a_wide_table_and_a_long_background_stay_under_a_gigabyte(method):
    """784 features, 1,000 background rows, 10,000 model rows for each of two rows."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, method], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    before, after, evaluations = map(float, done.stdout.split())
    assert evaluations > 2500  # neighbourhoods that rows share cost each of them half
    assert after - before < 1000, f"{after - before:.0f} MB"


OF_MANY_CLASSES = {
    "a margin, averaged": {"method": "shapley", "behavior": "margin", "budget": 8000},
    "a margin of one draw": {
        "method": "shapley", "behavior": "margin", "removal": "baseline", "budget": 8000,
    },
    "a loss": {
        "method": "loss_shap", "y": [0] * 20, "budget": 8000,
        "behavior": xai.behavior.PredictionLoss("0-1"),
    },
    "inputs that rows share": {"method": "lime", "budget": 4000},
}  # fmt: skip


@pytest.mark.parametrize("asked", OF_MANY_CLASSES)
def test_outputs_of_a_thousand_classes_are_held_for_some_coalitions_at_a_time(asked):
    """All of them are of 20 rows and some thousand inputs: half a gigabyte and more."""
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(20, 12)), rng.normal(size=(12, 1000)).astype(np.float32)
    options = {"data": x, **OF_MANY_CLASSES[asked]}
    xai.explain(lambda rows: rows @ W[:, :2], x[:1], **options | {"y": [0], "budget": 1000})
    tracemalloc.start()
    xai.explain(lambda rows: rows.astype(np.float32) @ W, x, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6


@pytest.mark.parametrize("method", ["exact_shapley", "banzhaf", "mean_when_included"])
def test_enumeration_holds_little_more_than_its_table(method):
    """The table of all coalitions takes 2^d d bytes; no array of 8-byte numbers is that long."""
    d = 17
    players = xai.Game.from_function(lambda Z: Z.sum(axis=1) * 1.0, n_players=d)
    summary = next(record for record in xai.methods() if record.name == method).summary
    part = eval(summary, vars(xai.summary))
    part(xai.Game.from_function(lambda Z: Z.sum(axis=1) * 1.0, n_players=3))  # imports
    tracemalloc.start()
    found = part(players, budget=2**d)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.std_error is None
    assert peak < 2**d * d * 8


def test_too_few_pairs_to_regress_fill_no_matrix_of_players():
    d = 2000
    game = xai.Game.from_function(lambda Z: Z.sum(axis=1) * 1.0, n_players=d)
    tracemalloc.start()
    found = xai.summary.Banzhaf(samples=8)(game)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.values.shape == (d,)
    assert peak < d * d * 8 / 4


@pytest.mark.parametrize("method", ["occlusion", "include_one"])
def test_players_one_by_one_fill_no_matrix_of_players(method):
    """12,000 pixels: a table of all against all takes 144 MB, also where a budget refuses it."""
    x = np.ones((1, 12_000))
    model = lambda rows: rows[:, 0] + 1  # noqa: E731
    xai.explain(model, x[:, :9], method, removal="baseline")
    tracemalloc.start()
    found = xai.explain(model, x, method, removal="baseline")
    with pytest.raises(ValueError, match="12002"):
        xai.explain(model, x, method, removal="baseline", budget=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.values[0, :2].tolist() == [1, 0]
    assert peak < 140e6, f"{peak / 1e6:.0f} MB"


@pytest.mark.parametrize("regularizer", ["ridge", None])
def test_a_fit_of_few_samples_fills_no_matrix_of_players(regularizer):
    """Its equations are of as many unknowns as there are samples: of genes, words, wavelengths."""
    d = 6000
    game = xai.Game.from_function(lambda Z: Z.sum(axis=1) * 1.0, n_players=d)
    tracemalloc.start()
    found = xai.summary.LinearFit(samples=200, regularizer=regularizer)(game)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(found.values).all()
    assert peak < d * d * 8 / 2, f"{peak / 1e6:.0f} MB"


@pytest.mark.parametrize("regularizer", ["ridge", "lasso", None])
@pytest.mark.parametrize("regressors", ["coalitions", "quartiles", "distances"])
def test_a_linear_fit_holds_no_table_of_its_samples(regressors, regularizer):
    """So many samples more take less memory than a table of (samples, players) numbers."""
    d, samples = 64, 60_000
    w = np.random.default_rng(0).normal(size=d)
    x, data = np.random.default_rng(1).normal(size=(2, 10, d))
    keywords = {"regularizer": regularizer} | ({"alpha": 0.01} if regularizer else {})

    def model(rows):
        return np.tanh(rows @ w)

    def peak(budget):
        tracemalloc.start()
        if regressors == "coalitions":
            game = xai.Game.from_function(model, n_players=d)
            found = xai.summary.LinearFit(**keywords)(game, budget=budget)
        else:
            found = xai.explain(
                model, x[:1], "lime", data=data, budget=budget,
                discretise=regressors == "quartiles", **keywords,
            )  # fmt: skip
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert np.isfinite(found.std_error).all() and found.evaluations >= budget - 128
        return memory

    peak(500)  # imports, compiles
    assert peak(2 * samples) - peak(samples) < samples * d * 8


@pytest.mark.parametrize(
    ("name", "options"),
    [("faithfulness_estimate", {}), ("faithfulness_estimate", {"steps": 12_000}),
     ("monotonicity_correlation", {}), ("dummy_mass", {}), ("pixel_flipping", {"steps": 12_000})],
)  # fmt: skip
def test_a_metric_of_single_players_holds_no_table_of_them(name, options):
    """12,000 players: a table of all against all takes 144 MB, a byte each."""
    x = np.random.default_rng(0).normal(size=(1, 12_000)).astype(np.float32)
    model = lambda rows: rows[:, 0] * rows[:, 1] + rows[:, 2]  # noqa: E731
    metric = getattr(xai.metrics, name)
    metric(model, x[:, :5], x[:, :5], removal="baseline")  # imports, compiles
    tracemalloc.start()
    score = metric(model, x, x, removal="baseline", batch_size=50, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(score.values).all()
    assert peak < 110e6, f"{peak / 1e6:.0f} MB"


@pytest.mark.parametrize("asked", ["interval", "among"])
def test_many_rows_have_intervals_and_are_compared_some_at_a_time(asked):
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 4000, 8))
    score = xai.metrics.Score(
        np.repeat(x[:, 0], 25), "deletion", "lower", "faithfulness by removal"
    )
    report = xai.metrics.Report({("deletion", "e"): score}, ("deletion",), ("e",))
    f, own = lambda rows: rows[:, 0], lambda model, rows, target: rows
    tracemalloc.start()
    if asked == "interval":  # of 100,000 rows
        report.interval("deletion", "e")
    else:
        xai.metrics.max_sensitivity(f, x, x, among=z, radius=0.1, explain=own)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**29, f"{peak / 2**20:.0f} MB"


def test_a_data_sets_empty_inputs_are_counted_without_a_table_of_them():
    """4,000 rows and 1,000 of a background: a number for each pair would be 32 MB, four times."""

    def model(rows):
        return rows @ np.arange(3.0)

    rng = np.random.default_rng(0)
    x, data = rng.normal(size=(4000, 3)), rng.normal(size=(1000, 3))
    y = model(x)

    def explained():
        return xai.explain(model, x, "sage", y=y, data=data, budget=20_000)

    explained()  # compiled
    tracemalloc.start()
    assert explained().evaluations <= 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32e6


def test_effects_of_derivatives_hold_one_draw_at_a_time():
    n, d, m, first = 50, 40, 1000, lambda z: z[:, 0]
    x = np.random.default_rng(0).normal(size=(n + m, d))
    options = {"kind": "slope", "data": x[n:], "batch_size": 512, "samples": 2}
    xai.metrics.lfa_error(first, x[:1], x[:1], **options)  # imports
    tracemalloc.start()
    xai.metrics.lfa_error(first, x[:n], x[:n], **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < m * n * d * 8 / 2


CONVOLUTION = """
import resource

import torch
import xai
from xai.known import Known


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


net = torch.nn.Sequential(
    torch.nn.Conv1d(1, 16, 5), torch.nn.ReLU(), torch.nn.Conv1d(16, 16, 5), torch.nn.Flatten(),
    torch.nn.Linear(16 * 120, 2),
)
x = torch.randn(2, 1, 128)
run = lambda: xai.explain(net, x, removal=xai.removal.Baseline(0.0), budget=2000)
run(), run()
before = faults()
run()
print(faults() - before)
"""


def test_memory_of_a_layers_outputs_stays_with_the_process():
    """Given back to the system it comes anew, page by page: 10,000 and more of 4 kB."""
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-c", CONVOLUTION], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1000


def test_noise_is_followed_without_a_copy_of_the_attributions_for_each_draw():
    """50 rows, 2,000 columns, 300 draws: so many copies take 240 MB."""
    first = lambda rows: rows[:, 0]  # noqa: E731
    x = np.random.default_rng(0).normal(size=(50, 2000)).astype(np.float32)
    asked = {"removal": xai.removal.Noise(0.1), "batch_size": 500, "samples": 300}
    xai.metrics.infidelity(first, x[:, :5], x[:, :5], **asked)  # imports
    tracemalloc.start()
    xai.metrics.infidelity(first, x, x, **asked)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 240e6, f"{peak / 1e6:.0f} MB"


def test_known_values_are_kept_in_a_few_bytes_beside_each():
    """A key and a value of 8 bytes each, and slots of 8 to 16; so much again while these grow."""
    count = 2**17
    keys = np.random.default_rng(0).integers(0, 2**64, 4 * count, np.uint64)
    known = Known(1, 1)

    def look(part):
        found = known.look(
            keys[part], lambda new: np.asarray(new + part.start, float)[None, :, None]
        )
        np.testing.assert_array_equal(found[0, :, 0], np.arange(part.start, part.stop))

    look(slice(0, 8))
    tracemalloc.start()
    try:
        for start in range(8, len(keys) - count, count):
            look(slice(start, start + count))
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 34 * 3 * count, f"{held / (3 * count):.0f} bytes for each"
    assert peak < 60 * 3 * count, f"{peak / (3 * count):.0f} bytes for each"


@pytest.mark.parametrize(
    ("name", "options"),
    [("faithfulness_correlation", {"subset_size": 5}), ("mu_fidelity", {"subset_size": 5}),
     ("sensitivity_n", {"subset_size": [4, 5], "samples": 100}), ("infidelity", {}),
     ("infidelity", {"removal": xai.removal.Noise(0.1)}), ("lfa_error", {}),
     ("symmetry_gap", {"samples": 20})],
)  # fmt: skip
def test_a_metric_of_subsets_holds_no_table_of_rows_and_subsets(name, options, monkeypatch):
    """2,000 rows and 200 subsets or more: a number for each pair takes 3.2 MB."""
    monkeypatch.setattr("xai.game.BLOCK", 2**11)
    x = np.random.default_rng(0).normal(size=(2000, 10))
    model = lambda rows: rows[:, 0] * rows[:, 1]  # noqa: E731
    given = {"removal": "baseline", **options}
    metric = getattr(xai.metrics, name)
    metric(model, x[:5], x[:5], **given)  # imports, compiles
    tracemalloc.start()
    score = metric(model, x, x, **given)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    alone = metric(model, x[-5:], x[-5:], **given)
    np.testing.assert_allclose(score.values[-5:], alone.values, rtol=1e-12)
    assert peak < 3.2e6, f"{peak / 1e6:.0f} MB"


MANY = np.random.default_rng(0).normal(size=(4000, 16))


@pytest.mark.parametrize(
    ("name", "options"),
    [("max_sensitivity", {"samples": 16}), ("local_lipschitz", {"samples": 16}),
     ("relative_input_stability", {"samples": 16}), ("relative_output_stability", {"samples": 16}),
     ("relative_representation_stability", {"samples": 16, "layer": "0"}),
     ("avg_sensitivity", {"among": MANY[:60] + 1, "radius": 100.0}),
     ("shift_consistency", {"among": MANY[:10] + 1}), ("worst_case_bound", {}),
     ("parameter_randomization", {"smooth": 16, "steps": 0})],
)  # fmt: skip
def test_copies_of_some_rows_at_a_time_are_explained(name, options, monkeypatch):
    """4,000 rows and 16 copies or more of each, whose numbers take 8 MB; those of a layer 16."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    class Rounded(torch.nn.Linear):
        """A layer whose last digits do not depend on the rows beside it, as a product's do."""

        def forward(self, rows):
            return (super().forward(rows) * 2**20).round() / 2**20

    net = torch.nn.Sequential(Rounded(16, 32), torch.nn.Tanh(), Rounded(32, 2)).double()
    weighted = lambda model, rows, target: rows * np.arange(16.0)  # noqa: E731

    def scored(rows):
        a = weighted(net, rows, 0)
        return getattr(xai.metrics, name)(net, rows, a, explain=weighted, **options).values

    scored(MANY[:5])  # imports, compiles
    whole = scored(MANY)
    monkeypatch.setattr("xai.metrics.perturb.COPIES", 2**16)
    tracemalloc.start()
    parts = scored(MANY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(parts, whole)
    assert peak < 8e6, f"{peak / 1e6:.0f} MB"


@pytest.mark.parametrize("task", ["recourse", "depends_on"])
def test_findings_hold_no_table_of_rows_features_and_samples(task, monkeypatch):
    """2,000 rows, 10 features and 50 samples: a number for each takes 8 MB."""
    monkeypatch.setattr("xai.game.BLOCK", 2**11)
    x = np.random.default_rng(0).normal(size=(2000, 10))
    model = lambda rows: rows[:, 0] * rows[:, 1]  # noqa: E731
    options = {"step": 0.5} if task == "recourse" else {"data": x[:50]}

    def found(rows):
        return getattr(xai.metrics.tasks, task)(model, rows, samples=50, **options)

    alone = found(x[-5:])  # imports, compiles
    tracemalloc.start()
    finding = found(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(finding.rate[-5:], alone.rate)
    np.testing.assert_allclose(finding.change[-5:], alone.change, rtol=1e-12)
    assert peak < 8e6, f"{peak / 1e6:.0f} MB"


def test_changes_at_several_sizes_hold_no_coalition_of_each_row_and_size(monkeypatch):
    """2,000 rows, 40 sizes, 50 players: a byte for each takes 4 MB."""
    monkeypatch.setattr("xai.game.BLOCK", 2**11)
    x, sizes = np.random.default_rng(0).normal(size=(2000, 50)), list(range(1, 41))
    first = lambda rows: rows[:, 0]  # noqa: E731
    alone = xai.metrics.pgi(first, x[-5:], x[-5:], data=x[:2], k=sizes)  # imports, compiles
    tracemalloc.start()
    score = xai.metrics.pgi(first, x, x, data=x[:2], k=sizes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(score.values[-5:], alone.values, rtol=1e-12)
    assert peak < 5e6, f"{peak / 1e6:.0f} MB"
