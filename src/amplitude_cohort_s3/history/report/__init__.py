"""The report of a history: one HTML page about the size, the changes and the runs of a cohort."""
