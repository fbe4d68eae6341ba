"""The generation loop: whatever interrupts it, the clip that comes out is the one an undisturbed run makes."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from tests.fakes import FakeBackend, SettledBackend
from tv2tv_core.engine.control import Control
from tv2tv_core.engine.events import (
    ChunkDone,
    ChunkStarted,
    DenoisingStep,
    Failed,
    Finished,
    PlanDone,
    TextToken,
)
from tv2tv_core.engine.generate import GenerateRequest, asking, generate, suggest
from tv2tv_core.engine.seeds import noise_seed
from tv2tv_core.errors import InputError, TV2TVError
from tv2tv_core.intent import row
from tv2tv_core.timeline import History, IntentSegment, TextSegment

START = np.full((1, 24, 40, 3), 90, np.uint8)


def begin(backend: FakeBackend) -> History:
    return backend.begin("a base", START)


def request(backend: FakeBackend, history: History, chunks: int, **options: object) -> GenerateRequest:
    return GenerateRequest(backend, history, chunks, **({"steps": 3, "seed": 7} | options))


def tip(backend: FakeBackend, history: History, chunks: int, **options: object) -> History:
    last = list(generate(request(backend, history, chunks, **options)))[-1]
    assert isinstance(last, Finished)
    return last.history


def content(history: History) -> list[object]:
    return [
        (segment.text, segment.source)
        if isinstance(segment, TextSegment)
        else row(segment.text)
        if isinstance(segment, IntentSegment)
        else (segment.index, segment.seed, segment.frames.tobytes(), segment.latents.tobytes())
        for segment in history
    ]


def test_events_come_in_order_and_tell_the_whole_clip() -> None:
    backend = FakeBackend()
    events = list(generate(request(backend, begin(backend), 3, plan=["run forward", "run forward", "jump, fire"])))
    kinds = [type(event).__name__ for event in events]
    act = ["ChunkStarted", *["DenoisingStep"] * 3, "ChunkDone"]
    write = ["TextToken", "PlanDone"]
    assert kinds == [*write, *act, *act, *write, *act, "Finished"]
    started = [event for event in events if isinstance(event, ChunkStarted)]
    assert [event.start_s for event in started] == pytest.approx([0, 8 / 35, 16 / 35])
    assert [event.plan for event in started] == ["run forward", "run forward", "jump, fire"]
    assert [event.step for event in events if isinstance(event, DenoisingStep)] == [1, 2, 3] * 3
    assert events[-1].reason == "length"
    assert [segment.index for segment in events[-1].history.chunks] == [-1, 0, 1, 2]


def test_same_request_gives_the_same_bytes_and_another_seed_or_take_does_not() -> None:
    backend = FakeBackend()
    first = content(tip(backend, begin(backend), 4))
    assert content(tip(backend, begin(backend), 4)) == first
    assert content(tip(backend, begin(backend), 4, seed=8)) != first
    assert content(tip(backend, begin(backend), 4, take="other")) != first


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_a_split_run_is_one_run(cut: int) -> None:
    backend = FakeBackend()
    plan = [None, "intent: turn round", "", "run back", "intent: shoot", "stand"]
    whole = tip(backend, begin(backend), 6, plan=plan)
    first = tip(backend, begin(backend), cut, plan=plan[:cut])
    assert content(tip(backend, first, 6 - cut, plan=plan[cut:])) == content(whole)


def run_pausing_at(backend: FakeBackend, history: History, chunks: int, event_number: int) -> Finished:
    control = Control()
    for number, event in enumerate(generate(request(backend, history, chunks), control)):
        if number == event_number:
            control.pause()
    assert isinstance(event, Finished)
    return event


def test_a_paused_run_is_an_unpaused_run_wherever_the_pause_falls() -> None:
    backend = FakeBackend()
    events = list(generate(request(backend, begin(backend), 4)))
    whole = content(events[-1].history)
    reasons = set()
    for number in range(len(events) - 1):
        paused = run_pausing_at(backend, begin(backend), 4, number)
        reasons.add(paused.reason)
        made = len(paused.history.chunks) - 1
        after = tip(backend, paused.history, 4 - made) if made < 4 else paused.history
        assert content(after) == whole
    assert reasons == {"paused", "length"}


def test_a_pause_lets_the_chunk_in_flight_finish() -> None:
    backend = FakeBackend()
    control = Control()
    for event in generate(request(backend, begin(backend), 5), control):
        if isinstance(event, DenoisingStep) and event.index == 1:
            control.pause()
    assert event.reason == "paused"
    assert event.history.chunks[-1].index == 1


def test_a_pause_while_thinking_stops_before_anything_is_drawn() -> None:
    backend = FakeBackend()
    control = Control()
    for event in generate(request(backend, begin(backend), 5), control):
        if isinstance(event, TextToken):
            control.pause()
    assert event.reason == "paused"
    assert event.history.chunks[-1].index == -1
    assert backend.steps == 0


def test_cancel_stops_within_one_step_and_leaves_the_last_boundary() -> None:
    backend = FakeBackend()
    control = Control()
    for event in generate(request(backend, begin(backend), 5, steps=50), control):
        if isinstance(event, DenoisingStep) and event.index == 1 and event.step == 2:
            steps_before = backend.steps
            control.cancel()
    assert event.reason == "cancelled"
    assert event.history.chunks[-1].index == 0
    assert event.history.segment is event.history.chunks[-1]
    assert backend.steps - steps_before <= 1


def test_cancel_while_thinking_stops_within_one_token() -> None:
    backend = FakeBackend(line="run forward, turn left 15, fire")
    control = Control()
    tokens = 0
    for event in generate(request(backend, begin(backend), 2), control):
        if isinstance(event, TextToken):
            tokens += 1
            control.cancel()
    assert tokens == 1
    assert event.reason == "cancelled" and event.history.chunks[-1].index == -1


def test_cancel_from_another_thread_ends_a_slow_run() -> None:
    backend = FakeBackend(delay_s=0.005)
    control = Control()
    began = threading.Event()

    def cancel() -> None:
        began.wait()
        control.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    for event in generate(request(backend, begin(backend), 4, steps=64), control):
        if isinstance(event, DenoisingStep):
            began.set()
    canceller.join()
    assert event.reason == "cancelled"


def test_a_fork_shares_its_past_by_identity_and_changes_nothing_before_it() -> None:
    backend = FakeBackend()
    old = tip(backend, begin(backend), 5)
    before = content(old)
    boundary = old.rewind(3)
    new = tip(backend, boundary, 3, plan=["stand, turn left 45"], take="second")
    shared = boundary.nodes()
    assert all(a is b for a, b in zip(shared, old.nodes()))
    assert all(a is b for a, b in zip(shared, new.nodes()))
    assert content(old) == before
    assert [segment.index for segment in new.chunks] == [-1, 0, 1, 2, 3, 4, 5]
    assert new.chunks[4].frames.tobytes() != old.chunks[4].frames.tobytes()


def test_rewinding_and_going_on_alike_gives_the_same_clip_again() -> None:
    backend = FakeBackend()
    whole = tip(backend, begin(backend), 5)
    for index in range(5):
        assert content(tip(backend, whole.rewind(index), 5 - index)) == content(whole)


def test_noise_seeds_depend_on_seed_take_and_index_alone() -> None:
    backend = FakeBackend()
    a = tip(backend, begin(backend), 4, plan=["stand"], steps=2)
    b = tip(backend, backend.begin("elsewhere", START // 2), 4, plan=["run back", None, "jump"], steps=3)
    expected = [None] + [noise_seed(7, "main", index) for index in range(4)]
    assert [chunk.seed for chunk in a.chunks] == [chunk.seed for chunk in b.chunks] == expected


def test_a_failed_backend_keeps_the_history_and_raises_its_own_error() -> None:
    backend = FakeBackend(fail_at=(2, 2))
    events = []
    with pytest.raises(RuntimeError, match="out of memory"):
        for event in generate(request(backend, begin(backend), 4)):
            events.append(event)
    assert isinstance(events[-1], Failed)
    kept = events[-1].history
    assert kept.chunks[-1].index == 1 and kept.segment is kept.chunks[-1]
    # What survives a failure is worth as much as a paused run.
    assert content(tip(FakeBackend(), kept, 2)) == content(tip(FakeBackend(), begin(backend), 4))


def test_the_model_may_end_the_clip() -> None:
    backend = FakeBackend(end_at=2)
    events = list(generate(request(backend, begin(backend), 6)))
    assert events[-1].reason == "ended"
    assert events[-1].history.chunks[-1].index == 1
    # A person's line overrules the end.
    assert tip(backend, events[-1].history, 1, plan=["stand"]).chunks[-1].index == 2


def test_a_repeated_line_writes_no_new_text_whoever_repeats_it() -> None:
    backend = FakeBackend(line="stand")
    history = tip(backend, begin(backend), 3, plan=["stand", " stand ", None])
    assert [segment.text for segment in history if isinstance(segment, TextSegment)] == ["stand"]


def test_a_forced_line_is_the_persons_and_a_thought_is_the_models() -> None:
    backend = FakeBackend()
    events = list(generate(request(backend, begin(backend), 2, plan=["", "crouch"])))
    done = [event for event in events if isinstance(event, PlanDone)]
    assert [event.source for event in done] == ["model", "person"]
    tokens = [event for event in events if isinstance(event, TextToken)]
    assert {event.forced for event in tokens if event.index == 0} == {False}
    assert [event.text for event in tokens if event.index == 1] == ["crouch"]
    assert "".join(event.text for event in tokens if event.index == 0).strip() == done[0].line


def test_previews_come_only_when_asked_for_and_change_nothing() -> None:
    backend = FakeBackend()
    plain = list(generate(request(backend, begin(backend), 1)))
    seen = list(generate(request(backend, begin(backend), 1, previews=True)))
    assert all(event.preview is None for event in plain if isinstance(event, DenoisingStep))
    assert all(event.preview is not None for event in seen if isinstance(event, DenoisingStep))
    assert content(plain[-1].history) == content(seen[-1].history)


def test_the_last_chunk_done_carries_the_final_history() -> None:
    backend = FakeBackend()
    events = list(generate(request(backend, begin(backend), 2)))
    done = [event for event in events if isinstance(event, ChunkDone)]
    assert done[-1].history is events[-1].history
    assert done[-1].chunk is events[-1].history.segment


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": 0},
        {"chunks": -3},
        {"chunks": 2.5},
        {"steps": 0},
        {"steps": 10**6},
        {"guidance": -1.0},
        {"guidance": float("nan")},
        {"guidance": float("inf")},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"seed": -1},
        {"seed": 2**63},
        {"plan": "stand"},
        {"plan": ["stand"] * 3},
        {"plan": ["x" * 201]},
        {"plan": ["stand\nfire"]},
        {"plan": ["a\x00b"]},
    ],
)
def test_a_request_out_of_range_is_refused_with_one_line(options: dict[str, object]) -> None:
    backend = FakeBackend()
    with pytest.raises(InputError) as caught:
        GenerateRequest(**({"backend": backend, "history": begin(backend), "chunks": 2} | options))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_generation_starts_at_a_boundary_only() -> None:
    backend = FakeBackend()
    with pytest.raises(ValueError, match="boundary"):
        GenerateRequest(backend, begin(backend).then(TextSegment("stand", "person")), 1)


def test_an_unusable_thought_fails_with_words() -> None:
    backend = FakeBackend(line="la " * 100)
    with pytest.raises(TV2TVError, match="temperature"):
        list(generate(request(backend, begin(backend), 1)))


def test_suggestions_differ_from_one_another_and_the_plan_in_force_comes_last() -> None:
    backend = FakeBackend()
    history = tip(backend, begin(backend), 2, plan=["stand"])
    found = suggest(backend, history, 4, seed=1)
    assert found == suggest(backend, history, 4, seed=1)
    assert 2 <= len(found) == len(set(found)) <= 4
    assert history.plan not in found[:-1]
    assert backend.steps == 2 * 3, "suggesting draws nothing"
    assert suggest(FakeBackend(line="stand"), history, 3) == ["stand"]
    assert len(suggest(backend, begin(backend), 3, temperature=0.0)) == 1
    assert suggest(FakeBackend(line="la " * 100), history, 3) == []


def test_a_suggestion_is_what_generation_would_write_there() -> None:
    backend = SettledBackend()
    history = tip(backend, begin(backend), 2, plan=["stand", "intent: turn round"])
    rows = (None, "intent: shoot", "Intent:  go back ")
    written = [tip(backend, history, 1, plan=[asked]).plan for asked in rows]
    assert [suggest(backend, asking(backend, history, asked), 3) for asked in rows] == [[line] for line in written]
    assert len(set(written)) == 3
    assert asking(backend, history, "run back") is history, "a line is written already, not read"


def test_suggestions_can_be_cancelled_and_refuse_absurd_counts() -> None:
    backend = FakeBackend()
    control = Control()
    control.cancel()
    with pytest.raises(TV2TVError):
        suggest(backend, begin(backend), 3, control=control)
    assert backend.thoughts == 0
    with pytest.raises(InputError):
        suggest(backend, begin(backend), 0)


def test_an_intent_stands_above_what_the_model_writes_from_it() -> None:
    backend = FakeBackend(line="run back")
    events = list(generate(request(backend, begin(backend), 3, plan=["intent: go back", None, "Intent: shoot "])))
    told = [item if isinstance(item, str) else item[0] for item in content(events[-1].history)]
    assert told == [-1, "intent: go back", "run back", 0, 1, "intent: shoot", 2]
    written = [event for event in events if isinstance(event, PlanDone)]
    assert [(event.index, event.line, event.source) for event in written] == [(0, "run back", "model")]
    assert all(not event.forced for event in events if isinstance(event, TextToken))
    assert [event.plan for event in events if isinstance(event, ChunkStarted)] == ["run back"] * 3


def test_an_intent_is_read_and_no_plan() -> None:
    """Another intent, other thoughts; without any, the very clip of today."""
    backend = FakeBackend()
    plans = [["intent: shoot"], ["intent: go back"], [None], []]
    clips = [content(tip(backend, begin(backend), 4, plan=plan)) for plan in plans]
    assert clips[2] == clips[3] and clips[0] != clips[1] and clips[1][2:] != clips[2][1:]
    assert tip(FakeBackend(line="stand"), begin(backend), 1, plan=["intent: go back"]).plan == "stand"


def test_a_pause_behind_an_intent_changes_nothing() -> None:
    backend, control = FakeBackend(), Control()
    plan = ["intent: turn left and shoot"]
    for event in generate(request(backend, begin(backend), 3, plan=plan), control):
        if isinstance(event, TextToken):
            control.pause()
    assert event.reason == "paused" and event.history.segment.index == -1
    assert content(tip(backend, event.history, 3, plan=plan)) == content(tip(backend, begin(backend), 3, plan=plan))


def test_who_reads_no_intents_says_so() -> None:
    backend = FakeBackend()
    backend.spec = replace(backend.spec, takes_intents=False)
    with pytest.raises(InputError, match="reads no intents.*plan lines"):
        request(backend, begin(backend), 2, plan=[None, "intent: shoot"])
    with pytest.raises(InputError, match="reads no intents.*plan lines"):
        asking(backend, begin(backend), "intent: shoot")
    with pytest.raises(InputError, match="intent is empty"):
        request(FakeBackend(), begin(backend), 1, plan=["intent: "])


def test_a_model_writes_no_intents() -> None:
    with pytest.raises(TV2TVError, match="no usable plan line"):
        tip(FakeBackend(line="intent: shoot"), begin(FakeBackend()), 1)
