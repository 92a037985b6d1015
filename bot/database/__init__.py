"""The bot's database: SQLAlchemy models, and sessions over SQLite or PostgreSQL."""

# Whoever imports the models has all tables in `Base.metadata`, those of other modules too.
from bot.database import people as people
from bot.database import safety as safety
