"""A model, compiled or not, and what it is given."""

import pytest
import torch
from streaming_cases import a_model


@pytest.fixture(params=["compiled", "part by part"])
def model(request):
    model = a_model()
    if request.param == "part by part":
        model[0].module.register_forward_hook(lambda *call: None)
    return model


@pytest.fixture
def x():
    return torch.randn(8, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
