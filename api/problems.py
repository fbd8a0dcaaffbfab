"""How the API says no: RFC 9457 members, in the envelope under /api/v1 and as problem+json elsewhere."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.allowed import methods_at
from api.envelope import failed
from schemas.outcomes import Unavailable

log = structlog.get_logger()

RETRY_AFTER_S = 5
ENVELOPED = "/api/v1/"


class Problem(Exception):
    """An answer that is not a success. `type` is a URI reference; the detail is for the caller, so it names no secret."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        type: str = "about:blank",  # noqa: A002  # pylint: disable=redefined-builtin
        errors: Iterable[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {title}")
        self.status, self.title, self.detail, self.type = status, title, detail, type
        self.errors = [dict(error) for error in errors]
        self.headers = dict(headers or {})

    def members(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "errors": self.errors,
            "correlation_id": correlation_id.get(),
        }


def install_problems(app: FastAPI) -> None:
    """Every exception a route may raise becomes a problem; nothing of an unknown one reaches the caller."""

    @app.exception_handler(Problem)
    async def as_it_says(request: Request, problem: Problem) -> JSONResponse:
        return answer(request, problem)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        detail = "The request does not have the expected shape; see errors."
        return answer(request, Problem(422, "Invalid request", detail, errors=map(field_error, error.errors())))

    @app.exception_handler(Unavailable)
    async def unavailable(request: Request, error: Unavailable) -> JSONResponse:
        log.warning("request.unavailable", path=request.url.path, reason=str(error))
        detail = "A part this request needs is out of reach. Nothing is wrong with the request: repeat it."
        return answer(request, Problem(503, "Unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_S)}))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        title = HTTPStatus(error.status_code).phrase
        detail = "" if error.detail == title else str(error.detail)
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = methods_at(request)
        return answer(request, Problem(error.status_code, title, detail, headers=headers))

    @app.exception_handler(Exception)
    async def crashed(request: Request, error: Exception) -> JSONResponse:
        log.error("request.crashed", path=request.url.path, error=type(error).__name__)
        # this handler stands outside the middleware that names the answer, so it does so itself
        headers = {"X-Correlation-ID": correlation_id.get() or ""}
        return answer(request, Problem(500, "Internal error", "The error has been recorded.", headers=headers))


def answer(request: Request, problem: Problem) -> JSONResponse:
    headers = {"Cache-Control": "no-store", **problem.headers}
    if request.url.path.startswith(ENVELOPED):
        return JSONResponse(failed(problem.members()), problem.status, headers)
    return JSONResponse(problem.members(), problem.status, headers, media_type="application/problem+json")


def field_error(error: Mapping[str, Any]) -> dict[str, str]:
    """One finding of the validation as a JSON pointer (RFC 6901); the value itself is not repeated."""
    where, *path = error["loc"]
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
    found = {"pointer": pointer, "detail": str(error["msg"])}
    return found if where == "body" else {**found, "in": str(where)}
