import os

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

VENDORED = "vendor/"


class RevalidatedFiles(StaticFiles):
    """Our own files are asked for again (an ETag makes that cheap), vendored ones carry their version in the name."""

    def file_response(
        self, full_path: os.PathLike[str] | str, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        is_vendored = VENDORED in str(full_path)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_vendored else "no-cache"
        return response
