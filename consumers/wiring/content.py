"""How the part is wired that finds the words of a delivery."""

from consumers.handlers.content import Wording
from infrastructure.resources import Resources


def wording_of(resources: Resources) -> Wording:
    return Wording(resources.catalogue, resources.stores.contacts)
