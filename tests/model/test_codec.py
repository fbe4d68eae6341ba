"""Codecs keep their protocol: shapes, ranges, frame order, what is fixed and what is learned."""

import pytest
import torch
from torch.nn import functional as F

from tv2tv_core.errors import WeightsError
from tv2tv_core.model.codec import PixelCodec, build_codec
from tv2tv_core.model.reference import Reference

SMALL = [{"kind": "pixel", "width": 8, "deep": 16, "blocks": 1}, {"kind": "vae", "widths": [16, 16, 16], "blocks": 1}]


def frames(count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 4, 3, 96, 160, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("config", SMALL, ids=["pixel", "vae"])
def test_shapes_types_and_ranges(config):
    codec = build_codec(config)
    latents = codec.encode(frames())
    assert latents.shape == (2, *codec.latent_shape) and latents.dtype == torch.float32
    made = codec.decode(latents * 10)
    assert made.shape == (2, 4, 3, 96, 160) and made.dtype == torch.float32
    assert made.min() >= -1 and made.max() <= 1


@pytest.mark.parametrize("config", SMALL, ids=["pixel", "vae"])
def test_a_chunk_does_not_depend_on_its_neighbours_in_the_batch(config):
    codec = build_codec(config).eval()
    together = codec.decode(codec.encode(frames(3)))
    alone = codec.decode(codec.encode(frames(3)[1:2]))
    torch.testing.assert_close(together[1:2], alone, atol=1e-4, rtol=1e-4)


def test_pixel_latents_are_two_by_two_means_with_frames_in_order():
    codec, clip = build_codec(SMALL[0]), frames()
    latents = codec.encode(clip)
    for frame in range(4):
        means = clip[:, frame].unflatten(-1, (80, 2)).unflatten(-3, (48, 2)).mean(dim=(-1, -3))
        torch.testing.assert_close(latents[:, 3 * frame : 3 * frame + 3], means)


def test_a_fresh_pixel_codec_is_bicubic_and_its_network_can_change_that():
    codec, latents = build_codec(SMALL[0]), torch.rand(1, 12, 48, 80) * 2 - 1
    bicubic = F.interpolate(latents, scale_factor=2, mode="bicubic").clamp(-1, 1).view(1, 4, 3, 96, 160)
    torch.testing.assert_close(codec.decode(latents), bicubic)
    codec.reconstruct(latents).sum().backward()
    assert codec.upsampler.out.conv.weight.grad.abs().max() > 0


def test_a_pixel_codec_upsamples_crops_too():
    codec = build_codec(SMALL[0])
    assert codec.reconstruct(codec.encode(frames()[..., :64, :96])).shape == (2, 4, 3, 64, 96)


def test_the_spread_scales_vae_latents_and_leaves_frames_alone():
    codec = build_codec(SMALL[1]).eval()
    plain = codec.encode(frames())
    before = codec.decode(plain)
    codec.spread.mul_(torch.linspace(0.5, 4, 48))
    scaled = codec.encode(frames())
    torch.testing.assert_close(scaled * codec.spread.view(1, -1, 1, 1), plain)
    torch.testing.assert_close(codec.decode(scaled), before)


def test_tracked_spread_brings_latents_to_unit_width():
    codec = build_codec(SMALL[1]).eval()
    for _ in range(400):
        codec.track_spread(codec.posterior(frames())[0])
    assert codec.encode(frames()).square().mean().sqrt().item() == pytest.approx(1.0, abs=0.1)


def test_divergence_is_zero_for_a_standard_normal_and_positive_elsewhere():
    codec = build_codec(SMALL[1])
    zero = torch.zeros(2, 48, 6, 10)
    assert codec.divergence(zero, zero).item() == 0
    assert codec.divergence(zero + 1, zero).item() == pytest.approx(0.5)
    assert codec.divergence(zero, zero - 2).item() > 0


@pytest.mark.parametrize(("kind", "least", "most"), [("pixel", 0.2e6, 1.5e6), ("vae", 5e6, 10e6)])
def test_default_sizes_stay_within_their_budgets(kind, least, most):
    assert least < sum(parameter.numel() for parameter in build_codec({"kind": kind}).parameters()) < most


@pytest.mark.parametrize("config", [{"kind": "jpeg"}, {"kind": "pixel", "depth": 3}])
def test_a_config_from_another_version_is_refused_in_words(config):
    with pytest.raises(WeightsError, match="codec"):
        build_codec(config)


def reference(share: float, seed: int = 1) -> Reference:
    return Reference(frames(seed=seed), torch.full((2, 4, 96, 160), share))


def referring(seed: int = 0) -> PixelCodec:
    """A codec with a gate for references, with random weights."""
    codec = build_codec(SMALL[0] | {"reference": True})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in codec.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return codec


@pytest.mark.parametrize("codec", [build_codec(SMALL[0]), referring()], ids=["without a gate", "with a gate"])
def test_a_reference_adds_its_detail_where_it_is_copied_and_never_more(codec):
    latents = codec.encode(frames())
    known = reference(0.0)
    known.share[..., :80] = 0.75
    plain, whole = codec.both(latents, known)
    assert torch.equal(plain, codec.reconstruct(latents))
    assert torch.equal(whole[..., 80:], plain[..., 80:])
    let_through = ((whole - plain) / known.detail)[..., :80]
    assert let_through.min() > -1e-3 and let_through.max() < 0.751
    assert let_through.mean() > 0.3


def test_a_learned_gate_has_a_choice():
    codec = referring()
    latents = codec.encode(frames())
    plain, whole = codec.both(latents, reference(1.0))
    assert ((whole - plain) / reference(1.0).detail).std() > 0.01
    codec.both(latents, reference(1.0))[1].square().mean().backward()
    assert codec.upsampler.gate.conv.weight.grad.abs().max() > 0


def test_a_frame_whose_loss_is_known_is_decoded_as_it_was():
    """What the latents alone do not give back, given back whole: nothing is lost."""
    codec, clip = referring(), frames() * 0.9
    codec.upsampler.gate = None
    latents = codec.encode(clip)
    plain = codec.decode(latents)
    known = Reference(clip - plain, torch.ones(2, 4, 96, 160))
    found = codec.decode_with(latents, known)
    assert torch.equal(found[0], plain) and (plain - clip).abs().mean() > 0.05
    torch.testing.assert_close(found[1], clip, atol=0.2, rtol=0)
    inside = plain.abs() < 1  # what was cut off at white and black is not
    torch.testing.assert_close(found[1][inside], clip[inside])


def test_a_codec_that_cannot_use_a_reference_leaves_it_out():
    codec = build_codec(SMALL[1]).eval()
    latents = codec.encode(frames())
    plain, whole = codec.decode_with(latents, reference(1.0))
    assert torch.equal(plain, whole) and torch.equal(plain, codec.decode(latents))
