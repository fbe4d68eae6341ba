"""One layer of a tower: its own norms, projections and feed-forward; attention itself is shared and lives elsewhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tv2tv_core.model.config import TextConfig


class AdaptedLinear(nn.Linear):
    """A bias-free linear layer with an optional low-rank addition (LoRA, 2106.09685) that is zero at initialisation."""

    def __init__(self, inputs: int, outputs: int, rank: int = 0) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.rank = rank
        if rank:
            self.adapter_down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
            self.adapter_up = nn.Parameter(torch.zeros(outputs, rank))

    @torch.no_grad()
    def merge(self) -> None:
        """Add the adapter into the weight and drop it: the same function, cheaper."""
        if self.rank:
            self.weight += (self.adapter_up @ self.adapter_down).to(self.weight.dtype)
            self.rank = 0
            del self.adapter_up, self.adapter_down

    def forward(self, x: Tensor) -> Tensor:
        """x [..., inputs] → [..., outputs]."""
        out = F.linear(x, self.weight)
        if self.rank:
            out = out + F.linear(F.linear(x, self.adapter_down.to(x.dtype)), self.adapter_up.to(x.dtype))
        return out


class TowerLayer(nn.Module):
    """Pre-norm transformer layer without its attention step: `project` before it, `complete` after it.

    Shapes: x [B, S, width]; queries [B, S, heads, head_dim]; keys and values [B, S, kv_heads, head_dim]. Keys come out
    unrotated, because cached keys are rotated anew for each window. `qk_norm` normalises queries and keys per head.
    """

    def __init__(self, width: int, ffn: int, geometry: TextConfig, *, qk_norm: bool = False, rank: int = 0) -> None:
        super().__init__()
        heads, kv_heads, head_dim, eps = geometry.heads, geometry.kv_heads, geometry.head_dim, geometry.norm_eps
        self.head_dim, self.heads = head_dim, (heads, kv_heads, kv_heads)
        self.attention_norm = nn.RMSNorm(width, eps)
        self.query = AdaptedLinear(width, heads * head_dim, rank)
        self.key = AdaptedLinear(width, kv_heads * head_dim, rank)
        self.value = AdaptedLinear(width, kv_heads * head_dim, rank)
        self.output = AdaptedLinear(heads * head_dim, width, rank)
        self.query_norm = nn.RMSNorm(head_dim, eps) if qk_norm else nn.Identity()
        self.key_norm = nn.RMSNorm(head_dim, eps) if qk_norm else nn.Identity()
        self.ffn_norm = nn.RMSNorm(width, eps)
        self.gate = AdaptedLinear(width, ffn, rank)
        self.up = AdaptedLinear(width, ffn, rank)
        self.down = AdaptedLinear(ffn, width, rank)
        self.query_key_value: nn.Linear | None = None  # once settled
        self.gate_up: nn.Linear | None = None

    def settle(self) -> None:
        """Merge adapters and make one layer of those that read the same: the same function, cheaper, for inference alone."""
        for layer in list(self.children()):
            if isinstance(layer, AdaptedLinear):
                layer.merge()
        self.query_key_value, self.gate_up = _one(self.query, self.key, self.value), _one(self.gate, self.up)
        del self.query, self.key, self.value, self.gate, self.up

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, values of x, split into heads, unrotated."""
        normed = self.attention_norm(x)
        if self.query_key_value is None:
            query, key, value = (
                layer(normed).unflatten(-1, (-1, self.head_dim)) for layer in (self.query, self.key, self.value)
            )
        else:
            query, key, value = self.query_key_value(normed).unflatten(-1, (-1, self.head_dim)).split(self.heads, -2)
        return self.query_norm(query), self.key_norm(key), value

    def complete(self, x: Tensor, attended: Tensor) -> Tensor:
        """x after attention [B, S, heads, head_dim] and the feed-forward (SwiGLU)."""
        x = x + self.output(attended.flatten(-2))
        normed = self.ffn_norm(x)
        gate, up = (self.gate(normed), self.up(normed)) if self.gate_up is None else self.gate_up(normed).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


def _one(*layers: nn.Linear) -> nn.Linear:
    """One layer that gives what several give, side by side."""
    weight = torch.cat([layer.weight.detach() for layer in layers])
    joined = nn.Linear(*weight.shape[::-1], bias=False, device="meta")
    joined.weight = nn.Parameter(weight, requires_grad=False)
    return joined


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Grouped-query attention. query [B, Q, heads, d], key and value [B, K, kv_heads, d], mask (True = may look, or a
    bias) broadcastable to [B, heads, Q, K]; result [B, Q, heads, d]."""
    key, value = key.to(query.dtype).transpose(1, 2), value.to(query.dtype).transpose(1, 2)
    if mask is not None and mask.shape[-2] > 1:
        return F.scaled_dot_product_attention(query.transpose(1, 2), key, value, attn_mask=mask,
                                              enable_gqa=True).transpose(1, 2)
    # All queries of a key-value head look at the same keys: one attention over more queries, several times faster on a CPU.
    batch, count, heads, width = query.shape
    shared = key.shape[1]
    folded = query.unflatten(2, (shared, -1)).permute(0, 2, 3, 1, 4).flatten(2, 3)
    if mask is not None and mask.shape[1] > 1:
        mask = mask.expand(-1, -1, count, -1).unflatten(1, (shared, -1)).flatten(2, 3)
    out = F.scaled_dot_product_attention(folded, key, value, attn_mask=mask)
    return out.unflatten(2, (-1, count)).permute(0, 3, 1, 2, 4).reshape(batch, count, heads, width)
