"""What a network sees: concepts found in a layer, their importance, and where they are."""

from __future__ import annotations

from xai.concepts.bank import ConceptBank, fit, load
from xai.concepts.importance import Importance
from xai.concepts.nnls import coefficients

__all__ = ["ConceptBank", "Importance", "coefficients", "fit", "load"]
