"""Write the three downloads that the quickstart syncs, in the form of Amplitude's API.

Every cell is quoted, quotes are doubled, and lines end with LF. Anonymous users have an empty
user id, and Amplitude ids have twelve digits. Properties contain commas, quotes, line ends and
names in many scripts. The users are made up, and the files are the same at each run.
"""

import csv
import random
from pathlib import Path

FOLDER = Path(__file__).parent / "downloads"
COLUMNS = ("amplitude_id", "user_id", "plan", "company")
PLANS = ("free", "pro", "enterprise, annual", "")
COMPANIES = (
    "Müller & Söhne",
    "Łódź Labs",
    "東京データ株式会社",
    'The "Quoted" Company',
    "Comma, Inc.",
    "Two\nLines Ltd",
    "Ελλάς Analytics",
    "007",
    "NULL",
    "",
)
DAYS = ("2026-11-21", "2026-11-22", "2026-11-23")


def user(number: int) -> list[str]:
    """Return the row of a user, which depends only on the number."""
    chosen = random.Random(number)
    amplitude_id = str(300_000_000_000 + number * 7_919_317 % 600_000_000_000)
    user_id = "" if number % 5 == 0 else f"user-{number:05}"
    return [amplitude_id, user_id, chosen.choice(PLANS), chosen.choice(COMPANIES)]


def main() -> None:
    """Write one file per day: 60 of 1,200 leave, 90 join; then 40 of the 60 return."""
    first = range(1_200)
    second = [n for n in first if n % 20] + list(range(2_000, 2_090))
    third = [n for n in second if n % 30] + [n for n in first if n % 20 == 0 and n % 3 == 0]
    FOLDER.mkdir(exist_ok=True)
    for day, numbers in zip(DAYS, (first, second, third), strict=True):
        rows = [user(number) for number in numbers]
        random.Random(day).shuffle(rows)
        with (FOLDER / f"{day}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(rows)


if __name__ == "__main__":
    main()
