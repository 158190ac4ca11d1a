"""Which serving endpoints a chain or an index asks: what a logged model must be allowed to reach."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

from ._errors import invalid

_ADAPTERS = ("langchain_fm.", "llamaindex_fm.")
# Classes in which no model hides, though much else can be reached through some of them.
_CLOSED = frozenset({"fm_client", "httpcore", "httpx", "mlflow", "numpy", "pandas", "pydantic", "torch"})
# Their functions refer to what is theirs, and get what is the user's as arguments.
_LIBRARIES = _CLOSED | {"langchain", "langchain_core", "langgraph", "llama_index", "workflows"}


def resources_for(*objects: Any) -> list[Any]:
    """The endpoints of all models in `objects`, as resources for MLflow's `log_model(resources=…)`.

    >>> from langchain_core.runnables import RunnableLambda
    >>> from langchain_fm import ChatFoundationModel
    >>> model = ChatFoundationModel(model=["my-endpoint", "databricks-meta-llama-3-3-70b-instruct"], host="local")
    >>> [resource.name for resource in resources_for(RunnableLambda(str) | model)]
    ['databricks-meta-llama-3-3-70b-instruct', 'my-endpoint']

    It looks into chains, agents, tools, functions (what they close over, and the globals that they use), engines and
    indexes; for those of LlamaIndex also into its global `Settings`. With no model of ours in them it is an
    MlflowException, because a list without a resource would only fail where the model is served.
    """
    from mlflow.models.resources import DatabricksServingEndpoint  # here, because it is slow to import

    names = sorted({name for found in objects for name in endpoints_in(found)})
    if not names:
        raise invalid("no model of langchain_fm or llamaindex_fm is in these objects: name their endpoints yourself")
    return [DatabricksServingEndpoint(endpoint_name=name) for name in names]


def endpoints_in(root: Any) -> Iterator[str]:
    """The endpoints of all models that can be reached from `root`, some of them more than once."""
    stack, seen = [root, *_settings_for(root)], set[int]()
    while stack:
        found = stack.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if _is_model(found):
            yield from _names(getattr(found, "model", None) or found.model_name)
        else:
            yield from _bound_names(found)
            stack.extend(_inside(found))


def _is_model(found: Any) -> bool:
    if not any(base.__module__.startswith(_ADAPTERS) for base in type(found).__mro__):
        return False
    return hasattr(found, "model") or hasattr(found, "model_name")


def _bound_names(found: Any) -> Iterator[str]:
    """Endpoints that `model.bind(model=…)` names instead of the model's own."""
    fields = _own(found)
    if _is_model(fields.get("bound")) and isinstance(fields.get("kwargs"), Mapping):
        yield from _names(fields["kwargs"].get("model", ()))


def _names(model: str | Iterable[str]) -> Iterable[str]:
    return (model,) if isinstance(model, str) else model


def _settings_for(root: Any) -> list[Any]:
    """What objects of LlamaIndex fall back on; asking its `Settings` would create the default models."""
    core = sys.modules.get("llama_index.core")
    if core is None or not type(root).__module__.startswith("llama_index."):
        return []
    return [getattr(core.Settings, name, None) for name in ("_llm", "_embed_model")]


def _inside(found: Any) -> list[Any]:
    """What `found` holds."""
    if isinstance(found, Mapping):
        return list(found.values())
    if isinstance(found, (list, tuple, set, frozenset)):
        return list(found)
    if isinstance(found, functools.partial):
        return [found.func, *found.args, *found.keywords.values()]
    if isinstance(found, MethodType):
        return [found.__self__, found.__func__]
    return _used_by(found) if isinstance(found, FunctionType) else _fields_of(found)


def _used_by(function: FunctionType) -> list[Any]:
    """What a function closes over, has as defaults, and names among the globals."""
    used: list[Any] = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        try:
            used.append(cell.cell_contents)
        except ValueError:
            pass  # a variable that has no value yet
    if _top(function.__module__) not in _LIBRARIES | sys.stdlib_module_names:
        named = (function.__globals__.get(name) for name in function.__code__.co_names)
        used += [value for value in named if not isinstance(value, (ModuleType, type))]
    return used


def _fields_of(found: Any) -> list[Any]:
    if isinstance(found, (type, ModuleType)) or _top(type(found).__module__) in _CLOSED | sys.stdlib_module_names:
        return []
    fields = _own(found)
    private = fields.get("__pydantic_private__") or {}
    return [*fields.values(), *(private.values() if isinstance(private, Mapping) else ())]


def _own(found: Any) -> dict[str, Any]:
    """The attributes of an object, got without running any code of it."""
    fields: dict[str, Any] = {}
    for base in type(found).__mro__:
        for name, member in vars(base).items():
            if isinstance(member, MemberDescriptorType):  # one of `__slots__`
                fields[name] = _get(member, found)
    try:
        fields |= object.__getattribute__(found, "__dict__")
    except AttributeError:
        pass  # all of them were slots
    return fields


def _get(member: MemberDescriptorType, found: Any) -> Any:
    try:
        return member.__get__(found)
    except AttributeError:
        return None  # it has no value yet


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]
