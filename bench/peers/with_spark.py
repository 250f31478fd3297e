"""Spark: JDBC in partitions of the key -> mapInArrow -> Parquet, or JDBC.

Its best setting here: local[2], mapInArrow (mapInPandas without the copies to pandas and back), Arrow batches of 20,000 rows, fetches of
20,000 rows, and inserts of 10,000 that the driver rewrites to many rows a statement.
"""

import pyarrow as pa
from job import Model, engine_is_up, key_bounds, read_job, report
from pyspark.sql import SparkSession

BATCH_ROWS = 20_000
PARTITION_ROWS = 500_000
SPARK = {
    "int32": "int",
    "int64": "bigint",
    "float32": "float",
    "float64": "double",
    "utf8": "string",
    "timestamp": "timestamp_ntz",
    "timestamptz": "timestamp",
}


def main() -> None:
    job = read_job()
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", job["jdbc_jar"])
        .config("spark.driver.memory", "4g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", job["scratch"])
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", job["batch_rows"] or BATCH_ROWS)
        .config("spark.sql.parquet.compression.codec", "zstd")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    started = engine_is_up(job)
    first, last = key_bounds(job)
    rows = (
        spark.read.format("jdbc")
        .options(**connection(job))
        .option("dbtable", f"({job['query']}) AS query")
        .option("partitionColumn", job["key"])
        .option("lowerBound", first)
        .option("upperBound", last + 1)
        .option("numPartitions", max(2, round((last - first + 1) / PARTITION_ROWS)))
        .option("fetchsize", BATCH_ROWS)
        .option("preferTimestampNTZ", "true")
        .load()
    )
    columns = ", ".join(f"`{name}` {SPARK[kind]}" for name, kind in job["columns"].items())
    scored = rows.mapInArrow(scorer(job), columns)
    if job["destination"] == "parquet":
        scored.write.mode("overwrite").parquet(job["path"])
    else:
        table = {"dbtable": job["table"], "batchsize": 10_000, "reWriteBatchedInserts": "true"}
        scored.write.format("jdbc").options(**connection(job), **table).mode("append").save()
    report(started)
    spark.stop()


def connection(job: dict) -> dict:
    _, rest = job["url"].split("://", 1)
    user, place = rest.split("@", 1)
    return {"url": f"jdbc:postgresql://{place}", "user": user, "driver": "org.postgresql.Driver"}


def scorer(job: dict):
    def score(batches):
        model = Model(job)
        for batch in batches:
            yield from model.score(pa.Table.from_batches([batch])).to_batches()

    return score


main()
