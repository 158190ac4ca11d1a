"""`AIMessage.content_blocks`: the service's parts as LangChain's standard blocks, reasoning signatures kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.content import ContentBlock

from ._config import PROVIDER
from ._parts import CONTINUES, PLAIN, RAW, SEALS, Block, joined

_STANDARD = frozenset(
    {"text", "reasoning", "image", "audio", "video", "file", "text-plain", "tool_call", "non_standard"}
)
_CALLS = frozenset({"tool_call", "tool_call_chunk", "invalid_tool_call"})


def register() -> None:
    """Let LangChain use this translation for the messages of this package."""
    register_translator(PROVIDER, standard_blocks, standard_blocks_of_chunk)


def standard_blocks(message: AIMessage) -> list[ContentBlock]:
    """The standard blocks of a whole message: reasoning, content, tool calls."""
    calls: list[Any] = [{**call, "type": "tool_call"} for call in message.tool_calls]
    calls += [{**call, "type": "invalid_tool_call"} for call in message.invalid_tool_calls]
    return cast("list[ContentBlock]", [*_loose_reasoning(message), *_of_content(message.content), *calls])


def standard_blocks_of_chunk(message: AIMessageChunk) -> list[ContentBlock]:
    """The standard blocks of a chunk; of the chunks put together those of a whole message."""
    if message.chunk_position == "last":
        return standard_blocks(message)
    calls: list[Any] = [_call_chunk(dict(piece)) for piece in message.tool_call_chunks]
    content = message.content
    if isinstance(content, str) and content:
        content = [{"type": "text", "text": content, "index": PLAIN}]
    return cast("list[ContentBlock]", [*_loose_reasoning(message), *_of_content(content), *calls])


def _call_chunk(piece: Block) -> Block:
    # LangChain puts blocks together by index alone: a number could be that of a text.
    index = {} if piece.get("index") is None else {"index": f"lc_tool_call_{piece['index']}"}
    return {
        "type": "tool_call_chunk",
        "id": piece.get("id"),
        "name": piece.get("name"),
        "args": piece.get("args"),
        **index,
    }


def _loose_reasoning(message: AIMessage) -> list[Block]:
    text = message.additional_kwargs.get("reasoning_content")
    return [{"type": "reasoning", "reasoning": text}] if text else []


def _of_content(content: str | list[Any]) -> Iterator[Block]:
    for part in [content] if isinstance(content, str) else joined(content):
        if isinstance(part, str):
            if part:
                yield {"type": "text", "text": part}
        elif part.get("type") == "reasoning" and "reasoning" not in part:
            yield from _reasoning(part)
        elif part.get("type") in ("thinking", "redacted_thinking"):
            yield _block(part.get("thinking"), _sealed(part), part)
        elif part.get("type") not in _CALLS:
            yield _standard(part)


def _reasoning(part: Block) -> Iterator[Block]:
    """A block for each piece. Of an item of the Responses API the first has what it is sealed with."""
    item: Block = {key: part[key] for key in ("id", "encrypted_content") if part.get(key)}
    raw: Block = {} if part.get("summary") or not part.get("content") else {RAW: True}
    pieces = part.get("summary") or part.get("content") or ([{}] if item else [])
    for place, piece in enumerate(pieces):
        number = piece.get("index", place)
        if number and not _sealed(piece) and (item or "index" in piece):
            yield _block(piece.get("text"), {CONTINUES: True, **raw}, part, number)
        elif item or raw:
            yield _block(piece.get("text"), {**item, **raw}, part)
        else:
            yield _block(piece.get("text"), _sealed(piece), part)


def _sealed(piece: Block) -> Block:
    return {key: value for key, value in piece.items() if key in SEALS and value}


def _block(text: Any, extras: Block, part: Block, number: int = 0) -> Block:
    index = _index(part)
    if number and index:
        index = {"index": f"{index['index']}_{number}"}
    return {"type": "reasoning", "reasoning": text or "", **({"extras": extras} if extras else {}), **index}


def _standard(part: Block) -> Block:
    if part.get("type") in _STANDARD:
        return {**part, **_index(part)}
    return {"type": "non_standard", "value": {k: v for k, v in part.items() if k != "index"}, **_index(part)}


def _index(part: Block) -> Block:
    # LangChain numbers the blocks that have no index of their own: a number here could be that of another one.
    return {"index": f"lc_part_{part['index']}"} if "index" in part else {}
