from pathlib import Path

import pytest

from infrastructure.catalogue import BrokenCatalogue, load_catalogue
from schemas.catalogue import Catalogue, UnknownName, Unresolved
from schemas.requests import NotificationRequest
from schemas.templates import Template
from schemas.types import PLAIN, NotificationType

ROOT = Path(__file__).parents[2]


def a_folder(tmp_path: Path, *texts: str) -> Path:
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def a_template(version: int = 1, name: str = "welcome") -> Template:
    return Template(name=name, version=version, body=f"v{version}")


def test_a_name_means_the_newest_version_unless_it_pins_one() -> None:
    catalogue = Catalogue.of([], [a_template(3), a_template(1), a_template(2)])
    assert catalogue.template("welcome").version == 3
    assert catalogue.template("welcome@1").version == 1


def test_without_a_type_a_request_is_plain() -> None:
    assert Catalogue.of([], []).type(None) is PLAIN


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match="no template is named bye; there are: welcome"):
        Catalogue.of([], [a_template()]).template("bye")
    with pytest.raises(UnknownName, match="there are: none"):
        Catalogue.of([], []).type("order.shipped")


def a_request(**fields: str) -> NotificationRequest:
    return NotificationRequest.model_validate({"to": "ana", **fields})


@pytest.mark.parametrize(
    ("fields", "kind", "template"),
    [
        ({"type": "order"}, "order", "welcome@2"),
        ({"type": "order", "message": "Hi"}, "order", None),
        ({"type": "order", "template": "welcome@1"}, "order", "welcome@1"),
        ({"template": "welcome"}, PLAIN.name, "welcome@2"),
        ({"message": "Hi"}, PLAIN.name, None),
    ],
)
def test_a_request_is_resolved_to_its_type_and_a_pinned_template(
    fields: dict[str, str], kind: str, template: str | None
) -> None:
    catalogue = Catalogue.of([NotificationType(name="order", template="welcome")], [a_template(1), a_template(2)])
    found, pinned = catalogue.resolve(a_request(**fields))
    assert (found.name, pinned) == (kind, template)


@pytest.mark.parametrize(
    ("fields", "reason", "pointer"),
    [
        ({"type": "gone", "message": "Hi"}, "unknown_type", "/type"),
        ({"template": "gone"}, "unknown_template", "/template"),
        ({"type": "bare"}, "nothing_to_send", "/message"),
    ],
)
def test_what_cannot_be_resolved_names_the_field_to_change(fields: dict[str, str], reason: str, pointer: str) -> None:
    with pytest.raises(Unresolved) as refused:
        Catalogue.of([NotificationType(name="bare")], []).resolve(a_request(**fields))
    assert (refused.value.reason, refused.value.pointer) == (reason, pointer)
    assert refused.value.detail


def test_the_same_name_and_version_twice_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="welcome@1 is defined twice"):
        Catalogue.of([], [a_template(), a_template()])


def test_a_type_without_its_template_is_a_mistake() -> None:
    with pytest.raises(UnknownName):
        Catalogue.of([NotificationType(name="order", template="gone")], [])


def test_files_of_a_folder_are_one_catalogue(tmp_path: Path) -> None:
    folder = a_folder(
        tmp_path, "types: [{name: order, template: order, expires_after: 15m}]", "templates: [{name: order, body: Hi}]", ""
    )
    catalogue = load_catalogue(folder)
    assert catalogue.type("order").expires_after is not None
    assert catalogue.template("order").body == "Hi"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("types: [", "0.yaml"),
        ("typos: []", "typos"),
        ("types: [{name: a, channels: [fax]}]", "channels"),
        ("types: [{name: a, template: gone}]", "gone"),
        ("templates: [{name: a, body: '{{ oops'}]", "a@1, body, line 1"),
        ("templates: [{name: a, body: 'x', title: '{% if %}'}]", "a@1, title"),
        ("templates: [{name: a, body: '{{ x | nosuchfilter }}'}]", "nosuchfilter"),
        ("templates: [{name: a, body: x, locales: {fr: {body: '{{ oops'}}}]", "locales/fr/body, line 1"),
        ("templates: [{name: a, body: x, locales: {Latin_1: {body: y}}}]", "BCP 47"),
        ("types: [{name: a, variables_schema: {type: text}}]", "a@1, variables_schema/type"),
        ("types: [{name: a, variables_schema: {$ref: 'https://evil.example'}}]", "of the schema itself"),
        (
            "types: [{name: a, template: t, variables_schema: {properties: {n: {}}}}]\n"
            "templates: [{name: t, body: '{{ m }}'}]",
            "line 1: m is not among",
        ),
        ("!!python/object/apply:os.system ['true']", "0.yaml"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_and_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BrokenCatalogue, match=named):
        load_catalogue(a_folder(tmp_path, text))


def test_a_folder_says_the_same_as_the_api(tmp_path: Path) -> None:
    """Locales, texts per channel and a schema, with a template that keeps to it."""
    text = """
types:
  - name: signup
    template: welcome
    variables_schema: {type: object, required: [name], properties: {name: {type: string}}}
templates:
  - name: welcome
    title: "Hello {{ name }}"
    body: "Good to have you here"
    channels: {slack: {body: "hi {{ name }}"}}
    locales:
      fr: {title: "Bonjour {{ name }}", channels: {slack: {body: "salut"}}}
"""
    found = load_catalogue(a_folder(tmp_path, text)).template("welcome")
    assert found.chosen("fr-CA", "slack").body == "salut"


def test_a_missing_folder_is_a_mistake_and_no_empty_catalogue(tmp_path: Path) -> None:
    with pytest.raises(BrokenCatalogue, match="no folder"):
        load_catalogue(tmp_path / "gone")


def test_the_examples_we_ship_can_be_used() -> None:
    assert load_catalogue(ROOT / "deploy" / "types").type("order.shipped").template == "order-shipped"
