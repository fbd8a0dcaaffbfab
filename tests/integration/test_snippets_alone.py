"""What the pages tell people to copy repeats when it has to, with the same id, and only then. Pieces are JavaScript."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.integration.reader import Reader
from tests.snippets import PIECE, Snippet, all_snippets

CAREFUL = [each for each in all_snippets() if each.is_run and re.search(r"(def|function) notify\(", each.text)]
HANGS_UP = 0
ACCEPTED = {"success": True, "data": {"notification_id": "ntf_x"}}
REFUSED = {"success": False, "error": {"errors": [{"pointer": "/to", "detail": "nobody"}]}}


@dataclass
class Door:
    """Answers as it is told, one after the other, and remembers under which id it was asked."""

    answers: list[int] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    port: int = 0


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            door.ids.append(self.headers["Idempotency-Key"])
            status = door.answers.pop(0)
            if status == HANGS_UP:
                self.close_connection = True
                return
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "1")
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(ACCEPTED if status == 202 else REFUSED).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    door.port = server.server_port
    Thread(target=server.serve_forever, daemon=True).start()
    yield door
    server.shutdown()
    server.server_close()


def a_reader(door: Door, folder: Path) -> Reader:
    url = f"http://127.0.0.1:{door.port}"
    return Reader(folder, url, {"CARILLON_URL": url, "CARILLON_API_KEY": "a key"})


def test_there_are_such_snippets() -> None:
    assert {each.language for each in CAREFUL} == {"python", "javascript"}


@pytest.mark.parametrize("snippet", CAREFUL, ids=lambda snippet: snippet.name)
async def test_it_repeats_with_the_same_id_until_it_is_accepted(snippet: Snippet, door: Door, tmp_path: Path) -> None:
    door.answers = [HANGS_UP, 429, 503, 202]
    assert await a_reader(door, tmp_path).run(snippet.language, snippet.text) == "ntf_x\n"
    assert (len(door.ids), len(set(door.ids))) == (4, 1)
    assert door.ids[0]


@pytest.mark.parametrize("snippet", CAREFUL, ids=lambda snippet: snippet.name)
async def test_it_says_what_is_wrong_and_does_not_insist(snippet: Snippet, door: Door, tmp_path: Path) -> None:
    door.answers = [422]
    with pytest.raises(AssertionError, match=r"was refused.*nobody"):
        await a_reader(door, tmp_path).run(snippet.language, snippet.text)
    assert len(door.ids) == 1


async def test_every_piece_of_a_page_is_javascript(tmp_path: Path) -> None:
    for snippet in all_snippets():
        if snippet.language == PIECE:
            await Reader(tmp_path, "", {}).check_javascript(snippet.text)


async def test_what_is_no_javascript_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="SyntaxError"):
        await Reader(tmp_path, "", {}).check_javascript("const { data = await fetch(url);")
