"""Options and files that say no endpoint are refused before anything is sent, without repeating a key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fault_server import FaultServer
from typer.testing import Result

from fm_cli._endpoint_specs import spec_of
from fm_cli._settings import EndpointFlags, ExternalFlags, Task
from fm_client import InvalidRequestError, catalog

Run = Callable[..., Result]
KEY = "sk-key-for-tests-0123456789"
GPT = ("--provider", "openai", "--external-model", "gpt-4o", "--task", "chat")
SECRET = ("--secret-ref", "models/openai")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "give NAME"),
        (("gpt",), "nothing is to be served"),
        (("gpt", "--provider", "openai"), "--external-model and --task"),
        (("gpt", *GPT, *SECRET, "--units", "5"), "not both"),
        (("gpt", *GPT), "openai_api_key"),
        (("gpt", *GPT, "--set", f"openai_api_key={KEY}"), "--key-env openai_api_key=VARIABLE"),
        (("gpt", *GPT, "--set", f"openai_api_key_plaintext={KEY}"), "--key-env openai_api_key=VARIABLE"),
        (("gpt", *GPT, "--secret-ref", KEY), "scope/key"),
        (("gpt", *GPT, "--key-env", KEY), "that --key-env names is not set"),
        (("gpt", *GPT, "--key-env", "NOT_THERE"), "NOT_THERE is not set"),
        (("gpt", *GPT, "--key-stdin"), "standard input is empty"),
        (("gpt", *GPT, "--set", "no-value"), "--set takes NAME=VALUE"),
        (("gpt", *GPT, *SECRET, "--tag", "team"), "--tag takes NAME=VALUE"),
        (("gpt", "--provider", "nobody", "--external-model", "m", "--task", "chat"), "there are openai"),
        (("gpt", "--provider", "anthropic", "--external-model", "c", "--task", "embeddings", *SECRET), "no models for"),
        (("gpt", "--provider", "amazon-bedrock", "--external-model", "c", "--task", "chat", *SECRET), "several keys"),
        (("llama", "--model", "system.ai.llama"), "provisioned"),
        (("llama", "--model", "system.ai.llama", "--units", "5", *SECRET), "no external model"),
    ],
)
def test_options_that_say_no_endpoint(
    fm: Run, server: FaultServer, there: dict[str, str], arguments: tuple[str, ...], reason: str
) -> None:
    done = fm("endpoints", "create", *arguments, **there)
    assert done.exit_code == 1, done.output
    assert reason in done.stderr
    assert KEY not in done.output
    assert server.seen == []


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("spec.yaml", f"name: gpt\n  key: {KEY}\n", "is not YAML: mapping values are not allowed here, line 2"),
        ("spec.json", f'{{"key": "{KEY}",}}', "is not JSON"),
        ("spec.yaml", f"- {KEY}\n", "must hold an object"),
        ("spec.yaml", "", "must hold an object"),
        ("spec.yaml", "name: gpt\nconfigs: {}\n", "configs"),
        ("spec.yaml", f"name: gpt\nconfig: {{served_entities: {KEY}}}\n", "served_entities"),
        ("spec.yaml", "name: gpt\nentity_name: a.b.c\ntags: team\n", "tags must be"),
        ("spec.yaml", "!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_files_that_say_no_endpoint(
    fm: Run, server: FaultServer, there: dict[str, str], tmp_path: Path, name: str, text: str, reason: str
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    done = fm("endpoints", "create", "--file", str(path), "--tag", "a=b", **there)
    assert done.exit_code == 1, done.output
    assert reason in done.stderr
    assert KEY not in done.output
    assert server.seen == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--model", "a.b.c", "--units", "5"), "--model, a size cannot stand beside --file"),
        (GPT, "--provider, --external-model, --task cannot stand beside --file"),
        (("--key-stdin",), "both read standard input"),
    ],
)
def test_what_cannot_stand_beside_a_file(fm: Run, arguments: tuple[str, ...], reason: str) -> None:
    done = fm("endpoints", "create", "--file", "-", *arguments, stdin="name: a", DATABRICKS_HOST="http://127.0.0.1:9")
    assert reason in done.stderr


def test_a_file_that_is_not_there_is_one_line(fm: Run) -> None:
    done = fm("endpoints", "create", "--file", "/nonexistent/spec.yaml")
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("way", catalog.external_providers(), ids=lambda way: way.name)
def test_every_provider_can_be_given_its_settings_and_keys(
    way: catalog.ExternalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By options alone: settings by --set, and credentials by environment, each in its field."""
    monkeypatch.setenv("MY_KEY", KEY)
    plain = [field for field in (*way.required, *way.auth[0]) if field != way.variant_field]
    variant = [f"{way.variant_field}={way.variant}"] if way.variant_field else []
    settings, keys = list(variant), []
    for field in plain:
        try:
            spec_of(_flags(way, (f"{field}=text",), ()))
            settings.append(f"{field}=text")
        except InvalidRequestError:  # a credential
            keys.append(field)
    assert keys
    named = tuple(f"{field}=MY_KEY" for field in keys) if len(keys) > 1 else ("MY_KEY",)
    model = spec_of(_flags(way, tuple(settings), named))["external_model"]
    holder = model[way.config]
    for field in keys:
        target = holder
        for part in f"{field}_plaintext".split("."):
            target = target[part]
        assert target == KEY


def _flags(way: catalog.ExternalProvider, settings: tuple[str, ...], keys: tuple[str, ...]) -> EndpointFlags:
    return EndpointFlags("e", external=ExternalFlags(way.provider, "m", Task.CHAT, (), keys, False, settings))
