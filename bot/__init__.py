"""The front-end process: the bot's rules. Knows Discord only in `bot.client`, and knows no torch at all."""
