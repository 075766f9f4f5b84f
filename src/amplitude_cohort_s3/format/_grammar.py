r"""The grammar of file names: one pattern for each part, with its source and our decision.

"The page" is Amplitude's documentation of its destination "Amazon S3 (Cohort)".
Its pattern is ``path/integer_cohortID_YYYY-MM-DDTHH:SS_difftype_routingkey.csv``.
All character classes are ASCII, because ``\d`` also matches digits of other scripts.
The patterns are used with ``fullmatch`` only, because ``$`` also matches before a newline
at the end.
"""

import re

PROJECT_ID = r"(?:0|[1-9][0-9]*)"
"""The number of the Amplitude project. The page first called it ``integer``, and since 2026
``projectID``. It has no leading zero, so that each number has one spelling."""

COHORT_ID = r"[A-Za-z0-9-]+"
"""The page: "the number in the URL". Real cohort ids are six to eight lower-case letters and
digits (``26umsb5``). ``_`` is not allowed, because it separates the parts."""

DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
"""``YYYY-MM-DD``. ``datetime`` checks that the day exists."""

TIME = r"[0-9]{2}(?::[0-9]{2}(?::[0-9]{2})?|-[0-9]{2}(?:-[0-9]{2})?|_[0-9]{2}(?:_[0-9]{2})?)"
"""The page has ``HH:SS`` in its pattern and ``HH-SS`` in its list. Browsers save a colon as
``_``. All three separators are accepted, but not mixed in one name. Three groups are hours,
minutes and seconds. If there are only two, the caller decides whether the second one is minutes
or seconds: see ``NameStyle.second_group``."""

DIFF_TYPE = r"entering|exiting|existing"
"""The three words of the page, in lower case."""

ROUTING_KEY = r"[^/\x00-\x1f\x7f-\x9f\ud800-\udfff]*"
"""The page: an optional string that the user types. It has no ``/``, which ends the path, no
control character, and nothing that UTF-8 can't encode. Real routing keys contain ``_``, and may
even look like a difftype or a whole name. This is not ambiguous, because the routing key comes
last, after a time and one of three words. An empty routing key (``_entering_.csv``) is accepted,
and recorded in the style."""

EXTENSION = r"\.csv(?:\.gz)?"
"""The page: ``.csv``. Compressed files are an option of this library."""

FILE_NAME = re.compile(
    rf"(?:(?P<project_id>{PROJECT_ID})_)?"
    rf"(?P<cohort_id>{COHORT_ID})_"
    rf"(?P<time>{DATE}T{TIME}Z?)_"
    rf"(?P<diff_type>{DIFF_TYPE})"
    rf"(?:_(?P<routing_key>{ROUTING_KEY}?))?"
    rf"(?P<extension>{EXTENSION})",
    re.DOTALL,
)
"""A whole name. The routing key is not greedy, so that ``.csv.gz`` is the extension."""

RULES = (
    (re.compile(r"[^/]*"),
     "it contains a /, which belongs to the path"),
    (re.compile(r"[^\x00-\x1f\x7f-\x9f]*"),
     "it contains a control character"),
    (re.compile(r"[^\ud800-\udfff]*"),
     "it must be encodable as UTF-8"),
    (re.compile(rf"(?!0[0-9]+_{COHORT_ID}_{DATE}T).*", re.DOTALL),
     "the project id has a leading zero"),
    (re.compile(rf"(?:{PROJECT_ID}_)?{COHORT_ID}_.*", re.DOTALL),
     "it must begin with a project id (0, or digits without a leading zero) and a cohort id "  # noqa: ISC004
     "(letters, digits and -), each followed by _"),
    (re.compile(rf"(?:{PROJECT_ID}_)?{COHORT_ID}_{DATE}T.*", re.DOTALL),
     "the time must begin with YYYY-MM-DDT in digits"),
    (re.compile(rf"(?:{PROJECT_ID}_)?{COHORT_ID}_{DATE}T{TIME}Z?_(?![0-9]{{2}}Z?_).*", re.DOTALL),
     "after the date come two or three groups of two digits, with :, - or _ between all of them"),
    (re.compile(rf"(?:{PROJECT_ID}_)?{COHORT_ID}_{DATE}T{TIME}Z?_(?:{DIFF_TYPE})[_.].*", re.DOTALL),
     "the difftype, after the time, must be entering, exiting or existing"),
    (re.compile(rf".*{EXTENSION}", re.DOTALL),
     "it must end in .csv or .csv.gz"),
    (FILE_NAME,
     "the difftype must be followed by the extension, or by _ and a routing key"),
)  # fmt: skip
"""The rules of a name, from left to right: an error reports the first one that is broken."""
