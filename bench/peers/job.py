"""What all peers share: the job that the bench gives as JSON, the model, and the lines of JSON that go back.

A job: `url` and `query` with its unique integer `key`; `model`, the ONNX file, with `features` (the query's columns for its one tensor, in
order; null: one input for each column, by name); `columns`, name -> kind, of the result; `destination`, "parquet" with the directory
`path` or "table" with the empty `table`, which is there; `batch_rows`, rows of a run of the model, or null for what is best here.
"""

import json
import sys
import time

import numpy as np
import onnxruntime as ort
import pyarrow as pa

ARROW = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "utf8": pa.string(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}


def read_job() -> dict:
    return json.loads(sys.argv[1])


def engine_is_up(job: dict) -> float:
    """From here on the job's own time counts. The bench looks at what the start cost."""
    started = time.time()
    print(json.dumps({"startup_seconds": started - job["spawned_at"]}), flush=True)
    return started


def report(started: float) -> None:
    """The job is done, its result readable. Stays until the bench has looked at what it cost."""
    print(json.dumps({"seconds": time.time() - started}), flush=True)
    sys.stdin.read()


def schema(job: dict) -> pa.Schema:
    """Of the result."""
    return pa.schema([(name, ARROW[kind]) for name, kind in job["columns"].items()])


def connect(url: str):
    import psycopg2

    return psycopg2.connect(url)


def key_bounds(job: dict) -> tuple[int, int]:
    """The least and the greatest key."""
    with connect(job["url"]) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT min({job['key']}), max({job['key']}) FROM ({job['query']}) AS query")
        return cursor.fetchone()


class Model:
    """A session with one thread: every peer runs two at a time, which costs less than two threads within a run."""

    def __init__(self, job: dict):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(job["model"], options, providers=["CPUExecutionProvider"])
        self.features = job["features"]
        self.schema = schema(job)
        self.batch_rows = job["batch_rows"]

    def score(self, table: pa.Table) -> pa.Table:
        """Rows of the query in, rows of the result out."""
        step = self.batch_rows or max(1, table.num_rows)
        runs = [self._run(table.slice(at, step)) for at in range(0, table.num_rows, step)]
        return pa.concat_tables(runs) if runs else self.schema.empty_table()

    def _run(self, table: pa.Table) -> pa.Table:
        outputs = {}
        for spec, values in zip(self.session.get_outputs(), self.session.run(None, self._feeds(table))):
            if values.ndim == 1:
                outputs[spec.name] = values
            else:
                single = values.shape[1] == 1
                for i in range(values.shape[1]):
                    outputs[spec.name if single else f"{spec.name}_{i}"] = values[:, i]
        columns = [
            pa.array(outputs[field.name], type=field.type)
            if field.name in outputs
            else table.column(field.name).cast(field.type)
            for field in self.schema
        ]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def _feeds(self, table: pa.Table) -> dict:
        if self.features is not None:
            tensor = np.empty((table.num_rows, len(self.features)), np.float32)
            for i, name in enumerate(self.features):
                tensor[:, i] = table.column(name).to_numpy()
            return {self.session.get_inputs()[0].name: tensor}
        return {spec.name: tensor_of(table.column(spec.name), spec.type) for spec in self.session.get_inputs()}


def tensor_of(column: pa.ChunkedArray, kind: str) -> np.ndarray:
    """[N, 1] for a model with an input for each column."""
    if kind == "tensor(string)":
        values = np.array(column.to_pylist(), dtype=object)
    else:
        values = column.to_numpy().astype({"tensor(float)": np.float32, "tensor(int64)": np.int64}[kind])
    return values.reshape(-1, 1)
