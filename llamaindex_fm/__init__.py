"""LlamaIndex on foundation-model serving endpoints: `FoundationModelLLM` and `FoundationModelEmbedding`.

>>> from llamaindex_fm import FoundationModelLLM
>>> llm = FoundationModelLLM("databricks-meta-llama-3-3-70b-instruct", host="local")
>>> llm.complete("Say hello").additional_kwargs["endpoint"]
'databricks-meta-llama-3-3-70b-instruct'
"""

# The one thing besides imports: a missing framework is told here, before the first import that needs it.
try:
    import llama_index.core as _framework
except ModuleNotFoundError as exc:
    if exc.name not in ("llama_index", "llama_index.core"):
        raise
    raise ImportError('llamaindex_fm needs llama-index-core: pip install "fm-integrations[llamaindex]"') from exc

from ._embedding import FoundationModelEmbedding
from ._llm import FoundationModelLLM
from ._offline import offline

del _framework

__all__ = ["FoundationModelEmbedding", "FoundationModelLLM", "offline"]
