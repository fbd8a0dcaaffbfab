"""The names by which commands take deliveries and records: what the lists print, so that it can be pasted."""

import re
from dataclasses import dataclass

import typer

_DELIVERY = re.compile(r"(ntf_[a-z2-7]{26})/(dlv_[a-z2-7]{26})")
_PLACE = re.compile(r"(?:notifications\.[a-z]+\.quarantine/)?(\d{1,9})/(\d{1,18})")


@dataclass(frozen=True)
class DeliveryName:
    notification_id: str
    delivery_id: str


@dataclass(frozen=True)
class PlaceName:
    """A place in quarantine."""

    partition: int
    offset: int


def name_of(text: str) -> DeliveryName | PlaceName:
    """Exits with a usage error for what is neither."""
    if (found := _DELIVERY.fullmatch(text)) is not None:
        return DeliveryName(found[1], found[2])
    if (found := _PLACE.fullmatch(text)) is not None:
        return PlaceName(int(found[1]), int(found[2]))
    raise typer.BadParameter(f"{text} is neither a delivery (ntf_…/dlv_…) nor a place in quarantine (PARTITION/OFFSET)")


def delivery_of(text: str) -> DeliveryName:
    """Exits with a usage error for what is no delivery."""
    if (found := _DELIVERY.fullmatch(text)) is not None:
        return DeliveryName(found[1], found[2])
    raise typer.BadParameter(f"{text} is no delivery (ntf_…/dlv_…)")
