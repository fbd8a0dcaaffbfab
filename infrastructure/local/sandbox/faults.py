from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from infrastructure.local.sandbox.calls import Provider

Mode = Literal["ok", "error", "permanent", "throttle", "slow", "hang", "close", "drop_answer"]

ACCEPTING: frozenset[Mode] = frozenset({"ok", "slow", "drop_answer"})
SILENT: frozenset[Mode] = frozenset({"hang", "close", "drop_answer"})

HTTP_STATUS: dict[Mode, int] = {"error": 500, "permanent": 400, "throttle": 429}
SMTP_STATUS: dict[Mode, int] = {"error": 451, "permanent": 550, "throttle": 421}


class Fault(BaseModel):
    """How a provider behaves, for the next `times` calls or until told otherwise.

    error, permanent and throttle refuse; slow accepts after delay_s; hang never answers and did nothing; close cuts the
    connection and did nothing; drop_answer accepts, then cuts the connection: the sender cannot know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = "ok"
    status: int | None = Field(default=None, ge=400, le=599)
    retry_after_s: int | None = Field(default=None, ge=0, le=86_400)
    delay_s: float = Field(default=1.0, ge=0, le=300)
    times: int | None = Field(default=None, ge=1)


HEALTHY = Fault()


class FaultBoard:
    def __init__(self) -> None:
        self._faults: dict[Provider, Fault] = dict.fromkeys(get_args(Provider), HEALTHY)

    def set(self, provider: Provider, fault: Fault) -> None:
        self._faults[provider] = fault

    def shown(self) -> dict[Provider, Fault]:
        return dict(self._faults)

    def take(self, provider: Provider) -> Fault:
        """The behaviour for one call; a counted fault is used up by it."""
        fault = self._faults[provider]
        if fault.times is not None:
            left = fault.times - 1
            self._faults[provider] = fault.model_copy(update={"times": left}) if left else HEALTHY
        return fault
