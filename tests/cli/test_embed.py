"""`fm embed`: lines and JSON lines to JSON lines and Parquet."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, either, reply
from terminal import Terminal
from typer.testing import Result

from fm_cli import _embed
from fm_client import Client
from fm_workspace import Workspace

Run = Callable[..., Result]
Env = dict[str, str]
MODEL = "databricks-gte-large-en"
TEXTS = ["a cat", "a kitten", "tax law"]


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def expected(workspace: Workspace) -> list[list[float]]:
    """The vectors of TEXTS."""
    with Client(workspace.host, workspace.token) as client:
        return client.embed(MODEL, TEXTS).vectors


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("a cat\n\na kitten\r\ntax law\n", encoding="utf-8")
    return path


def test_lines_of_standard_input_become_json_lines_in_their_order(
    fm: Run, here: Env, expected: list[list[float]]
) -> None:
    done = fm("embed", MODEL, stdin="\n".join(TEXTS), **here)
    assert done.exit_code == 0, done.output
    assert [row["text"] for row in rows(done.stdout)] == TEXTS
    assert [row["embedding"] for row in rows(done.stdout)] == expected
    assert done.stderr == ""


def test_a_chat_model_is_answered_by_what_it_takes(fm: Run, here: Env) -> None:
    done = fm("embed", "databricks-meta-llama-3-3-70b-instruct", stdin="a cat", **here)
    assert done.exit_code == 1
    assert "The endpoint serves another task: chat takes messages" in done.stderr


def test_lines_of_files_without_blank_ones(fm: Run, here: Env, lines: Path, expected: list[list[float]]) -> None:
    done = fm("embed", MODEL, str(lines), str(lines), **here)
    assert [row["embedding"] for row in rows(done.stdout)] == expected * 2


def test_a_line_separator_of_unicode_ends_no_line(fm: Run, here: Env) -> None:
    done = fm("embed", MODEL, stdin="one\u2028still one\ntwo", **here)
    assert [row["text"] for row in map(json.loads, done.stdout.split("\n")[:-1])] == ["one\u2028still one", "two"]


def test_a_field_of_json_lines_is_embedded_and_the_others_stay(fm: Run, here: Env, expected: list[list[float]]) -> None:
    given = "".join(json.dumps({"id": i, "body": text}) + "\n" for i, text in enumerate(TEXTS))
    done = fm("embed", MODEL, "--field", "body", stdin=given, **here)
    assert rows(done.stdout) == [
        {"id": i, "body": text, "embedding": vector}
        for i, (text, vector) in enumerate(zip(TEXTS, expected, strict=True))
    ]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("no json\n", "standard input, line 1 is not JSON"),
        ('{"body": "a"}\n[1]\n', "standard input, line 2 is no JSON object"),
        ('{"text": "a"}\n', "no text in 'body'; it has: text"),
        ('{"body": ""}\n', "no text in 'body'"),
        ("\n\n", "nothing to embed"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_what_cannot_be_embedded_is_told_with_its_line(fm: Run, here: Env, given: str | bytes, reason: str) -> None:
    done = fm("embed", MODEL, "--field", "body", stdin=given, **here)
    assert (done.exit_code, done.stdout) == (1, "")
    assert reason in done.stderr


def test_a_text_in_the_place_of_a_file_is_told_how_to_come_in(fm: Run, here: Env) -> None:
    done = fm("embed", MODEL, "tax law", **here)
    assert done.exit_code == 1 and "there is no file tax law; to embed a text, pipe it" in done.stderr


def test_options_reach_the_call(fm: Run, here: Env) -> None:
    done = fm("embed", MODEL, "--normalize", "--instruction", "find:", "--batch-size", "1", stdin="a cat", **here)
    (row,) = rows(done.stdout)
    assert math.isclose(math.hypot(*row["embedding"]), 1.0, rel_tol=1e-6)


def test_a_file_is_written_whole_and_what_was_done_is_told(
    fm: Run, here: Env, lines: Path, tmp_path: Path, expected: list[list[float]]
) -> None:
    target = tmp_path / "out.jsonl"
    done = fm("embed", MODEL, str(lines), "--to", str(target), **here)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("3 vectors of 1,024, ")
    assert [row["embedding"] for row in rows(target.read_text())] == expected
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.jsonl"]


def test_programs_get_a_summary_as_json(fm: Run, here: Env, lines: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    report = json.loads(fm("embed", MODEL, str(lines), "--to", str(target), "--output", "json", **here).stdout)
    assert (report["vectors"], report["dimension"], report["file"]) == (3, 1024, str(target))
    assert report["tokens"] > 0


def test_the_ending_of_the_name_says_what_is_written(fm: Run, here: Env, lines: Path, tmp_path: Path) -> None:
    done = fm("embed", MODEL, str(lines), "--to", str(tmp_path / "out.csv"), **here)
    assert done.exit_code == 1
    assert ".jsonl or .parquet" in done.stderr
    assert list(tmp_path.glob("out*")) == []


def test_many_texts_are_written_chunk_by_chunk(
    fm: Run, here: Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_embed, "CHUNK", 7)
    texts = [f"text number {i}" for i in range(30)]
    target = tmp_path / "out.jsonl"
    assert fm("embed", MODEL, "--to", str(target), stdin="\n".join(texts), **here).exit_code == 0
    assert [row["text"] for row in rows(target.read_text())] == texts


@pytest.fixture
def half_way(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """An endpoint that answers the first chunk, and refuses the second."""
    monkeypatch.setattr(_embed, "CHUNK", 2)

    def answer(request: Any) -> Any:
        texts = request.json["input"]
        if "tax law" in texts:
            return reply(400, {"error_code": "BAD_REQUEST", "message": "no law here"})
        data = [{"index": i, "embedding": [1.0, 0.0]} for i, _ in enumerate(texts)]
        return reply(200, {"object": "list", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})

    return server.script("ep", either(answer, server))


def test_a_failure_half_way_loses_nothing_that_was_done(
    fm: Run, there: Env, half_way: str, lines: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.jsonl"
    done = fm("embed", half_way, str(lines), "--to", str(target), **there)
    assert done.exit_code == 1
    assert "no law here" in done.stderr
    assert "2 texts were embedded before" in done.stderr
    assert not target.exists()
    assert [row["text"] for row in rows((tmp_path / "out.jsonl.partial").read_text())] == TEXTS[:2]


def test_what_was_done_before_a_failure_is_on_standard_output(fm: Run, there: Env, half_way: str, lines: Path) -> None:
    done = fm("embed", half_way, str(lines), "--output", "json", **there)
    assert [row["text"] for row in rows(done.stdout)] == TEXTS[:2]
    assert json.loads(done.stderr)["error"]["notes"] == ["2 texts were embedded before"]


def test_a_bar_is_drawn_in_a_terminal(
    terminal: Callable[..., Terminal], here: Env, lines: Path, tmp_path: Path
) -> None:
    tty = terminal("embed", MODEL, str(lines), "--to", str(tmp_path / "out.jsonl"), **here)
    assert tty.finish() == 0
    assert "3/3" in tty.text
    assert "3 vectors of 1,024" in tty.text


def test_parquet_without_pyarrow_says_what_to_install(here: Env, lines: Path, tmp_path: Path) -> None:
    """None in `sys.modules` makes Python treat a module as not installed."""
    code = "import sys; sys.modules['pyarrow'] = None; from fm_cli import main; main()"
    target = tmp_path / "out.parquet"
    command = [sys.executable, "-c", code, "embed", MODEL, str(lines), "--to", str(target)]
    done = subprocess.run(command, env=here, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1
    assert "pip install pyarrow" in done.stderr
    assert not target.exists()


def test_parquet_holds_the_same_vectors(
    fm: Run, here: Env, tmp_path: Path, expected: list[list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(_embed, "CHUNK", 2)
    target = tmp_path / "out.parquet"
    given = "".join(json.dumps({"id": i, "body": text}) + "\n" for i, text in enumerate(TEXTS))
    done = fm("embed", MODEL, "--field", "body", "--to", str(target), stdin=given, **here)
    assert done.exit_code == 0, done.output
    table = parquet.read_table(target)
    assert table.column_names == ["id", "body", "embedding"]
    assert table["body"].to_pylist() == TEXTS
    for vector, wanted in zip(table["embedding"].to_pylist(), expected, strict=True):
        assert vector == pytest.approx(wanted, abs=1e-6)
    assert parquet.ParquetFile(target).num_row_groups == 2


def test_objects_that_fit_into_no_table_are_told(fm: Run, here: Env, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    given = '{"id": 1, "body": "a"}\n{"id": "x", "body": "b"}\n'
    done = fm("embed", MODEL, "--field", "body", "--to", str(tmp_path / "out.parquet"), stdin=given, **here)
    assert done.exit_code == 1
    assert "do not fit into one table" in done.stderr
