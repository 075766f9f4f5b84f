# ruff: noqa: T201 -- a program that prints a list
"""Look at reports of all kinds of histories in Chromium, and print what is wrong.

The checks are those of ``site_in_browser.py``. The session ``site`` runs it.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from site_in_browser import faults_of_page, open_browser

sys.path.insert(0, str(Path(__file__).parent / "support"))

from report_histories import all_reports


def main() -> None:
    """Print the faults of all reports, and end with an exit code if there are any."""
    with tempfile.TemporaryDirectory() as folder:
        faults = list(_faults(Path(folder)))
    print(*faults, f"{len(faults)} faults in reports", sep="\n")
    sys.exit(bool(faults))


def _faults(folder: Path) -> Iterator[str]:
    browser = open_browser()
    try:
        for name, report in all_reports().items():
            page = folder / f"{name}.html"
            report.save(page)
            for fault in faults_of_page(browser, page):
                yield f"{name}: {fault}"
            # A notebook shows the same page in a frame.
            page.write_text(f"<!DOCTYPE html><title>notebook</title>{report._repr_html_()}")
            for fault in faults_of_page(browser, page):
                yield f"{name} in a notebook: {fault}"
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
