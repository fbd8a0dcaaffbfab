import os
from pathlib import Path

from joserfc.jwk import RSAKey


def load_signing_key(directory: Path) -> RSAKey:
    """The key kept in `directory`, made on first use; tokens stay valid over a restart."""
    path = directory / "signing-key.pem"
    if not path.exists():
        _write_private(path, RSAKey.generate_key(2048).as_pem(private=True))
    key = RSAKey.import_key(path.read_bytes(), {"use": "sig", "alg": "RS256"})
    key.ensure_kid()
    return key


def public_jwks(key: RSAKey) -> dict[str, object]:
    return {"keys": [{**key.as_dict(private=False), "use": "sig", "alg": "RS256"}]}


def _write_private(path: Path, content: bytes) -> None:
    """Nobody else ever sees the file, and a crash leaves none that is half written."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
