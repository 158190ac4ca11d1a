"""A conformance kit for LlamaIndex: what its pipelines expect of any `LLM` and any `BaseEmbedding`.

Subclass a suite, say how a model is made, and run pytest:

    from conformance import LLMConformance

    class TestMyLLM(LLMConformance):
        secret = "the-token"
        environment = {"MY_TOKEN": "the-token"}

        def make(self, **fields):
            return MyLLM("my-model", token=self.secret, **fields)

`LLMConformance` and `EmbeddingConformance` run against whatever service the model is made for. `LLMWireConformance` and
`EmbeddingWireConformance` come with a server that answers by script in OpenAI's format, and need `make_at(host)`.
A flag (`has_tools = False`) or a skipped test in the subclass says what a model is not meant to do. The kit needs
pytest, llama-index-core and `fault_server.py` of `tests/support`, and nothing of the adapter under test.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"conformance._{name}" for name in ("embedding", "kit", "lifecycle", "llm", "tools", "wire"))
)

from ._embedding import EmbeddingConformance  # noqa: E402  # after the line above, which is for these
from ._llm import LLMConformance  # noqa: E402
from ._wire import EmbeddingWireConformance, LLMWireConformance  # noqa: E402

__all__ = ["EmbeddingConformance", "EmbeddingWireConformance", "LLMConformance", "LLMWireConformance"]
