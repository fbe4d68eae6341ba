"""The native backend: what it remembers saves time and never changes a byte."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from tests.engine.tiny_backend import backend, grow, relived, start, told
from tests.model.tiny import TEXT
from tv2tv_core.engine import native
from tv2tv_core.engine.backend import ActOptions, ThinkOptions, Thought
from tv2tv_core.engine.control import Control
from tv2tv_core.engine.events import ChunkDone
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.engine.native import NativeBackend
from tv2tv_core.errors import Cancelled
from tv2tv_core.intent import as_read
from tv2tv_core.model.motion import PASTS
from tv2tv_core.timeline import ChunkSegment, History, IntentSegment, TextSegment


def test_fresh_memory_gives_the_same_bytes() -> None:
    """cached = uncached, far beyond the window of three chunks."""
    b = backend()
    half = grow(b, start(b), 7)
    whole = grow(b, half, 3)
    assert told(grow(backend(), relived(half), 3)) == told(whole)
    assert len({c.frames.tobytes() for c in whole.chunks}) == 11  # and every chunk is its own


def test_typed_equals_sampled() -> None:
    """A line that a person types gives the frames that the same line gives when the model writes it."""
    b = backend()
    sampled = grow(b, start(b), 4)
    lines, plan = iter([s.text for s in sampled if isinstance(s, TextSegment)]), []
    segments = list(sampled)
    for i, segment in enumerate(segments[1:], 1):
        if isinstance(segment, ChunkSegment):
            wrote = isinstance(segments[i - 1], TextSegment)
            plan.append(next(lines) if wrote else (plan[-1] if plan else None))
    assert any(plan)
    typed = grow(backend(), start(backend()), 4, tuple(plan))
    assert [c.frames.tobytes() for c in typed.chunks] == [c.frames.tobytes() for c in sampled.chunks]


def test_a_fork_changes_nothing_before_it() -> None:
    b = backend()
    whole = grow(b, start(b), 6)
    before = told(whole.rewind(3))
    fork = grow(b, whole.rewind(3), 3, ("jump", "jump", "jump"))
    assert told(fork)[: len(before)] == before == told(whole)[: len(before)]
    assert fork.chunks[4].frames.tobytes() != whole.chunks[4].frames.tobytes()
    assert told(grow(b, whole.rewind(3), 3)) == told(whole)  # and the old future can still be had


def test_forgetting_costs_time_not_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    b = backend()
    whole = grow(b, start(b), 8)
    monkeypatch.setattr("tv2tv_core.engine.memory.REMEMBERED", 5)
    small = backend()
    grown = grow(small, start(small), 8)
    assert len(small._memory) <= 4 * small.spec.context
    assert [c.frames.tobytes() for c in grown.chunks] == [c.frames.tobytes() for c in whole.chunks]


def test_the_plan_in_force_stays_in_view() -> None:
    """Behind the first chunk in view, where training windows have it; never twice."""
    b = backend()
    history = grow(b, start(b), 7, ("walk", *["walk"] * 6))

    def view(history: History) -> list[str]:
        nodes = b._memory._view(history.nodes(), 0)
        return [n.segment.text if isinstance(n.segment, TextSegment) else f"c{n.segment.index}" for n in nodes]

    assert view(history) == ["c4", "walk", "c5", "c6"]
    changed = grow(b, history, 1, ("jump",))
    assert view(changed) == ["c5", "walk", "c6", "jump", "c7"]
    assert view(grow(b, changed, 1, ("jump",))) == ["c6", "jump", "c7", "c8"]


def test_an_old_boundary_costs_at_most_an_era(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the story, opening it runs a bounded part of it again, can be cancelled, and gives the same bytes."""
    monkeypatch.setattr("tv2tv_core.engine.memory.ERA", 6)
    b = backend()
    long = grow(b, start(b), 15)
    fresh, checks = backend(), []
    list(fresh.think(relived(long), ThinkOptions(1.0, 1.0, 1), lambda: checks.append(1)))
    assert len(fresh._memory) <= 2 * (6 + fresh.spec.context) < len(long.nodes())
    again = backend()
    assert told(grow(again, relived(long), 3)) == told(grow(b, long, 3))
    with pytest.raises(Cancelled):
        list(backend().think(relived(long), ThinkOptions(1.0, 1.0, 1), cancel_at(3)))


def cancel_at(call: int):
    """A check that asks to stop at its n-th call."""
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) >= call:
            raise Cancelled

    return check


def test_a_closed_story_is_let_go() -> None:
    b = backend()
    grow(b, start(b), 3)
    gc.collect()
    assert len(b._memory) == 0


def test_two_threads_may_think_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tv2tv_core.engine.memory.REMEMBERED", 4)
    b = backend()
    stories = [grow(b, start(b), n) for n in (5, 7)]

    def think(history: History) -> list:
        return list(b.think(history, ThinkOptions(1.0, 1.0, 1), lambda: None))

    alone = [think(h) for h in stories]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(think, stories * 4)) == alone * 4


def act(b: NativeBackend, history: History, **options: object) -> list:
    return list(b.act(history, 0, ActOptions(**{"steps": 2, "guidance": 1.0, "seed": 1, **options}), lambda: None))


def test_act_follows_its_options() -> None:
    b = backend()
    history = start(b).then(TextSegment("run", "person"))
    made = act(b, history)
    assert len(made) == 3 and made[:2] == [None, None]
    frames = made[-1].frames
    assert frames.shape == (4, 32, 48, 3) and frames.dtype == np.uint8
    assert np.array_equal(act(b, history)[-1].frames, frames)
    assert not np.array_equal(act(b, history, seed=2)[-1].frames, frames)
    assert not np.array_equal(act(b, history, guidance=3.0)[-1].frames, frames)
    near = act(b, history, guidance=1.0 + 1e-9)[-1].frames  # two rows, same answer
    assert np.abs(near.astype(int) - frames).max() <= 1
    previews = act(b, history, previews=True)
    assert previews[0].shape == (4, 16, 24, 3) and np.array_equal(previews[-1].frames, frames)


def test_what_means_the_same_gives_the_same_bytes() -> None:
    """The words of a line that the grammar knows do not matter; those that it does not know are read as they are."""
    b = backend()
    frames = {line: act(b, start(b).then(TextSegment(line, "person")))[-1].frames
              for line in ("run forward, fire", "sprint ahead and shoot!", "run forward", "over there", "over here")}
    same, plain, there, here = (frames[line] for line in list(frames)[1:])
    assert np.array_equal(frames["run forward, fire"], same)
    assert not np.array_equal(same, plain) and not np.array_equal(there, here)


def test_a_chunk_knows_what_was_told_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plans of the chunks before, the latest first; one that goes on counts for each of its chunks."""
    b = backend()
    seen = []
    guide = b.model.guide

    def watched(last: torch.Tensor, plan: torch.Tensor, pasts: torch.Tensor, *rest: object) -> object:
        seen.append((plan, pasts))
        return guide(last, plan, pasts, *rest)

    monkeypatch.setattr(b.model, "guide", watched)
    grow(b, start(b), 5, ("run forward", "stand", "stand", "jump", "stand"))
    nothing = b._summary("")
    for chunk, (_, pasts) in enumerate(seen):
        told = [plan for plan, _ in seen[:chunk]][::-1]
        expected = (told + [nothing] * PASTS)[:PASTS]
        assert torch.equal(pasts, torch.stack(expected, 1))
    assert len(seen) == 5 and not torch.equal(seen[0][0], seen[1][0])


def test_think_ends_and_is_repeatable() -> None:
    b = backend()
    history = start(b)

    def think(seed: int, temperature: float = 1.0) -> list:
        return list(b.think(history, ThinkOptions(temperature, 1.0, seed), lambda: None))

    runs = [think(seed) for seed in range(6)]
    assert runs == [think(seed) for seed in range(6)]
    assert len({str(r) for r in runs}) > 1
    for run in runs:
        assert isinstance(run[-1], Thought) and "".join(run[:-1]).split() == (run[-1].line or "").split()
    assert think(1, 0.0) == think(2, 0.0)


def brief(monkeypatch: pytest.MonkeyPatch) -> NativeBackend:
    """A backend that writes short lines, in letters of which every id has its own."""
    monkeypatch.setattr(native, "LINE_TOKENS", 6)
    b = backend()
    b.tokenizer.letters += "ABCDEFGHIJKLMNOPQRS"
    return b


@torch.inference_mode()
def spelled(b: NativeBackend, history: History, options: ThinkOptions) -> str:
    """A line sampled token by token, one pass each."""
    (context, last), mot, ids = b._memory.context(history, lambda: None), b.model.mot, []
    generator, hidden = torch.Generator().manual_seed(options.seed), last.ahead
    while len(ids) < native.LINE_TOKENS and (token := b._sample(mot.logits(hidden)[0], options, generator)) != TEXT.bof:
        ids.append(token)
        states, cache = mot.run_text(torch.tensor([[token]]), context)
        mot.extend(context, cache)
        hidden = states[:, -1]
    return " ".join(b.tokenizer.decode(ids).split())


def test_a_guess_saves_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampled behind a right guess, a wrong one or none, a line is the same, and so is the chunk under it."""

    def thoughts(guess: dict[str, str]) -> list:
        monkeypatch.setattr(native, "whole_line", lambda begun: guess.get(begun[:1], begun))
        b, found = brief(monkeypatch), []
        history = start(b)
        for seed in range(8):
            *pieces, thought = b.think(history, ThinkOptions(1.0, 1.0, seed), lambda: None)
            grown = history.then(TextSegment(thought.line, "model"))
            found.append((pieces, thought.line, act(b, grown)[-1].frames.tobytes()))
        return found

    alone = thoughts({})
    lines = {line for _, line, _ in alone}
    b = brief(monkeypatch)
    assert [line for _, line, _ in alone] == [spelled(b, start(b), ThinkOptions(1.0, 1.0, seed)) for seed in range(8)]
    assert len(lines) > 3
    assert thoughts({line[0]: line for line in lines}) == alone
    assert thoughts({line[0]: line[:2] + "xyz" for line in lines}) == alone
    assert thoughts({line[0]: line + "xyz" for line in lines}) == alone


def test_a_line_that_was_guessed_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thinking runs it in one pass with BOF, and nothing of it is run again when it stands."""
    b = brief(monkeypatch)
    history, options = start(b), ThinkOptions(1.0, 1.0, 0)
    line = list(b.think(history, options, lambda: None))[-1].line
    blocks, run = [], b.model.mot.run_text
    monkeypatch.setattr(native, "whole_line", lambda begun: line)
    monkeypatch.setattr(b.model.mot, "run_text", lambda ids, *rest: blocks.append(ids.tolist()[0]) or run(ids, *rest))
    assert list(b.think(history, options, lambda: None))[-1] == Thought(line)
    b._memory.context(history.then(TextSegment(line, "model")), lambda: None)
    assert blocks == [[*b.tokenizer.encode(line), b.model.config.text.bof]]


def test_cancel_stops_within_a_step() -> None:
    b = backend()
    made = []
    with pytest.raises(Cancelled):
        for item in b.act(start(b), 0, ActOptions(50, 1.0, 1), cancel_at(4)):
            made.append(item)
    assert len(made) <= 3


def test_start_frames_of_any_size_and_number() -> None:
    b = backend()
    one = b.begin("", np.full((1, 7, 5, 3), 90, np.uint8)).chunks[0]
    assert one.frames.shape == (4, 32, 48, 3) and one.index == -1 and one.seed is None
    many = np.random.default_rng(1).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)
    assert np.array_equal(b.begin("", many).chunks[0].frames, many[-4:])


def test_events_report_the_chunk_that_stands() -> None:
    b = backend()
    request = GenerateRequest(backend=b, history=start(b), chunks=2, seed=1, steps=2)
    done = [e for e in generate(request, Control()) if isinstance(e, ChunkDone)]
    assert [e.index for e in done] == [0, 1] and done[-1].history.chunks[-1] is done[-1].chunk


def test_an_intent_is_context_for_thinking_alone() -> None:
    """It changes what comes next; what a chunk is drawn from is still the plan line."""
    b = backend()
    bare = start(b)
    wish = bare.then(IntentSegment("go back, then shoot"))
    thoughts = [[str(list(b.think(h, ThinkOptions(1.0, 1.0, s), lambda: None))) for s in range(8)] for h in (bare, wish)]
    assert thoughts[0] != thoughts[1]
    assert wish.plan == "" and wish.boundary is bare
    ids = b.tokenizer.encode(as_read("go back, then shoot"))
    base = b._memory.context(bare, lambda: None)[0]
    want = b.model.mot.run_text(torch.tensor([ids]), base)[0][:, -1]
    torch.testing.assert_close(b._memory.context(wish, lambda: None)[1].ahead, want)


def test_memory_of_intents_saves_time_alone() -> None:
    """cached = uncached, split = whole, and a fork above an intent has the other future."""
    b = backend()
    rows = ("intent: go back", None, None, "intent: jump, then shoot", None, None, None)
    whole = grow(b, start(b), 7, rows)
    half = grow(backend(), start(backend()), 4, rows[:4])
    assert told(grow(backend(), relived(half), 3, rows[4:])) == told(whole)
    assert told(grow(b, whole.rewind(3), 4, rows[3:])) == told(whole)
    assert told(grow(b, whole.rewind(3), 4)) != told(whole)


def test_the_plan_in_force_stands_below_an_intent() -> None:
    b = backend()
    history = grow(b, start(b), 4, ("walk", *["walk"] * 3))

    def view(history: History) -> list[str]:
        nodes = b._memory._view(history.nodes(), 0)
        return [f"c{n.segment.index}" if isinstance(n.segment, ChunkSegment) else n.segment.text for n in nodes]

    wish = history.then(IntentSegment("shoot"))
    assert view(wish) == ["c1", "walk", "c2", "c3", "shoot"]
    later = wish
    for index in (4, 5):
        later = later.then(ChunkSegment(index, history.chunks[-1].frames, history.chunks[-1].latents, 1))
    assert view(later) == ["c3", "shoot", "walk", "c4", "c5"]
    assert "shoot" not in view(later.then(ChunkSegment(6, history.chunks[-1].frames, history.chunks[-1].latents, 1)))
