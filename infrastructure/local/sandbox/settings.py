from dataclasses import dataclass
from pathlib import Path

from infrastructure.local.loopback import refuse_unless_local


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Where the sandbox keeps its ledger, and which pages may read it."""

    deployment: str
    host: str = "127.0.0.1"
    ledger: Path | None = None
    reading_origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        refuse_unless_local("provider sandbox", host=self.host, deployment=self.deployment)
