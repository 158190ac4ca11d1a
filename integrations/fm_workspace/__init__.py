"""A workspace on this machine: the service's REST API over real HTTP, without an account."""

try:
    from ._bounds import Limits
    from ._upstream import Upstream
    from ._urls import LOOPBACK_NETWORKS
    from ._vault import installation_token
    from ._workspace import Workspace, local, serve
except ModuleNotFoundError as exc:  # a front door may say what is missing before it can be opened
    if exc.name not in ("fastapi", "h11", "starlette", "uvicorn"):
        raise
    raise ImportError(
        'the embedded workspace needs FastAPI and uvicorn: pip install "fm-integrations[workspace]"'
    ) from exc

__all__ = ["LOOPBACK_NETWORKS", "Limits", "Upstream", "Workspace", "installation_token", "local", "serve"]
