"""Flow, stem, motion and weight files: each part alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.model.tiny import TINY, tiny_model
from tv2tv_core.errors import StorageError, WeightsError
from tv2tv_core.model import flow
from tv2tv_core.model.checkpoint import dequantise, load_weights, quantise, save_weights, sha256
from tv2tv_core.model.config import ModelConfig
from tv2tv_core.model.geometry import grid
from tv2tv_core.model.mot import Context
from tv2tv_core.model.motion import PASTS, VALID, PlanReader, warp
from tv2tv_core.model.stem import LinearStem, UNetStem
from tv2tv_core.model.towers import AdaptedLinear, attend
from tv2tv_core.model.tv2tv import DECISIVE, TV2TV


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# Flow ---------------------------------------------------------------------------------------------------------------

def test_mix_ends_at_noise_and_clean() -> None:
    clean, noise = seeded(2, 3, 4, 4), seeded(2, 3, 4, 4, seed=1)
    assert torch.equal(flow.mix(clean, noise, torch.zeros(2)), noise)
    assert torch.equal(flow.mix(clean, noise, torch.ones(2)), clean)


def test_velocity_of_the_truth_is_clean_minus_noise() -> None:
    clean, noise, time = seeded(2, 3), seeded(2, 3, seed=1), torch.tensor([0.3, 0.8])
    noisy = flow.mix(clean, noise, time)
    torch.testing.assert_close(flow.clean_from_velocity(clean - noise, noisy, time), clean)


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_euler_with_a_perfect_model_lands_on_the_truth(steps: int) -> None:
    clean = seeded(1, 3)
    states = list(flow.euler(lambda x, t: clean, seeded(1, 3, seed=1), steps))
    assert len(states) == steps
    torch.testing.assert_close(states[-1][0], clean)


def test_velocity_loss_weighs_late_errors_more_but_boundedly() -> None:
    clean, off = torch.zeros(4, 5), torch.ones(4, 5)
    loss = flow.velocity_loss(off, clean, torch.tensor([0.0, 0.5, 0.9, 0.999]))
    torch.testing.assert_close(loss, torch.tensor([1.0, 4.0, 4.0, 4.0]))
    with pytest.raises(ValueError):
        list(flow.euler(lambda x, t: x, clean, 0))


# Stem ---------------------------------------------------------------------------------------------------------------

def test_stem_without_tower_equals_stem_with_a_fresh_tower() -> None:
    """The tower joins through a zero projection: putting it in does not disturb a trained stem."""
    torch.manual_seed(0)
    stem = UNetStem(4, 3, 8, (8, 16), 24, 32)
    torch.nn.init.normal_(stem.leave.weight)
    x, condition = seeded(2, 4, 16, 24), seeded(2, 32)
    tokens, skips = stem.down(x, condition)
    assert tokens.shape == (2, 6, 24)
    alone = stem.up(None, skips, condition)
    assert alone.shape == (2, 3, 16, 24) and alone.abs().sum() > 0
    assert torch.equal(stem.up(tokens, skips, condition), alone)


def test_token_order_matches_rows_and_columns() -> None:
    """A change in one corner reaches the tokens of that corner first."""
    stem = LinearStem(1, 1, 8, 4, 8)
    x = torch.zeros(1, 1, 16, 24)
    base, _ = stem.down(x, torch.zeros(1, 8))
    x[..., 8:, 16:] = 1
    tokens, skips = stem.down(x, torch.zeros(1, 8))
    changed = (tokens != base).any(-1)[0]
    assert changed.tolist() == [False] * 5 + [True]
    assert stem.up(tokens, skips, torch.zeros(1, 8)).shape == (1, 1, 16, 24)


# Motion -------------------------------------------------------------------------------------------------------------

def test_no_motion_is_the_identity() -> None:
    source = grid(16, 24, torch.zeros(1)) / torch.tensor([11.5, 7.5])
    image = torch.rand(1, 3, 16, 24) * 2 - 1
    torch.testing.assert_close(warp(image, source.expand(1, 4, -1, -1, -1)), image[:, None].expand(-1, 4, -1, -1, -1),
                               atol=1e-5, rtol=0)


def test_reader_ignores_padding_and_knows_no_plan() -> None:
    torch.manual_seed(0)
    reader = PlanReader(32, TINY.video.motion)
    states = seeded(1, 5, 32)
    valid = torch.ones(1, 5, dtype=torch.bool)
    padded = torch.cat((states, 9 * torch.ones(1, 3, 32)), 1)
    longer = torch.cat((valid, torch.zeros(1, 3, dtype=torch.bool)), 1)
    torch.testing.assert_close(reader(padded, longer), reader(states, valid))
    with torch.no_grad():
        reader.unknown.fill_(7)
    assert (reader(states, ~valid) == 7).all()


def test_untrained_model_repeats_what_it_trusts() -> None:
    """With a zero output layer the estimate is trust times the last frame: a copy is where learning starts."""
    torch.manual_seed(0)
    model = TV2TV(TINY).eval()
    last = torch.rand(1, 12, 16, 24) * 2 - 1
    plan = torch.zeros(1, 16)
    guide = model.guide(last, plan, torch.zeros(1, PASTS, 16))
    clean = model.finish(model.draft(seeded(1, 12, 16, 24), torch.zeros(1), guide, plan), None)
    copies = last.unflatten(1, (4, 3))[:, -1:].expand(-1, 4, -1, -1, -1).flatten(1, 2)
    expected = torch.sigmoid(torch.tensor(DECISIVE * VALID)) * copies
    torch.testing.assert_close(clean, expected, atol=1e-5, rtol=0)


def test_what_was_begun_reaches_the_drawing() -> None:
    """A change of weapon goes on after its line: what is drawn depends on each plan before, as soon as that is learnt."""
    torch.manual_seed(0)
    model = TV2TV(TINY).eval()
    last, noise, plan = torch.zeros(1, 12, 16, 24), seeded(1, 12, 16, 24), torch.zeros(1, 16)
    guide = model.guide(last, plan, torch.zeros(1, PASTS, 16))
    torch.nn.init.normal_(model.stem.down_blocks[0].conv_out.weight)
    for age in range(PASTS):
        pasts = torch.zeros(1, PASTS, 16)
        pasts[:, age] = seeded(1, 16)
        other = replace(guide, pasts=pasts)
        torch.nn.init.zeros_(model.past_condition.weight)
        tokens = [model.draft(noise, torch.zeros(1), one, plan).tokens for one in (guide, other)]
        assert torch.equal(*tokens), "a fresh model must not know the plans before"
        torch.nn.init.normal_(model.past_condition.weight)
        tokens = [model.draft(noise, torch.zeros(1), one, plan).tokens for one in (guide, other)]
        assert (tokens[0] - tokens[1]).abs().max() > 1e-3


def test_what_was_begun_reaches_the_judge() -> None:
    """Where a weapon is on its way up nothing may be copied, though the line in force does not speak of it."""
    torch.manual_seed(0)
    model = TV2TV(TINY).eval()
    for last in (model.motion.judge.leave, *(block.conv_out for block in model.motion.judge.up_blocks)):
        torch.nn.init.normal_(last.weight, std=0.1)
    last, plan = seeded(1, 12, 16, 24), torch.zeros(1, 16)
    pasts = torch.zeros(2, 1, PASTS, 16)
    pasts[1, :, -1] = seeded(1, 16)
    fresh = [model.guide(last, plan, one).trust for one in pasts]
    assert torch.equal(*fresh)
    torch.nn.init.normal_(model.motion.begun.weight)
    learnt = [model.guide(last, plan, one).trust for one in pasts]
    assert (learnt[0] - learnt[1]).abs().max() > 1e-3


def test_a_drawing_out_of_range_does_not_shine_through_what_is_copied() -> None:
    model = TV2TV(TINY)
    plan = torch.zeros(1, 16)
    guide = model.guide(torch.zeros(1, 12, 16, 24), plan, torch.zeros(1, PASTS, 16))
    guide = replace(guide, trust=torch.full((1, 4, 16, 24), 0.98))
    assert model.compose(torch.full((1, 12, 16, 24), 50.0), guide).max() <= 0.02 + 1e-6


# Weight files -------------------------------------------------------------------------------------------------------

def test_int8_error_is_below_half_a_step_per_row() -> None:
    weight = seeded(64, 100) * torch.logspace(-3, 2, 64)[:, None]
    values, scale = quantise(weight)
    error = (dequantise(values, scale) - weight).abs().amax(1)
    assert (error <= weight.abs().amax(1) / 127 * 0.5 + 1e-6).all()


def test_weights_survive_a_round_trip(tmp_path: Path) -> None:
    model = tiny_model()
    path = tmp_path / "deep" / "w.safetensors"
    save_weights(path, model.state_dict(), {"model": TINY.to_dict()}, int8=True)
    tensors, config = load_weights(path, sha256(path))
    assert ModelConfig.from_dict(config["model"]) == TINY
    assert tensors.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert (tensors[name] - value).abs().max() <= value.abs().max() / 127 + 1e-3, name
    before = path.read_bytes()
    save_weights(path, model.state_dict(), {"model": TINY.to_dict()}, int8=True)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_bad_weight_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(WeightsError, match="missing"):
        load_weights(path)
    save_weights(path, {"a": torch.ones(3)}, {})
    with pytest.raises(WeightsError, match="altered"):
        load_weights(path, "0" * 64)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(WeightsError, match="readable"):
        load_weights(path)
    path.write_bytes(b"hello")
    with pytest.raises(WeightsError):
        load_weights(path)


def test_a_refused_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "occupied"
    target.mkdir()
    (target / "inside").write_text("kept")
    with pytest.raises(StorageError):
        save_weights(target, {"a": torch.ones(3)}, {})
    assert (target / "inside").read_text() == "kept" and len(list(tmp_path.iterdir())) == 1


# Towers -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mask_shape", [None, (2, 1, 1, 7), (1, 6, 1, 7), (1, 6, 5, 7)])
def test_grouped_attention_equals_repeated_heads(mask_shape: tuple[int, ...] | None) -> None:
    query, key, value = seeded(2, 5, 6, 8), seeded(2, 7, 2, 8, seed=1), seeded(2, 7, 2, 8, seed=2)
    mask = None if mask_shape is None else seeded(*mask_shape, seed=3)
    repeated = [x.repeat_interleave(3, 2).transpose(1, 2) for x in (key, value)]
    expected = torch.nn.functional.scaled_dot_product_attention(query.transpose(1, 2), *repeated, attn_mask=mask)
    torch.testing.assert_close(attend(query, key, value, mask), expected.transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_a_merged_adapter_is_the_same_function() -> None:
    layer = AdaptedLinear(8, 6, rank=2)
    with torch.no_grad():
        layer.adapter_up.normal_()
    x = seeded(3, 8)
    before, plain = layer(x), torch.nn.functional.linear(x, layer.weight)
    layer.merge()
    assert not torch.allclose(before, plain)
    torch.testing.assert_close(layer(x), before)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def test_settled_model_says_the_same_in_half_the_bits() -> None:
    model = tiny_model().requires_grad_(False)
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        full = model.mot.logits(model.mot.run_text(ids, Context())[0])
        settled = model.settle(torch.bfloat16).mot
        half = settled.logits(settled.run_text(ids, Context())[0])
    assert not any("adapter" in name or name.endswith("query.weight") for name, _ in settled.named_parameters())
    assert half.dtype == torch.float32 and (half - full).abs().max() < 0.1 * full.abs().max()


def test_flow_times_lean_where_they_are_told() -> None:
    generator = torch.Generator().manual_seed(0)
    plain = flow.sample_times((4000,), generator)
    early = flow.sample_times((4000,), generator, shift=-1.0, at_start=0.25)
    assert abs(plain.mean() - 0.5) < 0.03 and early.mean() < 0.35
    assert abs((early == 0).float().mean() - 0.25) < 0.03 and not (plain == 0).any() and early.max() < 1
