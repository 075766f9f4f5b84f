"""What a competent user would write without this library; the documentation links here."""
