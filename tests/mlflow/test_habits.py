"""The service's habits, switched on in a real workspace by tags, as MLflow sees them."""

from __future__ import annotations

from typing import Any

import pytest
from deployments_api import Asked, user
from habits import endpoint_with
from mlflow.exceptions import MlflowException

from fm_client import ContentFilteredError
from fm_workspace import Workspace
from mlflow_fm import FoundationModelDeploymentClient

SKY = "The sky is blue. What colour is the sky?"


@pytest.mark.parametrize("tags", [{"fm_guardrail": "input"}, {"fm_guardrail": "output"}, {"fm_content_filter": "sky"}])
def test_what_a_guardrail_or_filter_refuses_is_an_error_of_both(
    client: FoundationModelDeploymentClient, workspace: Workspace, ask: Asked, tags: dict[str, str]
) -> None:
    with pytest.raises(ContentFilteredError) as caught:
        ask.predict(client, endpoint=endpoint_with(workspace, **tags), inputs=user(SKY))
    error: Any = caught.value
    assert isinstance(error, MlflowException)
    assert error.get_http_status_code() == 400


def test_null_ids_and_dated_models_are_no_trouble(
    client: FoundationModelDeploymentClient, workspace: Workspace, ask: Asked
) -> None:
    name = endpoint_with(workspace, fm_null_ids="true", fm_model_name="my-llama-2025-08-07")
    answer: Any = ask.predict(client, endpoint=name, inputs=user(SKY))
    assert (answer["id"], answer["model"]) == (None, "my-llama-2025-08-07")
