"""Every fenced block of the pages is run, read, typed, or says why not; what can be told without the stack is told here."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from api.cli.main import app
from infrastructure.settings import Settings
from schemas.requests import NotificationRequest, read_object
from tests.snippets import PAGES, PIECE, READ, RUN, TEXT, TYPED, Snippet, all_snippets, snippets_of

SNIPPETS = all_snippets()
A_COMMAND = re.compile(r"^\s*(?:\$ |curl |carillon |docker |python3? |make |npm |pip |redis-cli |kcat )", re.MULTILINE)
A_SETTING = re.compile(r"(?P<name>[A-Z0-9_]+)=(?P<value>.*)")


def of(*languages: str, without_reason: bool = True) -> list[Any]:
    return [
        pytest.param(snippet, id=snippet.name)
        for snippet in SNIPPETS
        if snippet.language in languages and not (without_reason and snippet.reason)
    ]


def commands_of(snippet: Snippet) -> list[list[str]]:
    """Its commands as words: joined where a backslash continues them, without comments."""
    lines = snippet.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_every_block_is_run_or_read_or_typed_or_says_why_not() -> None:
    kinds = RUN | READ | {TYPED, PIECE, TEXT}
    unknown = [str(snippet) for snippet in SNIPPETS if snippet.language not in kinds]
    assert not unknown, f"tests/snippets.py says what each language is held to; not known there: {unknown}"


def test_the_languages_people_write_in_are_there() -> None:
    assert {"bash", "python", "javascript", "html"} <= {snippet.language for snippet in SNIPPETS if snippet.is_run}


def test_only_what_would_be_run_needs_a_reason() -> None:
    assert not [str(each) for each in SNIPPETS if each.reason and each.language not in RUN | {TYPED}]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_command_stands_where_it_would_not_be_run(page: Path) -> None:
    text, snippets = page.read_text(encoding="utf-8"), snippets_of(page)
    assert text.count("curl ") == sum(each.text.count("curl ") for each in snippets if each.language == "bash")
    assert not [str(each) for each in snippets if each.language == TEXT and A_COMMAND.search(each.text)]


@pytest.mark.parametrize("snippet", of("bash", TYPED, without_reason=False))
def test_a_script_is_one(snippet: Snippet) -> None:
    bash = shutil.which("bash")
    assert bash
    read = subprocess.run([bash, "-n"], input=snippet.text, capture_output=True, text=True, check=False)
    assert read.returncode == 0, f"{snippet}: {read.stderr}"


@pytest.mark.parametrize("snippet", of(TYPED))
def test_a_command_of_operators_can_be_typed_as_it_is_printed(snippet: Snippet) -> None:
    """Its words and options exist; nothing is run. What other people's programs are told needs a reason."""
    for program, *words in commands_of(snippet):
        assert program == "carillon", f"{snippet}: nothing here can check {program}"
        command: Any = typer.main.get_command(app)
        while hasattr(command, "commands"):
            assert words[0] in command.commands, f"{snippet}: carillon has no {words[0]}"
            command = command.commands[words.pop(0)]
        command.make_context(command.name, words)


@pytest.mark.parametrize("snippet", of("json"))
def test_json_is_json_and_a_request_is_one(snippet: Snippet) -> None:
    found = json.loads(snippet.text)
    if "to" in found:
        NotificationRequest.model_validate(read_object(snippet.text.encode()))


@pytest.mark.parametrize("snippet", of("yaml", "toml"))
def test_a_piece_of_a_file_can_be_read(snippet: Snippet) -> None:
    assert yaml.safe_load(snippet.text) if snippet.language == "yaml" else tomllib.loads(snippet.text)


@pytest.mark.parametrize("snippet", of("dotenv"))
def test_a_setting_is_one_and_takes_the_value(snippet: Snippet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(snippet.text, encoding="utf-8")
    names = [match["name"].lower() for line in snippet.text.splitlines() if (match := A_SETTING.match(line))]
    assert names
    for name in names:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DEPLOYMENT", "local")
    assert set(names) <= Settings(_env_file=dotenv).model_fields_set, f"{snippet}: a name that is no setting"
