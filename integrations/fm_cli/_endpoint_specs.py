"""From options and files to what an endpoint is to be, in the words of `client.endpoints.create`."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fm_client import EndpointConfig, InvalidRequestError

from ._providers import PLAINTEXT, config_field, credential_fields, key_field
from ._settings import EndpointFlags

Spec = dict[str, Any]
SIDE_FIELDS = ("tags", "ai_gateway")
"""Of a file, what is changed by requests of its own where the endpoint is there already."""
STDIN = Path("-")
_REFERENCE = re.compile(r"\{\{secrets/[^/{}]+/[^/{}]+\}\}")
_SHORT_REFERENCE = re.compile(r"[^/{}\s]+/[^/{}\s]+")


def spec_of(flags: EndpointFlags) -> Spec:
    """What the options, or the file that they name, say is to be served."""
    if flags.file is not None:
        spec = _from_file(flags)
    elif flags.external.provider or flags.external.model:
        spec = {"external_model": _external_model(flags)}
    elif flags.model:
        version = {"entity_version": flags.version} if flags.version else {}
        spec = {"entity_name": flags.model, **version, **flags.size.spec}
    else:
        spec = {}
    if flags.served_name and spec and flags.file is None:
        spec["served_name"] = flags.served_name
    _add_keys(spec, flags)
    if flags.tags:
        spec["tags"] = {**tags_of(spec.get("tags") or {}), **dict(_pair(tag, "--tag") for tag in flags.tags)}
    return spec


def name_of(flags: EndpointFlags, spec: Spec) -> str:
    """The endpoint's name, taken out of the spec if it stands there."""
    inside = spec.pop("name", None)
    if flags.name is None and inside is None:
        raise InvalidRequestError("the endpoint has no name: give NAME, or name in the file")
    return str(flags.name or inside)


def tags_of(tags: Any) -> dict[str, Any]:
    """Tags in either of the forms that a file can have: an object, or the service's own list.

    >>> tags_of([{"key": "team", "value": "search"}])
    {'team': 'search'}
    """
    if isinstance(tags, Mapping):
        return dict(tags)
    if isinstance(tags, list) and all(isinstance(tag, Mapping) and "key" in tag for tag in tags):
        return {tag["key"]: tag.get("value") for tag in tags}
    raise InvalidRequestError("tags must be an object of texts, or a list of objects with key and value")


def _from_file(flags: EndpointFlags) -> Spec:
    beside = {
        "--model": flags.model,
        "--version": flags.version,
        "--provider": flags.external.provider,
        "--external-model": flags.external.model,
        "--task": flags.external.task,
        "--set": flags.external.settings,
        "--served-name": flags.served_name,
        "a size": flags.size.spec,
    }
    if given := [name for name, value in beside.items() if value]:
        raise InvalidRequestError(f"{', '.join(given)} cannot stand beside --file: write it into the file")
    if flags.file == STDIN and flags.external.key_stdin:
        raise InvalidRequestError("--file - and --key-stdin both read standard input: give the key by --key-env")
    return read_spec(flags.file or STDIN)


def read_spec(path: Path) -> Spec:
    """The object in a YAML or JSON file. What is wrong with it is told without its lines: they may hold a key."""
    name = "standard input" if path == STDIN else str(path)
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8")
        spec = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except UnicodeDecodeError as exc:
        raise InvalidRequestError(f"{name} is not UTF-8 text (byte {exc.start:,})") from None
    except json.JSONDecodeError as exc:
        raise InvalidRequestError(f"{name} is not JSON: {exc.msg}, line {exc.lineno}") from None
    except yaml.YAMLError as exc:
        mark, problem = getattr(exc, "problem_mark", None), getattr(exc, "problem", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise InvalidRequestError(f"{name} is not YAML: {problem or type(exc).__name__}{where}") from None
    if not isinstance(spec, dict):
        raise InvalidRequestError(f"{name} must hold an object: name, and config or external_model or entity_name")
    if isinstance(spec.get("config"), dict):
        spec["config"] = _config(spec["config"], name)
    return spec


def _config(config: Spec, name: str) -> EndpointConfig:
    """The configuration in a file; a version that looks like a number is a text to the service."""
    try:
        return EndpointConfig.model_validate(config)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        place = ".".join(takewhile(_is_name, map(str, first["loc"])))
        raise InvalidRequestError(f"{name}: config.{place}: {first['msg']}") from None


def _is_name(part: str) -> bool:
    return part.isidentifier() or part.isdecimal()  # other parts name what pydantic tried


def _external_model(flags: EndpointFlags) -> Spec:
    external = flags.external
    needed = {"--provider": external.provider, "--external-model": external.model, "--task": external.task}
    if missing := [name for name, value in needed.items() if not value]:
        raise InvalidRequestError(f"an external model needs {' and '.join(missing)} as well")
    if flags.model or flags.size.spec:
        raise InvalidRequestError("an endpoint serves a model of Unity Catalog or one of a provider, not both")
    settings: Spec = {}
    for text in external.settings:
        field, value = _pair(text, "--set")
        _put(settings, field, _harmless(field, value))
    provider, task = external.provider or "", external.task
    model = {"provider": provider, "name": external.model, "task": task.wire_name if task else None}
    return {**model, config_field(provider): settings}


def _harmless(field: str, value: str) -> str:
    """`value`, unless it is a credential: arguments stand where every process can read them."""
    is_reference = _REFERENCE.fullmatch(value) is not None
    if field.endswith(PLAINTEXT) or (field in credential_fields() and not is_reference):
        raise InvalidRequestError(
            f"{field} is a credential, and no argument: give --key-env {field.removesuffix(PLAINTEXT)}=VARIABLE, "
            "or a reference by --secret-ref"
        )
    return value


def _add_keys(spec: Spec, flags: EndpointFlags) -> None:
    """Put the credentials that are given into every external model of `spec`."""
    keys = list(_keys(flags))
    models = list(_external_models(spec))
    if keys and not models:
        raise InvalidRequestError("a provider's key is given, and no external model that it would be for")
    for model in models:
        provider = str(model.get("provider"))
        settings = model.setdefault(config_field(provider), {})
        for field, suffix, value in keys:
            _put(settings, f"{field or key_field(provider, settings)}{suffix}", value)


def _external_models(spec: Spec) -> Iterator[Spec]:
    if isinstance(spec.get("config"), EndpointConfig) and any(e.external_model for e in spec["config"].entities):
        spec["config"] = spec["config"].to_wire()  # plain data can be added to
    config = spec.get("config")
    entities = spec.get("served_entities") or (config.get("served_entities") if isinstance(config, dict) else None)
    for holder in (spec, *(entities or ())):
        if isinstance(holder, dict) and isinstance(holder.get("external_model"), dict):
            yield holder["external_model"]


def _keys(flags: EndpointFlags) -> Iterator[tuple[str, str, str]]:
    """Field ("" for the provider's usual one), suffix and value of each credential."""
    for text in flags.external.secret_refs:
        field, _, reference = text.rpartition("=")
        yield field, "", _reference(reference)
    for text in flags.external.key_envs:
        field, _, variable = text.rpartition("=")
        yield field, PLAINTEXT, _variable(variable)
    if flags.external.key_stdin:
        yield "", PLAINTEXT, _typed_key()


def _reference(text: str) -> str:
    """A reference to a secret, also in its short form.

    >>> _reference("models/openai")
    '{{secrets/models/openai}}'
    """
    if _REFERENCE.fullmatch(text):
        return text
    if _SHORT_REFERENCE.fullmatch(text):
        return f"{{{{secrets/{text}}}}}"
    raise InvalidRequestError("--secret-ref takes scope/key or {{secrets/scope/key}}, and no key itself")


def _variable(name: str) -> str:
    if not (value := os.environ.get(name, "").strip()):
        # Not quoted if it may be the key itself, given by mistake.
        shown = name if name.isidentifier() and name.isupper() else "that --key-env names"
        raise InvalidRequestError(f"the environment variable {shown} is not set")
    return value


def _typed_key() -> str:
    if sys.stdin.isatty():
        from getpass import getpass

        key = getpass("Key: ").strip()
    else:
        key = sys.stdin.read().strip()
    if not key:
        raise InvalidRequestError("--key-stdin: standard input is empty")
    return key


def _put(target: Spec, path: str, value: str) -> None:
    """Set a field that may lie deeper: `bearer_token_auth.token`."""
    *outer, leaf = path.split(".")
    for name in outer:
        target = target.setdefault(name, {})
    target[leaf] = value


def _pair(text: str, option: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise InvalidRequestError(f"{option} takes NAME=VALUE")
    return key, value
