"""A write that went through while its answer was lost: the winner recognises itself (reliability.md row 21)."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import aiohttp
import pytest_asyncio
from aiodynamo.client import Client
from aiodynamo.http.aiohttp import AIOHTTP
from aiodynamo.http.types import Request, RequestFailed, Response
from yarl import URL

from infrastructure.dynamo.client import Dynamo
from infrastructure.dynamo.credentials import BotocoreCredentials
from infrastructure.dynamo.deliveries import DeliveryStore, Won
from infrastructure.dynamo.notifications import NotificationStore
from infrastructure.settings import Settings
from tests.contract.test_stores import a_notification, a_record, ended

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


class ForgetfulHttp:
    """Carries every request and loses the answers it is told to lose."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._http = AIOHTTP(session)
        self.lose = 0
        self.carried = 0

    async def __call__(self, request: Request) -> Response:
        response = await self._http(request)
        self.carried += 1
        if self.lose:
            self.lose -= 1
            raise RequestFailed(aiohttp.ServerDisconnectedError())
        return response


@pytest_asyncio.fixture(name="http")
async def a_forgetful_http() -> AsyncIterator[ForgetfulHttp]:
    async with aiohttp.ClientSession() as session:
        yield ForgetfulHttp(session)


def a_dynamo(settings: Settings, http: ForgetfulHttp) -> Dynamo:
    endpoint = URL(settings.aws_endpoint_url_dynamodb)
    return Dynamo(Client(http, BotocoreCredentials(), settings.aws_region, endpoint=endpoint))


async def test_a_claim_whose_answer_was_lost_is_still_won(
    settings: Settings, http: ForgetfulHttp, unique: Callable[[str], str]
) -> None:
    store = DeliveryStore(a_dynamo(settings, http))
    http.lose = 1
    claim = await store.claim(a_record(unique("ntf")), NOON)
    assert http.carried == 2
    assert isinstance(claim, Won)
    assert claim.delivery.version == 1


async def test_a_result_whose_answer_was_lost_is_recorded_once(
    settings: Settings, http: ForgetfulHttp, unique: Callable[[str], str]
) -> None:
    store = DeliveryStore(a_dynamo(settings, http))
    claim = await store.claim(a_record(unique("ntf")), NOON)
    http.lose = 1
    settled = await store.settle(ended(claim.delivery, "SENT"))
    assert settled is not None
    assert (settled.state, settled.version, len(settled.history)) == ("SENT", 2, 1)


async def test_a_plan_whose_answer_was_lost_is_the_plan(
    settings: Settings, http: ForgetfulHttp, unique: Callable[[str], str]
) -> None:
    http.lose = 1
    plan = a_notification(unique("ntf"))
    assert await NotificationStore(a_dynamo(settings, http)).put_if_absent(plan) == plan
