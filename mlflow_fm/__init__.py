"""Foundation models in MLflow: the deployments target `fm`, tracing of every call, resources of logged models.

>>> from mlflow_fm import FoundationModelDeploymentClient  # get_deploy_client("fm://local") gives the same
>>> client = FoundationModelDeploymentClient("fm://local")
>>> answer = client.predict(endpoint="databricks-gte-large-en", inputs={"input": ["one", "two"]})
>>> [item.index for item in answer.data]
[0, 1]
"""

from typing import TYPE_CHECKING, Any

try:
    import mlflow.deployments as _deployments_of_mlflow  # noqa: F401  # whether it is there is known at once
except ModuleNotFoundError as exc:  # a front door may say what is missing before it can be opened
    if (exc.name or "").partition(".")[0] != "mlflow":
        raise
    raise ImportError('mlflow_fm needs mlflow: pip install "fm-integrations[mlflow]"') from exc

if TYPE_CHECKING:
    from ._offered import (
        FoundationModelDeploymentClient,
        Price,
        autolog,
        resources_for,
        run_local,
        target_help,
    )

__all__ = ["FoundationModelDeploymentClient", "Price", "autolog", "resources_for", "run_local", "target_help"]

if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        """Import all of it with the first that is asked for: who imports it beside much else pays for what is used."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import _offered

        return getattr(_offered, name)


def __dir__() -> list[str]:
    """What MLflow looks through for the class of the client."""
    return list(__all__)
