"""Every door of the application, on a product in memory: who gets in, and that nonsense breaks nothing."""

import base64
import os
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.openapi import document, operations
from tests.doors import BODIES, Doors, the_callers
from tests.fakes.house import House
from tests.matrix import ON_THE_STACK_ALONE, RENEW, RENEWING, TABLE, as_text, differences, read_matrix, routes_of
from tests.product import an_app

DOORS = [name for name in routes_of(an_app()) if not name.startswith(ON_THE_STACK_ALONE)]
TOLD = {f"{method.upper()} {path}": operation for path, method, operation in operations(document(an_app()))}

TEXT = st.text(alphabet=string.printable + "é\u2028\u202e😀\x00", max_size=40)
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


@pytest.fixture(name="house", scope="module")
def a_house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("house"))


async def test_everybody_gets_what_the_table_says(house: House) -> None:
    headers = await the_callers(house.token_of, house.keyring)
    doors = Doors(house.client, house.keyring, headers)
    await doors.send_something()
    found = {name: await doors.tried(name) for name in DOORS}
    table = read_matrix()
    if os.environ.get(RENEWING):
        kept = {name: statuses for name, statuses in table.items() if name.startswith(ON_THE_STACK_ALONE)}
        TABLE.write_text(as_text({**found, **kept}))
        return
    changed = differences(table, found)
    assert not changed, f"if this is meant, `{RENEW}` writes it down:\n" + "\n".join(changed)


def some_nonsense(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """A call with strange values in place of everything that can be said: path, query, headers and body."""
    parameters = TOLD.get(name, {}).get("parameters", [])
    by_place = {
        place: st.fixed_dictionaries({}, optional={each["name"]: TEXT for each in parameters if each["in"] == place})
        for place in ("query", "path")
    }
    is_list = isinstance(BODIES.get(name), list)
    sensible = BODIES[name][0] if is_list else BODIES.get(name, {})
    bodies = st.one_of(
        st.binary(max_size=60).map(lambda raw: {"content": raw}),
        JSON.map(lambda document: {"json": document}),
        st.dictionaries(st.sampled_from([*SOME_FIELDS, *sensible]), JSON, max_size=4).map(
            lambda changes: {"json": [{**sensible, **changes}] if is_list else {**sensible, **changes}}
        ),
    )
    return st.fixed_dictionaries({"query": by_place["query"], "path": by_place["path"], "body": bodies})


SOME_FIELDS = ("to", "message", "channels", "send_at", "request_id", "cancel", "ids", "overlap", "permissions", "note")


def filled(path: str, values: dict[str, str]) -> str:
    for part in [part for part in path.split("/") if part.startswith("{")]:
        text = values.get(part[1:-1], "x")
        path = path.replace(part, "".join(f"%{byte:02X}" for byte in text.encode()) or "x")
    return path


@pytest.mark.parametrize("document", ["[" * 1400, '{"a":' * 280, "1e999", "9" * 1400, '"\\ud800"', "null", "[]", "{}"])
@pytest.mark.parametrize("path", ["/api/v1/notifications/", "/api/v1/ops/deliveries", "/api/v1/ops/quarantine"])
async def test_a_cursor_somebody_made_up_is_a_bad_cursor(house: House, path: str, document: str) -> None:
    cursor = base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")
    async with house.client(await house.token_of("olga")) as olga:
        answer = await olga.get(path, params={"cursor": cursor})
    assert answer.status_code in (200, 400, 422), answer.text


@pytest.mark.parametrize("name", [name for name in DOORS if name in TOLD])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
async def test_nonsense_is_refused_or_done_and_never_breaks_anything(house: House, name: str, data: st.DataObject) -> None:
    sent = data.draw(some_nonsense(name))
    method, _, path = name.partition(" ")
    body = {} if method in ("GET", "DELETE") else sent["body"]
    async with house.client(await house.token_of("olga")) as olga:
        answer = await olga.request(method, filled(path, sent["path"]), params=sent["query"], **body)
    assert answer.status_code < 500, (sent, answer.text)
