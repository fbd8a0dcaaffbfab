"""The operators' first look: lag as JSON and as a page."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse

from api.auth import requires
from api.envelope import ok
from infrastructure.auth.user import User
from infrastructure.kafka.lag_watch import LagWatch

PAGE = Path(__file__).parents[1] / "pages" / "ops.html"

router = APIRouter(tags=["operators"])


def the_watch(request: Request) -> LagWatch:
    watch: LagWatch = request.app.state.resources.lag
    return watch


Watch = Annotated[LagWatch, Depends(the_watch)]
MayLook = Annotated[User, Depends(requires("ops:read"))]
Groups = Annotated[tuple[str, ...], Query(max_length=50, description="Only these groups; all when absent.")]


@router.get("/api/v1/ops/lag", operation_id="getLag")
async def lag(watch: Watch, caller: MayLook, group: Groups = ()) -> dict[str, Any]:
    """The latest judged look at every consumer group, with the rule behind each status and the samples behind the chart.

    An API key sees the groups of its own environment.
    """
    own = f"{caller.environment}." if caller.environment else ""
    groups = [
        one.model_dump(mode="json") | {"history": watch.history(one.group)}
        for one in watch.report
        if one.group.startswith(own) and (not group or one.group in group)
    ]
    meta = {"sampled_at": watch.sampled_at, "interval_s": watch.interval_s, "trouble": watch.trouble}
    return ok({"groups": groups}, meta=meta)


@router.get("/ops", include_in_schema=False)
async def page() -> FileResponse:
    """The page holds no figures itself: it asks the route above, which asks who is calling."""
    return FileResponse(PAGE, media_type="text/html", headers={"Cache-Control": "no-cache"})
