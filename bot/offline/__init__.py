"""The bot in a Discord of its own, without a network: `trinart demo` and `trinart playground`."""
