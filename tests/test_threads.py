"""Beside a network's own threads NumPy has one; explanations in several threads share a module."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import xai
from xai.threads import one_thread_of_blas, pools

torch = pytest.importorskip("torch")


class Pool:
    """Threads of a library, limited as threadpoolctl does it."""

    def __init__(self) -> None:
        self.threads = 2

    def limit(self, limits: int) -> Pool:
        self.before, self.threads = self.threads, limits
        return self

    def restore_original_limits(self) -> None:
        self.threads = self.before


POOL = Pool()


def threads() -> set[int]:
    return {POOL.threads}


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two of both, however many cores there are, and whatever NumPy was built with."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with monkeypatch.context() as patch:
        patch.setattr("xai.threads.pools", lambda: POOL)
        yield
    torch.set_num_threads(before)


class Net(torch.nn.Module):
    """Notes how many threads NumPy has while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.seen = torch.nn.Linear(3, 2), set()

    def forward(self, x):
        self.seen |= threads()
        return self.linear(x)


def test_a_network_on_several_threads_runs_beside_one_of_numpys() -> None:
    net, x = Net(), torch.ones(4, 3)
    xai.explain(net, x, removal="baseline")
    assert net.seen == {1} and threads() == {2}


def test_a_metric_and_the_explanations_it_asks_for_are_beside_one() -> None:
    net, x = Net(), torch.ones(4, 3)
    e = xai.explain(net, x, removal="baseline")
    xai.metrics.max_sensitivity(net, x, e, samples=2)
    assert net.seen == {1} and threads() == {2}


def test_they_come_back_when_an_explanation_fails() -> None:
    class Fails(Net):
        def forward(self, x):
            super().forward(x)
            raise RuntimeError("no memory")

    net = Fails()
    with pytest.raises(RuntimeError, match="no memory"):
        xai.explain(net, torch.ones(4, 3), removal="baseline")
    assert net.seen == {1} and threads() == {2}


def test_a_network_on_one_thread_leaves_numpys_alone() -> None:
    net, x = Net(), torch.ones(4, 3)
    torch.set_num_threads(1)
    xai.explain(net, x, removal="baseline")
    assert net.seen == {2}


def test_other_models_keep_numpys() -> None:
    seen = set()

    def model(x: np.ndarray) -> np.ndarray:
        seen.update(threads())
        return x @ np.ones((3, 2))

    xai.explain(model, np.ones((4, 3)), removal="baseline")
    assert seen == {2}


def test_boosting_on_threads_of_its_own_runs_beside_one_of_numpys(monkeypatch) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, seen = np.random.default_rng(0).normal(size=(60, 3)), set()
    boosting = HistGradientBoostingClassifier(max_iter=2)
    model = make_pipeline(StandardScaler(), boosting).fit(x, x[:, 0] > 0)
    predict = HistGradientBoostingClassifier.predict_proba

    def watched(self, rows: np.ndarray) -> np.ndarray:
        seen.update(threads())
        return predict(self, rows)

    monkeypatch.setattr(HistGradientBoostingClassifier, "predict_proba", watched)
    xai.explain(model, x[:2], data=x)
    assert seen == {1} and threads() == {2}


def test_the_last_to_leave_puts_them_back_in_any_order() -> None:
    first, second = one_thread_of_blas(), one_thread_of_blas()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert threads() == {1}
    second.__exit__(None, None, None)
    assert threads() == {2}


def test_libraries_whose_threads_are_their_own_are_held() -> None:
    """Those of OpenMP are the network's own: they stay as they are."""
    from threadpoolctl import ThreadpoolController

    def counts(own: bool) -> list[int]:
        loaded = ThreadpoolController().info()
        return [p["num_threads"] for p in loaded if own == (p.get("threading_layer") == "pthreads")]

    two = pools().limit(limits=2)
    held, others = counts(own=True), counts(own=False)
    one = pools().limit(limits=1)
    assert counts(own=True) == [1] * len(held) and counts(own=False) == others
    one.restore_original_limits()
    assert counts(own=True) == held == [2] * len(held)
    two.restore_original_limits()


# ---------------------------------------------------------------- one module, several explanations


class Images(torch.nn.Module):
    """A network that its training mode and a replayed layer would make another one."""

    def __init__(self) -> None:
        super().__init__()
        self.early = torch.nn.Conv2d(1, 3, 3, padding=1)
        self.late = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.relu, self.end = torch.nn.ReLU(), torch.nn.Linear(4, 2)

    def forward(self, x):
        x = torch.nn.functional.dropout(self.relu(self.early(x)), 0.5, self.training)
        return self.end(self.late(x).mean((2, 3)))


def images(seed: int) -> torch.Tensor:
    return torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


def state(net: torch.nn.Module) -> list[object]:
    return [
        [(part.training, "forward" in vars(part)) for part in net.modules()],
        [len(part._forward_hooks) for part in net.modules()],
        [(p.requires_grad, p.stride(), p.data_ptr()) for p in net.parameters()],
    ]


def test_sessions_of_a_module_may_overlap() -> None:
    net = Images()
    net.relu.eval()
    net.end.bias.requires_grad_(False)
    before, run = state(net), xai.TorchModel(net, channels_last=True)
    first, second = run.session(), run.session()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not any(part.training for part in net.modules())
    assert not any(p.requires_grad for p in net.parameters())
    second.__exit__(None, None, None)
    assert state(net) == before


class Merging(torch.nn.Linear):
    """Adds what it learns to its weights for as long as it is evaluated, as LoRA does."""

    merged = False

    def train(self, mode: bool = True):
        if self.merged is mode:
            self.weight.data += -1 if mode else 1
            self.merged = not mode
        return super().train(mode)


def test_what_a_module_does_to_be_evaluated_is_undone() -> None:
    net = torch.nn.Sequential(Merging(3, 2), torch.nn.Dropout())
    net[1].eval()
    before = net[0].weight.detach().clone()
    xai.explain(net, torch.ones(4, 3), removal="baseline")
    assert net.training and net[0].training and not net[1].training
    assert not net[0].merged
    torch.testing.assert_close(net[0].weight, before)


def test_a_module_is_put_in_eval_mode_once() -> None:
    class Added(torch.nn.Linear):
        def train(self, mode: bool = True):
            self.weight.data += -1 if mode else 1
            return super().train(mode)

    net = torch.nn.Sequential(torch.nn.Sequential(Added(3, 2)))
    before = net[0][0].weight.detach().clone()
    e = xai.explain(net, torch.ones(1, 3), "gradient", target=0)
    torch.testing.assert_close(torch.tensor(e.values), before[:1] + 1, check_dtype=False)
    torch.testing.assert_close(net[0][0].weight, before)


def test_a_part_that_was_evaluated_stays_what_it_was_as_its_network_is_trained_again() -> None:
    class Whole(torch.nn.Sequential):
        def train(self, mode: bool = True):
            return super().train(mode)

    net = Whole(Merging(3, 2), torch.nn.Dropout())
    net[0].eval()
    before = net[0].weight.detach().clone()
    xai.explain(net, torch.ones(4, 3), removal="baseline")
    assert net.training and net[0].merged and not net[0].training
    torch.testing.assert_close(net[0].weight, before)


def test_all_is_put_back_where_a_part_will_not_be() -> None:
    class Stubborn(torch.nn.Linear):
        def train(self, mode: bool = True):
            if mode:
                raise RuntimeError("no more training")
            return super().train(mode)

    net = torch.nn.Sequential(torch.nn.Linear(3, 3), Stubborn(3, 2), torch.nn.Dropout())
    before = state(net)
    with pytest.raises(RuntimeError, match="no more training"):
        xai.explain(net, torch.ones(4, 3), removal="baseline")
    assert state(net) == before


def test_other_threads_run_the_module_itself_while_a_layer_is_replayed() -> None:
    from concurrent.futures import ThreadPoolExecutor

    class Called(Images):
        def forward(self, x):
            if "forward" in vars(self.early) and threading.get_ident() == here:
                replayed.append(x)
                if len(replayed) > 1:  # the first pass is remembered
                    given.append(pool.submit(self, images(1)).result())
            return super().forward(x)

    net, here, replayed, given = Called().eval(), threading.get_ident(), [], []
    expected = net(images(1))
    with ThreadPoolExecutor(1) as pool:
        xai.explain(net, images(0), "occlusion", players=xai.players.Channels("late"))
    assert given
    for out in given:
        torch.testing.assert_close(out, expected)


def test_explanations_of_one_module_in_several_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    torch.set_num_threads(1)
    net, channels = Images(), xai.players.Channels("late")
    before, methods = state(net), ("gradcam", "lrp", "ablation_cam", "occlusion", "gradient")

    def explained(seed: int) -> np.ndarray:
        x, method = images(seed), methods[seed % len(methods)]
        if method == "occlusion":
            return xai.explain(net, x, method, removal="baseline", players=channels).values
        return xai.explain(net, x, method).values

    expected = list(map(explained, range(40)))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(explained, range(40)))
    finally:
        sys.setswitchinterval(interval)
    assert state(net) == before
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_copy_is_made_again_where_hooks_came_meanwhile() -> None:
    from xai.replay import copied

    class Hooked:
        def __deepcopy__(self, memo: object) -> Hooked:
            told.append("OrderedDict mutated during iteration")
            if len(told) < 3:
                raise RuntimeError(told[-1])
            return self

    told: list[str] = []
    net = torch.nn.Linear(2, 1)
    net.part = Hooked()
    assert torch.equal(copied(net).weight, net.weight) and len(told) == 3


def test_fused_layers_come_back_when_the_last_has_left() -> None:
    from xai.layers import Probe

    layer = torch.nn.TransformerEncoderLayer(4, 2, batch_first=True)
    probe = Probe(layer, "linear1", layer.linear1)
    first, second = probe.watching(), probe.watching()
    assert torch.backends.mha.get_fastpath_enabled()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not torch.backends.mha.get_fastpath_enabled()
    second.__exit__(None, None, None)
    assert torch.backends.mha.get_fastpath_enabled()
