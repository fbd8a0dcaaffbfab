"""What is deployed agrees with the code: services with workers, variables with settings, alerts with metrics."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from consumers.workers import NAMES
from infrastructure.settings import Settings

ROOT = Path(__file__).parents[2]
READ_BY_BOTOCORE = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
OURS = re.compile(r"\b(?:api|published|idempotency|carillon|bridge|legacy)_[a-z_]+\b")
WITH_METRICS = ("infrastructure.metrics", "api.legacy_door", "consumers.handlers.bridge", "consumers.handlers.bridge_entry")

Service = dict[str, Any]


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    loaded: dict[str, Service] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return loaded


@pytest.fixture(scope="module")
def carillon(services: dict[str, Service]) -> dict[str, Service]:
    """The services that run our own image."""
    return {name: service for name, service in services.items() if service["image"].startswith("carillon:")}


def exported_metrics() -> set[str]:
    for module in WITH_METRICS:
        importlib.import_module(module)
    return {
        name
        for family in REGISTRY.collect()
        for name in (family.name, f"{family.name}_total", f"{family.name}_bucket", f"{family.name}_count")
    }


def the_expressions() -> list[str]:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    dashboard = json.loads((ROOT / "deploy/grafana/carillon.json").read_text())
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]] + [
        target["expr"] for panel in dashboard["panels"] for target in panel["targets"]
    ]


def test_every_worker_is_a_service_that_runs_it(services: dict[str, Service]) -> None:
    commands = {name: services.get(name, {}).get("command") for name in NAMES}
    assert commands == {name: ["python", "-m", "consumers", name] for name in NAMES}


def test_every_service_has_a_healthcheck_or_ends_by_itself(services: dict[str, Service]) -> None:
    for name, service in services.items():
        checked = "test" in service.get("healthcheck", {})
        assert checked or service["restart"] == "no", name


def test_nobody_waits_for_a_service_that_cannot_say_it_is_ready(services: dict[str, Service]) -> None:
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            ends = services[other]["restart"] == "no"
            expected = "service_completed_successfully" if ends else "service_healthy"
            assert wait["condition"] == expected, f"{name} on {other}"


def test_images_are_pinned(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert re.search(r":[\w.-]+$", service["image"]), name
        assert not service["image"].endswith(":latest"), name


def test_no_service_has_a_right_it_does_not_need(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.keys() & {"privileged", "cap_add", "devices", "pid", "network_mode", "ipc"}, name
        assert not any("docker.sock" in str(volume) for volume in service.get("volumes", ())), name


def test_our_own_containers_cannot_be_written_to(carillon: dict[str, Service]) -> None:
    assert all(service["read_only"] for service in carillon.values())


def test_ports_are_open_to_this_machine_only(services: dict[str, Service]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_variable_is_a_setting(carillon: dict[str, Service]) -> None:
    known = {name.upper() for name in Settings.model_fields} | READ_BY_BOTOCORE
    for name, service in carillon.items():
        assert service["environment"].keys() <= known, name


def test_the_settings_of_every_service_are_accepted(carillon: dict[str, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_SECRET_KEY", "0123456789abcdef" * 4)
    for service in carillon.values():
        for variable, value in service["environment"].items():
            monkeypatch.setenv(variable, value)
        assert Settings(_env_file=None).host == "0.0.0.0"


def test_a_worker_has_longer_to_stop_than_it_takes_to_drain(services: dict[str, Service]) -> None:
    drain_s = Settings.model_fields["drain_timeout_s"].default
    for name in NAMES:
        assert int(services[name]["stop_grace_period"].removesuffix("s")) >= drain_s + 10, name


def test_alerts_and_dashboard_ask_for_metrics_that_exist() -> None:
    asked = {name for expression in the_expressions() for name in OURS.findall(expression)}
    assert asked
    assert asked <= exported_metrics()


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    runbook = (ROOT / "docs/operations.md").read_text()
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert not {alert for alert in alerts if f"`{alert}`" not in runbook}


def test_the_image_holds_what_it_copies() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = {
        source for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE) for source in sources_of(line)
    }
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


def sources_of(line: str) -> list[str]:
    return [word for word in line.split() if not word.startswith("--")][:-1]


def test_the_image_runs_as_nobody() -> None:
    users = re.findall(r"^USER (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert users == ["10001:10001"]
