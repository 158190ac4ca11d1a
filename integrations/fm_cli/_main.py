"""The entry of the `fm` command, which says in one line what it lacks."""


def main() -> None:
    """Run the `fm` command."""
    try:
        from ._app import main as run
    except ModuleNotFoundError as exc:
        if exc.name not in ("rich", "typer"):
            raise
        raise SystemExit('fm: the fm command needs typer and rich: pip install "fm-integrations[cli]"') from None
    run()
