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
    loss_words,
)
from lipscope.records.numbers import NOT_YET, Bound, Estimate, Shape, json_safe, round_down, round_up
from lipscope.records.reports import AnalysisEvent, InspectReport
from lipscope.records.runs import RunEvent, StepEvent
from lipscope.records.verdict import VERDICT_TOLERANCE, Arrow, Chain, Place, Scope, Verdict, allowed

__all__ = [
    "GRADIENT_KEPT",
    "NEAR_ONE",
    "NOT_YET",
    "VERDICT_TOLERANCE",
    "AnalysisEvent",
    "Arrow",
    "Bound",
    "Chain",
    "Estimate",
    "GradientNorms",
    "InspectReport",
    "LayerReport",
    "Place",
    "RunEvent",
    "Scope",
    "Shape",
    "Spectrum",
    "StepEvent",
    "Tightness",
    "Verdict",
    "allowed",
    "gradient_kept",
    "json_safe",
    "loses_most",
    "loss_words",
    "round_down",
    "round_up",
]
