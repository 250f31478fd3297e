// Reads results in an object store as their users would: PyArrow's own S3 client on the prefix.
import { python } from '../../harness/python.ts'

const PROGRAM = `
import json, sys
import pyarrow.compute as pc, pyarrow.dataset as ds, pyarrow.fs as fs
endpoint, access_key, secret_key, path, format = sys.argv[1:]
s3 = fs.S3FileSystem(endpoint_override=endpoint, scheme="http", region="us-east-1", access_key=access_key, secret_key=secret_key)
table = ds.dataset(path, filesystem=s3, format=format).to_table()
ids = table["customer_id"]
print(json.dumps({"rows": table.num_rows, "ids": len(ids.unique()), "columns": table.column_names,
  "lowest": pc.min(ids).as_py(), "highest": pc.max(ids).as_py()}))
`

export interface Summary {
  readonly rows: number
  /** Different customer_ids, the lowest and the highest. */
  readonly ids: number
  readonly lowest: number
  readonly highest: number
  readonly columns: string[]
}

/** What is in the data files at `path` (`bucket/prefix`). */
export function summaryOf(
  { endpoint, env }: { endpoint: string; env: Readonly<Record<string, string>> },
  path: string,
  format: 'parquet' | 'csv',
): Promise<Summary> {
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = env
  return python(PROGRAM, [endpoint, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, path, format])
}
