"""What is committed works on any machine and says only what belongs to the product."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from api.cli.main import app

ROOT = Path(__file__).parents[2]
VENDOR = "api/static/vendor/"
LARGEST, LARGEST_VENDORED = 1_000_000, 2_600_000
# Put together from parts, or this file would be the first to be found.
MACHINE_PATH = re.compile(r"(?<![\w.*})>-])/(?:" + "|".join(("work", "root", r"home/[a-z]+", r"Users/[A-Za-z]+")) + r")/")
PACKAGE_REGISTRIES = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("repo1", "maven", "org"),
            ("repo", "maven", "apache", "org"),
            ("search", "maven", "org"),
            ("registry", "npmjs", "org"),
            ("unpkg", "com"),
            ("cdn", "jsdelivr", "net"),
        )
    )
)
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Everything that is committed, or would be by `git add --all`."""
    git = shutil.which("git")
    assert git
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert ROOT / "pyproject.toml" in paths
    return [path for path in paths if path.is_file()]


def lines_with(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in files
        if not path.relative_to(ROOT).as_posix().startswith(VENDOR)
        for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def the_code_of(page: str) -> str:
    return "\n".join(CODE.findall((ROOT / page).read_text()))


def test_no_file_names_a_path_of_one_machine(files: list[Path]) -> None:
    assert not lines_with(MACHINE_PATH, files)


def test_no_file_names_a_package_registry(files: list[Path]) -> None:
    assert not lines_with(PACKAGE_REGISTRIES, files)


def test_no_file_is_large(files: list[Path]) -> None:
    limits = {path: LARGEST_VENDORED if (ROOT / VENDOR) in path.parents else LARGEST for path in files}
    assert not [path for path, limit in limits.items() if path.stat().st_size > limit]


def test_other_peoples_files_lie_where_they_are_listed(files: list[Path]) -> None:
    """test_vendored.py holds that folder against its list."""
    theirs = [path for path in files if re.search(r"\.min\.(?:js|css)$|\.woff2?$|\.ttf$|\.wasm$|\.jar$", path.name)]
    assert all(path.relative_to(ROOT).as_posix().startswith(VENDOR) for path in theirs)


def test_no_secret_file_is_committed(files: list[Path]) -> None:
    assert not [path for path in files if path.name == ".env" or path.suffix in {".pem", ".key", ".p12"}]


def test_what_ci_calls_can_be_called() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert os.access(ROOT / "deploy" / "carillon", os.X_OK)


def commands_of(program: typer.Typer) -> list[str]:
    """Commands and groups of commands by their names."""
    groups = [each.typer_instance.info.name for each in program.registered_groups if each.typer_instance]
    commands = [each.name or each.callback.__name__ for each in program.registered_commands if each.callback]
    return [*(str(name) for name in groups), *commands]


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md", "docs/migration.md"])
def test_every_command_a_page_names_exists(page: str) -> None:
    code = the_code_of(page)
    targets = set(TARGET.findall((ROOT / "Makefile").read_text()))
    assert set(re.findall(r"(?:^|[`;&|$] ?)make ([a-z-]+)", code, re.MULTILINE)) <= targets
    assert set(re.findall(r"(?:^|[`;&|$] ?)carillon ([a-z-]+)", code, re.MULTILINE)) <= set(commands_of(app))


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_every_command_of_the_dead_letters_can_be_typed_as_it_is_printed(page: str) -> None:
    """Its words and options exist; nothing is run."""
    program = typer.main.get_command(app)
    for line in re.findall(r"(?:^|`)carillon ((?:dlq|unknown) [^`\n]+)", the_code_of(page), re.MULTILINE):
        group, command, *arguments = shlex.split(line)
        typed = program.commands[group].commands[command]  # type: ignore[attr-defined]  # click's groups
        typed.make_context(command, arguments)
