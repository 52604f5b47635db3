"""The verifier: commands in a sandbox, with signed reports."""
