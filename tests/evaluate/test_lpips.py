"""LPIPS orders pictures as people do, is zero for the same picture, and works as a training loss."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.evaluate.pictures import wide_picture
from tv2tv_core.errors import WeightsError
from tv2tv_core.evaluate import lpips_weights
from tv2tv_core.evaluate.lpips import Lpips
from tv2tv_core.evaluate.metrics import lpips, psnr


@pytest.fixture(scope="module")
def network() -> Lpips:
    return Lpips()


@pytest.fixture
def picture() -> torch.Tensor:
    return as_tensor(wide_picture()[:, :160])


def as_tensor(frame: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float() / 127.5 - 1


def blurred(frame: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(frame, (0, 0), sigma)


def test_the_distance_of_a_picture_to_itself_is_zero_and_it_is_symmetric(network: Lpips, picture: torch.Tensor) -> None:
    other = as_tensor(wide_picture(seed=1)[:, :160])
    assert network(picture, picture).item() == 0
    assert network(picture, other).item() == pytest.approx(network(other, picture).item(), rel=1e-5)
    assert network(picture, other).item() > 0.3


def test_it_grows_with_blur_and_with_noise(network: Lpips, picture: torch.Tensor) -> None:
    frame = wide_picture()[:, :160]
    blurs = [network(picture, as_tensor(blurred(frame, sigma))).item() for sigma in (0.5, 1, 2, 4)]
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    noises = [network(picture, picture + scale * noise).item() for scale in (0.02, 0.1, 0.3)]
    assert blurs == sorted(blurs) and noises == sorted(noises) and min(blurs + noises) > 0


def test_it_prefers_a_shifted_picture_over_a_blurred_one_where_psnr_does_not() -> None:
    wide = wide_picture()
    frame, shifted, soft = wide[:, 10:170], wide[:, 12:172], blurred(wide[:, 10:170], 3)
    assert lpips(shifted, frame) < lpips(soft, frame)
    assert psnr(shifted, frame) < psnr(soft, frame)


def test_each_picture_of_a_batch_is_measured_alone(network: Lpips, picture: torch.Tensor) -> None:
    other = as_tensor(wide_picture(seed=1)[:, :160])
    together = network(torch.cat([picture, other]), torch.cat([other, other]))
    assert together.shape == (2,)
    assert together[0].item() == pytest.approx(network(picture, other).item(), rel=1e-4)
    assert together[1].item() == 0


def test_a_picture_learns_from_it_and_the_network_does_not(network: Lpips, picture: torch.Tensor) -> None:
    guess = torch.zeros_like(picture, requires_grad=True)  # a flat picture has features whose norm is zero in places
    optimiser = torch.optim.Adam([guess], lr=0.05)
    losses = []
    for _ in range(8):
        optimiser.zero_grad()
        loss = network(guess, picture).sum()
        loss.backward()
        assert guess.grad.isfinite().all() and guess.grad.abs().max() > 0
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in network.parameters())


def test_small_pictures_need_upsampling(picture: torch.Tensor) -> None:
    tiny = picture[:, :, :24, :40]
    with pytest.raises(ValueError, match="upsample"):
        Lpips()(tiny, tiny)
    assert Lpips(upsample=2)(tiny, torch.zeros_like(tiny)).item() > 0


def test_other_shapes_are_refused(network: Lpips, picture: torch.Tensor) -> None:
    for a, b in ((picture, picture[:, :, :64]), (picture[0], picture[0]), (picture[:, :1], picture[:, :1])):
        with pytest.raises(ValueError, match="shapes"):
            network(a, b)


def test_missing_altered_and_foreign_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpips_weights, "ROOT", tmp_path)
    with pytest.raises(WeightsError, match="missing"):
        Lpips()
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / lpips_weights.FILE_NAME).write_bytes(b"something else")
    with pytest.raises(WeightsError, match="not the expected"):
        Lpips()
    save_file({"foreign": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsError, match="does not fit"):
        Lpips(weights=tmp_path / "foreign.safetensors")


def test_only_the_very_package_is_converted(tmp_path: Path) -> None:
    package = tmp_path / "package.tar.gz"
    package.write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="cannot be read"):
        lpips_weights.convert(package, tmp_path / "weights.safetensors")
    assert list(tmp_path.iterdir()) == [package]
