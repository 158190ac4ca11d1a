"""The management API: every route, and every refusal."""

from __future__ import annotations

from typing import Any

import pytest
from workspace_api import CHAT, CONTROL, GTE, Api, external, provisioned

LLAMA = "system.ai.meta_llama_v3_1_8b_instruct"
RETIRED_SINCE_2024 = (
    "databricks-dbrx-instruct",
    "databricks-mixtral-8x7b-instruct",
    "databricks-meta-llama-3-1-405b-instruct",
)
EXTERNAL = external("https://api.example.com", "token-for-tests")


def test_hosted_endpoints_exist_from_the_start(api: Api) -> None:
    shown = api.get(CHAT)
    assert shown["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    assert shown["task"] == "llm/v1/chat"
    assert api.get(GTE)["task"] == "llm/v1/embeddings"
    (entity,) = shown["config"]["served_entities"]
    assert entity["foundation_model"]["name"] == CHAT
    assert entity["state"]["deployment"] == "DEPLOYMENT_READY"


def test_the_catalog_of_the_services_own_models_is_named_once(api: Api) -> None:
    listed = api.http.get(CONTROL).json()["endpoints"]
    names = [entity["entity_name"] for endpoint in listed for entity in endpoint["config"]["served_entities"]]
    assert {name.count("system.ai.") for name in names if name.startswith("system.ai.")} == {1}


def test_an_endpoint_says_of_which_type_it_is(api: Api) -> None:
    api.created("pt-typed", provisioned(LLAMA, "2"))
    api.created("external-typed", EXTERNAL)
    types = {name: api.get(name)["endpoint_type"] for name in (CHAT, "pt-typed", "external-typed")}
    assert types == {
        CHAT: "FOUNDATION_MODEL_API",
        "pt-typed": "FOUNDATION_MODEL_API",
        "external-typed": "EXTERNAL_MODEL",
    }


@pytest.mark.parametrize("name", RETIRED_SINCE_2024)
def test_retired_models_are_not_served(api: Api, name: str) -> None:
    answer = api.query(name, {"messages": [{"role": "user", "content": "Hello"}]})
    assert (answer.status_code, answer.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    assert api.http.get(f"{CONTROL}/{name}").status_code == 404


@pytest.mark.parametrize(("method", "path"), [("PUT", "config"), ("DELETE", "")])
def test_hosted_endpoints_cannot_be_changed(api: Api, method: str, path: str) -> None:
    url = f"{CONTROL}/{CHAT}/{path}".rstrip("/")
    answer = api.http.request(method, url, json={"served_entities": [provisioned()]} if path else None)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")


def test_a_created_endpoint_is_listed_shown_queried_and_deleted(api: Api) -> None:
    name = api.created("pt", provisioned(LLAMA, "2"), description="ours", route_optimized=True)
    shown = api.get(name)
    assert (shown["task"], shown["description"], shown["route_optimized"]) == ("llm/v1/chat", "ours", True)
    assert shown["config"]["served_entities"][0]["name"] == "meta_llama_v3_1_8b_instruct-2"
    assert shown["config"]["served_entities"][0]["max_provisioned_throughput"] == 980
    listed = {item["name"]: item for item in api.http.get(CONTROL).json()["endpoints"]}
    assert listed[name]["config"]["served_entities"][0]["entity_name"] == LLAMA
    assert "permission_level" not in listed[name]
    assert api.text(name, "Hello")
    deleted = api.http.delete(f"{CONTROL}/{name}")
    assert (deleted.status_code, deleted.json()) == (200, {})
    assert api.http.get(f"{CONTROL}/{name}").json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert api.query(name, {"messages": []}).json()["error_code"] == "ENDPOINT_NOT_FOUND"


def test_a_second_endpoint_of_one_name_is_refused(api: Api) -> None:
    name = api.created("twice")
    answer = api.create(name, provisioned())
    assert (answer.status_code, answer.json()["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-a", "a.b", "ünï", "x" * 64, "a\nb"])
def test_bad_names_are_refused(api: Api, name: str) -> None:
    answer = api.create(name, provisioned())
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


BOTH = {**provisioned(), **EXTERNAL}
CHEAP = {**EXTERNAL, "external_model": {**EXTERNAL["external_model"], "provider": "nobody"}}
BARE = {**EXTERNAL, "external_model": {"name": "x", "provider": "cohere", "task": "llm/v1/chat"}}
OTHER_TASK = {
    **EXTERNAL,
    "name": "other",
    "external_model": {**EXTERNAL["external_model"], "task": "llm/v1/embeddings"},
}
OPEN_KEY = {"external_model": {**EXTERNAL["external_model"], "openai_config": {"openai_api_key": "sk-in-the-open"}}}
HTTP = external("http://api.example.com", "token-for-tests")
USER = external("https://user:pw@api.example.com", "token-for-tests")


@pytest.mark.parametrize(
    ("entities", "says"),
    [
        ([], "at least one"),
        ([{"name": "nothing"}], "external_model, or entity_name"),
        ([provisioned("no_dots")], "catalog.schema.model"),
        ([provisioned(version="one")], "entity_version"),
        ([{"entity_name": "a.b.c"}], "entity_version"),
        ([provisioned(max_provisioned_throughput=0)], "max_provisioned_throughput"),
        ([provisioned(min_provisioned_throughput=5000)], "max_provisioned_throughput"),
        ([provisioned(min_provisioned_throughput="many")], "throughput"),
        ([provisioned(), provisioned()], "unique"),
        ([provisioned(name=f"e{at}") for at in range(16)], "at most 15"),
        ([provisioned(name="a b")], "not valid"),
        ([provisioned(), provisioned("main.default.bge_large")], "one task"),
        ([provisioned(), EXTERNAL], "behind one endpoint"),
        ([BOTH], "not both"),
        ([CHEAP], "provider"),
        ([BARE], "cohere_config"),
        ([{"external_model": {"provider": "openai"}}], "external_model.name"),
        ([{"external_model": {"name": "x", "provider": "openai", "task": "chat"}}], "task"),
        ([EXTERNAL, OTHER_TASK], "one task"),
        ([OPEN_KEY], "openai_api_key_plaintext"),
        ([HTTP], "https"),
        ([USER], "https"),
    ],
)
def test_bad_configurations_are_refused(api: Api, entities: list[Any], says: str) -> None:
    answer = api.create("refused", *entities)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert says in answer.json()["message"]
    assert "sk-in-the-open" not in answer.text


def of_openai(**config: Any) -> dict[str, Any]:
    return {"external_model": {**EXTERNAL["external_model"], "openai_config": config}}


@pytest.mark.parametrize(
    ("entity", "says"),
    [
        (provisioned(name=5), "served_entities.name must be a text"),
        (provisioned(scale_to_zero_enabled="maybe"), "scale_to_zero_enabled must be true or false"),
        (provisioned(environment_vars={"A": 1}), "environment_vars must be an object of texts"),
        (provisioned(max_provisioned_throughput="980"), "max_provisioned_throughput must be a whole number"),
        (provisioned(min_provisioned_concurrency=True), "min_provisioned_concurrency must be a whole number"),
        ({"external_model": "gpt-4o"}, "external_model must be an object"),
        (of_openai(openai_api_key_plaintext={"value": "sk-canary"}), "openai_api_key_plaintext must be a text"),
        (of_openai(openai_api_key_plaintext="sk-canary\n"), "openai_api_key_plaintext must be a text of one line"),
        (of_openai(openai_api_key_plaintext=["sk-canary"]), "openai_api_key_plaintext must be a text"),
        (of_openai(openai_organization="a\r\nx-evil: 1"), "openai_organization must be a text of one line"),
        (of_openai(openai_deployment_name=7), "openai_deployment_name must be a text"),
    ],
)
def test_fields_of_another_kind_are_refused_when_they_are_configured(api: Api, entity: Any, says: str) -> None:
    answer = api.create("refused", entity)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert says in answer.json()["message"]
    assert "sk-canary" not in answer.text


def test_a_field_that_is_null_counts_as_not_given_and_a_switch_may_be_text(api: Api) -> None:
    entity = provisioned(name=None, environment_vars=None, scale_to_zero_enabled="False", external_model=None)
    assert api.create("with-nulls", entity).status_code == 200


@pytest.mark.parametrize(
    ("routes", "says"),
    [
        ([("a", 50), ("b", 40)], "100"),
        ([("a", 100), ("c", 0)], "no served entity"),
        ([("a", 50), ("a", 50)], "unique"),
        ([("a", 101), ("b", -1)], "0 to 100"),
        ([("a", "most")], "0 to 100"),
    ],
)
def test_traffic_that_does_not_add_up_is_refused(api: Api, routes: list[tuple[str, Any]], says: str) -> None:
    shares = [{"served_entity_name": name, "traffic_percentage": share} for name, share in routes]
    answer = api.create("refused", provisioned(name="a"), provisioned(name="b"), routes=shares)
    assert answer.status_code == 400
    assert says in answer.json()["message"]


def test_traffic_may_be_given_as_text_and_is_even_unless_given(api: Api) -> None:
    shares = [
        {"served_model_name": "a", "traffic_percentage": "90"},
        {"served_model_name": "b", "traffic_percentage": "10"},
    ]
    api.created("text", provisioned(name="a"), provisioned(name="b"), routes=shares)
    api.created("even", *(provisioned(name=name) for name in "abc"))
    assert [route["traffic_percentage"] for route in _routes(api, "text")] == [90, 10]
    assert [route["traffic_percentage"] for route in _routes(api, "even")] == [34, 33, 33]


def _routes(api: Api, name: str) -> list[Any]:
    routes: list[Any] = api.get(name)["config"]["traffic_config"]["routes"]
    return routes


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", {"name": "x", "config": {}, "colour": "red"}),
        ("PUT", "/pt-unknown/config", {"served_entities": [], "colour": "red"}),
        ("PATCH", "/pt-unknown/tags", {"colour": "red"}),
        ("PUT", "/pt-unknown/rate-limits", {"colour": "red"}),
        ("PUT", "/pt-unknown/ai-gateway", {"colour": "red"}),
        ("PUT", "/pt/pt-unknown/config", {"config": {}, "colour": "red"}),
        ("PATCH", "/pt-unknown/notifications", {"colour": "red"}),
        ("PATCH", "/pt-unknown/telemetry-config", {"colour": "red"}),
    ],
)
def test_unknown_fields_at_the_top_are_refused(api: Api, method: str, path: str, body: Any) -> None:
    answer = api.http.request(method, CONTROL + path, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "unknown field 'colour'" in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("DELETE", "", None),
        ("PUT", "/config", {"served_entities": [provisioned()]}),
        ("PATCH", "/tags", {}),
        ("PUT", "/rate-limits", {}),
        ("PUT", "/ai-gateway", {}),
        ("PATCH", "/notifications", {}),
        ("PATCH", "/telemetry-config", {}),
        ("GET", "/metrics", None),
        ("GET", "/openapi", None),
        ("GET", "/served-models/x/logs", None),
        ("GET", "/served-models/x/build-logs", None),
    ],
)
def test_an_unknown_endpoint_is_a_404_everywhere(api: Api, method: str, path: str, body: Any) -> None:
    answer = api.http.request(method, f"{CONTROL}/nobody{path}", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"null", b'{"name": 1, "config": {}}', b"[" * 100_000])
def test_bodies_that_are_no_request_are_refused(api: Api, body: bytes) -> None:
    answer = api.http.post(CONTROL, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error_code"] in ("INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST", "BAD_REQUEST")


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing/here"), ("PATCH", CONTROL), ("GET", "/docs")])
def test_what_is_no_route_is_a_404_of_the_service(api: Api, method: str, path: str) -> None:
    answer = api.http.request(method, path, json={})
    assert answer.json() == {"error_code": "ENDPOINT_NOT_FOUND", "message": f"No API found for '{method} {path}'"}


def test_tags_are_added_replaced_and_deleted(api: Api) -> None:
    name = api.created("tagged", tags={"team": "a", "cost": "1"})
    patch = {"add_tags": [{"key": "team", "value": "b"}, {"key": "bare"}], "delete_tags": ["cost"]}
    answer = api.http.patch(f"{CONTROL}/{name}/tags", json=patch)
    tags = [{"key": "team", "value": "b"}, {"key": "bare", "value": ""}]
    assert answer.json() == {"tags": tags}
    assert api.get(name)["tags"] == tags


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fm_usage_style", "loud"),
        ("fm_content_style", "songs"),
        ("fm_task", "llm/v1/song"),
        ("fm_normalized", "maybe"),
        ("fm_deploy_seconds", "soon"),
        ("fm_deploy_seconds", "-1"),
        ("fm_deploy_seconds", "nan"),
        ("fm_deploy_seconds", "1e9"),
        ("fm_dimension", "0"),
        ("fm_batch_limit", "0"),
    ],
)
def test_tags_of_ours_that_mean_nothing_are_refused(api: Api, key: str, value: str) -> None:
    assert api.create("refused", provisioned(), tags={key: value}).status_code == 400
    answer = api.http.patch(f"{CONTROL}/{CHAT}/tags", json={"add_tags": [{"key": key, "value": value}]})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_gateway_rate_limits_and_details_are_kept(api: Api) -> None:
    name, base = api.created("kept"), f"{CONTROL}/kept"
    gateway = {"usage_tracking_config": {"enabled": True}, "rate_limits": [{"calls": 100, "renewal_period": "minute"}]}
    assert api.http.put(f"{base}/ai-gateway", json=gateway).json() == gateway
    limits = {"rate_limits": [{"calls": 7, "key": "endpoint", "renewal_period": "minute"}]}
    assert api.http.put(f"{base}/rate-limits", json=limits).json() == limits
    mails = {"email_notifications": {"on_update_failure": ["team@example.com"]}}
    assert api.http.patch(f"{base}/notifications", json=mails).json() == {"name": name, **mails}
    telemetry = {"telemetry_config": {"enabled": True}}
    assert api.http.patch(f"{base}/telemetry-config", json=telemetry).status_code == 200
    shown = api.get(name)
    assert shown["ai_gateway"] == gateway
    assert shown["email_notifications"] == mails["email_notifications"]
    assert shown["telemetry_config"] == telemetry["telemetry_config"]


def test_provisioned_units_are_updated_at_once(api: Api) -> None:
    body = {"name": "units", "config": {"served_entities": [{**UNITS, "provisioned_model_units": 50}]}}
    assert api.post(f"{CONTROL}/pt", body | {"tags": [{"key": "fm_deploy_seconds", "value": "0"}]}).status_code == 200
    update = {"config": {"served_entities": [{**UNITS, "provisioned_model_units": 100}]}}
    shown = api.http.put(f"{CONTROL}/pt/units/config", json=update).json()
    assert shown["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    assert shown["config"]["config_version"] == 2
    assert shown["config"]["served_entities"][0]["provisioned_model_units"] == 100


UNITS = {"entity_name": LLAMA, "entity_version": "1"}


def test_the_older_served_models_are_understood(api: Api) -> None:
    older = {"model_name": "main.default.old", "model_version": 3, "workload_size": "Small"}
    answer = api.post(CONTROL, {"name": "older", "config": {"served_models": [older]}})
    assert answer.status_code == 200
    assert api.get("older")["config"]["served_entities"][0]["entity_name"] == "main.default.old"


@pytest.mark.parametrize(
    ("model", "tag", "task"),
    [
        (LLAMA, None, "llm/v1/chat"),
        ("system.ai.gte_large_en_v1_5", None, "llm/v1/embeddings"),
        ("main.default.my_bge", None, "llm/v1/embeddings"),
        ("main.default.mpt_7b_base", None, "llm/v1/completions"),
        ("main.default.my_ft", "completions", "llm/v1/completions"),
        ("main.default.my_ft", "llm/v1/embeddings", "llm/v1/embeddings"),
        ("main.default.database_chat", None, "llm/v1/chat"),
    ],
)
def test_a_provisioned_models_task_comes_from_its_tag_or_name(api: Api, model: str, tag: str | None, task: str) -> None:
    name = api.created("tasked", provisioned(model), tags={"fm_task": tag} if tag else None)
    assert api.get(name)["task"] == task
    api.http.delete(f"{CONTROL}/{name}")


def test_optimization_info_knows_the_families(api: Api) -> None:
    base = f"{CONTROL}/get-model-optimization-info"
    known = api.http.get(f"{base}/{LLAMA}/1").json()
    assert known == {"optimizable": True, "model_type": "llama", "throughput_chunk_size": 980}
    assert api.http.get(f"{base}/main.default.sales_forecast/1").json() == {"optimizable": False}
    assert api.http.get(f"{base}/llama/1").status_code == 400


def test_metrics_count_queries_and_failures(api: Api) -> None:
    name = api.created("counted")
    api.text(name, "Hello")
    api.query(name, {"messages": []})
    text = api.http.get(f"{CONTROL}/{name}/metrics").text
    assert 'request_count_total{endpoint_name="counted"} 2' in text
    assert 'request_4xx_count_total{endpoint_name="counted"} 1' in text


def test_metrics_of_an_endpoint_that_was_made_again_begin_at_nothing(api: Api) -> None:
    for _ in range(2):
        api.created("again")
        assert 'request_count_total{endpoint_name="again"} 0' in api.http.get(f"{CONTROL}/again/metrics").text
        api.chat("again", "Hello")
        assert 'request_count_total{endpoint_name="again"} 1' in api.http.get(f"{CONTROL}/again/metrics").text
        api.http.delete(f"{CONTROL}/again")


def test_openapi_describes_the_query_of_an_endpoint(api: Api) -> None:
    document = api.http.get(f"{CONTROL}/{GTE}/openapi").json()
    operation = document["paths"][f"/serving-endpoints/{GTE}/invocations"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"]["required"] == ["input"]


def test_logs_speak_of_a_served_entity(api: Api) -> None:
    name = api.created("logged", provisioned(name="one"))
    assert "READY" in api.http.get(f"{CONTROL}/{name}/served-models/one/logs").json()["logs"]
    assert api.http.get(f"{CONTROL}/{name}/served-models/two/build-logs").status_code == 404


def test_half_a_surrogate_pair_in_a_request_is_no_fault_of_ours(api: Api) -> None:
    """JSON can write it, UTF-8 cannot: errors that quote it and answers that repeat it have another character there."""
    json_type = {"Content-Type": "application/json"}
    for path, content in [
        (CONTROL, '{"name": "\\ud800", "config": {}}'),
        (CONTROL, '{"name": "x", "tags": [{"key": "t", "value": "\\ud800"}], "config": {}}'),
        (CONTROL, '{"name": "x", "\\ud800": 1}'),
        ("/serving-endpoints/chat/completions", '{"model": "\\ud800", "messages": []}'),
        (f"/serving-endpoints/{CHAT}/invocations", '{"\\ud800": 1}'),
    ]:
        assert api.http.post(path, content=content.encode(), headers=json_type).status_code in (400, 404)
    echoed = '{"messages": [{"role": "user", "content": "The sky is \\ud800. What colour is the sky?"}]}'
    answer = api.http.post(f"/serving-endpoints/{CHAT}/invocations", content=echoed.encode(), headers=json_type)
    assert answer.json()["choices"][0]["message"]["content"] == "The sky is ?."


def test_the_collection_may_end_with_a_slash(api: Api) -> None:
    assert api.http.get(f"{CONTROL}/").json() == api.http.get(CONTROL).json()
    body = {"name": "slashed", "config": {"served_entities": [provisioned()]}}
    assert api.post(f"{CONTROL}/", body).status_code == 200
