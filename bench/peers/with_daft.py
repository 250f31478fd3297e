"""Daft: read_sql in partitions of the key -> a class UDF -> write_parquet, or write_sql.

Its best setting here: the native runner, partitions of about 500,000 rows, and the UDF in Daft's own threads. With processes of its own
(use_process, or max_concurrency) every batch is copied to them and back, which took twice as long.
"""

import daft
import pyarrow as pa
from daft import DataType, Series
from job import Model, engine_is_up, key_bounds, read_job, report, schema

PARTITION_ROWS = 500_000


def scored_columns(job: dict):
    """The class UDF; its method takes all columns of the query and gives those of the result."""
    result = DataType.from_arrow_type(pa.struct(list(schema(job))))

    @daft.cls(use_process=False)
    class Scorer:
        def __init__(self):
            self.model = Model(job)

        @daft.method.batch(return_dtype=result, unnest=True, batch_size=job["batch_rows"])
        def score(self, *columns: Series):
            table = pa.Table.from_arrays([c.to_arrow() for c in columns], names=[c.name() for c in columns])
            return self.model.score(table).to_struct_array().combine_chunks()

    return Scorer().score


def main() -> None:
    job = read_job()
    daft.set_runner_native()
    started = engine_is_up(job)
    first, last = key_bounds(job)
    partitions = max(2, round((last - first + 1) / PARTITION_ROWS))
    rows = daft.read_sql(job["query"], job["url"], partition_col=job["key"], num_partitions=partitions)
    scored = rows.select(scored_columns(job)(*(daft.col(name) for name in rows.column_names)))
    if job["destination"] == "parquet":
        scored.write_parquet(job["path"], compression="zstd")
    else:
        scored.write_sql(job["table"], job["url"], write_mode="append")
    report(started)


main()
