"""What a room may do: pure functions and tables, no clock, no id, no driver."""
