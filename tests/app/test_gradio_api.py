"""The studio as `gradio_client` sees it: the documented example runs, jobs stream, and errors are words."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.live_server import ROOT, LiveServer, live_server
from tv2tv_core.media.video import count_frames

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A studio with a password, as scripts may meet it."""
    with live_server(tmp_path_factory.mktemp("projects"), "--password", PASSWORD, "--delay", "0.005") as server:
        yield server


def connected(server: LiveServer, folder) -> Client:
    headers = {"Authorization": f"Bearer {PASSWORD}"}
    return Client(server.url, headers=headers, verbose=False, analytics_enabled=False, download_files=str(folder))


@pytest.fixture
def client(server, tmp_path):
    """A client that may come in."""
    return connected(server, tmp_path)


def test_the_documented_example_runs_as_it_stands(tmp_path):
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text("utf-8"), re.DOTALL)
    with live_server(tmp_path / "projects") as server:
        code = code.replace("http://127.0.0.1:7860", server.url)
        result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    said = result.stdout.splitlines()
    assert [line.split()[0] for line in said[:9]] == [str(number) for number in range(1, 10)]
    assert said[9].startswith("Take 1 [") and said[10].startswith("Take 2 [") and "run forward, fire" in said[10]
    assert said[11].endswith(".mp4") and count_frames(said[11]) == 36


def test_a_clip_grows_chunk_by_chunk_and_both_takes_agree_before_the_rewritten_one(client):
    project = client.predict(api_name="/new_project")["project"]
    news = list(client.submit(project, 1.0, api_name="/generate"))
    made = [one["chunk"]["id"] for one in news if one["chunk"]]
    assert len(made) == 4 and news[-1]["job"]["state"] == "idle" and news[-1]["chunks"] == 4
    after = client.predict(project, 2, "stand, fire", 1, api_name="/rewrite")
    first, second = client.predict(project, api_name="/takes")
    assert after["take"] == second["id"] and second["active"] and second["at"] == 2
    assert [chunk["id"] for chunk in first["chunks"]] == made
    assert [chunk["id"] for chunk in second["chunks"][:2]] == made[:2]
    assert not set(made[2:]) & {chunk["id"] for chunk in second["chunks"]}
    assert second["chunks"][2]["plan"] == "stand, fire" and second["chunks"][2]["source"] == "person"
    assert client.predict(project, first["id"], api_name="/switch")["take"] == first["id"]


def test_a_pause_ends_the_stream_and_resume_makes_the_rest(client):
    project = client.predict(api_name="/new_project")["project"]
    job = client.submit(project, 4.0, api_name="/generate")
    first = next(news for news in job if news["chunk"])
    client.predict(project, api_name="/pause")
    paused = job.result()
    assert first["chunks"] <= paused["chunks"] < 18 and paused["job"]["state"] == "paused"
    assert client.predict(project, api_name="/resume")["chunks"] == 18


def test_an_export_at_half_speed_at_twice_the_rate(client):
    project = client.predict(api_name="/new_project")["project"]
    client.submit(project, 0.5, api_name="/generate").result()
    wish = {"scale": 1, "fps_factor": 2, "speed": 0.5}
    made = client.predict(project, **wish, api_name="/export")
    assert count_frames(made) == (8 - 1) * 2 * 2 + 1
    with pytest.raises(AppError, match=r"0\.25, 0\.5, 1, 2, 4"):
        client.predict(project, speed=3, api_name="/export")


def test_leaving_stops_nothing_and_stop_does(client, server, tmp_path):
    project = client.predict(api_name="/new_project")["project"]
    other = connected(server, tmp_path)
    job = other.submit(project, 120.0, api_name="/generate")
    next(iter(job))
    job.cancel()
    other.close()
    assert client.predict(project, api_name="/state")["job"]["state"] in ("loading", "running", "queued")
    stopped = client.predict(project, api_name="/stop")
    assert stopped["job"]["state"] == "idle" and stopped["chunks"] < 525


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("/generate", "0" * 16), "no such project"),
        (("/generate", "../etc"), "no project id"),
        (("/generate", None, -1.0), "0.25 to 120"),
        (("/rewrite", None, 5, "stand"), "chunk is 5"),
        (("/pause", None), "Generate"),
        (("/export", None), "no frames yet"),
        (("/switch", None, "nope"), "take"),
        (("/new_project", "nope"), "nope"),
        (("/new_project", "/etc/passwd"), "/etc/passwd"),
        (("/new_project", "", "x" * 10_000), "10000 characters"),
    ],
    ids=str,
)
def test_errors_are_one_line_of_words(client, call, words):
    name, *arguments = call
    project = client.predict(api_name="/new_project")["project"]
    with pytest.raises(AppError) as raised:
        client.predict(*[project if argument is None else argument for argument in arguments], api_name=name)
    assert words in str(raised.value) and "\n" not in str(raised.value) and "Traceback" not in str(raised.value)


def test_without_the_password_there_is_no_api(server, tmp_path):
    with pytest.raises(Exception, match="credentials"):
        Client(server.url, verbose=False, analytics_enabled=False, download_files=str(tmp_path))
