"""Every door of the running product, tried by every kind of caller, against the table of who gets what."""

from collections.abc import Mapping

import httpx2
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from infrastructure.auth.keyring import Keyring, key_hash
from infrastructure.local.processes import Child
from infrastructure.resources import Resources
from tests.doors import Doors, the_callers
from tests.integration.conftest import TokenOf
from tests.matrix import CALLERS, differences, read_matrix, routes_of
from tests.product import an_app


async def sockets(address: str, headers: Mapping[str, dict[str, str]]) -> tuple[int, ...]:
    """The status each caller's handshake is answered with."""
    answers: list[int] = []
    for caller in CALLERS:
        try:
            async with connect(address, additional_headers=headers[caller]):
                answers.append(101)
        except InvalidStatus as refused:
            answers.append(refused.response.status_code)
    return tuple(answers)


async def test_everybody_gets_what_the_table_says(
    api: str, workers: Child, resources: Resources, bearer_of: TokenOf
) -> None:
    ring = Keyring(resources.stores.api_keys, key_hash(resources.settings))
    headers = await the_callers(bearer_of, ring)
    doors = Doors(lambda told: httpx2.AsyncClient(base_url=api, headers=told, timeout=30), ring, headers)
    await doors.send_something()
    found: dict[str, tuple[int, ...]] = {}
    for name in routes_of(an_app()):
        kind, _, path = name.partition(" ")
        found[name] = await (sockets(api.replace("http", "ws", 1) + path, headers) if kind == "WS" else doors.tried(name))
    changed = differences(read_matrix(), found)
    assert not changed, "the table in tests/matrix.txt says otherwise:\n" + "\n".join(changed)
