"""What all wire models share."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

JSONObject = dict[str, Any]


class WireModel(BaseModel):
    """A JSON object of the service. Fields that are not declared here are kept, never rejected."""

    # Deferred: most programs use few of the models, and building all of their validators would double the import time.
    model_config = ConfigDict(extra="allow", protected_namespaces=(), populate_by_name=True, defer_build=True)

    def to_dict(self) -> JSONObject:
        """The object as plain JSON data, only with what was set or received."""
        return self.model_dump(mode="json", exclude_unset=True)
