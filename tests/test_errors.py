"""Every exception of the library, found by themselves: the promises hold for new ones too."""

import inspect
import pickle
import re
from datetime import UTC, datetime

import attrs
import pytest

from amplitude_cohort_s3 import CohortS3Error, errors

CLASSES = sorted(
    (
        value
        for value in vars(errors).values()
        if inspect.isclass(value)
        and issubclass(value, CohortS3Error)
        and value is not CohortS3Error
    ),
    key=lambda found: found.__name__,
)

SAMPLES = {
    str: "a sample",
    int: 3,
    float: 0.5,
    bool: True,
    datetime: datetime(2026, 11, 23, 14, 5, tzinfo=UTC),
    datetime | None: datetime(2026, 11, 23, 14, 5, tzinfo=UTC),
    str | None: "a sample",
    int | None: 3,
    tuple[str, ...]: ("one", "other"),
    tuple[int, ...]: (2, 5),
}

# A cure tells the reader to do something, or shows how it should look.
CURES = (
    r"\b(give|pass|call|run|sync|choose|list|check|repair|correct|restore|remove|add|clean|fill|"
    r"plan|set|keep|use|allow|find out|ask|fetch|format|convert|free|grant|pip install|wait|look|"
    r"are|try again|a sample)\b"
)

each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def sample(cls):
    return cls(**{field.alias: SAMPLES[field.type] for field in attrs.fields(cls)})


def test_there_are_as_many_as_there_are_causes():
    assert len(CLASSES) >= 28


@each_class
def test_it_is_of_one_root_and_of_the_builtin_that_fits(cls):
    builtins = (ValueError, TypeError, LookupError, OSError, ImportError, RuntimeError)
    assert issubclass(cls, CohortS3Error)
    assert issubclass(cls, builtins)


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.ObjectNotFoundError, FileNotFoundError),
        (errors.StagedGoneError, FileNotFoundError),
        (errors.HeadFilesMissingError, FileNotFoundError),
        (errors.ObjectExistsError, FileExistsError),
        (errors.SyncTimeTakenError, FileExistsError),
        (errors.ConcurrentSyncError, FileExistsError),
        (errors.UnknownOutcomeError, OSError),
        (errors.StorageUnsuitableError, OSError),
        (errors.InvalidFileNameError, ValueError),
        (errors.MissingRoutingKeyError, errors.ConfigurationError),
        (errors.UnsupportedValueError, TypeError),
        (errors.NoSyncYetError, LookupError),
    ],
)
def test_people_catch_it_by_the_builtin_that_they_know(cls, builtin):
    with pytest.raises(builtin):
        raise sample(cls)


@each_class
def test_it_comes_through_pickle_as_it_was(cls):
    error = sample(cls)
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is cls
    assert attrs.asdict(arrived) == attrs.asdict(error)
    assert str(arrived) == str(error)


@each_class
def test_its_text_says_what_is_wrong_and_ends_with_the_cure(cls):
    text = str(sample(cls))
    assert len(text) > 30
    parts = re.split(r"[:;.] |, and | \(", text)
    assert len(parts) > 1, "one sentence can't be both"
    assert re.search(CURES, " ".join(parts[1:]).lower()), text
    assert not text.endswith((".", " ", ":"))


@each_class
def test_its_facts_are_fields_and_none_of_them_names_a_person(cls):
    names = {field.name for field in attrs.fields(cls)}
    assert names
    assert not names & {
        "user",
        "user_id",
        "amplitude_id",
        "member",
        "row",
        "cell",
        "value",
        "secret",
    }


@each_class
def test_its_docstring_says_when(cls):
    assert inspect.getdoc(cls)
    assert cls.__doc__


def test_the_root_catches_everything():
    for cls in CLASSES:
        with pytest.raises(CohortS3Error):
            raise sample(cls)
