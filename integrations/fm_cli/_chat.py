"""`fm chat ENDPOINT`: a conversation in the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from fm_client import Client, FMError, PermissionDeniedError

from ._background import private_file, state_directory
from ._connect import Connection, connected
from ._output import one_line, terminal
from ._query import Messages, shown, system_message
from ._screen import MarkdownScreen
from ._settings import QueryOptions

PROMPT, MORE = "> ", "… "
HISTORY_LINES = 1_000
HELP = """\
/model [NAME]   ask another endpoint from here on; without a name, say which one is asked
/system [TEXT]  set the system message; without a text, remove it
/clear          forget the conversation
/save FILE      write the conversation: as JSON if FILE ends with .json, else as Markdown
/help           this list
/quit           leave (so does Ctrl-D)

Ctrl-C stops an answer. A line that ends with \\ goes on in the next one; // begins a line with a slash."""


def converse(options: QueryOptions, connection: Connection) -> None:
    """Talk until `/quit` or the end of input."""
    with connected(connection) as client, history():
        Conversation(client, options, terminal()).run()


class Conversation:
    """What was said, and what is asked. A message that got no answer is forgotten, so that it can be sent again."""

    def __init__(self, client: Client, options: QueryOptions, console: Console) -> None:
        self._client, self._options, self._console = client, options, console
        self._system = options.system
        self._messages: Messages = []
        self._saved: set[Path] = set()
        self._is_over = False
        self._commands: dict[str, Callable[[str], None]] = {
            "/model": self._model,
            "/system": self._set_system,
            "/clear": self._clear,
            "/save": self._save,
            "/help": lambda _: self._say(HELP),
            "/quit": lambda _: self._quit(),
        }

    def run(self) -> None:
        """Read, answer, and so on."""
        self._say(f"{self._options.endpoint} at {self._client.settings.host}. /help lists the commands.")
        while not self._is_over and (line := self._read()) is not None:
            if line.startswith("/") and not line.startswith("//"):
                self._command(line)
            elif line:
                self._ask(line.removeprefix("/") if line.startswith("//") else line)

    def _read(self) -> str | None:
        """What was typed, perhaps over several lines; None at the end of input."""
        lines: list[str] = []
        try:
            while True:
                lines.append(input(MORE if lines else PROMPT))
                if not lines[-1].endswith("\\"):
                    return "\n".join(line.removesuffix("\\") for line in lines).strip()
        except KeyboardInterrupt:
            self._console.print()
            return ""
        except EOFError:
            self._console.print()
            return None

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        command = self._commands.get(name)
        if command is None:
            self._say(f"There is no {name}; /help lists what there is.")
            return
        try:
            command(rest.strip())
        except (FMError, OSError, ValueError) as error:
            self._fail(error)

    def _ask(self, text: str) -> None:
        self._messages.append({"role": "user", "content": text})
        parts: list[str] = []
        messages = [*system_message(self._system), *self._messages]
        try:
            chunks = self._client.stream_chat(self._options.endpoint, messages, **self._options.params)
            response = shown(chunks, MarkdownScreen(self._console), self._options.verbose, parts.append)
            self._messages.append(response.message)
        except KeyboardInterrupt:
            self._stopped("".join(parts))
        except FMError as error:
            self._messages.pop()
            self._fail(error)

    def _stopped(self, text: str) -> None:
        """What had arrived stays part of the conversation."""
        if text:
            self._messages.append({"role": "assistant", "content": text})
        else:
            self._messages.pop()
        self._say("(stopped)")

    def _model(self, name: str) -> None:
        if name:
            try:
                self._client.endpoints.get(name)
            except PermissionDeniedError:
                pass  # one may be allowed to query what one may not look at
            self._options = replace(self._options, endpoint=name)
        self._say(self._options.endpoint)

    def _quit(self) -> None:
        self._is_over = True

    def _set_system(self, text: str) -> None:
        self._system = text or None
        self._say("The system message is set." if text else "There is no system message.")

    def _clear(self, _: str) -> None:
        self._messages.clear()
        self._say("Forgotten.")

    def _save(self, name: str) -> None:
        path = Path(name).expanduser()
        if not name:
            raise ValueError("say where to: /save FILE")
        if path.exists() and path.resolve() not in self._saved:
            raise ValueError(f"{path} exists already")
        path.write_text(self._written(path.suffix == ".json"), encoding="utf-8")
        self._saved.add(path.resolve())
        self._say(f"Saved to {path}.")

    def _written(self, as_json: bool) -> str:
        messages = [_plain(message) for message in (*system_message(self._system), *self._messages)]
        if as_json:
            return json.dumps({"endpoint": self._options.endpoint, "messages": messages}, indent=2, ensure_ascii=False)
        return "\n\n".join(f"## {message['role']}\n\n{_text(message)}" for message in messages) + "\n"

    def _say(self, text: str) -> None:
        self._console.print(Text(text, "dim"))

    def _fail(self, error: Exception) -> None:
        self._console.print(Text(f"fm: {one_line(error)}", "red"))


def _plain(message: Any) -> dict[str, Any]:
    return message if isinstance(message, dict) else message.to_dict()


def _text(message: dict[str, Any]) -> str:
    from fm_client import Message

    return Message.model_validate(message).text


@contextmanager
def history() -> Iterator[None]:
    """Lines can be edited and found again, also those of earlier conversations, where Python has readline."""
    try:
        import readline
    except ImportError:  # on Windows, whose terminal does it itself
        yield
        return
    try:
        path = state_directory() / "chat_history"
        private_file(path, "a").close()
        readline.read_history_file(path)
    except OSError:  # a home that cannot be written to: one can talk all the same
        yield
        return
    readline.set_history_length(HISTORY_LINES)
    try:
        yield
    finally:
        readline.write_history_file(path)
