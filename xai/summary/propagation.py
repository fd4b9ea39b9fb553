"""Rules that hand the output back through a network, layer by layer: captum's, by name."""

from __future__ import annotations

import copy
import weakref
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, cast

import numpy as np

from xai.archive import require
from xai.finite import refuse_infinite
from xai.game import Game
from xai.gradients import refuse_detached
from xai.model_game import ModelGame
from xai.replay import copied
from xai.summary.base import Attribution, Budget, Plan, Summary, check_word, finish, needs
from xai.summary.functions import as_layers, nonlinear, rectifiers
from xai.summary.gradient import as_model_game, full_values
from xai.summary.moments import host
from xai.summary.rewired import (
    attached,
    for_deeplift,
    for_lrp,
    lrp_rules,
    set_apart,
    without_lrp_rule,
)
from xai.torch_model import check_layers

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from xai.model import Model

Rule: TypeAlias = Literal["deeplift", "guided_backprop", "deconvnet", "lrp"]
RULES = {
    "deeplift": ("DeepLift", 2),
    "guided_backprop": ("GuidedBackprop", 1),
    "deconvnet": ("Deconvolution", 1),
    "lrp": ("LRP", 2),
}
"""captum's class of each rule, and the model rows that it takes for each row, draw and output."""
FUNCTIONS = {
    "deeplift": nonlinear, "guided_backprop": rectifiers, "deconvnet": rectifiers,
}  # fmt: skip
"""Functions that a network may call in place of the layers which each rule changes."""


@dataclass(frozen=True)
class Propagation(Summary):
    """What a rule of captum's hands back to each player, from the output through every layer.

    Parameters
    ----------
    rule : {"deeplift", "guided_backprop", "deconvnet", "lrp"}
        DeepLIFT compares x with everything removed, and sums to what that changes: the mean over
        all draws of the removal, as shap's DeepExplainer takes it over a background. The others
        know x alone, and have no empty state.

    Raises
    ------
    ImportError
        captum is not installed.
    TypeError
        LRP meets a layer that captum has no rule for.
    ValueError
        The rules give NaN or inf, as they may in float16.

    Notes
    -----
    They run on a copy of the module whose layers do not work in place; DeepLIFT with rows and their
    baselines in one call, two rows at least whatever `batch_size` is. A layer may be
    used again, and branches be added. Activations, softmax and max pooling may be torch's modules
    or its functions (`torch.relu`, `F.max_pool2d`): those that captum's DeepLIFT does not know have
    its rule of all activations; one behind another, as max pooling behind a ReLU, and windows that
    overlap keep theirs, which captum loses. A product of what depends on x twice, as of channels
    and their gates, hands each factor its Shapley value of the two. ``completeness_gap`` shows what
    else is not linear, as LayerNorm.
    LRP knows layers that are modules.

    DeepLIFT (Shrikumar et al. 2017), guided backpropagation (Springenberg et al. 2015),
    deconvolution (Zeiler & Fergus 2014), LRP (Bach et al. 2015; captum's epsilon rule).

    Examples
    --------
    >>> Propagation("lrp")
    Propagation(rule='lrp')
    """

    rule: Rule = "deeplift"
    default_budget: ClassVar[Budget | str] = "1 to 2m + m + 1"
    always_differentiates: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse an unknown rule."""
        check_word("rule", self.rule, list(RULES))

    def attribute(self, game: Game, plan: Plan) -> Attribution:
        """Run captum's method for each output, batch by batch."""
        model = as_model_game(game)
        lifts = self.rule == "deeplift"
        self._check(model)
        name, unit = RULES[self.rule]
        k, m = model.n_outputs, model.n_draws if lifts else 1
        ends = model.ends_cost if lifts else model.full_cost
        needs(self.rule, ends + unit * k * m, plan.budget)
        captum, every = require("captum.attr", "torch"), np.arange(model.n_rows)
        full = full_values(model)
        base = model.ends(every)[0] if lifts else np.full_like(full, np.nan)
        model.progress.expect_more(model.n_rows * unit * k * m)
        values = np.zeros((model.n_rows, model.n_players, k))
        size = max(1, model.batch // unit)
        network = _network(model, self.rule)
        rules = _rules(network.network) if self.rule == "lrp" else {}
        for start in range(0, model.n_rows * m, size):
            rows, draws = np.divmod(np.arange(start, min(start + size, model.n_rows * m)), m)
            at = model.explained[rows]
            network.at = at
            method = getattr(captum, name)(network)
            network.method = weakref.proxy(method)  # which holds the network itself
            x, removed = model.inputs.block[at], np.zeros((len(at), 1))
            for j in range(k):
                for part, rule in rules.items():  # captum takes all away after each output
                    setattr(part, "rule", rule)  # noqa: B010 — torch types any attribute
                given = {"baselines": model.gradients.inputs(at, removed, draws)} if lifts else {}
                with for_lrp(network) if self.rule == "lrp" else nullcontext():
                    found = _run(method, x, j, given)
                self._check_rectifiers(network)
                handed = host(model.gradients.per_player(found[..., None], rows))[..., 0]
                refuse_infinite(handed, at, f"the rules of {self.rule} give", _remedy(model, x))
                np.add.at(values[..., j], rows, handed / m)
                model.count(unit * len(rows))
        info = {"completeness_gap": values.sum(axis=1) - (full - base)} if lifts else {}
        return finish(model, values, None, (base, full), tolerance=plan.tolerance, info=info)

    def _check(self, game: ModelGame) -> None:
        runs = game.model.torch_model
        if runs is None or game.model.forward is not runs:
            raise TypeError(
                f"{self.rule} goes through a whole torch module, not part of one (what follows a "
                "layer, or the embedding of codes): choose a method that does, as "
                "'integrated_gradients'"
            )
        import torch

        parts = game.model.module.modules()
        scripted = (part for part in parts if isinstance(part, torch.jit.ScriptModule))
        check_layers(next(scripted, game.model.module), f"{self.rule}'s rules for a network")
        if game.values.reduce is not None:
            raise ValueError(f"{self.rule} explains an output: use behavior=Prediction or Contrast")
        if self.rule == "deeplift" and game.endless:
            raise ValueError(
                "DeepLIFT compares with one baseline, or with each of several, and this removal "
                "has no end of draws: use removal=xai.removal.Baseline(...) or Marginal(rows)"
            )

    def _check_rectifiers(self, network: Any) -> None:
        import torch

        if self.rule not in ("guided_backprop", "deconvnet") or network.met:
            return
        if not any(isinstance(part, torch.nn.ReLU) for part in network.modules()):
            raise ValueError(
                f"{self.rule} changes how ReLUs hand gradients back, and the network has none "
                "(captum knows no ReLU6): it would be the gradient"
            )


def _rules(network: Module) -> dict[Module, Any]:
    """LRP's rule of each layer that captum has none for, or one that its owner gave it."""
    rules = lrp_rules(network)
    lacking = without_lrp_rule(network, rules)
    if lacking:
        names = ", ".join(f"{name!r} ({type(part).__name__})" for name, part in lacking[:3])
        more = f" and {len(lacking) - 3} more" * (len(lacking) > 3)
        error = TypeError(f"lrp has no rule for the network's layers {names}{more}")
        error.add_note(
            "rules are in captum.attr._utils.lrp_rules: set layer.rule = EpsilonRule() of "
            "what is linear, IdentityRule() of an activation; or choose 'deeplift'"
        )
        raise error
    return rules


def _remedy(game: ModelGame, x: Tensor) -> str:
    """Where captum's rules divide by what float16 has no numbers as small as."""
    runs = game.model.torch_model
    halves = "float16" in (runs and runs.precision, str(x.dtype).removeprefix("torch."))
    return "float16 has too few small numbers for them: run it in float32 or bfloat16" * halves


def _run(method: Any, x: Tensor, output: int, given: dict[str, Any]) -> Tensor:
    import warnings

    import torch

    with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
        # that hooks are set and gradients asked for, which is what it is called for
        warnings.filterwarnings("ignore", message="(?s)Setting.*hooks|.*required_grads")
        try:
            part: Tensor = method.attribute(x.clone().requires_grad_(), target=output, **given)
        except RuntimeError as error:
            if given and "must match the size" in str(error):
                error.add_note(
                    "captum's DeepLIFT takes the first axis of each layer's input for that of the "
                    "rows: a network that turns it behind another, as steps before rows "
                    "(batch_first=False), is explained with 'integrated_gradients'"
                )
            raise
    return part.detach()


def _network(game: ModelGame, rule: Rule) -> Any:
    """A copy of the network with the behavior behind it, that works nowhere in place.

    Its `at` are the rows it runs next, its `method` captum's, by whose hooks it `met` functions.
    """
    import torch

    runs = game.model.torch_model
    assert runs is not None
    own = copy.copy(runs)
    model = replace(game.model, torch_model=own, forward=own)
    with torch.inference_mode(False):
        object.__setattr__(own, "module", copied(runs.module))
    for part in own.module.modules():
        if getattr(part, "inplace", False) is True:
            setattr(part, "inplace", False)  # noqa: B010 — torch types any attribute as a tensor

    set_apart(own.module, game.model.reused)
    attached(own.module)
    if rule == "deeplift":
        for_deeplift(own.module)

    class Rows(torch.nn.Module):
        """A class made in a function stays until a collection, with whatever it closes over."""

        def __init__(self, game: ModelGame, model: Model, rule: Rule) -> None:
            super().__init__()
            self.network, self.game, self.model = model.module, game, model
            self.known = FUNCTIONS[rule]() if rule in FUNCTIONS else {}
            self.lifts, self.met = rule == "deeplift", 0
            self.at, self.method = game.explained, cast("Any", None)

        def forward(self, x: Tensor) -> Tensor:
            # DeepLIFT runs x and its baselines together
            rows = np.tile(self.at, len(x) // len(self.at))
            n = len(x) if self.lifts else 1  # rows meet their baselines
            met = as_layers(self.network, n, self.known, self.hooked, shares=self.lifts)
            with met:
                # a copy: a module that works in place on its input may not write on a leaf
                out = self.game.gradients.outputs(x.clone(), rows, self.model)
                values: Tensor = self.game.values.output(rows, out)
            if torch.is_grad_enabled():
                refuse_detached(values, x)
            return values

        def hooked(self, layer: Module) -> Module:
            """A layer in place of a function, met by captum as the network's own are."""
            self.met += 1
            place = torch.nn.Sequential(layer)
            if self.lifts:
                for_deeplift(place)
            return place.apply(self.method._register_hooks)

    return Rows(game, model, rule).eval()
