"""The model of these tests."""

import torch
from torch import nn

from spikescan.layers import LeakyReadout, RateReadout, Sequential


def a_model(width=4):
    torch.manual_seed(0)
    return Sequential(nn.Linear(3, width), LeakyReadout(width), nn.Linear(width, 2), RateReadout()).double().eval()
