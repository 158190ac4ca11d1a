"""What `mlflow deployments help -t fm` prints."""

from __future__ import annotations

_HELP = """\
fm: foundation models behind serving endpoints (hosted, provisioned, external), by fm-integrations.

TARGETS
  fm                            what the environment says: DATABRICKS_HOST and DATABRICKS_TOKEN, or
                                DATABRICKS_CONFIG_PROFILE, or the default profile of ~/.databrickscfg
  fm:/PROFILE                   a profile of ~/.databrickscfg
  fm://HOST[:PORT]/             a workspace; its token comes from the environment. https, except for this machine
  fm://HOST[:PORT]/?profile=P   a workspace, with the token of a profile that belongs to it
  fm://local                    the embedded workspace, within this process: needs no account.
                                Its hosted models are simulated, and what is created in it ends with the process

ENVIRONMENT
  MLFLOW_DEPLOYMENTS_TARGET                the target when none is given, for example: fm
  MLFLOW_DEPLOYMENT_PREDICT_TIMEOUT        seconds without an answer, or an event of a stream
                                           (300, and 120 between events, if unset)
  MLFLOW_DEPLOYMENT_PREDICT_TOTAL_TIMEOUT  seconds for all attempts of a query (300 if unset)
  MLFLOW_DEPLOYMENT_CLIENT_HTTP_REQUEST_TIMEOUT, MLFLOW_HTTP_REQUEST_TIMEOUT
                                           seconds for a request that is no query (300 if unset); the first counts
  MLFLOW_HTTP_REQUEST_MAX_RETRIES          repeats after the first attempt (2 if unset)

QUERIES
  The input is the body that the serving endpoint takes: messages (chat), prompt (completions) or input (embeddings).
  This command line reads it with pandas, which takes lists of one length only; a body in a list always works:
    echo '[{"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}]' > body.json
    mlflow deployments predict -t fm --endpoint databricks-meta-llama-3-3-70b-instruct -I body.json

ENDPOINTS
  `create-endpoint` of MLflow 3's command line fails for every target (it passes a parameter that it does not have).
  Use Python:  get_deploy_client("fm").create_endpoint("NAME", {...})   or `mlflow deployments create`, below.
  The config is a whole request (name, config, tags, ...), or its inner config (served_entities, ...), or one model.
  With -C NAME=VALUE, objects are JSON text or @FILE:    -C config=@request.json   -C 'add_tags=[{"key": "team"}]'
    external_model                   another provider's model: provider, name, task and PROVIDER_config
    entity_name, entity_version      a model of Unity Catalog, with provisioned_model_units; or throughput_chunks;
                                     or min_provisioned_throughput and max_provisioned_throughput (tokens/s)
    tags, ai_gateway, description, route_optimized, budget_policy_id, email_notifications
    wait=false                       return at once; otherwise create and update wait until the endpoint is ready
    wait_timeout                     seconds to wait (1200)
  update-endpoint takes the same for what is served; or add_tags and delete_tags, rate_limits, or ai_gateway.

DEPLOYMENTS
  A deployment is a served entity of an endpoint (--endpoint E --name ENTITY), or an endpoint with one (--name E).
    mlflow deployments create -t fm --name llama -m models:/main.default.llama/3 -C max_provisioned_throughput=9500
    mlflow deployments create -t fm --name gpt -m openai:/gpt-4o -C openai_config=@openai.json
    traffic_percentage               the entity's part of the endpoint's traffic (0 for a new one, beside others)
    task                             of an external model: llm/v1/chat (default), llm/v1/completions, llm/v1/embeddings

RUN-LOCAL
    mlflow deployments run-local -t fm --name my-endpoint -m models:/main.default.llama/3
  starts the embedded workspace with an endpoint of that name and prints how to reach it; Ctrl-C ends it.
  The model is a version of a model of Unity Catalog or a hosted one (databricks-gte-large-en), simulated; or an
  external one (openai:/gpt-4o), asked for real.
    block=false                      return at once, for use within one process
"""


def target_help() -> str:
    """How to write a target, and what `config` may hold; for `mlflow deployments help -t fm`."""
    return _HELP
