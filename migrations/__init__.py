"""Alembic's revisions of the bot's database."""
