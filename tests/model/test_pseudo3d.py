"""Pseudo-3D layers: at initialisation a video network is its image network, frame by frame; afterwards frames talk."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tv2tv_core.model.interpolator import Interpolator, Window
from tv2tv_core.model.pseudo3d import PseudoAttention, PseudoBlock, PseudoConv, TemporalAttention, TemporalConv
from tv2tv_core.model.sharpener import Sharpener


def of_time(name: str) -> bool:
    """Whether a parameter belongs to a layer along time."""
    return ".time." in f".{name}" or "over_time" in name


def shaken(network: nn.Module) -> nn.Module:
    """The network as if its image layers were trained: whatever is not along time is random, zeros included."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not of_time(name):
                parameter.copy_(0.1 * torch.randn_like(parameter))
    return network.eval()


LAYERS = {
    "conv": lambda temporal: PseudoConv(8, 8, temporal=temporal),
    "stride": lambda temporal: PseudoConv(8, 12, 4, 2, temporal),
    "block": lambda temporal: PseudoBlock(8, temporal),
    "attention": lambda temporal: PseudoAttention(8, 2, temporal),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_fresh_layer_equals_its_image_layer_frame_by_frame(name: str) -> None:
    video = shaken(LAYERS[name](True))
    image = LAYERS[name](False)
    image.load_state_dict({key: value for key, value in video.state_dict().items() if not of_time(key)})
    x = torch.randn(2, 5, 8, 6, 10)
    alone = torch.cat([image(x[:, t : t + 1]) for t in range(5)], dim=1)
    torch.testing.assert_close(video(x), alone, atol=1e-5, rtol=1e-4)


def test_a_fresh_sharpener_equals_its_image_network_frame_by_frame() -> None:
    video, image = shaken(Sharpener(8, 8, 2, 8)), Sharpener(8, 8, 2, 8, temporal=False)
    image.load_state_dict({key: value for key, value in video.state_dict().items() if not of_time(key)})
    x = torch.rand(1, 4, 3, 8, 12) * 2 - 1
    alone = [image(x[:, t : t + 1]) for t in range(4)]
    for scale, made in video(x).items():
        torch.testing.assert_close(made, torch.cat([one[scale] for one in alone], dim=1), atol=1e-5, rtol=1e-4)


def test_a_fresh_interpolator_equals_its_image_network() -> None:
    video, image = shaken(Interpolator((8, 8, 8))), Interpolator((8, 8, 8), temporal=False)
    image.load_state_dict({key: value for key, value in video.state_dict().items() if not of_time(key)})
    window = Window(torch.rand(1, 4, 3, 32, 32) * 2 - 1, (0, 3), torch.randn(1, 2, 2, 32, 32), 35.0)
    for made, expected in zip(video(window), image.eval()(window), strict=True):
        torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layer", [TemporalConv(4), TemporalAttention(4, 2), TemporalAttention(4, 2, ordered=False)])
def test_a_trained_layer_along_time_lets_frames_talk_but_not_pixels(layer: nn.Module) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(1, 3, 4, 5, 5)
    other = x.clone()
    other[0, 1, 0, 2, 2] += 1
    changed = (layer(x) - layer(other)).abs().amax(dim=2)[0] > 1e-6
    assert changed[:, 2, 2].all() and changed.sum() == 3


def test_without_order_frames_may_come_in_any_order() -> None:
    torch.manual_seed(0)
    plain, ordered = TemporalAttention(8, 2, ordered=False), TemporalAttention(8, 2)
    nn.init.normal_(plain.attention.output.weight)
    ordered.load_state_dict(plain.state_dict())
    x = torch.randn(1, 4, 8, 2, 2)
    torch.testing.assert_close(plain(x.flip(1)), plain(x).flip(1))
    assert not torch.allclose(ordered(x.flip(1)), ordered(x).flip(1), atol=1e-3)
