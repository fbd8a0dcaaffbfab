"""Who may use the older service's routes: its token and signature, with the holes closed that can be closed."""

import time
from typing import Annotated

import structlog
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from api.problems import Problem
from infrastructure.auth.legacy import LegacyCaller, LegacyKeys, Refused, SignedCall
from infrastructure.metrics import LEGACY_CALLS
from infrastructure.redis.client import RedisClient
from infrastructure.redis.replays import Replays
from infrastructure.settings import Settings

# RFC 9745: the day from which on the older interface counts as deprecated
DEPRECATED = {"Deprecation": "@1795219200"}
CHALLENGE = {"WWW-Authenticate": 'HMAC-SHA256 realm="legacy"', **DEPRECATED}
SECRETS_IN_URL = {"token", "api_token", "access_token", "x-signature", "signature"}


log = structlog.get_logger()


class LegacyDoor:
    def __init__(self, settings: Settings, redis: RedisClient) -> None:
        tokens = (settings.api_token.get_secret_value(), settings.api_token_previous.get_secret_value())
        server_key = settings.app_secret_key.get_secret_value().encode()
        self._keys = LegacyKeys(tokens, server_key=server_key, window_s=settings.hmac_window_s)
        self.replays = Replays(redis, window_s=settings.hmac_window_s)

    async def admit(self, request: Request) -> LegacyCaller:
        """The caller, or a problem: 503 while the door is closed, 400 for secrets in the URL, else 401."""
        if not self._keys.is_open:
            raise Problem(503, "Closed", "The legacy API is closed here: API_TOKEN is not set.", headers=DEPRECATED)
        if SECRETS_IN_URL & {name.lower() for name in request.query_params}:
            detail = "Token and signature belong in headers. What was in this URL is in logs by now: change it."
            raise Problem(400, "Secret in the URL", detail, headers=DEPRECATED)
        call = await _signed_call(request)
        try:
            caller = self._keys.verify(call, now=time.time())
            await self._refuse_downgrade(caller)
        except Refused as refused:
            log.warning("legacy.refused", reason=str(refused))
            raise Problem(401, "Not authenticated", str(refused), headers=CHALLENGE) from refused
        LEGACY_CALLS.labels(f"v{caller.version}").inc()
        return caller

    async def _refuse_downgrade(self, caller: LegacyCaller) -> None:
        if caller.version == 2:
            await self.replays.move_to_v2(caller.token)
        elif await self.replays.has_moved_to_v2(caller.token):
            raise Refused("this token signs with v2; its v1 signatures, which cover only the time, are refused since")


def door_of(request: Request) -> LegacyDoor:
    """One door per application: it remembers which tokens moved to v2."""
    state = request.app.state
    if not hasattr(state, "legacy_door"):
        state.legacy_door = LegacyDoor(state.resources.settings, state.resources.redis)
    door: LegacyDoor = state.legacy_door
    return door


# For the OpenAPI document only: the door reads these itself, with all the values each came with.
_TOKEN, _TIMESTAMP, _SIGNATURE = (
    APIKeyHeader(name=name, scheme_name=scheme, description=description, auto_error=False)
    for scheme, name, description in (
        ("legacyToken", "token", "API_TOKEN"),
        ("legacyTimestamp", "x-timestamp", "unix time in seconds"),
        (
            "legacySignature",
            "x-signature",
            "HMAC-SHA256 over x-timestamp, or `v2,` and that over `method\\npath?query\\nid.timestamp.body`",
        ),
    )
)


async def admitted(
    request: Request,
    _token: Annotated[str | None, Security(_TOKEN)] = None,
    _timestamp: Annotated[str | None, Security(_TIMESTAMP)] = None,
    _signature: Annotated[str | None, Security(_SIGNATURE)] = None,
) -> LegacyCaller:
    """Who calls one of these routes; nobody else gets further."""
    return await door_of(request).admit(request)


LegacyClient = Annotated[LegacyCaller, Depends(admitted)]
ADMITTED = [Depends(admitted)]  # for routes that only need to know that somebody was let in


async def _signed_call(request: Request) -> SignedCall:
    query = request.scope["query_string"]
    path = request.scope.get("raw_path") or request.url.path.encode()
    headers = request.headers
    return SignedCall(
        method=request.method,
        target=path + b"?" + query if query else path,
        body=await request.body(),
        tokens=tuple(headers.getlist("token")),
        timestamps=tuple(headers.getlist("x-timestamp")),
        signatures=tuple(headers.getlist("x-signature")),
        message_ids=(*headers.getlist("webhook-id"), *headers.getlist("x-request-id")),
    )
