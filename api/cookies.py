"""The two cookies of a login. `__Host-` ties a cookie to this host and to https (RFC 6265bis section 4.1.3.2)."""

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

from infrastructure.settings import LOOPBACK

LOGIN_LIFETIME_S = 600


class Cookies:
    """Names and attributes for one public address. Raises `ValueError` for one where a cookie could be overheard."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._secure = parts.scheme == "https"
        if not self._secure and parts.hostname not in LOOPBACK:
            raise ValueError("PUBLIC_URL must be https outside loopback: the session cookie travels over it")
        prefix = "__Host-" if self._secure else ""
        self.session_name, self.login_name = f"{prefix}carillon", f"{prefix}carillon-login"

    def session(self, connection: HTTPConnection) -> str:
        return connection.cookies.get(self.session_name, "")

    def login(self, connection: HTTPConnection) -> str:
        return connection.cookies.get(self.login_name, "")

    def set_session(self, response: Response, value: str) -> None:
        """Without an age: the session's own end is kept on the server, and moves while it is in use."""
        self._set(response, self.session_name, value, None)

    def set_login(self, response: Response, value: str) -> None:
        self._set(response, self.login_name, value, LOGIN_LIFETIME_S)

    def clear(self, response: Response) -> None:
        for name in (self.session_name, self.login_name):
            self._set(response, name, "", 0)

    def _set(self, response: Response, name: str, value: str, max_age: int | None) -> None:
        # Lax, not Strict: the callback comes from the provider's site and needs the login cookie
        response.set_cookie(name, value, max_age, path="/", secure=self._secure, httponly=True, samesite="lax")
