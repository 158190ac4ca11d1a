"""The `fm` command: try everything out, serve a workspace on this machine, list the models."""


def main() -> None:
    """Run the command. What is missing is said here, in one line and without a traceback."""
    try:
        from ._app import main as run
    except ModuleNotFoundError as exc:
        if exc.name not in ("rich", "typer"):
            raise
        raise SystemExit('fm: the fm command needs typer and rich: pip install "fm-integrations[cli]"') from None
    run()


__all__ = ["main"]
