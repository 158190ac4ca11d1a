"""Pictures and files that tools return: chat has text only in results of tools, so they follow as the user's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .types._base import JSONObject

NAMED = "Result of tool call {}:"
LATER = "The result follows in the user's message."


def show_tool_media(messages: Iterable[Mapping[str, object]]) -> list[JSONObject]:
    """`messages` of a chat, where what tools show besides text follows their results as a message of the user.

    >>> picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    >>> result, shown = show_tool_media([{"role": "tool", "tool_call_id": "c1", "content": [picture]}])
    >>> result["content"], shown["role"], shown["content"][0]["text"], shown["content"][1] == picture
    ("The result follows in the user's message.", 'user', 'Result of tool call c1:', True)

    Results of parallel calls stay together. The Responses API takes media where they are.
    """
    return list(_shown(messages))


def _shown(messages: Iterable[Mapping[str, object]]) -> Iterator[JSONObject]:
    media: list[JSONObject] = []
    for message in messages:
        if message.get("role") != "tool" and media:
            yield {"role": "user", "content": media}
            media = []
        yield _text_only(dict(message), media)
    if media:
        yield {"role": "user", "content": media}


def _text_only(message: JSONObject, media: list[JSONObject]) -> JSONObject:
    """A tool's result without its pictures and files, which are added to `media`."""
    parts = message["content"] if isinstance(message.get("content"), list) else []
    found = [part for part in parts if part.get("type") != "text"]
    if message.get("role") != "tool" or not found:
        return message
    media += [{"type": "text", "text": NAMED.format(message.get("tool_call_id"))}, *found]
    return {**message, "content": [part for part in parts if part.get("type") == "text"] or LATER}
