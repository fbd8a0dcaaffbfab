"""Only our own entrances can make the mark by which route trusts a producer's name."""

import pytest

from schemas.seal import is_sealed, seal

KEY = b"k" * 32
SEALED = ("notifications.dev.requests", "r-1", "user:ana", b"{}")
MARK = "d17b05ab22539b29237f929a11535e61b40c90415930cc02678f777f885b647a"


def test_the_recipe_never_changes_or_records_under_way_would_be_refused() -> None:
    assert seal(KEY, *SEALED) == MARK


def test_what_was_sealed_is_recognised() -> None:
    assert is_sealed(KEY, MARK, *SEALED)


@pytest.mark.parametrize(
    "changed",
    [
        ("notifications.prod.requests", "r-1", "user:ana", b"{}"),
        ("notifications.dev.requests", "r-2", "user:ana", b"{}"),
        ("notifications.dev.requests", "r-1", "user:eve", b"{}"),
        ("notifications.dev.requests", "r-1", "user:ana", b"{ }"),
        ("notifications.dev.requests", "r-1user:", "ana", b"{}"),
        ("notifications.dev.requestsr-1", "", "user:ana", b"{}"),
    ],
)
def test_a_seal_holds_for_one_place_id_producer_and_body(changed: tuple[str, str, str, bytes]) -> None:
    assert not is_sealed(KEY, MARK, *changed)


@pytest.mark.parametrize("forged", ["", "0" * 64, MARK.upper(), MARK[:-1], MARK + "0", "é" * 64])
def test_another_mark_is_none(forged: str) -> None:
    assert not is_sealed(KEY, forged, *SEALED)


def test_another_key_makes_another_mark() -> None:
    assert not is_sealed(b"x" * 32, MARK, *SEALED)
