"""The workspace's own OpenAPI description, and what schemathesis finds when it takes it at its word."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from workspace_api import CHAT, CONTROL, GTE, Api, external, provisioned

SECONDS = os.environ.get("FM_SCHEMA_SECONDS", "100")
HTTP = {"get", "post", "put", "patch", "delete"}
# What the description cannot say is refused all the same: rules that hold over several fields, and the service's 404
# for a method that a path does not have.
LEFT_OUT = "positive_data_acceptance,unsupported_method,allow_header_conformance"


@pytest.fixture
def description(api: Api) -> Any:
    return api.http.get("/openapi.json").json()


def test_it_is_read_with_the_token_alone(api: Api) -> None:
    assert api.http.get("/openapi.json", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_every_operation_names_the_services_errors(description: Any) -> None:
    operations = [each for path in description["paths"].values() for name, each in path.items() if name in HTTP]
    assert len(operations) >= 22
    assert {name for each in operations for name in each["responses"]} == {"200", "4XX", "5XX"}


def test_queries_are_described_with_their_bodies(description: Any) -> None:
    def reference(path: str) -> Any:
        content = description["paths"][path]["post"]["requestBody"]["content"]
        return content["application/json"]["schema"]

    name = "#/components/schemas/EmbeddingRequest"
    assert reference("/serving-endpoints/embeddings")["allOf"][0] == {"anyOf": [{"$ref": name}]}
    assert {"$ref": name} in reference("/serving-endpoints/{name}/invocations")["anyOf"]
    assert description["components"]["schemas"]["EmbeddingRequest"]["required"] == ["input"]


def test_every_reference_leads_somewhere(description: Any) -> None:
    def references(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(references, value))
        if not isinstance(value, dict):
            return set()
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))

    names = {f"#/components/schemas/{name}" for name in description["components"]["schemas"]}
    assert references(description) <= names


@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="no schemathesis here: make test-schema")
@pytest.mark.timeout(300)
def test_schemathesis_finds_no_server_error_and_no_answer_that_is_not_described(api: Api, tmp_path: Path) -> None:
    """Endpoints of all kinds stand ready, so that more is reached than the 404 for names made up."""
    api.created("pt", provisioned(), tags={"fm_task": "completions"})
    api.created("ext", external(api.workspace.host, api.workspace.token))
    names = ", ".join(f'"{name}"' for name in (CHAT, GTE, "pt", "ext"))
    settings = f"""
[dictionaries]
names = {{ values = [{names}] }}

[parameters]
"path.name" = {{ dictionary = "names", probability = 0.8 }}
"body.model" = {{ dictionary = "names", probability = 0.8 }}
"""
    (tmp_path / "schemathesis.toml").write_text(settings, encoding="utf-8")
    command = [
        str(Path(sys.executable).with_name("st")),
        "run",
        f"{api.workspace.host}/openapi.json",
        "--header",
        f"Authorization: Bearer {api.workspace.token}",
        "--exclude-checks",
        LEFT_OUT,
        "--max-time",
        SECONDS,
        "--max-examples",
        "40",
        "--phases",
        "examples,coverage,fuzzing",
        "--continue-on-failure",
        "--warnings",
        "off",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6_000:]
    counted = api.http.get(f"{CONTROL}/{CHAT}/metrics").text.splitlines()[1].rpartition(" ")[2]
    assert int(counted) > 0, "queries have reached an endpoint"
