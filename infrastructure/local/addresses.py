import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Any of these says: DynamoDB is AWS's own.
AWS_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
LOCAL_REGION = "eu-central-1"


@dataclass(frozen=True)
class Elsewhere:
    """Which parts the environment already places somewhere, and by which variable."""

    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def kafka(self) -> str | None:
        return self._first("KAFKA_BOOTSTRAP_SERVERS")

    @property
    def redis(self) -> str | None:
        return self._first("REDIS_URL", "REDIS_HOST")

    @property
    def dynamodb(self) -> str | None:
        return self._first("AWS_ENDPOINT_URL_DYNAMODB", *AWS_CREDENTIALS)

    @property
    def identity_provider(self) -> str | None:
        return self._first("AUTH0_DOMAIN")

    @property
    def mail(self) -> str | None:
        return self._first("SMTP_HOST")

    def _first(self, *names: str) -> str | None:
        return next((name for name in names if self.variables.get(name)), None)


@dataclass(frozen=True)
class Addresses:
    """Where the parts that were started here listen; 0 for one that runs elsewhere."""

    kafka_port: int = 0
    dynamodb_port: int = 0
    redis_port: int = 0

    def environment(self) -> dict[str, str]:
        """The usual variables, for exactly the parts that were started here."""
        variables: dict[str, str] = {}
        if self.kafka_port:
            variables["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{self.kafka_port}"
        if self.redis_port:
            variables["REDIS_URL"] = f"redis://127.0.0.1:{self.redis_port}/0"
        if self.dynamodb_port:
            variables |= {
                "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{self.dynamodb_port}",
                "AWS_REGION": LOCAL_REGION,
                # DynamoDB Local wants some credentials and checks none.
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
            }
        return variables


def write_private(path: Path, variables: Mapping[str, str]) -> None:
    """KEY=value lines a shell can source, readable by their owner alone from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"{key}={value}\n" for key, value in variables.items())
    fresh.replace(path)
