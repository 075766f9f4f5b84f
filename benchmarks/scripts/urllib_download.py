"""A download from Amplitude's API with the standard library, all of it in memory."""

import base64
import csv
import gzip
import io
import json
import time
import urllib.request


def download_ids(base_url: str, cohort_id: str, api_key: str, secret_key: str) -> set[str]:
    """Return the Amplitude ids of a cohort."""
    pair = base64.b64encode(f"{api_key}:{secret_key}".encode()).decode()

    def get(path: str) -> bytes:
        request = urllib.request.Request(base_url + path)  # noqa: S310
        request.add_unredirected_header("Authorization", f"Basic {pair}")
        with urllib.request.urlopen(request) as response:  # noqa: S310
            return response.read()

    export = json.loads(get(f"/api/5/cohorts/request/{cohort_id}"))["request_id"]
    while json.loads(get(f"/api/5/cohorts/request-status/{export}"))["async_status"][4] != "C":
        time.sleep(1)
    text = gzip.decompress(get(f"/api/5/cohorts/request/{export}/file")).decode()
    return {row["amplitude_id"] for row in csv.DictReader(io.StringIO(text))}
