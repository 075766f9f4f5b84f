"""Write the report that a how-to page shows into the built site; so it is never out of date."""

import logging
from pathlib import Path

from sphinx.application import Sphinx

from amplitude_cohort_s3 import MemoryStorage, read_history
from amplitude_cohort_s3.testing.sample_bucket import fill_bucket


def write_report(app: Sphinx, error: Exception | None) -> None:
    """Write the report of a made-up cohort, if the build succeeded and has HTML pages."""
    if error is None and app.builder.format == "html":
        # The theme imports a package that lets the root logger print all lines at level INFO.
        logging.getLogger("amplitude_cohort_s3").setLevel(logging.WARNING)
        storage = MemoryStorage()
        history = read_history(storage, fill_bucket(storage, syncs=28))
        history.report(verify=True).save(Path(app.outdir, "sample_report.html"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the function with Sphinx."""
    app.connect("build-finished", write_report)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
