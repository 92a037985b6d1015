"""What can go wrong for those who run a server, and for the host."""

from __future__ import annotations

from bot.errors import MemberError
from bot.i18n import N_


class NotAllowed(MemberError):
    message = N_(
        "This needs the permission Manage Server in this server, or an admin who allows you the command in "
        "Server Settings → Integrations. Nothing was changed."
    )


class NotTheHost(MemberError):
    message = N_("Only the host of this bot can do this. Nothing was changed.")


class NotYourButton(MemberError):
    message = N_("Only who asked for this list can turn its pages, for 15 minutes. Ask for your own.")


class Paused(MemberError):
    message = N_(
        "The host has paused the bot for maintenance. What was asked for before is still drawn. "
        "Nothing was charged; please try again later."
    )


class AmountMissing(MemberError):
    message = N_("Say how many pictures in `{option}`, or choose a window that needs none.")


class OneSubjectOnly(MemberError):
    message = N_("Choose one of {options}, or none of them for the default of each member.")


class NotARate(MemberError):
    message = N_("“{value}” is no rate. Write it like 5/min, 20/h or 3/10s, or write off for none.")


class NotATimeZone(MemberError):
    message = N_("There is no time zone “{value}”. Take one that is suggested, such as Asia/Tokyo or UTC.")


class CannotPostThere(MemberError):
    message = N_(
        "Pictures cannot be posted in {channel}: the bot needs View Channel, Send Messages, Embed Links, "
        "Attach Files and Read Message History there. Nothing was changed."
    )


class ChannelNotKnownYet(MemberError):
    message = N_(
        "Discord has not told the bot about {channel} yet. Nothing was changed; "
        "please try again in a few minutes."
    )


class ServerNotKnownYet(MemberError):
    message = N_("Discord has not told the bot this server's roles and channels yet. Try again in a minute.")


class TooManyNamed(MemberError):
    message = N_("At most {limit} can be named. Take one away first.")


class NotAServer(MemberError):
    message = N_("The bot is in no server with the ID “{value}”. Nothing was changed.")


class BlankText(MemberError):
    message = N_("`{option}` is empty. Write something there.")
