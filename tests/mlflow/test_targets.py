"""Which workspace a target URI means."""

from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException

from mlflow_fm import FoundationModelDeploymentClient
from mlflow_fm._targets import Target, parse_target


@pytest.mark.parametrize(
    ("uri", "host", "profile"),
    [
        ("fm", None, None),
        ("fm:/", None, None),
        ("fm:/staging", None, "staging"),
        ("fm:staging", None, "staging"),
        ("FM:/My%20Profile", None, "My Profile"),
        ("fm:/?profile=a", None, "a"),
        ("fm://local", "local", None),
        ("fm://LOCAL/", "local", None),
        ("fm://example.com", "https://example.com", None),
        ("fm://Example.com:8443/", "https://example.com:8443", None),
        ("fm://example.com/?profile=a", "https://example.com", "a"),
        ("fm://example.com?profile=", "https://example.com", None),
        ("fm://127.0.0.1:8080", "http://127.0.0.1:8080", None),
        ("fm://localhost:1/?profile=a", "http://localhost:1", "a"),
        ("fm://[::1]:8080", "http://[::1]:8080", None),
        ("fm://10.0.0.1", "https://10.0.0.1", None),
    ],
)
def test_a_target_names_a_workspace_by_host_or_profile(uri: str, host: str | None, profile: str | None) -> None:
    assert parse_target(uri) == Target(host, profile)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("fm://example.com/serving-endpoints", "path after the host"),
        ("fm://example.com/?timeout=3", "'timeout'"),
        ("fm://example.com/?profile=a&profile=b", "more than one profile"),
        ("fm:/a?profile=b", "more than one profile"),
        ("fm://local/?profile=a", "no profile"),
        ("fm://example.com:http", "port"),
        ("fm://example.com:99999", "port"),
        ("fm://example.com/#top", "fragment"),
        ("fm://[::1", "no URI"),
    ],
)
def test_what_is_no_target_is_refused_with_the_reason(uri: str, reason: str) -> None:
    with pytest.raises(MlflowException, match=reason) as caught:
        FoundationModelDeploymentClient(uri)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("uri", ["fm://token-for-tests@example.com", "fm://user:token-for-tests@example.com:x"])
def test_a_secret_in_a_target_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(MlflowException) as caught:
        FoundationModelDeploymentClient(uri)
    assert "token-for-tests" not in str(caught.value)
