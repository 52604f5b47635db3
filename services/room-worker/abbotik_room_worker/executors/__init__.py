"""Executors: the adapters that answer a turn, and the tools they may call."""
