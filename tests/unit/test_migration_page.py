"""docs/migration.md says what became of everything the five older services offered, and a test holds each of its rows."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from starlette.routing import Match

from infrastructure.redis.client import address_of
from infrastructure.settings import Settings
from schemas.topics import ENVIRONMENTS
from tests.matrix import flat
from tests.product import an_app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| what was")]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))

# What their READMEs name: endpoints, headers, fields, variables, queues, channels, streams, metrics, commands.
OFFERED: Mapping[str, str] = {
    "The Redis Stream service": """
        `GET /status` · `GET /status/{env}` · POST /publish/{env}?message=M · `DELETE /clear` · `DELETE /clear/{env}`
        `token` · `x-timestamp` · `x-signature` · `dev`, `uat`, `prod` · API_TOKEN · YAML · 10000 · Slack · `start`
        `redis-up` · `api-up` · pre-commit
    """,
    "The notification gateway": """
        POST /api/v1/notifications · Authorization: Bearer · notification_type · user_id · template_code · variables
        request_id · priority · metadata · notification_id · {"success", "data", "error", "message", "meta"} · PORT
        DATABASE_URL · REDIS_URL · RABBITMQ_URL · JWT_SECRET_KEY · JWT_ALGORITHM · RATE_LIMIT_PER_MINUTE
        IDEMPOTENCY_TTL_SECONDS · notifications.direct · email.queue · push.queue · failed.queue · notification.email
        notification.push · api_requests_total · api_request_duration_seconds · published_messages_total
        idempotency_hits_total · /metrics · /health · /docs · /redoc · correlation id · docker-compose up -d · 9090
        9091 · 15672 · uvicorn app.main:app --reload --port 8000 · alembic upgrade head
    """,
    "The inventory notification service": """
        `GET /api/v1/notifications/` · GET /api/v1/notifications/unread · /mark-read/{notification_id} · /mark-all-read
        GET /api/v1/notifications/preferences · POST /api/v1/notifications/preferences · POST /api/v1/notifications/test
        PUT /api/v1/notifications/preferences/{preference_id} · DELETE /api/v1/notifications/preferences/{preference_id}
        `inventory:low-stock` · `inventory:low-stock:stream` · /api/v1/docs · /api/v1/redoc · 8004 · SMTP · database
        user service · health check · docker-compose up · uvicorn app.main:app --reload
    """,
    "The event-driven platform": """
        /api/v1/auth/login · auth_callback() · get_current_user() · 1 hour · /preferences · AUTH0_ · .env
        uvicorn main:app --reload · docker run -p 6379:6379 · DynamoDB · Kafka · pylint app infrastructure
    """,
    "The WebSocket service": """
        POST /subscribe · POST /send-notification · /ws/notifications?user_id=U&topics=a,b · recipient_ids · topics
        message · broadcast · REDIS_HOST · REDIS_PORT · REDIS_DB · REDIS_PASSWORD · uvicorn app.main:app --reload
        notification_sent · missing fields · invalid WebSocket connections
    """,
}
CALLS = """
    POST /publish/test · GET /status · GET /status/dev · DELETE /clear · DELETE /clear/dev · GET /health
    POST /api/v1/notifications · GET /metrics · GET /docs · GET /redoc · GET /api/v1/docs · GET /api/v1/redoc
    GET /api/v1/notifications/ · GET /api/v1/notifications/unread · POST /api/v1/notifications/mark-read/1
    POST /api/v1/notifications/mark-all-read · GET /api/v1/notifications/preferences
    POST /api/v1/notifications/test · POST /api/v1/notifications/preferences
    PUT /api/v1/notifications/preferences/1 · DELETE /api/v1/notifications/preferences/1 · GET /api/v1/auth/login
    GET /api/v1/auth/callback · GET /api/v1/preferences · POST /subscribe · POST /send-notification
"""


def each(text: str) -> list[str]:
    return [name for line in text.strip().splitlines() for name in line.strip().split(" · ")]


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_there_is_a_section_for_each_of_the_five() -> None:
    assert set(SECTIONS) == set(OFFERED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:60])
def test_every_row_names_its_test(row: str) -> None:
    cells = row.strip("| ").split(" | ")
    assert len(cells) == 3
    assert re.fullmatch(r"`tests/[\w/]+\.py::test_\w+`(, `tests/[\w/]+\.py::test_\w+`)*", cells[2])


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_exists(file: str, name: str) -> None:
    assert (ROOT / file).is_file(), file
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("section", "offered"), [(where, what) for where, text in OFFERED.items() for what in each(text)])
def test_everything_they_offered_is_answered_in_its_section(section: str, offered: str) -> None:
    assert offered in SECTIONS[section]


@pytest.mark.parametrize("call", each(CALLS))
def test_every_call_they_took_is_taken(call: str) -> None:
    method, _, path = call.partition(" ")
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    assert any(route.matches(scope)[0] is Match.FULL for route in flat(an_app().routes))


def test_the_socket_is_where_it_was() -> None:
    scope = {"type": "websocket", "path": "/ws/notifications", "root_path": "", "headers": []}
    assert any(route.matches(scope)[0] is Match.FULL for route in flat(an_app().routes))


def test_the_defaults_are_those_of_the_older_services() -> None:
    as_shipped = Settings(_env_file=None, deployment="local")
    assert as_shipped.port == 8000
    assert as_shipped.jwt_algorithm == "HS256"
    assert as_shipped.rate_limit_per_minute == 100
    assert as_shipped.idempotency_ttl_seconds == 604_800
    assert as_shipped.session_ttl_s == 3600
    assert (as_shipped.redis_host, as_shipped.redis_port, as_shipped.redis_db) == ("localhost", 6379, 0)
    assert not as_shipped.legacy_anonymous


def test_the_variables_of_the_older_services_are_settings() -> None:
    known = {name.upper() for name in Settings.model_fields}
    gateway = {"PORT", "REDIS_URL", "JWT_SECRET_KEY", "JWT_ALGORITHM", "RATE_LIMIT_PER_MINUTE", "IDEMPOTENCY_TTL_SECONDS"}
    realtime = {"REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD"}
    platform = {"AUTH0_DOMAIN", "AUTH0_CLIENT_ID", "AUTH0_CLIENT_SECRET", "AUTH0_AUDIENCE", "AWS_REGION"}
    assert known >= gateway | realtime | platform | {
        "API_TOKEN",
        "SMTP_HOST",
        "SLACK_WEBHOOK_URL",
        "KAFKA_BOOTSTRAP_SERVERS",
    }


def test_variables_that_mean_nothing_any_more_stop_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The gateway's `.env` as it stood, with a secret that will do."""
    dotenv = tmp_path / ".env"
    dotenv.write_text(
        "PORT=8000\nDATABASE_URL=postgresql+asyncpg://u:p@postgres/db\nREDIS_URL=redis://redis:6379/0\n"
        "RABBITMQ_URL=amqp://guest:guest@rabbitmq:5672/\nJWT_SECRET_KEY=0123456789abcdef0123456789abcdef\n"
        "JWT_ALGORITHM=HS256\nRATE_LIMIT_PER_MINUTE=100\nIDEMPOTENCY_TTL_SECONDS=604800\n"
        'JWT_SERVICES={"shop": ["notifications:send"]}\n'
    )
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/db")
    read = Settings(_env_file=dotenv, deployment="local")
    assert address_of(read) == "redis://redis:6379/0"
    assert read.jwt_services == {"shop": ("notifications:send",)}


def test_the_environments_of_the_older_service_can_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENTS", "dev,uat,prod")
    assert Settings(_env_file=None, deployment="local").environments == ("dev", "uat", "prod")
    assert {"dev", "uat", "prod"} < set(ENVIRONMENTS)
