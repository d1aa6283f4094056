"""The facts that pass between rooms: frozen, free of torch, and each able to say itself as JSON."""

from lipscope.records.layers import (
    GRADIENT_KEPT,
    NEAR_ONE,
    GradientNorms,
    LayerReport,
    Spectrum,
    Tightness,
    gradient_kept,
    loses_most,
)
from lipscope.records.numbers import Bound, Estimate, Shape, round_up
from lipscope.records.reports import VERDICT_TOLERANCE, AnalysisEvent, InspectReport, Verdict, allowed
from lipscope.records.runs import RunEvent, StepEvent

__all__ = [
    "GRADIENT_KEPT",
    "NEAR_ONE",
    "VERDICT_TOLERANCE",
    "AnalysisEvent",
    "Bound",
    "Estimate",
    "GradientNorms",
    "InspectReport",
    "LayerReport",
    "RunEvent",
    "Shape",
    "Spectrum",
    "StepEvent",
    "Tightness",
    "Verdict",
    "allowed",
    "gradient_kept",
    "loses_most",
    "round_up",
]
