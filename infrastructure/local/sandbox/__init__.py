"""The provider sandbox: mail, Slack, webhooks, SMS and push that record what they received and fail when told to."""

from infrastructure.local.sandbox.app import sandbox_app
from infrastructure.local.sandbox.mail import listen_for_mail
from infrastructure.local.sandbox.reception import Reception
from infrastructure.local.sandbox.settings import SandboxSettings

__all__ = ["Reception", "SandboxSettings", "listen_for_mail", "sandbox_app"]
