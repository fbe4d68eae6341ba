"""Steps of undo in a project file: over any edits they walk the stories there were, and growth is never lost to them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.project.project_files import commit, grow, make, request
from tv2tv_core.engine.generate import generate
from tv2tv_core.project.file import Pending, Project


@pytest.fixture
def path(tmp_path):
    """Where the project of a test lies."""
    return tmp_path / "a.tv2tv"


@given(st.lists(st.sampled_from(["fork", "rename", "plan", "delete", "same", "undo", "redo", "drop", "amend"]), max_size=14))
@settings(max_examples=25)
def test_undo_and_redo_walk_over_the_stories_there_were(tmp_path_factory, moves):
    path = tmp_path_factory.mktemp("undo") / "a.tv2tv"
    project = make(path)
    stack, place = [project.story], 0
    for n, move in enumerate(moves):
        story, active = project.story, project.story.active
        if move == "undo":
            assert project.undo() == (stack[place - 1] if place else None)
            place = max(0, place - 1)
        elif move == "redo":
            assert project.redo() == (stack[place + 1] if place + 1 < len(stack) else None)
            place = min(len(stack) - 1, place + 1)
        elif move == "drop":
            empty = 0 < place == len(stack) - 1 and stack[place - 1] == stack[place]
            assert project.drop_empty_edit() == empty
            if empty:
                stack.pop()
                place -= 1
        elif move == "amend":
            stack[place] = story.rename(active, f"amended {n}")
            project.amend(stack[place])
        else:
            changed = {
                "fork": lambda: story.fork(active, story.current.tip, 0),
                "rename": lambda: story.rename(active, f"name {n}"),
                "plan": lambda: story.plan(active, {n: "run forward"}),
                "delete": lambda: story.delete(active) if len(story.takes) > 1 else story,
                "same": lambda: story,
            }[move]()
            project.edit(changed, f"{move} {n}")
            stack, place = [*stack[: place + 1], changed], place + 1
            assert project.undo_label == f"{move} {n}" and project.redo_label is None
        assert project.story == stack[place]
        assert (project.undo_label is None, project.redo_label is None) == (place == 0, place == len(stack) - 1)
    project.close()
    with Project.open(path) as again:
        assert again.story == stack[place]
        while (story := again.undo()) is not None:
            place -= 1
            assert story == stack[place]
        assert place == 0
        assert [again.redo() for _ in stack[1:]] == stack[1:]


def test_undoing_a_generation_takes_its_chunks_away_and_redo_brings_them(path):
    with make(path) as project:
        project.edit(project.story, "Generate")
        made = grow(project, 3)
        assert project.undo().current.tip == made[0].parent
        assert project.redo().current.tip == made[2].id


def test_a_rename_during_a_generation_can_be_undone_without_losing_chunks(path):
    with make(path) as project:
        take = project.story.active
        project.edit(project.story, "Generate")
        project.set_pending(Pending(take, 6, 6, "generate"))
        run = generate(request(project, 6))

        def more() -> str:
            return next(filter(None, (commit(project, event, take, project.pending) for event in run))).id

        more()
        project.edit(project.story.rename(take, "Night"), "Rename")
        second = more()
        assert project.undo().current.tip == second and project.story.current.name == "Take 1"
        third = more()
        assert project.redo().current.tip == third and project.story.current.name == "Night"
        project.undo()
        assert project.undo().current.tip == project.path(third)[0].id


def test_undo_reaches_back_far_and_the_file_does_not_grow_without_end(path):
    with make(path) as project:
        for n in range(230):
            project.edit(project.story.rename(project.story.active, f"name {n}"), f"Rename {n}")
        steps = 0
        while project.undo():
            steps += 1
        assert steps == 200 and project.story.current.name == "name 29"
    with Project.open(path) as project:
        assert project.undo_label is None and project.redo_label == "Rename 30"
