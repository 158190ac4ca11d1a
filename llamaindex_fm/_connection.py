"""What both classes share: the connection to a workspace, and what becomes of it in copies, pickles and dumps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from llama_index.core.bridge.pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from llama_index.core.schema import BaseComponent

from fm_client import AsyncClient, Client, Clients, ConfigurationError, Timeout

ELSEWHERE = {
    "api_key": "token",
    "api_base": "host",
    "base_url": "host",
    "additional_kwargs": "extra_body",
    "http_client": "client=Client(..., http_client=...)",
    "async_http_client": "client=AsyncClient(..., http_client=...)",
    "default_headers": "client=Client(..., http_client=...)",
    "is_chat_model": "task",
    "should_use_structured_outputs": "structured_output",
    "dimension": "dimensions",
}
"""What other adapters call an argument, and what it is called here."""
ANSWERED = {
    "openai_client": "client= takes a fm_client.Client",
    "async_openai_client": "client= takes a fm_client.AsyncClient",
    "modalities": "extra_body= takes it",
    "audio_config": "extra_body= takes it, as audio",
    "strict": "leave it out: hosted models refuse it",
    "tokenizer": "leave it out: the service counts tokens",
    "reuse_client": "leave it out: connections are always shared",
    "api_version": "leave it out: the service has none",
}
"""Arguments of other adapters for which there is no other name, and what to do about them."""
READ_OFTEN = ("_clients", "_known")
"""Our private attributes that each call reads, some of them several times."""
SHARED_BY_COPIES = ("callback_manager", "rate_limiter", "embeddings_cache")
"""Fields that may hold locks: a deep copy has the same ones, as it has the same connections."""


class Connected(BaseComponent):
    """A component with a workspace behind it.

    The token and the clients are in one private attribute, so that they are in no dump, repr, hash or event; a pickle
    has them without the token, which is looked up anew (environment, profile) where it is unpickled.
    """

    # A misspelt argument may be a misspelt `token=`: the error must not quote its value.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)

    host: str | None = Field(default=None, frozen=True, description='Address of the workspace; "local": embedded.')
    profile: str | None = Field(default=None, frozen=True, description="Section of ~/.databrickscfg.")
    timeout: Annotated[float, Field(gt=0)] | Timeout | None = Field(
        default=None, exclude=True, description="Seconds for a call, or a Timeout."
    )
    max_retries: int | None = Field(default=None, ge=0, exclude=True, description="Repeats after the first attempt.")
    extra_body: dict[str, Any] | None = Field(default=None, description="Further fields of the request body.")

    _clients: Clients = PrivateAttr(default_factory=Clients)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):  # an object that is one already
            return given
        known = {*cls.model_fields, "token", "client", "endpoint"}
        if unknown := [name for name in given if name not in known]:
            raise ValueError("; ".join(_unknown(cls.__name__, name, known) for name in unknown))
        return given

    def _connect(self, client: Client | AsyncClient | Clients | None, token: Any) -> None:
        if isinstance(client, Clients):
            if token is not None or self.host is not None or self.profile is not None:
                raise ConfigurationError("give either client= or host, token and profile, not both")
            self._clients = client
        else:
            self._clients = Clients(client=client, host=self.host, token=token, profile=self.profile)

    if not TYPE_CHECKING:  # a type checker would take any name for one that is there

        def __getattr__(self, name: str) -> Any:
            # pydantic takes long to find a private attribute. Those of a subclass are left to it: a function as a
            # default becomes a method there.
            private = self.__pydantic_private__ if name in READ_OFTEN else None
            return private[name] if private and name in private else super().__getattr__(name)

    def close(self) -> None:
        """Close the sync half, for good: of a client that was given and of copies, too."""
        self._clients.sync.close()

    async def aclose(self) -> None:
        """Close the async half in the running event loop, for good; other loops have connections of their own."""
        await self._clients.aio.aclose()

    def _merged(self, fields: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call of the core: this object's, and over them those of the call."""
        own = {**fields, "timeout": self.timeout, "max_retries": self.max_retries}
        merged = {**{name: value for name, value in own.items() if value is not None}, **given}
        if extra := {**(self.extra_body or {}), **(given.get("extra_body") or {})}:
            merged["extra_body"] = extra
        return merged

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "_clients" not in (state["__pydantic_private__"] or {}):  # the base class drops what it cannot pickle
            raise TypeError(
                f"this {type(self).__name__} cannot be pickled: its client has its own http_client or SSLContext"
            )
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Not the base class's way, which runs `__init__` again. Nothing here may raise: a worker process of an
        # ingestion pipeline that fails while it unpickles is replaced for ever, and the pipeline waits for ever.
        BaseModel.__setstate__(self, state)
        for name, field in type(self).model_fields.items():
            if name not in self.__dict__:
                self.__dict__[name] = field.get_default(call_default_factory=True)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        for name in SHARED_BY_COPIES:
            value = self.__dict__.get(name)
            memo[id(value)] = value
        return super().__deepcopy__(memo)


def _unknown(owner: str, name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    if name in ANSWERED:
        return f"{owner} has no argument {name!r}: {ANSWERED[name]}"
    close = [ELSEWHERE[name]] if name in ELSEWHERE else get_close_matches(name, sorted(known), 1)
    return f"{owner} has no argument {name!r}" + (f"; did you mean {close[0]}?" if close else "")


def one_name(**names: Any) -> Any:
    """The one value among aliases of the same argument.

    >>> one_name(model=None, endpoint="my-endpoint")
    'my-endpoint'
    """
    given = {name: value for name, value in names.items() if value is not None}
    if not given:
        raise ConfigurationError("name an endpoint: model=")
    for name, value in given.items():
        if isinstance(value, str) and "://" in value:  # `DatabricksEmbedding` has an address of that name
            raise ConfigurationError(
                f"{name} names an endpoint; the workspace's address goes into host=, without a path"
            )
    first, *others = given.values()
    if any(other != first for other in others):
        raise ConfigurationError(f"{' and '.join(given)} are names of one argument, and were given different values")
    return first
