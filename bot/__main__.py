"""`python -m bot` is `trinart`."""

from bot.cli import main

main()
