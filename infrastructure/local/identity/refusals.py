"""How Auth0 says no: JSON at the token endpoint, a redirect from /authorize, a page where neither would be safe."""


class TokenRefusal(Exception):
    """Answered as RFC 6749 5.2 JSON, with Auth0's status codes (403 for invalid_grant, not 400)."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status, self.error, self.description = status, error, description


class RedirectRefusal(Exception):
    """Sent back to a callback that has been checked (RFC 6749 4.1.2.1)."""

    def __init__(self, redirect_uri: str, state: str, error: str, description: str) -> None:
        super().__init__(description)
        self.redirect_uri, self.state = redirect_uri, state
        self.error, self.description = error, description


class PageRefusal(Exception):
    """Shown here: redirecting to an unchecked address would be an open redirect (RFC 9700 4.11)."""

    def __init__(self, status: int, title: str, description: str) -> None:
        super().__init__(description)
        self.status, self.title, self.description = status, title, description


def invalid_grant(description: str) -> TokenRefusal:
    return TokenRefusal(403, "invalid_grant", description)


def unknown_audience(audience: str) -> str:
    return f"Service not found: {audience}"
