"""The examples in the docstrings of the six packages run, and give what they say."""

from __future__ import annotations

import doctest
import gc
import importlib
import pkgutil
from collections.abc import Iterator

import pytest

PACKAGES = ("fm_cli", "fm_client", "fm_workspace", "langchain_fm", "llamaindex_fm", "mlflow_fm")


def modules() -> Iterator[str]:
    for name in PACKAGES:
        package = importlib.import_module(name)
        yield name
        yield from (found.name for found in pkgutil.walk_packages(package.__path__, f"{name}."))


@pytest.mark.parametrize("name", sorted(modules()))
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    gc.collect()
    assert 0 == result.failed
