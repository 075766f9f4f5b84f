"""The subcommand ``init``, which writes a first configuration file."""

import argparse
from pathlib import Path

from ..errors import ConfigurationError
from ._output import COMMAND, print_result
from .exit_codes import ExitCode

TEMPLATE = f"""\
# The configuration of {COMMAND}. Lines that begin with # are comments.

[destinations.warehouse]
folder = "bucket"               # a local folder; for S3 write these two lines instead:
# bucket = "my-bucket"
# region = "eu-west-1"
path = "cohorts"                # the folder of the files, below the root
# match_by = "user_id"          # the column that identifies a member; default: amplitude_id

[syncs.actives]
destination = "warehouse"       # the name of a destination above
project_id = 123                # the number of the project in Amplitude; 0 if there is none
cohort_id = "26umsb5"           # the id of the cohort: letters, digits and -
user_properties = ["plan"]      # more columns, after amplitude_id and user_id
cadence = "daily"               # when `run` syncs it: "hourly", "daily" or "one-time"
members = "actives.csv"         # a CSV or Parquet file: a path, s3://... or https://...
# guard = {{ max_exits = 0.5, max_growth = 1.0 }}  # limits on what one sync may change

# Members from a cohort in Amplitude:
# [amplitude.main]              # the keys are in AMPLITUDE_API_KEY and AMPLITUDE_SECRET_KEY
# region = "us"                 # or "eu"
# [syncs.payers]
# destination = "warehouse"
# project_id = 123
# cohort_id = "9law9ns"
# members = {{ amplitude = "main" }}
# [syncs.all]                   # each cohort whose name matches, as all.26umsb5
# destination = "warehouse"
# project_id = 123
# cohorts = "Marketing *"
# members = {{ amplitude = "main" }}
"""


def add_init(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``init``."""
    parser.set_defaults(run=_init)


def _init(options: argparse.Namespace) -> ExitCode:
    file: Path = options.config
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(TEMPLATE)
    except FileExistsError:
        fault = "it exists already; name another file with --config"
        raise ConfigurationError(str(file), (fault,)) from None
    except OSError as error:
        fault = f"can't be written ({error.strerror}); name another file with --config"
        raise ConfigurationError(str(file), (fault,)) from None
    print_result(f"{file} is written. Edit it, then run: {COMMAND} sync actives --dry-run")
    return ExitCode.DONE
