"""Services that are broken on purpose: the checker has to see it.

Each module is a program, `python -m tests.faults.sabotage.<name>`: it breaks one thing of the
product and then is the service.
"""
