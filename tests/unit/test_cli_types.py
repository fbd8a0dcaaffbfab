"""`carillon types check`: what a start would say, before the start."""

from pathlib import Path

from typer.testing import CliRunner

from api.cli.main import app
from api.cli.types import _of_one_noun
from schemas.versions import Head

ROOT = Path(__file__).parents[2]


def test_the_folder_we_ship_can_be_used() -> None:
    answer = CliRunner().invoke(app, ["types", "check", str(ROOT / "deploy" / "types")])
    assert (answer.exit_code, answer.output.endswith("all of which can be used.\n")) == (0, True)
    assert "9 types and 9 templates" in answer.output


def test_a_broken_folder_is_said_with_file_part_and_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("templates: [{name: a, body: '{{ oops'}]")
    answer = CliRunner().invoke(app, ["types", "check", str(tmp_path)])
    assert answer.exit_code == 1
    assert "mine.yaml: template a@1, body, line 1" in answer.output


def test_of_a_name_in_both_places_the_folders_is_listed() -> None:
    rows = _of_one_noun(
        "type", [Head(name="b", newest=1)], [Head(name="a", newest=3, retired=True), Head(name="b", newest=7)]
    )
    assert [(row["name"], row["version"], row["source"]) for row in rows] == [("a", 3, "retired"), ("b", 1, "folder")]
