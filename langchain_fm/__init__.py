"""LangChain models over foundation-model serving endpoints: chat, completions and embeddings.

>>> from langchain_fm import ChatFoundationModel
>>> llm = ChatFoundationModel(model="databricks-meta-llama-3-3-70b-instruct", host="local")
>>> llm.invoke("Hello").response_metadata["finish_reason"]
'stop'
"""

try:
    from ._chat import ChatFoundationModel
    from ._embeddings import FoundationModelEmbeddings
    from ._llm import FoundationModelLLM
except ModuleNotFoundError as exc:
    if (exc.name or "").partition(".")[0] != "langchain_core":
        raise
    raise ImportError('langchain_fm needs langchain-core: pip install "fm-integrations[langchain]"') from exc

__all__ = ["ChatFoundationModel", "FoundationModelEmbeddings", "FoundationModelLLM"]
