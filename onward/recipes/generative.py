"""Models that generate: what one is made of, as graphs with a key-value cache of plain tensors.

A causal model is one graph, `model`: it reads a prompt, or one more token, and what it remembers of
those before. An encoder-decoder is two: `encoder` reads the source once and gives what each layer
of the decoder will look up in it; `decoder` reads one token at a time. The same modules run in
torch and are exported, so that onward/runtime/cache.py keeps the books of both.

    input_ids       int64 [B, T]; of a decoder [B, 1]
    attention_mask  int64 [B, P + T], 0 for padding on the left; of a decoder the source's [B, S]
    position_ids    int64 [B, T], of a causal model
    past_key_0 ...  float32 [B, heads, P, width], and past_value_0; P is 0 at the start
    cross_key_0 ... float32 [B, heads, S, width], of a decoder
    logits          float32 [B, V], of the last token
    key_0 ...       float32 [B, heads, P + T, width]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from onward.errors import SettingsError
from onward.recipes import room
from onward.recipes.shapes import ExportSpec

ENCODER = "encoder"
"""The graph that reads the source; absent of a causal model."""

TOKENS = tuple(f"{name}_token_id" for name in ("bos", "eos", "pad", "decoder_start", "forced_bos"))
"""What is read of a model's generation_config.json."""

MOST_AWAY = 1e-3
"""Of the largest logit, by which logits that should be equal may differ: rounding."""


@dataclass(frozen=True)
class Plan:
    """What the loop has to know of a model; stands in a package's package.json."""

    encoder: bool
    """Whether the prompt is read by an encoder."""
    start: tuple[int, ...]
    """Tokens that the decoder of an encoder-decoder is given first."""
    end: tuple[int, ...]
    pad: int
    layers: int
    heads: int
    """Of the keys and values, which may be fewer than those of the queries."""
    width: int
    """Of one head."""
    positions: int | None
    """Tokens that the model has places for, or that each of its layers sees at once: prompt and
    answer together, or each by itself where there is an encoder; None where any number has."""

    @property
    def main(self) -> str:
        """The name of the graph that is asked for every token."""
        return "decoder" if self.encoder else "model"

    def to_json(self) -> dict[str, Any]:
        """For package.json."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Plan:
        """As `to_json` gave it. Raises TypeError or ValueError where it is something else."""
        positions = value["positions"]
        return Plan(
            encoder=bool(value["encoder"]),
            start=tuple(int(one) for one in value["start"]),
            end=tuple(int(one) for one in value["end"]),
            pad=int(value["pad"]),
            layers=int(value["layers"]),
            heads=int(value["heads"]),
            width=int(value["width"]),
            positions=None if positions is None else int(positions),
        )

    def cache(self, *kinds: str) -> list[str]:
        """Names of the cache's tensors of each kind: past, cross, or none for what comes out."""
        return [
            "_".join(filter(None, (kind, part, str(layer))))
            for kind in kinds
            for layer in range(self.layers)
            for part in ("key", "value")
        ]

    def require(self, longest: int, max_new_tokens: int, keys: str = room.KEYS) -> None:
        """Check that prompt and answer fit. Raises SettingsError naming the settings, `keys`."""
        begins = max(0, len(self.start) - 1)
        room.require(self.positions, self.encoder, longest, max_new_tokens, begins, keys=keys)


def plan(model: Any) -> Plan:
    """The plan of a torch model. Raises SettingsError: it names no token that ends an answer."""
    config, generation = model.config, model.generation_config
    encoder = bool(config.is_encoder_decoder)
    own = config if encoder else config.get_text_config(decoder=True)
    end = generation.eos_token_id if generation.eos_token_id is not None else config.eos_token_id
    ends = tuple(end) if isinstance(end, list | tuple) else (end,)
    first = generation.decoder_start_token_id
    if first is None:
        first = config.decoder_start_token_id if encoder else None
    start = (first, generation.forced_bos_token_id) if encoder else ()
    if None in ends or (encoder and first is None):
        raise SettingsError(
            "The model names no token that ends an answer"
            if None in ends
            else "The model names no token that begins an answer",
            where=str(config.name_or_path),
            fix="set eos_token_id and decoder_start_token_id in its generation_config.json",
        )
    queries = getattr(own, "decoder_attention_heads", None) or own.num_attention_heads
    width = getattr(own, "d_kv", None) or getattr(own, "head_dim", None)
    pad = config.pad_token_id if config.pad_token_id is not None else ends[0]
    return Plan(
        encoder=encoder,
        start=tuple(token for token in start if token is not None),
        end=ends,
        pad=pad,
        layers=getattr(own, "decoder_layers", None)
        or getattr(own, "num_decoder_layers", None)
        or own.num_hidden_layers,
        heads=getattr(own, "num_key_value_heads", None) or queries,
        width=width or own.hidden_size // queries,
        positions=room.positions(own),
    )


def away(told: Any, own: Any) -> float:
    """The largest difference of two tensors of logits, as a share of the largest of `own`."""
    own = own.float()
    return float((told.float() - own).abs().max() / own.abs().max().clamp(min=1e-9))


def require(model: Any, name: str) -> None:
    """Refuse a model that says other things token by token than at once.

    What it keeps between tokens must be keys and values of each layer, and its places told by
    `position_ids`; of some it is something else, and they would learn well and answer nonsense,
    or answer otherwise beside a longer prompt.

    Args:
        model: in evaluation mode, on the CPU.
        name: the folder's, for the message.

    Raises:
        SettingsError: naming it.
    """
    import torch

    problem = ""
    tokens = (torch.arange(6)[None] * 7 + 3) % model.get_input_embeddings().num_embeddings
    try:
        with torch.inference_mode():
            made, of = plan(model), parts(model)
            # The second row begins with padding, as shorter prompts of a batch do.
            mask = torch.ones(1 if made.encoder else 2, 6, dtype=torch.int64)
            mask[1:, :2] = 0
            caches = [torch.zeros(len(mask), made.heads, 0, made.width)] * 2 * made.layers
            if made.encoder:
                start = torch.full((1, 1), made.start[0])
                read = of[ENCODER](tokens, mask)
                _, *kept = of[made.main](start, mask, *read, *caches)
                told = of[made.main](tokens[:, :1], mask, *read, *kept)[0]
                said = torch.cat([start, tokens[:, :1]], dim=1)
                whole = [model(input_ids=tokens, attention_mask=mask, decoder_input_ids=said)]
            else:
                both, places = tokens.repeat(2, 1), (mask.cumsum(dim=1) - 1).clamp(min=0)
                _, *kept = of[made.main](both[:, :4], mask[:, :4], places[:, :4], *caches)
                told = of[made.main](both[:, 4:], mask, places[:, 4:], *kept)[0]
                whole = [model(input_ids=tokens[:, at:], use_cache=False) for at in (0, 2)]
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError) as error:
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    else:
        apart = away(told, torch.cat([one.logits[:, -1] for one in whole]))
        problem = f"its logits differ by {apart:.1%}" if not apart < MOST_AWAY else ""
    if problem:
        raise SettingsError(
            f"{name} holds a {model.config.model_type} model, which cannot be asked token by token "
            f"with a cache of keys and values: {problem}",
            where="params.yaml, project.encoder",
            fix="name a model of another architecture, such as llama, qwen2, gpt2, marian or t5",
        )


def require_start(model: Any, tokenizer: Any, name: str) -> None:
    """Refuse an encoder-decoder that would be asked after other tokens than it learns after.

    What it learns after is the tokenizer's to write, such as a mark of the language; what it is
    asked after stands in its configuration.

    Raises:
        SettingsError: naming both.
    """
    import torch

    if not hasattr(model, "prepare_decoder_input_ids_from_labels"):
        return
    told = torch.tensor([tokenizer(text_target="a")["input_ids"]])
    asked = list(plan(model).start)
    learned = model.prepare_decoder_input_ids_from_labels(told)[0].tolist()[: len(asked)]
    if learned != asked:
        after, other = (" ".join(tokenizer.convert_ids_to_tokens(one)) for one in (learned, asked))
        raise SettingsError(
            f"{name} would learn answers that begin after {after}, and write after {other}",
            where="tokenizer_config.json and generation_config.json of project.encoder",
            fix="name in both the language that is written, as tgt_lang and as "
            "decoder_start_token_id or forced_bos_token_id; or leave forced_bos_token_id out",
        )


def tokens_alone(model: Any) -> Any:
    """The model, knowing of its generation_config.json no more than TOKENS.

    How it was sampled elsewhere is not read here, and the library may refuse to save it again.
    """
    from transformers import GenerationConfig

    own = model.generation_config
    named = {name: getattr(own, name, None) for name in TOKENS}
    model.generation_config = GenerationConfig(**{k: v for k, v in named.items() if v is not None})
    return model


def graphs(model: Any) -> list[ExportSpec]:
    """The graphs of a model that generates; the first one is asked for every token."""
    made = plan(model)
    tokens = ("input_ids", "attention_mask")
    told = ("logits", *made.cache(""))
    if not made.encoder:
        inputs = (*tokens, "position_ids", *made.cache("past"))
        return [ExportSpec(made.main, inputs, told, per_token=False, cached=True)]
    inputs = (*tokens, *made.cache("cross", "past"))
    read = tuple(made.cache("cross"))
    return [
        ExportSpec(made.main, inputs, told, per_token=False, cached=True),
        ExportSpec(ENCODER, tokens, read, per_token=False, cached=True),
    ]


def traced(model: Any, spec: ExportSpec) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
    """What torch.onnx.export is given for a graph: module, example inputs, dynamic shapes.

    No example size is 1, which would be taken for a constant, but for that of a decoder's token.
    """
    import torch

    made = plan(model)
    batch, past, length = 2, 7, 5
    if spec.name == "decoder":
        length = 1
    width = past + length if spec.name == "model" else 6
    tensors, shapes = [], []
    for name in spec.inputs:
        kind = name.split("_")[0]
        if kind in ("cross", "past"):
            tensors.append(
                torch.randn(batch, made.heads, past if kind == "past" else 6, made.width)
            )
        elif kind == "attention" or spec.name == ENCODER:
            tensors.append(torch.ones(batch, width, dtype=torch.int64))
        elif kind == "position":
            tensors.append(torch.arange(past, past + length).repeat(batch, 1))
        else:
            tensors.append(torch.full((batch, length), made.end[0], dtype=torch.int64))
        moving = (0, 2) if tensors[-1].dim() == 4 else (0, 1)
        auto = torch.export.Dim.AUTO
        shapes.append({at: auto for at in moving if tensors[-1].shape[at] > 1})
    return parts(model)[spec.name], tuple(tensors), (tuple(shapes),)


def parts(model: Any) -> dict[str, Any]:
    """Name -> the torch module of each graph; inputs and outputs as its ExportSpec has them."""
    import torch

    class Part(torch.nn.Module):
        def __init__(self, does: Callable[..., tuple[Any, ...]]) -> None:
            super().__init__()
            self.model, self.does = model, does

        def forward(self, *inputs: Any) -> tuple[Any, ...]:
            return self.does(self.model, *inputs)

    made = plan(model)
    if not made.encoder:
        return {made.main: Part(_go_on).eval()}
    return {made.main: Part(_write).eval(), ENCODER: Part(partial(_read, made.start[0])).eval()}


def _go_on(model: Any, ids: Any, mask: Any, positions: Any, *past: Any) -> tuple[Any, ...]:
    """A causal model: the last token's logits, and the cache with what was read."""
    remembered = _cache(past)
    told = model(
        input_ids=ids,
        attention_mask=_bias(mask, ids.shape[1], past[0].dtype),
        position_ids=positions,
        past_key_values=remembered,
        use_cache=True,
        logits_to_keep=1,
    )
    return (told.logits[:, -1].float(), *_flat(remembered))


def _read(start: int, model: Any, ids: Any, mask: Any) -> tuple[Any, ...]:
    """An encoder: what each layer of the decoder will look up.

    One step of the decoder fills the cache; of the graph only what fills it is kept.
    """
    import torch
    from transformers.cache_utils import DynamicCache, EncoderDecoderCache
    from transformers.modeling_outputs import BaseModelOutput

    read = model.get_encoder()(input_ids=ids, attention_mask=mask)
    found = EncoderDecoderCache(DynamicCache(), DynamicCache())
    model(
        encoder_outputs=BaseModelOutput(last_hidden_state=read.last_hidden_state),
        attention_mask=mask,
        decoder_input_ids=torch.full_like(ids[:, :1], start),
        past_key_values=found,
        use_cache=True,
    )
    return _flat(found.cross_attention_cache)


def _write(model: Any, ids: Any, mask: Any, *tensors: Any) -> tuple[Any, ...]:
    """A decoder: the logits after a token, and the cache with it.

    The source is looked up in the cache; only its shape is asked for here.
    """
    import torch
    from transformers.cache_utils import EncoderDecoderCache
    from transformers.modeling_outputs import BaseModelOutput

    both = len(tensors) // 2
    found = EncoderDecoderCache(_cache(tensors[both:]), _cache(tensors[:both]))
    found.is_updated = dict.fromkeys(range(both // 2), True)
    shape = (*mask.shape, model.config.hidden_size)
    source = torch.zeros(shape, dtype=tensors[0].dtype, device=mask.device)
    told = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=source),
        attention_mask=mask,
        decoder_input_ids=ids,
        past_key_values=found,
        use_cache=True,
    )
    return (told.logits[:, -1].float(), *_flat(found.self_attention_cache))


def _cache(tensors: Sequence[Any]) -> Any:
    """A cache that holds these keys and values, layer by layer."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    class Layer(DynamicLayer):
        """One that is there from the start, so that no length is asked for while tracing."""

        def __init__(self, key: Any, value: Any) -> None:
            super().__init__()
            self.keys, self.values = key, value
            self.dtype, self.device, self.is_initialized = key.dtype, key.device, True

        def get_seq_length(self) -> int:
            length: int = self.keys.shape[-2]
            return length

    found = DynamicCache()
    found.layers = [Layer(*tensors[at : at + 2]) for at in range(0, len(tensors), 2)]
    return found


def _flat(found: Any) -> tuple[Any, ...]:
    return tuple(t for layer in found.layers for t in (layer.keys, layer.values))


def _bias(mask: Any, length: int, dtype: Any) -> Any:
    """What is added to attention [B, 1, T, P + T]: nothing where a token may be looked at.

    Made here and not by the model, because a row of padding may look at nothing: with the lowest
    finite number it comes out as some average that nobody reads, with an infinite one as NaN.
    """
    import torch

    width = mask.shape[1]
    places = torch.arange(width, device=mask.device)
    queries = torch.arange(length, device=mask.device) + (width - length)
    seen = (places[None, :] <= queries[:, None])[None, None] & (mask[:, None, None, :] > 0)
    low = torch.finfo(dtype).min
    return torch.where(seen, 0.0, low).to(dtype)
