"""What an id looks like in a path, for the router: `/batch` is not read as an id, and another method there is a 405."""

from starlette.convertors import StringConvertor, register_url_convertor

NOTIFICATION_ID, ITEM_ID = r"ntf_[a-z2-7]{26}", r"dlv_[a-z2-7]{26}"


class _NotificationId(StringConvertor):
    regex = NOTIFICATION_ID


class _ItemId(StringConvertor):
    regex = ITEM_ID


# Starlette's one way to tell it: from here on a path may say `{notification_id:ntf}` or `{notification_id:dlv}`.
register_url_convertor("ntf", _NotificationId())
register_url_convertor("dlv", _ItemId())

ONE_NOTIFICATION, ONE_ITEM = "/{notification_id:ntf}", "/{notification_id:dlv}"
