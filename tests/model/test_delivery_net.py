"""The delivery networks: what holds before and after any training, and weights on their way to disk and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tv2tv_core.errors import WeightsError
from tv2tv_core.model.checkpoint import save_weights
from tv2tv_core.model.delivery_net import DeliveryNet, load_net, save_net
from tv2tv_core.model.interpolator import Interpolator, Window, both_flows
from tv2tv_core.model.sharpener import Sharpener, bicubic


def texture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """A smooth random picture, uint8 HWC."""
    rough = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return ((bicubic(rough, 4)[0].clamp(-1, 1) + 1) * 127.5).byte().permute(1, 2, 0).numpy()


def random_net() -> DeliveryNet:
    """Both networks with random heads, so that they do something."""
    torch.manual_seed(1)
    net = DeliveryNet(Interpolator().eval(), Sharpener().eval())
    for head in (net.smooth.move, net.smooth.colour, net.sharpen.twice, net.sharpen.four):
        torch.nn.init.normal_(head.conv.weight, std=0.05)
    return net


def test_flow_follows_what_moves() -> None:
    picture = texture()
    shifted = np.roll(picture, 3, axis=1)
    there, back = both_flows(picture, shifted)[:, :, 12:36, 16:48].mean(axis=(2, 3))
    assert there == pytest.approx([3, 0], abs=0.4) and back == pytest.approx([-3, 0], abs=0.4)


def test_a_fresh_network_already_moves_halfway() -> None:
    net = DeliveryNet(Interpolator().eval(), Sharpener().eval())
    picture = texture()
    first, middle, second = (np.roll(picture, k, axis=1) for k in (0, 2, 4))
    made = net.between([(first, second)], 2, 17.5)[0, 0].astype(int)
    inside = slice(8, -8)
    error = np.abs(made - middle)[inside, inside].mean()
    blended = np.abs((first.astype(int) + second) // 2 - middle)[inside, inside].mean()
    assert error < 0.5 * blended


def test_what_happens_next_goes_on_in_the_same_direction() -> None:
    net = DeliveryNet(Interpolator().eval(), Sharpener().eval())
    picture = texture()
    after = net.after(picture, np.roll(picture, 2, axis=1), 2, 17.5)
    for k, frame in enumerate(after):
        expected, held = np.roll(picture, 4 + 2 * k, axis=1), np.roll(picture, 2, axis=1)
        errors = [np.abs(frame[10:-10, 14:-14].astype(int) - x[10:-10, 14:-14]).mean() for x in (expected, held)]
        assert errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize("size", [(48, 64), (33, 50)])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_any_factor_and_any_size_give_the_right_number_of_frames(factor: int, size: tuple[int, int]) -> None:
    pair = texture(52, 64)[: size[0], : size[1]], texture(52, 64, 1)[: size[0], : size[1]]
    assert random_net().between([pair, pair], factor, 17.5).shape == (2, factor - 1, *size, 3)


def test_a_pair_does_not_depend_on_its_neighbours() -> None:
    net, pairs = random_net(), [(texture(seed=k), texture(seed=k + 1)) for k in range(3)]
    together = net.between(pairs, 2, 17.5).astype(int)
    alone = np.concatenate([net.between([pair], 2, 17.5) for pair in pairs])
    assert np.abs(together - alone).max() <= 1


def test_a_still_picture_stays_as_it_is() -> None:
    picture, other = texture(), texture(seed=1)
    made = random_net().between([(picture, picture), (picture, other)], 3, 17.5)
    assert np.array_equal(made[0], np.stack([picture, picture])) and not np.array_equal(made[1, 0], picture)


def test_enlarged_frames_hold_still_where_small_ones_do() -> None:
    net, moving = random_net(), [texture(seed=k) for k in range(3)]
    still = net.enlarged(np.stack([texture()] * 3), 4).astype(int)
    assert np.abs(np.diff(still, axis=0))[:, 8:-8, 8:-8].mean() < 1
    assert np.abs(net.enlarged(np.stack(moving), 4).reshape(3, 48, 4, 64, 4, 3).mean((2, 4)) - moving).mean() < 1.5


def test_known_frames_come_back_as_they_were_and_missing_ones_are_not_looked_at() -> None:
    net, frames = random_net().smooth, torch.rand(1, 3, 3, 32, 48) * 2 - 1
    flow = torch.randn(1, 2, 2, 32, 48)
    other = frames.clone()
    other[:, 1] = 0.3
    with torch.no_grad():
        made, same = net(Window(frames, (0, 2), flow, 35.0))[0], net(Window(other, (0, 2), flow, 35.0))[0]
    assert torch.equal(made[:, [0, 2]], frames[:, [0, 2]]) and torch.equal(made, same)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_sharpened_frame_shows_from_afar_what_it_was_made_from(scale: int) -> None:
    small = torch.rand(1, 3, 3, 10, 14) - 0.5
    with torch.no_grad():
        made = random_net().sharpen(small, (scale,))[scale]
    back = torch.nn.functional.avg_pool2d(made[0], scale)
    torch.testing.assert_close(back, small[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(10, 14), (9, 13)])
def test_sharpening_multiplies_both_sides(size: tuple[int, int]) -> None:
    frames = np.zeros((2, *size, 3), np.uint8)
    for scale in (2, 4):
        assert random_net().enlarged(frames, scale).shape == (2, scale * size[0], scale * size[1], 3)


def test_weights_go_to_disk_and_back(tmp_path: Path) -> None:
    net, path = random_net(), tmp_path / "net.safetensors"
    size = save_net(path, {"smooth": net.smooth, "sharpen": net.sharpen})
    again = load_net(path)
    pair = texture(), texture(seed=1)
    assert size <= 12e6
    assert np.abs(net.between([pair], 2, 17.5).astype(int) - again.between([pair], 2, 17.5)).max() <= 2
    with pytest.raises(WeightsError, match="altered"):
        load_net(path, "0" * 64)


def test_other_weights_are_refused_with_words(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(WeightsError, match="missing"):
        load_net(path)
    save_weights(path, {"a": torch.zeros(2)}, {"model": {}})
    with pytest.raises(WeightsError, match="no delivery networks"):
        load_net(path)
    save_weights(path, {"smooth.a": torch.zeros(2)}, {"delivery": ["sharpen", "smooth"]})
    with pytest.raises(WeightsError, match="does not fit"):
        load_net(path)
