"""All that the front door offers, imported with the first of it that is asked for."""

from ._autolog import autolog
from ._client import FoundationModelDeploymentClient
from ._help import target_help
from ._local import run_local
from ._prices import Price
from ._resources import resources_for

__all__ = ["FoundationModelDeploymentClient", "Price", "autolog", "resources_for", "run_local", "target_help"]
