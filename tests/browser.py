"""The Chromium that tests drive: the system's, else Debian's package where we are root, else Playwright's own download.

`python -m tests.browser` makes sure that there is one, and prints where.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No sandbox inside a sandbox: Chromium refuses to start as root without this. The rest keeps it from phoning home.
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
)
INSTALL_TIMEOUT_S = 600


class NoBrowser(Exception):
    """The text says what was tried and what to do."""


def arguments() -> list[str]:
    """What every launch of the browser is given."""
    return [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def find() -> Path | None:
    """A Chromium that is here already."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return Path(found) if found else _playwrights_own()


def find_or_install() -> Path:
    """Where Chromium is, fetched if need be; raises `NoBrowser` when none can be had."""
    tried: list[str] = []
    for fetch in (None, _from_debian, _from_playwright):
        if fetch is not None:
            tried.append(fetch())
        if found := find():
            return found
    raise NoBrowser(
        "The browser tests need Chromium, and none could be had.\n"
        + "\n".join(f"  - {line}" for line in ("no chromium or google-chrome on PATH", *tried))
        + "\nInstall one (Debian, Ubuntu: apt install chromium) and start again."
    )


def _playwrights_own() -> Path | None:
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return own if own.is_file() else None


def _from_debian() -> str:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "no Debian package: that needs apt-get and root"
    told = _run("apt-get", "update") or _run("apt-get", "install", "--yes", "--no-install-recommends", "chromium")
    return f"Debian's package: {told or 'installed, but it brought no chromium on PATH'}"


def _from_playwright() -> str:
    told = _run(sys.executable, "-m", "playwright", "install", "chromium")
    return f"Playwright's download: {told or 'finished, but its browser is not where it belongs'}"


def _run(*command: str) -> str:
    """Nothing when it went well, else the last thing it said."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, errors="replace", check=False, timeout=INSTALL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[-1] if said else f"exit code {done.returncode}"


def main() -> int:
    try:
        print(f"Browser tests use {find_or_install()}")
    except NoBrowser as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
