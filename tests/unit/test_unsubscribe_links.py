"""An unsubscribe link says one thing, and nobody else can make one."""

import pytest

from schemas.unsubscribe import UnsubscribeScope, link_token, read_token

KEY, OLD, FOREIGN = b"k" * 32, b"o" * 32, b"f" * 32
SCOPE = UnsubscribeScope(environment="dev", person="auth0|ana ✓", category="offers/summer")


def test_a_link_is_read_back_as_it_was_made_also_after_the_key_was_rotated() -> None:
    assert read_token((KEY,), link_token(KEY, SCOPE)) == SCOPE
    assert read_token((KEY, OLD), link_token(OLD, SCOPE)) == SCOPE
    assert link_token(KEY, SCOPE) == link_token(KEY, SCOPE)


def test_a_link_fits_a_path_and_a_header() -> None:
    token = link_token(KEY, SCOPE)
    assert token.replace(".", "").replace("-", "").replace("_", "").isalnum()
    assert token.isascii()


def test_a_foreign_signature_is_refused() -> None:
    assert read_token((KEY, OLD), link_token(FOREIGN, SCOPE)) is None
    assert read_token((), link_token(KEY, SCOPE)) is None


def test_no_byte_of_it_can_be_changed() -> None:
    token = link_token(KEY, SCOPE)
    for place in range(len(token)):
        other = "A" if token[place] != "A" else "B"
        assert read_token((KEY,), token[:place] + other + token[place + 1 :]) is None, place


@pytest.mark.parametrize("field", [{"person": "ben"}, {"category": "orders"}, {"environment": "prod"}, {"channel": "*"}])
def test_the_signature_of_one_scope_is_none_for_another(field: dict[str, str]) -> None:
    said = link_token(KEY, SCOPE.model_copy(update=field)).split(".")[0]
    assert read_token((KEY,), f"{said}.{link_token(KEY, SCOPE).split('.')[1]}") is None


@pytest.mark.parametrize("text", ["", ".", "a", "a.b.c", "%%%.%%%", "ä.ö", "." * 400, "YQ==.YQ=="])
def test_rubbish_is_refused(text: str) -> None:
    assert read_token((KEY,), text) is None
