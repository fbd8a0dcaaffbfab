"""The documentation pages are our own files under our own policy."""

import re
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from fastapi import FastAPI

from api.routes import docs
from infrastructure.settings import Settings

STATIC = Path(docs.PAGES).parent / "static"


async def ask(path: str) -> httpx2.Response:
    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(docs.router)
    app.state.resources = SimpleNamespace(settings=Settings(_env_file=None, deployment="local"))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost:8000") as client:
        return await client.get(path)


@pytest.mark.parametrize("path", ["/docs", "/api/v1/docs", "/redoc", "/api/v1/redoc", "/asyncapi"])
async def test_a_page_runs_only_scripts_of_ours(path: str) -> None:
    answer = await ask(path)
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200
    assert "default-src 'self'" in policy
    assert not re.search(r"script-src|unsafe|https?://(?!localhost)", policy)
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", answer.text)
    named = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert all(
        name in ("/openapi.json", "/asyncapi.json") or (STATIC / name.removeprefix("/static/")).is_file() for name in named
    )
