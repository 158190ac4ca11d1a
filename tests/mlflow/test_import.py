"""What importing costs, measured in modules, which do not depend on how busy the machine is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def loaded(code: str, after: str, cwd: Path) -> list[str]:
    """The modules that `code` loads in a fresh interpreter which has run `after`."""
    script = f"import sys\n{after}\nbefore = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=cwd)
    return done.stdout.split()


def test_importing_the_package_costs_what_mlflows_deployments_cost(tmp_path: Path) -> None:
    """A tenth more at most, in time; this is what it is made of."""
    assert ["mlflow_fm"] == loaded("import mlflow_fm", "import mlflow.deployments", tmp_path)


def test_using_it_loads_no_other_library_than_the_core_does(tmp_path: Path) -> None:
    found = loaded("from mlflow_fm import autolog", "import mlflow.deployments", tmp_path)
    core = loaded("from fm_client import Client, Clients, catalog, observe", "", tmp_path)
    tops = {name.partition(".")[0] for name in set(found) - set(core)} - sys.stdlib_module_names
    assert {"mlflow", "mlflow_fm"} >= tops


@pytest.mark.parametrize("code", ["import fm_client; fm_client.observe(lambda call: None)", "import fm_client"])
def test_the_core_loads_nothing_of_mlflow(tmp_path: Path, code: str) -> None:
    assert [] == [name for name in loaded(code, "", tmp_path) if name.partition(".")[0] == "mlflow"]


def test_a_name_that_is_not_there_is_an_attribute_error(tmp_path: Path) -> None:
    script = "import mlflow_fm\ntry: mlflow_fm.nothing\nexcept AttributeError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "module 'mlflow_fm' has no attribute 'nothing'" == done.stdout.strip()
