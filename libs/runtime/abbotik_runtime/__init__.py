"""What every service stands on: the bus, the store, loops, logs, health and metrics."""
