"""An Auth0-shaped identity provider for development: same paths, same quirks, demo people instead of passwords."""

from infrastructure.local.identity.app import identity_app
from infrastructure.local.identity.settings import IdentitySettings

__all__ = ["IdentitySettings", "identity_app"]
