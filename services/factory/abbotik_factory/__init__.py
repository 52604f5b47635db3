"""The factory: runs, stages, issues, gates and review; cells and organs."""
