import os
import shutil
from pathlib import Path

import pytest

from tests import browser


def test_without_any_way_to_a_browser_the_error_names_each_that_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "find", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(browser, "_run", lambda *command: "no network")
    with pytest.raises(browser.NoBrowser) as error:
        browser.find_or_install()
    told = str(error.value)
    assert "no chromium or google-chrome on PATH" in told
    assert "needs apt-get and root" in told
    assert "Playwright's download: no network" in told
    assert "apt install chromium" in told


def test_a_browser_that_is_here_is_taken_and_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path) if name == "google-chrome" else None)
    monkeypatch.setattr(browser, "_run", lambda *command: pytest.fail(f"ran {command}"))
    assert browser.find_or_install() == tmp_path


def test_as_root_the_systems_package_comes_before_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []

    def run(*command: str) -> str:
        ran.append(command)
        return ""

    monkeypatch.setattr(browser, "find", lambda: Path("/usr/bin/chromium") if ran else None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(browser, "_run", run)
    assert browser.find_or_install() == Path("/usr/bin/chromium")
    assert [command[:2] for command in ran] == [("apt-get", "update"), ("apt-get", "install")]


def test_only_root_goes_without_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "--no-sandbox" not in browser.arguments()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "--no-sandbox" in browser.arguments()
