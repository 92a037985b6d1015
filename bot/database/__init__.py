"""The bot's database: SQLAlchemy models, and sessions over SQLite or PostgreSQL."""
