import hashlib
import platform
from pathlib import Path

import pytest

from infrastructure.local.jars import LOCK, Jar, read_lock


def a_jar(content: bytes) -> Jar:
    return Jar("org.example.part", "thing", "jar", "1.0", hashlib.sha256(content).hexdigest(), len(content))


def in_cache(jar: Jar, content: bytes) -> None:
    jar.path.parent.mkdir(parents=True)
    jar.path.write_bytes(content)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2_REPO", str(tmp_path))


def test_a_jar_is_intact_only_with_the_bytes_of_the_lock() -> None:
    jar = a_jar(b"content")
    assert not jar.is_intact
    in_cache(jar, b"content")
    assert jar.is_intact
    jar.path.write_bytes(b"comtent")
    assert not jar.is_intact


@pytest.mark.parametrize(
    ("system", "machine", "native"),
    [
        ("Linux", "x86_64", ["libsqlite4java-linux-amd64"]),
        ("Darwin", "arm64", ["libsqlite4java-osx-aarch64"]),
        ("Linux", "aarch64", []),
    ],
)
def test_each_machine_gets_its_own_native_library(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, native: list[str]
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    jars = read_lock(LOCK.read_text())["dynamodb"]
    assert [jar.artifact for jar in jars if jar.extension != "jar"] == native
