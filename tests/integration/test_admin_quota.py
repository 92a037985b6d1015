"""`/admin quota`: rules for whom, what a member has left, grants, resets, and the ledger as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from bot.database.models import LedgerEntryRow, QuotaRow
from tests.integration.simcord_admins import Office, open_office
from tests.integration.simcord_world import is_japanese, open_world


@pytest.fixture(scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """One bot and one engine for all tests of this file; the model draws 64x64 in 4 steps."""
    async with open_world(tmp_path_factory.mktemp("quota")) as world:
        yield open_office(world)


@pytest.fixture(autouse=True)
async def _no_rules(office: Office) -> None:
    async with office.world.database.session() as session:
        for row in await session.scalars(select(QuotaRow)):
            await session.delete(row)


async def test_a_quota_for_each_member(office: Office) -> None:
    text = await office.do("admin quota set", window="day", amount=30)
    assert text.endswith("no rule → 30 pictures (a day, from midnight)")
    assert await office.last_change() == ("quota.set", "default", None, "30/day")
    text = await office.do("admin quota set", window="168h", amount=2.5)
    assert "30 pictures (a day, from midnight) → 2.5 pictures (any 7 days)" in text
    assert await office.last_change() == ("quota.set", "default", "30/day", "2.5/168h")


async def test_quotas_of_a_member_a_role_a_channel_and_the_server(office: Office) -> None:
    world = office.world
    role = world.guild.create_role("artists")
    await office.do("admin quota set", window="week", amount=5, member=world.mika)
    assert (await office.last_change())[1] == f"member:{world.mika.id}"
    await office.do("admin quota set", window="unlimited", role=role)
    assert await office.last_change() == ("quota.set", f"role:{role.id}", None, "unlimited")
    await office.do("admin quota set", window="month", amount=100, channel=world.channel)
    await office.do("admin quota set", window="24h", amount=500, together=True)
    assert await office.last_change() == ("quota.set", "server", None, "500/24h")

    everything = await office.do("admin quota show")
    for line in (
        "each member: unlimited (set by the host)",
        "the server as a whole: 500 pictures (any 24 hours)",
        f"<@&{role.id}>: unlimited",
        f"<#{world.channel.id}>: 100 pictures (a month, from the 1st)",
        f"<@{world.mika.id}>: 5 pictures (a week, from Monday)",
        "requests of a member: 1000 in 1 s",
    ):
        assert line in everything.splitlines()
    assert await office.do("admin quota roles") == f"<@&{role.id}>: unlimited"
    assert await office.do("admin quota channels") == (
        f"<#{world.channel.id}>: 100 pictures (a month, from the 1st)"
    )


async def test_a_quota_of_everybodys_role_is_the_default(office: Office) -> None:
    await office.do("admin quota set", window="day", amount=7, role=office.world.guild.default_role)
    assert (await office.last_change())[1] == "default"


async def test_a_rule_is_taken_away(office: Office) -> None:
    await office.do("admin quota set", window="day", amount=3)
    assert "3 pictures (a day, from midnight) → no rule" in await office.do(
        "admin quota set", window="remove"
    )
    assert await office.last_change() == ("quota.remove", "default", "3/day", None)
    changes = len(await office.audit())
    assert "Nothing changed" in await office.do("admin quota set", window="remove")
    assert len(await office.audit()) == changes, "nothing is written down where nothing happened"
    assert await office.do("admin quota roles") == "None of them has a quota."


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"window": "day"}, "Say how many pictures in `amount`"),
        ({"window": "day", "amount": -1}, "`amount` must be between 0 and 1000000; you gave -1"),
        ({"window": "day", "amount": 1e12}, "`amount` must be between"),
        ({"window": "day", "amount": 1, "together": True, "member": True}, "Choose one of"),
    ],
)
@pytest.mark.parametrize("locale", ["en-US", "ja"])
async def test_a_mistake_is_answered_and_changes_nothing(
    office: Office, options: dict[str, Any], says: str, locale: str
) -> None:
    if "member" in options:
        options = options | {"member": office.world.mika}
    changes = len(await office.audit())
    text = await office.do("admin quota set", locale=locale, **options)
    assert is_japanese(text) == (locale == "ja")
    assert locale == "ja" or says in text
    assert len(await office.audit()) == changes


async def test_what_a_member_has_left(office: Office) -> None:
    world = office.world
    await office.do("admin quota set", window="24h", amount=1)
    before = await office.do("admin quota show", member=world.mika)
    assert "Member: 1 left of 1 picture (any 24 hours); more as time passes" in before
    await world.draw(prompt="1girl", images=4)
    after = await office.do("admin quota show", member=world.mika)
    assert "Member: 0.99 left of" in after
    assert "Waiting or being drawn: 0" in after
    text = await office.do("admin quota reset", member=world.mika, reason="sorry")
    assert text.splitlines()[1:] == ["used: 0.009 → 0", "reason: sorry"]
    action, target, _, _ = await office.last_change()
    assert (action, target) == ("quota.reset", f"member:{world.mika.id}")
    assert await office.do("admin quota show", member=world.mika) == before
    assert "Nothing changed" in await office.do("admin quota reset", member=world.mika)


async def test_granted_pictures(office: Office) -> None:
    world = office.world
    await office.do("admin quota set", window="day", amount=0)
    assert (
        "Nothing is allowed here: this server's quota for each member is 0."
        in (await world.draw(prompt="1girl")).content
    )
    text = await office.do("admin quota grant", member=world.mika, amount=2, days=3, reason="*thanks*")
    assert text.startswith(f"✅ **Pictures granted** · <@{world.mika.id}>")
    assert r"reason: \*thanks\*" in text
    action, _, before, after = await office.last_change()
    assert (action, before, after["pictures"]) == ("quota.grant", None, 2)
    assert (await world.draw(prompt="1girl")).attachments
    shown = await office.do("admin quota show", member=world.mika)
    assert "Granted: 2 pictures left, until <t:" in shown
    await office.do("admin quota grant", member=world.mika, amount=1)
    assert "for good" in await office.do("admin quota show", member=world.mika)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"amount": 0}, "`amount` must be between 0.001 and"),
        ({"amount": 1, "days": 0}, "`days` must be between 1 and 3650; you gave 0"),
        ({"amount": 1, "reason": "x" * 301}, "`reason` has 301 characters"),
        ({"amount": 1, "reason": "a\x00b"}, "`reason` contains invisible"),
    ],
)
async def test_what_cannot_be_granted(office: Office, options: dict[str, Any], says: str) -> None:
    changes = len(await office.audit())
    assert says in await office.do("admin quota grant", member=office.world.ren, **options)
    assert len(await office.audit()) == changes
    async with office.world.database.session() as session:
        assert not list(
            await session.scalars(select(LedgerEntryRow).where(LedgerEntryRow.user_id == office.world.ren.id))
        )


async def test_rules_of_roles_and_channels_that_are_gone_are_forgotten(office: Office) -> None:
    guild = office.world.guild
    roles = [guild.create_role(name) for name in ("stays", "goes")]
    channels = [guild.create_text_channel(name) for name in ("stays", "goes")]
    for role in roles:
        await office.do("admin quota set", window="day", amount=7, role=role)
        await office.do("admin limits", exempt=role)
    for channel in channels:
        await office.do("admin quota set", window="day", amount=7, channel=channel)
    backend = office.world.env.backend
    backend.delete_role(guild.id, roles[1].id)
    backend.delete_channel(channels[1].id)
    await office.world.env.settle()
    text = await office.do("admin quota tidy")
    assert text.startswith("✅ **Rules of what is gone forgotten**")
    assert f"quotas: <#{channels[1].id}> <@&{roles[1].id}> → —" in text
    assert f"exempt roles: <@&{roles[0].id}> <@&{roles[1].id}> → <@&{roles[0].id}>" in text
    shown = await office.do("admin quota show")
    assert f"<@&{roles[0].id}>" in shown
    assert f"<#{channels[0].id}>" in shown
    assert f"<@&{roles[1].id}>" not in shown
    assert "Nothing changed" in await office.do("admin quota tidy")
    assert is_japanese(await office.do("admin quota tidy", locale="ja"))


async def test_granted_pictures_are_taken_back(office: Office) -> None:
    world = office.world
    await office.do("admin quota set", window="day", amount=0)
    await office.do("admin quota grant", member=world.ren, amount=3)
    await office.do("admin quota grant", member=world.ren, amount=2, days=3)
    assert "Granted: 3 pictures left" in await office.do("admin quota show", member=world.ren)
    text = await office.do("admin quota revoke", member=world.ren, reason="by mistake")
    assert text.startswith(f"✅ **Granted pictures taken back** · <@{world.ren.id}>")
    action, _, before, after = await office.last_change()
    assert (action, before) == ("quota.revoke", {"grants": 2, "pictures": 5})
    assert after == {"grants": 0, "pictures": 0, "reason": "by mistake"}
    assert "Granted" not in await office.do("admin quota show", member=world.ren)
    assert "Nothing changed" in await office.do("admin quota revoke", member=world.ren)
    assert is_japanese(await office.do("admin quota revoke", locale="ja", member=world.ren))


async def test_the_ledger_as_a_file(office: Office) -> None:
    world = office.world
    await office.do("admin quota grant", member=world.ren, amount=1, reason="=1+1")
    await world.draw(prompt="1girl")
    result = await office.ask("admin quota export", days=1)
    assert result.response is not None
    [file] = result.response.attachments
    data = await file.read()
    assert file.filename == "ledger.csv"
    assert data.startswith(b"\xef\xbb\xbftime,kind,pictures,member,")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    [embed] = result.response.embeds
    assert embed.description == f"Rows: {len(rows)}. Days: 1."
    settled, reserved, given = rows[:3]
    assert (settled["kind"], reserved["kind"], given["kind"]) == ("settle", "reserve", "grant")
    assert float(reserved["pictures"]) < 0, "a number, which can be added up"
    assert given["reason"] == "'=1+1", "text, which does nothing"
    assert given["member"] == str(world.ren.id)
    assert "`days` must be" in await office.do("admin quota export", days=0)


async def test_in_japanese(office: Office) -> None:
    world = office.world
    for command, options in {
        "admin quota set": {"window": "day", "amount": 9},
        "admin quota show": {},
        "admin quota show ": {"member": world.mika},
        "admin quota grant": {"member": world.mika, "amount": 1},
        "admin quota reset": {"member": world.ren},
        "admin quota roles": {},
        "admin quota export": {},
    }.items():
        assert is_japanese(await office.do(command, locale="ja", **options)), command
