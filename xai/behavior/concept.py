"""How much of a concept there is: what a layer sees, in place of the network's output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xai.behavior.base import Behavior, Values, View
from xai.model import Model

if TYPE_CHECKING:
    from xai.concepts.bank import ConceptBank


@dataclass(frozen=True)
class Concept(Behavior):
    """A concept's coefficient, averaged over the places of its layer.

    The network is run up to the bank's layer only, and differentiated through the coefficients
    exactly, so every method explains a concept as it does a class, but for DeepLIFT, LRP and the
    like, which go through whole networks.

    Parameters
    ----------
    bank : ConceptBank
    concept : int

    Raises
    ------
    TypeError
        The model is no torch module, or `bank` no bank.

    Notes
    -----
    Concept attribution maps (Fel et al. 2023, §3.3), by the closed form of the implicit gradient:
    see `xai.concepts.coefficients`.

    Examples
    --------
    >>> import torch, xai
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(),
    ...                           torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))
    >>> x = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> bank = xai.concepts.fit(net, x, layer="1", n_concepts=2)
    >>> xai.explain(net, x[:2], "gradient", behavior=Concept(bank, 0)).values.shape
    (2, 8, 8)
    """

    bank: ConceptBank
    concept: int

    def observed(self, model: Model) -> Model:
        """The network up to the layer, then the coefficient: one output."""
        import torch

        from xai.concepts.bank import as_bank
        from xai.layers import probe_of

        bank = as_bank(self.bank)
        if model.module is None:
            raise TypeError("a concept is seen by a torch module's layer, and the model is none")
        i = bank.index(self.concept)
        probe = probe_of(model, bank.layer)

        def forward(batch: Any) -> Any:
            a = probe.reach(batch)
            axis = probe.channel_axis(a, tuple(batch.shape[1:]))
            u = bank.coefficients_of(a, axis).select(axis, i)
            return u.reshape(len(u), -1).mean(1, keepdim=True)

        call = torch.no_grad()(forward)
        return replace(model, call=call, forward=forward, scale="amount", labels=())

    def bind(self, view: View) -> Values:
        """The coefficient as it stands."""
        names, unit = [self.bank.names[self.concept]], "the concept's coefficient"
        return Values(lambda rows, out: out, None, names, unit=unit)
