"""Plan faults and read the request log over HTTP, under /_emulator."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cluster.lab.emulator.core.faults import Fault
from cluster.lab.emulator.core.parsing import first_problem
from cluster.lab.emulator.core.request import EmulatorState
from routing.errors import BadInput, RayroomError

PREFIX = "/_emulator"


class PlannedFault(BaseModel):
    """The body of `POST /_emulator/faults`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: Fault
    vendor: str | None = None
    model: str | None = None
    times: int = Field(1, ge=1, le=1_000_000)
    share: float = Field(1.0, gt=0, le=1)


def control_routes(state: EmulatorState) -> list[web.RouteDef]:
    """Return the control routes, bound to the state's faults and request log."""

    async def plan(request: web.Request) -> web.Response:
        try:
            planned = PlannedFault.model_validate_json(await request.read())
            state.faults.plan(
                planned.fault,
                vendor=planned.vendor,
                model=planned.model,
                times=planned.times,
                share=planned.share,
            )
        except ValidationError as error:
            return _error_response(BadInput(first_problem(error)))
        except RayroomError as error:
            return _error_response(error)
        return web.json_response({"planned": len(state.faults)})

    async def planned(request: web.Request) -> web.Response:
        return web.json_response({"planned": len(state.faults)})

    async def read(request: web.Request) -> web.Response:
        return web.json_response({"seen": [asdict(entry) for entry in state.journal]})

    async def clear_faults(request: web.Request) -> web.Response:
        state.faults.clear()
        return web.Response(status=204)

    async def clear_journal(request: web.Request) -> web.Response:
        state.journal.clear()
        return web.Response(status=204)

    return [
        web.post(f"{PREFIX}/faults", plan),
        web.get(f"{PREFIX}/faults", planned),
        web.delete(f"{PREFIX}/faults", clear_faults),
        web.get(f"{PREFIX}/journal", read),
        web.delete(f"{PREFIX}/journal", clear_journal),
    ]


def _error_response(error: RayroomError) -> web.Response:
    return web.json_response(error.envelope(), status=error.status)
