"""A workspace asked over real HTTP by a client that is not ours (httpx), in few words."""

from __future__ import annotations

import json
from typing import Any

import httpx

from fm_workspace import Workspace

CHAT = "databricks-meta-llama-3-3-70b-instruct"
CLAUDE = "databricks-claude-sonnet-4-5"
GTE = "databricks-gte-large-en"
BGE = "databricks-bge-large-en"
CONTROL = "/api/2.0/serving-endpoints"


class Api:
    """Short ways to ask a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        headers = {"Authorization": f"Bearer {workspace.token}"}
        self.http = httpx.Client(base_url=workspace.host, headers=headers, timeout=30, trust_env=False)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.http.post(path, json=body)

    def query(self, endpoint: str, body: Any) -> httpx.Response:
        return self.post(f"/serving-endpoints/{endpoint}/invocations", body)

    def chat(self, endpoint: str, prompt: str, **params: Any) -> Any:
        answer = self.query(endpoint, {"messages": [{"role": "user", "content": prompt}], **params})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def text(self, endpoint: str, prompt: str, **params: Any) -> Any:
        return self.chat(endpoint, prompt, **params)["choices"][0]["message"]["content"]

    def stream(self, endpoint: str, prompt: str, **params: Any) -> list[Any]:
        """The chunks of a streamed chat; the stream must end as the service ends it."""
        return self.events(endpoint, {"messages": [{"role": "user", "content": prompt}], "stream": True, **params})

    def events(self, endpoint: str, body: Any) -> list[Any]:
        with self.http.stream("POST", f"/serving-endpoints/{endpoint}/invocations", json=body) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream"), answer.read()
            lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
        assert lines[-1] == "[DONE]"
        return [json.loads(line) for line in lines[:-1]]

    def get(self, name: str) -> Any:
        answer = self.http.get(f"{CONTROL}/{name}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def create(self, name: str, *entities: Any, tags: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        traffic = {"traffic_config": {"routes": more.pop("routes")}} if "routes" in more else {}
        body = {"name": name, "config": {"served_entities": list(entities), **traffic}, **more}
        return self.post(CONTROL, body | ({"tags": tag_list(tags)} if tags else {}))

    def created(self, name: str, *entities: Any, tags: dict[str, str] | None = None, **more: Any) -> str:
        answer = self.create(name, *(entities or (provisioned(),)), tags=tags, **more)
        assert answer.status_code == 200, answer.text
        return name

    def tag(self, name: str, **tags: str) -> None:
        answer = self.http.patch(f"{CONTROL}/{name}/tags", json={"add_tags": tag_list(tags)})
        assert answer.status_code == 200, answer.text


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def provisioned(model: str = "main.default.my_llama", version: str = "1", **more: Any) -> dict[str, Any]:
    return {"entity_name": model, "entity_version": version, "max_provisioned_throughput": 980, **more}


def external(base: str, token: str, model: str = CHAT, task: str = "llm/v1/chat", **more: Any) -> dict[str, Any]:
    config = {"openai_api_base": f"{base}/serving-endpoints", "openai_api_key_plaintext": token}
    return {"external_model": {"name": model, "provider": "openai", "task": task, "openai_config": config}, **more}


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now
