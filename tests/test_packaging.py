"""The distribution itself: what the wheel holds, what it asks for, and that it works where it is installed."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fm_cli._corpus import FILES

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["fm_cli", "fm_client", "fm_workspace", "langchain_fm", "llamaindex_fm", "mlflow_fm"]
USES = {
    "fm_client": {"", "databricks"},
    "fm_workspace": {"", "workspace", "providers"},
    "fm_cli": {"", "cli", "langchain", "llamaindex", "mlflow"},  # the demo, each part of it only where it is installed
    "langchain_fm": {"", "langchain"},
    "llamaindex_fm": {"", "llamaindex"},
    "mlflow_fm": {"", "mlflow"},
}
"""The extras from which each package may import; "" stands for what is always there."""
LOADED_BY = {"pytest"}
"""What loads a module of ours, its plugin, and is therefore there whenever that module is."""
PARTS: dict[str, str] = {"pydantic-core": "pydantic"}
"""Distributions that are part of another one, and tied to its exact version."""
EXTRAS = {"all", "cli", "databricks", "langchain", "llamaindex", "mlflow", "providers", "workspace"}


def build(target: str, source: Path, destination: Path) -> Path:
    """Build the `wheel` or `sdist` of `source`, with no network, and return the file."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(destination)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = destination.iterdir()
    return built


def names(wheel: Path) -> set[str]:
    """Every file in `wheel`."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def isolated(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter that sees neither the working directory nor PYTHONPATH."""
    command = [sys.executable, "-I", "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as it would be published."""
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the wheel lies unpacked, as in site-packages."""
    target = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)  # noqa: S202  # we built it ourselves, just now
    return target


@pytest.fixture(scope="module")
def metadata(installed: Path) -> Message:
    """METADATA of the wheel."""
    (path,) = installed.glob("*.dist-info/METADATA")
    return Parser().parsestr(path.read_text(encoding="utf-8"))


def requirements(metadata: Message, extra: str) -> set[str]:
    """The distributions that `extra` adds; "" asks for those that are always there."""
    found = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    return {each.name for each in found if str(each.marker or "") == (f'extra == "{extra}"' if extra else "")}


def test_the_wheel_holds_the_six_packages_and_nothing_else(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in names(wheel)}
    assert sorted(top for top in tops if not top.endswith(".dist-info")) == PACKAGES
    assert len(tops) == len(PACKAGES) + 1


def test_the_wheel_holds_every_source_file(wheel: Path) -> None:
    """Also in the other direction: nothing that is not a tracked kind of file slips in."""
    kinds = {".py", ".json", ".typed"}
    homes = [ROOT, ROOT / "integrations"]
    expected = {
        path.relative_to(home).as_posix()
        for home in homes
        for package in PACKAGES
        for path in (home / package).rglob("*")
        if path.suffix in kinds or path.name == "py.typed"
    }
    corpus = {f"fm_cli/corpus/{name}" for name in FILES}  # what the demo reads
    assert {name for name in names(wheel) if ".dist-info/" not in name} == expected | corpus


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_marked_as_typed(wheel: Path, package: str) -> None:
    assert f"{package}/py.typed" in names(wheel)


def test_the_wheel_holds_the_model_catalog(wheel: Path) -> None:
    assert any(name.startswith("fm_client/data/") and name.endswith(".json") for name in names(wheel))


def test_the_wheel_holds_the_licence(installed: Path, metadata: Message) -> None:
    (path,) = installed.glob("*.dist-info/licenses/LICENSE")
    assert path.read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_entry_points_lead_to_something(installed: Path) -> None:
    (path,) = installed.glob("*.dist-info/entry_points.txt")
    points = configparser.ConfigParser()
    points.read(path, encoding="utf-8")
    assert dict(points["console_scripts"]) == {"fm": "fm_cli:main"}
    assert dict(points["mlflow.deployments"]) == {"fm": "mlflow_fm"}


def imported(package: Path) -> set[str]:
    """The top-level modules that the sources in `package` import, anywhere."""
    nodes = [node for path in package.rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    origins = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.partition(".")[0] for name in plain + origins}


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_imports_is_declared(installed: Path, metadata: Message, package: str) -> None:
    """A module that merely comes along with another dependency may one day stay away."""
    foreign = imported(installed / package) - sys.stdlib_module_names - set(PACKAGES)
    origins = importlib.metadata.packages_distributions()
    names = {canonicalize_name(name) for module in foreign for name in origins.get(module, [module])}
    used = {PARTS.get(name, name) for name in names}
    assert used - LOADED_BY <= set().union(*(requirements(metadata, extra) for extra in USES[package]))


def test_the_core_asks_for_little(metadata: Message) -> None:
    assert requirements(metadata, "") == {"h11", "httpcore", "httpx", "pydantic"}


def test_the_extras_are_the_documented_ones(metadata: Message) -> None:
    assert set(metadata.get_all("Provides-Extra", [])) == EXTRAS
    assert requirements(metadata, "langchain") == {"langchain-core"}
    assert requirements(metadata, "llamaindex") == {"filetype", "llama-index-core", "tiktoken", "tqdm"}
    assert requirements(metadata, "mlflow") == {"mlflow-skinny"}


def test_all_brings_everything_but_the_providers(metadata: Message) -> None:
    others = [requirements(metadata, extra) for extra in EXTRAS - {"all", "providers"}]
    assert requirements(metadata, "all") == set().union(*others)
    assert requirements(metadata, "providers").isdisjoint(requirements(metadata, "all"))


def test_every_requirement_is_bounded_above(metadata: Message) -> None:
    found = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    assert [str(each) for each in found if not any(clause.operator == "<" for clause in each.specifier)] == []


def test_the_version_is_told_once(metadata: Message, installed: Path) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import fm_client; print(fm_client.__version__)"
    done = isolated(code, str(installed), cwd=installed.parent)
    assert done.stdout.strip() == metadata["Version"], done.stderr


def test_the_installed_wheel_answers_a_chat(installed: Path) -> None:
    """Every module and data file that a call needs is in the wheel; the sources lie behind it and are not used."""
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import fm_client, fm_workspace
assert fm_client.__file__.startswith(sys.argv[1]), fm_client.__file__
assert fm_workspace.__file__.startswith(sys.argv[1]), fm_workspace.__file__
with fm_client.Client(host="local") as client:
    print(client.chat("databricks-meta-llama-3-3-70b-instruct", "Say hello.").text)
"""
    done = isolated(code, str(installed), cwd=installed.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_mlflow_finds_the_target_in_the_wheel_by_its_entry_point(installed: Path) -> None:
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import importlib.metadata, pathlib
import mlflow_fm
from mlflow.deployments import get_deploy_client
(found,) = importlib.metadata.Distribution.discover(name="fm-integrations", path=[sys.argv[1]])
print(*found.entry_points.select(group="mlflow.deployments").names)
print(pathlib.Path(mlflow_fm.__file__).parent.parent == pathlib.Path(sys.argv[1]))
client = get_deploy_client("fm://local")
body = {"messages": [{"role": "user", "content": "Hi"}]}
print(client.predict(endpoint="databricks-meta-llama-3-3-70b-instruct", inputs=body).object)
"""
    done = isolated(code, str(installed), cwd=installed.parent)
    assert done.stdout.split() == ["fm", "True", "chat.completion"], done.stderr


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert names(build("wheel", source, tmp_path / "again")) == names(wheel)


@pytest.mark.parametrize(
    ("package", "framework", "extra"),
    [
        ("langchain_fm", "langchain_core", "langchain"),
        ("llamaindex_fm", "llama_index", "llamaindex"),
        ("mlflow_fm", "mlflow", "mlflow"),
        ("fm_workspace", "fastapi", "workspace"),
    ],
)
def test_a_missing_framework_is_named_with_its_cure(installed: Path, package: str, framework: str, extra: str) -> None:
    """None in `sys.modules` makes Python treat a module as not installed."""
    code = """
import sys
sys.path.insert(0, sys.argv[1])
sys.modules[sys.argv[2]] = None
try:
    __import__(sys.argv[3])
except ImportError as exc:
    print(exc)
    print(type(exc.__cause__).__name__)
"""
    done = isolated(code, str(installed), framework, package, cwd=installed.parent)
    assert f'pip install "fm-integrations[{extra}]"' in done.stdout, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "ModuleNotFoundError"


def test_the_command_without_its_extra_is_one_line(installed: Path) -> None:
    code = """
import sys
sys.path.insert(0, sys.argv[1])
sys.modules["typer"] = None
import fm_cli
fm_cli.main()
"""
    script = [sys.executable, "-I", "-c", code, str(installed)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (1, "") == (done.returncode, done.stdout)
    assert ['fm: the fm command needs typer and rich: pip install "fm-integrations[cli]"'] == done.stderr.splitlines()
