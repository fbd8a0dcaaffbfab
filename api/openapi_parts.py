"""What the OpenAPI document says beside the routes: problems, headers, bodies and examples."""

from typing import Any

from schemas.published import request_models
from schemas.requests import MAX_BATCH

Node = dict[str, Any]

DESCRIPTION = """\
Event-driven notifications on Kafka.

**Who calls.** A browser with its session cookie, a program with a bearer token of Auth0, a backend with an API key in
`X-API-Key`. Give one of them, not two. The legacy routes know their own token and signature.

**Answers.** Under `/api/v1` an envelope: `success`, `data`, `error`, `message`, `meta`; `error` has the members of RFC 9457.
Elsewhere a refusal is `application/problem+json`.

**Accepted means kept.** 202 comes only when Kafka has acknowledged the request. 503 with `outcome_unknown` names the request
id under which repeating is safe.

**Limits.** `RateLimit-Policy` and `RateLimit` say how many calls there are and how many are left; 429 says in `Retry-After`
when to come back. A batch counts as many calls as it has requests.

**Live.** `WS /ws/notifications` pushes what arrives in one's inbox, with the same session or token; `?cursor=` gives
what was missed meanwhile.
"""

TAGS: list[Node] = [
    {"name": "notifications", "description": "Send, and see what became of it"},
    {"name": "inbox", "description": "One's own inbox"},
    {"name": "live", "description": "What comes, as it comes"},
    {"name": "preferences", "description": "What reaches me, where and when"},
    {"name": "people", "description": "Where people can be reached, and the topics they belong to"},
    {"name": "login", "description": "Sessions for browsers"},
    {"name": "keys", "description": "API keys of backends"},
    {"name": "types", "description": "Notification types, in versions"},
    {"name": "templates", "description": "Texts in locales and for channels, in versions; preview"},
    {"name": "operators", "description": "Lag, deliveries in trouble, holds, quarantine"},
    {"name": "health", "description": "For orchestrators"},
    {"name": "legacy", "description": "The older services' calls, unchanged for their clients"},
]

LEGACY_SCHEMES = {"legacyToken", "legacyTimestamp", "legacySignature"}

PROBLEMS = {
    "400": "The body or the cursor cannot be read",
    "401": "No session, no valid token, no valid key; which check failed is not said",
    "403": "Known, but not allowed",
    "404": "Not there, or not yours",
    "409": "In conflict with what was there before",
    "412": "Made upon a version that is not the newest any more; read, then repeat",
    "413": "Too large",
    "422": "A field is wrong; `errors` points at it",
    "428": "Say with If-Match which version this replaces",
    "429": "Too many calls; come back after `Retry-After` seconds",
    "503": "A part this needs is out of reach; repeating is safe",
}

SUCCESSES = {"200": "Done", "201": "Made", "202": "Accepted: Kafka has it"}

# what an operation answers beside its usual success
ALSO = {
    "send": {"200": "The outcome, when `Prefer: wait` asked for it and it was known in time"},
    "getNotification": {"304": "As it was: nothing has changed since that ETag"},
    "listInbox": {"304": "As it was: nothing has changed since that ETag"},
    "sendBatch": {"200": "Not all were accepted; see the items"},
    "rescheduleNotification": {"202": "Accepted: it will be carried out"},
    "cancelNotification": {"202": "Accepted: it will be carried out"},
    "replacePreferences": {"202": "Accepted: it will be carried out"},
    "changePreferences": {"202": "Accepted: it will be carried out"},
    "createOldPreference": {"202": "Accepted: it will be carried out"},
    "updateOldPreference": {"202": "Accepted: it will be carried out"},
    "deleteOldPreference": {"202": "Accepted: it will be carried out"},
    "erasePerson": {"202": "Accepted: it will be carried out"},
    "readyz": {"503": "Not ready, and why"},
    "health": {"503": "Degraded, and why"},
}

# refusals of single operations: most are for what was there before
REFUSALS = {
    "loginCallback": {"400"},
    "send": {"409"},
    "cancelNotification": {"409"},
    "sendTest": {"409"},
    "legacySendNotification": {"409"},
    "rotateKey": {"409"},
    "addDevice": {"409"},
    "replayDeliveries": {"409"},
    "redriveDelivery": {"409"},
    "releaseHolds": {"409"},
    "rescheduleNotification": {"409"},
    "releaseHold": {"409"},
    "settleDelivery": {"409"},
    "discardDelivery": {"409"},
    "replayQuarantined": {"409"},
    "discardQuarantined": {"409"},
    "legacyPublish": {"409"},
    "replacePreferences": {"412", "428"},
    "changePreferences": {"412"},
    "createType": {"409", "412", "428"},
    "saveType": {"409", "412", "428"},
    "retireType": {"409", "412"},
    "createTemplate": {"409", "412", "428"},
    "saveTemplate": {"409", "412", "428"},
    "retireTemplate": {"409", "412"},
}

# by operation
REQUIRED_HEADERS = {"replacePreferences": "if-match"}

LIMITED = ("RateLimit-Policy", "RateLimit")
HEADERS: Node = {
    "RateLimit-Policy": {
        "description": "The quota `q` in a window of `w` seconds (draft-ietf-httpapi-ratelimit-headers-11)",
        "schema": {"type": "string", "examples": ['"person";q=100;w=60']},
    },
    "RateLimit": {
        "description": "How many calls remain (`r`), and in how many seconds the whole quota is back (`t`)",
        "schema": {"type": "string", "examples": ['"person";r=88;t=8']},
    },
    "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}},
}

PLAIN_PROBLEM: Node = {
    "title": "Problem",
    "description": "RFC 9457",
    "type": "object",
    "required": ["type", "title", "status", "detail", "errors", "correlation_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "examples": ["about:blank", "request_id_conflict"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer (RFC 6901); empty for the whole"},
                    "detail": {"type": "string"},
                    "in": {"type": "string", "description": "query, path or header, where it is not the body"},
                },
            },
        },
        "correlation_id": {"type": ["string", "null"]},
    },
}
ENVELOPE: Node = {
    "title": "Envelope",
    "type": "object",
    "required": ["success", "data", "error", "message", "meta"],
    "properties": {
        "success": {"const": True},
        "data": {"description": "What was asked for"},
        "error": {"type": "null"},
        "message": {"type": "string"},
        "meta": {"type": ["object", "null"]},
    },
}
ENVELOPED_PROBLEM: Node = {
    "title": "ProblemEnvelope",
    "type": "object",
    "required": ["success", "data", "error", "message", "meta"],
    "properties": {
        "success": {"const": False},
        "data": {"type": "null"},
        "error": {"$ref": "#/components/schemas/Problem"},
        "message": {"type": "string"},
        "meta": {"type": "null"},
    },
}

REQUESTS: dict[str, Node] = {
    "everyday": {
        "summary": "The type knows the rest",
        "value": {"type": "inventory.low-stock", "to": "ana", "variables": {"product": "Bell", "stock": 3}},
    },
    "plain": {"summary": "No type: the message itself", "value": {"to": "ana", "message": "Hi"}},
    "several": {
        "summary": "Several people and channels, with an id for safe repeats",
        "value": {
            "to": [{"user": "ana"}, {"email": "c@example.com"}, {"slack": "default"}],
            "message": {"title": "Order 42", "body": "It is on its way.", "url": "/orders/42"},
            "channels": ["in_app", "email", "slack"],
            "priority": "urgent",
            "request_id": "order-42-shipped",
        },
    },
    "cancel": {"summary": "Take back what was sent under an id", "value": {"cancel": "order-42-shipped"}},
}

_ACCEPTED = {
    "notification_id": "ntf_ozz5lqdjwhqlpbxxzbptdtrsoy",
    "request_id": "order-42-shipped",
    "environment": "dev",
    "status": "ACCEPTED",
    "position": {"topic": "notifications.dev.requests", "partition": 0, "offset": 41},
}
# what `data` holds of the answers people meet first
EXAMPLES: dict[str, Any] = {
    "send": _ACCEPTED,
    "sendBatch": {"items": [{"index": 0, "status": 202, "data": _ACCEPTED, "replayed": False, "error": None}]},
    "countUnread": {"unread": 3},
    "createKey": {
        "key_id": "dev7k3mhw2qv5xna4tz",
        "environment": "dev",
        "producer": "orders",
        "name": "orders service",
        "permissions": ["notifications:send"],
        "limit_per_minute": 6000,
        "created_at": "2026-12-01T12:00:00Z",
        "created_by": "olga",
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "state": "live",
        "secrets": [{"created_at": "2026-12-01T12:00:00Z", "until": None}],
        "key": "crl_dev7k3mhw2qv5xna4tz_(52 characters, shown this once)",
    },
}

_REQUEST = {"$ref": "#/components/schemas/NotificationRequest"}
_BATCH = {"type": "array", "minItems": 1, "maxItems": MAX_BATCH, "items": _REQUEST}
BODIES: dict[str, Node] = {
    "send": {"schema": {"anyOf": [_REQUEST, {"$ref": "#/components/schemas/CancelRequest"}]}, "examples": REQUESTS},
    "sendBatch": {
        "schema": {
            "anyOf": [
                {
                    "type": "object",
                    "required": ["requests"],
                    "properties": {"requests": _BATCH},
                    "additionalProperties": False,
                },
                _BATCH,
            ]
        },
        "examples": {
            "two": {"value": {"requests": [REQUESTS["plain"]["value"], REQUESTS["several"]["value"]]}},
        },
    },
}


def schemas_of_bodies() -> Node:
    """The request as clients may write it, as in docs/request.schema.json."""
    return request_models("#/components/schemas/{model}")
