"""What importing the package costs, and says when LangChain is missing."""

from __future__ import annotations

import subprocess
import sys

from fault_server import FaultServer, chat, reply

HEAVY = {"langchain", "langgraph", "numpy", "pandas", "openai", "tiktoken", "transformers", "torch", "mlflow"}
FLOOR = """
import httpcore
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatResult

class Chat(BaseChatModel):
    @property
    def _llm_type(self): return "trivial"
    def _generate(self, messages, stop=None, run_manager=None, **kwargs): return ChatResult(generations=[])
"""
"""The least that a chat model on langchain-core and httpcore can import."""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_loads_nothing_heavy() -> None:
    done = run("import sys, langchain_fm; print(*{name.partition('.')[0] for name in sys.modules})")
    assert set(done.stdout.split()) & HEAVY == set()
    assert "langchain_core" in done.stdout


def modules_after(code: str) -> set[str]:
    return set(run(f"{code}\nimport sys; print(*sys.modules)").stdout.split())


def test_importing_loads_little_more_than_langchain_core_does() -> None:
    """The weight is measured in modules, which do not depend on how busy the machine is."""
    ours, floor = modules_after("import langchain_fm"), modules_after(FLOOR)
    own = {name for name in ours if name.partition(".")[0] in ("fm_client", "langchain_fm")}

    assert {name.partition(".")[0] for name in ours - floor - own} <= {"langchain_core", "pydantic", "configparser"}
    assert len(ours) <= 1.15 * len(floor)


def test_the_completion_model_is_imported_when_it_is_asked_for() -> None:
    assert modules_after("import langchain_fm") & {"yaml", "tenacity", "langchain_fm._llm"} == set()
    assert "langchain_fm._llm" in modules_after("from langchain_fm import FoundationModelLLM")
    assert "has no attribute 'Nothing'" in run("import langchain_fm; langchain_fm.Nothing").stderr


def test_every_name_is_offered_before_it_is_loaded() -> None:
    assert run("import langchain_fm as door; print(sorted({*door.__all__} - {*dir(door)}))").stdout.strip() == "[]"


def test_a_hosted_model_is_asked_without_the_control_plane(server: FaultServer) -> None:
    """Its route is known; what manages endpoints is imported where one has to be asked."""
    server.script("databricks-gpt-oss-20b", reply(200, chat()))
    code = "from langchain_fm import ChatFoundationModel as Chat"
    asked = (
        f"Chat(model='databricks-gpt-oss-20b', host='{server.host}', token='t').invoke('Hi').response_metadata['route']"
    )
    assert "hosted" in run(f"{code}; print({asked})").stdout
    assert "fm_client._endpoints" not in modules_after(f"{code}; {asked}")


def test_what_was_serialised_elsewhere_loads_where_the_package_is_imported() -> None:
    serialised = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain_fm", "FoundationModelLLM"],
        "kwargs": {"model": "e"},
    }
    code = f"from langchain_core.load import load; print(type(load({serialised}, allowed_objects='all', valid_namespaces=['langchain_fm'])))"
    assert "FoundationModelLLM" in run(f"import langchain_fm; {code}").stdout


def test_a_missing_langchain_core_is_told_with_its_cure() -> None:
    done = run("import sys; sys.modules['langchain_core'] = None; import langchain_fm")
    assert 'langchain_fm needs langchain-core: pip install "fm-integrations[langchain]"' in done.stderr
