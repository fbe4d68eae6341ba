"""The story as a value: what its edits keep, what they refuse, and that it survives being written down."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tv2tv_core.errors import InputError
from tv2tv_core.story import MAX_INDEX, MAX_TAKES, Story, Take, check_lines, is_id, new_id

ROOT = "0" * 16
IDS = st.integers(1, 2**64 - 1).map(lambda n: f"{n:016x}")
LINES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=200)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def fresh() -> Story:
    """A story as a new project has it."""
    take = Take(new_id(), "Take 1", ROOT, "main")
    return Story((take,), take.id)


def edited(story: Story, draw) -> Story:
    """One random edit that is allowed."""
    take = draw(st.sampled_from(story.takes))
    kind = draw(st.sampled_from(["grow", "fork", "switch", "rename", "delete", "plan"]))
    index = draw(st.integers(0, 20))
    if kind == "grow":
        return story.grow(take.id, draw(IDS), index)
    if kind == "fork":
        planned = draw(st.dictionaries(st.integers(0, 30), LINES, max_size=3))
        return story.fork(take.id, draw(IDS), index, draw(st.none() | st.just("other")), planned.items())
    if kind == "switch":
        return story.switch(take.id)
    if kind == "rename":
        return story.rename(take.id, draw(LINES)[:60])
    if kind == "delete":
        return story.delete(take.id) if len(story.takes) > 1 else story
    return story.plan(take.id, draw(st.dictionaries(st.integers(0, 30), st.none() | st.just("") | LINES, max_size=3)))


@st.composite
def stories(draw) -> Story:
    """A story after some edits."""
    story = fresh()
    for _ in range(draw(st.integers(0, 8))):
        story = edited(story, draw)
    return story


@given(stories())
def test_it_survives_being_written_as_json(story):
    assert Story.from_json(json.loads(json.dumps(story.to_json()))) == story


@given(stories(), st.data())
def test_an_edit_leaves_the_story_it_came_from_alone(story, data):
    before = story.to_json()
    edited(story, data.draw)
    assert story.to_json() == before


@given(stories(), IDS, st.integers(0, 30))
def test_growing_moves_the_end_and_drops_the_lines_that_have_done_their_work(story, chunk, index):
    take = story.current
    grown = story.grow(take.id, chunk, index).take(take.id)
    assert grown.tip == chunk
    assert grown.planned == tuple(item for item in take.planned if item[0] > index)
    assert (grown.id, grown.name, grown.stream, grown.at) == (take.id, take.name, take.stream, take.at)


@given(stories(), IDS, st.integers(0, 30))
def test_a_fork_adds_one_take_and_shows_it(story, tip, at):
    parent = story.current
    forked = story.fork(parent.id, tip, at, planned=[(at + 2, "later"), (at, "run forward"), *[(at - 1, "past")] * (at > 0)])
    new = forked.current
    assert forked.takes[:-1] == story.takes and new not in story.takes
    assert (new.tip, new.at, new.parent, new.stream) == (tip, at, parent.id, parent.stream)
    assert new.planned == ((at, "run forward"), (at + 2, "later"))
    assert new.name not in {take.name for take in story.takes}
    assert forked.fork(parent.id, tip, at, "other").current.stream == "other"


def test_a_fork_takes_the_smallest_free_number():
    story = fresh()
    for _ in range(3):
        story = story.fork(story.active, ROOT, 0)
    assert [take.name for take in story.takes] == ["Take 1", "Take 2", "Take 3", "Take 4"]
    without = story.delete(story.takes[1].id)
    assert without.fork(without.active, ROOT, 0).current.name == "Take 2"
    assert story.rename(story.takes[2].id, "Night").fork(story.active, ROOT, 0).current.name == "Take 3"


@given(stories(), st.data())
def test_deleting_a_take_loses_no_other_take_and_no_end(story, data):
    take = data.draw(st.sampled_from(story.takes))
    if len(story.takes) == 1:
        with pytest.raises(InputError, match="only take"):
            story.delete(take.id)
        return
    left = story.delete(take.id)
    kept = {other.id: other for other in story.takes if other.id != take.id}
    assert [(other.id, other.tip, other.planned) for other in left.takes] == [
        (other.id, other.tip, other.planned) for other in kept.values()
    ]
    assert left.find(take.id) is None
    assert left.active == (story.active if story.active != take.id else take.parent or left.active)
    for other in left.takes:
        was = kept[other.id].parent
        assert other.parent == (take.parent if was == take.id else was)


def test_the_neighbour_is_shown_when_the_first_take_goes():
    story = fresh()
    first = story.active
    story = story.fork(first, ROOT, 0).fork(first, ROOT, 0)
    second = story.takes[1].id
    assert story.switch(first).delete(first).active == second
    assert story.delete(story.active).active == first


@given(stories(), st.integers(0, 50), LINES, LINES)
def test_planned_lines_are_set_changed_and_taken_away(story, index, line, other):
    take = story.active
    first = story.plan(take, {index: f"  {line} "})
    assert dict(first.current.planned) == dict(story.current.planned) | {index: line}
    assert dict(first.plan(take, {index: other}).current.planned)[index] == other
    without = {i: text for i, text in story.current.planned if i != index}
    for nothing in (None, "", "  "):
        assert dict(first.plan(take, {index: nothing}).current.planned) == without
    assert list(first.current.planned) == sorted(first.current.planned)


@pytest.mark.parametrize("line", ["a" * 201, "two\nlines", "bell\a", "\ud800", 7, ["run"], b"run"])
def test_a_line_that_cannot_be_is_refused_in_one_line(line):
    story = fresh()
    with pytest.raises(InputError) as caught:
        story.plan(story.active, {3: line})
    assert "chunk 3" in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("index", [-1, MAX_INDEX + 1, True, "3", None, 2.0])
def test_an_index_that_cannot_be_is_refused(index):
    story = fresh()
    for edit in (
        lambda: story.plan(story.active, {index: "run"}),
        lambda: story.grow(story.active, ROOT, index),
        lambda: story.fork(story.active, ROOT, index),
    ):
        with pytest.raises(InputError, match="index"):
            edit()


@pytest.mark.parametrize("name", ["", "   ", "a" * 61, "two\nlines", "\x00", "\ud800", None, 4])
def test_a_name_that_cannot_be_is_refused_and_others_are_kept(name):
    story = fresh()
    with pytest.raises(InputError) as caught:
        story.rename(story.active, name)
    assert "60" in str(caught.value) and str(caught.value).isprintable()
    assert story.rename(story.active, "  مشهد 🎬 <b>${x}</b> ").current.name == "مشهد 🎬 <b>${x}</b>"


def test_a_take_that_is_gone_is_an_error_in_words():
    story, gone = fresh(), new_id()
    for edit in (
        lambda: story.take(gone),
        lambda: story.grow(gone, ROOT, 0),
        lambda: story.fork(gone, ROOT, 0),
        lambda: story.switch(gone),
        lambda: story.rename(gone, "x"),
        lambda: story.delete(gone),
        lambda: story.plan(gone, {0: "run"}),
    ):
        with pytest.raises(InputError, match="not there any more"):
            edit()
    assert story.find(gone) is None and story.find(None) is None and story.find([]) is None


def test_there_is_a_limit_to_takes():
    first = fresh().current
    full = Story((first, *(Take(new_id(), f"T{n}", ROOT, "main", parent=first.id) for n in range(MAX_TAKES - 1))), first.id)
    with pytest.raises(InputError, match="Delete some"):
        full.fork(first.id, ROOT, 0)


@given(stories(), JSON, st.data())
def test_what_is_no_story_is_refused_and_never_breaks(story, junk, data):
    row = story.to_json()
    place = data.draw(st.sampled_from([None, "takes", "active", *row["takes"][0]]))
    if place is None:
        broken = junk
    elif place in row:
        broken = row | {place: junk}
    else:
        broken = row | {"takes": [row["takes"][0] | {place: junk}, *row["takes"][1:]]}
    try:
        read = Story.from_json(broken)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert read.to_json() == broken


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row["takes"].clear(),
        lambda row: row["takes"].append(row["takes"][0]),
        lambda row: row["takes"].reverse(),
        lambda row: row["takes"][0].update(parent=row["takes"][1]["id"]),
        lambda row: row["takes"][0].update(parent=row["takes"][0]["id"]),
        lambda row: row["takes"][0].update(more=1),
        lambda row: row["takes"][0].pop("at"),
        lambda row: row["takes"][0].update(planned=[[5, "run"], [4, "run"]]),
        lambda row: row["takes"][0].update(planned=[[5, "run"], [5, "stand"]]),
        lambda row: row["takes"][0].update(planned=[[5, ""]]),
        lambda row: row["takes"][0].update(planned=[[5]]),
        lambda row: row["takes"][0].update(name=" Take 1"),
        lambda row: row["takes"][0].update(tip="0" * 15),
        lambda row: row.update(active="f" * 16),
        lambda row: row.update(active=[]),
        lambda row: row.update(version=2),
    ],
)
def test_a_story_that_does_not_fit_together_is_refused(change):
    story = fresh()
    row = story.fork(story.active, ROOT, 0).to_json()
    assert Story.from_json(row)
    change(row)
    with pytest.raises(InputError):
        Story.from_json(row)


def test_names_are_drawn_anew_and_have_one_form():
    drawn = {new_id() for _ in range(1000)}
    assert len(drawn) == 1000 and all(map(is_id, drawn))
    assert not any(map(is_id, ["", "0" * 15, "0" * 17, "G" * 16, "A" * 16, f"{'0' * 16}\n", None, 10**15, "٠" * 16]))


def test_planned_lines_are_sorted_once_checked():
    assert check_lines([(9, "b"), (2, " a "), (3, None), (4, "")]) == ((2, "a"), (9, "b"))
