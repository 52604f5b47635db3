"""Measurements that decisions rest on; each runs by itself."""
