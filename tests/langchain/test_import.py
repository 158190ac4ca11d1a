"""What importing the package costs, and says when LangChain is missing."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"langchain", "langgraph", "numpy", "pandas", "openai", "tiktoken", "transformers", "torch", "mlflow"}


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_loads_nothing_heavy() -> None:
    done = run("import sys, langchain_fm; print(*{name.partition('.')[0] for name in sys.modules})")
    assert set(done.stdout.split()) & HEAVY == set()
    assert "langchain_core" in done.stdout


def test_a_missing_langchain_core_is_told_with_its_cure() -> None:
    done = run("import sys; sys.modules['langchain_core'] = None; import langchain_fm")
    assert 'langchain_fm needs langchain-core: pip install "fm-integrations[langchain]"' in done.stderr
