"""The version, and the name under which requests go out."""

from __future__ import annotations

__version__ = "0.1.0"
USER_AGENT = f"fm-integrations/{__version__}"
