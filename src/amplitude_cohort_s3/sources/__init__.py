"""Where the current members come from."""

from .files import csv_file

__all__ = ["csv_file"]
