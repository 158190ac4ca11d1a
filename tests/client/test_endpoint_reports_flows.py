"""What the service shows of an endpoint in its own ways: older forms, sizes of 0, answers that are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stage import Stage, described, finish, reply

from fm_client import EndpointFailedError, InvalidRequestError, ResponseFormatError, ServerError
from fm_client._endpoints import AsyncEndpoints, Endpoints

API = "/api/2.0/serving-endpoints"
LLAMA = {"name": "a", "entity_name": "a.b.llama", "entity_version": "2"}
STATE = {"deployment": "DEPLOYMENT_READY", "deployment_state_message": ""}
SHOWN = {**LLAMA, "creator": "ada", "creation_timestamp": 1, "state": STATE, "scale_to_zero_enabled": False}
CHUNKS = reply({"optimizable": True, "model_type": "llama", "throughput_chunk_size": 980})
FAILED = {"ready": "NOT_READY", "config_update": "UPDATE_FAILED"}


@pytest.fixture(params=["sync", "async"])
def verbs(request: pytest.FixtureRequest) -> Callable[[Stage], Callable[..., Any]]:
    """`verbs(stage)("scale", …)` calls the resource of either client."""

    def of(stage: Stage) -> Callable[..., Any]:
        if request.param == "sync":
            return lambda verb, *args, **kwargs: getattr(Endpoints(stage.run, stage.context), verb)(*args, **kwargs)
        return lambda verb, *args, **kwargs: finish(
            getattr(AsyncEndpoints(stage.arun, stage.context), verb)(*args, **kwargs)
        )

    return of


def paths(stage: Stage) -> list[str]:
    return [f"{request.method} {request.url.removeprefix('https://example.test')}" for request in stage.sent]


UNITS = {"provisioned_model_units": 50, "min_provisioned_throughput": 0, "max_provisioned_throughput": 0}
TOKENS = {"provisioned_model_units": 0, "min_provisioned_throughput": 0, "max_provisioned_throughput": 980}
OLDER = {"name": "a", "model_name": "a.b.llama", "model_version": "2", "max_provisioned_throughput": 980}


@pytest.mark.parametrize(
    ("shown", "size", "path", "sent"),
    [
        (
            {**SHOWN, **UNITS},
            {"provisioned_model_units": 100},
            f"{API}/pt/e/config",
            {**LLAMA, "provisioned_model_units": 100},
        ),
        (
            {**SHOWN, **TOKENS},
            {"max_provisioned_throughput": 1960},
            f"{API}/e/config",
            {
                **LLAMA,
                "scale_to_zero_enabled": False,
                "min_provisioned_throughput": 0,
                "max_provisioned_throughput": 1960,
            },
        ),
        (
            {**SHOWN, "workload_size": "Small"},
            {"scale_to_zero_enabled": True},
            f"{API}/e/config",
            {**LLAMA, "workload_size": "Small", "scale_to_zero_enabled": True},
        ),
        (OLDER, {"max_provisioned_throughput": 1960}, f"{API}/e/config", {**LLAMA, "max_provisioned_throughput": 1960}),
        (
            {**SHOWN, **TOKENS},
            {"provisioned_model_units": 50, "burst_scaling_enabled": False},
            f"{API}/pt/e/config",
            {**LLAMA, "provisioned_model_units": 50, "burst_scaling_enabled": False},
        ),
    ],
)
def test_scaling_sends_back_what_the_service_takes(
    verbs: Any, shown: Any, size: Any, path: str, sent: dict[str, Any]
) -> None:
    key = "served_models" if shown is OLDER else "served_entities"
    stage = Stage(described(config={key: [shown]}), described())
    verbs(stage)("scale", "e", **size)

    method, where, body = stage.last
    assert (method, where) == ("PUT", path)
    assert body.get("config", body) == {"served_entities": [sent]}


def test_scaling_by_chunks_asks_for_their_size_first(verbs: Any) -> None:
    stage = Stage(described(config={"served_entities": [{**SHOWN, **TOKENS}]}), CHUNKS, described())
    verbs(stage)("scale", "e", throughput_chunks=3)

    assert paths(stage) == [
        f"GET {API}/e",
        f"GET {API}/get-model-optimization-info/a.b.llama/2",
        f"PUT {API}/e/config",
    ]
    assert stage.last[2]["served_entities"][0]["max_provisioned_throughput"] == 2940


@pytest.mark.parametrize("excess", [{"scale_to_zero_enabled": True}, {"throughput_chunks": 1}])
def test_units_are_not_mixed_with_what_they_do_not_know(verbs: Any, excess: dict[str, Any]) -> None:
    stage = Stage(described())
    with pytest.raises(InvalidRequestError, match="beside provisioned_model_units an entity takes no"):
        verbs(stage)("scale", "e", provisioned_model_units=5, **excess)

    assert stage.sent == []


@pytest.mark.parametrize("verb", ["get_permissions", "permission_levels"])
def test_permissions_are_found_by_the_id_of_the_endpoint(verbs: Any, verb: str) -> None:
    stage = Stage(described(id="0123abcd"), reply({}))
    verbs(stage)(verb, "e")
    rest = "/permissionLevels" if verb == "permission_levels" else ""

    assert paths(stage) == [f"GET {API}/e", f"GET /api/2.0/permissions/serving-endpoints/0123abcd{rest}"]
    with pytest.raises(ResponseFormatError, match="has no id"):
        verbs(Stage(described()))(verb, "e")
    with pytest.raises(InvalidRequestError, match="not the id of an endpoint"):
        verbs(Stage(described(id="../../x")))(verb, "e")


@pytest.mark.parametrize("verb", ["schema", "metrics"])
def test_documents_are_asked_for_as_text(verbs: Any, verb: str) -> None:
    """As the service's own SDK asks for them."""
    stage = Stage(reply({"openapi": "3.0.0"}))
    verbs(stage)(verb, "e")

    assert stage.sent[-1].headers["accept"] == "text/plain"


@pytest.mark.parametrize(
    ("verb", "args", "body"),
    [
        ("schema", (), b"openapi: 3.0.0"),
        ("schema", (), b"[]"),
        ("logs", ("a",), b"{}"),
        ("build_logs", ("a",), b'{"logs": 7}'),
    ],
)
def test_an_answer_that_is_no_report_is_a_format_error(verbs: Any, verb: str, args: Any, body: bytes) -> None:
    with pytest.raises(ResponseFormatError):
        verbs(Stage(reply(body)))(verb, "e", *args)


@pytest.mark.parametrize(
    "answer", [reply({}, 404), reply({"logs": ""}), reply(b"<html>"), ServerError("x", status_code=503)]
)
def test_a_build_log_that_cannot_be_had_hides_no_failure(verbs: Any, answer: Any) -> None:
    entity = {**LLAMA, "state": {"deployment": "DEPLOYMENT_FAILED", "deployment_state_message": "No capacity."}}
    stage = Stage(described(state=FAILED, pending_config={"served_entities": [entity]}), answer)
    with pytest.raises(EndpointFailedError, match=r"a: No capacity\.") as caught:
        verbs(stage)("wait", "e")

    assert caught.value.build_log is None
    assert paths(stage) == [f"GET {API}/e", f"GET {API}/e/served-models/a/build-logs"]
    assert stage.sent[-1].timeout.total == 10


def test_a_long_build_log_is_kept_whole_and_quoted_by_its_end(verbs: Any) -> None:
    log = "\n".join(f"line {number}" for number in range(100))
    entity = {**LLAMA, "state": {"deployment": "DEPLOYMENT_FAILED"}}
    stage = Stage(described(state=FAILED, pending_config={"served_entities": [entity]}), reply({"logs": log}))
    with pytest.raises(EndpointFailedError) as caught:
        verbs(stage)("wait", "e")

    (note,) = caught.value.__notes__
    assert caught.value.build_log == log
    assert note.splitlines() == ["the build log of a ends:", *log.splitlines()[-20:]]
