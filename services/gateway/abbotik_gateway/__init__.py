"""The gateway: HTTP in, commands out, the log back. It decides nothing and writes no aggregate."""
