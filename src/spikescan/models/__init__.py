"""Whole networks, and the registry of the functions that build them."""

from spikescan.models.mlp import NORMS, READOUTS, mlp
from spikescan.models.registry import create_model, list_models, model_builder, register_model
from spikescan.models.single import Single, single

__all__ = [
    "NORMS",
    "READOUTS",
    "Single",
    "create_model",
    "list_models",
    "mlp",
    "model_builder",
    "register_model",
    "single",
]
