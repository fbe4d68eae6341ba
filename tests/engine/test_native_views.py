"""What the native backend sees of earlier chunks: views, and what decoding lost; no cache changes a byte of it."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.engine.tiny_backend import backend, grow, relived, start, told
from tv2tv_core.engine import native
from tv2tv_core.engine.native import NativeBackend
from tv2tv_core.model.motion import Scene
from tv2tv_core.timeline import History


def restless(seed: int = 0) -> NativeBackend:
    """A backend whose camera turns to and fro, so that much comes into view again."""
    b = backend(seed)
    see = b.model.motion.see

    def turning(chunk: torch.Tensor, plan: torch.Tensor, past: torch.Tensor) -> Scene:
        scene = see(chunk, plan, past)
        pose = torch.zeros_like(scene.pose)
        pose[..., 3] = 0.6 * torch.sign(plan[:, 2:3]) * torch.arange(1, 5) / 4
        return replace(scene, pose=pose, covered=torch.full_like(scene.covered, -9.0))  # nothing is held in hand

    b.model.motion.see = turning
    return b


def test_earlier_views_are_the_same_however_they_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from a file, forked, or looked at through a cache that forgets: the bytes are the same; and they do count."""
    plan = ("jump", "run forward", "stand", "jump", "run back", "stand, turn left 20", "run forward", "jump")
    b = restless()
    grown = grow(b, start(b), len(plan), plan)
    assert told(grow(restless(), start(b), len(plan), plan)) == told(grown)
    fork = relived(grown.rewind(5))
    assert told(grow(restless(), fork, 3, plan[5:])) == told(grown)
    monkeypatch.setattr(native, "VIEWS", 0)
    assert told(grow(restless(), start(b), len(plan), plan)) != told(grown)


@pytest.mark.parametrize("given", [False, True])
def test_what_decoding_lost_is_handed_on(given: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last frame as it stands, less what the codec of the chunk to come makes of its latents alone, whether that is
    remembered or not; behind other frames with the same latents the next chunk differs."""
    b = backend(given=given)
    seen = []
    guide = b.model.guide
    monkeypatch.setattr(b.model, "guide", lambda *args: seen.append(args[3][-1].detail()) or guide(*args))
    grown = grow(b, start(b), 3, ("stand",))
    codecs = [b.given_codec, b.codec, b.codec]
    for detail, chunk, codec in zip(seen, grown.chunks, codecs, strict=False):
        latents = torch.from_numpy(np.asarray(chunk.latents, dtype=np.float32))[None]
        frame = torch.from_numpy(chunk.frames[-1]).permute(2, 0, 1)[None] / 127.5 - 1
        torch.testing.assert_close(detail, frame - codec.decode(latents)[:, -1])
    assert len(seen) == 3 and b._plain
    known = [b._lost(chunk, b.codec) for chunk in grown.chunks]
    b._plain.clear()
    assert all(torch.equal(b._lost(chunk, b.codec), detail) for chunk, detail in zip(grown.chunks, known, strict=True))
    first = start(b)
    other = History(replace(first.segment, frames=255 - first.segment.frames), None, first.prompt)
    assert told(grow(b, other, 1, ("stand",)))[-1:] != told(grow(b, first, 1, ("stand",)))[-1:]


def test_what_stands_behind_given_frames_has_a_codec_of_its_own() -> None:
    """It decodes the first chunk of a clip and the first behind frames that were added to it, and nothing else; a story that
    was read from a file goes on alike."""
    b, plan = backend(given=True), ("stand", "jump", "run back")
    grown = grow(b, start(b), 3, plan)
    decoded: list[str] = []
    for name in ("codec", "given_codec"):
        codec = getattr(b, name)
        whole = codec.decode_with
        codec.decode_with = lambda *args, name=name, whole=whole: decoded.append(name) or whole(*args)
    assert told(grow(b, relived(start(b)), 3, plan)) == told(grown)
    added = replace(grown.boundary.segment, seed=None)
    grow(b, grown.then(added), 2, plan[1:])  # as the evaluation tells true frames
    assert decoded == ["given_codec", "codec", "codec", "given_codec", "codec"]
    again = backend(given=True)
    assert told(grow(again, relived(grown.rewind(1)), 2, plan[1:])) == told(grown)
    assert told(grow(backend(), start(b), 1, plan[:1])) != told(grown.rewind(1))


def test_a_view_does_not_hold_the_frames_of_its_chunk() -> None:
    """A project lets old frames go and reads them again when asked."""
    b = backend()
    grown = grow(b, start(b), 3, ("stand",))
    frames = weakref.ref(grown.boundary.segment)
    before = grown.boundary
    while before.parent is not None:
        object.__setattr__(before, "segment", replace(before.segment))
        before = before.parent.boundary
    gc.collect()
    assert frames() is None and len(b._views) >= 3


def test_views_of_a_long_story_are_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "VIEWS", 1)
    b = restless()
    grown = grow(b, start(b), 12, ("stand",))
    assert 2 <= len(b._views) <= 8
    assert told(grow(restless(), start(b), 12, ("stand",))) == told(grown)


def test_what_was_given_is_trusted_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the start, and behind true frames that the evaluation tells; not behind what the model made."""
    b, trusts = backend(), []
    guide = b.model.guide
    monkeypatch.setattr(b.model, "guide", lambda *args: trusts.append((guide(*args), guide(*args[:4]))) or trusts[-1][0])
    grow(b, start(b), 2, ("stand",))
    (first, unaware), (second, same) = trusts
    assert (first.trust >= unaware.trust).all() and first.trust.mean() > unaware.trust.mean()
    assert torch.equal(second.trust, same.trust)
