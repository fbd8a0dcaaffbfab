"""The three adapters of pushes: what they send, and how they read what comes back."""

import json
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey
from py_vapid import Vapid02
from pydantic import SecretStr

from infrastructure.channels import apns, fcm, web_push
from infrastructure.channels.apns import Apns, ApnsKey, ApnsTokens, apns_id
from infrastructure.channels.fcm import Fcm, FcmTokens, ServiceAccount
from infrastructure.channels.http import Answer
from infrastructure.channels.push import fitted, replaces, ttl_s
from infrastructure.channels.vapid import BadVapidKey, new_private_key, public_key_of, vapid_of
from infrastructure.channels.web_push import WebPush
from infrastructure.local.sandbox.browser import decrypted, subscription
from infrastructure.ports import Content
from schemas.deliveries import DeliveryRecord
from schemas.devices import Device, FcmDevice, WebDevice, device_of
from schemas.ids import delivery_id
from schemas.outcomes import Dead, Outcome, Retry, Sent

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
DELIVERY = DeliveryRecord(
    environment="dev",
    notification_id="ntf_1",
    delivery_id=delivery_id("ntf_1", "ana", "push", "d"),
    recipient="ana",
    channel="push",
)
SERVICE = "https://updates.push.services.mozilla.com"
HI = Content("Parcel", "At the door", url="/o/42")
PHONE = device_of(FcmDevice(kind="fcm", token="a-token-of-fcm"), NOON)
IPHONE = PHONE.model_copy(update={"kind": "apns", "token": "ab" * 32})
BROWSER = device_of(WebDevice.model_validate({"kind": "web", "subscription": subscription(SERVICE, "ana")}), NOON)


class Service:
    """A push service that answers from a script and remembers what it was asked."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.seen: list[httpx2.Request] = []
        self._answers = list(answers)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        status, body = self._answers.pop(0) if self._answers else (200, {})
        return httpx2.Response(status, stream=httpx2.ByteStream(json.dumps(body).encode()))

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer))


def a_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


# --- Web Push


def a_web_push(http: httpx2.AsyncClient, **changes: Any) -> WebPush:
    known = {"private_key": new_private_key(), "subject": "mailto:ops@example.com", "hosts": ("mozilla.com",)}
    return WebPush(http, **{**known, **changes})


async def test_a_browser_alone_can_read_its_push_and_the_service_knows_who_sends() -> None:
    service, key = Service((201, "")), new_private_key()
    async with service.client() as http:
        assert isinstance(await a_web_push(http, private_key=key).send(DELIVERY, BROWSER.address, HI), Sent)
    [request] = service.seen
    read = json.loads(decrypted("ana", request.content))
    assert (read["title"], read["body"], read["url"], read["id"]) == ("Parcel", "At the door", "/o/42", DELIVERY.delivery_id)
    assert "door" not in request.content.decode(errors="replace")
    with pytest.raises(Exception, match=r"(?i)decrypt|tag"):
        decrypted("somebody-else", request.content)
    assert Vapid02.verify(request.headers["authorization"])
    assert request.headers["authorization"].endswith(f"k={public_key_of(key)}")
    assert (request.headers["topic"], request.headers["urgency"]) == (DELIVERY.delivery_id, "normal")


async def test_a_browser_whose_key_is_none_gets_nothing() -> None:
    service, off_the_curve = Service(), "BAAA" + "A" * 83
    assert BROWSER.keys is not None
    device = BROWSER.model_copy(update={"keys": BROWSER.keys.model_copy(update={"p256dh": off_the_curve})})
    async with service.client() as http:
        assert await a_web_push(http).send(DELIVERY, device.address, HI) == Dead("address_unusable")
    assert service.seen == []


async def test_one_signature_serves_a_push_service_for_hours_and_no_other_service() -> None:
    service = Service(*[(201, "")] * 3)
    other = BROWSER.model_copy(update={"token": "https://web.push.apple.com/x"})
    async with service.client() as http:
        provider = a_web_push(http, hosts=("*",))
        for device in (BROWSER, BROWSER, other):
            await provider.send(DELIVERY, device.address, HI)
    first, second, third = (request.headers["authorization"] for request in service.seen)
    assert first == second != third


@pytest.mark.parametrize("endpoint", ["https://127.0.0.1/x", "https://evil.example/x", "http://push.mozilla.com/x"])
async def test_an_endpoint_that_came_in_otherwise_is_not_called_either(endpoint: str) -> None:
    service = Service()
    async with service.client() as http:
        outcome = await a_web_push(http).send(DELIVERY, BROWSER.model_copy(update={"token": endpoint}).address, HI)
    assert (outcome, service.seen) == (Dead("address_not_public"), [])


@pytest.mark.parametrize("bad", ["", "short", "!" * 43])
def test_a_key_that_is_none_is_said_so(bad: str) -> None:
    if bad:
        with pytest.raises(BadVapidKey):
            vapid_of(bad) if bad != "short" else vapid_of("AA")
    else:
        assert public_key_of(bad) is None


# --- FCM


@pytest.fixture(name="account", scope="module")
def an_account() -> ServiceAccount:
    key = a_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    return ServiceAccount(
        project_id="demo", client_email="push@demo.example", private_key=SecretStr(key), token_uri="https://token.example/"
    )


@pytest.fixture(name="tokens")
async def the_tokens(account: ServiceAccount, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FcmTokens]:
    tokens = FcmTokens(account, 1.0)
    async with tokens:
        yield tokens


def answered_by(tokens: FcmTokens, service: Service) -> None:
    client: Any = tokens._client
    client._transport = httpx2.MockTransport(service.answer)


async def test_one_access_token_serves_until_it_is_refused(tokens: FcmTokens) -> None:
    granted = {"token_type": "Bearer", "expires_in": 3599}
    google = Service((200, granted | {"access_token": "one"}), (200, granted | {"access_token": "two"}))
    messages = Service(
        (200, {"name": "projects/demo/messages/1"}), (200, {}), (401, {"error": {"status": "UNAUTHENTICATED"}})
    )
    answered_by(tokens, google)
    async with messages.client() as http:
        provider = Fcm(http, tokens, "https://fcm.example/", "demo")
        outcomes = [await provider.send(DELIVERY, PHONE.address, HI) for _ in range(4)]
    assert outcomes[0] == Sent("200", "projects/demo/messages/1")
    assert outcomes[2] == Retry("fcm_UNAUTHENTICATED")
    assert [each.headers["authorization"] for each in messages.seen] == ["Bearer one"] * 3 + ["Bearer two"]
    assert str(messages.seen[0].url) == "https://fcm.example/v1/projects/demo/messages:send"


@pytest.mark.parametrize("answer", [(500, {}), (400, {"error": "invalid_grant"}), (200, {"no": "token"}), (200, [])])
async def test_without_an_access_token_no_message_leaves(tokens: FcmTokens, answer: tuple[int, Any]) -> None:
    answered_by(tokens, Service(answer))
    messages = Service()
    async with messages.client() as http:
        outcome = await Fcm(http, tokens, "https://fcm.example", "demo").send(DELIVERY, PHONE.address, HI)
    assert isinstance(outcome, Retry), outcome
    assert outcome.reason.startswith("fcm_token:")
    assert messages.seen == []


def test_fcm_gets_a_collapse_key_only_from_the_request() -> None:
    """Of one device it keeps four keys at a time: a key of every delivery would lose the fifth."""
    told = json.loads(fcm.message("t", DELIVERY, HI))["message"]["android"]
    assert "collapse_key" not in told
    assert told["notification"]["tag"] == DELIVERY.delivery_id
    asked = json.loads(fcm.message("t", DELIVERY, Content("", "Hi", collapse="order")))["message"]["android"]
    assert (asked["collapse_key"], asked["notification"]["tag"]) == ("order", "order")


def fcm_said(status: int, word: str, own: str = "") -> Answer:
    details = [{"errorCode": own}] if own else []
    return Answer(status, json.dumps({"error": {"status": word, "details": details}}).encode())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (fcm_said(404, "NOT_FOUND", "UNREGISTERED"), Dead("unregistered", gone=True)),
        (fcm_said(404, "NOT_FOUND"), Dead("fcm_NOT_FOUND")),
        (fcm_said(400, "INVALID_ARGUMENT"), Dead("fcm_INVALID_ARGUMENT")),
        (fcm_said(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), Dead("fcm_SENDER_ID_MISMATCH")),
        (fcm_said(403, "PERMISSION_DENIED"), Retry("fcm_PERMISSION_DENIED")),
        (fcm_said(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), Retry("fcm_THIRD_PARTY_AUTH_ERROR")),
        (fcm_said(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), Retry("http_429")),
        (fcm_said(503, "UNAVAILABLE"), Retry("http_503")),
        (Answer(404, b"<html>"), Dead("http_404")),
        (Answer(401, b"[]"), Retry("fcm_401")),
    ],
)
def test_fcm_is_read_by_its_own_word(answer: Answer, expected: Outcome) -> None:
    assert fcm.read_answer(answer) == expected


# --- APNs


async def test_apns_gets_the_deliverys_id_as_a_uuid_and_a_token_of_the_team() -> None:
    key, service = ec.generate_private_key(ec.SECP256R1()), Service((200, ""))
    async with service.client() as http:
        tokens = ApnsTokens(ApnsKey(a_pem(key), "KEY1", "TEAM1"))
        outcome = await Apns(http, tokens, "https://apns.example/", "app.example").send(DELIVERY, IPHONE.address, HI)
    [request] = service.seen
    assert outcome == Sent("200", request.headers["apns-id"])
    assert uuid.UUID(request.headers["apns-id"]) == uuid.UUID(apns_id(DELIVERY))
    assert str(request.url) == f"https://apns.example/3/device/{IPHONE.token}"
    scheme, token = request.headers["authorization"].split()
    told = jwt.decode(token, ECKey.import_key(a_pem(key)), algorithms=["ES256"])
    assert (scheme, told.header["kid"], told.claims["iss"]) == ("bearer", "KEY1", "TEAM1")
    assert (request.headers["apns-topic"], request.headers["apns-collapse-id"]) == ("app.example", DELIVERY.delivery_id)


async def test_a_provider_token_is_made_anew_before_the_hour_is_over_or_when_it_is_refused() -> None:
    now = [1_000_000.0]
    tokens = ApnsTokens(ApnsKey(a_pem(ec.generate_private_key(ec.SECP256R1())), "K", "T"), clock=lambda: now[0])
    first = tokens.bearer()
    now[0] += 45 * 60
    assert tokens.bearer() == first
    now[0] += 14 * 60
    second = tokens.bearer()
    assert second != first
    service = Service((403, {"reason": "ExpiredProviderToken"}))
    async with service.client() as http:
        outcome = await Apns(http, tokens, "https://apns.example", "app").send(DELIVERY, IPHONE.address, HI)
    assert outcome == Retry("apns_ExpiredProviderToken")
    assert tokens.bearer() != second


def apns_said(status: int, reason: str) -> Answer:
    return Answer(status, json.dumps({"reason": reason}).encode())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (apns_said(410, "Unregistered"), Dead("unregistered", gone=True)),
        (apns_said(400, "BadDeviceToken"), Dead("apns_BadDeviceToken")),
        (apns_said(400, "DeviceTokenNotForTopic"), Dead("apns_DeviceTokenNotForTopic")),
        (apns_said(403, "InvalidProviderToken"), Retry("apns_InvalidProviderToken")),
        (apns_said(413, "PayloadTooLarge"), Dead("apns_PayloadTooLarge")),
        (apns_said(429, "TooManyRequests"), Retry("http_429")),
        (apns_said(503, "Shutdown"), Retry("http_503")),
        (Answer(400, b"nonsense"), Dead("http_400")),
    ],
)
def test_apns_is_read_by_its_reason(answer: Answer, expected: Outcome) -> None:
    assert apns.read_answer(answer, "id") == expected


# --- what they share


@pytest.mark.parametrize(
    "build",
    [web_push.payload, apns.payload, lambda delivery, content: fcm.message("token", delivery, content)],
    ids=["web_push", "apns", "fcm"],
)
@given(title=st.text(max_size=500), body=st.text(min_size=1, max_size=3000), url=st.text(max_size=4000))
def test_whatever_is_said_a_payload_fits_and_parses(
    build: Callable[[DeliveryRecord, Content], bytes], title: str, body: str, url: str
) -> None:
    title, body, url = (text.encode("utf-8", "ignore").decode() for text in (title, body, url))
    made = build(DELIVERY, Content(title, body * 20, url=url))
    assert len(made) <= 4096
    json.loads(made)


@given(st.text(alphabet="aé😀\n", min_size=1, max_size=400), st.integers(20, 200))
def test_as_much_of_the_body_as_fits_is_kept(body: str, most: int) -> None:
    made = fitted(lambda text: text.encode(), body, most).decode()
    if len(body.encode()) <= most:
        assert made == body
        return
    assert made.endswith("…")
    assert body.startswith(made[:-1])
    longer = body[: len(made)]
    assert len((longer + "…").encode()) > most or longer.rstrip() == made[:-1]


def test_a_push_lives_as_long_as_it_is_needed() -> None:
    assert ttl_s(Content("", "Hi", until=NOON + timedelta(minutes=5)), NOON) == 300
    assert ttl_s(Content("", "Hi", until=NOON - timedelta(minutes=5)), NOON) == 0
    assert ttl_s(Content("", "Hi"), NOON) == 28 * 24 * 3600


def test_what_replaces_what_fits_a_topic() -> None:
    assert len(replaces(DELIVERY, HI)) <= 32
    assert replaces(DELIVERY, Content("", "Hi", collapse="0" * 32)) == "0" * 32


@pytest.mark.parametrize("address", ["", "{}", "nonsense", PHONE.address])
async def test_a_device_of_another_kind_is_none_of_their_business(address: str, tokens: FcmTokens) -> None:
    async with Service().client() as http:
        key = ApnsKey(a_pem(ec.generate_private_key(ec.SECP256R1())), "K", "T")
        for provider in (a_web_push(http), Apns(http, ApnsTokens(key), "https://apns.example", "app")):
            assert provider.destination(address) is None
            assert await provider.send(DELIVERY, address, HI) == Dead("address_unusable")
        assert (Fcm(http, tokens, "https://fcm.example", "p").destination(address) is None) == (address != PHONE.address)


def test_what_lets_one_send_is_not_written_into_logs() -> None:
    for device in (PHONE, BROWSER):
        assert device.token not in repr(device)
        assert Device.model_validate_json(device.address) == device.model_copy(update={"label": None})
    assert BROWSER.keys is not None
    assert BROWSER.keys.auth not in repr(BROWSER)
