"""The pure core that every other package may use: standard library only, no clock, no I/O."""
