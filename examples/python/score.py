"""Submits a job over REST, follows it to its end, and reads the files that it wrote into pandas.

    pip install requests==2.32.5 pandas==2.3.3 pyarrow==21.0.0
    python3 examples/python/score.py job.json [idempotency-key]

job.json is the body of POST /api/v1/inference/batch, with an output of parquet or csv. Environment: SCORELINE_URL, and where the
service wants it SCORELINE_API_KEY. Progress goes to stderr, the frame's first rows to stdout; exits 1 with the reason when the job
did not complete. In a notebook: `frame = Scoreline().score(job)`.
"""
import hashlib
import io
import json
import os
import pathlib
import sys
import time
import urllib.parse
import uuid

import pandas
import requests

JOBS = "/api/v1/inference/batch"
# How long a service that went away is waited for.
PATIENCE_S = 60


class Scoreline:
    def __init__(self, url=None, key=None):
        self.url = url or os.environ.get("SCORELINE_URL", "http://127.0.0.1:8080")
        key = key or os.environ.get("SCORELINE_API_KEY")
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}

    def submit(self, job, idempotency_key=None):
        """The job's id. The same key and job are the same job, so whatever was sent may be sent again."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self.call("POST", JOBS, json=job, headers=headers).json()["job_id"]

    def follow(self, job_id):
        """The job's states as they come, the last one when it is finished. A lost connection is taken up where it broke."""
        last_id, heard = None, time.monotonic()
        while True:
            try:
                headers = {"Last-Event-ID": last_id} if last_id else {}
                with self.call("GET", f"{JOBS}/{job_id}/events", headers=headers, stream=True) as events:
                    if events.status_code == 204:
                        return
                    for line in events.iter_lines(decode_unicode=True):
                        heard = time.monotonic()
                        name, _, value = line.partition(": ")
                        if name == "id":
                            last_id = value
                        elif name == "data":
                            job = json.loads(value)
                            yield job
                            if job["finished_at"]:
                                return
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                if time.monotonic() - heard > PATIENCE_S:
                    raise
            time.sleep(0.5)

    def result(self, job_id):
        """All rows of a completed job's files as one frame. Each file is what the manifest says, or this raises."""
        result = self.call("GET", f"{JOBS}/{job_id}/results").json()["results"][0]
        if "files" not in result:
            # A table: pandas.read_sql(result["query"], …). A topic: follow.py.
            raise ValueError(f"expected files, got a {result['destination']}: {result.get('query') or result.get('command')}")
        frames = [self.read(file, result["format"]) for file in result["files"]]
        return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()

    def score(self, job, idempotency_key=None, on_progress=lambda job: None):
        """Submits, follows, and gives the result. Raises RuntimeError with the reason when the job does not complete."""
        job_id = self.submit(job, idempotency_key)
        for state in self.follow(job_id):
            on_progress(state)
        if state["status"] != "completed":
            raise RuntimeError(f"{job_id} is {state['status']}: {state['error']}")
        return self.result(job_id)

    def read(self, file, form):
        content = self.call("GET", file["url"]).content
        if hashlib.sha256(content).hexdigest() != file["sha256"]:
            raise ValueError(f"{file['name']} is not what the manifest says")
        if form == "parquet":
            # In this thread: one of Arrow's that still holds the buffer when Python ends aborts the process (apache/arrow#34314).
            return pandas.read_parquet(io.BytesIO(content), use_threads=False, pre_buffer=False)
        return pandas.read_csv(io.BytesIO(content), compression="gzip" if file["name"].endswith(".gz") else None)

    def call(self, method, path, headers=None, **options):
        url = urllib.parse.urljoin(self.url, path)
        # A link into an object store is signed, and the key is none of the store's business.
        own = self.headers if urllib.parse.urlsplit(url)[:2] == urllib.parse.urlsplit(self.url)[:2] else {}
        # The API says something at least every fifteen seconds.
        answer = requests.request(method, url, headers={**own, **(headers or {})}, timeout=40, **options)
        if not answer.ok:
            raise requests.HTTPError(f"{answer.status_code} {answer.text}", response=answer)
        return answer


def show(job):
    progress = job["progress"]
    print(f"{job['status']}: {progress['percentage']} %, {progress['processed_rows']:,} rows scored", file=sys.stderr)


def main(path, key=None):
    job = json.loads(pathlib.Path(path).read_text())
    try:
        print(Scoreline().score(job, key, show))
    except (RuntimeError, requests.RequestException) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
