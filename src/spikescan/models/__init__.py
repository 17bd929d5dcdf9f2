"""Whole networks, and the registry of the functions that build them."""

from spikescan.models.cnn import sequential_cnn, sew_resnet, vgg
from spikescan.models.forecaster import forecaster
from spikescan.models.mlp import mlp, residual_mlp
from spikescan.models.parts import NORMS, READOUTS
from spikescan.models.registry import create_model, list_models, model_builder, register_model
from spikescan.models.single import Single, single
from spikescan.models.ssm import sd_tcm, spiking_ssm
from spikescan.models.transformer import causal_transformer, spike_driven_transformer

__all__ = [
    "NORMS",
    "READOUTS",
    "Single",
    "causal_transformer",
    "create_model",
    "forecaster",
    "list_models",
    "mlp",
    "model_builder",
    "register_model",
    "residual_mlp",
    "sd_tcm",
    "sequential_cnn",
    "sew_resnet",
    "single",
    "spike_driven_transformer",
    "spiking_ssm",
    "vgg",
]
