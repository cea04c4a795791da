"""A candidate's prompt as it is served: prompt.json, and the retriever as a graph of its own.

    attach(tokenizer, {name: bytes})        # of a model's folder or a package
    prompting.of(tokenizer).asked(rows)

Torch and ONNX Runtime answer with the same retriever, run by ONNX Runtime on the CPU, so that both
put the same examples before a question.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.errors import IntegrityError
from onward.recipes.prompting import Prompt

SCHEMA = 1
NAME = "prompt.json"
RETRIEVER = ("retriever.onnx", "retriever.json")
"""The graph and its tokenizer.json."""

FILES = (NAME, *RETRIEVER)

_TOKENS = 256
"""Of a text that is embedded."""

_BATCH = 32


class Retriever:
    """Texts to embeddings."""

    def __init__(self, runtime: Any, tokenizer: Any) -> None:
        self._runtime, self._tokenizer = runtime, tokenizer
        self._names = [one.name for one in runtime.get_inputs()]

    @staticmethod
    def of(held: Mapping[str, bytes], *, where: str) -> Retriever:
        """From the bytes of RETRIEVER. Raises IntegrityError: they are none."""
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            runtime = onnxruntime.InferenceSession(
                held[RETRIEVER[0]], options, providers=["CPUExecutionProvider"]
            )
            tokenizer = Tokenizer.from_str(held[RETRIEVER[1]].decode())
        except Exception as error:  # both libraries raise bare ones
            raise IntegrityError(
                f"The retriever of the prompt cannot be loaded: {str(error)[:200]}",
                where=where,
                fix="`onward repair` brings the recorded files back, or export again",
            ) from error
        tokenizer.enable_truncation(_TOKENS)
        tokenizer.enable_padding()
        return Retriever(runtime, tokenizer)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[B, D] of length one, alike lengths run together."""
        order = sorted(range(len(texts)), key=lambda n: (len(texts[n]), n))
        found: dict[int, NDArray[np.float32]] = {}
        for first in range(0, len(order), _BATCH):
            part = order[first : first + _BATCH]
            encoded = self._tokenizer.encode_batch([texts[n] for n in part])
            arrays = {
                "input_ids": [one.ids for one in encoded],
                "token_type_ids": [one.type_ids for one in encoded],
                "attention_mask": [one.attention_mask for one in encoded],
            }
            inputs = {name: np.array(arrays[name], dtype=np.int64) for name in self._names}
            (made,) = self._runtime.run(["embedding"], inputs)
            found.update(zip(part, made, strict=True))
        return np.stack([found[n] for n in range(len(texts))])


def of_folder(folder: Path) -> dict[str, bytes]:
    """The bytes of a model folder's prompt; nothing where it has none."""
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}


def attach(tokenizer: Any, held: Mapping[str, bytes], *, where: str) -> Any:
    """The tokenizer with the prompt of these files, where there is one.

    Raises:
        IntegrityError: prompt.json is not what this release writes, or the retriever is none.
    """
    if NAME not in held:
        return tokenizer
    try:
        told = json.loads(held[NAME])
        if told["schema"] != SCHEMA:
            raise ValueError(f"schema {told['schema']!r}")
        vectors = np.frombuffer(base64.b64decode(told["embedded"]), dtype="<f4")
        embedded = vectors.reshape(len(told["examples"]), told["width"])
        wording = {key: str(told[key]) for key in ("question", "answer", "take")}
        shots, examples = int(told["shots"]), tuple(told["examples"])
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{NAME} cannot be read: {str(error)[:200]}",
            where=where,
            fix="use the release that wrote it, or `onward repair`",
        ) from error
    retriever = Retriever.of(held, where=where) if examples else None
    tokenizer.prompt = Prompt(
        **wording,
        shots=shots,
        examples=examples,
        embedded=embedded,
        embed=retriever.embed if retriever else None,
    )
    return tokenizer
