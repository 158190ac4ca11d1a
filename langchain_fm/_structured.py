"""Tools and answers that follow a schema: what is sent for them, and what is read out of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_openai_function, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel

from fm_client import InvalidRequestError, Route, profile_for, thinks

if TYPE_CHECKING:
    from langchain_core.output_parsers import BaseOutputParser

    from ._chat import ChatFoundationModel
    from ._configurable import ConfigurableChatModel

    AnyChatModel: TypeAlias = ChatFoundationModel | ConfigurableChatModel

Method = Literal["json_schema", "function_calling", "json_mode"]
METHODS: tuple[Method, ...] = ("json_schema", "function_calling", "json_mode")
DEFAULT_SCHEMA_NAME = "answer"
"""For a JSON schema that has no title: the service wants a name."""


def structured(
    llm: AnyChatModel,
    schema: dict[str, Any] | type | None,
    *,
    method: Method | None = None,
    include_raw: bool = False,
    strict: bool | None = None,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
    """`llm` bound to ask for `schema`, followed by a parser."""
    chosen = method or default_method(llm.profile)
    if chosen not in METHODS:
        raise InvalidRequestError(f"method must be one of {', '.join(METHODS)}, not {chosen!r}")
    if schema is None and chosen != "json_mode":
        raise InvalidRequestError(f"method {chosen!r} needs a schema")
    function = None if schema is None else function_of(schema, strict)
    parser: Runnable[Any, Any] = _parser(chosen, schema, function)
    # Claude refuses to be forced to call a tool when it is to think first.
    if chosen == "function_calling" and thinks(kwargs.get("thinking", llm.thinking)):
        kwargs["tool_choice"] = None
        parser = RunnableLambda(_having_called) | parser
    asking = _asking(llm, chosen, function, strict, kwargs)
    return _with_raw(asking, parser) if include_raw else asking | parser


def _having_called(message: AIMessage) -> AIMessage:
    if not message.tool_calls:
        raise OutputParserException(f"the model answered without calling the tool: {message.text}")
    return message


def default_method(profile: Mapping[str, Any] | None) -> Method:
    """The method for a model; one of which nothing is known can call tools more likely than follow schemas."""
    return "json_schema" if (profile or {}).get("structured_output") else "function_calling"


def function_of(schema: dict[str, Any] | type, strict: bool | None = None) -> dict[str, Any]:
    """A schema of any kind as name, description and JSON schema."""
    if isinstance(schema, dict):
        schema = _named(schema)
    function = convert_to_openai_function(schema, strict=strict)
    return {"parameters": {"type": "object", "properties": {}}, **function}


def _named(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") == "json_schema" and isinstance(schema.get("json_schema"), Mapping):  # OpenAI's own form
        inner = schema["json_schema"]
        return {**{k: v for k, v in inner.items() if k != "schema"}, "parameters": inner.get("schema") or {}}
    if schema.get("type") == "function" and isinstance(schema.get("function"), Mapping):
        return dict(schema["function"])
    known = schema.keys() & {"title", "name", "toolSpec"}
    return schema if known else {**schema, "title": DEFAULT_SCHEMA_NAME}


def response_format(function: Mapping[str, Any]) -> dict[str, Any]:
    """The `response_format` that asks for a schema."""
    described = {name: function[name] for name in ("name", "description", "strict") if name in function}
    return {"type": "json_schema", "json_schema": {**described, "schema": function["parameters"]}}


def wire_tool(tool: Any, strict: bool | None) -> dict[str, Any]:
    """A tool of any kind as the service's; LangChain would leave one of that form as it is, whatever `strict` says."""
    if strict is not None and isinstance(tool, Mapping) and isinstance(tool.get("function"), Mapping):
        tool = tool["function"]
    return convert_to_openai_tool(tool, strict=strict)


def wire_tool_choice(choice: dict[str, Any] | str | bool | None, tools: Sequence[Mapping[str, Any]]) -> Any:
    """LangChain's `tool_choice` (and Anthropic's) as the service's; None if it is not to be sent."""
    if isinstance(choice, dict):
        choice = _tool_choice_word(choice)
    if choice is None or choice is False or not tools:
        return None
    if choice is True or choice == "any":
        return "required"
    if isinstance(choice, dict) or choice in ("auto", "none", "required"):
        return choice
    names = [tool["function"]["name"] if "function" in tool else tool.get("name") for tool in tools]
    if choice not in names:
        raise InvalidRequestError(f"tool_choice {choice!r} is none of the tools: {', '.join(map(str, names))}")
    return {"type": "function", "function": {"name": choice}}


def _tool_choice_word(choice: dict[str, Any]) -> dict[str, Any] | str:
    kind, name = choice.get("type"), choice.get("name")
    if kind == "tool" and isinstance(name, str):
        return name
    return kind if kind in ("any", "auto", "none") else choice


def _asking(
    llm: AnyChatModel,
    method: Method,
    function: dict[str, Any] | None,
    strict: bool | None,
    kwargs: dict[str, Any],
) -> Runnable[LanguageModelInput, Any]:
    told = {"method": method} | ({} if strict is None else {"strict": strict})
    traced: dict[str, Any] = (
        {} if function is None else {"ls_structured_output_format": {"kwargs": told, "schema": function}}
    )
    if method == "function_calling" and function is not None:
        tool = {"type": "function", "function": function}
        others = list(kwargs.pop("tools", None) or [])
        return llm.bind_tools([tool, *others], **{"tool_choice": function["name"], **traced, **kwargs})
    if method == "json_schema" and function is not None:
        traced["response_format"] = response_format(function)
    elif has_json_mode(llm):
        traced["response_format"] = {"type": "json_object"}
    if tools := kwargs.pop("tools", None):
        return llm.bind_tools(tools, **traced, **kwargs)
    return llm.bind(**traced, **kwargs)


def has_json_mode(llm: AnyChatModel) -> bool:
    """Whether no model that may answer is known to refuse JSON mode, as Claude does.

    The prompt has to ask for JSON in any case, so that a model without the mode is asked by the prompt alone.
    """
    known = [profile_for(name) for name in ([llm.model] if isinstance(llm.model, str) else llm.model)]
    served = (llm.profile or {}).get("name")  # the model's own name, once the endpoint was asked what it serves
    known += [profile_for(served, Route.EXTERNAL)] if served else []
    return all(profile.get("supports_json_object") is not False for profile in known)


def _parser(
    method: Method, schema: dict[str, Any] | type | None, function: dict[str, Any] | None
) -> BaseOutputParser[Any]:
    # Late: most programs ask for no structure, and these modules cost a good part of the import.
    from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
    from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser

    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    if method == "function_calling" and function is not None:
        if is_class:
            return PydanticToolsParser(tools=[schema], first_tool_only=True)  # type: ignore[list-item]  # see is_class
        return JsonOutputKeyToolsParser(key_name=function["name"], first_tool_only=True)
    return PydanticOutputParser(pydantic_object=schema) if is_class else JsonOutputParser()  # type: ignore[arg-type]  # likewise


def _with_raw(asking: Runnable[LanguageModelInput, Any], parser: Runnable[Any, Any]) -> Runnable[Any, Any]:
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=asking) | parsed.with_fallbacks([failed], exception_key="parsing_error")
