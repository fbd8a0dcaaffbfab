"""What `data` holds, by operation: the nouns people meet. Every member named here is there; there may be more."""

from typing import Any, get_args

from schemas.deliveries import State
from schemas.live import InboxItem
from schemas.providers import ProviderState
from schemas.recipients import Contact
from schemas.topics import Environment

Node = dict[str, Any]

TEXT: Node = {"type": "string"}
NUMBER: Node = {"type": "integer"}
MOMENT: Node = {"type": "string", "format": "date-time"}
COUNTS: Node = {"type": "object", "additionalProperties": NUMBER, "description": "Deliveries by state"}
ENVIRONMENT: Node = {"enum": list(get_args(Environment))}


def _or_null(schema: Node) -> Node:
    return {"anyOf": [schema, {"type": "null"}]}


def _holding(**members: Node) -> Node:
    return {"type": "object", "required": list(members), "properties": members}


def _list_of(schema: Node) -> Node:
    return {"type": "array", "items": schema}


def _named(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


def _item() -> Node:
    """The inbox item as its reader sees it: whose it is goes without saying."""
    schema = InboxItem.model_json_schema(mode="serialization")
    schema["properties"].pop("person")
    schema["required"] = [name for name in schema["required"] if name != "person"]
    return schema


_POSITION = _holding(topic=TEXT, partition=NUMBER, offset=NUMBER)
_KEY = _holding(
    key_id=TEXT,
    environment=ENVIRONMENT,
    producer=TEXT,
    name=TEXT,
    permissions=_list_of(TEXT),
    limit_per_minute=NUMBER,
    created_at=MOMENT,
    created_by=TEXT,
    expires_at=_or_null(MOMENT),
    revoked_at=_or_null(MOMENT),
    last_used_at=_or_null(MOMENT),
    state={"enum": ["live", "expired", "revoked"]},
    secrets=_list_of(_holding(created_at=MOMENT, until=_or_null(MOMENT))),
)
_GROUP = _holding(
    group=TEXT,
    state=TEXT,
    status=TEXT,
    rule=TEXT,
    lag=_or_null(NUMBER),
    lag_s=_or_null({"type": "number"}),
    eta_s=_or_null({"type": "number"}),
    members=_list_of(TEXT),
    partitions_total=NUMBER,
)

NOUNS: dict[str, Node] = {
    "Accepted": _holding(
        notification_id=TEXT, request_id=TEXT, environment=ENVIRONMENT, status={"const": "ACCEPTED"}, position=_POSITION
    ),
    "NotificationDelivery": _holding(
        delivery_id=TEXT,
        recipient=TEXT,
        channel=TEXT,
        state={"enum": list(get_args(State))},
        attempt=NUMBER,
        reason=_or_null(TEXT),
        answer=_or_null(TEXT),
        next_at=_or_null(MOMENT),
        updated_at=_or_null(MOMENT),
    ),
    "NotificationStatus": _holding(
        notification_id=TEXT,
        request_id=TEXT,
        environment=ENVIRONMENT,
        producer=TEXT,
        status={"enum": ["ACCEPTED", "SCHEDULED", "DELIVERING", "SETTLED", "CANCELLED", "REJECTED", "EMPTY"]},
        counts=COUNTS,
        deliveries=_list_of(_named("NotificationDelivery")),
    ),
    "InboxItem": _item(),
    "Contact": Contact.model_json_schema(mode="serialization"),
    "ApiKey": _KEY,
    "ConsumerGroup": _GROUP,
}

_UNREAD = _holding(unread=NUMBER)
# what is sent at once is Accepted; what was waited for, or taken back, says more
_SENT = _holding(notification_id=TEXT, request_id=TEXT, environment=ENVIRONMENT, status=TEXT)
_VERDICT = _holding(
    index=NUMBER,
    status=NUMBER,
    data=_or_null(_named("Accepted")),
    replayed={"type": "boolean"},
    error=_or_null(_named("Problem")),
)

DATA: dict[str, Node] = {
    "me": _holding(id=TEXT, kind={"enum": ["person", "machine"]}, name=TEXT, email=TEXT, permissions=_list_of(TEXT)),
    "send": _SENT,
    "sendTest": _named("Accepted"),
    "sendBatch": _holding(items=_list_of(_VERDICT)),
    "getNotification": _named("NotificationStatus"),
    "getTimeline": _holding(notification_id=TEXT, events=_list_of(_holding(event=TEXT, at=MOMENT))),
    "cancelNotification": _SENT,
    "listInbox": _list_of(_named("InboxItem")),
    "countUnread": _UNREAD,
    "markRead": _UNREAD,
    "markClicked": _UNREAD,
    "archiveItem": _UNREAD,
    "unarchiveItem": _UNREAD,
    "deleteItem": _UNREAD,
    "markSeen": _holding(seen=NUMBER),
    "markAllRead": _holding(read=NUMBER, unread=NUMBER),
    "createTicket": _holding(ticket=TEXT, environment=ENVIRONMENT, expires_in_s=NUMBER),
    "getPerson": _named("Contact"),
    "changePerson": _named("Contact"),
    "listSubscriptions": _list_of(_holding(topic=TEXT, since=MOMENT)),
    "listKeys": _list_of(_named("ApiKey")),
    "getKey": _named("ApiKey"),
    "revokeKey": _named("ApiKey"),
    "createKey": {"allOf": [_named("ApiKey"), _holding(key=TEXT)]},
    "rotateKey": {"allOf": [_named("ApiKey"), _holding(key=TEXT)]},
    "listGroups": _list_of(_named("ConsumerGroup")),
    "getGroup": {"allOf": [_named("ConsumerGroup"), _holding(partitions=_list_of({"type": "object"}))]},
    "listKafkaTopics": _list_of(
        _holding(
            name=TEXT,
            key=TEXT,
            retention_ms=NUMBER,
            exists={"type": "boolean"},
            records=NUMBER,
            partitions=_list_of(_holding(partition=NUMBER, start=NUMBER, end=NUMBER)),
        )
    ),
    "listProviders": _list_of(
        _holding(
            channel=TEXT,
            provider=TEXT,
            state={"enum": list(get_args(ProviderState))},
            workers=_list_of(_holding(worker=TEXT, at=MOMENT, state=TEXT, failures=NUMBER, resting=NUMBER)),
        )
    ),
    "listStreams": _list_of(_holding(stream=TEXT, length=NUMBER, pending=NUMBER)),
}


def answer_of(operation_id: str) -> Node:
    """The envelope, with what this operation puts into it where that is known."""
    envelope = _named("Envelope")
    data = DATA.get(operation_id)
    return {"allOf": [envelope, {"type": "object", "properties": {"data": data}}]} if data else envelope
