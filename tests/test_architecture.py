"""The rules of the house that no linter knows: who may import whom, front doors, and sizes."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import statistics
import subprocess
import sys
import tomllib
import typing
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "fm_client": ROOT / "integrations" / "fm_client",
    "fm_workspace": ROOT / "integrations" / "fm_workspace",
    "fm_cli": ROOT / "integrations" / "fm_cli",
    "langchain_fm": ROOT / "langchain_fm",
    "llamaindex_fm": ROOT / "llamaindex_fm",
    "mlflow_fm": ROOT / "mlflow_fm",
}
SOURCES = sorted(path for package in PACKAGES.values() for path in package.rglob("*.py"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_MEDIAN_FUNCTION_LINES = 6

FRAMEWORKS = {
    "databricks",
    "fastapi",
    "langchain",
    "langchain_core",
    "litellm",
    "llama_index",
    "mlflow",
    "openai",
    "requests",
    "rich",
    "starlette",
    "typer",
    "uvicorn",
}
"""What `import fm_client` must not load."""

DOES_IO = {
    "_auth",
    "_base",
    "_borrowed",
    "_client",
    "_heads",
    "_http",
    "_http1",
    "_network",
    "_oauth",
    "_pair",
    "_pool",
    "_process",
    "_progress",
    "_shelf",
    "_sockets",
    "_sources",
    "_threads",
}
"""What may do I/O, read a clock, or import what does. All others of the core are declared pure, in pyproject.toml."""

EXEMPT = {"_version"}
"""Holds nothing but constants, and is read by the build as text."""


def contracts() -> list[dict[str, object]]:
    """The import contracts of pyproject.toml."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, object]] = settings["tool"]["importlinter"]["contracts"]
    return found


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `statement`."""
    code = (
        f"import json, sys\n{statement}\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def functions(path: Path) -> list[tuple[str, int]]:
    """Name and length of every function in `path`; the length is in lines, without decorators and docstring."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
            found.append((f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", _span(node) - docstring))
    return found


def _span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def is_front_door_statement(node: ast.stmt) -> bool:
    """Whether `node` may stand in an `__init__.py`: an import or its undoing, a guard around imports, `__all__`.

    A `__getattr__` is an import too, one that waits until it is asked for; type checkers must not see it, for they would
    then take any name for one that is there.
    """
    match node:
        case ast.FunctionDef(name="__dir__"):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body, orelse=[]):
            return all(isinstance(inner, ast.ImportFrom) for inner in body)
        case ast.If(
            test=ast.UnaryOp(op=ast.Not(), operand=ast.Name(id="TYPE_CHECKING")),
            body=[ast.FunctionDef(name="__getattr__")],
            orelse=[],
        ):
            return True
        case ast.Import() | ast.ImportFrom() | ast.Delete() | ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case ast.Try(body=body, handlers=handlers, orelse=[], finalbody=[]):
            guarded = all(isinstance(inner, ast.Import | ast.ImportFrom) for inner in body)
            return guarded and all(isinstance(handler.body[-1], ast.Raise) for handler in handlers)
        case _:
            return False


def public_members(module: ModuleType) -> set[str]:
    """The public names a front door offers; its submodules are not offered, they are merely there."""
    lazy = {name for name in module.__all__ if name not in vars(module) and hasattr(module, name)}
    return lazy | {name for name in vars(module) if not name.startswith("_") and not _is_aside(module, name)}


def _is_aside(module: ModuleType, name: str) -> bool:
    value = getattr(module, name)
    of_typing = getattr(value, "__module__", "") == "typing" or value is typing.TYPE_CHECKING
    return value is sys.modules.get(f"{module.__name__}.{name}") or type(value).__module__ == "__future__" or of_typing


def test_import_contracts_are_kept() -> None:
    lint = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"]
    done = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_of_the_core_is_declared_pure_or_known_to_do_io() -> None:
    (pure,) = [contract for contract in contracts() if "Pure modules" in str(contract["name"])]
    declared = {str(name).removeprefix("fm_client.") for name in pure["source_modules"]}  # type: ignore[attr-defined]  # TOML
    present = {path.stem for path in PACKAGES["fm_client"].glob("_*.py")} - {"__init__", "__main__"}
    assert present - EXEMPT == (declared - {"types"}) | DOES_IO


def test_the_core_loads_no_framework() -> None:
    assert modules_after("import fm_client") & FRAMEWORKS == set()


def test_the_core_loads_httpx_only_for_who_brings_a_client_of_it() -> None:
    """It is most of what the import would cost; whoever brings one has loaded it already."""
    assert "httpx" not in modules_after(
        "import fm_client; fm_client.Client('https://example.com', token='token-for-tests')"
    )


def test_the_core_loads_no_workspace_before_it_is_asked_for() -> None:
    assert modules_after("import fm_client") & (PACKAGES.keys() - {"fm_client"}) == set()


@pytest.mark.parametrize("adapter", ["langchain_fm", "llamaindex_fm", "mlflow_fm"])
def test_an_adapter_loads_no_other_adapter_and_no_workspace(adapter: str) -> None:
    assert modules_after(f"import {adapter}") & (PACKAGES.keys() - {"fm_client", adapter}) == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.name == "__init__.py"], ids=lambda path: path.parent.name
)
def test_a_front_door_holds_imports_and_names_only(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert [ast.unparse(node) for node in body if not is_front_door_statement(node)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_front_door_names_exactly_what_it_offers(package: str) -> None:
    """The order of `__all__` is ruff's to check (RUF022)."""
    module = importlib.import_module(package)
    assert {name for name in module.__all__ if not name.startswith("__")} == public_members(module)
    assert len(module.__all__) == len(set(module.__all__))


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_front_door_offers_is_documented(package: str) -> None:
    module = importlib.import_module(package)
    offered = {name: getattr(module, name) for name in module.__all__}
    for name, value in list(offered.items()):
        if inspect.isclass(value):
            own = {key: member for key, member in vars(value).items() if inspect.isfunction(member)}
            offered |= {f"{name}.{key}": getattr(value, key) for key in own if not key.startswith("_")}
    checked = {name: value for name, value in offered.items() if inspect.isclass(value) or inspect.isfunction(value)}
    assert sorted(name for name, value in checked.items() if not inspect.getdoc(value)) == []


@pytest.mark.parametrize("tree", [*PACKAGES.values(), ROOT / "tests", ROOT / "benchmarks"], ids=lambda tree: tree.name)
def test_no_file_is_too_long(tree: Path) -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in tree.rglob("*.py")}
    assert {path: length for path, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    lengths = [function for path in SOURCES for function in functions(path)]
    assert [(name, length) for name, length in lengths if length > MAX_FUNCTION_LINES] == []


def test_functions_are_short() -> None:
    assert statistics.median(length for path in SOURCES for _, length in functions(path)) <= MAX_MEDIAN_FUNCTION_LINES
