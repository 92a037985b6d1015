"""A loopback Discord: real sockets, no internet, for what an in-process simulator cannot show."""
