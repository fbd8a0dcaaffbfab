"""The operators' routes for deliveries in trouble and quarantine: who may, what they see, what they are told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from api.auth import get_current_user
from api.cursors import Cursors, the_cursors
from api.dependencies import the_environment, the_resources
from api.problems import install_problems
from api.replays import the_repairs
from api.routes import ops_deliveries, ops_holds, ops_quarantine
from schemas.outcomes import Ambiguous
from tests.unit.letters import Office, Shop, a_crowd, a_failed_email
from tests.unit.test_ops import a_user

DELIVERIES = "/api/v1/ops/deliveries"
QUARANTINE = "/api/v1/ops/quarantine"


@asynccontextmanager
async def a_client(
    *permissions: str, shop: Shop | None = None, office: Office | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    app.include_router(ops_deliveries.router)
    app.include_router(ops_holds.router)
    app.include_router(ops_quarantine.router)
    install_problems(app)
    app.dependency_overrides |= {
        get_current_user: lambda: a_user(*permissions),
        the_environment: lambda: "dev",
        the_cursors: lambda: Cursors("s" * 32, "list"),
    }
    if shop is not None:
        house, repairs = shop.house, shop.repairs
        app.dependency_overrides |= {the_resources: lambda: house, the_repairs: lambda: repairs}
    if office is not None:
        desk = office.desk
        app.dependency_overrides[ops_quarantine.the_desk] = lambda: desk
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        yield client


def the_path(shop: Shop, step: str) -> str:
    return f"{DELIVERIES}/{'/'.join(shop.ids)}/{step}"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", DELIVERIES),
        ("GET", f"{DELIVERIES}/counts"),
        ("POST", f"{DELIVERIES}/replay"),
        ("POST", f"{DELIVERIES}/ntf_{'a' * 26}/dlv_{'a' * 26}/redrive"),
        ("POST", f"{DELIVERIES}/ntf_{'a' * 26}/dlv_{'a' * 26}/settle"),
        ("POST", f"{DELIVERIES}/ntf_{'a' * 26}/dlv_{'a' * 26}/discard"),
        ("GET", QUARANTINE),
        ("GET", f"{QUARANTINE}/0/0"),
        ("POST", f"{QUARANTINE}/0/0/replay"),
        ("POST", f"{QUARANTINE}/0/0/discard"),
    ],
)
async def test_reading_needs_one_right_and_doing_another(method: str, path: str) -> None:
    others = ("notifications:send", "ops:write" if method == "GET" else "ops:read")
    shop = await a_failed_email()
    async with a_client(*others, shop=shop, office=Office()) as client:
        answer = await client.request(method, path, json={"state": "SENT"} if method == "POST" else None)
    assert answer.status_code == 403
    assert ("ops:read" if method == "GET" else "ops:write") in answer.json()["error"]["detail"]


async def test_what_failed_is_listed_page_by_page_without_addresses() -> None:
    shop = await a_crowd(5, "smtp_550")
    seen: list[str] = []
    cursor: dict[str, str] = {}
    async with a_client("ops:read", shop=shop) as client:
        while True:
            answer = (await client.get(DELIVERIES, params={"limit": 2, **cursor})).json()
            assert "@x.io" not in str(answer)
            seen += [each["delivery_id"] for each in answer["data"]]
            if answer["meta"]["next_cursor"] is None:
                break
            cursor = {"cursor": answer["meta"]["next_cursor"]}
    assert sorted(seen) == sorted(row.delivery_id for row in shop.floor.deliveries.rows.values())


@pytest.mark.parametrize("cursor", ["!", "bm8", "IjEi", "eyIwIjotMX0", "WzFd"])
async def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    async with a_client("ops:read", shop=await a_failed_email(), office=Office()) as client:
        for path in (DELIVERIES, QUARANTINE):
            assert (await client.get(path, params={"cursor": cursor})).status_code == 400


async def test_counts_show_the_largest_group_first() -> None:
    shop = await a_crowd(5, "smtp_550", "smtp_550", "smtp_451")
    async with a_client("ops:read", shop=shop) as client:
        answer = (await client.get(f"{DELIVERIES}/counts")).json()["data"]
    assert (answer["total"], answer["complete"]) == (5, True)
    assert [(group["reason"], group["count"]) for group in answer["groups"]] == [("smtp_550", 4), ("smtp_451", 1)]


async def test_redriving_says_whether_it_changed_anything() -> None:
    shop = await a_failed_email()
    async with a_client("ops:write", shop=shop) as client:
        first, second = [(await client.post(the_path(shop, "redrive"))).json()["data"] for _ in range(2)]
        assert ([first["changed"], second["changed"]], first["by_hand"]["by"]) == ([True, False], "ops")
        await shop.timers_fire()
        third = await client.post(the_path(shop, "redrive"))
    assert third.status_code == 409
    assert third.json()["error"]["type"] == "not_in_this_state"
    assert "It is SENT since" in third.json()["message"]


async def test_an_unknown_one_is_settled_with_a_note() -> None:
    shop = await a_failed_email(Ambiguous("timeout"), policy="at_most_once")
    async with a_client("ops:write", "ops:read", shop=shop) as client:
        [unknown] = (await client.get(DELIVERIES, params={"state": "UNKNOWN"})).json()["data"]
        assert unknown["doubtful"]
        settled = await client.post(the_path(shop, "settle"), json={"state": "SENT", "note": "asked Ana"})
        assert settled.json()["data"]["by_hand"] | {"at": ""} == {
            "event": "settled",
            "by": "ops",
            "note": "asked Ana",
            "at": "",
        }
        assert (await client.get(DELIVERIES, params={"state": "UNKNOWN"})).json()["data"] == []
        assert (await client.post(the_path(shop, "settle"), json={"state": "FAILED"})).status_code == 409


async def test_a_discarded_one_is_off_the_list() -> None:
    shop = await a_failed_email()
    async with a_client("ops:write", "ops:read", shop=shop) as client:
        assert (await client.post(the_path(shop, "discard"), json={"note": "a test"})).status_code == 200
        assert (await client.get(DELIVERIES)).json()["data"] == []


async def test_a_delivery_nobody_knows_is_404_and_no_id_at_all_is_422() -> None:
    async with a_client("ops:write", shop=await a_failed_email()) as client:
        assert (await client.post(f"{DELIVERIES}/ntf_{'a' * 26}/dlv_{'a' * 26}/redrive")).status_code == 404
        assert (await client.post(f"{DELIVERIES}/x/y/redrive")).status_code == 422


async def test_a_replay_is_a_dry_run_unless_said_otherwise_and_states_what_that_said() -> None:
    shop = await a_crowd(3, "smtp_550")
    async with a_client("ops:write", shop=shop) as client:

        async def replay(**body: Any) -> httpx2.Response:
            return await client.post(f"{DELIVERIES}/replay", json={"per_s": 1000, **body})

        dry = (await replay()).json()["data"]
        assert (dry["dry_run"], dry["expected"], len(dry["samples"])) == (True, 3, 3)
        assert {row.state for row in shop.floor.deliveries.rows.values()} == {"FAILED"}
        assert (await replay(dry_run=False)).status_code == 422
        assert (await replay(dry_run=False, expected=501)).status_code == 422
        differs = await replay(dry_run=False, expected=2, until=dry["until"])
        assert (differs.status_code, differs.json()["error"]["type"]) == (409, "not_as_expected")
        done = (await replay(dry_run=False, expected=3, until=dry["until"])).json()["data"]
    assert done["results"] == {"redriven": 3}
    assert {row.state for row in shop.floor.deliveries.rows.values()} == {"PENDING"}


async def test_quarantine_is_listed_without_bytes_and_shown_with_them_but_without_the_seal() -> None:
    office = Office()
    secret = (("x-carillon-seal", b"5ea1"), ("X-Own", b"mine"))
    await office.puts_away(value=b'{"to":"ana"}', headers=secret)
    async with a_client("ops:read", office=office) as client:
        listed = await client.get(QUARANTINE)
        [entry] = listed.json()["data"]
        position = entry["position"]
        shown = await client.get(f"{QUARANTINE}/{position['partition']}/{position['offset']}")
        missing = await client.get(f"{QUARANTINE}/0/99")
    assert "ana" not in listed.text
    assert shown.json()["data"]["value"] == {"text": '{"to":"ana"}', "base64": None, "truncated": False}
    assert shown.json()["data"]["headers"] == {"x-carillon-seal": "(hidden)", "X-Own": "mine"}
    assert "5ea1" not in shown.text
    assert missing.status_code == 404


async def test_quarantine_pages_to_its_end() -> None:
    office = Office()
    for number in range(7):
        await office.puts_away(key=b"k%d" % number)
    seen = 0
    cursor: dict[str, str] = {}
    async with a_client("ops:read", office=office) as client:
        while True:
            answer = (await client.get(QUARANTINE, params={"limit": 3, **cursor})).json()
            seen += len(answer["data"])
            if answer["meta"]["next_cursor"] is None:
                break
            cursor = {"cursor": answer["meta"]["next_cursor"]}
    assert seen == 7


async def test_a_record_is_put_back_once_and_the_second_time_only_on_demand() -> None:
    office = Office()
    await office.puts_away()
    position = (await office.entry()).record.position
    path = f"{QUARANTINE}/{position.partition}/{position.offset}"
    async with a_client("ops:write", office=office) as client:
        first = await client.post(f"{path}/replay", json={})
        second = await client.post(f"{path}/replay", json={})
        third = await client.post(f"{path}/replay", json={"again": True})
        discard = await client.post(f"{path}/discard")
    assert [first.status_code, second.status_code, third.status_code, discard.status_code] == [200, 409, 200, 409]
    assert first.json()["data"]["to"]["topic"] == "notifications.dev.requests"
    assert "replayed by ops" in second.json()["message"]
    assert len(office.put_back()) == 2
