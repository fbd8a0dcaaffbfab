"""Pages and the headers around them, asked without a socket."""

from collections.abc import Mapping
from types import SimpleNamespace

import httpx2
import pytest
from fastapi import FastAPI

from api.problems import install_problems
from api.routes import pages
from api.security_headers import SecurityHeaders
from infrastructure.settings import Settings

SANDBOX = "http://127.0.0.1:8003"
LOCAL: Mapping[str, str] = {"deployment": "local", "sandbox_url": SANDBOX}
PRODUCTION: Mapping[str, str] = {
    "deployment": "production",
    "app_secret_key": "k" * 32,
    "public_url": "https://bells.example.com",
}


async def ask(path: str, values: Mapping[str, str]) -> httpx2.Response:
    settings = Settings(_env_file=None, **values)  # type: ignore[arg-type]
    app = FastAPI()
    install_problems(app)
    app.include_router(pages.router)
    app.add_middleware(SecurityHeaders, settings=settings)
    app.state.resources = SimpleNamespace(settings=settings)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost:8000") as client:
        return await client.get(path)


def sources(answer: httpx2.Response, directive: str) -> list[str]:
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    return policy[directive].split()


async def test_the_playground_may_read_the_sandbox_and_no_other_place() -> None:
    answer = await ask("/", LOCAL)
    assert "Send something" in answer.text
    assert sources(answer, "connect-src") == ["'self'", "ws://localhost:8000", SANDBOX]


@pytest.mark.parametrize("path", ["/", "/inbox"])
async def test_a_page_is_framed_by_nobody_and_runs_no_inline_script(path: str) -> None:
    answer = await ask(path, LOCAL)
    assert sources(answer, "frame-ancestors") == ["'none'"]
    assert sources(answer, "default-src") == ["'self'"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_elsewhere_than_here_the_start_page_is_the_inbox() -> None:
    answer = await ask("/", PRODUCTION)
    assert (answer.status_code, answer.headers["location"]) == (303, "/inbox")


async def test_elsewhere_than_here_nobody_is_told_where_kafka_is() -> None:
    answer = await ask("/playground/config", PRODUCTION)
    assert answer.status_code == 404
    assert "9092" not in answer.text


async def test_the_playground_is_told_where_its_neighbours_are() -> None:
    told = (await ask("/playground/config", LOCAL)).json()
    assert told == {
        "sandbox_url": SANDBOX,
        "environments": ["dev", "test"],
        "default_environment": "dev",
        "kafka_bootstrap_servers": "127.0.0.1:9092",
    }


async def test_in_production_the_inbox_speaks_to_its_own_https_host_alone() -> None:
    answer = await ask("/inbox", PRODUCTION)
    assert sources(answer, "connect-src") == ["'self'", "wss://bells.example.com"]
