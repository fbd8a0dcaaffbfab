"""The one reading of a provider's HTTP answer, shared by every adapter that speaks HTTP."""

from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx2

from schemas.outcomes import Ambiguous, Dead, Outcome, Retry, Sent

_LATER = {408, 425, 429}


def read_outcome(response: httpx2.Response, provider_id: str | None = None) -> Outcome:
    """2xx took it; 408, 425, 429 and 5xx refused it for now; everything else, redirects too, refused it for good."""
    status = response.status_code
    if response.is_success:
        return Sent(answer=str(status), provider_id=provider_id)
    if status in _LATER or status >= 500:
        return Retry(f"http_{status}", asked=retry_after(response.headers.get("retry-after"), datetime.now(UTC)))
    return Dead(f"http_{status}")


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date (RFC 9110 section 10.2.3); anything else counts as not said."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return timedelta(seconds=int(text))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(moment - now, timedelta(0))


async def attempt(call: Awaitable[httpx2.Response]) -> httpx2.Response | Outcome:
    """The answer, or what its absence means: before a byte left it is safe to repeat, afterwards nobody knows."""
    try:
        return await call
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        return Retry(type(error).__name__)
    except httpx2.TransportError as error:
        return Ambiguous(type(error).__name__)
