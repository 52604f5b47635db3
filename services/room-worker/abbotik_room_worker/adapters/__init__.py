"""The ports, kept with MongoDB and NATS."""
