"""What is gathered, for how long, and what is made of it: the rules of digests."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.caps import Cap, Full
from schemas.digest_content import MOST_BYTES, Tally, default_message, digest_of, variables_of
from schemas.digest_plan import CannotGather, agreed, gathered, over_cap
from schemas.digest_terms import Digest, DigestChoice, Terms, chosen_for, terms_of
from schemas.digests import Gathered, Series, Window, new_window, series_of
from schemas.plan import Notification, Plan, PlannedDelivery
from schemas.preferences import Preferences
from schemas.requests import FallbackStep, NotificationRequest
from schemas.types import NotificationType

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
PINNED = "post.commented@1"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LINE = PlannedDelivery(delivery_id="dlv_1", recipient="ana", channel="email", endpoint="primary", address="ana@x.io")
COMMENTED = NotificationType(name="post.commented", category="social", digest=Digest(window=15 * MINUTE, key="all"))


def a_request(**said: Any) -> NotificationRequest:
    return NotificationRequest.model_validate({"to": "ana", "message": "Hi", "type": "post.commented"} | said)


def a_plan(**said: Any) -> Plan:
    known = {"lines": (LINE,), "type": PINNED, "category": "social", "template": None, "priority": "normal"}
    return Plan.model_validate(known | said)


def a_notification(request: NotificationRequest | None = None, **said: Any) -> Notification:
    return Notification(
        notification_id="ntf_1",
        environment="dev",
        producer="kafka",
        request_id="r-1",
        body_hash="",
        origin="",
        accepted_at=NOON,
        planned_at=NOON,
        request=request or a_request(),
        plan=a_plan(**said),
    )


def a_window(terms: Terms | None = None, *, before: datetime | None = None) -> Window:
    terms = terms or Terms(window=15 * MINUTE)
    event = a_notification()
    return new_window(series_of(event, LINE, terms), LINE, terms, before, NOON, pinned=PINNED, priority="normal")


def an_event(number: int = 0, **said: Any) -> Gathered:
    known = {
        "notification_id": f"ntf_{number}",
        "delivery_id": f"dlv_{number}",
        "accepted_at": NOON + number * MINUTE,
        "title": f"Title {number}",
        "text": f"Text {number}",
    }
    return Gathered.model_validate(known | said)


def a_tally(*events: Gathered, terms: Terms | None = None) -> Tally:
    tally = Tally(a_window(terms), NOON + 15 * MINUTE)
    tally.take(sorted(events, key=lambda event: event.order, reverse=True))
    return tally


def test_a_request_says_what_differs_from_its_type() -> None:
    digest = agreed(a_request(digest={"key": "post-7", "mode": "sliding"}), COMMENTED)
    assert digest == Digest(key="post-7", window=15 * MINUTE, mode="sliding")


@pytest.mark.parametrize("said", [False, None])
def test_a_request_may_say_no(said: bool | None) -> None:
    assert agreed(a_request(digest=said), COMMENTED) is None


def test_a_request_that_says_nothing_follows_its_type() -> None:
    assert agreed(a_request(), COMMENTED) == COMMENTED.digest
    assert agreed(a_request(), NotificationType(name="plain")) is None


def test_a_digest_without_a_window_is_refused_with_its_field() -> None:
    with pytest.raises(CannotGather) as refused:
        agreed(a_request(digest={"key": "post-7"}), NotificationType(name="plain"))
    assert refused.value.pointer == "/digest/window"
    sliding = NotificationType(name="s", digest=Digest(window=MINUTE, mode="sliding", max=HOUR))
    with pytest.raises(CannotGather):
        agreed(a_request(digest={"window": "2h"}), sliding)
    with pytest.raises(ValueError, match="needs a window"):
        NotificationType(name="x", digest=Digest(key="k"))


@pytest.mark.parametrize(
    ("said", "pointer"),
    [({"window": "8d"}, "window"), ({"window": "0s"}, "window"), ({"limit": 51}, "limit"), ({"how": 1}, "how")],
)
def test_nonsense_names_its_field(said: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValueError, match=rf"digest.{pointer}"):
        a_request(digest=said)


@pytest.mark.parametrize("said", [{"mode": "fixed", "max": "1h"}, {"window": "2h", "mode": "sliding", "max": "1h"}, True, 7])
def test_what_contradicts_itself_is_refused(said: Any) -> None:
    with pytest.raises(ValueError, match="digest"):
        a_request(digest=said)


def test_urgent_and_mandatory_wait_for_nothing_whoever_asks() -> None:
    chosen = {"ana": Preferences(version=1, digests=(DigestChoice(level="global", every=HOUR),))}
    for plan, mandatory in ((a_plan(priority="urgent"), ()), (a_plan(), ("social",))):
        assert gathered(plan, plan.lines, plan.priority, COMMENTED.digest, chosen, mandatory) == plan.lines
    [line] = gathered(a_plan(), (LINE,), "normal", COMMENTED.digest, chosen, ("security",))
    assert line.digest == Terms(key="all", window=HOUR)


STEP = FallbackStep(after=MINUTE, channels=("email",))


def test_what_has_a_fallback_goes_by_itself() -> None:
    plan = a_plan(fallback=(STEP,))
    assert gathered(plan, plan.lines, "normal", COMMENTED.digest, {}, ()) == plan.lines
    full = Full("comment", Cap(max=1, window=HOUR, over="digest"), datetime.now(UTC))
    [line] = over_cap(plan, plan.lines, "normal", {"ana": full}, None, ())
    assert (line.digest, line.skipped) == (None, "capped:comment:1/1h")


def test_a_request_cannot_ask_for_both_a_digest_and_a_fallback() -> None:
    both = {"digest": {"window": "1h"}, "channels": ["in_app"], "fallback": [STEP.model_dump(mode="json")]}
    with pytest.raises(CannotGather, match="fallback"):
        agreed(a_request(**both), COMMENTED)
    following = COMMENTED.model_copy(update={"fallback": (STEP,)})
    with pytest.raises(CannotGather, match="fallback"):
        agreed(a_request(digest={"window": "1h"}), following)
    assert agreed(a_request(digest={"window": "1h"}, fallback=[]), following) is not None


def test_what_is_skipped_is_not_gathered_and_a_bare_address_has_no_choices() -> None:
    skipped = LINE.model_copy(update={"skipped": "muted"})
    bare = LINE.model_copy(update={"bare": True})
    chosen = {"ana": Preferences(version=1, digests=(DigestChoice(level="global", every="instant"),))}
    lines = gathered(a_plan(), (skipped, bare), "normal", COMMENTED.digest, chosen, ())
    assert [line.digest and line.digest.window for line in lines] == [None, 15 * MINUTE]


def test_the_finest_choice_decides_and_just_this_channel_comes_first() -> None:
    choices = [
        DigestChoice(level="global", every="instant"),
        DigestChoice(level="category", name="social", every=2 * HOUR),
        DigestChoice(level="type", name="post.commented", every=3 * HOUR),
        DigestChoice(level="type", name="post.commented", channel="email", every=HOUR),
        DigestChoice(level="type", name="post.liked", channel="email", every=MINUTE),
    ]

    def found(category: str, kind: str, channel: str) -> Any:
        choice = chosen_for(choices, {"type": kind, "category": category, "global": ""}, channel)
        return choice and choice.every

    assert found("social", "post.commented", "email") == HOUR
    assert found("social", "post.commented", "in_app") == 3 * HOUR
    assert found("social", "post.shared", "email") == 2 * HOUR
    assert found("orders", "order.shipped", "email") == "instant"
    assert chosen_for(choices[1:], {"type": "a", "category": "b", "global": ""}, "email") is None


def test_a_person_may_want_each_at_once_or_a_window_of_their_own() -> None:
    digest = Digest(window=MINUTE, mode="sliding", key="k", limit=3)
    hourly, instant = DigestChoice(level="global", every=HOUR), DigestChoice(level="global", every="instant")
    assert terms_of(digest, None) == Terms(key="k", window=MINUTE, mode="sliding", max=4 * MINUTE, limit=3)
    assert terms_of(digest, hourly) == Terms(key="k", window=HOUR, limit=3)
    assert terms_of(digest, instant) is None
    offered = Digest(by_choice=True)
    assert terms_of(offered, None) is None
    assert terms_of(offered, hourly) == Terms(window=HOUR)


def test_a_fixed_window_ends_with_its_window_whatever_comes() -> None:
    window = a_window().model_copy(update={"last_at": NOON + 14 * MINUTE})
    assert window.closes_at == NOON + 15 * MINUTE


@given(last=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=2)))
def test_a_sliding_window_waits_for_the_last_event_and_never_beyond_its_maximum(last: timedelta) -> None:
    terms = Terms(window=15 * MINUTE, mode="sliding", max=HOUR)
    closes_at = a_window(terms).model_copy(update={"last_at": NOON + last}).closes_at
    assert closes_at == min(NOON + last + 15 * MINUTE, NOON + HOUR)


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": "test"},
        {"producer": "user:ana"},
        {"recipient": "ben"},
        {"channel": "in_app"},
        {"endpoint": "other"},
        {"type": "post.liked"},
        {"category": "orders"},
        {"topics": ("news",)},
        {"key": "post-8"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_decides_whether_and_where_something_goes_is_part_of_the_series(changes: dict[str, Any]) -> None:
    series = Series(
        environment="dev",
        producer="kafka",
        recipient="ana",
        channel="email",
        endpoint="primary",
        type="post.commented",
        category="social",
        key="post-7",
    )
    assert series.model_copy(update=changes).id != series.id
    assert series.model_copy().id == series.id


def test_a_window_has_an_id_of_its_moment_and_no_request_can_have_it() -> None:
    window = a_window()
    later = new_window(window.series, LINE, window.terms, None, NOON + MINUTE, pinned=PINNED, priority="normal")
    assert window.window_id.startswith("ntf_")
    assert later.window_id != window.window_id
    assert a_window().window_id == window.window_id


def test_late_is_what_was_accepted_before_the_last_digest_was_closed() -> None:
    window = a_window(before=NOON - MINUTE)
    assert window.is_late(NOON - 2 * MINUTE)
    assert not window.is_late(NOON - MINUTE)
    assert not a_window().is_late(NOON - 2 * MINUTE)


def test_the_newest_come_first_and_the_rest_is_counted() -> None:
    tally = a_tally(*(an_event(n) for n in range(7)), terms=Terms(window=HOUR, limit=3, key="post-7"))
    told = tally.told
    assert (told.count, told.more, told.notifications) == (7, 4, ("ntf_6", "ntf_5", "ntf_4"))
    shown = variables_of(tally)
    assert [item["title"] for item in shown["items"]] == ["Title 6", "Title 5", "Title 4"]
    assert (shown["count"], shown["more"], shown["late"], shown["key"]) == (7, 4, 0, "post-7")


def test_without_a_template_the_text_lists_and_counts() -> None:
    message = default_message(
        a_tally(*(an_event(n) for n in range(4)), an_event(4, late=True), terms=Terms(window=HOUR, limit=3))
    )
    assert message.title == "5 new: Title 4"
    assert message.body.splitlines() == [
        "5 new:",
        "• Title 4 (late: from 2026-12-01 12:04 UTC)",
        "• Title 3",
        "• Title 2",
        "…and 2 more",
    ]


def test_what_is_shown_fits_a_row_however_large_the_events_are() -> None:
    large = {"variables": {"text": "x" * 4000}}
    tally = a_tally(*(an_event(n, **large) for n in range(50)), terms=Terms(window=HOUR, limit=50))
    assert tally.count == 50
    assert 0 < len(tally.shown) < 50
    assert len(digest_of(tally, "").model_dump_json()) < 2 * MOST_BYTES


def test_what_expired_while_it_waited_is_not_counted_and_the_last_to_expire_is_the_digests_own_end() -> None:
    tally = Tally(a_window(), NOON + 15 * MINUTE)
    gone = an_event(1, expires_at=NOON + 15 * MINUTE)
    kept = [an_event(2, expires_at=NOON + HOUR), an_event(3, expires_at=NOON + 2 * HOUR)]
    assert tally.take([gone, *kept]) == [gone]
    assert (tally.count, tally.expires_at) == (2, NOON + 2 * HOUR)
    tally.take([an_event(4)])
    tally.take([an_event(5, expires_at=NOON + HOUR)])
    assert tally.expires_at is None


def test_a_digest_is_made_the_same_whenever_it_is_made_and_goes_where_its_events_would_have() -> None:
    events = [an_event(1, address="old@x.io"), an_event(2, address="new@x.io")]
    digest = digest_of(a_tally(*events), "t/0/1")
    assert digest == digest_of(a_tally(*events), "t/0/1")
    [line] = digest.plan.lines
    assert (line.recipient, line.channel, line.endpoint, line.address) == ("ana", "email", "primary", "new@x.io")
    assert (digest.plan.category, digest.plan.type, digest.producer) == ("social", "post.commented@1", "kafka")
    assert line.digest is None
    assert digest.request.digest is False


@pytest.mark.parametrize(
    ("to", "line"),
    [
        ({"topic": "news"}, LINE),
        ({"email": "a@x.io"}, LINE.model_copy(update={"bare": True, "address": "a@x.io"})),
        ({"slack": "ops"}, LINE.model_copy(update={"bare": True, "channel": "slack", "address": "ops"})),
    ],
)
def test_a_digest_names_its_recipient_as_its_events_did(to: dict[str, str], line: PlannedDelivery) -> None:
    event, terms = a_notification(a_request(to=to), lines=(line,)), Terms(window=HOUR)
    window = new_window(series_of(event, line, terms), line, terms, None, NOON, pinned=PINNED, priority="normal")
    tally = Tally(window, NOON + HOUR)
    tally.take([an_event(1), an_event(2)])
    [target] = digest_of(tally, "").request.to
    assert target.model_dump() == to
