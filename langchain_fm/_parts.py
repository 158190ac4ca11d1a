"""Content blocks -> parts of a chat message: LangChain's own blocks (v1 and v0), OpenAI's and Anthropic's."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fm_client import InvalidRequestError

Block = dict[str, Any]

TOOL_BLOCKS = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "input_json_delta", "function_call"}
)
"""Blocks that stand for a tool call; on the wire it is in `tool_calls`."""
_REASONING = frozenset({"reasoning", "thinking", "redacted_thinking"})
_PORTABLE = TOOL_BLOCKS | {"text", "text-plain", "image", "image_url", "audio", "input_audio", "file", "document"}
RAW = "raw"
"""In `extras` of a block: it holds the reasoning itself, of which there is no summary."""
CONTINUES = "continues"
"""In `extras` of a block: it is a further piece of the item of which the block before it is one."""
SEALS = ("signature", "data")
"""What reasoning is signed with, or holds instead of a text when it is encrypted."""
PLAIN = 0
"""Number of what a stream told of a text that it had begun with, and that came as such."""
# LangChain's own bookkeeping and what belongs to items, which the service would refuse as unknown fields.
_BOOKKEEPING = frozenset({"index", "id", "extras", "annotations", "phase"})
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}
DEFAULT_FILE_NAME = "file"


def to_parts(blocks: Iterable[str | Block]) -> list[Block]:
    """The parts to send: without tool calls, and without empty texts, which the service refuses."""
    return [part for block in blocks if (part := to_part(block)) is not None]


def to_part(block: str | Block) -> Block | None:
    """One part; None for a block that is not sent. A block of a kind not known here is sent as it is."""
    if isinstance(block, str):
        return {"type": "text", "text": block} if block else None
    kind = block.get("type")
    if kind in TOOL_BLOCKS:
        return None
    if kind == "non_standard":
        return to_part(block["value"])
    translate = _TRANSLATIONS.get(str(kind))
    return _without(block, {"index"}) if translate is None else translate(block)


def to_reasoning(block: Block) -> Block | None:
    """Reasoning as the service takes it back: signed, encrypted or neither, as it was given."""
    if "summary" in block:
        return {**_without(block, {"index"}), "summary": _unindexed(block["summary"])}
    text = block.get("reasoning") or block.get("thinking") or ""
    extras = block.get("extras") or {}
    known = {name: value for name in SEALS if (value := block.get(name) or extras.get(name))}
    if not text and not known:
        return None
    said = {"type": "summary_encrypted_text"} if "data" in known else {"type": "summary_text", "text": text}
    return {"type": "reasoning", "summary": [{**said, **known}]}


def to_items(blocks: Iterable[str | Block]) -> list[Block]:
    """The parts of an answer of the Responses API, each as it came."""
    items: list[Block] = []
    for block in joined(blocks):
        part = _to_item(block)
        if part is not None and part.get("type") == "reasoning" and part.pop(CONTINUES, False):
            _continue(items, part)
        elif part is not None:
            items.append(part)
    return items


def joined(blocks: Iterable[str | Block]) -> list[str | Block]:
    """The blocks of a content, of which a text and what its stream told of it later are one.

    >>> joined(["a", {"type": "text", "text": "", "id": "msg_1", "index": 0}])
    [{'type': 'text', 'text': 'a', 'id': 'msg_1', 'index': 0}]
    """
    found = list(blocks)
    text, late = found[:2] if len(found) > 1 else ("", "")
    if isinstance(text, str) and isinstance(late, dict) and (late.get("type"), late.get("index")) == ("text", PLAIN):
        return [{**late, "text": text + (late.get("text") or "")}, *found[2:]]
    return found


def _continue(items: list[Block], part: Block) -> None:
    if items and items[-1].get("type") == "reasoning":
        for name in ("summary", "content"):
            if part.get(name):
                items[-1][name] = [*items[-1].get(name, []), *part[name]]


def is_item(block: str | Block) -> bool:
    """Whether a block is an item of the Responses API or a step of an agent, which chat does not know."""
    if not isinstance(block, dict):
        return False
    part = block["value"] if block.get("type") == "non_standard" else block
    kind = str(part.get("type"))
    if kind == "reasoning":
        return _is_reasoning_item(part)
    return kind.endswith(("_call", "_call_output")) and kind not in TOOL_BLOCKS - {"function_call"}


def _is_reasoning_item(part: Block) -> bool:
    known = {**(part.get("extras") or {}), **part}
    own = known.get("id") and not str(known["id"]).startswith("lc_")  # which LangChain makes up
    return bool(own or known.get("encrypted_content") or known.get(CONTINUES)) and not _is_signed(part)


def _to_item(block: str | Block) -> Block | None:
    if isinstance(block, str) or block.get("type") in TOOL_BLOCKS - {"function_call"}:
        return to_part(block)  # calls are in `tool_calls`, and where their place matters as items besides
    if block.get("type") == "non_standard":
        return _without(block["value"], {"index"})
    if block.get("type") == "reasoning":
        return _reasoning_item(block)
    return _without(block, {"index"}) if block.get("type") == "text" or is_item(block) else to_part(block)


def _reasoning_item(block: Block) -> Block | None:
    if "reasoning" not in block:
        pieces: Block = {name: _unindexed(block[name]) for name in ("summary", "content") if name in block}
        return {"summary": [], **_without(block, {"index"}), **pieces}
    extras, text = dict(block.get("extras") or {}), block["reasoning"]
    if extras.pop(RAW, False):
        return {"type": "reasoning", "summary": [], **extras, "content": [{"type": "reasoning_text", "text": text}]}
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"type": "reasoning", "summary": summary, **extras} if extras else None


def _unindexed(pieces: Any) -> list[Block]:
    return [_without(piece, {"index"}) for piece in pieces or []]


def is_portable(block: str | Block) -> bool:
    """Whether a block of another provider's answer means something here: signed reasoning does, to who signed it."""
    if not isinstance(block, dict) or block.get("type") in _PORTABLE:
        return True
    return block.get("type") in _REASONING and _is_signed(block)


def _is_signed(block: Mapping[str, Any]) -> bool:
    pieces = block.get("summary") or [block, block.get("extras") or {}]
    return any(isinstance(piece, dict) and piece.get(seal) for piece in pieces for seal in SEALS)


def _text(block: Block) -> Block | None:
    if not block.get("text"):
        return None
    return {**_without(block, _BOOKKEEPING), **_cache_control(block)}


def _plain_text(block: Block) -> Block | None:
    text = block.get("text")
    if text is None and block.get("base64"):
        text = _decoded(block["base64"])
    return _file(block) if text is None else _as_text(text, block)


def _as_text(text: Any, block: Block) -> Block | None:
    return {"type": "text", "text": text, **_cache_control(block)} if text else None


def _decoded(data: str) -> str:
    try:
        return b64decode(data).decode()
    except ValueError:
        raise InvalidRequestError("a text-plain block needs text, or base64 of text in UTF-8") from None


def _image_url(block: Block) -> Block:
    image = block.get("image_url")
    return {**_without(block, {"index"}), "image_url": {"url": image} if isinstance(image, str) else image}


def _image(block: Block) -> Block:
    url = _url_of(block, "image/jpeg")
    if url is None:
        raise InvalidRequestError("an image block needs url, or base64 with mime_type")
    detail = block.get("detail") or (block.get("extras") or {}).get("detail")
    image = {"url": url} | ({"detail": detail} if detail else {})
    return {"type": "image_url", "image_url": image, **_cache_control(block)}


def _file(block: Block) -> Block | None:
    if "file" in block:  # OpenAI's own form
        return _without(block, {"index"})
    if block.get("source_type") == "text":
        return _as_text(block.get("text") or block.get("data"), block)
    identifier = block.get("file_id") or _source(block).get("file_id")
    if identifier := identifier or (block.get("id") if block.get("source_type") == "id" else None):
        return {"type": "file", "file": {"file_id": identifier}, **_cache_control(block)}
    url = _url_of(block, "application/pdf")
    if url is None or not url.startswith("data:"):
        kind = block.get("type")
        raise InvalidRequestError(f"a {kind} block needs base64 with mime_type, or file_id: files are not sent by URL")
    return {"type": "file", "file": {"filename": _file_name(block), "file_data": url}, **_cache_control(block)}


def _document(block: Block) -> Block | None:
    source = _source(block)
    return _as_text(source.get("data"), block) if source.get("type") == "text" else _file(block)


def _audio(block: Block) -> Block:
    data = block.get("base64") or block.get("data")
    if not data:
        raise InvalidRequestError("an audio block needs base64 with mime_type: audio is not sent by URL")
    suffix = str(block.get("mime_type") or "audio/wav").rpartition("/")[2]
    sound = {"data": data, "format": _AUDIO_FORMATS.get(suffix, suffix)}
    return {"type": "input_audio", "input_audio": sound, **_cache_control(block)}


def _video(block: Block) -> Block:
    raise InvalidRequestError("the service's chat API has no video part; send frames as images")


def _url_of(block: Mapping[str, Any], default_type: str) -> str | None:
    """The URL of what a block holds: its own, or a data URL."""
    source = _source(block)
    if url := source.get("url") or block.get("url"):
        return str(url)
    data = source.get("data") or block.get("base64") or block.get("data")
    mime_type = source.get("media_type") or block.get("mime_type") or default_type
    return f"data:{mime_type};base64,{data}" if data else None


def _source(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where Anthropic's blocks have their data."""
    source = block.get("source")
    return source if isinstance(source, Mapping) else {}


def _file_name(block: Block) -> str:
    places = (block, block.get("extras") or {}, block.get("metadata") or {})
    return next(
        (str(name) for place in places for key in ("filename", "title", "name") if (name := place.get(key))), ""
    ) or (DEFAULT_FILE_NAME)


def _cache_control(block: Block) -> Block:
    found = block.get("cache_control") or (block.get("extras") or {}).get("cache_control")
    return {"cache_control": found} if found else {}


def _without(block: Block, names: Iterable[str]) -> Block:
    return {key: value for key, value in block.items() if key not in names}


_TRANSLATIONS: dict[str, Callable[[Block], Block | None]] = {
    "text": _text,
    "text-plain": _plain_text,
    "image_url": _image_url,
    "image": _image,
    "file": _file,
    "document": _document,
    "audio": _audio,
    "video": _video,
    "reasoning": to_reasoning,
    "thinking": to_reasoning,
    "redacted_thinking": to_reasoning,
}
