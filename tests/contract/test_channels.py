"""What every provider says about what happened: the recording fake, and the real ones against the provider sandbox."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from pydantic import SecretStr, TypeAdapter

from consumers.dispatch import Dispatcher
from infrastructure.channels import open_providers
from infrastructure.channels.push_clients import open_push_clients
from infrastructure.local.sandbox.browser import subscription
from infrastructure.ports import Content, Provider, ReadsBack
from infrastructure.settings import Settings
from schemas.deliveries import DeliveryRecord
from schemas.devices import NewDevice, device_of
from schemas.outcomes import Ambiguous, CannotTell, Dead, Found, NotFound, ReadBack, Retry, Sent
from tests.fakes.provider import RecordingProvider
from tests.unit.stories import limits

PUSHING = ("web_push", "fcm", "apns")
ADDRESSES = {"smtp": "ana@x.io", "smtp_backup": "ana@x.io", "slack_webhook": "default", "slack_bot": "ops"}
NAMES = (*ADDRESSES, *PUSHING)
FAULTS = {"smtp": "email", "smtp_backup": "email_backup", "slack_webhook": "slack", "slack_bot": "slack"} | {
    name: name for name in PUSHING
}
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
HI = Content("Hello", "Hi")


def a_delivery(name: str, channel: str = "email") -> DeliveryRecord:
    return DeliveryRecord(environment="dev", notification_id="ntf_1", delivery_id=name, recipient="ana", channel=channel)


@pytest_asyncio.fixture(name="real")
async def real_providers(
    settings: Settings, variables: Mapping[str, str], sandbox: httpx2.AsyncClient
) -> AsyncIterator[dict[str, Provider]]:
    everything = settings.model_copy(
        update={
            "smtp_backup_host": "127.0.0.1",
            "smtp_backup_port": int(variables["SANDBOX_BACKUP_SMTP_PORT"]),
            "smtp_backup_starttls": False,
            "slack_targets": {"ops": SecretStr("C0123ABCD")},
            "slack_bot_token": SecretStr("xoxb-for-tests"),
            "slack_api_url": f"{variables['SANDBOX_URL']}/slack/api",
        }
    )
    async with (
        httpx2.AsyncClient(timeout=settings.provider_timeout_s, follow_redirects=False) as http,
        open_push_clients(everything) as push,
    ):
        yield {each.name: each for providers in open_providers(everything, http, push).values() for each in providers}
    for provider in set(FAULTS.values()):
        await sandbox.put(f"/faults/{provider}", json={"mode": "ok"})


@pytest.fixture(name="addresses", scope="session")
def the_addresses(variables: Mapping[str, str]) -> dict[str, str]:
    """What each provider is handed to send to."""
    told = {
        "web_push": {"kind": "web", "subscription": subscription(variables["SANDBOX_URL"], "ana")},
        "fcm": {"kind": "fcm", "token": "a-token-of-fcm"},
        "apns": {"kind": "apns", "token": "ab" * 32},
    }
    devices = {name: device_of(TypeAdapter(NewDevice).validate_python(each), LONG_AGO) for name, each in told.items()}
    return ADDRESSES | {name: device.address for name, device in devices.items()}


async def behave(sandbox: httpx2.AsyncClient, provider: str, **fault: Any) -> None:
    assert (await sandbox.put(f"/faults/{provider}", json=fault)).status_code == 200


async def calls(sandbox: httpx2.AsyncClient, delivery: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await sandbox.get("/calls", params={"delivery": delivery})).json()
    return found


async def test_the_fake_says_sent_and_remembers_what_it_was_given() -> None:
    fake = RecordingProvider(Retry("http_503"))
    provider: Provider = fake
    assert await provider.send(a_delivery("dlv_1"), "ana@x.io", HI) == Retry("http_503")
    assert isinstance(await provider.send(a_delivery("dlv_1"), "ana@x.io", HI), Sent)
    assert len(fake.sent) == 2


@pytest.mark.parametrize("name", NAMES)
async def test_a_message_that_was_taken_is_sent(
    real: dict[str, Provider],
    sandbox: httpx2.AsyncClient,
    addresses: Mapping[str, str],
    unique: Callable[[str], str],
    name: str,
) -> None:
    delivery = unique("dlv")
    assert isinstance(await real[name].send(a_delivery(delivery, name), addresses[name], HI), Sent)
    [call] = await calls(sandbox, delivery)
    assert call["accepted"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("error", Retry),
        ("throttle", Retry),
        ("permanent", Dead),
        ("close", Ambiguous),
        ("drop_answer", Ambiguous),
        ("hang", Ambiguous),
    ],
)
async def test_a_fault_of_the_provider_is_told_apart_and_called_once(
    real: dict[str, Provider],
    sandbox: httpx2.AsyncClient,
    addresses: Mapping[str, str],
    unique: Callable[[str], str],
    name: str,
    mode: str,
    kind: type[object],
) -> None:
    delivery = unique("dlv")
    await behave(sandbox, FAULTS[name], mode=mode, times=1)
    outcome = await real[name].send(a_delivery(delivery, name), addresses[name], HI)
    assert isinstance(outcome, kind), outcome
    assert len(await calls(sandbox, delivery)) == 1


async def test_the_wait_a_provider_names_is_handed_on(real: dict[str, Provider], sandbox: httpx2.AsyncClient) -> None:
    await behave(sandbox, "slack", mode="throttle", retry_after_s=120, times=1)
    outcome = await real["slack_webhook"].send(a_delivery("dlv_wait", "slack"), "default", HI)
    assert isinstance(outcome, Retry)
    assert outcome.asked is not None
    assert outcome.asked.total_seconds() == 120


@pytest.mark.parametrize(("name", "status"), [("web_push", 404), ("web_push", 410), ("fcm", 404), ("apns", 410)])
async def test_a_device_that_is_gone_is_told_apart_from_a_push_that_is_refused(
    real: dict[str, Provider], sandbox: httpx2.AsyncClient, addresses: Mapping[str, str], name: str, status: int
) -> None:
    await behave(sandbox, name, mode="permanent", status=status, times=1)
    assert await real[name].send(a_delivery("dlv_gone", "push"), addresses[name], HI) == Dead("unregistered", gone=True)


@pytest.mark.parametrize("name", PUSHING)
async def test_a_push_service_that_throttles_says_how_long(
    real: dict[str, Provider], sandbox: httpx2.AsyncClient, addresses: Mapping[str, str], name: str
) -> None:
    await behave(sandbox, name, mode="throttle", retry_after_s=7, times=1)
    outcome = await real[name].send(a_delivery("dlv_later", "push"), addresses[name], HI)
    assert outcome == Retry("http_429", timedelta(seconds=7))


@pytest.mark.parametrize("name", PUSHING)
async def test_a_push_shows_what_it_says_and_replaces_what_is_older(
    real: dict[str, Provider],
    sandbox: httpx2.AsyncClient,
    addresses: Mapping[str, str],
    unique: Callable[[str], str],
    name: str,
) -> None:
    """As the device gets it: the sandbox has the browser's key."""
    delivery = unique("dlv")
    content = Content("Parcel", "x" * 40_000, url="/o/42", collapse="order42", until=datetime.now(UTC) + timedelta(hours=1))
    sent = a_delivery(delivery, "push").model_copy(update={"priority": "urgent"})
    assert isinstance(await real[name].send(sent, addresses[name], content), Sent)
    [call] = await calls(sandbox, delivery)
    shown, told = AS_SHOWN[name](call["request"]), AS_TOLD[name](call["request"])
    assert (shown["title"], shown["body"][:20], shown["body"][-1]) == ("Parcel", "x" * 20, "…")
    assert 3000 < len(shown["body"]) < 4096
    assert told[:2] == ("order42", "high")
    assert 3500 < told[2] <= 3600


Shown = Callable[[dict[str, Any]], Any]
AS_SHOWN: Mapping[str, Shown] = {
    "web_push": lambda request: request["message"],
    "fcm": lambda request: request["message"]["notification"],
    "apns": lambda request: request["payload"]["aps"]["alert"],
}


def told_apns(headers: Mapping[str, str]) -> tuple[str, str, float]:
    urgency = {"10": "high"}.get(headers["apns-priority"], "")
    return headers["apns-collapse-id"], urgency, int(headers["apns-expiration"]) - datetime.now(UTC).timestamp() + 1


AS_TOLD: Mapping[str, Shown] = {
    "web_push": lambda request: (
        request["headers"]["topic"],
        request["headers"]["urgency"],
        int(request["headers"]["ttl"]),
    ),
    "fcm": lambda request: (
        request["message"]["android"]["collapse_key"],
        request["message"]["android"]["priority"],
        int(request["message"]["android"]["ttl"][:-1]),
    ),
    "apns": lambda request: told_apns(request["headers"]),
}


async def test_a_relay_nobody_answers_at_is_a_retry(settings: Settings) -> None:
    async with httpx2.AsyncClient() as http:
        [away] = open_providers(settings.model_copy(update={"smtp_port": 1}), http)["email"]
        assert isinstance(await away.send(a_delivery("dlv_1"), "ana@x.io", HI), Retry)


@pytest.mark.parametrize(("mode", "look"), [("ok", Found), ("drop_answer", Found), ("error", NotFound), ("close", NotFound)])
async def test_a_provider_that_can_be_asked_tells_what_it_took(
    real: dict[str, Provider], sandbox: httpx2.AsyncClient, unique: Callable[[str], str], mode: str, look: type[ReadBack]
) -> None:
    bot, delivery = real["slack_bot"], a_delivery(unique("dlv"), "slack")
    assert isinstance(bot, ReadsBack)
    await behave(sandbox, "slack", mode=mode, times=1)
    await bot.send(delivery, "ops", HI)
    found = await bot.look(delivery, "ops", datetime.now(UTC))
    assert isinstance(found, look), found
    assert isinstance(await bot.look(delivery, "unknown", LONG_AGO), CannotTell)


async def test_the_second_relay_takes_over_while_the_first_one_fails(
    real: dict[str, Provider], sandbox: httpx2.AsyncClient, unique: Callable[[str], str]
) -> None:
    dispatcher = Dispatcher([real["smtp"], real["smtp_backup"]], limits(timeout_s=2.0, attempt_s=10.0), {})
    await behave(sandbox, "email", mode="error")
    outcomes = [await dispatcher.send(a_delivery(unique("dlv")), "ana@x.io", HI, "at_most_once") for _ in range(8)]
    assert {(type(each), each.provider) for each in outcomes if isinstance(each, Sent)} == {(Sent, "smtp_backup")}
    assert len(outcomes) == 8
    failed = [call for call in (await sandbox.get("/calls", params={"provider": "email"})).json() if not call["accepted"]]
    assert len(failed) >= 5
    await behave(sandbox, "email", mode="ok")
