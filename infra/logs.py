"""Logging for entry points: to stderr, one line an event."""

import logging


def log_to_stderr(level: int = logging.INFO) -> None:
    """Set the handlers of this process; libraries speak up only with a warning."""
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=logging.WARNING, format=form)
    for package in ("manifests", "generators", "filters", "infra", "pipelines"):
        logging.getLogger(package).setLevel(level)
