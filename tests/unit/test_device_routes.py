"""Devices over HTTP: one registers one's own, and nobody reads out of it what it takes to send there."""

from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from infrastructure.local.sandbox.browser import subscription
from schemas.devices import MAX_DEVICES
from tests.fakes.house import House

ME = "/api/v1/people/me/devices"
SERVICE = "https://updates.push.services.mozilla.com/wpush/v2"


def a_browser(**changes: Any) -> dict[str, Any]:
    return {"kind": "web", "subscription": subscription(SERVICE, "ana") | changes, "label": "Laptop"}


def an_app(token: str = "a-secret-token-of-fcm") -> dict[str, Any]:
    return {"kind": "fcm", "token": token}


async def listed(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get(ME)).json()["data"]
    return found


async def test_a_device_is_registered_for_oneself_alone(ana: httpx2.AsyncClient, ben: httpx2.AsyncClient) -> None:
    assert (await ana.post(ME, json=a_browser())).status_code == 201
    for method, path in (("POST", ""), ("GET", ""), ("DELETE", "/dev_" + "a" * 26)):
        body = an_app() if method == "POST" else None
        assert (await ben.request(method, f"/api/v1/people/ana/devices{path}", json=body)).status_code == 403
    [device] = await listed(ana)
    assert (device["kind"], device["label"], device["last_ok_at"]) == ("web", "Laptop", None)


async def test_said_again_it_is_the_same_device_and_said_by_another_it_is_theirs(
    ana: httpx2.AsyncClient, ben: httpx2.AsyncClient
) -> None:
    first = (await ana.post(ME, json=a_browser())).json()["data"]
    again = (await ana.post(ME, json=a_browser() | {"label": None})).json()["data"]
    assert again == first
    assert (await ben.post(ME, json=a_browser())).json()["data"]["id"] == first["id"]
    assert (await listed(ana), [each["id"] for each in await listed(ben)]) == ([], [first["id"]])


async def test_what_lets_one_send_to_a_device_is_never_shown(
    ana: httpx2.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = a_browser()
    answers = [await ana.post(ME, json=body) for body in (browser, an_app(), an_app("short"), a_browser(keys={}))]
    answers.append(await ana.get(ME))
    assert [each.status_code for each in answers] == [201, 201, 422, 422, 200]
    said = "".join(each.text for each in answers) + capsys.readouterr().out
    keys = browser["subscription"]["keys"]
    for secret in (browser["subscription"]["endpoint"], keys["auth"], keys["p256dh"], "a-secret-token-of-fcm"):
        assert secret not in said


async def test_a_removed_device_is_gone_and_removing_it_twice_does_no_harm(ana: httpx2.AsyncClient) -> None:
    device = (await ana.post(ME, json=an_app())).json()["data"]["id"]
    for words in ("Removed.", "This person has no such device."):
        answer = await ana.delete(f"{ME}/{device}")
        assert (answer.status_code, answer.json()["message"]) == (200, words)
    assert await listed(ana) == []


async def test_one_more_than_one_may_have_is_refused_and_the_others_stay(ana: httpx2.AsyncClient) -> None:
    for number in range(MAX_DEVICES):
        assert (await ana.post(ME, json=an_app(f"a-token-of-fcm-{number}"))).status_code == 201
    refused = await ana.post(ME, json=an_app("one-more-token"))
    assert (refused.status_code, refused.json()["error"]["type"]) == (409, "too_many_devices")
    assert len(await listed(ana)) == MAX_DEVICES


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "pager", "token": "0123456789"},
        {"kind": "fcm", "token": "with a blank in it"},
        {"kind": "apns", "token": "zz" * 32},
        {"kind": "apns", "token": "abc" * 25},
        {"kind": "web", "subscription": {"endpoint": f"{SERVICE}/x"}},
        a_browser(endpoint="https://127.0.0.1/x"),
        a_browser(endpoint="https://evil.example/x"),
        a_browser(keys={"p256dh": "AAAA", "auth": "A" * 22}),
        a_browser(keys={"p256dh": "!" * 87, "auth": "A" * 22}),
        an_app() | {"label": "two\nlines"},
        an_app() | {"owner": "ben"},
    ],
)
async def test_what_is_no_device_is_refused(ana: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    answer = await ana.post(ME, json=body)
    assert (answer.status_code, await listed(ana)) == (422, []), answer.text


async def test_a_deployment_without_web_push_says_so(house: House, ana: httpx2.AsyncClient) -> None:
    assert (await ana.get("/api/v1/push")).status_code == 200
    resources = house.app.state.resources
    resources.settings = resources.settings.model_copy(update={"vapid_private_key": SecretStr("")})
    assert (await ana.get("/api/v1/push")).status_code == 404
