"""How the parts are wired by which deliveries wait: whose clock, which choices, which caps."""

from consumers.capping import Capping
from consumers.choices import Choices, Links
from consumers.clocks import Clocks
from consumers.waits import Waits
from infrastructure.erasing import Marks, Pseudonyms
from infrastructure.resources import Resources


def marks_of(resources: Resources) -> Marks:
    return Marks(resources.stores.erasures, Pseudonyms.of(resources.settings))


def choices_of(resources: Resources) -> Choices:
    settings = resources.settings
    links = Links.of(settings)
    return Choices(resources.stores.preferences, settings.mandatory_categories, links, marks_of(resources))


def clocks_of(resources: Resources) -> Clocks:
    return Clocks(resources.stores.contacts, choices_of(resources), resources.settings.default_time_zone)


def capping_of(resources: Resources) -> Capping:
    across_types = resources.settings.person_caps
    return Capping(resources.stores.caps, resources.catalogue, choices_of(resources), across_types)


def waits_of(resources: Resources) -> Waits:
    stores = resources.stores
    return Waits(clocks_of(resources), choices_of(resources), capping_of(resources), stores.notifications, stores.timers)
