"""The `abbotik` command: starts the whole stack on one machine and prepares its servers."""
