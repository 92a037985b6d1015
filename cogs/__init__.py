"""Discord in, Discord out; no rules. A cog method defers, calls one service, and renders."""
