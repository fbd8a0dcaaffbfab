"""Brings the jars of the two Java engines from Maven's repository, each checked against jars.lock.

They land in the user's own Maven cache, so a second clone starts at once.
"""

import fcntl
import hashlib
import os
import platform
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LOCK = Path(__file__).parent / "jars" / "jars.lock"
# The folder of the native library SQLite needs, by (system, machine). Nobody publishes one for Linux on ARM.
NATIVE = {
    ("Linux", "x86_64"): "libsqlite4java-linux-amd64",
    ("Darwin", "x86_64"): "libsqlite4java-osx",
    ("Darwin", "arm64"): "libsqlite4java-osx-aarch64",
}
PARALLEL_DOWNLOADS = 16

Progress = Callable[[int, int], None]  # bytes here, bytes in all


class JarsUnavailable(Exception):
    """A jar could not be had; the text says which, why and what to do."""


@dataclass(frozen=True)
class Jar:
    group: str
    artifact: str
    extension: str
    version: str
    sha256: str
    size: int

    @property
    def path(self) -> Path:
        """Where Maven keeps it: https://maven.apache.org/repositories/layout.html."""
        folder = repository().joinpath(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.{self.extension}"

    @property
    def is_intact(self) -> bool:
        try:
            return self.path.stat().st_size == self.size and _sha256(self.path) == self.sha256
        except FileNotFoundError:
            return False

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


@dataclass(frozen=True)
class Classpaths:
    """What the two engines are started with. They are kept apart: they want different versions of the same libraries."""

    kafka: str
    dynamodb: str
    dynamodb_native: Path | None


def repository() -> Path:
    return Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")


def read_lock(text: str) -> dict[str, list[Jar]]:
    """The jars of each section, without the native libraries of other platforms."""
    sections: dict[str, list[Jar]] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), [])
        elif not line.startswith("#"):
            coordinate, sha256, size = line.split()
            group, artifact, extension, version = coordinate.split(":")
            if extension == "jar" or artifact == NATIVE.get((platform.system(), platform.machine())):
                section.append(Jar(group, artifact, extension, version, sha256, int(size)))
    return sections


def fetch_jars(progress: Progress = lambda done, total: None) -> Classpaths:
    """Every jar, present and intact; only what is missing or broken is downloaded. Takes 0.2 s when all are there."""
    sections = read_lock(LOCK.read_text())
    jars = {jar.path: jar for section in sections.values() for jar in section}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        missing = [jar for jar, intact in zip(jars.values(), pool.map(_is_intact, jars.values()), strict=True) if not intact]
    if missing:
        _download(missing, progress, sum(jar.size for jar in jars.values()))
    native = [jar.path.parent for jar in sections["dynamodb"] if jar.extension != "jar"]
    return Classpaths(_classpath(sections["kafka"]), _classpath(sections["dynamodb"]), native[0] if native else None)


def _download(missing: list[Jar], progress: Progress, total: int) -> None:
    done = total - sum(jar.size for jar in missing)
    progress(done, total)
    with _alone(repository()), ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        downloads = {pool.submit(_download_one, jar): jar for jar in missing}
        try:
            for finished in as_completed(downloads):
                finished.result()
                done += downloads[finished].size
                progress(done, total)
        except JarsUnavailable:
            pool.shutdown(cancel_futures=True)
            raise


def _download_one(jar: Jar) -> None:
    # Slow to import, and only a first start needs it. pylint: disable=import-outside-toplevel
    from jgo.maven import MavenContext
    from requests import RequestException

    if jar.is_intact:
        return  # another clone brought it while this one waited
    jar.path.unlink(missing_ok=True)  # what a broken download left behind; jgo would take it for the whole file
    component = MavenContext(repo_cache=repository()).project(jar.group, jar.artifact).at_version(jar.version)
    try:
        component.artifact(packaging=jar.extension).resolve()
    except (RequestException, RuntimeError, OSError) as error:
        raise JarsUnavailable(
            f"Could not download {jar}: {_first_line(error)}. Check the network (behind a proxy, set HTTPS_PROXY) and "
            "start again; what has arrived is kept."
        ) from error
    if not jar.is_intact:
        jar.path.unlink(missing_ok=True)
        raise JarsUnavailable(
            f"{jar} does not have the checksum written in jars.lock, so it was thrown away. Start again; if it stays "
            "so, something between here and the repository changes files."
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two clones that start at once do not write the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".carillon.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_intact(jar: Jar) -> bool:
    return jar.is_intact


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _classpath(jars: list[Jar]) -> str:
    return os.pathsep.join(str(jar.path) for jar in jars if jar.extension == "jar")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def main() -> int:
    """For bootstrap.py: progress as "bytes here, bytes in all" lines, failure as one sentence."""
    try:
        fetch_jars(lambda done, total: print(done, total, flush=True))
    except JarsUnavailable as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
