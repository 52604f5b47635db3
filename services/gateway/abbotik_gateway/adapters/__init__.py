"""The gateway's ports, spoken over NATS, MongoDB and HTTP."""
