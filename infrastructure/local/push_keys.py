"""Credentials for the push services of the provider sandbox: as the real ones hand them out, and worth nothing there."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from infrastructure.channels.vapid import new_private_key

PROJECT = "carillon-local"
_SUBJECT = "mailto:local@example.com"


def push_variables(folder: Path, sandbox: str, outside: Mapping[str, str]) -> dict[str, str]:
    """What a deployment is told to push to the sandbox; a service the environment has credentials for is left alone.

    The keys are made once and kept: a browser's subscription is bound to the VAPID key it was made with.
    """
    found: dict[str, str] = {}
    if not outside.get("VAPID_PRIVATE_KEY"):
        key = _kept(folder / "vapid.txt", new_private_key)
        found |= {"VAPID_PRIVATE_KEY": key, "VAPID_SUBJECT": _SUBJECT}
    if not outside.get("FCM_CREDENTIALS_FILE"):
        found |= {"FCM_CREDENTIALS_FILE": _service_account(folder, sandbox), "FCM_API_URL": f"{sandbox}/fcm"}
    if not outside.get("APNS_KEY_FILE"):
        file = folder / "apns.p8"
        _kept(file, lambda: _pem(ec.generate_private_key(ec.SECP256R1())))
        found |= {
            "APNS_KEY_FILE": str(file),
            "APNS_KEY_ID": "LOCALKEY01",
            "APNS_TEAM_ID": "LOCALTEAM1",
            "APNS_TOPIC": "local.carillon.demo",
            "APNS_URL": f"{sandbox}/apns",
        }
    return found


def _service_account(folder: Path, sandbox: str) -> str:
    """Written each time, because the sandbox's port may be another; its key stays."""
    key = _kept(folder / "fcm.pem", lambda: _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "local",
        "private_key": key,
        "client_email": f"push@{PROJECT}.iam.gserviceaccount.com",
        "token_uri": f"{sandbox}/fcm/token",
    }
    file = folder / "fcm.json"
    file.unlink(missing_ok=True)
    _write_private(file, json.dumps(account))
    return str(file)


def _kept(file: Path, make: Callable[[], str]) -> str:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_private(file, make())
    return file.read_text(encoding="ascii")


def _write_private(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(text)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
