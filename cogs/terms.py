"""`/terms` and `/license`: what members agree to, and whose work the bot is made of."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.app_commands import locale_str
from discord.ext import commands

from bot.client import TrinArtBot
from bot.errors import MemberError
from bot.i18n import N_, Translate, translator
from bot.safety.use_terms import LICENCE_URL
from cogs.accept import AcceptButton, show_terms, terms_embed
from cogs.answers import told
from cogs.render import COLOUR, plain

HUB = "https://huggingface.co/naclbit"
MODELS = (
    ("TrinArt Derrida Characters v2", f"{HUB}/trinart_derrida_characters_v2_stable_diffusion"),
    ("TrinArt Characters v1", f"{HUB}/trinart_characters_19.2m_stable_diffusion_v1"),
    ("TrinArt Stable Diffusion v2", f"{HUB}/trinart_stable_diffusion_v2"),
    ("Stable Diffusion v1", "https://huggingface.co/CompVis/stable-diffusion-v1-4"),
)
APACHE_URL = "https://www.apache.org/licenses/LICENSE-2.0"
LIBRARIES = (
    ("ahocorasick-rs", "Apache-2.0", "https://github.com/G-Research/ahocorasick_rs"),
    ("aiohttp", "Apache-2.0", "https://github.com/aio-libs/aiohttp"),
    ("aiosqlite", "MIT", "https://github.com/omnilib/aiosqlite"),
    ("alembic", "MIT", "https://github.com/sqlalchemy/alembic"),
    ("babel", "BSD-3-Clause", "https://github.com/python-babel/babel"),
    ("CLIP", "MIT", "https://github.com/openai/CLIP"),
    ("diffusers", "Apache-2.0", "https://github.com/huggingface/diffusers"),
    ("discord.py", "MIT", "https://github.com/Rapptz/discord.py"),
    ("ftfy", "Apache-2.0", "https://github.com/rspeer/python-ftfy"),
    ("matplotlib", "PSF", "https://matplotlib.org"),
    ("msgspec", "BSD-3-Clause", "https://github.com/jcrist/msgspec"),
    ("pillow", "MIT-CMU", "https://github.com/python-pillow/Pillow"),
    ("pydantic-settings", "MIT", "https://github.com/pydantic/pydantic-settings"),
    ("rich", "MIT", "https://github.com/Textualize/rich"),
    ("safetensors", "Apache-2.0", "https://github.com/huggingface/safetensors"),
    ("sqlalchemy", "MIT", "https://github.com/sqlalchemy/sqlalchemy"),
    ("structlog", "MIT OR Apache-2.0", "https://github.com/hynek/structlog"),
    ("torch", "BSD-3-Clause", "https://github.com/pytorch/pytorch"),
    ("transformers", "Apache-2.0", "https://github.com/huggingface/transformers"),
    ("typer", "MIT", "https://github.com/fastapi/typer"),
    ("tzdata", "Apache-2.0", "https://github.com/python/tzdata"),
)
"""What the bot and its engine use directly; a test holds this to the packages that are required."""


class Terms(commands.Cog):
    """The two commands, and the button below the first."""

    def __init__(self, bot: TrinArtBot) -> None:
        self.bot = bot

    async def cog_load(self) -> None:
        """Make old Accept buttons work."""
        self.bot.add_dynamic_items(AcceptButton)

    @app_commands.command(
        name="terms",
        description=locale_str(N_("What this bot may be used for")),
        auto_locale_strings=False,
    )
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def terms(self, interaction: discord.Interaction[TrinArtBot]) -> None:
        """The text, with the button for who has not accepted it and has to."""
        async with told(interaction):
            use_terms = self.bot.services.use_terms
            if use_terms.required and not await use_terms.has_accepted(interaction.user.id):
                await show_terms(interaction)
                return
            t = translator(interaction.locale.value)
            text = t("You have accepted the terms of use.") if use_terms.required else None
            await interaction.response.send_message(text, embed=terms_embed(t), ephemeral=True)

    @app_commands.command(
        name="license",
        description=locale_str(N_("Whose work this bot is made of, and under which licences")),
        auto_locale_strings=False,
    )
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def license(self, interaction: discord.Interaction[TrinArtBot]) -> None:
        """Models, the bot itself, and the libraries."""
        async with told(interaction):
            embed = self._licences(translator(interaction.locale.value))
            await interaction.response.send_message(embed=embed, ephemeral=True)

    def _licences(self, t: Translate) -> discord.Embed:
        embed = discord.Embed(title=t("Licences"), colour=COLOUR)
        try:
            card = self.bot.service.model_card()
            embed.description = t(
                "This bot draws with the model {model}.", model=f"{plain(card.name)} `{card.hash}`"
            )
        except MemberError:
            embed.description = None  # no model is loaded just now
        models = [f"[{name}]({url})" for name, url in MODELS]
        licence = f"[CreativeML Open RAIL-M]({LICENCE_URL})"
        embed.add_field(
            name=t("TrinArt models"),
            value=t(
                "{models}: {licence}. /terms has its restrictions.", models=", ".join(models), licence=licence
            ),
            inline=False,
        )
        apache = f"[Apache License 2.0]({APACHE_URL})"
        embed.add_field(name=t("The bot and its demo model"), value=apache, inline=False)
        libraries = [f"[{name}]({url}) ({licence})" for name, licence, url in LIBRARIES]
        half = (len(libraries) + 1) // 2
        # Too long for one field; Discord wants a name of the second, too.
        for name, part in ((t("Libraries"), libraries[:half]), ("\u200b", libraries[half:])):
            embed.add_field(name=name, value=", ".join(part), inline=False)
        return embed


async def setup(bot: TrinArtBot) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Terms(bot))
