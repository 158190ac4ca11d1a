"""A model whose fields are chosen by the configuration of a call, over the connections of the model it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.configurable import RunnableConfigurableFields
from langchain_core.runnables.utils import AnyConfigurableField

from ._structured import structured

if TYPE_CHECKING:
    from ._chat import ChatFoundationModel


class ConfigurableModel(RunnableConfigurableFields):  # type: ignore[type-arg]  # pydantic would want a default of exactly these types
    """LangChain's own, which would open new connections for every call, and lose its fields to `bind_tools`."""

    def _prepare(self, config: RunnableConfig | None = None) -> tuple[Runnable[Any, Any], RunnableConfig]:
        model, config = super()._prepare(config)
        if model is not self.default:
            cast("Any", model).share_connections(self.default)
        return model, config

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> ConfigurableModel:
        """The same model with further fields that can be configured."""
        return ConfigurableModel(default=self.default, fields={**self.fields, **kwargs})


class ConfigurableChatModel(ConfigurableModel):
    """A chat model that can be configured, with tools and structured output."""

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> ConfigurableChatModel:
        """The same model with further fields that can be configured."""
        return ConfigurableChatModel(default=self.default, fields={**self.fields, **kwargs})

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """As that of `ChatFoundationModel`; the fields stay configurable."""
        bound = cast("RunnableBinding[Any, AIMessage]", self._model.bind_tools(tools, **kwargs))
        return self.bind(**bound.kwargs)

    def with_structured_output(self, schema: Any = None, **kwargs: Any) -> Runnable[LanguageModelInput, Any]:
        """As that of `ChatFoundationModel`; the fields stay configurable."""
        return structured(self, schema, **kwargs)

    @property
    def _model(self) -> ChatFoundationModel:
        return cast("ChatFoundationModel", self.default)
