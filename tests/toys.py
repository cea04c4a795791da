"""Small stand-ins that behave like the real thing: a two-layer encoder and rows it can learn.

>>> rows = toy_rows(4, seed=1)
>>> rows[0]["context"][rows[0]["starts"][0]:].startswith(rows[0]["answers"][0])
True
"""

from __future__ import annotations

import json
import random
import shutil
import string
from pathlib import Path
from typing import Any

KINDS = {
    "colour": ["red", "blue", "green", "black", "white", "purple"],
    "animal": ["fox", "otter", "heron", "badger", "lynx", "mole"],
    "city": ["paris", "oslo", "lima", "cairo", "kyoto", "quito"],
}
FILLERS = ["the", "note", "says", "that", "it", "was", "seen", "near", "a", "box", "and", "then"]
ASKED = ["what", "which", "is", "named", "in", "?", "."]


def toy_encoder(folder: Path, also: str = "") -> Path:
    """Write a BERT of 2 layers and hidden size 32 with a fast tokenizer; always the same bytes.

    Any English text encodes: the vocabulary has every printable ASCII character, alone and as a
    continuation. `also`: a text whose other characters it has, too, each a token of its own.
    """
    import torch
    from transformers import BertConfig, BertModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    words = _write_tokenizer(folder, also)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # Wider than BERT's 0.02: so small a model starts to learn at once with it.
        config.initializer_range = 0.2
        model = BertModel(config)
    config.initializer_range = 0.02
    model.save_pretrained(folder)
    return folder


def _write_tokenizer(folder: Path, also: str) -> list[str]:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertTokenizerFast

    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [c for c in string.printable if not c.isspace() and not c.isupper()]
    known = [word for kind in KINDS.values() for word in kind] + list(KINDS) + FILLERS + ASKED
    others = sorted({c for c in also if not c.isascii() and not c.isspace()})
    words = list(dict.fromkeys([*marks, *letters, *(f"##{c}" for c in letters), *known, *others]))
    vocab = {word: number for number, word in enumerate(words)}
    fast = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    fast.normalizer = normalizers.BertNormalizer(lowercase=True)
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.decoder = decoders.WordPiece()
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    BertTokenizerFast(tokenizer_object=fast, model_max_length=512).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return words


CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>'"
    " }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def toy_causal(folder: Path, *, template: str | None = CHAT_TEMPLATE, biases: bool = False) -> Path:
    """Write a Llama of 2 layers and hidden size 32 with a tokenizer and a chat template.

    Always the same bytes. Every text encodes: the vocabulary has all bytes.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    marks = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    words = [word for kind in KINDS.values() for word in kind] + list(KINDS) + FILLERS + ASKED
    text = [f"{before}{word}" for word in words for before in ("", " ")]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast.train_from_iterator(
        text, trainers.BpeTrainer(vocab_size=600, special_tokens=marks, initial_alphabet=alphabet)
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=marks[2:],
        model_max_length=512,
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=fast.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
        tie_word_embeddings=True,
        attention_bias=biases,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def toy_talks(n: int, seed: int, titles: int = 8) -> list[dict[str, Any]]:
    """Canonical rows of chat: what kind a thing is of; every third has a turn before.

    Args:
        n: how many rows.
        seed: other seeds give other ids, titles and contexts.
        titles: over how many titles the rows are spread, evenly.
    """
    chance = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(n):
        kind = chance.choice(list(KINDS))
        thing, other = chance.choice(KINDS[kind]), chance.choice(list(KINDS))
        before = [f"what is {chance.choice(KINDS[other])} ?", other] if number % 3 == 2 else []
        rows.append(
            {
                "id": f"talk-{seed}-{number}",
                "title": f"Talk {seed} {number % titles}",
                "context": f"note {seed} {number} ." if number % 2 else None,
                "history": before,
                "question": f"what is {thing} ? {seed} {number}",
                "references": [kind],
            }
        )
    return rows


def toy_rows(
    n: int, seed: int, titles: int = 8, *, no_answer: float = 0.0, contexts: int = 2
) -> list[dict[str, Any]]:
    """Canonical rows: the answer is the one colour, animal or city of the context.

    Args:
        n: how many rows.
        seed: other seeds give other ids, titles and contexts.
        titles: over how many titles the rows are spread, evenly.
        no_answer: share of rows whose context names nothing of the asked kind.
        contexts: questions in a row that share one context (1: a context each).
    """
    chance = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(n):
        if number // titles % contexts == 0 or len(rows) < titles:
            kind = chance.choice(list(KINDS))
            answer, text = chance.choice(KINDS[kind]), _words(chance)
            at = chance.randrange(1, len(text))
            context = " ".join([*text[:at], answer, *text[at:], "."])
            context = f"{context} note {seed} {number} ."
        else:
            twin = rows[number - titles]
            context, kind = twin["context"], _kind(twin)
            answer = next(w for w in context.split() if w in KINDS[kind])
        asked = kind
        empty = chance.random() < no_answer
        if empty:
            asked = chance.choice([other for other in KINDS if other != kind])
        rows.append(
            {
                "id": f"toy-{seed}-{number}",
                "title": f"Toy {seed} {number % titles}",
                "context": context,
                "question": f"{chance.choice(ASKED[:2])} {asked} is named in note {number}?",
                "answers": [] if empty else [answer],
                "starts": [] if empty else [_start(context, answer)],
            }
        )
    return rows


def toy_texts(
    n: int,
    seed: int,
    recipe: str = "classification",
    titles: int = 8,
    kinds: tuple[str, ...] = tuple(KINDS),
) -> list[dict[str, Any]]:
    """Canonical rows of classification, multilabel or regression; every fourth has a pair.

    Args:
        n: how many rows.
        seed: other seeds give other ids, titles and texts.
        recipe: classification: the one kind of thing that the text names; multilabel: the kinds
            (none, some or all); regression: a number by the kind, from -1 to 1.
        titles: over how many titles the rows are spread, evenly.
        kinds: those that occur, so that later episodes can bring new labels.
    """
    chance = random.Random(seed)
    rows = []
    for number in range(n):
        named = [chance.choice(kinds)]
        if recipe == "multilabel":
            named = [kind for kind in kinds if chance.random() < 0.5]
        words = chance.choices(FILLERS, k=3) + [chance.choice(KINDS[kind]) for kind in named]
        chance.shuffle(words)
        text, rest = " ".join(words), None
        if number % 4 == 3:
            text, rest = " ".join(words[:2]), " ".join(words[2:])
        rows.append(
            {
                "id": f"text-{seed}-{number}",
                "title": f"Text {seed} {number % titles}",
                "text": f"{text} note {seed} {number} .",
                "pair": rest,
                **_target(recipe, named),
            }
        )
    return rows


def toy_choices(n: int, seed: int, titles: int = 8) -> list[dict[str, Any]]:
    """Canonical rows of choice: the right option is the one animal among two to five things.

    Args:
        n: how many rows; every third has a context.
        seed: other seeds give other ids, titles and questions.
        titles: over how many titles the rows are spread, evenly.
    """
    chance = random.Random(seed)
    others = KINDS["colour"] + KINDS["city"]
    rows = []
    for number in range(n):
        wrong = chance.sample(others, k=chance.randrange(1, 5))
        answer = chance.randrange(len(wrong) + 1)
        options = [*wrong[:answer], chance.choice(KINDS["animal"]), *wrong[answer:]]
        words, asked = " ".join(_words(chance)), " ".join(chance.choices(FILLERS, k=6))
        rows.append(
            {
                "id": f"choice-{seed}-{number}",
                "title": f"Choice {seed} {number % titles}",
                "context": f"{words} note {seed} {number} ." if number % 3 == 2 else None,
                "question": f"{asked} note {seed} {number} : which animal is named ?",
                "options": options,
                "answer": answer,
            }
        )
    return rows


def toy_tagged(
    n: int, seed: int, titles: int = 8, kinds: tuple[str, ...] = tuple(KINDS)
) -> list[dict[str, Any]]:
    """Canonical rows of tagging: up to three things, each three to five words of one kind.

    A thing begins with one of the first three words of its kind and goes on with others, so that
    there are too many things to know them by heart.

    Args:
        n: how many rows.
        seed: other seeds give other ids, titles and texts.
        titles: over how many titles the rows are spread, evenly.
        kinds: the tags that occur, so that later episodes can bring new ones.
    """
    chance = random.Random(seed)
    rows = []
    for number in range(n):
        text, spans = chance.choice(FILLERS), []
        for _ in range(chance.randrange(4)):
            kind = chance.choice(kinds)
            words = KINDS[kind]
            thing = " ".join([chance.choice(words[:3]), *chance.choices(words[3:], k=4)])
            thing = " ".join(thing.split()[: chance.randint(3, 5)])
            spans.append((len(text) + 1, len(text) + 1 + len(thing), kind))
            text = f"{text} {thing} {chance.choice(FILLERS)}"
        starts, ends, tags = ([span[at] for span in spans] for at in range(3))
        rows.append(
            {
                "id": f"tagged-{seed}-{number}",
                "title": f"Tagged {seed} {number % titles}",
                "text": f"{text} note {seed} {number} .",
                "starts": starts,
                "ends": ends,
                "tags": tags,
            }
        )
    return rows


def toy_related(
    n: int, seed: int, titles: int = 8, kinds: tuple[str, ...] = tuple(KINDS)
) -> list[dict[str, Any]]:
    """Canonical rows of relation: the word between two marked ones names it.

    The first word of a kind says kind(e1,e2), the second kind(e2,e1), the third Other.

    Args:
        n: how many rows.
        seed: other seeds give other ids, titles and texts.
        titles: over how many titles the rows are spread, evenly.
        kinds: the relations that occur, so that later episodes can bring new ones.
    """
    chance = random.Random(seed)
    rows = []
    for number in range(n):
        kind, way = chance.choice(kinds), chance.randrange(3)
        head, tail = chance.choices(FILLERS, k=2)
        begin = f"{chance.choice(FILLERS)} "
        between = f"{begin}{head} {KINDS[kind][way]} "
        rows.append(
            {
                "id": f"related-{seed}-{number}",
                "title": f"Related {seed} {number % titles}",
                "text": f"{between}{tail} note {seed} {number} .",
                "head_start": len(begin),
                "head_end": len(begin) + len(head),
                "tail_start": len(between),
                "tail_end": len(between) + len(tail),
                "label": (f"{kind}(e1,e2)", f"{kind}(e2,e1)", "Other")[way],
            }
        )
    return rows


def _target(recipe: str, named: list[str]) -> dict[str, Any]:
    if recipe == "multilabel":
        return {"labels": sorted(named)}
    if recipe == "regression":
        return {"value": list(KINDS).index(named[0]) - 1.0}
    return {"label": named[0]}


def _words(chance: random.Random) -> list[str]:
    return [chance.choice(FILLERS) for _ in range(chance.randrange(6, 20))]


def _kind(row: dict[str, Any]) -> str:
    words = set(row["context"].split())
    return next(kind for kind, members in KINDS.items() if words & set(members))


def _start(context: str, answer: str) -> int:
    return f" {context} ".index(f" {answer} ")


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as a JSON Lines file that an episode can be opened from."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


PARAMS: dict[str, dict[str, Any]] = {
    "prepare": {"max_length": 64, "stride": 16, "early_stopping_percent": 0},
    "finetune": {
        "first_learning_rate": 0.01,
        "first_epochs": 2,
        "learning_rate": 0.003,
        "epochs": 1,
        "batch_size": 8,
        "micro_batch": 8,
        "threads": 1,
        "precision": "fp32",
    },
    "evaluate": {"threads": 1},
    "quality": {"measure": {"answers": "off"}},  # it reads with an encoder of its own, not a toy
    "export": {"threads": 1},
    "benchmark": {"threads": 1},
}
"""Settings with which the toy model learns toy rows in about a second."""


def toy_project(
    root: Path,
    encoder: Path,
    episodes: dict[str, list[dict[str, Any]]],
    recipe: str = "extractive",
    **params: dict[str, Any],
) -> Any:
    """A project with sealed episodes, a turn that learns them, and a validation report that passed.

    Args:
        root: an empty folder.
        encoder: what `toy_encoder` wrote.
        episodes: name -> rows of the recipe; the last two titles' rows are held out.
        recipe: the project's.
        params: blocks of params.yaml, over those of PARAMS.

    Returns:
        onward.project.Project.
    """
    from onward import files
    from onward.project import Project

    project = Project(root)
    blocks = {name: {**PARAMS.get(name, {}), **params.get(name, {})} for name in PARAMS | params}
    blocks["project"] = {"name": "toy", "recipe": recipe, "encoder": str(encoder)}
    files.write_text(project.params, json.dumps(blocks, indent=1))
    shutil.copyfile(Path(__file__).parent.parent / "dvc.yaml", project.pipeline)
    names = [
        toy_episode(project, number, name, rows, recipe)
        for number, (name, rows) in enumerate(episodes.items(), start=1)
    ]
    toy_turn(project, encoder, learning=names, recipe=recipe)
    files.write_json(project.made("validate") / "report.json", {"schema": 1, "passed": True})
    return project


def toy_episode(
    project: Any, number: int, name: str, rows: list[dict[str, Any]], recipe: str = "extractive"
) -> str:
    """Seal an episode in data/ and return its folder's name."""
    from onward import files, recipes
    from onward.episodes import rows as parquet
    from onward.episodes import split

    schema = recipes.get(recipe).SCHEMA

    folder = f"{number:04d}-{name}"
    titles = sorted({row["title"] for row in rows})[-2:]
    about = {"number": number, "name": name, "recipe": recipe}
    with files.building(project.episode(folder), **about) as at:
        held = [row for row in rows if row["title"] in titles]
        parquet.write(at / "heldout.parquet", held, schema)
        train = [row for row in rows if row["title"] not in titles]
        parquet.write(at / "train.parquet", train, schema)
        sides = {parquet.side_key(parquet.split_text(row)).hex(): "train" for row in train}
        sides |= {parquet.side_key(parquet.split_text(row)).hex(): "heldout" for row in held}
        lines = ({"kind": "context", "key": key, "side": side} for key, side in sides.items())
        parquet.write(at / "sides.parquet", lines, split.SCHEMA)
    return folder


def toy_version(project: Any, version: str) -> Path:
    """Seal the candidate in turn/finetune as a version: its checkpoint, memory and spec."""
    from onward import files

    with files.building(project.version(version)) as folder:
        shutil.copytree(project.made("finetune") / "model", folder / "checkpoint")
        shutil.copytree(project.made("finetune") / "memory", folder / "memory")
        shutil.copyfile(project.made("finetune") / "spec.json", folder / "spec.json")
    return Path(project.version(version))


def toy_turn(
    project: Any,
    encoder: Path,
    *,
    learning: list[str],
    known: list[str] | None = None,
    version: str = "",
    recipe: str = "extractive",
) -> Any:
    """Write and return the turn that learns these episodes on the encoder, or on a version."""
    from onward import files
    from onward.episodes.turn import Base, Data, Named, Turn
    from onward.learning.encoder import fingerprint

    def named(folders: list[str]) -> tuple[Named, ...]:
        paths = [(f, project.episode(f) / files.MANIFEST) for f in folders]
        return tuple(Named(episode=f, manifest=files.sha256(path)) for f, path in paths)

    base = Base(kind="pretrained", name=str(encoder), sha256=fingerprint(encoder))
    if version:
        manifest = files.sha256(project.version(version) / files.MANIFEST)
        base = Base(kind="version", name=version, sha256=manifest)
    turn = Turn(
        recipe=recipe,
        base=base,
        known=named(known or []),
        learning=named(learning),
        data=Data(md5="0.dir", size=0, nfiles=0),
    )
    turn.write(project)
    return turn
