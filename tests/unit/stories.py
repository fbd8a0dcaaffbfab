"""What the stories about handlers start from: a request as Kafka holds it, the workers, everything in memory."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from fakeredis import FakeAsyncRedis, FakeServer

from consumers.arrivals import Arrivals
from consumers.cancelling import Canceller
from consumers.capping import Capping
from consumers.choices import Choices, Links
from consumers.clocks import Clocks
from consumers.collapsing import Collapsing
from consumers.dispatch import Dispatcher
from consumers.following import Following
from consumers.forgetting import History
from consumers.gathering import Gathering
from consumers.handing_out import HandingOut
from consumers.handlers.content import Wording
from consumers.handlers.deliver import Shared
from consumers.handlers.deliver_external import DeliverExternal
from consumers.handlers.deliver_in_app import DeliverInApp
from consumers.handlers.digest import CloseDigests
from consumers.handlers.erase import Erase
from consumers.handlers.expand import Expand
from consumers.handlers.persist import Persist
from consumers.handlers.route import Route
from consumers.holding import Holding
from consumers.leases import Leases
from consumers.lines import Lines
from consumers.parts import Parts
from consumers.planning import Planner
from consumers.provider_line import Limits
from consumers.quotas import QuotaRules, Quotas
from consumers.reachability import Reachability
from consumers.rescheduling import Rescheduler
from consumers.retracing import Retracing
from consumers.schedules import Schedules
from consumers.setting_aside import SettingAside
from consumers.taking_out import TakingOut
from consumers.unscheduling import Unscheduling
from consumers.waits import Waits
from consumers.waking import Waking
from infrastructure.auth.box import EncryptedBox
from infrastructure.auth.ending import Ending
from infrastructure.auth.sessions import SessionStore
from infrastructure.erasing import Marks, Pseudonyms
from infrastructure.kafka.reporting import Reporter
from infrastructure.live_catalogue import LiveCatalogue
from infrastructure.ports import Outgoing, Received
from schemas.breaker import BreakerRules
from schemas.caps import Cap
from schemas.catalogue import Catalogue
from schemas.deliveries import Delivery, DeliveryRecord
from schemas.digest_terms import Digest
from schemas.outcomes import CannotTell, Policy, ReadBack
from schemas.plan import Notification
from schemas.recipients import Contact
from schemas.requests import Channel
from schemas.retries import RetrySchedule
from schemas.templates import Template
from schemas.types import NotificationType
from tests.fakes.announcer import FakeAnnouncer
from tests.fakes.backlog import FakeBacklog
from tests.fakes.devices import FakeDevices
from tests.fakes.digests import FakeDigests
from tests.fakes.erasures import FakeErasures
from tests.fakes.limiter import FakeLimiter
from tests.fakes.people import FakeForgetting, FakeForgettingDigests, FakeTraces
from tests.fakes.preferences import FakePreferences
from tests.fakes.provider import RecordingProvider
from tests.fakes.publisher import FakePublisher
from tests.fakes.stores import (
    FakeCaps,
    FakeContacts,
    FakeDeliveries,
    FakeExpansions,
    FakeInbox,
    FakeNotifications,
    FakePointers,
    FakeSchedules,
    FakeTimers,
    Outage,
)
from tests.fakes.versions import FakeVersions

KEY = b"k" * 32
REQUESTS = "notifications.dev.requests"
LONGEST = timedelta(hours=72)
LEASE = timedelta(seconds=45)
SCHEDULE = RetrySchedule((timedelta(seconds=5), timedelta(seconds=30)), timedelta(hours=1))
CATALOGUE = Catalogue.of(
    [
        NotificationType(name="order.shipped", template="order-shipped", channels=("in_app", "email")),
        NotificationType(name="empty"),
        NotificationType(name="news.item", category="news", digest=Digest(by_choice=True)),
        NotificationType(name="alarm", priority="urgent"),
        NotificationType(name="nudge", caps=(Cap(max=2, window=timedelta(hours=1)),), channels=("in_app", "email")),
    ],
    [Template(name="order-shipped", title="Order {{ order }}", body="Order {{ order }} is on its way.")],
)


def now() -> datetime:
    return datetime.now(UTC)


def a_request(body: dict[str, Any] | bytes | None = None, *, offset: int = 0, topic: str = REQUESTS) -> Received:
    """A raw record; the same request id unless the body says otherwise."""
    if not isinstance(body, bytes):
        body = json.dumps({"to": "ana", "message": "Hi", "request_id": "r-1"} | (body or {})).encode()
    return Received(topic, 0, offset, int(now().timestamp() * 1000), b"ana", body, ())


def as_read(sent: Outgoing, offset: int = 0) -> Received:
    """A record we produced, as its reader gets it."""
    key = sent.key.encode() if isinstance(sent.key, str) else sent.key
    headers = tuple((name, text.encode() if isinstance(text, str) else text) for name, text in sent.headers.items())
    return Received(sent.topic, 0, offset, int(now().timestamp() * 1000), key, sent.value, headers)


class Looking(Dispatcher):
    """Answers looks from a script, if it has one; without one its provider offers none."""

    def __init__(self, provider: RecordingProvider, timeout_s: float, looks: list[ReadBack]) -> None:
        super().__init__([provider], limits(timeout_s=timeout_s), {})
        self.looks = looks

    @property
    def reads_back(self) -> bool:
        return bool(self.looks)

    async def look(self, delivery: DeliveryRecord, address: str, since: datetime) -> ReadBack:
        return self.looks.pop(0) if self.looks else CannotTell()


def limits(**changes: Any) -> Limits:
    known = Limits(
        timeout_s=5.0,
        attempt_s=LEASE.total_seconds() / 2,
        breaker=BreakerRules(failures=5, open_s=30.0),
        out_s=3600.0,
        destination_in_flight=8,
        longest_rest_s=3600.0,
    )
    return replace(known, **changes)


class Floor:
    """One deployment in memory."""

    def __init__(self, *script: Any) -> None:
        self.outage = Outage()
        self.publisher = FakePublisher()
        self.notifications = FakeNotifications(self.outage)
        self.deliveries = FakeDeliveries(self.outage)
        self.inbox = FakeInbox(self.outage)
        self.timers = FakeTimers(self.outage)
        self.schedules = FakeSchedules(self.outage)
        self.contacts = FakeContacts(self.outage)
        self.devices = FakeDevices(self.outage)
        self.caps = FakeCaps(self.outage)
        self.person_caps: tuple[Cap, ...] = ()
        self.preferences = FakePreferences(self.outage)
        self.erasures = FakeErasures(self.outage)
        self.marks = Marks(self.erasures, Pseudonyms(KEY.decode()))
        self.choices = Choices(self.preferences, ("security",), Links("https://notify.example.com", KEY), self.marks)
        self.digests = FakeDigests(self.deliveries, self.outage)
        self.pointers = FakePointers(self.outage)
        self.following = Following(self.timers, self.deliveries, self.inbox, self.pointers)
        self.expansions = FakeExpansions(self.outage)
        self.backlog = FakeBacklog()
        self.limiter = FakeLimiter(lambda: self.monotonic_s)
        self.quota_rules = QuotaRules(per_minute=60_000, urgent_per_minute=6_000, own={}, mandatory=("security",))
        self.announcer = FakeAnnouncer()
        self.channel = RecordingProvider(*script)
        self.looks: list[ReadBack] = []
        self.policies: dict[Channel, Policy] = {}
        redis = FakeAsyncRedis(server=FakeServer())
        self.sessions = SessionStore(redis, EncryptedBox(KEY.decode()), 3600)
        self.ending = Ending(redis, self.sessions)
        self.sweeps_s = (60.0, 3600.0)
        self.monotonic_s = 0.0
        self.leases = Leases(LEASE, clock=lambda: self.monotonic_s)
        self.catalogue = CATALOGUE
        self.types: FakeVersions[NotificationType] = FakeVersions(self.outage, "types")
        self.templates: FakeVersions[Template] = FakeVersions(self.outage, "templates")

    @property
    def live(self) -> LiveCatalogue:
        """What was saved over the API on top of `catalogue`; with an empty cache, as somebody who has just started."""
        return LiveCatalogue(self.catalogue, self.types, self.templates, clock=lambda: self.monotonic_s)

    @property
    def wording(self) -> Wording:
        return Wording(self.live, self.contacts)

    def a_lease_passes(self) -> None:
        """On the worker's own clock."""
        self.monotonic_s += LEASE.total_seconds()

    @property
    def route(self) -> Route:
        reporter = Reporter(self.publisher, "route")
        return Route(
            Arrivals((KEY,), ()),
            self.notifications,
            self.planner,
            self.canceller(reporter),
            self.scheduled,
            self.rescheduler(reporter),
            self.collapsing(reporter),
            self.timers,
            self.publisher,
            reporter,
            self.gathering(reporter),
            SettingAside(self.publisher, KEY),
        )

    @property
    def planner(self) -> Planner:
        return Planner(
            self.live,
            self.contacts,
            self.capping,
            self.policies,
            self.choices,
            self.quotas,
            self.clocks,
            self.devices,
        )

    def rescheduler(self, reporter: Reporter) -> Rescheduler:
        holding = Holding(self.deliveries, self.timers)
        return Rescheduler(
            self.notifications,
            self.scheduled,
            self.deliveries,
            self.inbox,
            holding,
            self.clocks,
            self.announcer,
            reporter,
        )

    def canceller(self, reporter: Reporter) -> Canceller:
        taking_out = TakingOut(self.digests, self.deliveries)
        return Canceller(self.notifications, self.deliveries, self.inbox, self.announcer, reporter, taking_out)

    def gathering(self, reporter: Reporter) -> Gathering:
        return Gathering(self.digests, self.notifications, self.deliveries, self.timers, self.wording, self.clocks, reporter)

    @property
    def digest(self) -> CloseDigests:
        reporter = Reporter(self.publisher, "digest")
        return CloseDigests(
            self.digests,
            self.notifications,
            self.timers,
            self.choices,
            HandingOut(self.notifications, self.collapsing(reporter), self.publisher, reporter, self.gathering(reporter)),
            self.publisher,
            reporter,
        )

    def collapsing(self, reporter: Reporter) -> Collapsing:
        taking_out = TakingOut(self.digests, self.deliveries)
        return Collapsing(
            self.pointers, self.notifications, self.deliveries, self.inbox, self.announcer, reporter, taking_out
        )

    @property
    def scheduled(self) -> Schedules:
        return Schedules(self.notifications, self.schedules, self.timers)

    @property
    def clocks(self) -> Clocks:
        return Clocks(self.contacts, self.choices, "UTC")

    @property
    def waking(self) -> Waking:
        return Waking(self.notifications, self.deliveries, self.timers)

    @property
    def capping(self) -> Capping:
        return Capping(self.caps, self.live, self.choices, self.person_caps)

    @property
    def waits(self) -> Waits:
        return Waits(self.clocks, self.choices, self.capping, self.notifications, self.timers)

    @property
    def traces(self) -> FakeTraces:
        return FakeTraces(self.deliveries, self.inbox, self.contacts, self.caps, self.preferences)

    @property
    def erase(self) -> Erase:
        reporter = Reporter(self.publisher, "erase")
        forgetting = FakeForgetting(self.notifications, self.deliveries, self.expansions)
        digests = FakeForgettingDigests(self.digests)
        history = History(self.traces, forgetting, digests, self.notifications, self.timers, reporter)
        unscheduling = Unscheduling(self.schedules, self.notifications, self.timers, reporter, KEY)
        parts = Parts(self.traces, self.devices, history, unscheduling, self.ending)
        pseudonyms = Pseudonyms(KEY.decode())
        return Erase(self.erasures, pseudonyms, parts, self.timers, self.announcer, self.publisher, self.sweeps_s)

    def shared(self, worker: str) -> Shared:
        reporter = Reporter(self.publisher, worker)
        return Shared(
            notifications=self.notifications,
            wording=self.wording,
            publisher=self.publisher,
            reporter=reporter,
            longest=LONGEST,
            lines=Lines(self.contacts, self.devices),
            choices=self.choices,
            waits=self.waits,
            following=self.following,
            gathering=self.gathering(reporter),
        )

    @property
    def in_app(self) -> DeliverInApp:
        holding = Holding(self.deliveries, self.timers)
        return DeliverInApp(self.shared("deliver.in_app"), holding, self.inbox, self.announcer)

    def external(self, *, provider_timeout_s: float = 5.0, schedule: RetrySchedule = SCHEDULE) -> DeliverExternal:
        return DeliverExternal(
            self.shared("deliver.email"),
            Looking(self.channel, provider_timeout_s, self.looks),
            self.deliveries,
            self.timers,
            schedule,
            self.leases,
            Reachability(self.devices, self.contacts),
        )

    @cached_property
    def quotas(self) -> Quotas:
        return Quotas(self.limiter, self.quota_rules, clock=lambda: self.monotonic_s)

    @property
    def expand(self) -> Expand:
        reporter = Reporter(self.publisher, "expand")
        return Expand(
            self.notifications,
            self.expansions,
            self.contacts,
            self.deliveries,
            self.timers,
            self.planner,
            Retracing(self.contacts, self.deliveries, self.canceller(reporter), self.rescheduler(reporter)),
            self.gathering(reporter),
            self.collapsing(reporter),
            self.publisher,
            reporter,
            self.backlog,
            LONGEST,
            10.0,
        )

    async def walks(self) -> None:
        """Every shard of the audience that route handed over, one after the other."""
        for record in self.handed_out("expand"):
            await self.expand.handle(record)

    @property
    def persist(self) -> Persist:
        reporter = Reporter(self.publisher, "persist")
        return Persist(
            self.notifications, self.expansions, self.deliveries, self.timers, self.announcer, self.publisher, reporter
        )

    async def knows(self, person: str, email: str) -> None:
        await self.contacts.learn("dev", Contact(person=person, email=email, email_verified=True))

    def handed_out(self, channel: str = "email") -> list[Received]:
        return [as_read(sent) for sent in self.publisher.on(f"notifications.dev.{channel}")]

    def events(self) -> list[str]:
        return [each["event"] for each in self.publisher.values_on("notifications.dev.status")]

    def receipts(self) -> list[dict[str, Any]]:
        return self.publisher.values_on("notifications.dev.receipts")

    def dead_letters(self) -> list[Outgoing]:
        return self.publisher.on("notifications.dev.dlq")

    def quarantined(self) -> list[tuple[bytes | None, str | bytes]]:
        return [(sent.value, sent.headers["x-dlq-reason"]) for sent in self.publisher.on("notifications.dev.quarantine")]

    def due_next(self) -> Received:
        """The one timer that waits, as schedule will put it back."""
        [timer] = self.timers.timers.values()
        return as_read(Outgoing(timer.topic, timer.key, timer.value.encode(), timer.headers))

    @property
    def notification(self) -> Notification:
        [found] = self.notifications.rows.values()
        return found

    def expires(self) -> None:
        """The deadline passes after the plan was handed out."""
        [key] = self.notifications.rows
        plan = self.notification.plan.model_copy(update={"expires_at": now() - timedelta(seconds=1)})
        self.notifications.rows[key] = self.notification.model_copy(update={"plan": plan})

    async def cancelled(self) -> None:
        """The mark alone, before anybody has asked the deliveries."""
        await self.notifications.cancel("dev", self.notification.notification_id, now())

    @property
    def is_routed(self) -> bool:
        return (self.notification.environment, self.notification.notification_id) in self.notifications.routed

    @property
    def row(self) -> Delivery:
        [found] = self.deliveries.rows.values()
        return found


async def a_routed_email(
    *script: Any, body: dict[str, Any] | None = None, policy: Policy = "at_least_once"
) -> tuple[Floor, Received]:
    """A floor where one e-mail delivery has been handed out, and its record."""
    floor = Floor(*script)
    floor.policies = {"email": policy}
    await floor.knows("ana", "ana@x.io")
    await floor.route.handle(a_request({"channels": ["email"]} | (body or {})))
    [record] = floor.handed_out()
    return floor, record
