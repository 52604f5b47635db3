"""The room worker: decides room commands, runs turns, recovers what a dead worker held."""
