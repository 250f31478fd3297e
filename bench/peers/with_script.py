"""The hand-written script: connectorx -> ONNX Runtime -> pyarrow, or COPY, in one process. No recovery, no progress, not atomic.

Its best setting here: two threads, each taking the next range of keys, so that reading, scoring and writing overlap and only two
ranges are in memory.
"""

import io
import threading

import connectorx as cx
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from job import Model, connect, engine_is_up, key_bounds, read_job, report

THREADS = 2
RANGE_ROWS = 100_000


def main() -> None:
    job = read_job()
    started = engine_is_up(job)
    model = Model(job)
    first, last = key_bounds(job)
    ranges = iter(range(first, last + 1, RANGE_ROWS))
    lock = threading.Lock()
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            with writer(job, model.schema, thread) as write:
                while True:
                    with lock:
                        low = next(ranges, None)
                    if low is None:
                        return
                    condition = f"{job['key']} >= {low} AND {job['key']} < {low + RANGE_ROWS}"
                    query = f"SELECT * FROM ({job['query']}) AS query WHERE {condition}"
                    write(model.score(cx.read_sql(job["url"], query, return_type="arrow")))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    report(started)


def writer(job: dict, schema: pa.Schema, thread: int):
    return ParquetFile(job, schema, thread) if job["destination"] == "parquet" else Copy(job)


class ParquetFile:
    def __init__(self, job: dict, schema: pa.Schema, thread: int):
        self.file = pq.ParquetWriter(f"{job['path']}/part-{thread}.parquet", schema, compression="zstd")

    def __enter__(self):
        return self.file.write_table

    def __exit__(self, *_) -> None:
        self.file.close()


class Copy:
    """One transaction a thread. pyarrow writes CSV several times faster than Python could put together COPY's binary format."""

    def __init__(self, job: dict):
        self.table = job["table"]
        self.connection = connect(job["url"])

    def __enter__(self):
        return self._write

    def _write(self, rows: pa.Table) -> None:
        text = io.BytesIO()
        pyarrow.csv.write_csv(rows, text, pyarrow.csv.WriteOptions(include_header=False))
        text.seek(0)
        with self.connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {self.table} FROM STDIN (FORMAT csv)", text, 1 << 20)

    def __exit__(self, *_) -> None:
        self.connection.commit()
        self.connection.close()


main()
