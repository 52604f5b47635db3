"""The HTTP routes: parse, ask a handler, answer."""
