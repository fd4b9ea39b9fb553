"""What of the model is explained? Each behavior is one small frozen object."""

from __future__ import annotations

from xai.behavior.base import Behavior, Values, View
from xai.behavior.concept import Concept
from xai.behavior.loss import DatasetLoss, PredictionLoss
from xai.behavior.prediction import Contrast, Margin, Prediction

NAMES = {
    "prediction": Prediction,
    "contrast": Contrast,
    "margin": Margin,
    "prediction_loss": PredictionLoss,
    "dataset_loss": DatasetLoss,
}
"""Behaviors that `explain(behavior="…")` accepts by name."""

__all__ = [
    "NAMES",
    "Behavior",
    "Concept",
    "Contrast",
    "DatasetLoss",
    "Margin",
    "Prediction",
    "PredictionLoss",
    "Values",
    "View",
]
