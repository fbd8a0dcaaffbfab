"""What clients of the older services send, said as our request. A mapping decides about shape alone; rules come later."""

from collections.abc import Mapping
from typing import Any

from schemas.requests import CHANNELS, MAX_REQUEST_BYTES, CancelRequest, NotificationRequest, read_object
from schemas.topics import ENVIRONMENTS

SLACK_TARGET = "default"
LOW_STOCK = "inventory.low-stock"
LOW_STOCK_STREAM = "inventory:low-stock:stream"
LOW_STOCK_CHANNEL = "inventory:low-stock"
URGENT_FROM = 8  # of 10, the gateway's scale
_OWN_IDS = ("request_id", "event_id", "id")
_WRAPPERS = ("data", "payload", "message")


class LegacyField(ValueError):
    """A field of an older interface that cannot be understood; `pointer` is a JSON pointer (RFC 6901)."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail


def from_publish(message: str) -> dict[str, Any]:
    """`POST /publish/{env}?message=M` and the stream field `message`: text for the default Slack target."""
    return {"to": [{"slack": SLACK_TARGET}], "message": message}


def from_gateway(body: Mapping[str, Any]) -> dict[str, Any]:
    """The gateway's body, known by `notification_type`; fields we share with it keep their names.

    A message of its queues is the same with the gateway's `notification_id`, which is its request id when it has no other.
    """
    request = {name: value for name, value in body.items() if name not in _GATEWAY_FIELDS}
    for taken in ("to", "channels", "template"):
        if taken in request:
            raise LegacyField(
                f"/{taken}", "belongs to the newer form; a body with notification_type says it in its own fields"
            )
    channel = _text(body, "notification_type")
    if channel not in CHANNELS:
        raise LegacyField("/notification_type", f"not a channel here; known are {', '.join(CHANNELS)}")
    request |= {"to": [{"user": _text(body, "user_id")}], "channels": [channel]}
    if body.get("template_code") is not None:
        request["template"] = _text(body, "template_code")
    if body.get("priority") is not None:
        request |= _gateway_priority(body["priority"])
    if body.get("notification_id") is not None and request.get("request_id") is None:
        request["request_id"] = _text(body, "notification_id")
    return request


_GATEWAY_FIELDS = {"notification_type", "user_id", "template_code", "priority", "notification_id"}


def _gateway_priority(priority: Any) -> dict[str, str]:
    if isinstance(priority, str):
        return {"priority": priority}
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= 10:
        raise LegacyField("/priority", "an integer from 0 to 10 is expected")
    return {"priority": "urgent"} if priority >= URGENT_FROM else {}


def from_realtime(body: Mapping[str, Any]) -> dict[str, Any]:
    """The WebSocket service's body: people, topics and everybody, in their inboxes."""
    request = {name: value for name, value in body.items() if name not in _REALTIME_FIELDS}
    if "to" in request:
        raise LegacyField("/to", "belongs to the newer form; this body names people in recipient_ids")
    targets: list[dict[str, Any]] = [{"user": name} for name in _names(body, "recipient_ids")]
    targets += [{"topic": name} for name in _names(body, "topics")]
    broadcast = body.get("broadcast")
    if not isinstance(broadcast, bool | None):
        raise LegacyField("/broadcast", "true or false is expected")
    if broadcast:
        targets.append({"all": True})
    if not targets:
        raise LegacyField("/recipient_ids", "nobody is named: give recipient_ids, topics or broadcast")
    return request | {"to": targets, "channels": ["in_app"], "message": _text(body, "message")}


_REALTIME_FIELDS = {"recipient_ids", "topics", "broadcast", "message"}


def from_any(body: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object in whatever form a client knows: each older one is told by a field of its own."""
    if "notification_type" in body:
        return from_gateway(body)
    if not _REALTIME_FIELDS.isdisjoint(body.keys() - {"message"}):
        return from_realtime(body)
    return dict(body)


def from_stream(fields: Mapping[str, str]) -> NotificationRequest | CancelRequest:
    """An entry of `notifications:{env}`: its `message`, or a whole request as JSON in `data` or `payload`."""
    _refuse_oversized(fields)
    wrapper = next((name for name in ("data", "payload") if name in fields), None)
    if "message" in fields:
        body = from_publish(fields["message"])
        sources: tuple[Mapping[str, Any], ...] = (fields,)
    elif wrapper is not None:
        wrapped = _object(f"/{wrapper}", fields[wrapper])
        if "cancel" in wrapped:
            return CancelRequest.model_validate(wrapped)
        body = _wrapped({name: value for name, value in wrapped.items() if name not in _OWN_IDS})
        sources = (fields, wrapped)
    else:
        raise LegacyField("/message", "an entry has a field message, or a request as JSON in data or payload")
    if "environment" in fields:
        body["environment"] = fields["environment"]
    return NotificationRequest.model_validate(body | _own_id(*sources))


def _wrapped(body: Mapping[str, Any]) -> dict[str, Any]:
    """Only in this service's own stream does a message without recipients mean Slack; elsewhere it names nobody."""
    return from_publish(body["message"]) if body.keys() == {"message"} else from_any(body)


def from_low_stock(fields: Mapping[str, Any]) -> NotificationRequest:
    """What the inventory service says, flat or wrapped as JSON: the fields become the variables of one type."""
    if not fields:
        raise LegacyField("", "the entry is empty")
    _refuse_oversized(fields)
    variables = dict(fields)
    wrapper = next((name for name in _WRAPPERS if _is_object(fields.get(name))), None)
    if wrapper is not None:
        variables |= _object(f"/{wrapper}", variables.pop(wrapper))
    body: dict[str, Any] = {"type": LOW_STOCK, "to": [{"topic": LOW_STOCK}]} | _own_id(variables)
    if variables.get("environment") in ENVIRONMENTS:
        body["environment"] = variables.pop("environment")
    # `id` stays a variable: an inventory service may well mean the product by it
    body["variables"] = {name: value for name, value in variables.items() if name not in ("request_id", "event_id")}
    return NotificationRequest.model_validate(body)


def read_low_stock(payload: bytes) -> NotificationRequest:
    """A message of the pub/sub channel: the same fields as one JSON object."""
    return from_low_stock(read_object(payload))


def _own_id(*sources: Mapping[str, Any]) -> dict[str, str]:
    """The id an event carries itself: `request_id`, else `event_id`, else `id`; nothing when it has none."""
    for name in _OWN_IDS:
        for source in sources:
            value = source.get(name)
            if value is None or value == "":
                continue
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise LegacyField(f"/{name}", "a string or an integer is expected")
            return {"request_id": str(value)}
    return {}


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise LegacyField(f"/{name}", "a string is expected that is not empty")
    return value


def _names(body: Mapping[str, Any], name: str) -> list[str]:
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise LegacyField(f"/{name}", "a list of strings is expected")
    return value


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and value.lstrip().startswith("{"))


def _object(pointer: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    try:
        return read_object(value.encode())
    except ValueError as error:
        raise LegacyField(pointer, str(error)) from error


def _refuse_oversized(fields: Mapping[str, Any]) -> None:
    size = sum(len(name) + len(value) for name, value in fields.items() if isinstance(value, str))
    if size > MAX_REQUEST_BYTES:
        raise LegacyField("", f"{size} characters; at most {MAX_REQUEST_BYTES} are accepted")
