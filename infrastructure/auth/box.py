"""Encryption of what rests in Redis: AES-256-GCM (NIST SP 800-38D) under keys derived from APP_SECRET_KEY."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES, KEY_ID_BYTES, NONCE_BYTES = 32, 8, 12


class Unreadable(Exception):
    """Not made by us, made for another place, or under a key we no longer have."""


class EncryptedBox:
    """Seals under the first secret, opens under any of them: a secret can be rotated without logging people out."""

    def __init__(self, *secrets: str) -> None:
        derived = [_derive(secret.encode()) for secret in secrets if secret]
        if not derived:
            raise ValueError("APP_SECRET_KEY is empty: openssl rand -hex 32")
        self._current = derived[0][0]
        self._keys = {key_id: AESGCM(key) for key_id, key in derived}

    def seal(self, plaintext: bytes, place: bytes) -> bytes:
        """Ciphertext that opens only at `place`: moved to another Redis key it is unreadable."""
        nonce = os.urandom(NONCE_BYTES)
        ciphertext = self._keys[self._current].encrypt(nonce, plaintext, self._current + place)
        return self._current + nonce + ciphertext

    def open(self, sealed: bytes, place: bytes) -> bytes:
        key_id, rest = sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES:]
        key = self._keys.get(key_id)
        if key is None or len(rest) <= NONCE_BYTES:
            raise Unreadable
        try:
            return key.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], key_id + place)
        except InvalidTag as error:
            raise Unreadable from error


def _derive(secret: bytes) -> tuple[bytes, bytes]:
    """A key and its id by HKDF (RFC 5869); the id says nothing about the key."""
    material = HKDF(SHA256(), KEY_BYTES + KEY_ID_BYTES, salt=None, info=b"carillon redis box v1").derive(secret)
    return material[KEY_BYTES:], material[:KEY_BYTES]
