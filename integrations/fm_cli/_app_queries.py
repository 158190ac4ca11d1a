"""`fm chat`, `fm complete` and `fm embed`: the commands that ask a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ._failures import EXIT_CODES, failures
from ._options import (
    EndpointArgument,
    HostOption,
    MaxTokensOption,
    OutputOption,
    ProfileOption,
    PromptArgument,
    StopOption,
    TemperatureOption,
    VerboseOption,
    WaitReadyOption,
)
from ._output import Output
from ._settings import EmbedOptions, QueryOptions

app = typer.Typer()


@app.command(epilog=EXIT_CODES)
def chat(
    endpoint: EndpointArgument,
    prompt: PromptArgument = None,
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    stop: StopOption = None,
    wait_ready: WaitReadyOption = None,
    verbose: VerboseOption = False,
    host: HostOption = None,
    profile: ProfileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Chat with a model: a conversation in a terminal, one answer with a prompt or in a pipe.

    The answer is streamed; in a terminal its Markdown is rendered, in a pipe it is the text as it is.
    """
    params = {"temperature": temperature, "max_tokens": max_tokens, "stop": stop or None, "wait_ready": wait_ready}
    options = QueryOptions(endpoint, prompt, system, params, verbose)
    is_dialogue = prompt is None and sys.stdin.isatty() and sys.stdout.isatty()
    if is_dialogue and output is Output.JSON:
        raise typer.BadParameter("--output json needs a prompt: it is for one answer, not for a conversation")
    with failures(output):
        from ._connect import Connection

        if is_dialogue:
            from ._chat import converse

            converse(options, Connection(host, profile))
        else:
            from ._query import chat

            chat(options, Connection(host, profile), output)


@app.command(epilog=EXIT_CODES)
def complete(
    endpoint: EndpointArgument,
    prompt: PromptArgument = None,
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    stop: StopOption = None,
    wait_ready: WaitReadyOption = None,
    verbose: VerboseOption = False,
    host: HostOption = None,
    profile: ProfileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Complete a text by a model with the task completions; the completion is streamed."""
    params = {"temperature": temperature, "max_tokens": max_tokens, "stop": stop or None, "wait_ready": wait_ready}
    with failures(output):
        from ._connect import Connection
        from ._query import complete

        options = QueryOptions(endpoint, prompt, None, params, verbose)
        complete(options, Connection(host, profile), output)


@app.command(epilog=EXIT_CODES)
def embed(
    endpoint: EndpointArgument,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Text files, a text to a line; without any, standard input.")
    ] = None,
    field: Annotated[
        str | None, typer.Option(help="The input is JSON lines; embed this field, and keep the others.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="A .jsonl or .parquet file instead of standard output.", dir_okay=False)
    ] = None,
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale each vector to length 1.")] = False,
    instruction: Annotated[str | None, typer.Option(help="Sent with every text, where a model wants one.")] = None,
    dimensions: Annotated[
        int | None, typer.Option(min=1, help="Length of the vectors, where it can be chosen.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Texts in one request; 100 unless told.")] = None,
    wait_ready: WaitReadyOption = None,
    verbose: VerboseOption = False,
    host: HostOption = None,
    profile: ProfileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Embed the lines of files or of standard input, as JSON lines or Parquet, in their order.

    An object has the vector in `embedding`, beside the `text` or, with --field, beside all that it had. If it fails
    half-way, what is done is there: on standard output, or beside the file as FILE.partial.
    """
    params = {
        "normalize": normalize,
        "instruction": instruction,
        "dimensions": dimensions,
        "batch_size": batch_size,
        "wait_ready": wait_ready,
    }
    with failures(output):
        from ._connect import Connection
        from ._embed import run

        options = EmbedOptions(endpoint, tuple(files or ()), field, to, params, verbose)
        run(options, Connection(host, profile), output)
