import pytest

from api.own_path import HOME, own_path

ELSEWHERE = [
    *("//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\\\evil.example", "\\/evil.example"),
    *(
        "https://evil.example",
        "https:evil.example",
        "https:/evil.example",
        "http:evil",
        "HTTPS://evil.example",
        "ftp://evil",
    ),
    *("javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "mailto:a@b"),
    *("evil.example", "www.evil.example/", "@evil.example", "user@evil.example", "//user@evil.example", ".evil.example"),
    *(
        "/%2fevil.example",
        "/%2Fevil.example",
        "/%5cevil.example",
        "/%5Cevil.example",
        "%2f%2fevil.example",
        "/%252fevil.example",
    ),
    *(
        "%09//evil.example",
        "/%09/evil.example",
        "\t//evil.example",
        "/\t/evil.example",
        " //evil.example",
        "/ /evil.example",
    ),
    *("/\r\nLocation: https://evil.example", "/%0d%0aSet-Cookie:a=b", "/%0a/evil", "/\n/evil.example", "/x\x00", "/%00"),
    *("\u2215\u2215evil.example", "/\u2215evil.example", "/\uff0fevil.example", "/%e2%88%95evil", "/\u3000", "\ufeff//evil"),
    *("/a//evil.example", "/.//evil.example", "/..//evil.example", "/./\\evil.example", "/a/%2f/evil", "/;//evil.example"),
    *("", "?next=//evil", "#//evil", "./inbox", "../inbox", "inbox", "/" + "a" * 3000, "/%25252f/[::1", "//[::1]"),
    *("/api/v1/auth/login", "/api/v1/auth/login?next=/", "/api/v1/auth/callback?code=x&state=y", "/api/v1/%61uth/login"),
]

OURS = ["/", "/inbox", "/inbox?unread=1&limit=20", "/ops/lag#dev", "/people/ana%20maria?x=a%26b", "/a/b/c;d=e", "/@ana"]


@pytest.mark.parametrize("wanted", ELSEWHERE, ids=ascii)
def test_a_login_leads_nowhere_but_here(wanted: str) -> None:
    assert own_path(wanted) == HOME


@pytest.mark.parametrize("wanted", OURS)
def test_an_own_path_is_kept(wanted: str) -> None:
    assert own_path(wanted) == wanted
