"""Several adapters on one frozen encoder, and a router that says which of them reads a text.

Each episode has a LoRA (Hu et al. 2021) and a head of its own, made once and never touched again,
so nothing that it learned can be lost; what can go wrong is the routing: onward/learning/router.py.

A model's folder holds the encoder once in model.safetensors and, for each episode that
structure.json names with its labels,

    adapters/EPISODE/adapter_config.json, adapter_model.safetensors   the LoRA, as peft reads it
    adapters/EPISODE/head.safetensors                                 the head's weights, by name
    adapters/EPISODE/router.safetensors                               the router's sums

and the router's projection in router.safetensors.

Which adapter runs is decided row by row; onward/runtime/switched.py does the same without torch.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from onward import files
from onward.errors import IntegrityError
from onward.learning import closed_form, models, pooled, router
from onward.learning.router import Sums

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = object

ADAPTERS = "adapters"
LORA, HEAD, ROUTER = "adapter_model.safetensors", "head.safetensors", "router.safetensors"


@dataclass(frozen=True)
class Adapter:
    """One episode's part of a model."""

    episode: str
    labels: tuple[str, ...]
    """That its head tells apart; none for a recipe without labels."""


class Routed(Module):
    """The adapters as one module: each row of a batch goes through the one it is routed to."""

    def __init__(
        self, model: Any, heads: Sequence[Mapping[str, Any]], route: Any, places: Sequence[Any]
    ) -> None:
        """Take the parts.

        Args:
            model: peft's, with adapters named "0", "1" and so on.
            heads: of each adapter, tensors by their names in the model without adapters.
            route: what `router.assemble` gave.
            places: of each adapter, where its labels stand among all C, int64 [K]; empty for a
                recipe without labels.
        """
        super().__init__()
        self.model, self.router = model, route
        self.config = model.get_base_model().config
        self.head_names = [list(head) for head in heads]
        for at, head in enumerate(heads):
            self.register_buffer(f"places:{at}", places[at])
            for n, tensor in enumerate(head.values()):
                self.register_buffer(f"head:{at}:{n}", tensor)

    def forward(
        self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None, **_: Any
    ) -> dict[str, Any]:
        """Outputs of B rows by the recipe's names: [B, T] each, or the logits of all labels [B, C].

        A label's logit is the log of its probability: that of the row's adapter times what its
        head says, and for labels of adapters that did not run, theirs spread evenly.
        """
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        routes = self.routes(**inputs)
        chosen = routes.argmax(dim=1)
        made: dict[str, Any] = {}
        for at in chosen.unique().tolist():
            rows = (chosen == at).nonzero()[:, 0]
            found = self._read(at, {name: value[rows] for name, value in inputs.items()})
            if "logits" in found:
                found["logits"] = self._mixed(at, found["logits"], routes[rows])
            for name, values in found.items():
                whole = values.new_empty(len(input_ids), *values.shape[1:])
                made.setdefault(name, whole)[rows] = values
        return made

    def routes(self, **inputs: Any) -> Any:
        """The log-probability of each adapter, [B, E]."""
        with self.model.disable_adapter():
            hidden = self.model.get_base_model().base_model(**inputs).last_hidden_state
        return self.router(pooled.mean(hidden, inputs["attention_mask"]))

    def _read(self, at: int, inputs: dict[str, Any]) -> dict[str, Any]:
        """What one adapter and its head say."""
        import torch

        self.model.set_adapter(str(at), inference_mode=True)
        head = {
            f"base_model.model.{name}": getattr(self, f"head:{at}:{n}")
            for n, name in enumerate(self.head_names[at])
        }
        made = torch.func.functional_call(self.model, head, (), inputs)
        return {name: made[name] for name in made if name.endswith("logits")}

    def _mixed(self, at: int, logits: Any, routes: Any) -> Any:
        """Log-probabilities of all labels [N, C], from one adapter's logits and the routes."""
        import torch

        likely = logits.new_zeros(len(logits), self.config.num_labels)
        for other in range(len(self.head_names)):
            places = getattr(self, f"places:{other}")
            own = logits.softmax(dim=1) if other == at else 1 / len(places)
            likely[:, places] += routes[:, other : other + 1].exp() * own
        return likely.clamp(min=torch.finfo(likely.dtype).tiny).log()


def write(
    folder: Path, adapter: Adapter, config: Any, weights: Mapping[str, Any], sums: Sums
) -> None:
    """Write one adapter into a folder that does not exist yet and that the caller seals.

    Args:
        folder: adapters/EPISODE.
        adapter: whose it is.
        config: peft's.
        weights: LoRA and head by peft's names, as `get_peft_model_state_dict` gives them.
        sums: the router's.
    """
    folder.mkdir(parents=True)
    told = {name: _plain(value) for name, value in config.to_dict().items()}
    # The encoder lies beside it; where it lay in training would be a path of this machine.
    told |= {"base_model_name_or_path": None, "inference_mode": True, "modules_to_save": None}
    files.write_json(folder / "adapter_config.json", told)
    lora = {name: tensor for name, tensor in weights.items() if "lora_" in name}
    head = {
        name.removeprefix("base_model.model."): tensor
        for name, tensor in weights.items()
        if name not in lora
    }
    models.write_tensors(folder / LORA, lora)
    models.write_tensors(folder / HEAD, head)
    models.write_tensors(folder / ROUTER, sums.tensors())


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else value


def finish(folder: Path, root: Path, adapters: Sequence[Adapter], labels: Sequence[str]) -> None:
    """Write what lies beside the adapters: encoder, configuration, tokenizer, structure.json.

    Args:
        folder: the model's.
        root: a folder with the encoder, the router's projection and the tokenizer.
        adapters: all of them, in the order in which they came.
        labels: of all together, in the order of the outputs.
    """
    from transformers import AutoConfig

    own = AutoConfig.from_pretrained(root, local_files_only=True, trust_remote_code=False)
    if labels:
        own.id2label = dict(enumerate(labels))
        own.label2id = {label: at for at, label in enumerate(labels)}
    own.save_pretrained(folder)
    files.operation("write", folder / models.WEIGHTS)
    shutil.copyfile(root / models.WEIGHTS, folder / models.WEIGHTS)
    files.operation("write", folder / ROUTER)
    shutil.copyfile(root / ROUTER, folder / ROUTER)
    models.copy_tokenizer(root, folder)
    named = [{"episode": each.episode, "labels": list(each.labels)} for each in adapters]
    described = {"schema": models.SCHEMA, "structure": "adapters", "adapters": named}
    files.write_json(folder / models.STRUCTURE, described)


def write_projection(folder: Path, width: int) -> None:
    """Draw the router's projection for embeddings of so many numbers: always the same ones."""
    drawn = closed_form.draw(width, router.FEATURES, seed=0)
    models.write_tensors(folder / ROUTER, {"projection": drawn})


def projection(folder: Path) -> Any:
    """The router's projection, [D, M]. Raises IntegrityError: it is missing."""
    return models.read_tensors(folder / ROUTER)["projection"]


def adapters_of(folder: Path) -> list[Adapter]:
    """The adapters that a folder names; none where it holds a model of another structure."""
    named = models.describe(folder).get("adapters", [])
    return [Adapter(each["episode"], tuple(each["labels"])) for each in named]


def load(recipe: ModuleType, folder: Path) -> Any:
    """The module of a folder, in evaluation mode.

    Raises:
        IntegrityError: an adapter lacks weights, or has some that do not fit.
    """
    import torch

    found = adapters_of(folder)
    labels = list(recipe.labels_of(folder))
    with torch.random.fork_rng(devices=[]):  # heads and adapters are drawn, then replaced
        plain = recipe.build(folder, {"new_head": True, "labels": labels})
        model = _with_loras(plain, [folder / ADAPTERS / each.episode for each in found])
    places = {label: at for at, label in enumerate(labels)}
    heads, sums = [], []
    for each in found:
        at = folder / ADAPTERS / each.episode
        heads.append(models.read_tensors(at / HEAD))
        sums.append(Sums(**models.read_tensors(at / ROUTER)))
    standing = [torch.tensor([places[label] for label in each.labels]).long() for each in found]
    made: Any = type("Routed", (Routed, torch.nn.Module), {})
    return made(model, heads, router.assemble(sums, projection(folder)), standing).eval()


def _with_loras(plain: Any, folders: Sequence[Path]) -> Any:
    """peft's model with one adapter a folder, named by their places."""
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

    model: Any = None
    for at, folder in enumerate(folders):
        config = LoraConfig.from_pretrained(str(folder))
        if model is None:
            model = get_peft_model(plain, config, adapter_name=str(at))
        else:
            model.add_adapter(str(at), config)
        tensors = models.read_tensors(folder / LORA)
        told = set_peft_model_state_dict(model, tensors, adapter_name=str(at))
        # "lora_A.1." is this adapter's; "layer.1." stands in the names of all others, too.
        own = (f"lora_A.{at}.", f"lora_B.{at}.")
        lacking = [name for name in told.missing_keys if any(each in name for each in own)]
        if lacking or told.unexpected_keys:
            raise IntegrityError(
                f"The adapter does not fit the encoder: {[*lacking, *told.unexpected_keys][0]}",
                where=str(folder / LORA),
                fix="`onward repair` brings the recorded files back",
            )
    return model
