"""`init_chat_model`: a chat model by name, in the form of LangChain's function, which knows its own providers only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from fm_client import InvalidRequestError

from ._chat import ChatFoundationModel
from ._config import PROVIDER, REQUEST_FIELDS

if TYPE_CHECKING:
    from ._configurable import ConfigurableChatModel


@overload
def init_chat_model(
    model: str | list[str],
    *,
    model_provider: str | None = None,
    configurable_fields: None = None,
    config_prefix: str | None = None,
    **kwargs: Any,
) -> ChatFoundationModel: ...


@overload
def init_chat_model(
    model: str | list[str],
    *,
    model_provider: str | None = None,
    configurable_fields: Literal["any"] | Sequence[str],
    config_prefix: str | None = None,
    **kwargs: Any,
) -> ConfigurableChatModel: ...


def init_chat_model(
    model: str | list[str],
    *,
    model_provider: str | None = None,
    configurable_fields: Literal["any"] | Sequence[str] | None = None,
    config_prefix: str | None = None,
    **kwargs: Any,
) -> ChatFoundationModel | ConfigurableChatModel:
    """A chat model by the name of its endpoint, with or without "databricks:" before it (or as `model_provider`).

    >>> llm = init_chat_model("databricks:databricks-gpt-oss-120b", host="local", configurable_fields=["model"])
    >>> choice = {"configurable": {"model": "databricks-meta-llama-3-3-70b-instruct"}}
    >>> llm.invoke("Hello", choice).response_metadata["endpoint"]
    'databricks-meta-llama-3-3-70b-instruct'

    `configurable_fields` can be set by the configuration of a call, as `config_prefix` + "_" + the field's name if
    there is a prefix. "any" is the endpoint and all fields of the request, and never the connection: who configures a
    call must not be able to send the token to another host. Further arguments are those of `ChatFoundationModel`.
    """
    built = ChatFoundationModel(model=_endpoint(model, model_provider), **kwargs)
    if configurable_fields is None:
        return built
    fields = sorted(_ANY) if configurable_fields == "any" else list(configurable_fields)
    if unknown := [name for name in fields if name not in ChatFoundationModel.model_fields]:
        raise InvalidRequestError(f"configurable_fields: {', '.join(unknown)} is no field of ChatFoundationModel")
    from langchain_core.runnables import ConfigurableField

    prefix = f"{config_prefix}_" if config_prefix else ""
    return built.configurable_fields(**{name: ConfigurableField(id=prefix + name) for name in fields})


_ANY = frozenset({"model"}) | (REQUEST_FIELDS & ChatFoundationModel.model_fields.keys())


def _endpoint(model: str | list[str], provider: str | None) -> str | list[str]:
    if provider is not None:
        _check(provider, model)
    if not isinstance(model, str) or ":" not in model:
        return model
    before, _, name = model.partition(":")
    _check(before, model)
    return name


def _check(provider: str, model: str | list[str]) -> None:
    if provider != PROVIDER:
        raise InvalidRequestError(
            f"{model!r}: {provider!r} is another provider; LangChain's init_chat_model knows those"
        )
