"""Lexical embeddings: of the right size, and closer the more two texts share."""

from __future__ import annotations

import base64
import math
import struct
import subprocess
import sys
from typing import Any

import pytest
from workspace_api import BGE, GTE, Api, provisioned

from fm_workspace._vectors import embed

CLOSE = [
    ("the cat sat on the mat", "cats sit on mats"),
    ("revenue grew in the third quarter", "quarterly revenue growth was strong"),
    ("how do I reset my password", "password reset instructions"),
    ("データベースの設定", "データベースを設定する"),
]
FAR = ["a recipe for tomato soup", "the orbit of Jupiter", "железная дорога"]


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


def vectors(api: Api, endpoint: str, texts: Any, **params: Any) -> list[list[float]]:
    answer = api.query(endpoint, {"input": texts, **params})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [item["index"] for item in data] == list(range(len(data)))
    return [item["embedding"] for item in data]


@pytest.mark.parametrize(("one", "other"), CLOSE)
@pytest.mark.parametrize("endpoint", [GTE, BGE])
def test_texts_that_share_words_are_closer_than_others(api: Api, endpoint: str, one: str, other: str) -> None:
    first, second, *rest = vectors(api, endpoint, [one, other, *FAR])
    assert all(cosine(first, second) > cosine(first, far) + 0.1 for far in rest)


def test_bge_is_normalized_and_gte_is_not(api: Api) -> None:
    (bge,), (gte,) = vectors(api, BGE, "some text"), vectors(api, GTE, "some text")
    assert len(bge) == len(gte) == 1024
    assert math.hypot(*bge) == pytest.approx(1)
    assert math.hypot(*gte) > 1.5


def test_one_text_and_a_list_of_one_are_the_same_and_order_is_kept(api: Api) -> None:
    assert vectors(api, GTE, "a b") == vectors(api, GTE, ["a b"])
    assert vectors(api, GTE, ["x", "y", "z"]) == [vectors(api, GTE, text)[0] for text in "xyz"]


def test_an_instruction_turns_a_vector_only_slightly(api: Api) -> None:
    instruction = "Represent this sentence for searching relevant passages:"
    (plain,), (turned,) = vectors(api, BGE, "cats"), vectors(api, BGE, "cats", instruction=instruction)
    assert plain != turned
    assert cosine(plain, turned) > 0.95


def test_the_model_and_usage_are_told(api: Api) -> None:
    answer = api.query(GTE, {"input": ["one two", "three"]}).json()
    assert (answer["object"], answer["model"]) == ("list", "gte-large-en-120124")
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_base64_holds_the_same_numbers(api: Api) -> None:
    plain = vectors(api, BGE, "text")[0]
    packed = base64.b64decode(vectors(api, BGE, "text", encoding_format="base64")[0])  # type: ignore[arg-type]  # text now
    assert struct.unpack("<1024f", packed) == pytest.approx(plain, abs=1e-6)


def test_tags_set_size_and_length_of_a_provisioned_endpoints_vectors(api: Api) -> None:
    name = api.created(
        "small", provisioned("main.default.my_bge"), tags={"fm_dimension": "64", "fm_normalized": "false"}
    )
    (vector,) = vectors(api, name, "some text here")
    assert len(vector) == 64
    assert math.hypot(*vector) > 1.5


def test_a_batch_over_the_tagged_limit_is_a_429(api: Api) -> None:
    name = api.created("batched", provisioned("main.default.my_bge"), tags={"fm_batch_limit": "2"})
    assert len(vectors(api, name, ["a", "b"])) == 2
    answer = api.query(name, {"input": ["a", "b", "c"]})
    assert (answer.status_code, answer.json()["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("text", ["", " ", "☃", "\n", "the", "x" * 10_000])
def test_every_text_has_a_vector_of_length_one(text: str) -> None:
    assert math.hypot(*embed(text, 256)) == pytest.approx(1)


def test_vectors_are_the_same_in_every_process() -> None:
    code = "from fm_workspace._vectors import embed; print(embed('hash seeds change nothing', 16))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == str(embed("hash seeds change nothing", 16))
