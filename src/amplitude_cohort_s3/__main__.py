"""``python -m amplitude_cohort_s3``: the command, for when its script is not on the path."""

from .cli.main import script

if __name__ == "__main__":
    script()
