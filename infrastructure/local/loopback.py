"""What is only safe on one's own machine starts nowhere else."""

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]", "::1")


class NotLocal(RuntimeError):
    """A stand-in was about to start where other people could reach it."""


def refuse_unless_local(what: str, *, host: str, deployment: str) -> None:
    """Stop a stand-in that is bound beyond loopback or does not run with DEPLOYMENT=local."""
    if deployment != "local":
        raise NotLocal(f"the {what} is a stand-in for development and DEPLOYMENT is {deployment!r}: set DEPLOYMENT=local")
    if host not in LOOPBACK_HOSTS:
        raise NotLocal(f"the {what} lets anybody in, so it listens on loopback only: bind 127.0.0.1, not {host!r}")
