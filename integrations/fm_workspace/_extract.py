"""Answers taken out of the request's own text: the sentences that share most with the question."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ._words import best_matches, overlap

EXCERPT_CHARS = 200
NO_MODEL = "This is a simulated answer: it was made by rules and not by a language model."
_LABELLED = re.compile(r"^[ \t>*#-]*(?:user )?(?:question|query|q)\**[ \t]*:[ \t*]*(\S.*)$", re.I | re.M)
_SENTENCE = re.compile(r"[^.!?。！？\n]*(?:[.!?](?!\s|$)[^.!?。！？\n]*)*[.!?。！？]*")
_LABEL = re.compile(r"^\s*(?:[A-Z][\w ]{0,24}:|[-*•]|\d+[.)])\s*")


def reply(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text with which a chat goes on."""
    last = messages[-1]
    text = content_text(last)
    if last["role"] == "tool":
        return _about_result(text, _last_user(messages))
    return found_answer(text, _earlier(messages)) or echo(text)


def complete(prompt: str) -> str:
    """The text with which a prompt goes on."""
    return found_answer(prompt, []) or echo(prompt)


def echo(text: str) -> str:
    """A reply that says what it is, and quotes the request."""
    plain = " ".join(text.split())
    excerpt = plain if len(plain) <= EXCERPT_CHARS else plain[: EXCERPT_CHARS - 1] + "…"
    return f'{NO_MODEL} The request says: "{excerpt}"' if excerpt else f"{NO_MODEL} The request has no text."


def found_answer(text: str, earlier: Sequence[str]) -> str | None:
    """The sentences of `text` (or else of `earlier` texts) that answer the question in it; None if there are none."""
    asked = question(text)
    if asked is None:
        return None
    for source in (text.replace(asked, "\n"), "\n".join(earlier)):
        if found := best_matches(asked, sentences(source)):
            return " ".join(found)
    return None


def question(text: str) -> str | None:
    """What a prompt asks: the line marked as the question, else the last sentence with a question mark."""
    if labelled := _LABELLED.findall(text):
        return str(labelled[-1]).strip()
    asked = [sentence.strip() for sentence in _SENTENCE.findall(text) if sentence.strip().endswith(("?", "？"))]
    return asked[-1] if asked else None


def sentences(text: str) -> list[str]:
    """The statements in `text`, without labels and bullets."""
    found = (_LABEL.sub("", sentence).strip(" \t-*•=") for sentence in _SENTENCE.findall(text))
    return [sentence for sentence in found if sentence and not sentence.endswith(("?", "？", ":"))]


def content_text(message: Mapping[str, Any]) -> str:
    """The text of a message, whichever form its content has."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part.get("type") == "text")


def _about_result(result: str, asked: str) -> str:
    statements = sentences(result)
    if len(statements) > 2 and overlap(asked, result):
        return " ".join(best_matches(asked, statements)) or result
    return result or f"{NO_MODEL} The tool returned nothing."


def _last_user(messages: Sequence[Mapping[str, Any]]) -> str:
    return next((content_text(message) for message in reversed(messages) if message["role"] == "user"), "")


def _earlier(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    return [content_text(message) for message in messages[:-1] if message["role"] in ("system", "user", "tool")]
