"""The lag route and its page: who may look, and what they see."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import httpx2
from fastapi import APIRouter, FastAPI

from api.auth import get_current_user
from api.problems import install_problems
from api.routes.ops import PAGE, router
from infrastructure.auth.user import User
from infrastructure.kafka.lag import GroupReading, Reading, open_lag_reader
from infrastructure.kafka.lag_watch import LagWatch
from schemas.lag import Sample

NOON = 1_800_000_000.0
STATIC = Path(PAGE).parents[1] / "static"


def a_user(*permissions: str) -> User:
    return User(
        id="ops",
        sub="ops",
        issuer="https://idp",
        permissions=frozenset(permissions),
        expires_at=datetime(2100, 1, 1, tzinfo=UTC),
    )


def a_watch(*groups: str) -> LagWatch:
    watch = LagWatch(lambda: open_lag_reader({}))
    sample = Sample(NOON, 0, 4, 10, NOON - 75)
    watch.take([GroupReading(group, "Empty", (), (Reading("orders", 0, None, sample),)) for group in groups], NOON)
    return watch


@asynccontextmanager
async def a_client(watch: LagWatch, user: User, *more: APIRouter) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    for each in (router, *more):
        app.include_router(each)
    install_problems(app)
    app.state.resources = SimpleNamespace(lag=watch)
    app.dependency_overrides[get_current_user] = lambda: user
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_an_operator_sees_each_group_with_the_rule_that_fired_and_its_history() -> None:
    async with a_client(a_watch("billing"), a_user("ops:read")) as client:
        answer = (await client.get("/api/v1/ops/lag")).json()
    [group] = answer["data"]["groups"]
    assert (group["group"], group["status"], group["lag"], group["lag_s"]) == ("billing", "STOPPED", 6, 75.0)
    assert group["rule"] == "orders[0]: no member reads this partition, and 6 records wait"
    assert group["history"] == [[NOON, 6, 75.0]]
    assert group["partitions"][0]["samples"][0]["committed"] == 4
    assert answer["meta"] == {"sampled_at": NOON, "interval_s": 5.0, "trouble": None}


async def test_only_the_groups_asked_for_are_answered() -> None:
    async with a_client(a_watch("billing", "stock", "mail"), a_user("ops:read")) as client:
        answer = (await client.get("/api/v1/ops/lag?group=stock&group=mail")).json()
    assert [group["group"] for group in answer["data"]["groups"]] == ["stock", "mail"]


async def test_a_key_sees_the_groups_of_its_own_environment_alone() -> None:
    key = a_user("ops:read").model_copy(update={"environment": "test"})
    async with a_client(a_watch("test.route", "dev.route", "testing"), key) as client:
        answer = (await client.get("/api/v1/ops/lag")).json()
    assert [group["group"] for group in answer["data"]["groups"]] == ["test.route"]


async def test_whoever_lacks_the_permission_sees_nothing() -> None:
    async with a_client(a_watch("billing"), a_user("notifications:send")) as client:
        answer = await client.get("/api/v1/ops/lag")
    assert answer.status_code == 403
    assert "billing" not in answer.text


async def test_the_page_holds_no_figures_and_no_inline_code() -> None:
    async with a_client(a_watch("billing"), a_user()) as client:
        page = (await client.get("/ops")).text
    assert "billing" not in page
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)


def test_every_asset_the_page_names_is_here() -> None:
    named = re.findall(r'(?:src|href)="/static/([^"]+)"', PAGE.read_text())
    assert named
    assert all((STATIC / name).is_file() for name in named)


def test_names_from_the_cluster_only_ever_become_text() -> None:
    script = (STATIC / "ops.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", script)
