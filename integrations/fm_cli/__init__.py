"""The `fm` command: try everything out, serve a workspace on this machine, list the models."""

try:
    from ._app import main
except ModuleNotFoundError as exc:  # a front door may say what is missing before it can be opened
    if exc.name not in ("rich", "typer"):
        raise
    raise ImportError('the fm command needs typer and rich: pip install "fm-integrations[cli]"') from exc

__all__ = ["main"]
