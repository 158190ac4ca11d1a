"""One question, one answer: `fm chat` with a prompt, and `fm complete`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import typer

from fm_client import ChatResponse, Client, CompletionResponse, InvalidRequestError
from fm_client import Message as ChatMessage

from ._connect import Connection, connected
from ._output import Output, announce_typing, print_json, terminal
from ._screen import MarkdownScreen, PlainScreen, Screen
from ._settings import QueryOptions

STDIN = "-"
Response = ChatResponse | CompletionResponse
Messages = list[dict[str, Any] | ChatMessage]


def chat(options: QueryOptions, connection: Connection, output: Output) -> None:
    """Ask once, and print the answer as it arrives; with JSON when it is whole."""
    messages = [*system_message(options.system), {"role": "user", "content": prompt_of(options.prompt)}]
    with connected(connection) as client:
        if output is Output.JSON:
            print_json(as_json(client.chat(options.endpoint, messages, **options.params)))
        else:
            console = terminal()
            screen = MarkdownScreen(console) if console.is_terminal else PlainScreen()
            stream_chat(client, options, messages, screen)


def complete(options: QueryOptions, connection: Connection, output: Output) -> None:
    """Complete a text, and print the completion as it arrives."""
    prompt = prompt_of(options.prompt)
    with connected(connection) as client:
        if output is Output.JSON:
            print_json(as_json(client.complete(options.endpoint, prompt, **options.params)))
        else:
            chunks = client.stream_complete(options.endpoint, prompt, **options.params)
            shown(chunks, PlainScreen(), options.verbose)


def stream_chat(client: Client, options: QueryOptions, messages: Messages, screen: Screen) -> ChatResponse:
    """Stream one answer to `screen`."""
    chunks = client.stream_chat(options.endpoint, messages, **options.params)
    response: ChatResponse = shown(chunks, screen, options.verbose)
    return response


def shown(chunks: Any, screen: Screen, verbose: bool, on_text: Callable[[str], object] = str) -> Any:
    """Show the pieces of an answer; returns the answer."""
    began, response = time.perf_counter(), None
    with closing(chunks), screen:
        for chunk in chunks:
            on_text(chunk.text)
            screen.add(chunk.text)
            response = chunk.response or response
    if verbose and response is not None:
        typer.echo(" · ".join(facts(response, time.perf_counter() - began)), err=True)
    return response


def facts(response: Response, seconds: float) -> Iterator[str]:
    """What is to be known of an answer besides its text."""
    yield response.endpoint
    if response.usage is not None:
        yield f"{response.usage.input_tokens:,} tokens in, {response.usage.output_tokens:,} out"
    yield f"{seconds:.2f} s"
    if response.finish_reason not in (None, "stop"):
        yield f"ended by {response.finish_reason}"
    if response.attempts > 1:
        yield f"{response.attempts} attempts"
    if response.request_id:
        yield f"request {response.request_id}"


def as_json(response: Response) -> dict[str, Any]:
    """An answer for programs: the service's own object, the text, and what served it."""
    about = {"endpoint": response.endpoint, "request_id": response.request_id, "attempts": response.attempts}
    return {"text": response.text, **about, "response": response.to_dict()}


def system_message(system: str | None) -> Messages:
    """The messages that a conversation begins with."""
    return [{"role": "system", "content": system}] if system else []


def prompt_of(prompt: str | None) -> str:
    """The prompt: the argument, or what standard input has."""
    if prompt is not None and prompt != STDIN:
        return prompt
    announce_typing()
    text = sys.stdin.read().strip()
    if not text:
        raise InvalidRequestError("there is nothing to ask: standard input is empty, and no prompt is given")
    return text
