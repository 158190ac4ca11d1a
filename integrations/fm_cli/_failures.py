"""How the commands fail: one line or one JSON object on standard error, and an exit code that says what kind it was."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from ._output import Output, in_words, notes_of, one_line

OUTPUT_VARIABLE = "FM_OUTPUT"
FACTS = (
    "endpoint",
    "status_code",
    "error_code",
    "request_id",
    "attempts",
    "retry_after",
    "partial_text",
    "build_log",
)
"""What an error of a call is told with, for programs."""
LOG_LINES = 20
"""How much of the log of a build that failed is shown, from its end."""
_ARGUMENTS = "fm_cli.arguments"
# typer brings a click of its own since 0.26, and used the other one before: its errors are those of either.
UsageError: type[Exception] = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "UsageError")


class ExitCode(IntEnum):
    """What the exit codes mean."""

    OK = 0
    FAILED = 1
    USAGE = 2
    ACCESS = 3
    NOT_FOUND = 4
    CONNECTION = 5
    NOT_READY = 6
    BROKEN_OFF = 7
    RATE_LIMIT = 8
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "all went well",
    ExitCode.FAILED: "something failed",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.ACCESS: "no host or login, or it was refused",
    ExitCode.NOT_FOUND: "no such endpoint",
    ExitCode.CONNECTION: "no connection",
    ExitCode.NOT_READY: "the endpoint is not ready, or its deployment failed",
    ExitCode.BROKEN_OFF: "the answer broke off",
    ExitCode.RATE_LIMIT: "a rate limit",
    ExitCode.INTERRUPTED: "interrupted",
}
EXIT_CODES = f"Exit codes: {', '.join(f'{code.value} {meaning}' for code, meaning in MEANINGS.items())}."


@contextmanager
def failures(output: Output = Output.TEXT) -> Iterator[None]:
    """What can go wrong in daily use is told in short, by its exit code too; a fault of ours stays one."""
    from fm_client import FMError  # `fm --help` needs none of it

    try:
        yield
    except BrokenPipeError:
        raise  # whoever read along has left: nobody is there to be told
    except (FMError, ImportError, OSError, ValueError, sqlite3.Error) as error:
        code = exit_code(error)
        tell(error, code, output)
        raise typer.Exit(code) from error


def exit_code(error: BaseException) -> ExitCode:
    """The exit code of a failure."""
    import fm_client as fm

    kinds = (
        (ExitCode.ACCESS, (fm.ConfigurationError, fm.AuthenticationError, fm.PermissionDeniedError)),
        (ExitCode.NOT_FOUND, (fm.NotFoundError,)),
        (ExitCode.CONNECTION, (fm.APIConnectionError,)),
        (ExitCode.NOT_READY, (fm.EndpointNotReadyError, fm.EndpointFailedError)),
        (ExitCode.BROKEN_OFF, (fm.StreamInterruptedError,)),
        (ExitCode.RATE_LIMIT, (fm.RateLimitError,)),
    )
    return next((code for code, classes in kinds if isinstance(error, classes)), ExitCode.FAILED)


def tell(error: BaseException, code: int, output: Output) -> None:
    """Say on standard error what went wrong."""
    if output is Output.JSON:
        typer.echo(json.dumps({"error": described(error), "exit_code": int(code)}), err=True)
    else:
        typer.echo(f"fm: {one_line(error)}", err=True)
        if log := getattr(error, "build_log", None):
            typer.echo("\n".join(f"  {line}" for line in log.strip().splitlines()[-LOG_LINES:]), err=True)


def described(error: BaseException) -> dict[str, Any]:
    """An error for programs."""
    facts = {name: getattr(error, name, None) for name in FACTS}
    message = in_words(getattr(error, "message", None) or one_line(error))
    facts["notes"] = notes_of(error)
    known = {name: fact for name, fact in facts.items() if fact}
    return {"type": type(error).__name__, "message": message, **known}


class Group(TyperGroup):
    """The root of the commands, which tells also a wrong command line as JSON where JSON is asked for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take note of the arguments: what is wrong with them is found before an option has a value."""
        ctx.meta[_ARGUMENTS] = list(args)
        with _usage(args):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _usage(ctx.meta[_ARGUMENTS]):
            return super().invoke(ctx)


@contextmanager
def _usage(arguments: Sequence[str]) -> Iterator[None]:
    """Tell what is wrong with a command line as JSON, if it asks for JSON."""
    arguments = list(arguments)  # click takes them off its own list
    try:
        yield
    except UsageError as error:
        if not wants_json(arguments) or type(error).__name__ == "NoArgsIsHelpError":
            raise
        message = error.format_message()  # type: ignore[attr-defined]  # every click has it
        report = {"type": "UsageError", "message": message}
        typer.echo(json.dumps({"error": report, "exit_code": int(ExitCode.USAGE)}), err=True)
        raise typer.Exit(ExitCode.USAGE) from error


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON, by `--output` or else by the environment.

    >>> wants_json(["models", "--output=json"]), wants_json(["models", "--output", "text"])
    (True, False)
    """
    words = " ".join(arguments).replace("--output=", "--output ").split(" ")
    named = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "--output"]
    return (named[-1] if named else os.environ.get(OUTPUT_VARIABLE, "")) == Output.JSON
