"""The three files of a cohort as three folders, with PySpark."""

from typing import Any

KEY = "amplitudeID"


def write_diff(previous: Any, current: Any, folder: str) -> None:
    """Write the members who entered, exited and exist, each ordered by the key.

    Args:
        previous: The data frame of the members before.
        current: The data frame of the members now.
        folder: The folder in which the three folders are created.
    """
    entering = current.join(previous, on=KEY, how="left_anti")
    exiting = previous.join(current, on=KEY, how="left_anti")
    for name, frame in {"entering": entering, "exiting": exiting, "existing": current}.items():
        frame.sort(KEY).write.csv(f"{folder}/{name}", header=True)
