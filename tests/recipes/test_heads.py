"""Heads: drawn anew, loaded, refused, and grown without moving an old weight."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward import files, recipes
from onward.config import Evaluate, Prepare
from onward.errors import DataError, IntegrityError, SettingsError
from onward.learning import encoder, models
from onward.learning.features import Collate
from onward.recipes import classification, extractive, heads, multilabel, regression
from tests import toys

WINDOW = Prepare(max_length=64, stride=16)


def saved(source: Path, folder: Path, recipe: Any, labels: list[str]) -> Path:
    import torch

    torch.manual_seed(1)
    recipe.build(source, {"labels": labels}).save_pretrained(folder)
    for name in encoder.TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    return folder


def batch(source: Path, recipe: Any, rows: list[Any], labels: Any = None) -> dict[str, Any]:
    made = recipe.encode(rows, encoder.tokenizer(source), WINDOW, labels=labels)
    collate = Collate(0, recipe.TARGETS, len(labels or ()))
    found = collate([{k: v for k, v in one.items() if k != "attention_mask"} for one in made])
    return {name: values for name, values in found.items() if name != "rows"}


def test_a_folder_keeps_labels_and_loss(toy_encoder: Path, tmp_path: Path) -> None:
    import torch

    for recipe, problem in (
        (classification, "single_label_classification"),
        (multilabel, "multi_label_classification"),
    ):
        folder = saved(toy_encoder, tmp_path / problem, recipe, ["b", "a", "c"])
        model = recipe.build(folder, {"new_head": False, "dropout": 0.2})
        assert recipe.labels_of(folder) == ("b", "a", "c")
        assert (model.config.problem_type, model.config.hidden_dropout_prob) == (problem, 0.2)
        assert model.classifier.weight.shape == (3, 32) and model.dtype == torch.float32
    folder = saved(toy_encoder, tmp_path / "number", regression, [])
    assert regression.build(folder, {"new_head": False}).classifier.weight.shape == (1, 32)
    assert regression.graphs(model)[0].per_token is False
    assert extractive.graphs(model)[0].per_token is True


def test_D14_a_single_label_can_be_tagged_and_not_told_apart(
    toy_encoder: Path, tmp_path: Path
) -> None:
    folder = saved(toy_encoder, tmp_path / "one", multilabel, ["only"])
    model = multilabel.build(folder, {"new_head": False, "labels": ["only", "second"]})
    assert multilabel.labels_of(folder) == ("only",)
    assert model.classifier.weight.shape == (2, 32)
    with pytest.raises(DataError, match="one label, 'only': there is nothing to tell apart"):
        classification.build(toy_encoder, {"labels": ["only"]})


FORMS: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert"},
    "bert that writes": {"model_type": "bert", "is_decoder": True},
    "llama": {"model_type": "llama"},
    "t5": {"model_type": "t5"},
    "marian": {"model_type": "marian"},
    "vit": {"model_type": "vit"},
    "unheard": {"model_type": "of-tomorrow"},
    "unsaid": {},
}
READ = {"bert", "bert that writes", "llama", "t5"}


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["extractive", "classification", "multilabel", "relation", "regression", "choice"], READ),
        (["tagging"], READ),
        (["chat"], {"bert that writes", "llama"}),
        (["summarization", "translation"], {"t5", "marian"}),
    ],
)
def test_a_recipe_takes_the_architectures_that_have_its_head(
    names: list[str], taken: set[str]
) -> None:
    """What transformers has never heard of is told by what loads it."""
    for name in names:
        kind, found = recipes.get(name).KIND, set()
        for form, described in FORMS.items():
            try:
                heads.require(kind, described, "folder")
            except SettingsError as error:
                assert f"none of the kind {kind.name}" in error.what and error.fix
            else:
                found.add(form)
        assert found - {"unheard", "unsaid"} == taken and {"unheard", "unsaid"} <= found


def test_every_recipe_has_a_kind_of_model() -> None:
    assert {recipes.get(name).KIND.name for name in recipes.NAMES} == {
        *("question-answering", "classification", "regression", "choice", "tagging"),
        *("causal language", "encoder-decoder"),
    }


def test_a_model_of_another_kind_is_no_defect(toy_encoder: Path, toy_causal: Path) -> None:
    for name, folder in (("chat", toy_encoder), ("translation", toy_causal)):
        with pytest.raises(SettingsError, match="model, which is none of the kind"):
            recipes.get(name).build(folder, {})


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("recipe", ["extractive", "classification", "tagging"])
def test_a_folder_that_was_cut_off_is_damaged_and_no_defect(
    toy_encoder: Path, tmp_path: Path, broken: str, recipe: str
) -> None:
    folder = shutil.copytree(toy_encoder, tmp_path / "cut")
    held = (folder / broken).read_bytes()
    cut = b'{"hidden_size": 32}' if broken == "config.json" else held[: len(held) // 2]
    (folder / broken).write_bytes(cut)
    with pytest.raises(IntegrityError, match="of cut cannot be read") as error:
        recipes.get(recipe).build(folder, {"labels": ["a", "b"]})
    assert "again" in error.value.fix


def _tiny(kind: str, folder: Path) -> Any:
    """A random classifier of three labels of another architecture."""
    import torch
    import transformers

    made = {
        "bert": (transformers.BertConfig, {}),
        "roberta": (transformers.RobertaConfig, {"max_position_embeddings": 80}),
        "distilbert": (transformers.DistilBertConfig, {"dim": 32, "hidden_dim": 64, "n_heads": 2,
                                                       "n_layers": 2}),
    }  # fmt: skip
    form, own = made[kind]
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2,
             "num_hidden_layers": 2}  # fmt: skip
    config = form(vocab_size=99, **(own if kind == "distilbert" else {**sizes, **own}))
    config.id2label = dict(enumerate("abc"))
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(folder)
    return model.eval()


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("recipe", [classification, multilabel])
def test_a_grown_head_answers_the_old_labels_as_before(
    kind: str, recipe: Any, tmp_path: Path
) -> None:
    """Every old weight to the bit, and with them the logits of old labels to the last ones.

    A matrix product of another width may add its terms in another order.
    """
    import torch

    old = _tiny(kind, tmp_path)
    torch.manual_seed(5)
    new = recipe.build(tmp_path, {"new_head": False, "labels": [*"abc", "d", "e"]}).eval()
    assert [new.config.id2label[n] for n in range(5)] == [*"abc", "d", "e"]
    before, after = old.state_dict(), new.state_dict()
    assert before.keys() == after.keys()
    larger = [name for name in before if before[name].shape != after[name].shape]
    assert len(larger) == 2
    for name, weight in before.items():
        assert torch.equal(after[name][: len(weight)] if weight.dim() else after[name], weight)
    weights = [after[name][3:] for name in larger if after[name].dim() == 2]
    assert all(weight.abs().sum() > 0 and weight.isfinite().all() for weight in weights)
    tokens = torch.randint(0, 99, (9, 17), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(new(tokens).logits[:, :3], old(tokens).logits, rtol=0, atol=1e-7)
    torch.manual_seed(5)
    again = recipe.build(tmp_path, {"new_head": False, "labels": [*"abc", "d", "e"]})
    assert all(torch.equal(again.state_dict()[name], after[name]) for name in after)


@pytest.mark.parametrize("labels", [["a", "c", "b"], ["a", "b"], ["x", "a", "b", "c"]])
def test_a_base_whose_labels_are_no_beginning_is_refused(labels: list[str], tmp_path: Path) -> None:
    _tiny("bert", tmp_path)
    with pytest.raises(IntegrityError, match="do not begin"):
        classification.build(tmp_path, {"new_head": False, "labels": labels})


@pytest.mark.parametrize("name", ["classification", "multilabel", "regression"])
def test_an_encoder_without_a_head_is_refused(name: str, toy_encoder: Path) -> None:
    with pytest.raises(IntegrityError, match="lacks 2 weights"):
        recipes.get(name).build(toy_encoder, {"new_head": False})


def test_a_head_of_another_form_is_drawn_anew_or_refused(tmp_path: Path) -> None:
    import torch

    _tiny("bert", tmp_path)
    with pytest.raises(IntegrityError, match="lacks 2 weights"):
        regression.build(tmp_path, {"new_head": False})
    torch.manual_seed(0)
    made = regression.build(tmp_path, {"new_head": True})
    assert made.classifier.weight.shape == (1, 32) and made.classifier.weight.isfinite().all()


@pytest.mark.parametrize("name", ["classification", "multilabel", "regression"])
def test_a_toy_model_learns_toy_texts(name: str, toy_encoder: Path) -> None:
    import torch

    torch.set_num_threads(1)
    recipe, rows = recipes.get(name), toys.toy_texts(320, 1, name)
    labels = recipe.vocabulary(rows, [])
    torch.manual_seed(0)
    model = recipe.build(toy_encoder, {"dropout": 0.0, "labels": labels}).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.002)
    for _ in range(12):
        for first in range(0, len(rows), 16):
            part = batch(toy_encoder, recipe, rows[first : first + 16], labels)
            model(**part).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    test = toys.toy_texts(60, 2, name)
    with torch.no_grad():
        logits = model.eval()(**batch(toy_encoder, recipe, test)).logits.numpy()
    told = recipe.decode(
        test,
        [{"row": at} for at in range(60)],
        [{"logits": one} for one in logits],
        Evaluate(),
        labels,
    )
    learned = recipe.common(rows)

    def score(predictions: Any) -> float:
        made = [recipe.statistics(row, one) for row, one in zip(test, predictions, strict=True)]
        return float(recipe.metrics(np.sum(made, axis=0))[recipe.PRIMARY])

    assert score(told) > 80 > 65 > score(recipe.baseline(row, learned) for row in test)


SMALL: dict[str, dict[str, Any]] = {
    "AlbertConfig": {"hidden_size": 32, "embedding_size": 16, "intermediate_size": 64},
    "BertConfig": {"hidden_size": 32, "intermediate_size": 64},
    "DistilBertConfig": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "ElectraConfig": {"hidden_size": 32, "embedding_size": 16, "intermediate_size": 64},
    "GPT2Config": {"n_embd": 32, "n_layer": 2, "n_head": 2},
    "RobertaConfig": {"hidden_size": 32, "intermediate_size": 64},
    "T5Config": {"d_model": 32, "d_kv": 8, "num_layers": 2, "num_heads": 2, "d_ff": 64},
}


@pytest.mark.parametrize("name", SMALL)
def test_dropout_is_that_of_the_settings_in_every_architecture(name: str, tmp_path: Path) -> None:
    import torch
    import transformers as hf

    layers = (
        {"num_hidden_layers": 2, "num_attention_heads": 2} if "hidden_size" in SMALL[name] else {}
    )
    config = getattr(hf, name)(vocab_size=50, pad_token_id=0, **SMALL[name], **layers)
    hf.AutoModel.from_config(config).save_pretrained(tmp_path)
    for rate in (0.0, 0.25):
        model = classification.build(tmp_path, {"dropout": rate, "labels": ["a", "b"]})
        found = {one.p for one in model.modules() if isinstance(one, torch.nn.Dropout)}
        assert found == {rate}


def test_a_decoder_that_names_no_padding_tells_apart_texts_of_unequal_lengths(
    toy_causal: Path, tmp_path: Path
) -> None:
    """It is padded with what ends a text, and looks for the last token before that."""
    import torch

    for path in toy_causal.iterdir():
        shutil.copyfile(path, tmp_path / path.name)
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        told = files.read_json(tmp_path / name)
        unpadded = {key: value for key, value in told.items() if not key.startswith("pad_token")}
        files.write_json(tmp_path / name, unpadded)
    tokenizer = encoder.tokenizer(tmp_path)
    assert tokenizer.pad_token == tokenizer.eos_token
    torch.manual_seed(0)
    model = models.load(classification, tmp_path, {"labels": ["a", "b"]}).eval()
    rows = toys.toy_texts(6, 1)
    rows[0]["text"] = "red"
    made = [
        {name: one[name] for name in ("row", "input_ids", "label")}
        for one in classification.encode(
            rows, tokenizer, WINDOW, labels=["colour", "animal", "city"]
        )
    ]
    collate = Collate(tokenizer.pad_token_id, classification.TARGETS, 3)
    inputs = ("input_ids", "attention_mask")
    with torch.no_grad():
        together = collate(made)
        told = model(**{name: together[name] for name in inputs}).logits
        for at, one in enumerate(made):
            alone = collate([one])
            own = model(**{name: alone[name] for name in inputs}).logits[0]
            torch.testing.assert_close(told[at], own, atol=1e-5, rtol=1e-4)
