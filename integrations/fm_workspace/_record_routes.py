"""The routes of `/api/fm`: what the service keeps in tables, which only SQL would show there. For admins."""

from __future__ import annotations

from fastapi import APIRouter

from ._engine import JSONObject
from ._records import AUDIT, INFERENCE, USAGE, Records

PREFIX = "/api/fm"


def record_routes(records: Records) -> APIRouter:
    """All routes of records."""
    router = APIRouter(prefix=PREFIX)

    @router.get("/usage")
    async def usage(endpoint: str | None = None) -> JSONObject:
        return {"rows": records.rows(USAGE, endpoint)}

    @router.get("/inference-tables/{endpoint}")
    async def inference_table(endpoint: str) -> JSONObject:
        return {"rows": records.rows(INFERENCE, endpoint)}

    @router.get("/audit")
    async def audit() -> JSONObject:
        return {"rows": records.rows(AUDIT)}

    return router
