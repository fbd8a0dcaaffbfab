"""Every setting, its unit and its default. Read once at start; below that, plain values travel.

Names are the ecosystem's own (https://12factor.net/config). A YAML file named by CARILLON_CONFIG may hold the same keys in
lower case; environment variables win over it. `.env.example` lists them all, and a test holds the two against each other.
"""

import os
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from schemas.caps import Cap
from schemas.outcomes import Policy
from schemas.quiet_hours import ZoneName
from schemas.requests import Channel
from schemas.service_tokens import ServiceAlgorithm, Services, weakness_of
from schemas.topics import Environment

EXAMPLE_SECRET = "change-me"  # noqa: S105 - the value .env.example shows, refused below
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def _split_commas(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Item = TypeVar("Item")
CommaSeparated = Annotated[tuple[Item, ...], NoDecode, BeforeValidator(_split_commas)]
"""In an environment variable `a,b`; in a YAML file also a list."""


def _port_of_link(value: object) -> object:
    return value.rpartition(":")[2] if isinstance(value, str) else value


LinkedPort = Annotated[int, BeforeValidator(_port_of_link), Field(ge=1, le=65535)]
"""Kubernetes says REDIS_PORT=tcp://10.0.0.1:6379 to every pod beside a service named redis."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    # where and what
    deployment: Literal["local", "production"] = "production"
    environments: CommaSeparated[Environment] = ("dev", "test")
    default_environment: Environment = "dev"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    public_url: str = ""
    app_secret_key: SecretStr = SecretStr("")
    app_secret_key_previous: SecretStr = SecretStr("")
    cors_origins: CommaSeparated[str] = ()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"
    rate_limit_per_minute: int = Field(default=100, ge=1)
    types_dir: Path = Path("deploy/types")
    types_refresh_s: float = Field(default=5.0, ge=0)
    sandbox_url: str = ""

    # login
    auth0_domain: str = ""
    auth0_client_id: str = ""
    auth0_client_secret: SecretStr = SecretStr("")
    auth0_audience: str = ""
    auth0_issuer: str = ""
    user_id_claim: str = "sub"
    session_ttl_s: int = Field(default=3600, ge=60)
    ticket_ttl_s: int = Field(default=30, ge=1, le=300)

    # legacy doors
    api_token: SecretStr = SecretStr("")
    api_token_previous: SecretStr = SecretStr("")
    legacy_producer: str = "legacy"
    hmac_window_s: int = Field(default=300, ge=1)
    legacy_anonymous: bool = False
    idempotency_ttl_seconds: int = Field(default=604_800, ge=60)
    jwt_secret_key: SecretStr = SecretStr("")
    jwt_secret_key_previous: SecretStr = SecretStr("")
    jwt_algorithm: ServiceAlgorithm = "HS256"
    jwt_services: Services = Field(default_factory=dict)
    jwt_environment: Environment | None = None
    jwt_lifetime_max_s: int = Field(default=86_400, ge=60, le=2_592_000)

    # Kafka
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    kafka_ssl_ca_location: str = ""
    kafka_client_id: str = "carillon"
    kafka_partitions: int = Field(default=3, ge=1)
    kafka_replication_factor: int = Field(default=1, ge=1)
    raw_producers: CommaSeparated[str] = ()
    kafka_produce_timeout_s: float = Field(default=5.0, gt=0)
    kafka_session_timeout_s: float = Field(default=10.0, ge=6)
    kafka_stall_s: float = Field(default=60.0, gt=0)

    # DynamoDB (credentials and AWS_ENDPOINT_URL_DYNAMODB are read as boto3 reads them)
    aws_region: str = "eu-central-1"
    aws_endpoint_url_dynamodb: str = ""

    # Redis
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    redis_host: str = "localhost"
    redis_port: LinkedPort = 6379
    redis_db: int = Field(default=0, ge=0)
    redis_password: SecretStr = SecretStr("")

    # channels
    smtp_host: str = ""
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_username: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_starttls: bool = True
    smtp_backup_host: str = ""
    smtp_backup_port: int = Field(default=25, ge=1, le=65535)
    smtp_backup_username: str = ""
    smtp_backup_password: SecretStr = SecretStr("")
    smtp_backup_starttls: bool = True
    smtp_from: str = "Carillon <notifications@localhost>"
    slack_webhook_url: SecretStr = SecretStr("")
    slack_targets: dict[str, SecretStr] = Field(default_factory=dict)
    slack_bot_token: SecretStr = SecretStr("")
    slack_api_url: str = "https://slack.com/api"
    vapid_private_key: SecretStr = SecretStr("")
    vapid_subject: str = ""
    web_push_hosts: CommaSeparated[str] = (
        "fcm.googleapis.com",
        "updates.push.services.mozilla.com",
        "notify.windows.com",
        "push.apple.com",
    )
    fcm_credentials_file: str = ""
    fcm_api_url: str = "https://fcm.googleapis.com"
    apns_key_file: str = ""
    apns_key_id: str = ""
    apns_team_id: str = ""
    apns_topic: str = ""
    apns_url: str = "https://api.push.apple.com"

    # delivery
    provider_timeout_s: float = Field(default=10.0, gt=0)
    breaker_failures: int = Field(default=5, ge=1)
    breaker_open_s: float = Field(default=30.0, gt=0)
    provider_out_s: float = Field(default=3600.0, gt=0)
    destination_in_flight: int = Field(default=8, ge=1)
    provider_rates: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    delivery_lease_s: float = Field(default=45.0, gt=0)
    retry_schedule_s: CommaSeparated[float] = (5, 30, 120, 600, 1800, 7200, 21600)
    retry_after_max_s: float = Field(default=3600, gt=0)
    delivery_deadline_s: float = Field(default=72 * 3600, gt=0)
    delivery_policy: dict[Channel, Policy] = Field(default_factory=dict)

    # preferences
    mandatory_categories: CommaSeparated[str] = ("security",)

    # fairness
    producer_quota_per_minute: int = Field(default=60_000, ge=1, le=10_000_000)
    producer_urgent_quota_per_minute: int = Field(default=6_000, ge=1, le=10_000_000)
    producer_quotas: dict[str, Annotated[int, Field(ge=1, le=10_000_000)]] = Field(default_factory=dict)

    # what waits
    default_time_zone: ZoneName = "UTC"
    person_caps: list[Cap] = Field(default_factory=list, max_length=4)

    # audiences
    closed_topics: CommaSeparated[str] = ()
    audience_shards: int = Field(default=16, ge=1, le=256)
    bulk_backlog_max_s: float = Field(default=10.0, gt=0)

    # people
    erasure_sweeps_s: CommaSeparated[float] = (60, 3600, 86_400, 691_200)

    # workers
    worker_concurrency: int = Field(default=64, ge=1)
    drain_timeout_s: float = Field(default=20.0, gt=0)
    handler_stuck_s: float = Field(default=300.0, gt=0)
    burial_limit: int = Field(default=50, ge=1)
    worker_port: int = Field(default=0, ge=0, le=65535)

    # the Redis bridge
    bridge_producer: str = "bridge"
    low_stock_source: Literal["stream", "channel", "both"] = "stream"
    bridge_idle_takeover_s: float = Field(default=30.0, gt=0)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = (init_settings, env_settings, dotenv_settings, file_secret_settings)
        config = os.environ.get("CARILLON_CONFIG")
        return (*sources, YamlConfigSettingsSource(settings_cls, yaml_file=config)) if config else sources

    @model_validator(mode="after")
    def _refuse_what_is_dangerous(self) -> "Settings":
        if self.default_environment not in self.environments:
            raise ValueError(
                f"DEFAULT_ENVIRONMENT={self.default_environment} is not among ENVIRONMENTS={','.join(self.environments)}"
            )
        if self.provider_timeout_s > self.delivery_lease_s / 3:
            raise ValueError(
                "PROVIDER_TIMEOUT_S must be at most a third of DELIVERY_LEASE_S, or two workers may send at once"
            )
        if self.vapid_private_key.get_secret_value() and not self.vapid_subject.startswith(("mailto:", "https://")):
            raise ValueError(
                "VAPID_SUBJECT is how a push service reaches you, as mailto:ops@example.com or an https address"
            )
        if self.apns_key_file and not (self.apns_key_id and self.apns_team_id and self.apns_topic):
            raise ValueError("APNS_KEY_FILE needs APNS_KEY_ID, APNS_TEAM_ID and APNS_TOPIC beside it")
        if "*" in self.cors_origins:
            raise ValueError("CORS_ORIGINS lists origins; '*' would hand every site the user's notifications")
        self._refuse_weak_service_tokens()
        if self.deployment == "production":
            self._refuse_what_is_local()
        return self

    def _refuse_weak_service_tokens(self) -> None:
        others = (self.app_secret_key, self.app_secret_key_previous, self.auth0_client_secret, self.api_token)
        known = {secret.get_secret_value() for secret in others}
        for name in ("jwt_secret_key", "jwt_secret_key_previous"):
            secret: SecretStr = getattr(self, name)
            weakness = weakness_of(secret.get_secret_value(), self.jwt_algorithm, known)
            if weakness is not None:
                raise ValueError(f"{name.upper()} {weakness}")
        if self.jwt_environment not in (None, *self.environments):
            raise ValueError(
                f"JWT_ENVIRONMENT={self.jwt_environment} is not among ENVIRONMENTS={','.join(self.environments)}"
            )

    def _refuse_what_is_local(self) -> None:
        secret = self.app_secret_key.get_secret_value()
        if len(secret) < 32 or EXAMPLE_SECRET in secret:
            raise ValueError("APP_SECRET_KEY must be at least 32 random characters: openssl rand -hex 32")
        if self.public_url.startswith("http://") and urlsplit(self.public_url).hostname not in LOOPBACK:
            raise ValueError("PUBLIC_URL must be https outside loopback: the session cookie travels over it")

    @cached_property
    def base_url(self) -> str:
        """The address people use, without a trailing slash."""
        return (self.public_url or f"http://localhost:{self.port}").rstrip("/")

    @cached_property
    def issuer(self) -> str:
        """The token issuer exactly as Auth0 writes it, trailing slash included."""
        return self.auth0_issuer or f"https://{self.auth0_domain}/"

    @property
    def local_sandbox(self) -> str:
        """The one origin on loopback that pushes may go to: the provider sandbox of a local deployment."""
        return self.sandbox_url if self.deployment == "local" else ""

    @property
    def delivery_lease(self) -> timedelta:
        return timedelta(seconds=self.delivery_lease_s)
