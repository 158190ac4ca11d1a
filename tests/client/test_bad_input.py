"""What cannot be sent is refused before anything is: a typed error that says what to do, and shows no secret."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from canaries import TOKEN, leaks
from fault_lab import exposed
from fault_server import FaultServer, chat, either, embeddings, reply

from fm_client import (
    Client,
    ConfigurationError,
    FMError,
    InvalidRequestError,
    Message,
    RequestTooLargeError,
    Timeout,
)

Fails = type[FMError]
PNG = "data:image/png;base64,"
ARRAY = np.array([1, 2])


def image(size: int = 4) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": PNG + "A" * size}}


def user(content: Any = "Hi", **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


def made(content: Any) -> Message:
    """A message that was made around the checks of its type."""
    return Message.model_construct(role="user", content=content)


def part(value: Any) -> list[dict[str, Any]]:
    return [{"type": "x", "value": value}]


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def cycle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["one"], value["two"] = value, [value]
    return value


@pytest.fixture
def echo(server: FaultServer) -> FaultServer:
    """A server that would answer whatever comes."""
    whole = either(
        lambda seen: reply(200, embeddings([[1.0]] * len(seen.json["input"])) if b'"input"' in seen.body else chat()),
        server,
    )
    server.default = whole
    return server


def refused(fm: Any, server: FaultServer, error: Fails, *words: str, call: Callable[[Any], Any]) -> None:
    with pytest.raises(error) as caught:
        call(fm)
    text = str(caught.value)
    assert [word for word in words if word not in text] == [], text
    assert len(text) < 600 and text.isprintable()
    assert [] == leaks(f"{text} {caught.value!r} {vars(caught.value)}")
    with contextlib.suppress(RecursionError, ValueError):  # what is nested without an end has no text to be shown
        assert [] == leaks(exposed(caught.value))
    assert [] == server.seen, "nothing was sent"
    if isinstance(caught.value, RequestTooLargeError):
        assert caught.value.attempts == 0


NAMES = [
    "", ".", "..", "../x", "a/b", "a?x=1", "a#f", "%2e%2e", "%2F", "a\\b", ";", " ", "a b", "\t", "a\r\nX-Evil: 1", "a\n", "a\0",
    "ünï", "a\u202eb", "\ud800", "a" * 64, "a" * 10_000, "-a", "_a", "a:b", "a@b", "a\u2028b", "\x1b[31m", "{name}",
    None, 7, True, 1.5, b"bytes", object(), [None], [["a"]], {"a": 1},
]  # fmt: skip
VERBS: dict[str, Callable[[Any, Any], Any]] = {
    "chat": lambda fm, name: fm.chat(name, "Hi"),
    "fallback": lambda fm, name: fm.chat(["good", name], "Hi"),
    "stream_chat": lambda fm, name: list(fm.stream_chat(name, "Hi")),
    "complete": lambda fm, name: fm.complete(name, "Hi"),
    "stream_complete": lambda fm, name: list(fm.stream_complete(name, "Hi")),
    "embed": lambda fm, name: fm.embed(name, ["a"]),
    "get": lambda fm, name: fm.call("endpoints.get", name),
    "create": lambda fm, name: fm.call("endpoints.create", name, config={}),
    "update": lambda fm, name: fm.call("endpoints.update", name, config={}),
    "update_tags": lambda fm, name: fm.call("endpoints.update_tags", name, {"a": "b"}),
    "update_rate_limits": lambda fm, name: fm.call("endpoints.update_rate_limits", name, []),
    "update_ai_gateway": lambda fm, name: fm.call("endpoints.update_ai_gateway", name, {}),
    "delete": lambda fm, name: fm.call("endpoints.delete", name),
    "wait": lambda fm, name: fm.call("endpoints.wait", name),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
def test_names_of_endpoints(fm: Any, echo: FaultServer, verb: Callable[[Any, Any], Any]) -> None:
    for name in NAMES:
        refused(fm, echo, InvalidRequestError, call=lambda fm, name=name: verb(fm, name))


MESSAGES: dict[str, tuple[Any, Fails, str]] = {
    "none": (None, InvalidRequestError, "list of messages"),
    "empty": ([], InvalidRequestError, "at least one"),
    "empty generator": ((_ for _ in ()), InvalidRequestError, "at least one"),
    "bytes": (b"Hi", InvalidRequestError, "list of messages"),
    "number": (5, InvalidRequestError, "list of messages"),
    "object, no list": (user(), InvalidRequestError, "list of messages"),
    "texts": (["Hi"], InvalidRequestError, "must be an object with a role"),
    "role unknown": ([{"role": "wizard", "content": "Hi"}], InvalidRequestError, "must be one of system"),
    "role endless": ([{"role": "x" * 10_000, "content": "Hi"}], InvalidRequestError, "must be one of"),
    "role a list": ([{"role": ["user"], "content": "Hi"}], InvalidRequestError, "must be one of"),
    "role missing": ([{"content": "Hi"}], InvalidRequestError, "must be one of"),
    "content missing": ([{"role": "user"}], InvalidRequestError, "no content"),
    "content bytes": ([user(b"Hi")], InvalidRequestError, "must be text or a list"),
    "part without type": ([user([{"text": "Hi"}])], InvalidRequestError, "an object with a type"),
    "tool without id": ([{"role": "tool", "content": "4"}], InvalidRequestError, "say which call"),
    "half a surrogate": ("\ud800", InvalidRequestError, "no Unicode"),
    "half a surrogate in a part": ([user(part("a\udfffb"))], InvalidRequestError, "no Unicode"),
    "5 MB of text": ("x" * 5_000_000, RequestTooLargeError, "Send less"),
    "a data URI of 20 MB": ([user([image(20_000_000)])], RequestTooLargeError, "20,000,"),
    "depth": ([user(part(deep(2_000)))], InvalidRequestError, "nested deeper"),
    "endless depth": ([user(part(deep(100_000)))], InvalidRequestError, "nested deeper"),
    "cycle": ([user(part(cycle()))], InvalidRequestError, "contains itself"),
    "key a number": ([{1: 2, **user()}], InvalidRequestError, "keys must be text"),
    "key a number, below": ([user(part({1: 2}))], InvalidRequestError, "keys must be text"),
    "key None": ([user(part({None: 2}))], InvalidRequestError, "keys must be text"),
    "key True": ([user(part({True: 2}))], InvalidRequestError, "keys must be text"),
    "key a tuple": ([user(part({(1, 2): 3}))], InvalidRequestError, "keys must be text"),
    "NaN": ([user(part(math.nan))], InvalidRequestError, "no JSON"),
    "infinity": ([user(part(-math.inf))], InvalidRequestError, "no JSON"),
    "Decimal": ([user(part(Decimal(1)))], InvalidRequestError, "no JSON"),
    "datetime": ([user(part(dt.datetime.now(dt.UTC)))], InvalidRequestError, "no JSON"),
    "bytes in a part": ([user(part(b"x"))], InvalidRequestError, "no JSON"),
    "set": ([user(part({1, 2}))], InvalidRequestError, "no JSON"),
    "numpy number": ([user(part(np.int64(5)))], InvalidRequestError, "no JSON"),
    "numpy array": ([user(part(ARRAY))], InvalidRequestError, "no JSON"),
    "number of 5,000 digits": ([user(part(10**5_000))], InvalidRequestError, "no JSON"),
    "Message: NaN": ([made(part(math.nan))], InvalidRequestError, "no JSON"),
    "Message: key": ([made(part({1: 2}))], InvalidRequestError, "keys must be text"),
    "Message: depth": ([made(part(deep(2_000)))], InvalidRequestError, "nested deeper"),
    "Message: cycle": ([made(part(cycle()))], InvalidRequestError, "contains itself"),
    "Message: object": ([made(part(object()))], InvalidRequestError, "no JSON"),
    "Message: surrogate": ([made("\ud800")], InvalidRequestError, "no Unicode"),
}  # fmt: skip


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("way", ["chat", "stream_chat"])
@pytest.mark.parametrize(("messages", "error", "says"), MESSAGES.values(), ids=MESSAGES.keys())
def test_messages(fm: Any, echo: FaultServer, way: str, api: str, messages: Any, error: Fails, says: str) -> None:
    refused(fm, echo, error, says, call=lambda fm: list(getattr(fm, way)("ep", messages, api=api)))


PARAMS: list[tuple[str, Any]] = [
    *[("temperature", v) for v in ("hot", math.nan, math.inf, -1, 2.1, True, Decimal(1), np.float32(1), np.int64(1), ARRAY)],
    *[("max_tokens", v) for v in (0, -1, 10**12, 1e12, True, 1.5, "5", np.int64(5))],
    *[("n", v) for v in (0, 1000, True, -1)],
    *[("stop", v) for v in (["x"] * 1000, "", [""], [1], 5, b"x", {"a": 1})],
    *[("top_p", v) for v in (0, 1.1, math.nan)],
    *[("top_k", v) for v in (0, 1.5)],
    *[("tools", v) for v in ("f", b"f", [{}], [None], (_ for _ in ()), {"type": "function"})],
    *[("extra_body", v) for v in ([1], "x", {1: 2}, {"a": {1: 2}}, {"a": deep(2_000)}, {"a": cycle()}, {"stream": True})],
    *[("timeout", v) for v in (0, -1, math.inf, math.nan, True, "5", [5])],
    *[("timeout", Timeout(**{k: v})) for k in ("connect", "read", "total", "idle") for v in (0, -1, math.inf, math.nan, "5", True)],
    *[("max_retries", v) for v in (-1, 1.5, True, "2", 21)],
    *[("wait_ready", v) for v in (-1, math.nan, math.inf, True, "5")],
    ("seed", "x"), ("user", 1), ("logprobs", 1), ("top_logprobs", 21), ("tool_choice", 5), ("response_format", "json"),
    *[(name, v) for name in ("custom_inputs", "context", "databricks_options") for v in ("x", [1], 5)],
    *[("api", v) for v in ("", "Chat", "completions", 5, True, ["chat"], {})],
    ("thinking", True), ("reasoning_effort", 1), ("parallel_tool_calls", "no"), ("temprature", 1), ("model", "x"),
]  # fmt: skip


@pytest.mark.parametrize("way", ["chat", "stream_chat"])
def test_parameters(connect: Callable[..., Any], echo: FaultServer, way: str) -> None:
    """The error names the parameter. None is none: it means "not sent"."""
    fm = connect(echo.host, TOKEN)
    for name, value in PARAMS:
        if name == "model":
            continue  # Python itself refuses a second one
        error = ConfigurationError if name in ("timeout", "max_retries") else InvalidRequestError
        found = "request" if name == "extra_body" and isinstance(value, dict) and "a" in value else name
        refused(fm, echo, error, found, call=lambda fm, n=name, v=value: list(getattr(fm, way)("ep", "Hi", **{n: v})))
    fm.chat("ep", "Hi", **{name: None for name, _ in PARAMS if name not in ("temprature", "model")})
    assert {"messages"} == echo.seen[0].json.keys()


INPUTS: dict[str, tuple[Any, Fails, str]] = {
    "none": (None, InvalidRequestError, "a text or a list"),
    "empty": ([], InvalidRequestError, "at least one text"),
    "empty text": ("", InvalidRequestError, "inputs[0] is empty"),
    "with an empty text": (["a", ""], InvalidRequestError, "inputs[1] is empty"),
    "None in it": ([None], InvalidRequestError, "inputs[0] is NoneType"),
    "number in it": (["a", 5], InvalidRequestError, "inputs[1] is int"),
    "bytes": (b"x", InvalidRequestError, "a text or a list"),
    "object": ({"a": 1}, InvalidRequestError, "a text or a list"),
    "numpy numbers": (ARRAY, InvalidRequestError, "inputs[0] is int64"),
    "token numbers": ([[1, 2]], InvalidRequestError, "inputs[0] is list"),
    "half a surrogate": (["\ud800"], InvalidRequestError, "no Unicode"),
    "one of 10 MB": (["x" * 10_000_000], RequestTooLargeError, "10,000,"),
    "one of 10 MB among others": (["a", "x" * 10_000_000], RequestTooLargeError, "10,000,"),
}


@pytest.mark.parametrize(("inputs", "error", "says"), INPUTS.values(), ids=INPUTS.keys())
def test_inputs_of_embeddings(fm: Any, server: FaultServer, inputs: Any, error: Fails, says: str) -> None:
    def sent_only_what_fits(fm: Any) -> Any:
        try:
            return fm.embed("ep", inputs)
        finally:
            server.seen[:] = [seen for seen in server.seen if len(seen.body) > 100]

    server.default = reply(200, embeddings([[1.0]]))
    refused(fm, server, error, says, call=sent_only_what_fits)


CONTROL: dict[str, tuple[Callable[[Any], Any], str]] = {
    "tags a number": (lambda fm: fm.call("endpoints.update_tags", "e", 5), "tags must be a list"),
    "tags a text": (lambda fm: fm.call("endpoints.update_tags", "e", "abc"), "tags must be a list"),
    "tags, key a number": (lambda fm: fm.call("endpoints.update_tags", "e", {1: "x"}), "keys of tags"),
    "tags to delete: a text": (lambda fm: fm.call("endpoints.update_tags", "e", delete="abc"), "keys to delete"),
    "tags to delete: numbers": (lambda fm: fm.call("endpoints.update_tags", "e", delete=[1]), "keys to delete"),
    "limits a number": (lambda fm: fm.call("endpoints.update_rate_limits", "e", 5), "rate_limits must be a list"),
    "limits an object": (lambda fm: fm.call("endpoints.update_rate_limits", "e", {"calls": 1}), "must be a list"),
    "gateway a number": (lambda fm: fm.call("endpoints.update_ai_gateway", "e", 5), "expected an object"),
    "config: key": (lambda fm: fm.call("endpoints.create", "e", config={"a": {1: 2}}), "keys must be text"),
    "config: depth": (lambda fm: fm.call("endpoints.create", "e", config={"a": deep(2_000)}), "nested"),
    "nothing to serve": (lambda fm: fm.call("endpoints.create", "e"), "give one of config"),
    "wait a text": (lambda fm: fm.call("endpoints.create", "e", config={}, wait="yes"), "wait must be"),
    "wait option": (lambda fm: fm.call("endpoints.create", "e", config={}, wait={"limit": 5}), "wait must be"),
    "wait: timeout": (lambda fm: fm.call("endpoints.create", "e", config={}, wait={"timeout": "5"}), "timeout must be"),
    "timeout negative": (lambda fm: fm.call("endpoints.wait", "e", timeout=-1), "timeout must be"),
    "timeout NaN": (lambda fm: fm.call("endpoints.wait", "e", timeout=math.nan), "timeout must be"),
    "poll a text": (lambda fm: fm.call("endpoints.wait", "e", first_poll="1"), "first_poll must be"),
}


@pytest.mark.parametrize(("call", "says"), CONTROL.values(), ids=CONTROL.keys())
def test_arguments_of_the_control_plane(fm: Any, echo: FaultServer, call: Callable[[Any], Any], says: str) -> None:
    refused(fm, echo, InvalidRequestError, says, call=call)


OPTIONS: list[tuple[str, Any]] = [
    *[("concurrency", v) for v in (0, -1, "8", True, 1.5, None)],
    *[(name, v) for name in ("max_request_bytes", "max_response_bytes", "max_event_bytes") for v in (0, -1, "4MB", math.inf, None)],
    ("strict_params", "yes"), ("stream_end", "never"), ("stream_end", None), ("no_such_option", 1),
    *[("verify", v) for v in (None, 0, 1, "", "/no/such/file", 5, b"x", [])],
    *[("http_client", v) for v in (5, httpx, "httpx", object())],
    *[("timeout", v) for v in (0, -1, math.inf, "5", True, Timeout(pool=-1), Timeout(write="1"))],  # type: ignore[arg-type]  # the test
    *[("max_retries", v) for v in (-1, 1.5, True, 1000)],
    *[("token", v) for v in ("", " ", "a b", "a\n", "a\r\nX: y", "a\0", "tökén", "Bearer x", "x" * 65_536, 5, b"x")],
    *[("host", v) for v in ("", " ", "ftp://x", "http://example.test", "http://169.254.169.254", "http://127.1", "http://0x7f.1",
      "http://[::ffff:7f00:1]", "https://u:p@x", "https://x/path", "https://x?q", "https://x#f", "https://x.", "https://x:0",
      "https://x:70000", "https://\u0435xample.test", "https://a\r\nb", "a\0", 5, b"x", "x" * 10_000, "a..b", "x" * 64 + ".test", ".x")],
]  # fmt: skip


def test_options_of_a_client(connect: Callable[..., Any], echo: FaultServer) -> None:
    for name, value in OPTIONS:
        given = {"host": echo.host, "token": TOKEN, name: value}
        refused(None, echo, ConfigurationError, call=lambda _, given=given: connect(**given).chat("ep", "Hi"))


HEADERS: dict[str, str] = {
    "line break": "a\r\nX-Evil: 1", "line feed": "a\n", "NUL": "a\0b", "space at the end": "a ", "escape": "\x1b[31m",
}  # fmt: skip


def own_client(connect: Callable[..., Any], echo: FaultServer, **options: Any) -> dict[str, str]:
    """The headers that are sent by a client over an httpx client of the caller's, who gave it options."""
    try:
        own: Any = httpx.Client(**options)
        fm = connect(echo.host, TOKEN, http_client=own)
    except ConfigurationError as error:
        if "must be an httpx" not in str(error):
            raise
        own = httpx.AsyncClient(**options)
        fm = connect(echo.host, TOKEN, http_client=own)
    try:
        fm.chat("ep", "Hi")
    finally:
        fm._finish(own.aclose() if isinstance(own, httpx.AsyncClient) else own.close())
    return echo.seen[-1].headers


@pytest.mark.parametrize("value", HEADERS.values(), ids=HEADERS.keys())
def test_headers_of_ones_own_http_client(connect: Callable[..., Any], echo: FaultServer, value: str) -> None:
    refused(
        None, echo, InvalidRequestError, "x-own", call=lambda _: own_client(connect, echo, headers={"x-own": value})
    )


def test_headers_that_frame_and_authorise_are_ours(connect: Callable[..., Any], echo: FaultServer) -> None:
    theirs = {"authorization": "Bearer other", "host": "evil.test", "content-length": "3", "x-own": "kept"}
    sent = own_client(connect, echo, headers=theirs, auth=("user", "password"))
    assert (f"Bearer {TOKEN}", "kept") == (sent["authorization"], sent["x-own"])
    assert (echo.host.removeprefix("http://"), str(len(echo.seen[0].body))) == (sent["host"], sent["content-length"])
    echo.seen.clear()
    call = lambda _: own_client(connect, echo, headers={"Transfer-Encoding": "chunked"})  # noqa: E731 - as above
    refused(None, echo, ConfigurationError, "transfer-encoding", call=call)


ACCEPTED: dict[str, Callable[[Any], Any]] = {
    "100 images": lambda fm: fm.chat("ep", [user([image() for _ in range(100)])]),
    "a generator of messages": lambda fm: fm.chat("ep", (user() for _ in range(2))),
    "NUL and astral characters": lambda fm: fm.chat("ep", "a\0b\U0001f600\u2028"),
    "line breaks in a value": lambda fm: fm.chat("ep", "Hi", user="a\r\nb"),
    "numpy's float64, which is a float": lambda fm: fm.chat("ep", "Hi", temperature=np.float64(0.5)),
    "depth of 200": lambda fm: fm.chat("ep", [user(part(deep(200)))]),
    "duplicates": lambda fm: fm.embed("ep", ["a"] * 3),
    "a text instead of a list": lambda fm: fm.embed("ep", "a text"),
    "no limits": lambda fm: fm.chat("ep", "Hi", timeout=Timeout(None, None, None, None, None, None)),
}


@pytest.mark.parametrize("call", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_is_odd_and_still_sent(fm: Any, echo: FaultServer, call: Callable[[Any], Any]) -> None:
    assert call(fm) and 1 == len(echo.seen)


def test_100_000_texts_are_sent_in_batches(fm: Any, echo: FaultServer) -> None:
    assert 100_000 == len(fm.embed("ep", ["a"] * 100_000, batch_size=5_000).vectors)
    assert 20 == len(echo.seen)


ENVIRONMENTS: dict[str, tuple[dict[str, str], str]] = {
    "host without token": ({"DATABRICKS_HOST": "https://x.test"}, "DATABRICKS_TOKEN"),
    "token without host": ({"DATABRICKS_TOKEN": TOKEN}, "DATABRICKS_HOST"),
    "two ways": ({"DATABRICKS_HOST": "https://x.test", "DATABRICKS_TOKEN": TOKEN, "DATABRICKS_CLIENT_ID": "a",
                  "DATABRICKS_CLIENT_SECRET": TOKEN}, "auth_type"),
    "host with a path": ({"DATABRICKS_HOST": "https://x.test/?o=1", "DATABRICKS_TOKEN": TOKEN}, "without a path"),
    "token with a line break": ({"DATABRICKS_HOST": "https://x.test", "DATABRICKS_TOKEN": f"{TOKEN}\n"}, "line breaks"),
    "file that is not there": ({"DATABRICKS_CONFIG_FILE": "/no/such/file"}, "does not exist"),
    "profile that is not there": ({"DATABRICKS_CONFIG_PROFILE": "p"}, "does not exist"),
    "half of a secret": ({"DATABRICKS_HOST": "https://x.test", "DATABRICKS_CLIENT_ID": "a"}, "DATABRICKS_CLIENT_SECRET"),
}  # fmt: skip


@pytest.mark.parametrize(("environment", "says"), ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_environments(environment: dict[str, str], says: str, server: FaultServer, monkeypatch: Any) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    refused(None, server, ConfigurationError, says, call=lambda _: Client())


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_a_profile_file_that_others_may_read_is_read(tmp_path: Path, monkeypatch: Any, mode: int) -> None:
    """As by the service's own tools: who may read a file is the administrator's matter, and varies in containers."""
    path = tmp_path / "databrickscfg"
    path.write_text(f"[DEFAULT]\nhost = https://x.test\ntoken = {TOKEN}\n")
    path.chmod(mode)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(path))
    assert "https://x.test" == Client().settings.host


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_profile_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: Any, server: FaultServer) -> None:
    path = tmp_path / "databrickscfg"
    path.touch(0o000)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(path))
    refused(None, server, ConfigurationError, "cannot be read: Permission denied", call=lambda _: Client())
