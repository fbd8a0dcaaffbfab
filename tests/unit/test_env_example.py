"""`.env.example` and the code say the same: every setting is there with its default, and nothing else is."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from infrastructure.local import wiring
from infrastructure.local.addresses import AWS_CREDENTIALS
from infrastructure.local.services import ServiceSettings
from infrastructure.settings import EXAMPLE_SECRET, Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
SETTING = re.compile(r"#(?P<name>[A-Z0-9_]+)=(?P<value>.*)")
LOCAL_PORTS = (wiring.KAFKA, wiring.DYNAMODB, wiring.REDIS, wiring.IDENTITY_PROVIDER, wiring.SANDBOX, wiring.SANDBOX_SMTP)
READ_BY_BOTOCORE = {*AWS_CREDENTIALS, "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN"}
READ_ELSEWHERE = {"CARILLON_CONFIG", "M2_REPO"}


def the_example() -> dict[str, str]:
    found = [match for line in EXAMPLE.read_text().splitlines() if (match := SETTING.fullmatch(line))]
    assert len({match["name"] for match in found}) == len(found), "a setting stands there twice"
    return {match["name"]: match["value"] for match in found}


def as_text(default: object) -> str:
    match default:
        case SecretStr():
            return default.get_secret_value()
        case bool():
            return str(default).lower()
        case tuple():
            return ",".join(str(each) for each in default)
        case None:
            return ""
        case _:
            return str(default)


def defaults_of(settings: type[Settings] | type[ServiceSettings]) -> dict[str, str]:
    return {
        name.upper(): as_text(field.get_default(call_default_factory=True)) for name, field in settings.model_fields.items()
    }


@pytest.fixture(autouse=True)
def _nothing_set_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in the_example():
        monkeypatch.delenv(name, raising=False)


def test_every_setting_is_there_with_its_default() -> None:
    shown = {name: the_example().get(name) for name in defaults_of(Settings)}
    assert shown == defaults_of(Settings) | {"APP_SECRET_KEY": EXAMPLE_SECRET}


def test_nothing_is_there_that_nobody_reads() -> None:
    known = set(defaults_of(Settings)) | set(defaults_of(ServiceSettings)) | READ_BY_BOTOCORE | READ_ELSEWHERE
    assert set(the_example()) == known | {name for name, _ in LOCAL_PORTS}


def test_the_ports_of_make_run_are_those_of_the_code() -> None:
    shown = the_example()
    assert {name: shown[name] for name, _ in LOCAL_PORTS} == {name: str(port) for name, port in LOCAL_PORTS}


def test_the_local_services_have_the_defaults_shown() -> None:
    only_theirs = defaults_of(ServiceSettings).keys() - defaults_of(Settings).keys()
    assert {name: the_example()[name] for name in only_theirs} == {
        name: default for name, default in defaults_of(ServiceSettings).items() if name in only_theirs
    }


def test_every_setting_is_explained_in_the_line_above_it() -> None:
    lines = EXAMPLE.read_text().splitlines()
    unexplained = [
        line
        for before, line in pairwise(lines)
        if SETTING.fullmatch(line) and not re.fullmatch(r"# [A-Za-z0-9`].{4,}", before)
    ]
    assert not unexplained


def test_uncommenting_everything_changes_nothing_but_the_secret(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(SETTING.sub(r"\g<name>=\g<value>", EXAMPLE.read_text()).replace("production", "local"))
    as_shipped = Settings(_env_file=None, deployment="local", app_secret_key=SecretStr(EXAMPLE_SECRET))
    assert Settings(_env_file=dotenv) == as_shipped


def test_the_example_secret_is_refused_in_production(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"APP_SECRET_KEY={EXAMPLE_SECRET * 8}\n")
    with pytest.raises(ValidationError, match="APP_SECRET_KEY"):
        Settings(_env_file=dotenv)
