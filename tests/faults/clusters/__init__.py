"""Clusters of NATS and MongoDB whose members fail. One stack serves all tests of this package."""
