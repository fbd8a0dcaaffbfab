"""What was vendored is what was reviewed: no file without an entry, no entry without its bytes."""

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "api" / "static" / "vendor"
ENTRY = re.compile(r"\| `(?P<file>[^`]+)` \| `(?P<sha256>[0-9a-f]{64})` \| (?P<licence>[^|]+) \|$")


def the_entries() -> dict[str, str]:
    rows = (ENTRY.search(line) for line in (VENDOR / "VENDORED.md").read_text().splitlines())
    return {row["file"]: row["sha256"] for row in rows if row}


def the_files() -> set[str]:
    return {
        path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file() and path.name != "VENDORED.md"
    }


def test_every_vendored_file_has_an_entry_and_every_entry_a_file() -> None:
    assert the_entries().keys() == the_files()


def test_every_vendored_file_has_the_bytes_that_were_reviewed() -> None:
    changed = [
        name for name, sha256 in the_entries().items() if hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() != sha256
    ]
    assert not changed


def test_every_vendored_package_brings_its_licence() -> None:
    packages = {name.split("/")[0] for name in the_files()}
    assert all(list((VENDOR / package).glob("LICENSE*")) for package in packages)
