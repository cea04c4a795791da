"""The layers: imports go down only, light modules stay light, files and functions stay small."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.stages.imports import PACKAGES, ROOT, everything, imported, modules

BELOW = {
    "onward": {"onward"},
    "tasks": {"tasks", "onward"},
    "flows": {"flows", "tasks", "onward"},
    "cli": {"cli", "flows", "tasks", "onward"},
}
"""What each layer may import of ours."""

HEAVY = {"torch", "transformers", "peft", "great_expectations", "onnxruntime", "prefect", "dvc"}
"""Libraries that no module of onward loads when it is itself imported."""

LINES, FUNCTION_LINES = 400, 60

WRITERS = {
    "onward/demo.py",  # a cache of what pip fetched, checked by sha256
    "onward/episodes/rows.py",  # streams parquet into a folder that files.building flushes
    "onward/episodes/sieve.py",  # streams rows, likewise, and calls files.operation itself
    "onward/evaluation/ledger.py",  # into memory; files.write_bytes writes it
    "onward/evaluation/verdicts.py",  # into a folder that files.building flushes
    "onward/files.py",
}
"""Modules that may open files for writing by themselves; all others call onward/files.py."""

WRITING = {"write_text", "write_bytes", "rename", "replace", "write_table", "ParquetWriter"}
"""Names of calls that write, on anything but our own `files` and on text."""


def _tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("layer", PACKAGES)
def test_imports_go_down_only(layer: str) -> None:
    upward = {
        name: sorted(_tops(path) & set(PACKAGES) - BELOW[layer])
        for name, path in modules(layer).items()
    }
    assert {name: found for name, found in upward.items() if found} == {}


def test_onward_imports_neither_prefect_nor_dvc() -> None:
    found = {n: sorted(_tops(p) & {"prefect", "dvc", "gto"}) for n, p in modules("onward").items()}
    assert {name: tops for name, tops in found.items() if tops} == {}


def test_great_expectations_only_in_validation() -> None:
    using = {n for n, path in everything().items() if "great_expectations" in _tops(path)}
    assert using == {"onward.validation.suite"}


def test_dvc_and_git_only_in_one_module_of_tasks() -> None:
    using = {n for n, path in everything().items() if _tops(path) & {"dvc", "gto", "git"}}
    assert using <= {"tasks.versions"}


def test_importing_onward_loads_nothing_heavy() -> None:
    """Each module in a fresh interpreter state: what it loads is what it added."""
    code = (
        "import importlib, json, sys\n"
        "found = {}\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    importlib.import_module(name)\n"
        "    heavy = set(json.loads(sys.argv[2])) & set(sys.modules)\n"
        "    if heavy:\n"
        "        found[name] = sorted(heavy)\n"
        "        break\n"
        "print(json.dumps(found))"
    )
    names, heavy = json.dumps(sorted(modules("onward"))), json.dumps(sorted(HEAVY))
    done = subprocess.run(
        [sys.executable, "-c", code, names, heavy], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == {}


def _python() -> list[Path]:
    """Our own source, not the tests'."""
    return [path for path in everything().values()]


def test_no_module_is_long() -> None:
    counts = {str(p.relative_to(ROOT)): len(p.read_text("utf-8").splitlines()) for p in _python()}
    assert {name: n for name, n in counts.items() if n > LINES} == {}


def test_no_function_is_long() -> None:
    long = {}
    for path in _python():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > FUNCTION_LINES:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = length
    assert long == {}


def test_what_all_names_exists() -> None:
    for path in _python():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                assert set(ast.literal_eval(node.value)) <= _bound(tree), path


def _bound(tree: ast.Module) -> set[str]:
    """What a module binds outside its functions: by def, class, import and assignment."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        else:
            found |= {
                each.id
                for each in ast.walk(node)
                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            }
    return found


def test_a_name_in_all_alone_is_not_bound() -> None:
    tree = ast.parse('from a import b as c\nd: int = 1\n__all__ = ["b", "c", "d", "e"]')
    assert _bound(tree) == {"c", "d", "__all__"}


def _writes(source: str) -> list[int]:
    """Lines that open a file for writing, rename one, or stream into one."""
    return sorted(
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and _is_write(node)
    )


def _is_write(call: ast.Call) -> bool:
    called = ast.unparse(call.func)
    receiver, _, name = called.rpartition(".")
    if receiver in ("files", "parquet", "rows"):
        return False
    if name == "replace":
        return receiver == "os" or (receiver != "" and len(call.args) == 1)
    if name == "open":
        words = [
            a.value
            for a in (*call.args, *(k.value for k in call.keywords))
            if isinstance(a, ast.Constant)
        ]
        return any(re.fullmatch(r"[wax]b?\+?|r?b?\+", str(word)) for word in words)
    return name in WRITING


def test_only_files_py_writes() -> None:
    """Durable files have one door."""
    found = {}
    for path in modules("onward").values():
        name = str(path.relative_to(ROOT))
        lines = _writes(path.read_text(encoding="utf-8"))
        if lines and name not in WRITERS:
            found[name] = lines
    assert found == {}


def test_the_list_of_writers_is_true() -> None:
    assert {n for n in WRITERS if not _writes((ROOT / n).read_text(encoding="utf-8"))} == set()


@pytest.mark.parametrize(
    ("line", "writes"),
    [
        ('path.write_text("x")', True),
        ('open(path, "w")', True),
        ('path.open("ab+")', True),
        ('path.open(mode="xb")', True),
        ("os.replace(a, b)", True),
        ("temporary.rename(final)", True),
        ("path.open('rb')", False),
        ("files.write_text(path, 'x')", False),
        ("'a'.replace('a', 'b')", False),
        ("replace(verdict, key=key)", False),
        ("open_episode(project, 'a')", False),
    ],
)
def test_writes_are_recognised(line: str, writes: bool) -> None:
    assert bool(_writes(line)) is writes


def test_the_walk_finds_lazy_imports_and_skips_type_checking() -> None:
    source = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import prefect\n"
        "def f():\n    import torch\n    from dvc import repo\n"
    )
    assert imported(source) == {"typing", "typing.TYPE_CHECKING", "torch", "dvc", "dvc.repo"}
    assert imported(source, lazy=False) == {"typing", "typing.TYPE_CHECKING"}


def test_names_say_what_a_file_holds() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert {n for n in everything() if set(n.split(".")) & vague} == set()


def test_no_property_hangs_on_how_busy_the_machine_is() -> None:
    """Whichever tests are run: a slow example would fail by Hypothesis's 200 ms."""
    assert settings.default is not None and settings.default.deadline is None
