r"""The grammar of file names, one named pattern each, with its source and our ruling.

"The page" is Amplitude's documentation of its destination "Amazon S3 (Cohort)".
It gives ``path/integer_cohortID_YYYY-MM-DDTHH:SS_difftype_routingkey.csv``.
All classes are ASCII: ``\d`` would also take digits of other scripts, and a name
written by Amplitude has none. Patterns are used with ``fullmatch`` only, since
``$`` also matches before a newline at the end.
"""

import re

PROJECT_ID = r"(?:0|[1-9][0-9]*)"
"""The page first called it ``integer``, since 2026 ``projectID``: the number of the
Amplitude project. No leading zero, so that each number has one spelling."""

COHORT_ID = r"[A-Za-z0-9-]+"
"""The page: "the number in the URL". Real ones are six to eight lower-case letters
and digits (``26umsb5``). Never ``_``, which separates the parts."""

DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
"""``YYYY-MM-DD``. Whether the day exists is checked by the calendar, not here."""

TIME = r"[0-9]{2}(?::[0-9]{2}(?::[0-9]{2})?|-[0-9]{2}(?:-[0-9]{2})?)"
"""The page writes ``HH:SS`` in its pattern and ``HH-SS`` in its list: both are read,
the same separator throughout. A third group makes it hours, minutes, seconds.
What the second group means is the reader's choice: see ``NameStyle.second_group``."""

DIFF_TYPE = r"entering|exiting|existing"
"""The page's three words, lower case."""

ROUTING_KEY = r"[^/\x00-\x1f\x7f-\x9f\ud800-\udfff]*"
"""The page: an optional string that the user types. No ``/``, which ends the path, no
control character, and nothing that UTF-8 can't write. Real ones hold ``_``; it may even
imitate a difftype or a whole name. It stands last, behind a fixed-width time and a
closed set of words, so it can't confuse the parts before it. An empty one
(``_entering_.csv``) is read and remembered."""

EXTENSION = r"\.csv(?:\.gz)?"
"""The page: ``.csv``. Compressed files are ours, by choice."""

FILE_NAME = re.compile(
    rf"(?:(?P<project_id>{PROJECT_ID})_)?"
    rf"(?P<cohort_id>{COHORT_ID})_"
    rf"(?P<time>{DATE}T{TIME}Z?)_"
    rf"(?P<diff_type>{DIFF_TYPE})"
    rf"(?:_(?P<routing_key>{ROUTING_KEY}?))?"
    rf"(?P<extension>{EXTENSION})",
    re.DOTALL,
)
"""A whole name. The reluctant routing key leaves ``.csv.gz`` to the extension."""

RULES = (
    (re.compile(r"[^/]*"),
     "it holds a /, which belongs to the path"),
    (re.compile(r"[^\x00-\x1f\x7f-\x9f]*"),
     "it holds a control character"),
    (re.compile(r"[^\ud800-\udfff]*"),
     "it must be encodable as UTF-8"),
    (re.compile(rf"(?!0[0-9]+_{COHORT_ID}_{DATE}T).*", re.DOTALL),
     "a project id has no leading zero"),
    (re.compile(rf"(?:{PROJECT_ID}_)?{COHORT_ID}_.*", re.DOTALL),
     "it must begin with a project id (0, or digits without a leading zero) and a cohort id, "  # noqa: ISC004
     "letters, digits and -, each followed by _"),
    (re.compile(rf"(?:{PROJECT_ID}_)?{COHORT_ID}_{DATE}T.*", re.DOTALL),
     "the time must begin with YYYY-MM-DDT in digits"),
    (re.compile(rf"(?:{PROJECT_ID}_)?{COHORT_ID}_{DATE}T{TIME}Z?_.*", re.DOTALL),
     "after the date come two or three groups of two digits, separated by : or by - throughout"),
    (re.compile(rf"(?:{PROJECT_ID}_)?{COHORT_ID}_{DATE}T{TIME}Z?_(?:{DIFF_TYPE})[_.].*", re.DOTALL),
     "the difftype must be entering, exiting or existing"),
    (re.compile(rf".*{EXTENSION}", re.DOTALL),
     "it must end in .csv or .csv.gz"),
    (FILE_NAME,
     "behind the difftype comes the extension, or _ and a routing key"),
)  # fmt: skip
"""What to say of a name that does not match: the first of these that it breaks."""
