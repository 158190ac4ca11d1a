"""LangChain models over foundation-model serving endpoints: chat, completions and embeddings.

>>> from langchain_fm import ChatFoundationModel
>>> llm = ChatFoundationModel(model="databricks-meta-llama-3-3-70b-instruct", host="local")
>>> llm.invoke("Hello").response_metadata["finish_reason"]
'stop'
"""

from typing import TYPE_CHECKING, Any

try:
    from ._chat import ChatFoundationModel
    from ._embeddings import FoundationModelEmbeddings
    from ._init import init_chat_model
except ModuleNotFoundError as exc:
    if (exc.name or "").partition(".")[0] != "langchain_core":
        raise
    raise ImportError('langchain_fm needs langchain-core: pip install "fm-integrations[langchain]"') from exc

if TYPE_CHECKING:
    from ._llm import FoundationModelLLM

__all__ = ["ChatFoundationModel", "FoundationModelEmbeddings", "FoundationModelLLM", "init_chat_model"]

if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        """Import what most callers do without: LangChain's base of completion models brings yaml and tenacity along."""
        if name != "FoundationModelLLM":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ._llm import FoundationModelLLM

        globals()[name] = FoundationModelLLM
        return FoundationModelLLM


def __dir__() -> list[str]:
    """All names, the one that is not imported yet too."""
    return sorted({*globals(), *__all__})
