"""Interventions: the truth scores everything, a model that does not read scores chance, and what looks alike is told."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluate.acting import LINES, Actor, FakeFutures, deaf, future, oracle
from tests.evaluate.recordings import Panning, write_episode
from tv2tv_core.data.shards import Episode
from tv2tv_core.evaluate import interventions
from tv2tv_core.evaluate.intervention_figures import intervention_figures
from tv2tv_core.evaluate.interventions import (
    CANONICAL,
    CONTEXT,
    HELD,
    PARAPHRASE,
    Player,
    compare,
    credit,
    insert,
    insertion_point,
    relative,
    wordings,
)
from tv2tv_core.evaluate.moments import ACTIONS, Moment
from tv2tv_core.plan import is_canonical, parse, to_line
from tv2tv_core.settings import resolve

K = len(ACTIONS)


def quick_distance(frames: np.ndarray, first: int) -> np.ndarray:
    """In place of LPIPS, which has tests of its own: the mean difference of every sixth pixel."""
    small = frames[:, ::6, ::6].astype(float) / 255
    return np.stack([np.abs(small - small[column]).mean(axis=(1, 2, 3)) for column in range(first)], axis=1)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interventions, "lpips_to_first", quick_distance)


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> Episode:
    folder = tmp_path_factory.mktemp("world") / "heldout" / "room"
    write_episode(folder, Panning.make(chunks=14))
    return Episode(folder)


def value_of(backend: Actor, moment: Moment, after: int = 0, alike: tuple[str, ...] = (), both: bool = False) -> dict:
    point = insertion_point(moment, after)
    truth = FakeFutures(alike=alike)(point, HELD)
    made = insert(Player(backend, resolve({"steps": 1}), 0), moment, after, wordings(truth, point, both), lambda: None)
    return compare(made, truth, np.array(moment.episode.frames[point.chunk - 1, -1]), None)


def accuracy(figures: dict, held: int = 1, wording: str = CANONICAL, measure: str = "accuracy") -> float:
    return figures["wordings"][wording][str(held)][measure]["mean"]


def test_the_true_future_follows_every_instruction_in_any_words(episode: Episode) -> None:
    moment = Moment("heldout", episode, CONTEXT)
    figures = intervention_figures([value_of(oracle(moment.name, CONTEXT - 1), moment, both=True)])
    for held in HELD:
        for wording in (CANONICAL, PARAPHRASE):
            for measure in ("accuracy", "relative", "tellable", "ceiling"):
                assert accuracy(figures, held, wording, measure) == 1
        assert figures["paraphrase_less"][str(held)]["mean"] == 0
    [row] = [row for row in figures["wordings"][CANONICAL]["1"]["per_action"] if row["action"] == "jump"]
    assert row["taken_for"] == "jump" and row["accuracy"] == 1 and 0 < row["low"] < row["high"] == 1
    assert figures["chance"] == pytest.approx(1 / K) and figures["base"]["mean"] == 0


def test_who_does_not_read_scores_chance(episode: Episode) -> None:
    values = [value_of(deaf(moment.name), moment) for moment in (Moment("heldout", episode, at) for at in (4, 5, 6))]
    figures = intervention_figures(values)
    for held in HELD:
        assert accuracy(figures, held) == pytest.approx(1 / K)
        assert accuracy(figures, held, measure="relative") == pytest.approx(1 / K)
        assert accuracy(figures, held, measure="ceiling") == 1
    assert figures["wordings"][CANONICAL]["1"]["accuracy"]["groups"] == 3


def test_only_the_relative_measure_forgives_a_picture_that_drifted_alike_for_all(episode: Episode) -> None:
    """After 1 s the model's room is another one: each action moves its picture a little towards the right future."""
    moment = Moment("heldout", episode, CONTEXT)
    point = insertion_point(moment, 4)
    elsewhere = future("elsewhere", "stand", 4).astype(np.uint16)

    def rule(history: object, index: int) -> np.ndarray:
        if history.plan not in LINES or index < point.chunk - 1:
            return elsewhere[index % 4].astype(np.uint8)
        held = index - (point.chunk - 1)
        towards = future(point.name, history.plan, 4)[held]
        return ((elsewhere[held] * 19 + towards) // 20).astype(np.uint8)

    figures = intervention_figures([value_of(Actor(rule), moment, after=4)])
    assert accuracy(figures, measure="relative") > 0.9 > accuracy(figures) and figures["base"]["mean"] > 0.1


def test_actions_with_one_future_are_no_failure_of_the_model(episode: Episode) -> None:
    moment = Moment("heldout", episode, CONTEXT)
    alike = ("fire", "crouch")
    value = value_of(oracle(moment.name, CONTEXT - 1), moment, alike=alike)
    rows = {row["action"]: row for row in intervention_figures([value])["wordings"][CANONICAL]["1"]["per_action"]}
    for name in (*alike, "stand"):
        assert rows[name]["ceiling"] == pytest.approx(1 / 3) and rows[name]["tellable"] == 0
    assert rows["forward"]["ceiling"] == rows["forward"]["tellable"] == 1
    figures = intervention_figures([value])["wordings"][CANONICAL]["1"]
    assert figures["tellable_trials"] == K - 3 < figures["trials"] == K


def test_who_died_does_not_count(episode: Episode) -> None:
    moment = Moment("heldout", episode, CONTEXT)
    value = value_of(oracle(moment.name, CONTEXT - 1), moment)
    value["died"][3] = True
    figures = intervention_figures([value])
    assert figures["died"] == 1 and figures["wordings"][CANONICAL]["1"]["trials"] == K - 1
    assert figures["wordings"][CANONICAL]["1"]["per_action"][3]["accuracy"] is None
    assert sum(map(sum, figures["wordings"][CANONICAL]["1"]["confusion"])) == K - 1


def test_the_roll_out_before_an_action_follows_the_true_lines(episode: Episode) -> None:
    seen = []
    moment = Moment("heldout", episode, 6)

    def rule(history: object, index: int) -> np.ndarray:
        seen.append((index, history.plan))
        return np.zeros((4, 96, 160, 3), np.uint8)

    value_of(Actor(rule), moment, after=3)
    assert [plan for _, plan in seen[:3]] == episode.lines[6:9]
    assert [plan for _, plan in seen[3:]] == [line for line in LINES for _ in range(max(HELD))]
    assert [index for index, _ in seen[:7]] == [3, 4, 5, 6, 7, 8, 9] and seen[7][0] == 6


def test_credit_is_shared_among_equals() -> None:
    assert credit(np.array([[0.1, 0.2], [0.3, 0.3]])).tolist() == [1.0, 0.5]
    assert credit(np.array([[0.2, 0.1], [0.1, 0.2]])).tolist() == [0.0, 0.0]
    same = np.array([[0.4, 0.1]] * 2)
    assert credit(relative(same, np.array([True, True]))).tolist() == [0.5, 0.5]


def test_lines_mean_their_actions_and_words_are_held_out(episode: Episode) -> None:
    moment = Moment("heldout", episode, CONTEXT)
    truth = FakeFutures()(moment, HELD)
    lines = wordings(truth, moment, True)
    assert all(is_canonical(line) for line in lines[CANONICAL]) and len(set(lines[CANONICAL])) == K == 14
    assert [to_line(parse(line)) for line in lines[PARAPHRASE]] == list(lines[CANONICAL])
    assert not set(lines[PARAPHRASE]) & set(LINES) and wordings(truth, moment, True) == lines
