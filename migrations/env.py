"""Run by Alembic inside the transaction that `bot.database.session` began, and ends."""

from __future__ import annotations

from alembic import context

from bot.database.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite changes tables by copying them.
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
