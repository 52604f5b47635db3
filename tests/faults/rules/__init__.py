"""What the checker holds a history against, a module for each idea. Pure: nothing does I/O."""
