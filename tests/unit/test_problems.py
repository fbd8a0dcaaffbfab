from collections.abc import AsyncIterator
from typing import Annotated

import httpx2
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel

from api.problems import Problem, install_problems
from schemas.outcomes import Unavailable

SECRET = "a-secret-in-an-exception"


class Letter(BaseModel):
    to: list[int]


@pytest.fixture(name="client")
async def a_client() -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    install_problems(app)

    @app.get("/{area:path}/gone")
    async def gone(area: str) -> None:
        raise Problem(410, "Gone", "It was here.", type="/problems/gone", errors=[{"pointer": "/id", "detail": "old"}])

    @app.get("/api/v1/away")
    async def away() -> None:
        raise Unavailable(SECRET)

    @app.get("/api/v1/crash")
    async def crash() -> None:
        raise RuntimeError(SECRET)

    @app.post("/api/v1/letters")
    async def letters(letter: Letter, limit: Annotated[int, Query()] = 1) -> None:  # pylint: disable=unused-argument
        """Takes a letter."""

    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_under_api_v1_a_problem_comes_in_the_envelope(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/v1/gone")
    assert (answer.status_code, answer.headers["content-type"]) == (410, "application/json")
    body = answer.json()
    assert set(body) == {"success", "data", "error", "message", "meta"}
    assert (body["success"], body["data"], body["message"]) == (False, None, "It was here.")
    assert set(body["error"]) == {"type", "title", "status", "detail", "errors", "correlation_id"}
    assert body["error"]["errors"] == [{"pointer": "/id", "detail": "old"}]


async def test_elsewhere_a_problem_is_problem_json(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/push/gone")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["type"], answer.json()["status"]) == ("/problems/gone", 410)


async def test_a_bad_field_is_named_by_its_pointer_and_not_repeated(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/v1/letters?limit=many", json={"to": [1, SECRET]})
    assert answer.status_code == 422
    found = {(error.get("in", "body"), error["pointer"]) for error in answer.json()["error"]["errors"]}
    assert found == {("body", "/to/1"), ("query", "/limit")}
    assert SECRET not in answer.text


async def test_a_part_that_is_away_asks_for_a_repeat(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/v1/away")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert SECRET not in answer.text


async def test_a_crash_tells_the_caller_nothing(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/v1/crash")
    assert answer.status_code == 500
    assert answer.json()["error"]["detail"] == "The error has been recorded."
    assert SECRET not in answer.text


async def test_an_unknown_path_and_a_wrong_method_are_problems_too(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/api/v1/nowhere")).json()["error"]["title"] == "Not Found"
    assert (await client.get("/nowhere")).headers["content-type"] == "application/problem+json"
    refused = await client.get("/api/v1/letters")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
