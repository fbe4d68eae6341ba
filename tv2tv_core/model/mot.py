"""Mixture-of-Transformers (2411.04996): a text and a video tower that share one attention, run over cached segments.

The training layout of the same towers is in `window.py`; a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from tv2tv_core.model import rotary
from tv2tv_core.model.config import ModelConfig
from tv2tv_core.model.towers import TowerLayer, attend

SPECIAL_TOKENS = 2  # BOF, EOF


@dataclass(frozen=True)
class KeysValues:
    """Keys (unrotated in a cache, rotated in a context) and values, each [1, S, kv_heads, head_dim]."""

    key: Tensor
    value: Tensor


@dataclass(frozen=True)
class SegmentCache:
    """What one segment leaves for those after it: per text layer, and per video expert (empty for plain text).

    `text_offsets` and `video_offsets` are positions [S, 3] relative to the segment's start; `advance` is its length.
    Keys stay unrotated, so the segment can stand at any place of a sliding window (StreamingLLM, 2309.17453).
    """

    text: dict[int, KeysValues]
    video: dict[int, KeysValues]
    text_offsets: Tensor
    video_offsets: Tensor
    advance: int


@dataclass
class Context:
    """Rotated keys and values of everything in view; `position` is where the next token stands."""

    text: dict[int, list[KeysValues]] = field(default_factory=dict)
    video: dict[int, list[KeysValues]] = field(default_factory=dict)
    position: int = 0

    def copy(self) -> Context:
        """A context that can grow without changing this one."""
        return Context({k: list(v) for k, v in self.text.items()}, {k: list(v) for k, v in self.video.items()},
                       self.position)


class MoT(nn.Module):
    """Both towers. Text tokens run through every text layer; video tokens through the experts beside every n-th one."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        text, video = config.text, config.video
        self.embed = nn.Embedding(text.vocab, text.width)
        # BOF and EOF: their input rows stay fixed, so that the frozen lower layers need no gradient; the output rows learn.
        self.register_buffer("special_in", torch.randn(SPECIAL_TOKENS, text.width) * 0.02)
        self.special_out = nn.Parameter(torch.zeros(SPECIAL_TOKENS, text.width))
        self.text_layers = nn.ModuleList(
            TowerLayer(text.width, text.ffn, text, rank=text.adapter_rank if i >= text.adapter_from else 0)
            for i in range(text.layers)
        )
        self.text_norm = nn.RMSNorm(text.width, text.norm_eps)
        self.head = None if text.tied else nn.Linear(text.width, text.vocab, bias=False)
        self.experts = nn.ModuleDict({
            str(i): TowerLayer(video.width, video.ffn, text, qk_norm=True)
            for i in range(text.layers) if config.has_expert(i)
        })
        # Added to the score of text looking at video: a low start keeps the pretrained language intact until it learns to look.
        self.video_gate = nn.Parameter(torch.full((text.layers, text.heads), video.gate_start))
        self.register_buffer("frequency", rotary.frequencies(text), persistent=False)

    def reset_tables(self) -> None:
        """Recompute what is derived from the config and kept in no file."""
        self.frequency = rotary.frequencies(self.config.text).to(self.special_in.device)

    def reads_video(self, layer: int) -> bool:
        """Whether text tokens attend to video in this layer."""
        return self.config.has_expert(layer) and layer >= self.config.video.text_reads_video_from

    def embed_tokens(self, ids: Tensor) -> Tensor:
        """ids [B, S], the two special ids included → [B, S, width]."""
        vocab = self.config.text.vocab
        plain = self.embed(ids.clamp(max=vocab - 1))
        special = self.special_in[(ids - vocab).clamp(min=0)].to(plain.dtype)
        return torch.where((ids >= vocab)[..., None], special, plain)

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [..., width] from the last text layer → float32 [..., vocab + 2] (EOF is never sampled)."""
        normed = self.text_norm(hidden)
        weight = self.embed.weight if self.head is None else self.head.weight
        special = nn.functional.linear(normed, self.special_out.to(normed.dtype))
        return torch.cat((nn.functional.linear(normed, weight), special), -1).float()

    # Running over a context (inference) ------------------------------------------------------------------------------

    def context(self, segments: Sequence[SegmentCache]) -> Context:
        """Lay segments one behind the other from position 0 and rotate their keys."""
        context = Context()
        for segment in segments:
            self.extend(context, segment)
        return context

    def extend(self, context: Context, segment: SegmentCache) -> None:
        """Append one segment to a context, in place."""
        for kind, target, offsets in ((segment.text, context.text, segment.text_offsets),
                                      (segment.video, context.video, segment.video_offsets)):
            if not kind:
                continue
            cos, sin = rotary.tables(offsets + context.position, self.frequency)
            for layer, kv in kind.items():
                rotated = KeysValues(rotary.rotate(kv.key, cos, sin), kv.value)
                target.setdefault(layer, []).append(rotated)
        context.position += segment.advance

    def run_text(self, ids: Tensor, context: Context, layers: int | None = None) -> tuple[Tensor, SegmentCache]:
        """Run text tokens [B, S] behind a context through the first `layers` layers (all when None).

        Returns hidden states [B, S, width] and the cache of these tokens. Rows shorter than S are padded on the right:
        causality keeps the padding harmless.
        """
        count = ids.shape[1]
        hidden = self.embed_tokens(ids)
        offsets = rotary.text_positions(0, count).to(ids.device)
        cos, sin = rotary.tables(offsets + context.position, self.frequency)
        causal = torch.ones(count, count, dtype=torch.bool, device=ids.device).tril()
        kept: dict[int, KeysValues] = {}
        for i, layer in enumerate(self.text_layers[:layers]):
            query, key, value = layer.project(hidden)
            kept[i] = KeysValues(key, value)
            query, key = rotary.rotate(query, cos, sin), rotary.rotate(key, cos, sin)
            own = KeysValues(key, value)
            past = context.text.get(i, [])
            seen = context.video.get(i, []) if self.reads_video(i) else []
            hidden = layer.complete(hidden, self._text_attention(query, past, own, seen, causal, i))
        empty = torch.zeros(0, 3, dtype=torch.long, device=ids.device)
        return hidden, SegmentCache(kept, {}, offsets, empty, count)

    def _text_attention(self, query: Tensor, past: list[KeysValues], own: KeysValues, seen: list[KeysValues],
                        causal: Tensor, layer: int) -> Tensor:
        parts = [*past, own, *seen]
        keys, values = torch.cat([p.key for p in parts], 1), torch.cat([p.value for p in parts], 1)
        count = causal.shape[0]
        if not seen and count == 1:
            return attend(query, keys, values)
        before = sum(p.key.shape[1] for p in past)
        mask = torch.zeros(1, query.shape[2], count, keys.shape[1], dtype=query.dtype, device=query.device)
        mask[..., before : before + count].masked_fill_(~causal, float("-inf"))
        mask[..., before + count :] = self.video_gate[layer].to(mask.dtype)[:, None, None]
        return attend(query, keys, values, mask)

    def run_video(self, tokens: Tensor, context: Context, *, see_text: Tensor | None = None) -> tuple[Tensor, SegmentCache]:
        """Run one chunk's tokens [B, V, video width] behind a context through the video experts.

        `see_text` [B] bool hides all text from a row where False (guidance). Returns the tokens and their cache.
        """
        grid = self.config.video.grid
        offsets = rotary.chunk_positions(0, grid).to(tokens.device)
        cos, sin = rotary.tables(offsets + context.position, self.frequency)
        kept: dict[int, KeysValues] = {}
        batch = tokens.shape[0]
        for name, layer in self.experts.items():
            query, key, value = layer.project(tokens)
            kept[int(name)] = KeysValues(key, value)
            query, key = rotary.rotate(query, cos, sin), rotary.rotate(key, cos, sin)
            text, video = context.text.get(int(name), []), context.video.get(int(name), [])
            parts = [*text, *video]
            keys = torch.cat([*(p.key.expand(batch, -1, -1, -1).to(key.dtype) for p in parts), key], 1)
            values = torch.cat([*(p.value.expand(batch, -1, -1, -1).to(value.dtype) for p in parts), value], 1)
            mask = None
            if see_text is not None:
                mask = torch.ones(batch, 1, 1, keys.shape[1], dtype=torch.bool, device=keys.device)
                mask[..., : sum(p.key.shape[1] for p in text)] = see_text[:, None, None, None]
            tokens = layer.complete(tokens, attend(query, keys, values, mask))
        empty = torch.zeros(0, 3, dtype=torch.long, device=tokens.device)
        return tokens, SegmentCache({}, kept, empty, offsets, rotary.chunk_advance(grid))


def join(parts: Sequence[SegmentCache]) -> SegmentCache:
    """Several caches that stand one behind the other, as one segment."""
    starts, at = [], 0
    for part in parts:
        starts.append(at)
        at += part.advance

    def merge(kinds: list[dict[int, KeysValues]]) -> dict[int, KeysValues]:
        layers = sorted({layer for kind in kinds for layer in kind})
        return {
            layer: KeysValues(
                torch.cat([kind[layer].key for kind in kinds if layer in kind], 1),
                torch.cat([kind[layer].value for kind in kinds if layer in kind], 1),
            )
            for layer in layers
        }

    return SegmentCache(
        merge([part.text for part in parts]), merge([part.video for part in parts]),
        torch.cat([part.text_offsets + start for part, start in zip(parts, starts, strict=True)]),
        torch.cat([part.video_offsets + start for part, start in zip(parts, starts, strict=True)]), at,
    )
