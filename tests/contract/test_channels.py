"""What every channel says about what happened: the recording fake, and the real ones against the provider sandbox."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from infrastructure.channels import open_channels
from infrastructure.ports import Channel, Content
from infrastructure.settings import Settings
from schemas.deliveries import DeliveryRecord
from schemas.outcomes import Ambiguous, Dead, Retry, Sent
from tests.fakes.channel import RecordingChannel

ADDRESSES = {"email": "ana@x.io", "slack": "default"}
HI = Content("Hello", "Hi")


def a_delivery(name: str, channel: str = "email") -> DeliveryRecord:
    return DeliveryRecord(environment="dev", notification_id="ntf_1", delivery_id=name, recipient="ana", channel=channel)


@pytest_asyncio.fixture(name="real")
async def real_channels(settings: Settings, sandbox: httpx2.AsyncClient) -> AsyncIterator[dict[str, Channel]]:
    async with httpx2.AsyncClient(timeout=settings.provider_timeout_s, follow_redirects=False) as http:
        yield open_channels(settings, http)
    for provider in ADDRESSES:
        await sandbox.put(f"/faults/{provider}", json={"mode": "ok"})


async def behave(sandbox: httpx2.AsyncClient, provider: str, **fault: Any) -> None:
    assert (await sandbox.put(f"/faults/{provider}", json=fault)).status_code == 200


async def calls(sandbox: httpx2.AsyncClient, delivery: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await sandbox.get("/calls", params={"delivery": delivery})).json()
    return found


async def test_the_fake_says_sent_and_remembers_what_it_was_given() -> None:
    fake = RecordingChannel(Retry("http_503"))
    channel: Channel = fake
    assert await channel.send(a_delivery("dlv_1"), "ana@x.io", HI) == Retry("http_503")
    assert isinstance(await channel.send(a_delivery("dlv_1"), "ana@x.io", HI), Sent)
    assert len(fake.sent) == 2


@pytest.mark.parametrize("name", ADDRESSES)
async def test_a_message_that_was_taken_is_sent(
    real: dict[str, Channel], sandbox: httpx2.AsyncClient, unique: Callable[[str], str], name: str
) -> None:
    delivery = unique("dlv")
    assert isinstance(await real[name].send(a_delivery(delivery, name), ADDRESSES[name], HI), Sent)
    [call] = await calls(sandbox, delivery)
    assert call["accepted"]


@pytest.mark.parametrize("name", ADDRESSES)
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
    real: dict[str, Channel],
    sandbox: httpx2.AsyncClient,
    unique: Callable[[str], str],
    name: str,
    mode: str,
    kind: type[object],
) -> None:
    delivery = unique("dlv")
    await behave(sandbox, name, mode=mode, times=1)
    outcome = await real[name].send(a_delivery(delivery, name), ADDRESSES[name], HI)
    assert isinstance(outcome, kind), outcome
    assert len(await calls(sandbox, delivery)) == 1


async def test_the_wait_a_provider_names_is_handed_on(real: dict[str, Channel], sandbox: httpx2.AsyncClient) -> None:
    await behave(sandbox, "slack", mode="throttle", retry_after_s=120, times=1)
    outcome = await real["slack"].send(a_delivery("dlv_wait", "slack"), "default", HI)
    assert isinstance(outcome, Retry)
    assert outcome.asked is not None
    assert outcome.asked.total_seconds() == 120


async def test_a_relay_nobody_answers_at_is_a_retry(settings: Settings) -> None:
    async with httpx2.AsyncClient() as http:
        away = open_channels(settings.model_copy(update={"smtp_port": 1}), http)
        assert isinstance(await away["email"].send(a_delivery("dlv_1"), "ana@x.io", HI), Retry)
