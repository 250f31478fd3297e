"""Ray Data: read_sql -> map_batches -> write_parquet, or write_sql.

Its best setting here: sharded by the key, eight blocks, and the model in a task rather than an actor, so that Ray fuses reading, scoring and
writing into one task and no block goes through its object store.
"""

import os

import ray
from job import Model, connect, engine_is_up, read_job, report

BLOCKS = 8
models: dict[str, Model] = {}


def main() -> None:
    job = read_job()
    os.environ.setdefault("PYTHONPATH", "")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error", _temp_dir=job["scratch"])
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    started = engine_is_up(job)
    url = job["url"]

    def score(table):
        # Once in each worker process.
        if "model" not in models:
            models["model"] = Model(job)
        return models["model"].score(table)

    rows = ray.data.read_sql(
        job["query"], lambda: connect(url), shard_keys=[job["key"]], shard_hash_fn="", override_num_blocks=BLOCKS
    )
    scored = rows.map_batches(score, batch_format="pyarrow", batch_size=job["batch_rows"])
    if job["destination"] == "parquet":
        scored.write_parquet(job["path"], compression="zstd")
    else:
        names = list(job["columns"])
        marks = ", ".join(["%s"] * len(names))
        scored.write_sql(f"INSERT INTO {job['table']} ({', '.join(names)}) VALUES ({marks})", lambda: connect(url))
    report(started)


main()
