"""The demo people. Real Auth0 subjects look like `auth0|65f…`; here they are plain names, so that old clients which
connect with `user_id=user123` meet the person who logs in as `user123`."""

from dataclasses import dataclass

OPERATOR_PERMISSIONS = (
    "notifications:send",
    "notifications:broadcast",
    "ops:read",
    "ops:write",
    "types:write",
    "templates:write",
    "people:write",
    "keys:write",
)


@dataclass(frozen=True, slots=True)
class Person:
    sub: str
    name: str
    email: str
    about: str
    permissions: tuple[str, ...] = ("notifications:send",)

    @property
    def initials(self) -> str:
        return "".join(word[0] for word in self.name.split())[:2].upper()

    def claims(self, scope: frozenset[str]) -> dict[str, object]:
        """The profile claims a scope asks for (OpenID Connect Core 5.4)."""
        profile = {"name": self.name, "nickname": self.sub} if "profile" in scope else {}
        email = {"email": self.email, "email_verified": True} if "email" in scope else {}
        return {**profile, **email}


PEOPLE = {
    person.sub: person
    for person in (
        Person("ana", "Ana Moreau", "ana@example.com", "Reads her inbox, minds her quiet hours"),
        Person("ben", "Ben Okafor", "ben@example.com", "Somebody else, to see who gets what"),
        Person("user123", "User 123", "user123@example.com", "The user of the older clients"),
        Person("olga", "Olga Lindqvist", "olga@example.com", "Operator: may see and do everything", OPERATOR_PERMISSIONS),
    )
}
