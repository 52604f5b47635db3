"""What crosses a process border: subjects, commands, log entries, bodies, errors."""
