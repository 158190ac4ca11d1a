"""The `fm` command: try everything out, serve a workspace on this machine, list the models."""

from ._main import main

__all__ = ["main"]
