"""The report of a history, as a value."""

from html import escape
from os import PathLike
from pathlib import Path

from attrs import frozen

from ..findings import Finding


@frozen(kw_only=True, repr=False)
class HistoryReport:
    """An HTML page about a cohort: see ``CohortHistory.report``.

    ``str(report)`` is the page, :meth:`save` writes it, and a notebook shows it.

    Attributes:
        title: The title of the page.
        html: The page. It needs no network and contains no script.
        findings: The findings of ``verify``; None if the files were not verified.
    """

    title: str
    html: str
    findings: tuple[Finding, ...] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(title={self.title!r}, html=<{len(self.html):,} characters>)"

    def __str__(self) -> str:
        return self.html

    def _repr_html_(self) -> str:
        # In a frame of its own, the styles of the notebook and of the page do not mix.
        return (
            f'<iframe sandbox title="{escape(self.title)}" srcdoc="{escape(self.html)}" '
            'style="width:100%;height:720px;border:0"></iframe>'
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the page to a file, as UTF-8. A file that exists is replaced.

        Args:
            path: The path of the file, such as ``report.html``.

        Raises:
            OSError: The file can't be written.
        """
        # The name of a property may contain a lone surrogate, which has no bytes in UTF-8.
        Path(path).write_bytes(self.html.encode(errors="replace"))
