"""The whole product in one process and in memory: the real application and its logins, the workers behind a publisher that
hands every record on at once. For what has to be asked of every door; how parts fail is told elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx2
from fastapi import FastAPI
from pydantic import SecretStr

from api.main import create_app
from api.quarantine import Desk
from api.routes import ops_quarantine
from consumers.handlers.preferences import ApplyPreferences
from infrastructure.auth.keyring import Keyring
from infrastructure.channels.vapid import new_private_key
from infrastructure.kafka.entrance import Entrance
from infrastructure.kafka.lag import open_lag_reader
from infrastructure.kafka.lag_watch import LagWatch
from infrastructure.ports import Handler, Outgoing
from infrastructure.redis.live import Announcer
from infrastructure.redis.seen import SeenRequests
from infrastructure.redis.tickets import Tickets
from infrastructure.resources import seal_keys
from schemas.events import Position
from tests.fakes.browsing import FakeLog
from tests.fakes.login import AUDIENCE, BASE_URL, CLIENT_ID, IDENTITY, SECRET, a_world
from tests.fakes.publisher import FakePublisher
from tests.fakes.trouble import FakeMarks, FakeTrouble
from tests.unit.stories import Floor, as_read


class WorkingPublisher(FakePublisher):
    """What is published is worked on before the publisher returns."""

    def __init__(self, floor: Floor) -> None:
        super().__init__()
        self._floor = floor

    async def publish(self, record: Outgoing) -> Position:
        position = await super().publish(record)
        steps: dict[str, Handler] = {
            "requests": self._floor.route,
            "in-app": self._floor.in_app,
            "status": self._floor.persist,
            "digests": self._floor.digest,
            "erasures": self._floor.erase,
            "preferences": ApplyPreferences(
                self._floor.preferences,
                self._floor.announcer,
                self,
                self._floor.timers,
                self._floor.waking,
                self._floor.marks,
            ),
        }
        step = steps.get(record.topic.split(".")[2])
        if step is not None:
            await step.handle(as_read(record, position.offset))
        return position


class SilentWakeups:
    """Nobody has to be woken where everything has happened already."""

    @asynccontextmanager
    async def listen(self, _channel: str) -> AsyncIterator[asyncio.Queue[str]]:
        yield asyncio.Queue()


class House:
    def __init__(self, tmp_path: Path) -> None:
        world = a_world(tmp_path)
        doors = world.app.state.resources
        settings = doors.settings.model_copy(
            update={
                "app_secret_key": SecretStr("k" * 32),
                "api_token": SecretStr("legacy-token"),
                "vapid_private_key": SecretStr(new_private_key()),
                "rate_limit_per_minute": 1_000_000,
            }
        )
        self._network = world.network
        self.floor = Floor()
        self.floor.publisher = WorkingPublisher(self.floor)
        self.keyring: Keyring = doors.keyring
        self.app: FastAPI = create_app(settings)
        self.app.state.resources = SimpleNamespace(
            **{
                **vars(doors),
                "settings": settings,
                "catalogue": self.floor.live,
                "stores": self._stores(),
                "publisher": self.floor.publisher,
                "entrance": Entrance(self.floor.publisher, seal_keys(settings)[0], self.floor.live),
                "redis": world.redis,
                "announcer": Announcer(world.redis),
                "seen": SeenRequests(world.redis, 60),
                "wakeups": SilentWakeups(),
                "tickets": Tickets(world.redis, settings.ticket_ttl_s),
                "lag": LagWatch(lambda: open_lag_reader({})),
            }
        )
        self.app.state.on_login = world.app.state.on_login
        desk = Desk(FakeLog(), FakeMarks(), self.floor.publisher)
        self.app.dependency_overrides[ops_quarantine.the_desk] = lambda: desk

    def _stores(self) -> SimpleNamespace:
        return SimpleNamespace(
            notifications=self.floor.notifications,
            deliveries=self.floor.deliveries,
            inbox=self.floor.inbox,
            timers=self.floor.timers,
            schedules=self.floor.schedules,
            contacts=self.floor.contacts,
            caps=self.floor.caps,
            preferences=self.floor.preferences,
            digests=self.floor.digests,
            types=self.floor.types,
            templates=self.floor.templates,
            devices=self.floor.devices,
            erasures=self.floor.erasures,
            traces=self.floor.traces,
            trouble=FakeTrouble(self.floor.deliveries),
            marks=FakeMarks(),
        )

    @asynccontextmanager
    async def client(self, headers: dict[str, str] | None = None) -> AsyncIterator[httpx2.AsyncClient]:
        """What a crash answers is an answer here, as it is on a server."""
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers) as client:
            yield client

    async def token_of(self, person: str) -> dict[str, str]:
        """The Authorization header of a demo person, whose password is the name."""
        asked = {
            "grant_type": "password",
            "username": person,
            "password": person,
            "client_id": CLIENT_ID,
            "client_secret": SECRET,
            "audience": AUDIENCE,
        }
        async with httpx2.AsyncClient(transport=self._network.inner, base_url=IDENTITY) as provider:
            answer = await provider.post("/oauth/token", data=asked)
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}
