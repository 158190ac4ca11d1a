"""Fault matrix, rows S1 to S11: streams that are odd, broken, left early, or far too large."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from typing import Any

import pytest
from fault_lab import Lab, laboratory
from fault_server import DONE, chunked, delta, event, reply, words
from matrix import ENDPOINT, FINE, GOOD, Kind, Outcome, Row, cells
from matrix_streams import BEGUN, BROKEN_STREAMS, GOOD_STREAMS, UNBEGUN, USAGE
from timing import SOON, eventually

from fm_client import ResponseFormatError, ResponseTooLargeError, StreamInterruptedError

lab = pytest.fixture(params=["sync", "async"])(laboratory)

INTERRUPTED = Outcome(1, StreamInterruptedError)
HELD = chunked(*words(*BEGUN, finish=None), end="hold")


@pytest.mark.parametrize(("row", "kind"), cells(GOOD_STREAMS))
def test_a_stream_may_be_odd_and_whole(lab: Lab, row: Row, kind: Kind) -> None:
    """S2, S4, S7 to S9: the text is exact, and the usage comes once, at the end."""
    lab.server.script(ENDPOINT, *row.script(kind))
    lab.expect(1)
    begun = time.monotonic()
    answer = lab.ask(lab.client(), kind)
    assert (FINE, 1) == (answer.text, answer.attempts)
    assert time.monotonic() - begun < SOON, "the end is seen at once, also where the server stays"
    *others, last = answer.value
    assert [None] * len(others) == [chunk.usage for chunk in others]
    assert (FINE, last.usage) == (last.response.text, last.response.usage)
    assert last.usage.input_tokens == USAGE["prompt_tokens"]


@pytest.mark.parametrize(("row", "kind"), cells(UNBEGUN))
def test_before_its_first_event_a_stream_fails_like_a_whole_answer(lab: Lab, row: Row, kind: Kind) -> None:
    """S1, S6, H13"""
    lab.play(row, kind)


@pytest.mark.parametrize("fault", BROKEN_STREAMS)
def test_after_its_first_event_a_broken_stream_is_interrupted(lab: Lab, fault: str) -> None:
    """S1, S3, S6, H13: nothing is sent again, and what had come is kept."""
    answer, cause, code = BROKEN_STREAMS[fault]
    lab.server.script(ENDPOINT, answer)
    lab.expect(1)
    got: list[Any] = []
    with pytest.raises(StreamInterruptedError) as caught:
        lab.ask(lab.client(), "stream", got)
    error = caught.value
    lab.errors.append(error)
    assert "AAA BBB " == error.partial_text == "".join(chunk.text for chunk in got)
    assert (cause, code) == (type(error.__cause__), error.error_code)
    assert (1, ENDPOINT, "req-1") == (error.attempts, error.endpoint, error.request_id)
    assert (None, 2) == (error.partial.finish_reason, error.partial.usage.output_tokens)


@pytest.mark.parametrize("pieces", [words(*BEGUN), [*words(*BEGUN, finish=None), DONE]], ids=["no [DONE]", "no finish"])
def test_who_wants_both_ends_gets_them_or_an_error(lab: Lab, pieces: list[bytes]) -> None:
    """S2, with stream_end="both"."""
    lab.server.script(ENDPOINT, chunked(*pieces))
    lab.expect(1)
    assert FINE == lab.verify(INTERRUPTED, lab.client(stream_end="both"), "stream").partial_text


SEPARATORS = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\ufeff", "\U0001f600"]


@pytest.mark.parametrize("character", SEPARATORS, ids=[f"U+{ord(character):04X}" for character in SEPARATORS])
@pytest.mark.parametrize("size", [1, 10_000])
def test_characters_that_look_like_line_ends_are_text(lab: Lab, character: str, size: int) -> None:
    """S5: also where they are cut in two."""
    # JSON wants control characters below U+0020 escaped; all others stand there as they are.
    shown = character if ord(character) > 31 else f"\\u{ord(character):04x}"
    body = event(delta("a@b", finish="stop")).replace(b"@", shown.encode()) + DONE
    lab.server.script(ENDPOINT, chunked(*(body[i : i + size] for i in range(0, len(body), size))))
    lab.expect(1)
    assert f"a{character}b" == lab.ask(lab.client(), "stream").text


def test_the_connection_of_a_stream_that_ended_is_used_again(lab: Lab) -> None:
    """S8"""
    client = lab.client()
    lab.server.script(ENDPOINT, GOOD["stream"])
    lab.expect(5)
    assert [FINE] * 5 == [lab.ask(client, "stream").text for _ in range(5)]
    assert 1 == lab.server.connections


@pytest.mark.parametrize("kind", ["chat", "embed"])
def test_a_stream_in_answer_to_a_whole_request_is_no_answer(lab: Lab, kind: Kind) -> None:
    """S9"""
    lab.play(Row("S9", "SSE", (GOOD["stream"],), Outcome(1, ResponseFormatError, 200)), kind)


class TestAStreamThatIsLeft:
    """S10: its connection is closed at once, and the server sees that."""

    def test_by_a_break(self, lab: Lab) -> None:
        client = self.begin(lab)
        if lab.is_async:

            async def leave() -> None:
                stream = client.stream_chat(ENDPOINT, "Hi")
                async for _ in stream:
                    break
                await stream.aclose()

            lab.run(leave())
        else:
            stream = client.stream_chat(ENDPOINT, "Hi")
            for _ in stream:
                break
            stream.close()
        self.check(lab, client)

    def test_by_an_exception_of_the_consumer(self, lab: Lab) -> None:
        client = self.begin(lab)
        if lab.is_async:
            lab.run(_failing_async(client, lab))
        else:
            with pytest.raises(ZeroDivisionError):
                _failing(client)
        self.check(lab, client)

    def test_by_the_garbage_collector(self, lab: Lab) -> None:
        client = self.begin(lab)
        if lab.is_async:

            async def drop() -> None:
                stream = client.stream_chat(ENDPOINT, "Hi")
                await anext(stream)
                del stream
                gc.collect()
                await _closed(lab)

            lab.run(drop())
        else:
            stream = client.stream_chat(ENDPOINT, "Hi")
            next(stream)
            del stream
            gc.collect()
        self.check(lab, client)

    @pytest.mark.parametrize("lab", ["async"], indirect=True)
    @pytest.mark.parametrize("answer", [HELD, chunked(end="hold")], ids=["after an event", "before the first one"])
    def test_by_cancelling_the_task(self, lab: Lab, answer: Any) -> None:
        client = self.begin(lab, answer)

        async def cancel() -> None:
            task = asyncio.ensure_future(_read_on(client))
            await asyncio.to_thread(eventually, lambda: lab.server.attempts(ENDPOINT) == 1)
            await asyncio.sleep(0.03)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        lab.run(cancel())
        self.check(lab, client)

    @pytest.mark.parametrize("lab", ["sync"], indirect=True)
    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_by_whatever_else_is_thrown_into_it(self, lab: Lab, error: type[BaseException]) -> None:
        client = self.begin(lab)
        stream = client.stream_chat(ENDPOINT, "Hi")
        next(stream)
        with pytest.raises(error):
            stream.throw(error())
        self.check(lab, client)

    def begin(self, lab: Lab, answer: Any = HELD) -> Any:
        lab.server.script(ENDPOINT, answer)
        lab.expect(1)
        return lab.client()

    def check(self, lab: Lab, client: Any) -> None:
        assert eventually(lab.server.disconnected.is_set)
        lab.check()
        lab.server.script(ENDPOINT, reply(200, "{}"), GOOD["chat"])
        lab.play(Row("S10", "afterwards", (GOOD["chat"],), Outcome(1)), "chat", client)


def _failing(client: Any) -> None:
    for chunk in client.stream_chat(ENDPOINT, "Hi"):
        _ = 1 / len(chunk.tool_calls)


async def _failing_async(client: Any, lab: Lab) -> None:
    try:
        async for chunk in client.stream_chat(ENDPOINT, "Hi"):
            _ = 1 / len(chunk.tool_calls)
    except ZeroDivisionError:
        pass
    await _closed(lab)


async def _closed(lab: Lab) -> None:
    """The event loop closes an async stream that nobody holds any more, while it runs."""
    assert await asyncio.to_thread(lab.server.disconnected.wait, 1.0)


async def _read_on(client: Any) -> None:
    async for _ in client.stream_chat(ENDPOINT, "Hi"):
        pass


class TestTooLarge:
    """S11: what is kept in memory has a bound."""

    def test_one_line_without_an_end_before_the_first_event(self, lab: Lab) -> None:
        lab.server.script(ENDPOINT, chunked(b"data: ", *[b"x" * 100_000] * 20, end="hold"))
        lab.expect(1)
        outcome = Outcome(1, ResponseTooLargeError, 200, says="max_event_bytes")
        lab.verify(outcome, lab.client(max_event_bytes=200_000), "stream")

    def test_one_line_without_an_end_after_it(self, lab: Lab) -> None:
        lab.server.script(ENDPOINT, chunked(*words(*BEGUN, finish=None), b"data: ", *[b"x" * 100_000] * 20, end="hold"))
        lab.expect(1)
        outcome = Outcome(1, StreamInterruptedError, 200)
        error = lab.verify(outcome, lab.client(max_event_bytes=200_000), "stream")
        assert (FINE, ResponseTooLargeError) == (error.partial_text, type(error.__cause__))

    def test_many_lines_of_one_event(self, lab: Lab) -> None:
        lab.server.script(ENDPOINT, chunked(*[b"data: " + b"x" * 1_000 + b"\n"] * 300, end="hold"))
        lab.expect(1)
        lab.verify(Outcome(1, ResponseTooLargeError, 200), lab.client(max_event_bytes=200_000), "stream")

    def test_the_limit_of_8_mib_costs_little_more_memory_than_that(self, lab: Lab) -> None:
        lab.server.script(ENDPOINT, chunked(b"data: ", *[b"x" * 65_536] * 160, end="hold"))
        lab.expect(1)
        tracemalloc.start()
        try:
            lab.verify(Outcome(1, ResponseTooLargeError, 200), lab.client(), "stream")
            assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
        finally:
            tracemalloc.stop()

    def test_a_million_comments_cost_nothing(self, lab: Lab) -> None:
        lab.server.script(ENDPOINT, chunked(*words(*BEGUN)[:1], *[b":\n\n" * 10_000] * 100, *words(*BEGUN)[1:], DONE))
        lab.expect(1)
        tracemalloc.start()
        try:
            assert FINE == lab.ask(lab.client(), "stream").text
            assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
        finally:
            tracemalloc.stop()

    def test_many_tiny_events_are_handed_on_and_not_kept(self, lab: Lab) -> None:
        lab.server.script(ENDPOINT, chunked(*[event(delta("")) * 500] * 20, *words(*BEGUN), DONE))
        lab.expect(1)
        assert (FINE, 10_004) == ((answer := lab.ask(lab.client(), "stream")).text, len(answer.value))
