"""What imports what, read from the source: also imports inside functions.

An import of `onward.a.b` reaches `onward`, `onward.a` and `onward.a.b`. Imports under TYPE_CHECKING
are left out, because they never run.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("cli", "flows", "tasks", "onward")


def modules(package: str) -> dict[str, Path]:
    """Module name -> file, for every module of one of our packages."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def everything() -> dict[str, Path]:
    """All modules of all our packages."""
    return {name: path for package in PACKAGES for name, path in modules(package).items()}


def imported(source: str, *, lazy: bool = True) -> set[str]:
    """Dotted names that a module's source imports; without `lazy` only what its import runs."""
    tree = ast.parse(source)
    found: set[str] = set()
    for node in _walk(tree, lazy):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add(str(node.module))
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _walk(node: ast.AST, lazy: bool) -> list[ast.AST]:
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        if not lazy and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        found += [child, *_walk(child, lazy)]
    return found


@cache
def ours(module: str) -> frozenset[str]:
    """Our own modules that a module imports, the packages above them included."""
    known = everything()
    found: set[str] = set()
    for name in imported(known[module].read_text(encoding="utf-8")):
        parts = name.split(".")
        chain = {".".join(parts[: n + 1]) for n in range(len(parts))}
        found |= chain & set(known)
    return frozenset(found)


def reachable(*roots: str, without: frozenset[tuple[str, str]] = frozenset()) -> set[str]:
    """Every module of ours that the roots can come to import.

    `without` names imports (importer, imported) that are not followed.
    """
    seen: set[str] = set()
    left = [root for root in roots if root in everything()]
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += [name for name in ours(module) if (module, name) not in without]
    return seen
