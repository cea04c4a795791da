"""Every tuning: what it moves, what its folder keeps, that a resumed training is the same one."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from onward import files
from onward.config import Finetune
from onward.errors import IntegrityError, SettingsError, TrainingError
from onward.learning import checkpoints, models, orphan, tunings
from onward.learning.parts import named as parts
from onward.learning.parts import prefix
from onward.learning.structures import adapters
from onward.learning.trainer import Task, fit
from onward.recipes import classification, extractive
from onward.registry import adopt
from onward.runtime import graph
from tests.learning.test_trainer import COLLATE, alike, settings, weights, windows

PARTS = ("bottleneck", "prompt", "prefix")
SMALL = {"lora_rank": 2, "bottleneck_size": 4, "virtual_tokens": 3}
ADDED = {"bottleneck": 2 * 2 * (2 * 32 * 4 + 4 + 32), "prompt": 3 * 32, "prefix": 2 * 2 * 3 * 32}
"""Parameters of two layers of width 32."""

MOVED = {
    "bitfit": "bias$",
    "dora": r"(query|value)\.weight$",
    "ia3": r"(key\.weight|value\.weight|output\.dense\.weight)$",
    "bottleneck": "LayerNorm",
    "prompt": "^$",
    "prefix": "^$",
}
"""The base's weights that a tuning moves, merged; a toy's biases are 0, which no factor moves."""

QUICK = ("dora", "prefix")
"""Tried by default."""


def each(tunings: tuple[str, ...]) -> list[Any]:
    """Those of QUICK by default, the others in the slow tests."""
    return [pytest.param(t, marks=() if t in QUICK else pytest.mark.slow) for t in tunings]


def tuned(tuning: str, **more: Any) -> Finetune:
    return settings(tuning=tuning, **SMALL, **more)


@pytest.fixture
def lesson(toy_encoder: Path, tmp_path: Path) -> Task:
    work = tmp_path / "work"
    work.mkdir()
    return Task(
        build=lambda: extractive.build(toy_encoder, {"dropout": 0.0}),
        data=windows(tmp_path, "train", alike(16, 1), toy_encoder),
        stopping=None,
        rate=0.01,
        epochs=2,
        collate=COLLATE,
        work=work,
    )


def answers(model: Any, length: int = 12) -> torch.Tensor:
    """Of a batch of two texts, the second one padded from `length` to 20."""
    tokens = torch.arange(5, 45).reshape(2, 20)
    mask = torch.ones_like(tokens)
    mask[1, length:] = 0
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=tokens, attention_mask=mask)["start_logits"]
    return found


@pytest.mark.parametrize(
    "tuning", each(("bitfit", "dora", "ia3", "bottleneck", "prompt", "prefix"))
)
def test_it_moves_what_it_says_and_is_the_same_after_a_stop(
    tuning: str, lesson: Task, toy_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tuned(tuning)
    at = iter([False, True])
    with monkeypatch.context() as change:
        change.setattr(orphan.Starter, "gone", lambda self: next(at))
        with pytest.raises(TrainingError, match="stopped after step 2"):
            fit(lesson, chosen)
    resumed = fit(lesson, chosen)
    files.remove(lesson.work / checkpoints.FINISHED)
    through = fit(lesson, chosen)
    one, other = weights(resumed.model), weights(through.model)
    assert one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)

    plain = weights(extractive.build(toy_encoder, {}))
    # The key's bias adds the same to every score of a query: it has no gradient.
    base = {n for n in plain if not n.startswith("qa_outputs") and not n.endswith("key.bias")}
    moved = {name for name in base if not torch.equal(plain[name], one[name])}
    assert moved == {name for name in base if re.search(MOVED[tuning], name)}
    assert {name for name in one if parts.MARK in name} == set(one) - set(plain)
    if tuning in PARTS:
        assert through.sizes["adapter_parameters"] == ADDED[tuning]
    assert through.sizes["trainable"] < 0.25 * through.sizes["parameters"]


BESIDE = {
    "bitfit": r"bias$",
    "lora": r"(query|value)\.lora_[AB]\.",
    "dora": r"(query|value)\.lora_(A|B|magnitude_vector)\.",
    "ia3": r"(key|value|output\.dense)\.ia3_l\.",
    "bottleneck": r"LayerNorm|output\.dense\.added_bottleneck\.",
    "prompt": r"embeddings\.added_prompt$",
    "prefix": r"attention\.self\.added_(keys|values)$",
}
"""What may move beside the head."""


@pytest.mark.parametrize("tuning", BESIDE)
def test_that_alone_may_move_and_all_of_it(tuning: str, toy_encoder: Path) -> None:
    model = tunings.apply(extractive.build(toy_encoder, {}), tuned(tuning))
    below = {name: p for name, p in model.named_parameters() if "qa_outputs" not in name}
    moving = {name for name, p in below.items() if p.requires_grad}
    assert moving == {name for name in below if re.search(BESIDE[tuning], name)}
    assert any("magnitude" in name for name in moving) == (tuning == "dora")
    head = [p for name, p in model.named_parameters() if "qa_outputs" in name]
    assert any(p.requires_grad for p in head)


def test_low_rank_weights_are_scaled_and_dropped_out_as_the_settings_say(toy_encoder: Path) -> None:
    chosen = tuned("lora", lora_alpha=10, dropout=0.3)
    model = tunings.apply(extractive.build(toy_encoder, {"dropout": 0.0}), chosen)
    name, module = next((n, m) for n, m in model.named_modules() if hasattr(m, "get_delta_weight"))
    up, down = module.lora_B["default"].weight, module.lora_A["default"].weight
    with torch.no_grad():
        up += torch.randn_like(up)
    added = tunings.changes(model, "cpu")[f"{tunings._plain(name)}.weight"]()
    assert torch.allclose(added, 10 / 2 * up @ down, atol=1e-5)
    assert module.lora_dropout["default"].p == 0.3


def test_a_prompt_is_vectors_before_the_embedded_text(toy_encoder: Path) -> None:
    """Every token attends to them, padding to the right of a text included; places stay."""
    plain = extractive.build(toy_encoder, {}).eval()
    tokens, mask = torch.arange(5, 45).reshape(2, 20), torch.ones(2, 20, dtype=torch.int64)
    mask[1, 12:] = 0
    drawn = torch.randn(3, 32)
    with torch.no_grad():
        text = plain.bert.embeddings(tokens)
        whole = torch.cat([drawn.expand(2, -1, -1), text], dim=1)
        seen = torch.cat([torch.ones(2, 3, dtype=torch.int64), mask], dim=1)
        wide = (1.0 - seen[:, None, None, :].float()) * torch.finfo(torch.float32).min
        hidden = plain.bert.encoder(whole, attention_mask=wide)[0][:, 3:]
        expected = plain.qa_outputs(hidden)[..., 0]
        model = tunings.apply(plain, tuned("prompt")).eval()
        model.bert.embeddings.added_prompt.copy_(drawn)
        found = model(input_ids=tokens, attention_mask=mask)["start_logits"]
    assert torch.allclose(found[0], expected[0], atol=1e-5)
    assert torch.allclose(found[1, :12], expected[1, :12], atol=1e-5)


def test_a_bottleneck_adds_what_two_layers_make_of_a_half(toy_encoder: Path) -> None:
    model = tunings.apply(extractive.build(toy_encoder, {}), tuned("bottleneck")).eval()
    for layer in model.bert.encoder.layer:
        for matrix in (layer.attention.output.dense, layer.output.dense):
            down, _, up = matrix.added_bottleneck
            given = torch.randn(4, matrix.in_features)
            with torch.no_grad():
                up.weight.normal_()
                half = torch.nn.functional.linear(given, matrix.weight, matrix.bias)
                expected = half + up(torch.nn.functional.gelu(down(half)))
                assert torch.allclose(matrix(given), expected, atol=1e-5)


def test_a_prefix_begins_as_keys_and_values_of_words(toy_encoder: Path) -> None:
    """Each head has its own part of them, as it has of the text's."""
    model, read = extractive.build(toy_encoder, {}).eval(), []
    own = model.bert.encoder.layer[1].attention.self
    hooks = [
        m.register_forward_hook(lambda *given: read.append(given[2][0]))
        for m in (own.key, own.value)
    ]
    torch.manual_seed(4)
    with torch.no_grad():
        model.bert(input_ids=torch.randint(model.config.vocab_size, (1, 3)))
    for hook in hooks:
        hook.remove()
    torch.manual_seed(4)
    tunings.apply(model, tuned("prefix"))
    assert torch.allclose(own.added_keys, read[0], atol=1e-6)
    assert torch.allclose(own.added_values, read[1], atol=1e-6)
    split = prefix._split(own.added_keys, torch.zeros(5, 2, 7, 16))
    assert split.shape == (5, 2, 3, 16)
    assert torch.equal(split[4, 1], own.added_keys[:, 16:])


@pytest.mark.parametrize("tuning", each(PARTS))
def test_the_folder_keeps_the_parts_and_they_are_exported(
    tuning: str, toy_encoder: Path, tmp_path: Path
) -> None:
    import onnxruntime

    torch.manual_seed(0)
    model = tunings.apply(extractive.build(toy_encoder, {}), tuned(tuning))
    before = answers(model.eval())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if parts.MARK in name:
                weight += 0.3 * torch.randn_like(weight)
    models.save(model, toy_encoder, tmp_path / "made")
    assert {"parts.safetensors", "structure.json"} <= {
        p.name for p in (tmp_path / "made").iterdir()
    }
    assert models.describe(tmp_path / "made")["tuning"] == tuning
    plain = models.read_tensors(tmp_path / "made" / "model.safetensors")
    assert not any(parts.MARK in name for name in plain)

    read = models.load(extractive, tmp_path / "made", {"new_head": False}).eval()
    found = answers(read)
    assert torch.equal(found, answers(model)) and not torch.allclose(found, before, atol=1e-3)
    # What is behind a text's end says nothing to it, and the added ones count as no token.
    assert torch.allclose(found[1, :12], answers(read, length=9)[1, :12]) is False
    with torch.no_grad():
        alone = read(input_ids=torch.arange(25, 37)[None])["start_logits"]
    assert torch.allclose(found[1, :12], alone[0], atol=1e-5)

    exported = graph.export(read, extractive.graphs(read)[0], opset=20)
    assert exported.attention_fused == exported.layers == 2
    session = onnxruntime.InferenceSession(exported.model)
    tokens = np.arange(5, 45).reshape(2, 20)
    mask = np.ones_like(tokens)
    mask[1, 12:] = 0
    feeds = {"input_ids": tokens, "token_type_ids": 0 * tokens, "attention_mask": mask}
    there = session.run(["start_logits"], feeds)[0]
    assert np.abs((there - found.numpy()) * mask).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["roberta", "distilbert", "electra"])
def test_other_architectures_take_parts_and_stay_fused(kind: str) -> None:
    from transformers import AutoConfig, AutoModelForQuestionAnswering

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    more = {"intermediate_size": 64, "vocab_size": 100, "embedding_size": 16}
    if kind == "distilbert":
        sizes, more = {"dim": 32, "n_layers": 2, "n_heads": 2}, {"hidden_dim": 64}
    config = AutoConfig.for_model(kind, max_position_embeddings=64, **sizes, **more)
    for tuning in PARTS:
        torch.manual_seed(0)
        model = AutoModelForQuestionAnswering.from_config(config)
        model = tunings.apply(model, tuned(tuning)).eval()
        found = answers(model)
        with torch.no_grad():
            alone = model(input_ids=torch.arange(25, 37)[None])["start_logits"]
            for name, weight in model.named_parameters():
                if parts.MARK in name:
                    weight += 0.5 * torch.randn_like(weight)
        assert torch.allclose(found[1, :12], alone[0], atol=1e-5), tuning
        assert not torch.equal(answers(model), found), tuning
        made = graph.export(model, extractive.graphs(model)[0], opset=20)
        assert made.attention_fused == made.layers == 2, tuning


def test_a_pooler_reads_the_text_and_not_the_prompt(toy_encoder: Path) -> None:
    model = classification.build(toy_encoder, {"labels": ["a", "b"]}).eval()
    tokens = torch.arange(5, 25)[None]
    with torch.no_grad():
        parts.add(model, parts.Added("prompt", 3))
        found = model.bert(input_ids=tokens)
        first = model.bert.pooler(found.last_hidden_state)
    assert found.last_hidden_state.shape[1] == 20
    assert torch.equal(found.pooler_output, first)


def test_parts_begin_near_the_model_that_they_are_added_to(toy_encoder: Path) -> None:
    """A bottleneck changes nothing at first."""
    model = extractive.build(toy_encoder, {}).eval()
    before = answers(model)
    assert torch.equal(answers(tunings.apply(model, tuned("bottleneck")).eval()), before)


@pytest.mark.parametrize(
    ("change", "fix"),
    [
        ({"tuning": "full"}, "set finetune.tuning to prompt and finetune.virtual_tokens to 3"),
        ({"tuning": "prefix"}, "set finetune.tuning to prompt"),
        ({"virtual_tokens": 4}, "finetune.virtual_tokens to 3"),
    ],
    ids=str,
)
def test_parts_go_on_with_the_same_tuning_alone(
    change: dict[str, Any], fix: str, toy_encoder: Path
) -> None:
    model = tunings.apply(extractive.build(toy_encoder, {}), tuned("prompt"))
    with pytest.raises(SettingsError, match="was tuned by prompt of size 3") as caught:
        tunings.apply(model, tuned("prompt").model_copy(update=change))
    assert fix in caught.value.fix
    assert tunings.apply(model, tuned("prompt")) is model


def test_what_a_model_lacks_is_refused_by_name(toy_encoder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=16, num_hidden_layers=1, **sizes))
    with pytest.raises(SettingsError, match="llama has no biases"):
        tunings.apply(model, tuned("bitfit"))
    with pytest.raises(SettingsError, match="llama has no embedding layer"):
        tunings.apply(model, tuned("prompt"))
    model.config.model_type = "of its own"
    with pytest.raises(SettingsError, match="what IA3 scales in the architecture of its own"):
        tunings.apply(model, tuned("ia3"))


def _other(kind: str, recipe: Any, folder: Path) -> Any:
    """A small drawn classifier of another architecture."""
    from transformers import AutoConfig, AutoModel

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    more = {"intermediate_size": 64, "vocab_size": 100, "embedding_size": 32, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, max_position_embeddings=64, **sizes, **more)
    AutoModel.from_config(config).save_pretrained(folder)
    return recipe.build(folder, {"labels": ["a", "b"]})


def said(model: Any) -> Any:
    with torch.no_grad():
        return model(input_ids=torch.arange(5, 25)[None])["logits"]


@pytest.mark.parametrize("tuning", ["ia3", "lora"])
@pytest.mark.parametrize("kind", ["roberta", "electra"])
def test_a_head_of_several_matrices_is_merged_with_what_it_learned(
    kind: str, tuning: str, tmp_path: Path
) -> None:
    model = tunings.apply(_other(kind, classification, tmp_path), tuned(tuning)).eval()
    before = said(model)
    with torch.no_grad():
        for _, weight in model.named_parameters():
            if weight.requires_grad:
                weight += 0.2 * torch.randn_like(weight)
    learned = said(model)
    assert not torch.allclose(learned, before, atol=1e-3)
    merged = tunings.plain(model)
    assert torch.allclose(said(merged), learned, atol=1e-5)
    assert not any("ia3_" in name or "modules_to_save" in name for name in merged.state_dict())


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_text_says_the_same_with_a_prefix_alone_padded_and_exported(
    kind: str, tmp_path: Path
) -> None:
    """A decoder's tokens see the prefix and those before them, also where there is no padding."""
    import onnxruntime

    model = tunings.apply(_other(kind, classification, tmp_path), tuned("prefix")).eval()
    tokens = torch.arange(5, 45).reshape(2, 20)
    tokens[0, 12:] = 0
    mask = (tokens > 0).long()
    changed = tokens[:1, :12].clone()
    changed[0, 9:11] = 50
    with torch.no_grad():
        found = model(input_ids=tokens, attention_mask=mask)["logits"]
        for alone in ({}, {"attention_mask": mask[:1, :12]}):
            said = model(input_ids=tokens[:1, :12], **alone)["logits"]
            assert torch.allclose(said, found[:1], atol=1e-6)
        # The last tokens of a text say something, too.
        assert not torch.allclose(model(input_ids=changed)["logits"], found[:1], atol=2e-6)
    exported = graph.export(model, classification.graphs(model)[0], opset=20)
    assert exported.attention_fused == exported.layers == 2
    session = onnxruntime.InferenceSession(exported.model)
    given = {"input_ids": tokens, "token_type_ids": 0 * tokens, "attention_mask": mask}
    names = [one.name for one in session.get_inputs()]
    for rows, length in ((2, 20), (1, 12)):
        feeds = {name: given[name][:rows, :length].numpy() for name in names}
        (there,) = session.run(["logits"], feeds)
        assert np.abs(there - found[:rows].numpy()).max() < 1e-5


def _of_two_halves(folder: Path) -> Any:
    """A small drawn BART that classifies, its decoder the longer half."""
    from transformers import BartConfig, BartModel

    half = {"attention_heads": 2, "ffn_dim": 64}
    both = {f"{name}_{key}": size for name in ("encoder", "decoder") for key, size in half.items()}
    marks = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    more = {"d_model": 32, "vocab_size": 100, "max_position_embeddings": 64, "init_std": 0.3}
    torch.manual_seed(0)
    config = BartConfig(encoder_layers=2, decoder_layers=3, **both, **marks, **more)
    BartModel(config).save_pretrained(folder)
    return classification.build(folder, {"labels": ["a", "b"]})


@pytest.mark.parametrize("tuning", ["bottleneck", "prefix"])
def test_both_halves_of_an_encoder_decoder_take_parts_learn_and_are_exported(
    tuning: str, toy_encoder: Path, tmp_path: Path
) -> None:
    """A decoder without its own failed at the first text."""
    import onnxruntime

    model = tunings.apply(_of_two_halves(tmp_path / "bart"), tuned(tuning)).eval()
    added = {name: p for name, p in model.named_parameters() if parts.MARK in name}
    assert {name.rpartition(".layers.")[0] for name in added} == {"model.encoder", "model.decoder"}
    attentions = 2 + 2 * 3
    assert len(added) == (2 * attentions if tuning == "prefix" else 4 * (attentions + 2 + 3))
    tokens = torch.arange(5, 45).reshape(2, 20)
    tokens[0, 11], tokens[1, 19] = 2, 2
    tokens[0, 12:] = 0
    mask = (tokens > 0).long()
    given = {"input_ids": tokens, "attention_mask": mask, "labels": torch.tensor([0, 1])}
    before = {name: p.detach().clone() for name, p in added.items()}
    step = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)
    losses = []
    for _ in range(5):
        step.zero_grad()
        loss = model(**given)["loss"]
        loss.backward()
        step.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert not [name for name, p in added.items() if torch.equal(p, before[name])]

    models.save(model, toy_encoder, tmp_path / "made")
    read = models.load(classification, tmp_path / "made", {"new_head": False}).eval()
    given.pop("labels")
    with torch.no_grad():
        found = read(**given)["logits"]
        assert torch.equal(found, model(**given)["logits"])
        alone = read(input_ids=tokens[:1, :12])["logits"]
    assert torch.allclose(alone, found[:1], atol=1e-5)
    exported = graph.export(read, classification.graphs(read)[0], opset=20)
    assert exported.attention_fused == attentions
    feeds = {name: value.numpy() for name, value in given.items()}
    (there,) = onnxruntime.InferenceSession(exported.model).run(["logits"], feeds)
    assert np.abs(there - found.numpy()).max() < 1e-5


@pytest.mark.parametrize("kind", ["albert", "deberta-v2", "modernbert"])
def test_an_encoder_that_cannot_read_a_prompt_is_refused(kind: str, tmp_path: Path) -> None:
    """Its layers count the text's tokens by themselves, or its pooler takes no whole text."""
    model = _other(kind, classification, tmp_path)
    with pytest.raises(SettingsError, match=f"{kind} cannot read a prompt") as caught:
        tunings.apply(model, tuned("prompt"))
    assert caught.value.fix == "choose lora, or another encoder"


@pytest.fixture
def poolerless(toy_encoder: Path, tmp_path: Path) -> Path:
    """The toy without its pooler, as e5 is published."""
    from transformers import BertModel

    folder = tmp_path / "poolerless"
    BertModel.from_pretrained(toy_encoder, add_pooling_layer=False).save_pretrained(folder)
    models.copy_tokenizer(toy_encoder, folder)
    return folder


@pytest.mark.parametrize(
    "tuning", ["bitfit", "lora", "dora", "ia3", "bottleneck", "prompt", "prefix"]
)
def test_a_pooler_that_was_drawn_moves_with_the_head_and_in_the_next_turn(
    tuning: str, poolerless: Path, toy_encoder: Path, tmp_path: Path
) -> None:
    labels = {"labels": ["a", "b"]}
    model = tunings.apply(classification.build(poolerless, labels), tuned(tuning)).eval()
    before = {n: w.clone() for n, w in tunings.plain(deepcopy(model)).state_dict().items()}
    moving = [p for p in model.parameters() if p.requires_grad]
    step = torch.optim.SGD(moving, lr=0.5)
    given = {"input_ids": torch.arange(5, 25)[None], "labels": torch.tensor([1])}
    model(**given).loss.backward()
    step.step()
    learned = said(model)
    merged = tunings.plain(model)
    assert torch.allclose(said(merged), learned, atol=1e-5)
    for name in ("bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight"):
        assert not torch.equal(merged.state_dict()[name], before[name]), name
    assert not any("modules_to_save" in name for name in merged.state_dict())

    models.save(merged, poolerless, tmp_path / "made")
    read = models.load(classification, tmp_path / "made", {"new_head": False}).eval()
    assert torch.allclose(said(read), learned, atol=1e-5)
    again = tunings.apply(read, tuned(tuning))
    moves = {tunings._plain(name) for name, p in again.named_parameters() if p.requires_grad}
    assert "bert.pooler.dense.weight" in moves
    held = tunings.apply(classification.build(toy_encoder, labels), tuned(tuning))
    moves = {tunings._plain(name) for name, p in held.named_parameters() if p.requires_grad}
    assert "bert.pooler.dense.weight" not in moves, "one that came with the encoder stays"


def test_adapters_stand_on_one_pooler(poolerless: Path, toy_encoder: Path, tmp_path: Path) -> None:
    model = classification.build(poolerless, {"labels": ["a", "b"]})
    models.save(model, toy_encoder, tmp_path / "made")
    job: Any = SimpleNamespace(source=tmp_path / "made", seed=0, work=tmp_path / "work")
    (tmp_path / "work").mkdir()
    root = adapters._root(job)
    apart = tunings.apply(classification.build(root, {"labels": ["a", "b"]}), tuned("lora"))
    moves = {tunings._plain(name) for name, p in apart.named_parameters() if p.requires_grad}
    assert "classifier.weight" in moves and "bert.pooler.dense.weight" not in moves


def test_a_model_without_a_pooler_is_built_from_one_that_had_it(
    poolerless: Path, tmp_path: Path
) -> None:
    model = classification.build(poolerless, {"labels": ["a", "b"]})
    models.save(model, poolerless, tmp_path / "made")
    tunings.apply(extractive.build(tmp_path / "made", {}), tuned("lora"))
    tunings.apply(extractive.build(tmp_path / "made", {}), tuned("bitfit"))


def test_a_bottleneck_stands_behind_both_halves_of_mpnet(tmp_path: Path) -> None:
    model = tunings.apply(_other("mpnet", classification, tmp_path), tuned("bottleneck"))
    assert tunings.sizes(model)["adapter_parameters"] == ADDED["bottleneck"]


@pytest.fixture
def folder(toy_encoder: Path, tmp_path: Path) -> Path:
    model = tunings.apply(extractive.build(toy_encoder, {}), tuned("prefix"))
    models.save(model, toy_encoder, tmp_path / "made")
    return tmp_path / "made"


def test_damaged_parts_are_refused(folder: Path) -> None:
    held = models.read_tensors(folder / parts.FILE)
    name = next(iter(held))
    models.write_tensors(folder / parts.FILE, {**held, name: held[name][:2]})
    with pytest.raises(IntegrityError, match=f"do not fit the model: {name}"):
        models.load(extractive, folder, {})
    (folder / parts.FILE).unlink()
    with pytest.raises(IntegrityError, match=r"parts\.safetensors cannot be read"):
        models.load(extractive, folder, {})


def test_the_encoder_below_parts_is_not_read_without_them(folder: Path) -> None:
    with pytest.raises(SettingsError, match="The base was tuned by prefix"):
        adapters._root(SimpleNamespace(source=folder))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="tuned by prefix"):
        models.require_no_parts(folder)


def test_a_model_with_parts_is_not_adopted_without_them(folder: Path, tmp_path: Path) -> None:
    from onward.project import Project

    with pytest.raises(SettingsError, match="of structure parts"):
        adopt._check(Project(tmp_path), folder)
