"""The planner: a chat language model reads the story so far and writes what is seen next, or lets the plan go on.

It knows nothing of frames and no grammar: a line is any one line of words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tv2tv_core.engine.backend import ThinkOptions, Thought
from tv2tv_core.engine.pretrained.quiet import quiet
from tv2tv_core.errors import WeightsError
from tv2tv_core.plan import MAX_LENGTH
from tv2tv_core.timeline import ChunkSegment, History, IntentSegment

LINE_TOKENS = 64
STORY_LINES = 24  # lines of the past that are shown; older ones are left out
KEEP = frozenset({"keep", "keep going", "continue", "go on", "same", "no change"})
_BEFORE = " \t\r\n\"'“”‘’«»*-–—•#>`"  # what chat models put around a line
_SENTENCE = re.compile(r"(?<=[.!?])\s")
_AFTER = " \t\"'“”‘’«»*`"
_RULES = """You direct one unbroken film shot. Whenever I name a second, answer with one short line: who or what is seen, \
what it does, how the camera moves. Answer KEEP when what is seen should simply go on."""
# What a good answer looks like: small models learn it from the example alone. Its subject must not be anybody's film.
_EXAMPLE = (
    ("An old lighthouse keeper on a stormy evening", "The keeper climbs the spiral stairs with a lantern, the camera follows."),
    ("", "He reaches the top and wipes the rain from the glass, close-up of his hands."),
    ("", "KEEP"),
    ("", "A ship's light blinks far out at sea, the camera pushes slowly in."),
)


class Planner:
    """A causal language model with its tokenizer. The same history, options and model give the same line.

    `model` gives `logits` and `past_key_values`; `tokenizer` may bring a chat template, without one the request stands
    alone.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        named = getattr(model.generation_config, "eos_token_id", None)
        ends = named if isinstance(named, list) else [named]
        self._ends = {end for end in [*ends, tokenizer.eos_token_id] if end is not None}

    @torch.inference_mode()
    def think(
        self, history: History, seconds: float, options: ThinkOptions, check: Callable[[], None]
    ) -> Iterator[str | Thought]:
        """Yield the next line piece by piece, then the `Thought`. `seconds`: how long a chunk plays."""
        generator = torch.Generator().manual_seed(options.seed)
        device = next(self.model.parameters()).device
        tokens = self.tokenizer(self.ask(history, seconds), add_special_tokens=False, return_tensors="pt").input_ids
        tokens, cache = tokens.to(device), None
        ids: list[int] = []
        shown = ""
        while len(ids) < LINE_TOKENS:
            check()
            out = self.model(input_ids=tokens, past_key_values=cache, use_cache=True)
            token = sample(out.logits[0, -1].float().cpu(), options, generator)
            if token in self._ends:
                break
            ids.append(token)
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
            line = first_line(text)
            if len(line) > len(shown) and line.startswith(shown) and not line.endswith("\N{REPLACEMENT CHARACTER}"):
                yield line[len(shown) :]
                shown = line
            if len(line) >= MAX_LENGTH or len(line) < len(text.lstrip(_BEFORE)):
                break  # the first sentence is complete
            tokens, cache = torch.tensor([[token]], device=device), out.past_key_values
        line = tidy(shown)
        goes_on = line.rstrip(".!").casefold() in KEEP or line in ("", history.plan)
        yield Thought(None if goes_on else line)

    def ask(self, history: History, seconds: float) -> str:
        """The request as the model reads it: rules, an example, then the film so far as a conversation about it."""
        talk = conversation(history, seconds)
        if not getattr(self.tokenizer, "chat_template", None):
            return "\n".join(turn["content"] for turn in talk) + "\n"
        # Models that reason aloud are asked not to; other templates do not look at the word.
        return self.tokenizer.apply_chat_template(talk, add_generation_prompt=True, tokenize=False, enable_thinking=False)

    def unload(self) -> None:
        """Let go of the model."""
        self.model = None


def load_planner(folder: Path | None) -> Planner:
    """A planner from a folder in the format of transformers; None: the language model that comes with the studio.

    Raises WeightsError.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet()
    if folder is None:
        return _embedded()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise WeightsError(f"{folder} holds no language model that this version can load ({reason}).") from error
    return Planner(model.eval().requires_grad_(False), tokenizer)


def sample(logits: torch.Tensor, options: ThinkOptions, generator: torch.Generator) -> int:
    """One token by temperature and nucleus sampling from logits [V]; the likeliest at temperature 0."""
    if options.temperature == 0:
        return int(logits.argmax())
    probabilities = (logits / options.temperature).softmax(-1)
    ordered, index = probabilities.sort(descending=True, stable=True)
    keep = ordered.cumsum(0) - ordered < options.top_p
    return int(index[torch.multinomial(ordered * keep, 1, generator=generator)])


def first_line(text: str) -> str:
    """The first sentence of the first line of what a chat model wrote, without what it puts before it."""
    line = _SENTENCE.split(text.lstrip(_BEFORE).split("\n")[0], maxsplit=1)[0]
    return "".join(character if character.isprintable() else " " for character in line)


def tidy(line: str) -> str:
    """A line ready to be a plan line: single blanks, no closing quotes, cut between words at the allowed length."""
    line = " ".join(line.split()).rstrip(_AFTER)
    return line if len(line) <= MAX_LENGTH else line[: MAX_LENGTH + 1].rpartition(" ")[0] or line[:MAX_LENGTH]


def conversation(history: History, seconds: float) -> list[dict[str, str]]:
    """The turns of a chat whose next answer is the next plan line. Roles are "user" and "assistant" by turns."""
    turns: list[tuple[str, str]] = []
    for i, (film, line) in enumerate(_EXAMPLE):
        turns.append((f"{_RULES}\n\nFilm: {film}\nSecond 0?" if film else f"Second {i * seconds:g}?", line))
    begin = f"A new film: {history.prompt or 'anything you like'}\n"
    rows: list[tuple[str, str]] = []
    index, wish = 0, ""
    for segment in history:
        if isinstance(segment, ChunkSegment):
            index = segment.index + 1
        elif isinstance(segment, IntentSegment):
            wish = f" From now on: {segment.text}"
        else:
            rows.append((f"Second {index * seconds:g}?{wish}", segment.text))
            wish = ""
    rows = [*rows[-STORY_LINES:], (f"Second {index * seconds:g}?{wish}", "")]
    rows[0] = (begin + rows[0][0], rows[0][1])
    flat = [(role, text) for question, answer in [*turns, *rows] for role, text in (("user", question), ("assistant", answer))]
    return [{"role": role, "content": text} for role, text in flat[:-1]]


def _embedded() -> Planner:
    """SmolLM2-135M-Instruct, the pretrained text tower of the embedded model, on the CPU."""
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

    from tv2tv_core.model.config import TextConfig
    from tv2tv_core.model.smollm2 import ensure_cached

    folder, sizes = ensure_cached(), TextConfig()
    config = LlamaConfig(
        vocab_size=sizes.vocab,
        hidden_size=sizes.width,
        intermediate_size=sizes.ffn,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        max_position_embeddings=8192,
        rms_norm_eps=sizes.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.rope_theta},
        tie_word_embeddings=sizes.tied,
        eos_token_id=sizes.eos,
    )
    state = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    model = LlamaForCausalLM(config)
    missing, unknown = model.load_state_dict(state | {"lm_head.weight": state["model.embed_tokens.weight"]}, strict=False)
    if missing or unknown:
        raise WeightsError(f"the embedded language model does not fit this version of transformers ({[*missing, *unknown][0]})")
    model.generation_config = GenerationConfig(eos_token_id=sizes.eos)
    return Planner(model.eval().requires_grad_(False), AutoTokenizer.from_pretrained(folder, local_files_only=True))
