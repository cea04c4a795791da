"""Packages under attack: edited, swapped, replayed, with links, pickles, code or other files."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward import files
from onward.errors import IntegrityError, MissingFiles, OnwardError
from onward.runtime import graph_safety, session
from onward.runtime import package as packages
from onward.runtime.session import Session

NAMES = [
    "model.onnx",
    "model.int8.onnx",
    "tokenizer.json",
    "tokenizer_config.json",
    "package.json",
    "manifest.json",
]


@pytest.fixture
def no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime must not be reached."""
    import onnxruntime

    def reached(*_: Any, **__: Any) -> None:
        raise AssertionError("the runtime saw the graph")

    monkeypatch.setattr(onnxruntime, "InferenceSession", reached)


def _reseal(folder: Path) -> None:
    """The attacker rewrites the manifest too."""
    (folder / files.MANIFEST).unlink()
    files.seal(folder)


# S12: edited, extra, missing, swapped, replayed


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
@pytest.mark.usefixtures("no_runtime")
def test_s12_a_flipped_bit_in_any_file_is_refused(package: Path, name: str, place: float) -> None:
    path = package / name
    data = bytearray(path.read_bytes())
    at = min(int(place * len(data)), len(data) - 1)
    data[at] ^= 0b100
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        Session(package, "fp32")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("no_runtime")
def test_s12_a_truncated_or_missing_file_is_refused(package: Path, name: str) -> None:
    path = package / name
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError):
        Session(package, "fp32")
    path.unlink()
    with pytest.raises((IntegrityError, MissingFiles)):
        Session(package, "fp32")


@pytest.mark.parametrize("name", ["serving.json", "model.onnx.data", "x", "sub/model.onnx", ".x"])
@pytest.mark.usefixtures("no_runtime")
def test_s12_an_extra_file_is_refused(package: Path, name: str) -> None:
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).write_text('{"variant": "int8", "provider": "cpu"}')
    with pytest.raises(IntegrityError):
        Session(package, "fp32")


@pytest.mark.parametrize("kind", ["file", "folder", "hard"])
@pytest.mark.usefixtures("no_runtime")
def test_s12_a_link_in_the_place_of_a_file_is_refused(
    package: Path,
    packed: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    """Also to equal bytes, which could be changed from outside; a hard link to other bytes."""
    path = package / "model.onnx"
    path.unlink()
    if kind == "hard":
        other = tmp_path / "other.onnx"
        other.write_bytes((packed / "model.int8.onnx").read_bytes())
        path.hardlink_to(other)
    else:
        path.symlink_to(packed / "model.onnx" if kind == "file" else tmp_path)
    with pytest.raises(IntegrityError):
        Session(package, "fp32")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "package.json"])
def test_s12_a_swap_between_check_and_load_changes_nothing(
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """The bytes that were hashed are the bytes that are loaded: the path is not opened again."""
    asked = {"question": "which city is named?", "context": "it was seen near oslo ."}
    expected = Session(package, "fp32", threads=1).answer(asked)["text"]
    checked = packages.read

    def swap_after(*args: Any, **kwargs: Any) -> Any:
        found = checked(*args, **kwargs)
        (package / name).write_bytes(b"swapped")
        return found

    monkeypatch.setattr(session.packages, "read", swap_after)
    assert Session(package, "fp32", threads=1).answer(asked)["text"] == expected
    assert (package / name).read_bytes() == b"swapped"


@pytest.mark.usefixtures("no_runtime")
def test_s12_an_older_package_in_the_place_of_a_newer_is_refused(
    package: Path,
    tmp_path: Path,
) -> None:
    older = Path(shutil.copytree(package, tmp_path / "older"))
    recorded = packages.choose(package, "int8", "cpu")
    with pytest.raises(IntegrityError, match="another package than the one that was recorded"):
        Session(older, manifest=recorded)


@pytest.mark.usefixtures("no_runtime")
def test_s12_variants_exchanged_under_a_new_manifest_are_refused(package: Path) -> None:
    one, other = (package / packages.MODELS[name] for name in ("fp32", "int8"))
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    _reseal(package)
    with pytest.raises(IntegrityError, match="names another fp32 graph"):
        Session(package, "fp32")


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(schema=2),
        lambda spec: spec.update(variants={"fp32": {"file": "../model.onnx"}}),
        lambda spec: spec.update(variants={"fp32": {"file": "/etc/passwd"}}),
        lambda spec: spec.update(variants={"x": {"file": "model.onnx"}}),
        lambda spec: spec.update(variants=[]),
        lambda spec: spec.pop("decoding"),
        lambda spec: spec.pop("recipe"),
        lambda spec: spec["encoding"].update(max_length=40),
    ],
    ids=["schema", "up", "absolute", "variant", "list", "decoding", "recipe", "encoding"],
)
@pytest.mark.usefixtures("no_runtime")
def test_s04_a_resealed_package_json_cannot_lead_elsewhere(
    package: Path,
    change: Callable[[dict[str, Any]], Any],
) -> None:
    spec = files.read_json(package / packages.SPEC)
    change(spec)
    files.write_json(package / packages.SPEC, spec)
    _reseal(package)
    with pytest.raises(OnwardError):
        Session(package)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", "\xff", '{"a":' * 200_000, '{"files": []}', '{"files": {"a":1}}'],
)
@pytest.mark.parametrize("name", ["manifest.json", "package.json", "tokenizer_config.json"])
@pytest.mark.usefixtures("no_runtime")
def test_s12_json_that_is_none_is_a_typed_error(package: Path, name: str, text: str) -> None:
    (package / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(OnwardError):
        Session(package, "fp32")


def test_a_folder_without_a_package_is_missing_files(tmp_path: Path) -> None:
    with pytest.raises(MissingFiles):
        Session(tmp_path)
    with pytest.raises(MissingFiles):
        Session(tmp_path / "no")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_resealed_package_with_any_json_in_it_loads_or_is_refused_typed(
    packed: Path, tmp_path: Path, data: st.DataObject
) -> None:
    """The parser of package.json, serving.json and manifest.json, fuzzed: no other exception."""
    folder = tmp_path / "fuzzed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(packed, folder)
    name = data.draw(st.sampled_from(["package.json", "serving.json", "manifest.json"]))
    start = {"schema": 1, "variant": "fp32", "provider": "cpu"}
    value = start if name == "serving.json" else files.read_json(folder / name)
    at, key = value, data.draw(st.sampled_from(sorted(value)))
    while isinstance(at[key], dict) and at[key] and data.draw(st.booleans()):
        at = at[key]
        key = data.draw(st.sampled_from(sorted(at)))
    at[key] = data.draw(JSON)
    (folder / name).write_text(json.dumps(value))  # Infinity, too, which Python reads
    if name != "manifest.json":
        _reseal(folder)
    with contextlib.suppress(OnwardError):
        Session(folder, provider="cpu", threads=1)


# S01: pickles


class _Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("resealed", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "tokenizer.pkl",
        "model.pt",
        "training_args.bin",
        "model.onnx",
        "model.int8.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
        "package.json",
        "serving.json",
        "manifest.json",
    ],
)
@pytest.mark.usefixtures("no_runtime")
def test_s01_a_planted_pickle_is_never_opened(
    package: Path,
    tmp_path: Path,
    name: str,
    resealed: bool,
) -> None:
    mark = tmp_path / "opened"
    (package / name).write_bytes(pickle.dumps(_Bomb(mark)))
    if resealed and name != files.MANIFEST:
        _reseal(package)
    variant = "int8" if "int8" in name else None
    with pytest.raises(OnwardError):
        Session(package, variant)
    assert not mark.exists()


def test_s01_the_bomb_is_real(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(_Bomb(tmp_path / "opened")))  # noqa: S301 - the test's own
    assert (tmp_path / "opened").exists()


# S02: remote code


@pytest.mark.parametrize("key", ["auto_map", "trust_remote_code"])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.usefixtures("no_runtime")
def test_s02_a_package_that_asks_for_code_is_refused(package: Path, name: str, key: str) -> None:
    value = files.read_json(package / name)
    value[key] = {"AutoTokenizer": ["evil.py", None]} if key == "auto_map" else True
    files.write_json(package / name, value)
    (package / "manifest.json").unlink()
    files.seal(package)
    with pytest.raises(IntegrityError, match="code of its own, which is never run"):
        Session(package)


@pytest.mark.usefixtures("no_runtime")
def test_s02_a_script_beside_the_model_is_refused(package: Path) -> None:
    (package / "tokenization_evil.py").write_text("raise SystemExit(9)")
    _reseal(package)
    with pytest.raises(IntegrityError, match="does not belong in a package"):
        Session(package)


# S03: external data


def _external(tensor: Any, location: str) -> None:
    from onnx import TensorProto

    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location


def _tensor(name: str = "t") -> Any:
    import numpy as np
    from onnx import numpy_helper

    return numpy_helper.from_array(np.zeros(4, np.float32), name)


def _in_initialiser(proto: Any) -> Any:
    return proto.graph.initializer[0]


def _in_sparse(proto: Any) -> Any:
    sparse = proto.graph.sparse_initializer.add()
    sparse.values.CopyFrom(_tensor())
    return sparse.values


def _in_constant(proto: Any) -> Any:
    from onnx import helper

    proto.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=_tensor()))
    return proto.graph.node[0].attribute[0].t


def _in_tensor_list(proto: Any) -> Any:
    attribute = proto.graph.node[0].attribute.add()
    attribute.name = "many"
    attribute.tensors.add().CopyFrom(_tensor())
    return attribute.tensors[0]


def _in_branch(proto: Any) -> Any:
    attribute = proto.graph.node[0].attribute.add()
    attribute.name = "then_branch"
    inner = attribute.g.node.add().attribute.add()
    inner.graphs.add().initializer.add().CopyFrom(_tensor())
    return inner.graphs[0].initializer[0]


def _in_function(proto: Any) -> Any:
    attribute = proto.functions.add().node.add().attribute.add()
    attribute.t.CopyFrom(_tensor())
    return attribute.t


def _in_default(proto: Any) -> Any:
    attribute = proto.functions.add().attribute_proto.add()
    attribute.t.CopyFrom(_tensor())
    return attribute.t


def _in_training(proto: Any) -> Any:
    proto.training_info.add().algorithm.initializer.add().CopyFrom(_tensor())
    return proto.training_info[0].algorithm.initializer[0]


PLACES = [
    _in_initialiser,
    _in_sparse,
    _in_constant,
    _in_tensor_list,
    _in_branch,
    _in_function,
    _in_default,
    _in_training,
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_s03_external_data_is_found_wherever_a_tensor_can_stand(
    packed: Path,
    place: Callable[[Any], Any],
) -> None:
    import onnx

    proto = onnx.load_model_from_string((packed / "model.onnx").read_bytes())
    graph_safety.check(proto.SerializeToString(), where="before")
    _external(place(proto), "secret.bin")
    with pytest.raises(IntegrityError, match=r"lies in another file \('secret\.bin'\)"):
        graph_safety.check(proto.SerializeToString(), where="after")


@pytest.mark.parametrize("location", ["/etc/passwd", "../../secret", "data.bin", "link", ""])
@pytest.mark.usefixtures("no_runtime")
def test_s03_external_data_is_refused_before_the_runtime_sees_it(
    package: Path,
    tmp_path: Path,
    location: str,
) -> None:
    """Resealed, so that only the graph itself tells."""
    import onnx

    proto = onnx.load_model_from_string((package / "model.onnx").read_bytes())
    _external(proto.graph.initializer[0], location)
    (package / "model.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "secret").write_bytes(b"\0" * 1_000_000)
    _reseal(package)
    with pytest.raises(IntegrityError, match="lies in another file"):
        Session(package)
    with pytest.raises(IntegrityError, match="lies in another file"):
        Session(package, verify=False)


@pytest.mark.usefixtures("no_runtime")
def test_s03_external_data_half_stated_is_refused(packed: Path) -> None:
    """Only the location, or only the flag: runtimes differ in which of them they follow."""
    import onnx
    from onnx import TensorProto

    for state in ("flag", "location"):
        proto = onnx.load_model_from_string((packed / "model.onnx").read_bytes())
        tensor = proto.graph.initializer[0]
        if state == "flag":
            tensor.data_location = TensorProto.EXTERNAL
        else:
            entry = tensor.external_data.add()
            entry.key, entry.value = "location", "x"
        with pytest.raises(IntegrityError):
            graph_safety.check(proto.SerializeToString(), where=state)


@pytest.mark.parametrize("kind", sorted(graph_safety.LOADERS))
def test_s03_operators_that_load_something_else_are_refused(packed: Path, kind: str) -> None:
    import onnx

    proto = onnx.load_model_from_string((packed / "model.onnx").read_bytes())
    node = proto.graph.node.add()
    node.op_type, node.domain = kind, "com.microsoft"
    with pytest.raises(IntegrityError, match=f"{kind} loads something else"):
        graph_safety.check(proto.SerializeToString(), where="test")


@pytest.mark.parametrize("data", [b"", b"\x80\x04K\x01.", b"PK\x03\x04", b"<html>", b"\0" * 64])
def test_bytes_that_are_no_graph_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="not an ONNX model"):
        graph_safety.check(data, where="test")
