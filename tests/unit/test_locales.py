"""Languages: one spelling each, and which text somebody gets."""

import pytest

from infrastructure.auth.user import user_of
from schemas.locales import locale_or_none, looked_for, normal
from schemas.recipients import Contact
from schemas.requests import Channel
from schemas.templates import LocalTexts, Template, Texts
from tests.fakes.stores import FakeContacts

WELCOME = Template(
    name="welcome",
    title="Hello",
    body="Good to have you here",
    html="<p>Good to have you here</p>",
    url="/en",
    channels={"slack": Texts(body="hi")},
    locales={
        "fr": LocalTexts(title="Bonjour", body="Bienvenue", channels={"slack": Texts(body="salut")}),
        "fr-CA": LocalTexts(title="Allô"),
        "de": LocalTexts(body="Schön", html="<p>Schön</p>"),
    },
)


@pytest.mark.parametrize(
    ("said", "spelt"),
    [
        ("fr", "fr"),
        ("FR-ca", "fr-CA"),
        ("ZH-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("de-DE-u-CO-phonebk", "de-DE-u-co-phonebk"),
        ("sl-ROZAJ", "sl-rozaj"),
    ],
)
def test_each_language_has_one_spelling(said: str, spelt: str) -> None:
    assert normal(said) == spelt
    assert normal(spelt) == spelt


@pytest.mark.parametrize(
    "said", ["", "f", "fr_CA", "fr-", "-fr", "fr--CA", "français", "fr\n", "a" * 9, "fr-" + "abcdefgh-" * 4]
)
def test_what_is_no_language_tag_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="BCP 47"):
        normal(said)


@pytest.mark.parametrize(("said", "known"), [("fr_CA", "fr-CA"), ("EN", "en"), ("?", None), (None, None), (7, None)])
def test_a_login_may_write_it_in_its_own_way(said: object, known: str | None) -> None:
    assert locale_or_none(said) == known


async def test_a_login_that_tells_its_language_is_remembered() -> None:
    claims = {"sub": "zoe", "iss": "https://idp", "exp": 4_000_000_000, "locale": "fr_ca"}
    user = user_of(claims, "sub")
    contacts = FakeContacts()
    await contacts.learn("dev", Contact(person=user.id, locale=user.locale or None))
    known = await contacts.get("dev", "zoe")
    assert known is not None
    assert known.locale == "fr-CA"
    assert user_of(claims | {"locale": ["fr"]}, "sub").locale == ""


@pytest.mark.parametrize(
    ("locale", "tags"),
    [("fr-CA", ["fr-CA", "fr"]), ("zh-Hant-TW", ["zh-Hant-TW", "zh-Hant", "zh"]), (None, [])],
)
def test_the_language_is_looked_for_behind_the_region(locale: str | None, tags: list[str]) -> None:
    assert list(looked_for(locale)) == tags


def test_a_single_letter_is_never_looked_for_alone() -> None:
    assert list(looked_for("de-u-co")) == ["de-u-co", "de"]


@pytest.mark.parametrize(
    ("locale", "channel", "title", "body", "html"),
    [
        (None, "in_app", "Hello", "Good to have you here", "<p>Good to have you here</p>"),
        ("ja", "email", "Hello", "Good to have you here", "<p>Good to have you here</p>"),
        (None, "slack", "Hello", "hi", None),
        ("fr", "in_app", "Bonjour", "Bienvenue", None),
        ("fr-CA", "email", "Allô", "Bienvenue", None),
        ("fr-CA", "slack", "Allô", "salut", None),
        ("de-AT", "email", "Hello", "Schön", "<p>Schön</p>"),
        ("de", "slack", "Hello", "Schön", "<p>Schön</p>"),
    ],
)
def test_each_part_is_the_nearest_and_html_comes_with_its_body(
    locale: str | None, channel: Channel, title: str, body: str, html: str | None
) -> None:
    """Somebody's language before the channel's own wording: an English short text is no help to a German."""
    texts = WELCOME.chosen(locale, channel)
    assert (texts.title, texts.body, texts.html, texts.url) == (title, body, html, "/en")


def test_a_locale_is_found_however_the_file_spells_it() -> None:
    template = Template.model_validate({"name": "t", "body": "Hi", "locales": {"FR-ca": {"body": "Allô"}}})
    assert template.chosen("fr-CA", "in_app").body == "Allô"
