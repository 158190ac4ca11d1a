"""The pytest plugin, as users have it: in a test run of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = "pytester"

DOCUMENT = Path(__file__).parents[2] / "docs" / "workspace.md"
FILES = re.findall(r"^```py\n# (\w+\.py)\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
STRICT = ("-p", "pytest_asyncio.plugin", "-W", "error", "--strict-markers", "-q")


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder for tests, in which the plugin is switched on, and of all others pytest-asyncio."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest('pytest_plugins = ["fm_workspace.pytest_plugin"]')
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def test_the_example_of_the_documentation_passes(run: pytest.Pytester) -> None:
    assert [name for name, _ in FILES] == ["conftest.py", "test_chain.py"]
    for name, text in FILES:
        (run.path / name).write_text(text, encoding="utf-8")
    run.runpytest_subprocess(*STRICT).assert_outcomes(passed=3)


def test_each_test_has_a_workspace_of_its_own(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import pytest
        from fm_client import Client

        hosts = set()

        @pytest.mark.parametrize("turn", [1, 2])
        def test_it_is_empty(fm_workspace, fm_client, turn):
            hosts.add(fm_workspace.host)
            assert len(hosts) == turn
            assert "mine" not in [endpoint.name for endpoint in fm_client.endpoints.list()]
            fm_client.endpoints.create(
                "mine", entity_name="main.default.llama", entity_version="1", max_provisioned_throughput=980, wait=True
            )
        """
    )
    run.runpytest_subprocess(*STRICT).assert_outcomes(passed=2)


def test_code_that_looks_into_the_environment_finds_it(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", "production")
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "a-real-one")
    run.makepyfile(
        """
        import os
        from fm_client import Client

        def test_inside(fm_workspace):
            with Client() as fm:
                assert fm.chat("databricks-meta-llama-3-3-70b-instruct", "Hello").text

        def test_outside():
            assert "DATABRICKS_HOST" not in os.environ
            assert os.environ["DATABRICKS_CLIENT_ID"] == "a-real-one"
        """
    )
    run.runpytest_subprocess(*STRICT).assert_outcomes(passed=2)


def test_markers_pass_options_the_nearest_first(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import pytest

        @pytest.mark.fm_workspace(token="of-the-class", deploy_seconds=60)
        class TestOptions:
            @pytest.mark.fm_workspace(token="of-the-test")
            def test_both(self, fm_workspace, fm_client):
                assert fm_workspace.token == "of-the-test"
                fm_client.endpoints.create(
                    "slow", entity_name="main.default.llama", entity_version="1", max_provisioned_throughput=980
                )
                assert fm_client.endpoints.get("slow").state.ready == "NOT_READY"
        """
    )
    run.runpytest_subprocess(*STRICT).assert_outcomes(passed=1)


def test_a_marker_without_names_is_a_mistake_that_is_told(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import pytest

        @pytest.mark.fm_workspace("upstream")
        def test_it(fm_workspace): pass
        """
    )
    done = run.runpytest_subprocess(*STRICT)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines("*the marker fm_workspace takes options by name*")


def test_an_async_client_that_nobody_used_is_no_trouble(run: pytest.Pytester) -> None:
    run.makepyfile("def test_it(fm_async_client): pass")
    run.runpytest_subprocess(*STRICT).assert_outcomes(passed=1)


def test_who_does_not_ask_for_it_pays_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it():
            assert [name for name in ("fm_workspace", "fm_client", "fastapi") if name in sys.modules] == []
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_pytest_itself_is_loaded_by_the_plugin_alone() -> None:
    code = "import sys, fm_workspace; print('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
