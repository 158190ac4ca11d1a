"""What the three models share: which endpoint to call, as whom, and the clients to do it with."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self, cast

from langchain_core.language_models.base import LangSmithParams
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from fm_client import (
    AsyncClient,
    Client,
    Clients,
    ConfigurationError,
    InvalidRequestError,
    Timeout,
    __version__,
    catalog,
)

from ._arguments import renamed

PROVIDER = "databricks"
NAMESPACE = ("langchain_fm",)
SERIALISED = ("ChatFoundationModel", "FoundationModelLLM")
"""By name: one of them is imported when it is asked for."""
CHARS_PER_TOKEN = 4
"""A common rule of thumb for English text; other scripts are counted as one token for each character."""

CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True, protected_namespaces=())


class Connection(BaseModel):
    """Constructor fields of every model. None means: from the environment, the profile file, or the core's default."""

    model_config = CONFIG

    model: str | list[str]
    """The serving endpoint (also accepted as `endpoint=`); several to fall back on, in order."""
    host: str | None = None
    """Address of the workspace; "local" is the embedded one. Default: DATABRICKS_HOST."""
    token: SecretStr | Callable[[], Any] | None = Field(default=None, repr=False, exclude=True)
    """Bearer token (also accepted as `api_key=`), or a function that returns one. Default: DATABRICKS_TOKEN."""
    config_profile: str | None = None
    """A profile of ~/.databrickscfg; also accepted as `profile=`, which of a chat model can be a model profile too."""
    client: Client | AsyncClient | Clients | None = Field(default=None, repr=False, exclude=True)
    """A client that is there already, instead of host, token and profile."""
    timeout: float | Timeout | None = None
    """Seconds for a whole call, or a `fm_client.Timeout`."""
    max_retries: int | None = None
    """Repeats after the first attempt, 0 to 20 (default 2)."""

    _opened: tuple[tuple[Any, ...], Clients] | None = PrivateAttr(default=None)
    """The clients, and what they were made of. Read where pydantic keeps it, which takes long to find it by name."""

    def model_post_init(self, context: Any, /) -> None:
        """Keep LangChain's own hook: pydantic would put its own, for the private attributes, in front of it."""
        super().model_post_init(context)

    @model_validator(mode="before")
    @classmethod
    def _read_synonyms(cls, given: Any) -> Any:
        return renamed(cls, given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _check_connection(self) -> Self:
        if not self.model:
            raise ValueError("model is empty: name an endpoint, or several to fall back on")
        self.clients  # noqa: B018  # an impossible combination is an error here, not at the first call
        return self

    @property
    def clients(self) -> Clients:
        """The clients, sync and async; opened when first used."""
        return self._open()[1]

    def _open(self) -> tuple[tuple[Any, ...], Clients]:
        opened = (self.__pydantic_private__ or {}).get("_opened")
        wanted = (self.host, self.token, self.config_profile, self.client, self.timeout, self.max_retries)
        if opened is None or wanted != opened[0]:  # also after `model_copy(update=…)`
            opened = self._opened = wanted, self._connect()
        return cast("tuple[tuple[Any, ...], Clients]", opened)

    def share_connections(self, other: Connection) -> None:
        """Use the clients of `other` if they are of the same workspace and settings."""
        theirs = other._open()
        if self._open()[0] == theirs[0]:
            self._opened = theirs

    def close(self) -> None:
        """Close the connections of the sync half, for good; copies share them. A given `client` is left open."""
        if self.client is None:
            self.clients.sync.close()

    async def aclose(self) -> None:
        """Close the connections of the async half that belong to the running event loop, which does so as it ends."""
        if self.client is None:
            await self.clients.aio.aclose()

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The environment variable that stands for the token in a serialised model."""
        return {"token": "DATABRICKS_TOKEN"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """What a serialised model needs beside its fields: plain data only."""
        attributes: dict[str, Any] = {}
        if isinstance(self.timeout, Timeout):
            attributes["timeout"] = dataclasses.asdict(self.timeout)
        if self.client is not None and (host := self._host()):
            attributes["host"] = host
        return attributes

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Yes: `load(dumpd(model), allowed_objects=[…])` gives an equal model, its token read from the environment."""
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where a serialised model is found again: the front door, not the private module."""
        return [*NAMESPACE]

    @property
    def _target(self) -> dict[str, Any]:
        """What tells two models apart that ask the same: for cache keys, without any secret."""
        return {"model": self.model, "host": self._host() or self.host, "config_profile": self.config_profile}

    def _host(self) -> str | None:
        try:
            return self.clients.sync.settings.host
        except ConfigurationError:
            return None  # to be reported by the call itself; what asks here can do without

    def _connect(self) -> Clients:
        if isinstance(self.client, Clients):
            return self.client
        if self.client is not None:
            return Clients(client=self.client, host=self.host, token=self.token, profile=self.config_profile)
        return Clients(
            host=self.host,
            token=self.token,
            profile=self.config_profile,
            timeout=self.timeout,
            max_retries=self.max_retries,
        )

    def __getstate__(self) -> dict[Any, Any]:
        """A pickle holds no token: where it is unpickled, the token is looked up anew."""
        state = super().__getstate__()
        fields = {**state["__dict__"], "token": None}
        fields.pop("_serialized", None)
        private = {**(state["__pydantic_private__"] or {}), "_opened": None}
        return {**state, "__dict__": fields, "__pydantic_private__": private}


class LanguageModel(Connection):
    """What the chat model and the completion model share besides the connection."""

    temperature: float | None = None
    """0 to 2."""
    max_tokens: int | None = None
    """Most tokens of an answer."""
    top_p: float | None = None
    """Above 0, up to 1."""
    top_k: int | None = None
    """Sample from this many most likely tokens only."""
    stop: str | list[str] | None = None
    """Where to end an answer."""
    n: int | None = None
    """Answers to one prompt (default 1)."""
    streaming: bool | None = None
    """Stream even for `invoke`; False: never stream, not even for `stream`."""
    seed: int | None = None
    """For answers that can be repeated, where the model supports it."""
    frequency_penalty: float | None = None
    """-2 to 2."""
    presence_penalty: float | None = None
    """-2 to 2."""
    user: str | None = None
    """Name of the end user, passed on."""
    extra_body: dict[str, Any] | None = None
    """Further fields of the request body, sent as they are."""
    look_up_route: bool = True
    """Ask an endpoint that the catalog lacks, once, by which route it serves, for `response_metadata["route"]`."""

    @property
    def _sampling(self) -> dict[str, Any]:
        """The constructor's request fields that are set."""
        fields = self.__dict__
        names = _request_fields(type(self))
        return {name: value for name in names if (value := fields[name]) is not None and value != []}

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "host": self.host, "config_profile": self.config_profile, **self._sampling}

    def _call(self, stop: str | list[str] | None, given: Mapping[str, Any]) -> tuple[str | list[str], dict[str, Any]]:
        """Endpoint and parameters of a call: what it says itself beats the constructor; None takes a field back."""
        params = {**self._sampling, **given}
        params.pop("stream", None)  # how LangChain asks for streaming or no streaming; decided by now
        if stop is not None:
            params["stop"] = stop
        params["extra_body"] = self._extra_body(given)
        if self.client is not None:  # which has limits of its own: this model's go along with each call
            params = {"timeout": self.timeout, "max_retries": self.max_retries, **params}
        model = params.pop("model", None) or params.pop("endpoint", None) or self.model
        for name in ("stop", "tools"):
            params[name] = params.get(name) or None  # an empty list means none; the service refuses it
        return model, {name: value for name, value in params.items() if value is not None}

    def _extra_body(self, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """What goes into the body besides the service's own fields: a call's are added to the constructor's."""
        called = given.get("extra_body", {})
        return None if called is None else {**(self.extra_body or {}), **called} or None

    def _stream_call(self, stop: Any, given: Mapping[str, Any]) -> tuple[str | list[str], dict[str, Any]]:
        model, params = self._call(stop, given)
        if self._asks_for_several(given):
            raise InvalidRequestError(
                f"n={params['n']} cannot be streamed: LangChain's streams carry one answer. generate() gives all, "
                "invoke() the first; for a stream leave n out, or pass n=1 to the call"
            )
        return model, params

    def _asks_for_several(self, given: Mapping[str, Any]) -> bool:
        return given.get("n", self.n) not in (None, 1)

    def _must_ask(self, endpoint: str) -> bool:
        """Whether an endpoint is to be asked for its route; those of the catalog are hosted."""
        return self.look_up_route and catalog.get(endpoint) is None

    def _left(self, client: Client | AsyncClient, params: Mapping[str, Any], began: float | None = None) -> float:
        """Seconds that a call may still take, to learn its route; a stream has no limit as a whole."""
        timeout = params.get("timeout") or client.settings.timeout
        total = timeout.total if isinstance(timeout, Timeout) else timeout
        spent = 0.0 if began is None else time.monotonic() - began
        return math.inf if total is None else total - spent

    def _tracing_params(self, kind: str, stop: Any, given: Mapping[str, Any]) -> LangSmithParams:
        """The standard parameters of a trace."""
        model, params = self._call(stop, given)
        names = {"ls_temperature": "temperature", "ls_max_tokens": "max_tokens"}
        found = {ls_name: params[name] for ls_name, name in names.items() if name in params}
        if stops := params.get("stop"):
            found["ls_stop"] = [stops] if isinstance(stops, str) else stops
        params = {"ls_provider": PROVIDER, "ls_model_type": kind, "ls_model_name": first(model), **found}
        return cast("LangSmithParams", params)

    def _cache_key(self, stop: Any, given: Mapping[str, Any]) -> str:
        """All that an answer depends on: workspace, endpoint, and every request field, stop sequences included."""
        model, params = self._call(stop, given)
        for name in ("timeout", "max_retries"):
            params.pop(name, None)
        return repr(sorted({**self._target, **params, "model": model, "_type": type(self).__name__}.items()))


REQUEST_FIELDS = frozenset({
    "temperature", "max_tokens", "top_p", "top_k", "stop", "n", "seed", "frequency_penalty", "presence_penalty",
    "user", "extra_body", "logprobs", "top_logprobs", "parallel_tool_calls", "reasoning_effort", "thinking",
    "custom_inputs",
})  # fmt: skip
"""Fields of the constructor that are sent with every request."""


@functools.lru_cache(maxsize=64)
def _request_fields(cls: type[BaseModel]) -> tuple[str, ...]:
    """Those that a class has; LangChain asks for them several times in a call."""
    return tuple(sorted(cls.model_fields.keys() & REQUEST_FIELDS))


def allow_loading() -> None:
    """Put our models on LangChain's list of what `load(…, allowed_objects="all")` makes, which has no function for it.

    Whoever loads still has to name this package in `valid_namespaces`, so that nobody else's data can make one.
    """
    with suppress(ImportError):  # without such a list, classes can be named: allowed_objects=[…]
        from langchain_core.load.load import ALL_SERIALIZABLE_MAPPINGS

        ALL_SERIALIZABLE_MAPPINGS.update({(*NAMESPACE, name): (*NAMESPACE, name) for name in SERIALISED})


def first(model: str | list[str]) -> str:
    """The endpoint that is asked first."""
    return model if isinstance(model, str) else model[0]


def estimate_tokens(text: str) -> int:
    """About how many tokens `text` has, without a tokenizer and without a network."""
    ascii_chars = sum(1 for char in text if char.isascii())
    return math.ceil(ascii_chars / CHARS_PER_TOKEN) + len(text) - ascii_chars


def add_version(metadata: dict[str, Any] | None) -> dict[str, Any]:
    """`metadata` of a trace with the version of this package."""
    given = metadata or {}
    versions = given.get("lc_versions")
    return {
        **given,
        "lc_versions": {**(versions if isinstance(versions, dict) else {}), "fm-integrations": __version__},
    }
