"""`/preset`: the styles of a server. Everybody may look; who manages the server may change them."""

from __future__ import annotations

from collections.abc import Sequence

import discord
from discord import app_commands
from discord.app_commands import Choice, locale_str
from discord.ext import commands
from discord.utils import format_dt

from bot.client import TrinArtBot
from bot.errors import MemberError
from bot.i18n import N_, Translate, translator
from bot.server_presets import PresetChange, PresetDraft, ServerPreset, check_may_change
from cogs.admin_answer import manager_of
from cogs.answers import told
from cogs.preset_form import PresetForm, read_form
from cogs.render import COLOUR, MAX_CONTENT, MAX_DESCRIPTION, MAX_FIELD, clip, plain

MAX_CHOICES = 25
MAX_VERSIONS_TOLD = 20


class Presets(commands.Cog):
    """The command group; the rules are in `bot/server_presets.py`."""

    preset = app_commands.Group(
        name="preset",
        description=locale_str(N_("The styles of this server")),
        auto_locale_strings=False,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False),
    )

    def __init__(self, bot: TrinArtBot) -> None:
        self.bot = bot
        self._store = bot.services.presets

    @preset.command(
        name="create",
        description=locale_str(N_("Add a style to this server (needs Manage Server)")),
        auto_locale_strings=False,
    )
    async def create(self, interaction: discord.Interaction[TrinArtBot]) -> None:
        """Show an empty form."""
        async with told(interaction):
            check_may_change(manager_of(interaction))
            t = translator(interaction.locale.value)
            await interaction.response.send_modal(PresetForm(t("New preset"), t))

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction[TrinArtBot]) -> None:
        """A form was sent, perhaps one that an earlier process showed."""
        written = read_form(interaction)
        if written is None:
            return
        async with told(interaction, written.file(translator(interaction.locale.value))):
            await interaction.response.defer(ephemeral=True, thinking=True)
            if written.changes:
                await self._edit(interaction, written.changes, written.draft)
            else:
                await self._create(interaction, written.name, written.draft)

    async def _create(
        self, interaction: discord.Interaction[TrinArtBot], name: str, draft: PresetDraft
    ) -> None:
        made = await self._store.create(manager_of(interaction), name, draft)
        t = translator(interaction.locale.value)
        text = t("The preset “{preset}” can be used from now on.", preset=plain(made.name))
        await _answer(interaction, text, preset_embed([made], t))

    @preset.command(
        name="edit",
        description=locale_str(N_("Change a style of this server (needs Manage Server)")),
        auto_locale_strings=False,
    )
    @app_commands.rename(name=locale_str(N_("name")))
    @app_commands.describe(name=locale_str(N_("The style")))
    async def edit(self, interaction: discord.Interaction[TrinArtBot], name: str) -> None:
        """Show the form with what the preset says now."""
        async with told(interaction):
            admin = manager_of(interaction)
            check_may_change(admin)
            old = await self._store.get(admin.guild_id, name)
            t = translator(interaction.locale.value)
            await interaction.response.send_modal(PresetForm(old.name, t, name=old.name, old=old.draft))

    async def _edit(
        self, interaction: discord.Interaction[TrinArtBot], name: str, draft: PresetDraft
    ) -> None:
        change = await self._store.edit(manager_of(interaction), name, draft)
        t = translator(interaction.locale.value)
        if change.before == change.after:
            await _answer(interaction, t("Nothing was changed."), None)
            return
        text = t(
            "“{preset}” is at version {version} now. The earlier one stays as `{old}`.",
            preset=plain(change.after.name),
            version=change.after.version,
            old=change.before.label,
        )
        await _answer(interaction, text, change_embed(change, t))

    @preset.command(
        name="delete",
        description=locale_str(N_("Take a style away from this server (needs Manage Server)")),
        auto_locale_strings=False,
    )
    @app_commands.rename(name=locale_str(N_("name")))
    @app_commands.describe(name=locale_str(N_("The style")))
    async def delete(self, interaction: discord.Interaction[TrinArtBot], name: str) -> None:
        """Delete the newest version; nothing is lost."""
        async with told(interaction):
            await interaction.response.defer(ephemeral=True)
            last = await self._store.delete(manager_of(interaction), name)
            t = translator(interaction.locale.value)
            text = t(
                "The preset “{preset}” is deleted. "
                "Pictures that were made with it can be made again with `{label}`.",
                preset=plain(last.name),
                label=last.label,
            )
            await _answer(interaction, text, None)

    @preset.command(
        name="list", description=locale_str(N_("The styles of this server")), auto_locale_strings=False
    )
    async def show_all(self, interaction: discord.Interaction[TrinArtBot]) -> None:
        """Show the server's own presets."""
        async with told(interaction):
            await interaction.response.defer(ephemeral=True)
            live = await self._store.live(interaction.guild_id or 0)
            await _answer(interaction, None, list_embed(live, translator(interaction.locale.value)))

    @preset.command(
        name="show",
        description=locale_str(N_("What a style of this server says, and its versions")),
        auto_locale_strings=False,
    )
    @app_commands.rename(name=locale_str(N_("name")))
    @app_commands.describe(name=locale_str(N_("The style, or one version of it such as Foggy@2")))
    async def show(self, interaction: discord.Interaction[TrinArtBot], name: str) -> None:
        """Show a preset's texts."""
        async with told(interaction):
            await interaction.response.defer(ephemeral=True)
            versions = await self._store.versions(interaction.guild_id or 0, name)
            t = translator(interaction.locale.value)
            await _answer(interaction, None, preset_embed(versions, t))

    @edit.autocomplete("name")
    @delete.autocomplete("name")
    @show.autocomplete("name")
    async def complete_name(
        self, interaction: discord.Interaction[TrinArtBot], current: str
    ) -> list[Choice[str]]:
        """Names of the server's own presets."""
        try:
            live = await self._store.live(interaction.guild_id or 0)
        except MemberError:
            return []
        typed = current.strip().casefold()
        names = [preset.name for preset in live if typed in preset.name.casefold()]
        return [Choice(name=name, value=name) for name in names[:MAX_CHOICES]]


def list_embed(presets: Sequence[ServerPreset], t: Translate) -> discord.Embed:
    """One line per preset."""
    lines = [
        f"**{plain(preset.name)}** `@{preset.version}`"
        + (f" — {plain(preset.draft.description)}" if preset.draft.description else "")
        for preset in presets
    ]
    text = "\n".join(lines) or t("This server has no presets of its own.")
    return discord.Embed(
        title=t("Presets of this server"), description=clip(text, MAX_DESCRIPTION), colour=COLOUR
    )


def preset_embed(versions: Sequence[ServerPreset], t: Translate) -> discord.Embed:
    """The newest of these versions that says something, and which versions there are."""
    shown = next(version for version in versions if not version.deleted)
    embed = discord.Embed(
        title=plain(shown.label), description=plain(shown.draft.description) or None, colour=COLOUR
    )
    for name, text in _words(shown.draft, t).items():
        embed.add_field(name=name, value=clip(plain(text), MAX_FIELD) or "—", inline=False)
    lines = [_version(version, t) for version in versions[:MAX_VERSIONS_TOLD]]
    embed.add_field(name=t("Versions"), value=clip("\n".join(lines), MAX_FIELD), inline=False)
    return embed


def change_embed(change: PresetChange, t: Translate) -> discord.Embed:
    """Each text that is another one now: what it was, and what it is."""
    embed = discord.Embed(title=plain(change.after.label), colour=COLOUR)
    old, new = _texts(change.before.draft, t), _texts(change.after.draft, t)
    half = MAX_FIELD // 2 - 10
    for name, text in new.items():
        if text != old[name]:
            was, now = (clip(plain(each), half) or "—" for each in (old[name], text))
            embed.add_field(name=name, value=f"**−** {was}\n**+** {now}", inline=False)
    return embed


def _texts(draft: PresetDraft, t: Translate) -> dict[str, str]:
    return {t("Description"): draft.description, **_words(draft, t)}


def _words(draft: PresetDraft, t: Translate) -> dict[str, str]:
    return {t("Added to the prompt"): draft.prompt, t("Kept out of the picture"): draft.negative}


def _version(version: ServerPreset, t: Translate) -> str:
    by = f"<@{version.author_id}>" if version.author_id else "—"
    text = f"`@{version.version}` {format_dt(version.created_at, 'f')} {by}"
    return t("{version}: deleted", version=text) if version.deleted else text


async def _answer(
    interaction: discord.Interaction[TrinArtBot], text: str | None, embed: discord.Embed | None
) -> None:
    await interaction.edit_original_response(
        content=clip(text, MAX_CONTENT) if text is not None else None,
        embed=embed,
        allowed_mentions=discord.AllowedMentions.none(),
    )


async def setup(bot: TrinArtBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Presets(bot))
