"""Settings refuse to be dangerous, and are read from where the ecosystem expects them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from infrastructure.settings import EXAMPLE_SECRET, Settings

SECRET = "a-secret-of-more-than-thirty-two-characters"


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("CARILLON_CONFIG", raising=False)


def in_production(**values: Any) -> Settings:
    return Settings(_env_file=None, **{"app_secret_key": SECRET, **values})


DANGEROUS: list[tuple[dict[str, Any], str]] = [
    ({"app_secret_key": ""}, "APP_SECRET_KEY"),
    ({"app_secret_key": "short"}, "APP_SECRET_KEY"),
    ({"app_secret_key": f"{EXAMPLE_SECRET}-and-then-something-longer-than-32"}, "APP_SECRET_KEY"),
    ({"public_url": "http://notify.example.com"}, "PUBLIC_URL"),
    ({"public_url": "http://localhost.evil.example"}, "PUBLIC_URL"),
    ({"cors_origins": "https://a.example,*"}, "CORS_ORIGINS"),
    ({"default_environment": "prod"}, "DEFAULT_ENVIRONMENT"),
    ({"provider_timeout_s": 20, "delivery_lease_s": 45}, "DELIVERY_LEASE_S"),
    ({"environments": "dev,staging"}, "environments"),
    ({"port": 0}, "port"),
    ({"kafka_produce_timeout_s": 0}, "kafka_produce_timeout_s"),
]


@pytest.mark.parametrize(("values", "named"), DANGEROUS)
def test_a_dangerous_value_stops_the_start_and_is_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        in_production(**values)


def test_a_refusal_does_not_show_the_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        in_production(app_secret_key="canary-secret")
    assert "canary-secret" not in str(caught.value)


def test_no_secret_is_shown_when_settings_are_printed() -> None:
    shown = repr(in_production(smtp_password="canary", redis_url="redis://:canary@redis.example/0", api_token="canary"))
    assert "canary" not in shown
    assert SECRET not in shown


@pytest.mark.parametrize("url", ["https://notify.example.com", "http://localhost:8000", "http://127.0.0.1", ""])
def test_https_or_loopback_is_served(url: str) -> None:
    assert in_production(public_url=url).public_url == url


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENTS", "dev, prod")
    monkeypatch.setenv("RAW_PRODUCERS", " shop ,,warehouse,")
    monkeypatch.setenv("RETRY_SCHEDULE_S", "1,2.5")
    monkeypatch.setenv("CLOSED_TOPICS", "incidents,board")
    settings = in_production()
    assert settings.environments == ("dev", "prod")
    assert settings.raw_producers == ("shop", "warehouse")
    assert settings.retry_schedule_s == (1.0, 2.5)
    assert settings.closed_topics == ("incidents", "board")


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "carillon.yaml"
    file.write_text(
        "port: 9000\nlog_level: DEBUG\nraw_producers: [shop, warehouse]\nkafka_partitions: 12\n", encoding="utf-8"
    )
    monkeypatch.setenv("CARILLON_CONFIG", str(file))
    monkeypatch.setenv("PORT", "9100")
    settings = in_production()
    assert (settings.port, settings.log_level, settings.kafka_partitions) == (9100, "DEBUG", 12)
    assert settings.raw_producers == ("shop", "warehouse")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")
    assert in_production().port == 8000


def test_the_issuer_is_written_as_auth0_writes_it() -> None:
    assert in_production(auth0_domain="shop.eu.auth0.com").issuer == "https://shop.eu.auth0.com/"
