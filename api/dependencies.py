"""What routes ask for in their signatures: the resources, and the environment a reader means."""

from typing import Annotated

from fastapi import Depends, Query, Request

from api.auth import Caller, refuse_foreign_environment
from api.problems import Problem
from api.wiring import ApiResources
from schemas.topics import Environment


def the_resources(request: Request) -> ApiResources:
    resources: ApiResources = request.app.state.resources
    return resources


House = Annotated[ApiResources, Depends(the_resources)]


def the_environment(user: Caller, house: House, environment: Annotated[Environment | None, Query()] = None) -> Environment:
    """The environment a reader means: a key's own, else this deployment's default when none is named."""
    wanted = environment or user.environment or house.settings.default_environment
    refuse_foreign_environment(user, wanted)
    if wanted not in house.settings.environments:
        raise Problem(404, "Not found", f"This deployment serves {', '.join(house.settings.environments)}.")
    return wanted


InEnvironment = Annotated[Environment, Depends(the_environment)]
