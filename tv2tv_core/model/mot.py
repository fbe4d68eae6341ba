"""Mixture-of-Transformers (2411.04996): a text and a video tower that share one attention, run over cached segments.

The training layout of the same towers is in `window.py`; a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tv2tv_core.model import rotary
from tv2tv_core.model.config import ModelConfig
from tv2tv_core.model.towers import TowerLayer, attend

SPECIAL_TOKENS = 2  # BOF, EOF


@dataclass(frozen=True)
class KeysValues:
    """Keys and values of several layers, each [layers, 1, S, kv_heads, head_dim]: unrotated in a cache, rotated in a
    context."""

    key: Tensor
    value: Tensor


@dataclass(frozen=True)
class SegmentCache:
    """What one segment leaves for those after it: for every text layer, and for every video expert (None without video).

    `text_offsets` and `video_offsets` are positions [S, 3] relative to the segment's start; `advance` is its length.
    Keys stay unrotated, so the segment can stand at any place of a sliding window (StreamingLLM, 2309.17453).
    """

    text: KeysValues | None
    video: KeysValues | None
    text_offsets: Tensor
    video_offsets: Tensor
    advance: int


@dataclass
class Context:
    """Rotated keys and values of everything in view; `position` is where the next token stands."""

    text: KeysValues | None = None
    video: KeysValues | None = None
    position: int = 0


def _behind(first: KeysValues | None, second: KeysValues | None) -> KeysValues | None:
    """Two stretches, one behind the other."""
    if first is None or second is None:
        return first or second
    return KeysValues(torch.cat((first.key, second.key), 2), torch.cat((first.value, second.value), 2))


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
        self.expert_number = {int(name): number for number, name in enumerate(self.experts)}
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
        if segments:
            self.extend(context, join(segments))
        return context

    def extend(self, context: Context, segment: SegmentCache) -> None:
        """Append one segment to a context, in place."""
        context.text = _behind(context.text, self._rotated(segment.text, segment.text_offsets + context.position))
        context.video = _behind(context.video, self._rotated(segment.video, segment.video_offsets + context.position))
        context.position += segment.advance

    def _rotated(self, kept: KeysValues | None, positions: Tensor) -> KeysValues | None:
        if kept is None:
            return None
        cos, sin = rotary.tables(positions, self.frequency)
        return KeysValues(rotary.rotate(kept.key, cos, sin), kept.value)

    def run_text(self, ids: Tensor, context: Context, layers: int | None = None) -> tuple[Tensor, SegmentCache]:
        """Run text tokens [B, S] behind a context through the first `layers` layers (all when None).

        Returns hidden states [B, S, width] and the cache of these tokens. Rows shorter than S are padded on the right:
        causality keeps the padding harmless.
        """
        count = ids.shape[1]
        hidden = self.embed_tokens(ids)
        offsets = rotary.text_positions(0, count).to(ids.device)
        cos, sin = (table.to(hidden.dtype) for table in rotary.tables(offsets + context.position, self.frequency))
        before = 0 if context.text is None else context.text.key.shape[2]
        mask = hidden.new_full((1, count, before + count), float("-inf")).triu(before + 1)
        keys, values = [], []
        for i, layer in enumerate(self.text_layers[:layers]):
            query, key, value = layer.project(hidden)
            keys.append(key)
            values.append(value)
            query, key = rotary.rotate(torch.cat((query, key), 2), cos, sin).split((query.shape[2], key.shape[2]), 2)
            hidden = layer.complete(hidden, self._text_attention(query, key, value, context, mask, i))
        empty = torch.zeros(0, 3, dtype=torch.long, device=ids.device)
        return hidden, SegmentCache(KeysValues(torch.stack(keys), torch.stack(values)), None, offsets, empty, count)

    def _text_attention(self, query: Tensor, key: Tensor, value: Tensor, context: Context, mask: Tensor,
                        layer: int) -> Tensor:
        if context.text is not None:
            key = torch.cat((context.text.key[layer].expand(len(key), -1, -1, -1), key), 1)
            value = torch.cat((context.text.value[layer].expand(len(value), -1, -1, -1), value), 1)
        if context.video is not None and self.reads_video(layer):
            seen = context.video.key[self.expert_number[layer]]
            key = torch.cat((key, seen.to(key.dtype)), 1)
            value = torch.cat((value, context.video.value[self.expert_number[layer]].to(value.dtype)), 1)
            gate = self.video_gate[layer].to(mask.dtype)[:, None, None].expand(-1, mask.shape[1], seen.shape[1])
            mask = torch.cat((mask.expand(len(gate), -1, -1), gate), -1)
        return attend(query, key, value, mask[None])

    def run_video(self, tokens: Tensor, context: Context, *, see_text: Tensor | None = None) -> tuple[Tensor, SegmentCache]:
        """Run one chunk's tokens [B, V, video width] behind a context through the video experts.

        `see_text` [B] bool hides all text from a row where False (guidance). Returns the tokens and their cache.
        """
        grid = self.config.video.grid
        offsets = rotary.chunk_positions(0, grid).to(tokens.device)
        cos, sin = (table.to(tokens.dtype) for table in rotary.tables(offsets + context.position, self.frequency))
        kept_keys, kept_values = [], []
        batch = tokens.shape[0]
        mask = None
        if see_text is not None and context.text is not None:
            words = context.text.key.shape[2]
            others = 0 if context.video is None else context.video.key.shape[2]
            mask = torch.ones(batch, 1, 1, words + others + tokens.shape[1], dtype=torch.bool, device=tokens.device)
            mask[..., :words] = see_text[:, None, None, None]
        for name, layer in self.experts.items():
            query, key, value = layer.project(tokens)
            kept_keys.append(key)
            kept_values.append(value)
            query, key = rotary.rotate(query, cos, sin), rotary.rotate(key, cos, sin)
            past = [] if context.text is None else [(context.text.key[int(name)], context.text.value[int(name)])]
            if context.video is not None:
                number = self.expert_number[int(name)]
                past.append((context.video.key[number], context.video.value[number]))
            keys = torch.cat([*(k.expand(batch, -1, -1, -1).to(key.dtype) for k, _ in past), key], 1)
            values = torch.cat([*(v.expand(batch, -1, -1, -1).to(value.dtype) for _, v in past), value], 1)
            tokens = layer.complete(tokens, attend(query, keys, values, mask))
        empty = torch.zeros(0, 3, dtype=torch.long, device=tokens.device)
        kept = KeysValues(torch.stack(kept_keys), torch.stack(kept_values))
        return tokens, SegmentCache(None, kept, empty, offsets, rotary.chunk_advance(grid))


def join(parts: Sequence[SegmentCache]) -> SegmentCache:
    """Several caches that stand one behind the other, as one segment."""
    starts, at = [], 0
    for part in parts:
        starts.append(at)
        at += part.advance

    def stretch(kept: list[KeysValues | None]) -> KeysValues | None:
        present = [kv for kv in kept if kv is not None]
        if not present:
            return None
        return KeysValues(torch.cat([kv.key for kv in present], 2), torch.cat([kv.value for kv in present], 2))

    return SegmentCache(
        stretch([part.text for part in parts]), stretch([part.video for part in parts]),
        torch.cat([part.text_offsets + start for part, start in zip(parts, starts, strict=True)]),
        torch.cat([part.video_offsets + start for part, start in zip(parts, starts, strict=True)]), at,
    )


def cut(cache: SegmentCache, count: int) -> tuple[SegmentCache, SegmentCache]:
    """The cache of a block of text as that of its first `count` tokens and that of the rest, each a segment of its own."""

    def part(start: int, end: int) -> SegmentCache:
        kept = KeysValues(cache.text.key[:, :, start:end], cache.text.value[:, :, start:end])
        return SegmentCache(kept, None, cache.text_offsets[start:end] - start, cache.video_offsets, end - start)

    return part(0, count), part(count, cache.advance)
