"""The training layout: text, clean and noisy copies of several chunks in one pass, with the paper's visibility rules.

Text is causal; a chunk is bidirectional inside; every token sees earlier text and earlier *clean* chunks; a noisy copy
is seen by itself alone. Attention runs chunk by chunk over slices, because over half of one dense masked attention
would be thrown away.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from tv2tv_core.model import rotary
from tv2tv_core.model.mot import MoT
from tv2tv_core.model.towers import attend


@dataclass(frozen=True)
class TextStream:
    """All text of a window, in slots of equal padded length per batch: slot j stands before chunk j.

    ids [B, S]; valid [B, S] (False = padding); slot [S]; positions [B, S, 3]; chunk_start [B, N + 1] = where each chunk
    stands; targets [B, S] = the next id, or -100 where nothing is asked; visible [B] = False hides all text from video.
    """

    ids: Tensor
    valid: Tensor
    slot: Tensor
    positions: Tensor
    chunk_start: Tensor
    targets: Tensor
    visible: Tensor


def lay_out(slots: list[list[list[int]]], targets: list[list[list[int]]], advance: int, visible: Tensor) -> TextStream:
    """Pad and place slots[b][j] (ids before chunk j) with targets of the same shape; `advance` is a chunk's length."""
    batch, count = len(slots), len(slots[0])
    lengths = [max(len(slots[b][j]) for b in range(batch)) for j in range(count)]
    size = sum(lengths)
    ids, valid = torch.zeros(batch, size, dtype=torch.long), torch.zeros(batch, size, dtype=torch.bool)
    asked, places = torch.full((batch, size), -100), torch.zeros(batch, size, dtype=torch.long)
    starts = torch.zeros(batch, count, dtype=torch.long)
    for b in range(batch):
        column = position = 0
        for j, length in enumerate(lengths):
            tokens = slots[b][j]
            span = slice(column, column + len(tokens))
            ids[b, span] = torch.tensor(tokens)
            asked[b, span] = torch.tensor(targets[b][j])
            valid[b, span] = True
            places[b, column : column + length] = torch.arange(position, position + length)
            starts[b, j] = position + len(tokens)
            position += len(tokens) + advance
            column += length
    slot = torch.repeat_interleave(torch.arange(count), torch.tensor(lengths))
    return TextStream(ids, valid, slot, places[..., None].expand(-1, -1, 3), starts, asked, visible)


@dataclass(frozen=True)
class WindowOutput:
    """Video tokens after the tower: clean [B, N + 1, V, D] and noisy [B, N, V, D]; last text states [B, S, width]."""

    clean: Tensor
    noisy: Tensor
    text: Tensor


@dataclass(frozen=True)
class TextPrefix:
    """The lower text layers, which are frozen and see no video, run once: last states [B, S, width] and the rotated
    keys and values of the layers that video experts look at."""

    hidden: Tensor
    seen: dict[int, tuple[Tensor, Tensor]]


def prefix_depth(mot: MoT) -> int:
    """How many text layers neither learn nor look at video."""
    return min(mot.config.video.text_reads_video_from, mot.config.text.adapter_from)


@torch.no_grad()
def run_prefix(mot: MoT, stream: TextStream) -> TextPrefix:
    """Run the lower text layers of a window; the result serves any number of `run_window` calls on the same text."""
    tables = rotary.tables(stream.positions, mot.frequency)
    mask = _text_mask(stream, 0, 0)
    hidden, seen = mot.embed_tokens(stream.ids), {}
    for i in range(prefix_depth(mot)):
        hidden, seen[i] = _text_layer(mot, i, hidden, tables, mask, None)
    return TextPrefix(hidden, {i: kv for i, kv in seen.items() if mot.config.has_expert(i)})


def run_window(mot: MoT, stream: TextStream, clean: Tensor, noisy: Tensor, *, train_text: bool,
               prefix: TextPrefix | None = None) -> WindowOutput:
    """Run a window: clean tokens [B, N + 1, V, D] of chunks 0 … N and noisy tokens [B, N, V, D] of chunks 1 … N, or
    [B, 0, V, D] when nothing is to be drawn.

    `train_text` False runs the text tower without gradients: it is then a fixed reader of the same stream.
    """
    prefix = prefix or run_prefix(mot, stream)
    chunks, per_chunk = clean.shape[1], clean.shape[2]
    span = chunks * per_chunk
    x = torch.cat((clean.flatten(1, 2), noisy.flatten(1, 2)), 1)
    offsets = rotary.chunk_positions(0, mot.config.video.grid).to(x.device)
    places = stream.chunk_start[:, :, None, None] + offsets  # [B, N + 1, V, 3]
    drawn = noisy.shape[1]
    places = torch.cat((places.flatten(1, 2), places[:, 1 : 1 + drawn].flatten(1, 2)), 1)
    video_tables = rotary.tables(places, mot.frequency)
    text_tables = rotary.tables(stream.positions, mot.frequency)
    text_mask = _text_mask(stream, chunks, per_chunk)
    hidden, first = prefix.hidden, prefix_depth(mot)
    for i in range(mot.config.text.layers):
        expert = mot.experts[str(i)] if mot.config.has_expert(i) else None
        if expert is not None:
            query, key, value = expert.project(x)
            query, key = rotary.rotate(query, *video_tables), rotary.rotate(key, *video_tables)
        if i < first:
            text = prefix.seen.get(i)
        else:
            with nullcontext() if train_text else torch.no_grad():
                seen = (key[:, :span], value[:, :span]) if mot.reads_video(i) else None
                hidden, text = _text_layer(mot, i, hidden, text_tables, text_mask, seen)
        if expert is not None:
            x = expert.complete(x, _attend_video(stream, (query, key, value), text, chunks, per_chunk))
    return WindowOutput(x[:, :span].unflatten(1, (chunks, -1)), x[:, span:].unflatten(1, (drawn, per_chunk)), hidden)


def _text_layer(mot: MoT, i: int, hidden: Tensor, tables: tuple[Tensor, Tensor], mask: Tensor,
                seen: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """One text layer over the whole stream: its states, and its rotated keys and values."""
    layer = mot.text_layers[i]
    query, key, value = layer.project(hidden)
    query, key = rotary.rotate(query, *tables), rotary.rotate(key, *tables)
    return layer.complete(hidden, _attend_text(mot, i, (query, key, value), seen, mask)), (key, value)


def _text_mask(stream: TextStream, chunks: int, per_chunk: int) -> Tensor:
    """Who text may look at: bool [B, 1, S, S + chunks * per_chunk]."""
    size = stream.ids.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool, device=stream.ids.device).tril()
    text = causal & stream.valid[:, None, :]
    text = text | torch.eye(size, dtype=torch.bool, device=text.device)  # padding sees itself: no empty softmax
    if not chunks:
        return text[:, None]
    chunk = torch.arange(chunks, device=text.device).repeat_interleave(per_chunk)
    video = (chunk[None, :] < stream.slot.to(text.device)[:, None]).expand(len(text), -1, -1)
    return torch.cat((text, video), -1)[:, None]


def _attend_text(mot: MoT, layer: int, text: tuple[Tensor, Tensor, Tensor], seen: tuple[Tensor, Tensor] | None,
                 mask: Tensor) -> Tensor:
    query, key, value = text
    size = key.shape[1]
    if seen is None:
        return attend(query, key, value, mask[..., :size])
    bias = torch.zeros(mask.shape[0], query.shape[2], *mask.shape[2:], dtype=query.dtype, device=query.device)
    bias[..., size:] = mot.video_gate[layer].to(query.dtype)[:, None, None]
    bias = bias.masked_fill(~mask, float("-inf"))
    return attend(query, torch.cat((key, seen[0]), 1), torch.cat((value, seen[1]), 1), bias)


def _attend_video(stream: TextStream, video: tuple[Tensor, Tensor, Tensor], text: tuple[Tensor, Tensor], chunks: int,
                  per_chunk: int) -> Tensor:
    """Attention of every clean and noisy chunk over its past and itself → [B, (2N + 1) V, heads, head_dim]."""
    query, key, value = video
    text_key, text_value = text[0].to(key.dtype), text[1].to(value.dtype)
    visible = stream.valid & stream.visible[:, None]
    clean_out, noisy_out = [], []
    split = chunks * per_chunk
    slot_end = torch.bincount(stream.slot, minlength=chunks).cumsum(0).tolist()
    for i in range(chunks):
        past, own = i * per_chunk, slice(i * per_chunk, (i + 1) * per_chunk)
        end = slot_end[i]
        keys = torch.cat((text_key[:, :end], key[:, :past]), 1)
        values = torch.cat((text_value[:, :end], value[:, :past]), 1)
        mask = torch.ones(len(key), 1, 1, end + past + per_chunk, dtype=torch.bool, device=key.device)
        mask[..., :end] = visible[:, None, None, :end]
        clean_out.append(attend(query[:, own], torch.cat((keys, key[:, own]), 1),
                                torch.cat((values, value[:, own]), 1), mask))
        if i and query.shape[1] > split:
            there = slice(split + own.start - per_chunk, split + own.stop - per_chunk)
            noisy_out.append(attend(query[:, there], torch.cat((keys, key[:, there]), 1),
                                    torch.cat((values, value[:, there]), 1), mask))
    return torch.cat((*clean_out, *noisy_out), 1)
