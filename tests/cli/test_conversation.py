"""`fm chat ENDPOINT` in a pseudo-terminal: a conversation."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

from fault_server import DONE, FaultServer, chunked, words
from terminal import Terminal
from typer.testing import Result

Open = Callable[..., Terminal]
Env = dict[str, str]
CHAT = "databricks-meta-llama-3-3-70b-instruct"
OTHER = "databricks-claude-sonnet-4-5"
QUESTION = "What colour has the sky? The sky is blue."


def begin(terminal: Open, endpoint: str, env: Env, *options: str) -> Terminal:
    tty = terminal("chat", endpoint, *options, **env)
    tty.expect("/help lists the commands.")
    tty.expect("> ")
    return tty


def test_it_answers_and_quits(terminal: Open, here: Env) -> None:
    tty = begin(terminal, CHAT, here)
    tty.line(QUESTION)
    tty.expect("The sky is blue.")
    tty.expect("> ")
    tty.line("/quit")
    assert tty.finish() == 0


def test_the_end_of_input_quits(terminal: Open, here: Env) -> None:
    tty = begin(terminal, CHAT, here)
    tty.type("\x04")
    assert tty.finish() == 0


def test_what_was_said_before_is_sent_along(terminal: Open, server: FaultServer, there: Env) -> None:
    server.script("ep", chunked(*words("first answer"), DONE), chunked(*words("second answer"), DONE))
    tty = begin(terminal, "ep", there, "--system", "Be short.")
    tty.line("one")
    tty.expect("first answer")
    tty.expect("> ")
    tty.line("two")
    tty.expect("second answer")
    said = [(message["role"], message["content"]) for message in server.seen[-1].json["messages"]]
    assert said == [("system", "Be short."), ("user", "one"), ("assistant", "first answer"), ("user", "two")]


def test_clear_forgets_and_system_is_set_and_removed(terminal: Open, server: FaultServer, there: Env) -> None:
    server.script("ep", chunked(*words("fine"), DONE))
    tty = begin(terminal, "ep", there)
    for line, answer in (
        ("one", "fine"),
        ("/clear", "Forgotten."),
        ("/system Be kind.", "is set"),
        ("two", "fine"),
        ("/system", "no system message"),
        ("/clear", "Forgotten."),
        ("three", "fine"),
    ):
        tty.line(line)
        tty.expect(answer)
        tty.expect("> ")
    asked = [[message["content"] for message in seen.json["messages"]] for seen in server.seen]
    assert asked == [["one"], ["Be kind.", "two"], ["three"]]


def test_another_model_can_be_asked_in_the_same_conversation(terminal: Open, here: Env) -> None:
    tty = begin(terminal, CHAT, here, "--verbose")
    tty.line(QUESTION)
    tty.expect(f"{CHAT} · ")
    tty.expect("> ")
    tty.line(f"/model {OTHER}")
    tty.expect(OTHER)
    tty.expect("> ")
    tty.line(QUESTION)
    tty.expect(f"{OTHER} · ")


def test_a_wrong_model_is_told_at_once_and_changes_nothing(terminal: Open, here: Env) -> None:
    tty = begin(terminal, CHAT, here, "--verbose")
    tty.line("/model no-such-endpoint")
    tty.expect("does not exist")
    tty.expect("> ")
    tty.line(QUESTION)
    tty.expect(f"{CHAT} · ")


def test_a_wrong_endpoint_ends_no_conversation(terminal: Open, here: Env) -> None:
    tty = begin(terminal, "no-such-endpoint", here)
    tty.line("hello")
    tty.expect("does not exist")
    tty.expect("> ")
    tty.line(f"/model {CHAT}")
    tty.expect("> ")
    tty.line(QUESTION)
    tty.expect("The sky is blue.")


def test_a_wrong_token_and_a_dead_server_are_told_in_a_line(terminal: Open, here: Env) -> None:
    for env, reason in (
        ({**here, "DATABRICKS_TOKEN": "wrong-token-for-tests"}, "status=401"),
        ({**here, "DATABRICKS_HOST": "http://127.0.0.1:9"}, "could not be made"),
    ):
        tty = begin(terminal, CHAT, env)
        tty.line("hello")
        tty.expect(reason)
        tty.expect("> ")
        tty.line("/quit")
        assert tty.finish() == 0
        assert "Traceback" not in tty.text
        assert "wrong-token-for-tests" not in tty.text


def test_ctrl_c_stops_the_answer_and_not_the_program(terminal: Open, server: FaultServer, there: Env) -> None:
    server.script("ep", chunked(*words("begun", finish=None), end="hold"), chunked(*words("whole"), DONE))
    tty = begin(terminal, "ep", there)
    tty.line("one")
    tty.expect("begun")
    tty.interrupt()
    tty.expect("(stopped)")
    tty.expect("> ")
    tty.line("two")
    tty.expect("whole")
    said = [message["content"] for message in server.seen[-1].json["messages"]]
    assert said == ["one", "begun", "two"]


def test_ctrl_c_at_the_prompt_starts_a_new_line(terminal: Open, here: Env) -> None:
    tty = begin(terminal, CHAT, here)
    tty.type("half a quest")
    tty.expect("half a quest")
    tty.interrupt()
    tty.expect("> ")
    tty.line(QUESTION)
    tty.expect("The sky is blue.")


def test_a_broken_stream_is_told_and_its_question_can_be_sent_again(
    terminal: Open, server: FaultServer, there: Env
) -> None:
    server.script("ep", chunked(*words("half an ans", finish=None), end="cut"), chunked(*words("whole"), DONE))
    tty = begin(terminal, "ep", there)
    tty.line("one")
    tty.expect("half an ans")
    tty.expect("fm: ")
    tty.expect("> ")
    tty.line("one")
    tty.expect("whole")
    assert [message["content"] for message in server.seen[-1].json["messages"]] == ["one"]


def test_markdown_is_rendered_block_by_block(terminal: Open, server: FaultServer, there: Env) -> None:
    pieces = ["# Tit", "le\n\n", "- **bold**\n- two", "\n\n```py\nx = 1\n", "\ny = 2\n```\n", "\nend"]
    server.script("ep", chunked(*(part for word in words(*pieces) for part in (word, 0.05)), DONE))
    tty = begin(terminal, "ep", there)
    tty.line("hi")
    shown = tty.expect("end")
    tty.expect("> ")
    assert "\x1b[1m" in tty.raw  # bold
    for raw in ("**bold**", "```", "# Title"):  # half a word may have been drawn on the way
        assert raw not in shown
    for rendered in ("Title", " • bold", " • two", "x = 1", "y = 2"):
        assert rendered in shown


def test_escape_sequences_of_a_model_do_not_reach_the_terminal(terminal: Open, server: FaultServer, there: Env) -> None:
    server.script("ep", chunked(*words("a\x1b]0;owned\x07b"), DONE))
    tty = begin(terminal, "ep", there)
    tty.line("hi")
    tty.expect("> ")
    assert "\x1b]0;owned" not in tty.raw


def test_no_color_leaves_no_colour(terminal: Open, here: Env) -> None:
    tty = begin(terminal, CHAT, {**here, "NO_COLOR": "1"})
    tty.line("/model no-such-endpoint")
    tty.expect("does not exist")
    assert "\x1b[31m" not in tty.raw


def test_a_conversation_is_saved_as_markdown_or_json_and_nothing_is_overwritten(
    terminal: Open, here: Env, tmp_path: Path
) -> None:
    there_already = tmp_path / "there.md"
    there_already.write_text("mine")
    tty = begin(terminal, CHAT, here)
    tty.line(QUESTION)
    tty.expect("> ")
    for name, answer in (("talk.md", "Saved"), ("talk.json", "Saved"), ("talk.md", "Saved"), ("there.md", "exists")):
        tty.type(f"/save {tmp_path / name}\n")
        tty.expect(answer)
        tty.expect("> ")
    assert (tmp_path / "talk.md").read_text() == f"## user\n\n{QUESTION}\n\n## assistant\n\nThe sky is blue.\n"
    saved = json.loads((tmp_path / "talk.json").read_text())
    assert saved["endpoint"] == CHAT
    assert [message["role"] for message in saved["messages"]] == ["user", "assistant"]
    assert there_already.read_text() == "mine"


def test_lines_are_found_again_in_the_next_conversation(terminal: Open, here: Env, state_directory: Path) -> None:
    tty = begin(terminal, CHAT, here)
    tty.line(QUESTION)
    tty.expect("> ")
    tty.line("/quit")
    assert tty.finish() == 0
    history = state_directory / "chat_history"
    assert QUESTION in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    again = begin(terminal, CHAT, here)
    again.type("\x1b[A\x1b[A")  # twice up: /quit, then the question
    again.expect(QUESTION)


def test_a_line_goes_on_after_a_backslash_and_may_begin_with_a_slash(
    terminal: Open, server: FaultServer, there: Env
) -> None:
    server.script("ep", chunked(*words("fine"), DONE))
    tty = begin(terminal, "ep", there)
    tty.type("first \\\n")
    tty.expect("… ")
    tty.line("second")
    tty.expect("fine")
    tty.expect("> ")
    tty.line("//etc")
    tty.expect("fine")
    said = [message["content"] for message in server.seen[-1].json["messages"]]
    assert said == ["first \nsecond", "fine", "/etc"]


def test_help_lists_every_command_and_an_unknown_one_is_told(terminal: Open, here: Env) -> None:
    tty = begin(terminal, CHAT, here)
    tty.line("/help")
    shown = tty.expect("Ctrl-C stops")
    for command in ("/model", "/system", "/clear", "/save", "/help", "/quit"):
        assert command in shown
    tty.line("/nix")
    tty.expect("There is no /nix")


def test_a_single_answer_in_a_terminal_is_rendered(terminal: Open, server: FaultServer, there: Env) -> None:
    server.script("ep", chunked(*words("**bold** words"), DONE))
    tty = terminal("chat", "ep", "hi", **there)
    assert tty.finish() == 0
    assert "bold words" in tty.text
    assert "**" not in tty.text


def test_a_conversation_is_not_for_programs(terminal: Open, here: Env) -> None:
    tty = terminal("chat", CHAT, "--output", "json", **here)
    assert tty.finish() == 2
    assert "needs a prompt" in tty.text


def test_without_a_terminal_there_is_no_conversation(fm: Callable[..., Result], here: Env) -> None:
    done = fm("chat", CHAT, stdin=QUESTION, **here)
    assert done.stdout == "The sky is blue.\n"


def test_one_can_talk_where_no_history_can_be_kept(terminal: Open, here: Env, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tty = begin(terminal, CHAT, {**here, "FM_STATE_DIR": str(tmp_path / "file" / "below")})
    tty.line(QUESTION)
    tty.expect("The sky is blue.")
    tty.expect("> ")
    tty.type("\x04")
    assert tty.finish() == 0
