"""The pretrained backend under the one generation loop: stopped, split, kept in a project and short of memory."""

from __future__ import annotations

import threading
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from tv2tv_core.engine.backend import ActOptions
from tv2tv_core.engine.control import Control
from tv2tv_core.engine.describe import describe
from tv2tv_core.engine.events import ChunkDone, ChunkStarted, DenoisingStep, Failed, Finished, PlanDone
from tv2tv_core.engine.generate import GenerateRequest, generate, suggest
from tv2tv_core.engine.load import load_backend
from tv2tv_core.engine.pretrained.load import RENDERERS
from tv2tv_core.errors import Cancelled, TV2TVError, WeightsError
from tv2tv_core.media.clip import ClipRequest, make_clip
from tv2tv_core.project.file import Project, ProjectInfo
from tv2tv_core.settings import resolve
from tv2tv_core.timeline import History, TextSegment

VACE = "WanVACEPipeline"
PICTURE = np.random.default_rng(1).integers(0, 255, (1, 40, 48, 3), dtype=np.uint8)


def request(backend, history: History, chunks: int, **more) -> GenerateRequest:
    return GenerateRequest(backend, history, chunks, seed=3, steps=3, guidance=2.0, **more)


def frames(history: History) -> list[bytes]:
    return [chunk.frames.tobytes() for chunk in history.chunks]


@pytest.fixture
def vace(backends):
    return backends(VACE)


@pytest.mark.parametrize("pipeline", RENDERERS)
def test_it_is_what_its_description_says(backends, tiny_preset, pipeline):
    assert backends(pipeline).spec == describe(replace(tiny_preset(pipeline), name=backends(pipeline).spec.name))


def test_the_loop_plans_and_draws(vace):
    events = list(generate(request(vace, vace.begin("a fox", PICTURE), 2, plan=["the fox walks left"])))
    steps = [event for event in events if isinstance(event, DenoisingStep)]
    assert [(event.index, event.step, event.preview) for event in steps] == [(i, s, None) for i in (0, 1) for s in (1, 2, 3)]
    plans = [event for event in events if isinstance(event, PlanDone)]
    assert (plans[0].line, plans[0].source) == ("the fox walks left", "person")
    assert all(event.source == "model" for event in plans[1:])
    started = [event.start_s for event in events if isinstance(event, ChunkStarted)]
    assert started == [0.0, float(vace.spec.chunk_frames / vace.spec.fps)]
    assert isinstance(events[-1], Finished) and events[-1].reason == "length"


def test_a_story_made_in_two_runs_is_the_same_story(vace):
    *_, whole = generate(request(vace, vace.begin("a fox", PICTURE), 3))
    *_, first = generate(request(vace, vace.begin("a fox", PICTURE), 1))
    *_, rest = generate(request(vace, first.history, 2))
    assert frames(rest.history) == frames(whole.history)
    assert [s.text for s in rest.history if isinstance(s, TextSegment)] == [
        s.text for s in whole.history if isinstance(s, TextSegment)
    ]


def test_suggestions_come_from_the_planner(vace):
    found = suggest(vace, vace.begin("a fox", PICTURE), 3, seed=1)
    assert len(found) == len(set(found)) == 3 and all(line.isprintable() for line in found)


@pytest.mark.parametrize("pipeline", RENDERERS)
def test_a_cancel_is_obeyed_within_a_step(backends, pipeline):
    """Before every layer, not only between steps: on a small machine a step takes half a minute."""
    backend = backends(pipeline)
    history = backend.begin("a fox", PICTURE)
    options = ActOptions(3, 2.0, seed=4)
    asked = 0

    def count() -> None:
        nonlocal asked
        asked += 1

    *_, wanted = backend.act(history, 0, options, count)
    whole, asked = asked, 0
    assert whole > 5 * options.steps

    def stop_half_way() -> None:
        count()
        if asked == whole // 2:
            raise Cancelled("stop")

    seen = []
    with pytest.raises(Cancelled):
        seen.extend(backend.act(history, 0, options, stop_half_way))
    assert asked == whole // 2 and len(seen) <= options.steps
    *_, again = backend.act(history, 0, options, lambda: None)
    assert again.frames.tobytes() == wanted.frames.tobytes()


def test_a_chunk_that_nobody_waits_for_is_dropped(vace):
    history = vace.begin("a fox", PICTURE)
    drawing = vace.act(history, 0, ActOptions(60, 2.0, seed=4), lambda: None)
    next(drawing)
    drawing.close()
    asked = []
    *_, made = vace.act(history, 0, ActOptions(1, 1.0, seed=4), lambda: asked.append(threading.current_thread().name))
    assert made.index == 0 and any(name.startswith("renderer") for name in asked)


def test_a_cancelled_run_keeps_what_was_there(vace):
    control = Control()
    seen = []
    for event in generate(request(vace, vace.begin("a fox", PICTURE), 3), control):
        seen.append(event)
        if isinstance(event, DenoisingStep) and event.index == 1:
            control.cancel()
    assert seen[-1].reason == "cancelled" and len(seen[-1].history.chunks) == 2


@pytest.mark.parametrize("pipeline", [VACE, "HeliosPyramidPipeline"])
def test_a_project_goes_on_from_its_file_with_the_same_frames(backends, pipeline, tmp_path):
    """Frames and latents come back from the file exactly: a killed studio loses nothing but the chunk in flight."""
    backend = backends(pipeline)
    spec = backend.spec
    start = backend.begin("a fox", PICTURE)
    *_, whole = generate(request(backend, start, 3))
    info = ProjectInfo(
        id="0" * 16, name="Fox", created="2026-01-01T00:00:00+00:00", preset="mine", backend=spec.name,
        model_hash=spec.model_hash, fps=Fraction(16), chunk_frames=spec.chunk_frames, width=spec.width, height=spec.height,
        prompt="a fox", start="own", settings=resolve({}).as_dict(),
    )  # fmt: skip
    options = {"steps": 3, "guidance": 2.0, "temperature": 0.8, "top_p": 0.9, "stream": "main", "model_hash": spec.model_hash}
    with Project.create(tmp_path / "fox.tv2tv", info, start) as project:
        take = project.story.takes[0].id
        for event in generate(request(backend, project.history(project.story.takes[0].tip), 2)):
            if isinstance(event, ChunkDone):
                project.commit_chunk(event.history, take, None, options, 1.0, None)
    with Project.open(tmp_path / "fox.tv2tv") as project:
        assert project.start_encoded
        history = project.history(project.story.takes[0].tip)
        *_, rest = generate(request(backend, history, 1))
        assert frames(rest.history) == frames(whole.history)
        assert np.array_equal(rest.history.chunks[-1].latents, whole.history.chunks[-1].latents)


def test_colours_are_matched_where_the_preset_says_so(vace, tiny_preset):
    matched = load_backend(tiny_preset(VACE, "  match_colour: true\n"))
    assert [b.renderer.recipe.match_colour for b in (vace, matched)] == [False, True]
    dark = np.random.default_rng(2).integers(0, 40, (1, 40, 48, 3), dtype=np.uint8)
    plain, nearer = (next(generate_chunk(b, b.begin("a fox", dark))) for b in (vace, matched))
    assert plain.mean() - 8.5 < nearer.mean() < plain.mean() - 1  # towards the dark start, within bounds
    flat = np.full((1, 40, 48, 3), 127, np.uint8)
    plain, first = (next(generate_chunk(b, b.begin("a fox", flat))) for b in (vace, matched))
    assert np.array_equal(plain, first)  # text alone: the first chunk sets the look
    matched.close()


def generate_chunk(backend, history: History):
    *_, chunk = backend.act(history, 0, ActOptions(2, 1.0, seed=0), lambda: None)
    yield chunk.frames


def test_out_of_memory_is_answered_with_the_next_smaller_layout(tiny_preset, vace):
    backend = load_backend(tiny_preset(VACE))
    assert backend.plans == ["resident", "model", "leaf"]
    short_of_memory(backend, {"resident", "model"})
    history = backend.begin("a fox", PICTURE)
    *steps, chunk = backend.act(history, 0, ActOptions(3, 2.0, seed=4), lambda: None)
    *_, wanted = vace.act(vace.begin("a fox", PICTURE), 0, ActOptions(3, 2.0, seed=4), lambda: None)
    assert backend.plans == ["leaf"] and len(steps) == 3
    assert chunk.frames.tobytes() == wanted.frames.tobytes()


def test_no_layout_that_fits_is_told_in_words(tiny_preset):
    backend = load_backend(tiny_preset(VACE, "  offload: model\n"))
    assert backend.plans == ["model", "leaf"]
    short_of_memory(backend, {"model", "leaf"})
    events = []
    with pytest.raises(TV2TVError, match="GPU's memory does not suffice for 32 x 32"):
        events.extend(generate(request(backend, backend.begin("a fox", PICTURE), 1)))
    backend.renderer.load("leaf")  # a later try starts from a whole pipeline


def short_of_memory(backend, plans: set[str]) -> None:
    """Make the transformer run out of memory in its second step under these layouts."""
    load = backend.renderer.load

    def loading(plan: str) -> None:
        load(plan)
        calls = []

        def full(module: object, arguments: object) -> None:
            calls.append(1)
            if plan in plans and len(calls) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")

        backend.renderer.pipe.transformer.register_forward_pre_hook(full)

    backend.renderer.load = loading
    loading(backend.plans[0])


def test_a_failure_in_a_pipeline_ends_the_run_and_not_the_backend(vace, monkeypatch):
    history = vace.begin("a fox", PICTURE)
    seen = []
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(vace.renderer, "draw", lambda shot: 1 / 0)
        for event in generate(request(vace, history, 1)):
            seen.append(event)
    assert isinstance(seen[-1], Failed)
    assert list(generate(request(vace, history, 1)))[-1].reason == "length"


def test_a_closed_backend_holds_no_model(tiny_preset):
    backend = load_backend(tiny_preset(VACE))
    backend.close()
    assert backend.renderer.pipe is None and backend.planner.model is None


def test_missing_weights_are_told_before_anything_is_loaded(tiny_preset, tmp_path):
    preset = tiny_preset(VACE)
    gone = replace(preset, recipe=replace(preset.recipe, weights=replace(preset.recipe.weights, path=tmp_path / "none")))
    with pytest.raises(WeightsError, match="missing the folder itself"):
        load_backend(gone)


def test_a_folder_of_another_pipeline_is_told(tiny_preset, models):
    preset = tiny_preset(VACE)
    weights = replace(preset.recipe.weights, path=models("LTXConditionPipeline"))
    with pytest.raises(WeightsError, match="holds no WanVACEPipeline"):
        load_backend(replace(preset, recipe=replace(preset.recipe, weights=weights)))


def test_a_clip_is_made_with_it_like_with_any_other(vace, tiny_preset, tmp_path):
    out = tmp_path / "clip.mp4"
    made = make_clip(ClipRequest(tiny_preset(VACE), out, settings={"seconds": 1.0}), load=lambda preset: vace)
    assert (made.frames, made.seconds) == (16, 1.0) and out.stat().st_size > 500
