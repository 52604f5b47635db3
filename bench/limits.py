"""How many files this process and its children may have open."""

import resource


def allow_files(wanted: int) -> None:
    """Raise the soft limit to the hard one; SystemExit that says so where that is too low."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(
            f"The hard limit of open files is {hard}, and {wanted} are needed: "
            "`ulimit -Hn` shows it, an administrator can raise it."
        )
