"""Every adapter over the real pipeline class: how many frames come, what they depend on, and what stays untouched."""

from __future__ import annotations

import inspect
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch

from tests.engine.pretrained import tiny
from tv2tv_core import presets
from tv2tv_core.engine.backend import ActOptions
from tv2tv_core.engine.describe import describe
from tv2tv_core.engine.load import load_backend
from tv2tv_core.engine.pretrained.load import RENDERERS, renderer_class
from tv2tv_core.engine.pretrained.renderers.base import Shot, check_parameters
from tv2tv_core.engine.pretrained.renderers.helios import stage_steps
from tv2tv_core.errors import Cancelled, TV2TVError, WeightsError
from tv2tv_core.timeline import ChunkSegment, History, TextSegment

OPTIONS = ActOptions(steps=3, guidance=2.0, seed=5)
VACE = "WanVACEPipeline"
STARTS = ("video", "still", "flat")


def start(kind: str, count: int) -> np.ndarray:
    """Frames of a size of their own: a moving video, one picture, or one flat colour."""
    if kind == "flat":
        return np.full((1, 40, 48, 3), 127, np.uint8)
    return np.random.default_rng(0).integers(0, 255, (count if kind == "video" else 1, 40, 48, 3), dtype=np.uint8)


def chunk(backend, history: History, index: int = 0, options: ActOptions = OPTIONS) -> ChunkSegment:
    *_, last = backend.act(history, index, options, lambda: None)
    return last


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("pipeline", RENDERERS)
def test_only_new_frames_come_and_earlier_ones_keep_their_bytes(backends, pipeline, kind):
    backend = backends(pipeline)
    spec = backend.spec
    history = backend.begin("a red fox", start(kind, spec.chunk_frames))
    first = history.then(TextSegment("a fox walks left", "person"))
    begun = history.segment.frames.copy()
    *steps, drawn = backend.act(first, 0, OPTIONS, lambda: None)
    kept = drawn.frames.tobytes()
    again = chunk(backend, first.then(drawn), 1)
    for made in (drawn, again):
        assert made.frames.shape == (spec.chunk_frames, spec.height, spec.width, 3) and made.frames.dtype == np.uint8
    assert steps == [None] * OPTIONS.steps  # one event per step, and no previews
    assert np.array_equal(history.segment.frames, begun) and drawn.frames.tobytes() == kept
    assert (drawn.index, again.index, drawn.seed) == (0, 1, OPTIONS.seed)


@pytest.mark.parametrize("pipeline", RENDERERS)
def test_a_chunk_follows_from_its_seed_its_past_and_its_line(backends, pipeline):
    backend = backends(pipeline)
    history = backend.begin("fox", start("video", backend.spec.chunk_frames)).then(TextSegment("walks", "model"))
    made = chunk(backend, history)
    torch.rand(7)  # the process's own chance must not count
    assert chunk(backend, history).frames.tobytes() == made.frames.tobytes()
    assert np.array_equal(chunk(backend, history).latents, made.latents)
    other_seed = chunk(backend, history, options=ActOptions(3, 2.0, seed=6))
    other_past = backend.begin("fox", start("video", backend.spec.chunk_frames)[::-1]).then(history.segment)
    assert other_seed.frames.tobytes() != made.frames.tobytes()
    assert chunk(backend, other_past).frames.tobytes() != made.frames.tobytes()


@pytest.mark.parametrize("pipeline", RENDERERS)
def test_the_plan_line_reaches_the_pipeline(backends, pipeline, monkeypatch):
    backend = backends(pipeline)
    heard = []
    encode = backend.renderer.pipe.encode_prompt
    monkeypatch.setattr(backend.renderer.pipe, "encode_prompt", lambda *given, **named: heard.append(named["prompt"])
                        or encode(*given, **named))  # fmt: skip
    history = backend.begin("A red fox.", start("still", 1)).then(TextSegment("it sits", "person"))
    chunk(backend, history)
    assert heard == ["A red fox. it sits"]


@pytest.mark.parametrize("kind", ["still", "flat"])
@pytest.mark.parametrize("pipeline", RENDERERS)
def test_it_draws_in_the_precision_of_a_gpu(tiny_preset, pipeline, kind, monkeypatch):
    """Half precision with an exact codec: where a pipeline mixes the two up, it fails here rather than on a GPU."""
    on_gpu = renderer_class(pipeline).number_types("cuda")
    monkeypatch.setattr(renderer_class(pipeline), "number_types", lambda self, device: on_gpu)
    backend = load_backend(tiny_preset(pipeline))
    assert backend.renderer.pipe.transformer.dtype == torch.bfloat16
    root = backend.begin("a fox", start(kind, 1))
    assert chunk(backend, root.then(chunk(backend, root)), 1).frames.std() > 0


@pytest.mark.parametrize("pipeline", RENDERERS)
def test_every_layout_draws_the_same_frames_and_outlives_a_cancel(backends, tiny_preset, models, pipeline):
    """The layouts' machinery runs on a CPU as well, though it saves nothing there."""
    history = backends(pipeline).begin("a fox", start("flat", 1))  # the start that needs a second pipeline
    wanted = chunk(backends(pipeline), history)
    for plan in ("model", "leaf"):
        renderer = renderer_class(pipeline)(tiny_preset(pipeline).recipe, models(pipeline), torch.device("cpu"))
        renderer.load(plan)
        renderer._lay_out(renderer.pipe, plan)
        shot = Shot(history, "a fox", OPTIONS.steps, OPTIONS.guidance, OPTIONS.seed, lambda: None, lambda: None)
        with pytest.raises(Cancelled):
            renderer.render(replace(shot, check=stop))
        # Not to the byte: weights that have been moved lie at other addresses, and sums are rounded in another order.
        assert np.abs(renderer.render(shot).frames.astype(int) - wanted.frames).max() <= 1


def stop() -> None:
    raise Cancelled("stop")


@pytest.mark.parametrize("pipeline", RENDERERS)
def test_parameters_that_adapters_give_are_there(pipeline):
    for name, given in renderer_class(pipeline).ARGUMENTS.items():
        absent = given - set(inspect.signature(getattr(diffusers, name).__call__).parameters)
        assert not absent, f"diffusers {diffusers.__version__}: {name} has renamed or dropped {sorted(absent)}"
    assert renderer_class(pipeline).CANNOT


def test_a_renamed_parameter_is_told_by_its_name():
    class Renamed:
        def __call__(self, prompt: str, masks: object) -> None: ...

    with pytest.raises(TV2TVError, match=r"WanVACEPipeline of diffusers .* has no parameter 'mask'"):
        check_parameters(Renamed, "WanVACEPipeline", frozenset({"prompt", "mask"}))
    with pytest.raises(TV2TVError, match="has no Gone"):
        check_parameters(None, "Gone", frozenset())


def test_an_image_checkpoint_published_for_text_is_loaded_as_well(tiny_preset, models, tmp_path):
    """Like the 5B checkpoint, whose index names the pipeline for text."""
    parts = diffusers.WanImageToVideoPipeline.from_pretrained(models("WanImageToVideoPipeline"))
    settings = {name: parts.components[name] for name in ("tokenizer", "text_encoder", "vae", "scheduler", "transformer")}
    diffusers.WanPipeline(**settings, expand_timesteps=True).save_pretrained(tmp_path / "model")
    preset = tiny_preset("WanImageToVideoPipeline")
    renderer = renderer_class("WanImageToVideoPipeline")(preset.recipe, tmp_path / "model", torch.device("cpu"))
    renderer.load("resident")
    assert renderer.pipe.config.expand_timesteps


def test_what_a_pipeline_cannot_draw_is_refused_in_words(models):
    recipe = presets.load("wan-vace-1.3b").recipe
    with pytest.raises(WeightsError, match="multiple of 4"):
        renderer_class("WanVACEPipeline")(replace(recipe, chunk_frames=30), models(VACE), torch.device("cpu"))
    with pytest.raises(WeightsError, match="33 frames at a time"):
        renderer_class("HeliosPyramidPipeline")(replace(recipe, chunk_frames=32), models(VACE), torch.device("cpu"))
    with pytest.raises(WeightsError, match="No adapter draws with 'CogVideoXPipeline'"):
        renderer_class("CogVideoXPipeline")


def test_shipped_recipes_fit_their_adapters():
    for name in presets.names():
        recipe = presets.load(name).recipe
        if recipe is not None:
            renderer_class(recipe.pipeline)(recipe, None, torch.device("cpu"))
            assert describe(presets.load(name)).chunk_frames == recipe.chunk_frames


def test_helios_goes_on_from_latents_alone(backends):
    """The pictures of the past are not looked at again: that is what keeps it from drifting."""
    backend = backends("HeliosPyramidPipeline")
    root = backend.begin("fox", start("still", 1))
    first = chunk(backend, root)
    repainted = ChunkSegment(0, np.zeros_like(first.frames), first.latents, first.seed)
    assert chunk(backend, root.then(first), 1).frames.tobytes() == chunk(backend, root.then(repainted), 1).frames.tobytes()
    assert first.latents.dtype == np.float16 and root.segment.latents.shape[1] == 2


def test_helios_sees_an_anchor_and_its_last_nineteen_latent_frames(backends):
    renderer = backends("HeliosPyramidPipeline").renderer

    def story(begun: np.ndarray, chunks: int) -> History:
        node = History(ChunkSegment(-1, np.zeros((33, 64, 64, 3), np.uint8), begun))
        for i in range(chunks):
            node = node.then(ChunkSegment(i, node.segment.frames, np.full((1, 9, 1, 1), i, np.float16)))
        return node

    def seen(begun: np.ndarray, chunks: int) -> tuple[list[float], list[float]] | None:
        class Asked:
            history = story(begun, chunks)

        anchor, past = renderer._carried(Asked)
        return None if anchor is None else (anchor.flatten().tolist(), past.flatten().tolist())

    still = np.array([-9, -1], np.float16).reshape(1, 2, 1, 1)
    assert seen(still, 0) == ([-9], [-1])
    assert seen(still, 2) == ([-9], [-1] + [0] * 9 + [1] * 9)
    assert seen(still, 5) == ([-9], [2] + [3] * 9 + [4] * 9)
    nothing = np.zeros(1, np.float16)
    assert seen(nothing, 0) is None
    assert seen(nothing, 1) == ([0], [0] * 9)


@pytest.mark.parametrize(("steps", "stages"), [(1, [1, 1, 1]), (6, [2, 2, 2]), (7, [2, 2, 3]), (8, [2, 3, 3]), (30, [10] * 3)])
def test_steps_are_spread_over_the_stages(steps, stages):
    assert stage_steps(steps) == stages


def test_every_adapter_has_a_tiny_pipeline():
    assert set(RENDERERS) == set(tiny.SIZE) == set(tiny.FRAMES)
