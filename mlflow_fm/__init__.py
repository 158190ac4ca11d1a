"""The MLflow deployments target `fm`: foundation models by MLflow's deployments client, sync and async.

>>> from mlflow_fm import FoundationModelDeploymentClient  # get_deploy_client("fm://local") gives the same
>>> client = FoundationModelDeploymentClient("fm://local")
>>> answer = client.predict(endpoint="databricks-gte-large-en", inputs={"input": ["one", "two"]})
>>> [item.index for item in answer.data]
[0, 1]
"""

try:
    from ._autolog import autolog
    from ._client import FoundationModelDeploymentClient
    from ._help import target_help
    from ._local import run_local
    from ._prices import Price
    from ._resources import resources_for
except ModuleNotFoundError as exc:  # a front door may say what is missing before it can be opened
    if (exc.name or "").partition(".")[0] != "mlflow":
        raise
    raise ImportError('mlflow_fm needs mlflow: pip install "fm-integrations[mlflow]"') from exc

__all__ = ["FoundationModelDeploymentClient", "Price", "autolog", "resources_for", "run_local", "target_help"]
