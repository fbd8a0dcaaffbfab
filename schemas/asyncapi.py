"""The AsyncAPI 3.0 document: every Kafka topic of the registry, what its records are, and who reads and writes it. Pure.

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0. Its "receive" and "send" are Carillon's own.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from schemas import cloudevents
from schemas.audiences import ExpandRecord
from schemas.deliveries import DeliveryRecord
from schemas.digests import WindowDue
from schemas.erasures import ErasureCommand
from schemas.events import Completion, Receipt, StatusEvent
from schemas.preference_changes import PreferenceCommand
from schemas.published import REQUESTS, models, request_models
from schemas.requests import CHANNELS
from schemas.topics import ENVIRONMENTS, KafkaTopic, registry

Node = dict[str, Any]
Action = Literal["receive", "send"]

PREFIX = "notifications.{env}."
BINDING = "0.5.0"
DESCRIPTION = """\
The Kafka topics of Carillon. Producers write requests and read receipts; whoever wants to follow along reads status, dead
letters and quarantine. The topics tagged `internal` are between our own workers: what others write there goes to quarantine.

Records are plain JSON, or CloudEvents 1.0 in binary mode; ours are. `{env}` keeps environments apart, also in their ACLs.
"""


@dataclass(frozen=True)
class Spoken:
    """What stands on one kind of topic. `actions` are Carillon's."""

    says: str
    actions: tuple[Action, ...]
    models: tuple[type[BaseModel], ...]
    headers: tuple[str, ...] = ()

    @property
    def is_internal(self) -> bool:
        return len(self.actions) > 1


_BOTH: tuple[Action, ...] = ("send", "receive")
_WHY = ("x-dlq-reason", "x-dlq-origin", "x-dlq-at")
KINDS: dict[str, Spoken] = {
    "requests": Spoken(
        "Where every entrance writes: a notification to send, to take back, or to move to another time. What a type makes"
        " urgent or bulk may come by the normal one.",
        ("receive",),
        REQUESTS,
    ),
    "receipts": Spoken("What became of a request, for its producer.", ("send",), (Receipt,)),
    "status": Spoken("What happened to a notification or a delivery; ids only.", ("send",), (StatusEvent, Completion)),
    "dlq": Spoken("Deliveries given up, and why; ids only.", ("send",), (DeliveryRecord,), (*_WHY, "x-dlq-attempts")),
    "quarantine": Spoken(
        "Records that were refused, byte for byte with their own headers, and why.",
        ("send",),
        (),
        (*_WHY, "x-dlq-origin-ms", "x-dlq-errors"),
    ),
    "deliveries": Spoken("What a channel has to deliver; the content stays in the store.", _BOTH, (DeliveryRecord,)),
    "expand": Spoken("The shards of an audience that are to be walked.", _BOTH, (ExpandRecord,)),
    "preferences": Spoken("What people change about what reaches them.", _BOTH, (PreferenceCommand,)),
    "erasures": Spoken("Whom to forget: a keyed hash, and the name encrypted.", _BOTH, (ErasureCommand,)),
    "digests": Spoken("Windows of digests whose time has come.", _BOTH, (WindowDue,)),
}


def document() -> Node:
    kinds = {topic: KINDS[_kind(topic)] for topic in registry("{env}", CHANNELS)}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Carillon", "version": "1", "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {_id(topic): _channel(topic, spoken) for topic, spoken in kinds.items()},
        "operations": {
            f"{action}.{_id(topic)}": _operation(topic, spoken, action)
            for topic, spoken in kinds.items()
            for action in spoken.actions
        },
        "components": {
            "parameters": {"env": {"enum": list(ENVIRONMENTS), "description": "Environment"}},
            "messages": dict(_message(kind, name) for kind, spoken in KINDS.items() for name in _names(spoken)),
            "schemas": _schemas(),
        },
    }


def _id(topic: KafkaTopic) -> str:
    return topic.name.removeprefix(PREFIX)


def _kind(topic: KafkaTopic) -> str:
    """A topic nobody has described is a KeyError, and so a red test."""
    word = _id(topic).partition(".")[0]
    return "deliveries" if word.replace("-", "_") in CHANNELS else word


def _names(spoken: Spoken) -> tuple[str, ...]:
    return tuple(model.__name__ for model in spoken.models) or ("Refused",)


def _channel(topic: KafkaTopic, spoken: Spoken) -> Node:
    kept = {"retention.ms": topic.retention_ms, "max.message.bytes": topic.max_message_bytes}
    return {
        "address": topic.name,
        "title": _id(topic),
        "description": f"Key: {topic.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{_kind(topic)}.{name}"} for name in _names(spoken)},
        "parameters": {"env": {"$ref": "#/components/parameters/env"}},
        "tags": [{"name": "internal" if spoken.is_internal else "public"}],
        "bindings": {"kafka": {"topicConfiguration": kept, "bindingVersion": BINDING}},
    }


def _operation(topic: KafkaTopic, spoken: Spoken, action: Action) -> Node:
    channel = f"#/channels/{_id(topic)}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "summary": spoken.says,
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in _names(spoken)],
    }


def _message(kind: str, name: str) -> tuple[str, Node]:
    spoken = KINDS[kind]
    payload: Node = {"$ref": f"#/components/schemas/{name}"} if spoken.models else {"description": "Whatever came"}
    return f"{kind}.{name}", {
        "name": name,
        "title": name,
        "headers": _headers(spoken),
        "payload": payload,
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": BINDING}},
    }


def _headers(spoken: Spoken) -> Node:
    events = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", cloudevents.TRACEPARENT)
    return {"type": "object", "properties": {name: {"type": "string"} for name in (*events, *spoken.headers)}}


def _schemas() -> Node:
    place = "#/components/schemas/{model}"
    wanted = {model for spoken in KINDS.values() for model in spoken.models}
    found = models(sorted(wanted, key=lambda model: model.__name__), place) | request_models(place)
    return dict(sorted(found.items()))
