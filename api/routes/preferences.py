"""One's own preferences. No permission is needed, and nobody else's can be named."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from api.audiences import rows_shown
from api.auth import CurrentUser
from api.dependencies import House, InEnvironment
from api.envelope import ok
from api.if_match import IfMatch, expected_version
from api.preferences import Changing, pending
from api.problems import Problem
from api.wiring import ApiResources
from schemas.digest_plan import terms_for
from schemas.digest_terms import Digest
from schemas.plan import Notification, PlannedDelivery, about
from schemas.preference_changes import Change
from schemas.preference_requests import PreferencesIn, PreferencesPatch
from schemas.preferences import About, Preferences, Situation, explain, held_until, refusal
from schemas.requests import CHANNELS, Channel, Slug
from schemas.topics import Environment, Priority

router = APIRouter(prefix="/api/v1/preferences", tags=["preferences"])


def effective(
    house: ApiResources, categories: Collection[str], chosen: Preferences, now: datetime
) -> dict[str, dict[str, bool]]:
    """The whole matrix as it works out: every known category on every channel, without type and topic choices."""
    mandatory = house.settings.mandatory_categories
    known = {*categories, "general", *mandatory}
    known |= {choice.name for choice in chosen.choices if choice.level == "category"}
    return {
        category: {
            channel: refusal(Situation(chosen, About(channel=channel, category=category), mandatory, now)) is None
            for channel in CHANNELS
        }
        for category in sorted(known)
    }


async def _shown(house: ApiResources, environment: Environment, person: str, response: Response) -> dict[str, Any]:
    chosen = await house.stores.preferences.get(environment, person)
    response.headers["ETag"] = f'"{chosen.version}"'
    response.headers["Cache-Control"] = "no-store"
    meta = {
        "version": chosen.version,
        "mandatory": house.settings.mandatory_categories,
        "effective": effective(house, await house.catalogue.categories(environment), chosen, datetime.now(UTC)),
    }
    return ok(chosen.model_dump(mode="json", exclude={"version"}), meta=meta)


async def _change(
    house: ApiResources, environment: Environment, person: str, response: Response, change: Change, expected: int | None
) -> dict[str, Any]:
    change_id, verdict = await Changing(house, environment, person).change(change, expected)
    if verdict is None:
        response.status_code = 202
        return ok(pending(change_id), "Accepted: it will be carried out before long. Read your preferences to see it.")
    return await _shown(house, environment, person, response)


@router.get("", operation_id="getPreferences")
async def get(user: CurrentUser, house: House, environment: InEnvironment, response: Response) -> dict[str, Any]:
    """What one has chosen, as PUT takes it back; `meta.effective` is the whole matrix as it works out."""
    return await _shown(house, environment, user.id, response)


@router.put("", operation_id="replacePreferences")
async def put(
    body: PreferencesIn,
    user: CurrentUser,
    house: House,
    environment: InEnvironment,
    response: Response,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Replaces the whole. 412 when it was changed since that ETag, 428 without If-Match, 202 when it takes longer."""
    if if_match is None:
        detail = "Say with If-Match which version this replaces: the ETag of the last GET, or * for any."
        raise Problem(428, "Precondition required", detail)
    return await _change(house, environment, user.id, response, body.change(), expected_version(if_match))


@router.patch("", operation_id="changePreferences")
async def patch(
    body: PreferencesPatch,
    user: CurrentUser,
    house: House,
    environment: InEnvironment,
    response: Response,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Single switches, mute, quiet hours or zone; everything else stays. If-Match is optional: nothing is overwritten."""
    return await _change(house, environment, user.id, response, body.change(), expected_version(if_match))


@router.get("/explain", operation_id="explainPreferences")
async def explained(
    user: CurrentUser,
    house: House,
    environment: InEnvironment,
    notification_id: Annotated[str | None, Query(pattern=r"^ntf_[a-z2-7]{26}$")] = None,
    channel: Annotated[Channel | None, Query()] = None,
    category: Annotated[Slug | None, Query()] = None,
    type: Annotated[Slug | None, Query()] = None,  # noqa: A002  # pylint: disable=redefined-builtin
    topic: Annotated[list[Slug] | None, Query(max_length=20)] = None,
    priority: Annotated[Priority, Query()] = "normal",
) -> dict[str, Any]:
    """Why did I (not) get this: every rule with what it says, for a past notification or one that might come."""
    chosen = await house.stores.preferences.get(environment, user.id)
    if notification_id is not None:
        return ok(await _past(house, environment, notification_id, user.id, chosen))
    if channel is None:
        raise Problem(422, "Invalid request", "Give notification_id, or channel with category, type, topic, priority.")
    kind = await house.catalogue.type_now(environment, type) if type else None
    asked = About(
        channel=channel,
        category=category or (kind.category if kind else "general"),
        type=type or "",
        topics=tuple(topic or ()),
        urgent=priority == "urgent",
    )
    digest = _gathered(house, chosen, asked, kind.digest if kind else None)
    return ok(_rules(house, chosen, asked, "") | {"about": asked.model_dump(), "digest": digest})


def _gathered(house: ApiResources, chosen: Preferences, asked: About, digest: Digest | None) -> dict[str, Any] | None:
    """The digest of the type as this person has it; None when each comes at once."""
    if digest is None or asked.urgent or asked.category in house.settings.mandatory_categories:
        return None
    terms = terms_for(digest, chosen, asked.type, asked.category, asked.channel)
    return terms.model_dump(mode="json", include={"window", "mode", "max"}) if terms else None


def _rules(house: ApiResources, chosen: Preferences, asked: About, delivery_id: str) -> dict[str, Any]:
    at = Situation(chosen, asked, house.settings.mandatory_categories, datetime.now(UTC))
    reason = refusal(at)
    held = held_until(at, delivery_id) if asked.channel != "in_app" else None
    decision: Literal["deliver", "skip", "hold"] = "skip" if reason else "hold" if held else "deliver"
    return {
        "decision": decision,
        "reason": reason,
        "held_until": held if decision == "hold" else None,
        "preferences_version": chosen.version,
        "rules": [each.model_dump(mode="json") for each in explain(at)],
    }


async def _past(
    house: ApiResources, environment: Environment, notification_id: str, person: str, chosen: Preferences
) -> dict[str, Any]:
    """What was decided, by the plan or the ledger; and beside it what the rules say now."""
    notification = await house.stores.notifications.get(environment, notification_id)
    shown, found = await rows_shown(house.stores, notification, person) if notification else ((), [])
    lines = [line for line in shown if line.recipient == person]
    if notification is None or not lines:
        raise Problem(404, "Not found", "No notification to you has this id.", type="not_known_yet")
    rows = {row.delivery_id: row for row in found}

    def one(line: PlannedDelivery, of: Notification) -> dict[str, Any]:
        row = rows.get(line.delivery_id)
        return {
            "delivery_id": line.delivery_id,
            "channel": line.channel,
            "state": row.state if row else "SKIPPED" if line.skipped else "PENDING",
            "reason": row.reason if row else line.skipped,
            "decided_by": "plan" if line.skipped else "ledger" if row else None,
            "planned_with_version": line.chosen,
            "now": _rules(house, chosen, about(of.request, of.plan, line), line.delivery_id),
        }

    return {"notification_id": notification_id, "deliveries": [one(line, notification) for line in lines]}
