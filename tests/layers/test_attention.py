import math

import pytest
import torch
from torch import nn

from spikescan.errors import InputError
from spikescan.layers import DecayingSum, RateReadout, Scale, Sequential, SpikeAttention, TokenSum
from spikescan.neurons.dsn import DSN


def test_attention_is_its_equation():
    torch.manual_seed(0)
    q, k, v, fire = (DSN(3).double() for _ in range(4))
    x = 2.0 * torch.randn(5, 2, 3, 4, dtype=torch.float64)
    y, state = SpikeAttention(q, k, v, Sequential(TokenSum(), fire))(x)
    summed = (k(x)[0] * v(x)[0]).sum(-1, keepdim=True)
    assert torch.equal(y, q(x)[0] * fire(2.0 * summed)[0])
    assert y.any()
    assert state.mix[1].membrane.shape == (2, 3, 1)


def test_attention_over_time_sees_the_past_through_the_sum_alone():
    """The first step's key and value reach a later query; nothing does where the key is silent."""
    keep = nn.Identity()
    attention = SpikeAttention(nn.Linear(2, 1), nn.Linear(2, 1), keep, DecayingSum(2, learn=False))
    with torch.no_grad():
        for part, weight in ((attention.query, [0.0, 1.0]), (attention.key, [1.0, 0.0])):
            part.module.weight.copy_(torch.tensor([weight]))
            part.module.bias.zero_()
    x = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]).unsqueeze(1)
    y, _ = attention(x)
    decay = math.exp(-1.0 / 2.0)
    torch.testing.assert_close(y[:, 0], torch.tensor([[0.0, 0.0], [0.0, 0.0], [decay**2, 0.0]]))


def test_attention_says_what_its_parts_are():
    assert SpikeAttention(DSN(3), DSN(3), DSN(3), nn.Dropout()).stochastic
    assert SpikeAttention(DSN(3), DSN(3), DSN(3), DSN(3)).streamable


def test_attention_refuses_a_foreign_state():
    attention = SpikeAttention(DSN(3), DSN(3), DSN(3), DSN(3))
    with pytest.raises(InputError, match="its own is SpikeAttentionState"):
        attention(torch.randn(2, 1, 3), RateReadout().initial_state(torch.randn(1, 3)))


def test_token_sum_is_over_space():
    x = torch.randn(6, 3, 2, 5)
    torch.testing.assert_close(TokenSum()(x), 2.0 * x.sum((2, 3), keepdim=True))
    torch.testing.assert_close(TokenSum(1.0)(x[..., 0, 0]), x[..., 0, 0])


def test_decaying_sum_is_its_equation():
    module = DecayingSum(6, 3, time_constants=(1.0, 100.0)).double()
    decay = torch.exp(-1.0 / torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)).repeat_interleave(2)
    x = torch.randn(9, 2, 6, dtype=torch.float64)
    total, expected = torch.zeros(2, 6, dtype=torch.float64), []
    for x_t in x:
        total = decay * total + x_t
        expected.append(total)
    torch.testing.assert_close(module(x)[0], torch.stack(expected), rtol=1e-6, atol=1e-6)


def test_a_decay_is_learnt_or_fixed():
    (logit,) = DecayingSum(4, 2).parameters()
    assert logit.no_weight_decay
    fixed = DecayingSum(4, 2, learn=False)
    assert list(fixed.parameters()) == []
    assert "decay_logit" in fixed.state_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 5, "heads": 2}, "no multiple of heads = 2"),
        ({"channels": 4, "heads": 0}, "heads = 0"),
        ({"channels": 4, "time_constants": (4.0, 2.0)}, "time_constants"),
        ({"channels": 4, "time_constants": (0.0, 2.0)}, "time_constants"),
    ],
    ids=str,
)
def test_names_what_is_wrong(arguments, message):
    with pytest.raises(InputError, match=message):
        DecayingSum(**arguments)


def test_a_scale_is_one_at_the_start_and_positive():
    scale, x = Scale(3), torch.randn(5, 3)
    assert torch.equal(scale(x), x)
    assert scale.log_scale.no_weight_decay
    nn.init.constant_(scale.log_scale, math.log(0.5))
    torch.testing.assert_close(scale(x), 0.5 * x)
    assert scale(x.bfloat16()).dtype == torch.bfloat16
