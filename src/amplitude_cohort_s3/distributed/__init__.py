"""Cohorts that outgrow one machine: data frames, composed files, Spark."""
