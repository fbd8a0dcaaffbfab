"""Who gets what on which channel, as a pure decision."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import delivery_id, endpoint_of
from schemas.outcomes import Policy
from schemas.plan import Plan
from schemas.planning import MAX_PLANNED, TooManyDeliveries, make_plan
from schemas.recipients import Contact, Recipient, people_named, recipients_of
from schemas.requests import Channel, NotificationRequest
from schemas.types import PLAIN, NotificationType

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
ANA = Contact(person="ana", email="ana@x.io")
ORDER = NotificationType(name="order.shipped", category="orders", channels=("in_app", "email"), priority="urgent")


def a_plan(
    *,
    kind: NotificationType = PLAIN,
    contacts: tuple[Contact, ...] = (),
    policies: dict[Channel, Policy] | None = None,
    **fields: Any,
) -> Plan:
    request = NotificationRequest.model_validate({"to": "ana", "message": "Hi"} | fields)
    recipients = recipients_of(request, {contact.person: contact for contact in contacts})
    return make_plan("ntf_1", request, kind, None, recipients, NOON, policies or {})


def said(plan: Plan) -> list[tuple[str, str, str | None]]:
    return [(line.recipient, line.channel, line.skipped or line.address) for line in plan.lines]


def test_a_person_without_more_said_gets_it_in_the_inbox() -> None:
    assert said(a_plan()) == [("ana", "in_app", None)]


def test_the_type_says_channels_category_and_priority() -> None:
    plan = a_plan(kind=ORDER, contacts=(ANA,))
    assert said(plan) == [("ana", "in_app", None), ("ana", "email", "ana@x.io")]
    assert (plan.type, plan.category, plan.priority) == ("order.shipped@1", "orders", "urgent")


def test_the_request_wins_over_the_type() -> None:
    plan = a_plan(kind=ORDER, contacts=(ANA,), channels=["email"], category="vip", priority="normal")
    assert said(plan) == [("ana", "email", "ana@x.io")]
    assert (plan.category, plan.priority) == ("vip", "normal")


def test_a_person_without_an_address_is_skipped_on_email_with_the_reason() -> None:
    plan = a_plan(kind=ORDER)
    assert said(plan) == [("ana", "in_app", None), ("ana", "email", "no_address")]
    assert [line.channel for line in plan.to_make] == ["in_app"]
    assert [line.channel for line in plan.skips] == ["email"]


def test_an_address_in_the_request_overrides_the_contact_and_is_another_endpoint() -> None:
    [line] = a_plan(contacts=(ANA,), to=[{"user": "ana", "email": "other@x.io"}], channels=["email"]).lines
    assert (line.address, line.endpoint) == ("other@x.io", endpoint_of("other@x.io"))
    assert line.delivery_id == delivery_id("ntf_1", "ana", "email", endpoint_of("other@x.io"))


def test_a_bare_address_and_a_slack_target_are_their_own_channel_whatever_the_type_says() -> None:
    plan = a_plan(kind=ORDER, to=[{"email": "c@x.io"}, {"slack": "ops"}])
    assert [(line.channel, line.address) for line in plan.to_make] == [("email", "c@x.io"), ("slack", "ops")]
    assert "c@x.io" not in plan.lines[0].recipient


def test_channels_are_a_ceiling_for_bare_addresses_too() -> None:
    plan = a_plan(to=["ana", {"email": "c@x.io"}, {"slack": "ops"}], channels=["in_app"])
    assert [line.skipped for line in plan.lines] == [None, "channel_not_asked_for", "channel_not_asked_for"]


def test_a_person_on_slack_without_a_target_is_skipped() -> None:
    assert said(a_plan(channels=["slack"])) == [("ana", "slack", "no_address")]


def test_each_person_counts_once_however_often_they_are_named() -> None:
    to = ["ana", {"user": "ana", "email": "z@x.io"}, {"email": "C@x.io"}, {"email": "c@X.IO"}, {"topic": "news"}]
    plan = a_plan(to=to, channels=["in_app", "email"])
    assert [line.recipient for line in plan.to_make] == ["ana", f"email:{endpoint_of('c@x.io')}"]
    assert len({line.delivery_id for line in plan.lines}) == len(plan.lines)


def test_only_people_named_one_by_one_are_named() -> None:
    request = NotificationRequest.model_validate({"to": ["a", {"topic": "b"}, {"email": "c@x.io"}, "d"], "message": "Hi"})
    assert people_named(request) == ("a", "d")


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_a_plan_has_a_last_line(more: int, refused: bool) -> None:
    recipients = [Recipient(f"p{n}", f"p{n}") for n in range(MAX_PLANNED + more)]
    request = NotificationRequest.model_validate({"to": "ana", "message": "Hi"})
    if refused:
        with pytest.raises(TooManyDeliveries, match=str(MAX_PLANNED)):
            make_plan("ntf_1", request, PLAIN, None, recipients, NOON, {})
    else:
        assert len(make_plan("ntf_1", request, PLAIN, None, recipients, NOON, {}).lines) == MAX_PLANNED


def test_expiry_is_the_requests_own_else_the_types_from_when_it_is_due() -> None:
    kind = PLAIN.model_copy(update={"expires_after": timedelta(hours=1)})
    later = NOON + timedelta(days=1)
    assert a_plan(kind=kind).expires_at == NOON + timedelta(hours=1)
    assert a_plan(kind=kind, send_at=later.isoformat()).expires_at == later + timedelta(hours=1)
    assert a_plan(kind=kind, expires_at=later.isoformat()).expires_at == later
    assert a_plan().expires_at is None


@given(st.lists(st.sampled_from(["ana", "ben", "cleo"]), min_size=1, max_size=9))
def test_the_same_request_always_gives_the_same_plan(people: list[str]) -> None:
    plan = a_plan(to=people, kind=ORDER, contacts=(ANA,))
    assert plan == a_plan(to=people, kind=ORDER, contacts=(ANA,))
    assert len(plan.lines) == 2 * len(set(people))


def test_the_policy_is_the_types_else_the_deployments_else_at_least_once() -> None:
    kind = NotificationType(name="code", channels=("in_app", "email", "slack"), policy={"email": "at_most_once"})
    plan = a_plan(kind=kind, contacts=(ANA,), policies={"email": "at_least_once", "slack": "at_most_once"})
    policies = {line.channel: line.policy for line in plan.lines}
    assert policies == {"in_app": "at_least_once", "email": "at_most_once", "slack": "at_most_once"}
