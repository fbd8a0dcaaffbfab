"""What an id looks like in a path, for the router: `/batch` is not read as an id, and another method there is a 405."""

from starlette.convertors import StringConvertor, register_url_convertor

NOTIFICATION_ID, ITEM_ID = r"ntf_[a-z2-7]{26}", r"dlv_[a-z2-7]{26}"


class _Id(StringConvertor):
    regex = f"{NOTIFICATION_ID}|{ITEM_ID}"


# Starlette's one way to tell it: from here on a path may say `{notification_id:id}`.
register_url_convertor("id", _Id())

# one place for both kinds, as OpenAPI sees it; which of them a method means is its own affair
BY_ID = "/{notification_id:id}"
