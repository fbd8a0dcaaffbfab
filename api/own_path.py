import re
from urllib.parse import unquote

MAX_LENGTH = 2048
HOME = "/"
# What a path, query and fragment may be made of (RFC 3986 section 3.3 to 3.5): no spaces, controls or backslashes.
OWN_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/?#]*")
LOGIN_PATHS = "/api/v1/auth/"


def own_path(wanted: str) -> str:
    """`wanted` if it can only lead to a page of ours, else the start page (RFC 9700 section 4.11).

    It is judged as it stands and as a proxy that decodes it once or twice would see it.
    """
    if len(wanted) > MAX_LENGTH or not OWN_PATH.fullmatch(wanted):
        return HOME
    once = unquote(wanted)
    return wanted if all(_is_own(seen) for seen in (wanted, once, unquote(once))) else HOME


def _is_own(seen: str) -> bool:
    path = re.split(r"[?#]", seen, maxsplit=1)[0]
    harmless = seen.isascii() and seen.isprintable() and "\\" not in seen and "//" not in path
    return harmless and not path.startswith(LOGIN_PATHS)
