"""Where settings come from, and what is refused before anything is sent."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, chat, reply

from fm_client import Client, ConfigurationError, Timeout
from fm_client._base import BaseClient
from fm_client._config import MAX_SECONDS
from fm_client._hosts import normalize_host
from fm_client._sources import read_profiles, resolve_settings

SECRET = "canary-token-for-tests"


@pytest.fixture
def profile_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "databrickscfg"
    path.write_text(
        "[DEFAULT]\nhost = https://default.test\ntoken = token-default\n\n"
        "[dev]\nhost = dev.test\ntoken = token-dev\n\n[bare]\nhost = https://bare.test\n"
    )
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(path))
    return path


def resolve(*args: str | None, **options: object) -> tuple[str, str]:
    settings = resolve_settings(*args, **options)  # type: ignore[arg-type]  # wrong types are part of the tests
    return settings.host, settings.credential.token()


def test_no_host_names_the_three_ways_and_the_embedded_workspace(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Client()
    for part in ("host=", "DATABRICKS_HOST", "~/.databrickscfg", 'host="local"'):
        assert part in str(caught.value)


def test_arguments_beat_the_environment_beats_the_file(profile_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ("https://default.test", "token-default") == resolve()
    monkeypatch.setenv("DATABRICKS_HOST", "https://env.test")
    monkeypatch.setenv("DATABRICKS_TOKEN", "token-env")
    assert ("https://env.test", "token-env") == resolve()
    assert ("https://arg.test", "token-arg") == resolve("https://arg.test", "token-arg")
    assert ("https://env.test", "token-arg") == resolve(None, "token-arg")


def test_a_profile_by_argument_beats_the_environment_and_one_by_environment_does_not(
    profile_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "https://env.test")
    monkeypatch.setenv("DATABRICKS_TOKEN", "token-env")
    assert ("https://dev.test", "token-dev") == resolve(None, None, "dev")
    monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", "dev")
    assert ("https://env.test", "token-env") == resolve()


def test_a_token_goes_only_to_the_host_that_it_was_configured_with(
    profile_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "https://env.test")
    monkeypatch.setenv("DATABRICKS_TOKEN", SECRET)
    with pytest.raises(ConfigurationError, match="no credential for https://other.test") as caught:
        resolve("https://other.test")
    assert SECRET not in str(caught.value)
    with pytest.raises(
        ConfigurationError, match=r"is for https://dev\.test and https://env\.test, and goes nowhere else"
    ):
        resolve("https://other.test", None, "dev")
    assert ("https://env.test", SECRET) == resolve("env.test")


def test_the_default_section_is_not_merged_into_a_profile(profile_file: Path) -> None:
    with pytest.raises(ConfigurationError, match="no credential for https://bare.test"):
        resolve(None, None, "bare")


def test_the_files_own_default_profile_is_used(profile_file: Path) -> None:
    profile_file.write_text(profile_file.read_text() + "\n[__settings__]\ndefault_profile = dev\n")
    assert ("https://dev.test", "token-dev") == resolve()


@pytest.mark.parametrize(
    ("profile", "said"), [("dev", "profile 'dev' should be in"), (None, "DATABRICKS_CONFIG_FILE names")]
)
def test_a_profile_file_that_is_missing_is_named_with_who_wants_it(
    tmp_path: Path, profile: str | None, said: str
) -> None:
    path = tmp_path / "nowhere"
    with pytest.raises(ConfigurationError, match=f"{said} {path}, which does not exist"):
        resolve_settings(profile=profile, environ={"DATABRICKS_CONFIG_FILE": str(path)})


def test_an_unknown_profile_names_those_there_are(profile_file: Path) -> None:
    with pytest.raises(ConfigurationError, match="no profile 'prod'; it has: DEFAULT, dev, bare"):
        resolve(None, None, "prod")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"token = {SECRET}\n", 1),
        (f"[DEFAULT]\nhost = https://a.test\n\ntoken {SECRET}\n", 4),
        (f"[a]\ntoken = {SECRET}\n[a]\n", 3),
        (f"[a]\ntoken = {SECRET}\ntoken = {SECRET}\n", 3),
    ],
    ids=["no section", "no equals sign", "section twice", "option twice"],
)
def test_a_malformed_file_is_named_with_its_line_and_without_its_content(
    profile_file: Path, text: str, line: int
) -> None:
    profile_file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        resolve()
    assert f"{profile_file}, line {line}: " in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_byte_order_mark_is_accepted_and_other_encodings_are_not(profile_file: Path) -> None:
    profile_file.write_bytes(b"\xef\xbb\xbf[DEFAULT]\nhost = https://bom.test\ntoken = t\n")
    assert ("https://bom.test", "t") == resolve()
    profile_file.write_bytes(b"[DEFAULT]\nhost = \xff\xfe\n")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_profiles(profile_file)


def test_a_file_that_is_named_and_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="does not exist"):
        resolve()


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("example.test", "https://example.test"),
        ("https://example.test/", "https://example.test"),
        ("https://Example.Test:443", "https://example.test"),
        ("https://example.test:8443", "https://example.test:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_hosts_are_brought_to_one_form(given: str, host: str) -> None:
    assert host == normalize_host(given)


@pytest.mark.parametrize(
    "host",
    [
        "", "  ", "ftp://example.test", "http://example.test", "https://user:pw@example.test", "https://example.test/path",
        "https://example.test?q=1", "https://example.test#f", "https://example.test?", "http://169.254.169.254", "http://127.1",
        "http://0x7f.1", "http://[::ffff:7f00:1]", "http://2130706433", "https://exämple.test", "https://\u0435xample.test",
        "https://example.test.", "https://example.test:0", "https://example.test:70000", "https://example.test:x",
        "https://exa mple.test", "https://example.test\r\nX: y", "https://", "https://a\x00b.test", "https://[::1",
        "https://example.test:",
    ],
)  # fmt: skip
def test_other_hosts_are_refused(host: str) -> None:
    """Bad input: host."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_settings(host, SECRET, environ={})
    assert SECRET not in str(caught.value) and "pw" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "token",
    ["", "a b", "a\n", "a\r\nX: y", "a\x00", "tökén", "Bearer x", "x" * 65_536, 5, b"x"],
    ids=lambda t: repr(t)[:12],
)
def test_tokens_that_cannot_stand_in_a_header_are_refused_without_being_quoted(token: object) -> None:
    """Bad input: token."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_settings("https://example.test", token, environ={})  # type: ignore[arg-type]  # that is the test
    assert not str(token)[:40] or str(token)[:40] not in str(caught.value) or len(str(token)) < 2


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), True, "5"])
def test_timeouts_that_are_none(timeout: object) -> None:
    """Bad input: timeout."""
    with pytest.raises(ConfigurationError, match="timeout must be"):
        resolve_settings("https://example.test", SECRET, timeout=timeout, environ={})  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [1e10, 1e300, Timeout(connect=1e10, read=1e10, write=1e10, pool=1e10, total=1e10)])
def test_timeouts_longer_than_a_system_call_can_count_are_cut(
    connect: Callable[..., Any], server: FaultServer, timeout: Any
) -> None:
    server.script("ep", reply(200, chat()))
    fm = connect(server.host, timeout=timeout)
    assert fm.chat("ep", "Hi").text == "hello"
    assert fm.client.settings.timeout.total == MAX_SECONDS


@pytest.mark.parametrize("retries", [-1, 1.5, True, 1000, "2"])
def test_retries_that_are_none(retries: object) -> None:
    """Bad input: max_retries."""
    with pytest.raises(ConfigurationError, match="max_retries must be"):
        resolve_settings("https://example.test", SECRET, max_retries=retries, environ={})  # type: ignore[arg-type]


def test_a_number_of_seconds_limits_the_whole_call() -> None:
    assert (
        Timeout(read=7.0, total=7.0, idle=7.0) == resolve_settings("https://a.test", "t", timeout=7, environ={}).timeout
    )


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ConfigurationError, match="unknown option 'max_retrys'"):
        Client("https://example.test", SECRET, max_retrys=3)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("hots", "host="),
        ("max_retrys", "max_retries="),
        ("concurency", "concurrency="),
        ("api_key", "token="),
        ("base_url", "host="),
        ("default_headers", "http_client="),
    ],
)
def test_an_unknown_option_is_told_from_what_was_meant(given: str, meant: str) -> None:
    """Misspelt ones, and those of other clients."""
    with pytest.raises(ConfigurationError, match=meant) as caught:
        Client(**{given: SECRET})
    assert SECRET not in str(caught.value)


def test_an_unknown_option_that_is_like_none_is_answered_by_all_there_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Client(flavour="sweet")
    parameters = inspect.signature(BaseClient.__init__).parameters
    named = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    assert [] == [name for name in named[1:] if f" {name}" not in str(caught.value)]
    assert "strict_params" in str(caught.value)


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn"])
def test_without_the_workspace_its_extra_is_named_and_little_else(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom fm_client import Client; Client(host='local')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    *before, last = done.stderr.strip().splitlines()
    assert 'pip install "fm-integrations[workspace]"' in last
    assert len(before) < 20, "the frames of an import say nothing that helps"


def test_the_token_is_in_no_repr() -> None:
    settings = resolve_settings("https://example.test", SECRET, environ={})
    assert SECRET not in f"{settings!r}{settings.credential!r}{Client('https://example.test', SECRET)!r}"
