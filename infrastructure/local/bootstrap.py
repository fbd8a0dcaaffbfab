"""From a bare checkout to a ready `.venv`, with nothing but Python: `bootstrap.py run | install`.

Runs on the system's python3, before anything is installed: standard library only. Packages and jars are fetched side by
side; when the stamp says that nothing has changed since the last time, all of this is skipped.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "carillon.stamp"
LOG = ROOT / ".local" / "log" / "install.log"
REQUIREMENTS = ROOT / "requirements-dev.txt"
INPUTS = (REQUIREMENTS, ROOT / "pyproject.toml", ROOT / "infrastructure" / "local" / "jars" / "jars.lock")
UV = "uv==0.13.8"  # installs the whole set in 3 s where pip takes 27
OLDEST = (3, 11)


class InstallFailed(Exception):
    """The text says what failed and what to do."""


def main(arguments: list[str]) -> int:
    if arguments not in (["run"], ["install"]):
        print("usage: bootstrap.py run | install", file=sys.stderr)
        return 2
    try:
        install()
    except InstallFailed as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Start again to go on where it was.", file=sys.stderr)
        return 130
    if arguments == ["run"]:
        os.chdir(ROOT)
        os.execv(PYTHON, [str(PYTHON), "-m", "infrastructure.local", "run"])  # noqa: S606 - no shell is meant
    return 0


def install() -> None:
    """Does nothing when the last installation was made from the same files by the same Python."""
    if sys.version_info < OLDEST:
        raise InstallFailed(
            f"Carillon needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}. "
            "Install one and name it: make run PYTHON=python3.12"
        )
    wanted = fingerprint()
    if PYTHON.is_file() and STAMP.is_file() and STAMP.read_text() == wanted:
        return
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_bytes(b"")
    began = time.monotonic()
    STAMP.unlink(missing_ok=True)
    make_venv()
    say("Installing the downloader …")
    uv("install", "--constraint", str(REQUIREMENTS), "jgo")
    fetch_side_by_side()
    STAMP.write_text(wanted)
    say(f"Installed in {time.monotonic() - began:.1f} s.", last=True)


def fingerprint() -> str:
    digest = hashlib.sha256(f"{sys.version} {VENV} {UV}".encode())
    for path in INPUTS:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def make_venv() -> None:
    if not (PYTHON.is_file() and (VENV / "bin" / "pip").is_file()):
        say("Making .venv …")
        shutil.rmtree(VENV, ignore_errors=True)
        call(
            [sys.executable, "-m", "venv", str(VENV)],
            "Could not make .venv. On Debian and Ubuntu the module for it is a package of its own: "
            "sudo apt install python3-venv",
        )
    say("Installing uv …")
    call(
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV],
        "Could not install uv. Check the network (behind a proxy, set HTTPS_PROXY) and start again.",
    )


def fetch_side_by_side() -> None:
    """Jars in a child of their own, packages here; the line shows both."""
    command = [str(PYTHON), "-m", "infrastructure.local.jars"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as jars:
        downloads = JarDownloads(jars)
        try:
            say("Installing packages; downloading jars …")
            uv("install", "--requirement", str(REQUIREMENTS))
            uv("install", "--no-deps", "--editable", str(ROOT))
            downloads.wait()
        except BaseException:
            jars.kill()
            raise


class JarDownloads(threading.Thread):
    """Reads the progress of the jars, so that their pipe never fills."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(daemon=True)
        self._process = process
        self.progress = ""
        self.start()

    def run(self) -> None:
        for line in self._process.stdout or ():
            done, total = (int(number) / 1e6 for number in line.split())
            self.progress = f"Packages are installed; jars: {done:.0f} of {total:.0f} MB"

    def wait(self) -> None:
        while self.is_alive():
            if self.progress:
                say(self.progress)
            self.join(0.2)
        if self._process.wait():
            raise InstallFailed(self._process.stderr.read().strip() if self._process.stderr else "Jars failed.")


def uv(*arguments: str) -> None:
    call(
        [str(VENV / "bin" / "uv"), "pip", *arguments, "--python", str(PYTHON)],
        "Could not install the Python packages. Check the network (behind a proxy, set HTTPS_PROXY) and start again.",
    )


def call(command: list[str], advice: str) -> None:
    """Runs it with its output in the log; when it fails, the end of that log and the advice are shown."""
    with LOG.open("ab") as log:
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False).returncode
    if code:
        end = "\n".join(LOG.read_text(errors="replace").splitlines()[-20:])
        raise InstallFailed(f"{end}\n\n{advice} (All of it: {LOG})")


class Progress:
    """One line that changes on a terminal; a line for each step elsewhere."""

    def __init__(self) -> None:
        self._before = ""

    def __call__(self, text: str, *, last: bool = False) -> None:
        if sys.stdout.isatty():
            print(f"\r\033[K{text}", end="\n" if last else "", flush=True)
        elif text != self._before:
            print(text, flush=True)
        self._before = text


say = Progress()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
