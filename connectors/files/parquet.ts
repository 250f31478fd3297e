// Parquet part files: row groups of whole chunks, one column after the other. The data path is ours; page headers and the
// footer are hyparquet-writer's. Measured with (int64, int64, float32, float32) on one core, million rows a second:
// hyparquet-writer alone 1.9 to 2.8 uncompressed, 2.0 to 2.2 with its Snappy, 2.4 to 2.6 with ZSTD (it boxes each value
// for levels, statistics and dictionary); this one 9 to 15 with ZSTD, SHA-256 and the file included, with NULLs or without.
import type { ColumnChunk, ParquetType } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { writePageHeader } from 'hyparquet-writer/src/datapage.js'
import { type Column, type ColumnBatch, type Vector, valueCount } from '../../topics/columns.ts'
import type { PartEncoder } from './encoder.ts'
import { HeldChunks } from './held-chunks.ts'
import { type Codec, codecOf, type ParquetCompression } from './parquet-codec.ts'
import { buildPage, type PageBuffer, type Piece, plainSize, sparePage, takePage } from './parquet-page.ts'
import { parquetSchema, physicalType, schemaPath } from './parquet-schema.ts'
import { type ColumnStatistics, columnStatistics } from './parquet-statistics.ts'

/** Raw bytes after which a page ends, at a chunk's end: what readers take as their unit of work. */
const PAGE_BYTES = 1024 ** 2

/**
 * The format's own shape of this text, "application version x": readers that parse it (parquet-java) would otherwise
 * distrust the statistics. It never changes, so that a replay by a newer release still gives the same bytes.
 */
const CREATED_BY = 'scoreline version 1.0.0'

/** Pages of a file that are compressed at a time, on threads beside this one. */
const AT_ONCE = 3

export function parquetEncoder(
  columns: readonly Column[],
  groupChunks: number,
  compression: ParquetCompression,
): PartEncoder {
  const codec = codecOf(compression)
  const out = new ByteWriter()
  const file = new ParquetWriter({ writer: out, schema: parquetSchema(columns), createdBy: CREATED_BY })
  const group = new HeldChunks()

  const writeGroup = async () => {
    const rows = group.chunks.reduce((sum, batch) => sum + batch.rows, 0)
    if (rows > 0) {
      const start = out.offset
      const chunks = await writeColumns(out, codec, columns, group.chunks)
      file.row_groups.push({
        columns: chunks,
        num_rows: BigInt(rows),
        total_byte_size: chunks.reduce((sum, chunk) => sum + (chunk.meta_data?.total_uncompressed_size ?? 0n), 0n),
        total_compressed_size: BigInt(out.offset - start),
        file_offset: BigInt(start),
      })
      file.num_rows += BigInt(rows)
    }
    group.clear()
  }

  return {
    add(batch) {
      if (batch.vectors.length !== columns.length) {
        throw new TypeError(`expected ${columns.length} columns in each chunk, got ${batch.vectors.length}`)
      }
      group.add(batch)
      return group.chunks.length < groupChunks ? NOTHING : writeGroup().then(() => take(out))
    },
    async finish() {
      await writeGroup()
      file.finish()
      return take(out)
    },
  }
}

function piecesOf(group: readonly ColumnBatch[], column: Column, c: number): Piece[] {
  return group
    .filter((batch) => batch.rows > 0)
    .map((batch) => ({ vector: batch.vectors[c] as Vector, slots: valueCount(column, batch.rows) }))
}

/** A column of a row group, as far as it is written. */
interface OpenColumn {
  readonly column: Column
  readonly type: ParquetType
  readonly statistics: ColumnStatistics
  start: number
  end: number
  /** Bytes that its pages would take uncompressed, their headers included. */
  raw: number
  slots: number
  values: number
}

/** A page that is being compressed. */
interface OpenPage {
  readonly of: OpenColumn
  readonly page: PageBuffer
  readonly slots: number
  readonly compressed: Promise<Uint8Array>
}

/** While pages are compressed elsewhere the next ones are put together; they are written in their order. */
async function writeColumns(
  out: ByteWriter,
  codec: Codec,
  columns: readonly Column[],
  group: readonly ColumnBatch[],
): Promise<ColumnChunk[]> {
  const open: OpenColumn[] = []
  const compressing: OpenPage[] = []
  const writeOldest = async () => {
    const { of, page, slots, compressed } = compressing.shift() as OpenPage
    writePage(out, of, page.body().length, slots, await compressed)
    sparePage(page)
  }
  for (const [c, column] of columns.entries()) {
    const type = physicalType(column)
    const statistics = columnStatistics(column, type)
    const of: OpenColumn = { column, type, statistics, start: -1, end: -1, raw: 0, slots: 0, values: 0 }
    open.push(of)
    for (const pieces of pagesOf(piecesOf(group, column, c), type)) {
      const page = takePage()
      buildPage(page, column, type, pieces)
      statistics.add(page)
      of.values += page.count
      const body = page.body()
      const slots = pieces.reduce((sum, piece) => sum + piece.slots, 0)
      const compressed = codec.compress(body)
      if (compressed instanceof Promise) {
        compressing.push({ of, page, slots, compressed })
        if (compressing.length >= AT_ONCE) await writeOldest()
      } else {
        while (compressing.length) await writeOldest()
        writePage(out, of, body.length, slots, compressed)
        sparePage(page)
      }
    }
  }
  while (compressing.length) await writeOldest()
  return open.map((of) => columnChunk(of, codec))
}

function columnChunk({ column, type, statistics, ...of }: OpenColumn, { codec }: Codec): ColumnChunk {
  return {
    file_offset: BigInt(of.start),
    meta_data: {
      type,
      encodings: ['PLAIN', 'RLE'],
      path_in_schema: schemaPath(column),
      codec,
      num_values: BigInt(of.slots),
      total_uncompressed_size: BigInt(of.raw),
      total_compressed_size: BigInt(of.end - of.start),
      data_page_offset: BigInt(of.start),
      statistics: { ...statistics.result(), null_count: BigInt(of.slots - of.values) },
    },
  }
}

/** Whole chunks until a page is full. */
function pagesOf(pieces: readonly Piece[], type: ParquetType): Piece[][] {
  const pages: Piece[][] = []
  let size = Number.POSITIVE_INFINITY
  for (const piece of pieces) {
    if (size >= PAGE_BYTES) {
      pages.push([])
      size = 0
    }
    pages.at(-1)?.push(piece)
    size += plainSize(piece, type)
  }
  return pages
}

function writePage(out: ByteWriter, of: OpenColumn, size: number, slots: number, compressed: Uint8Array): void {
  const start = out.offset
  if (of.start < 0) of.start = start
  writePageHeader(out, {
    type: 'DATA_PAGE',
    uncompressed_page_size: size,
    compressed_page_size: compressed.length,
    data_page_header: {
      num_values: slots,
      encoding: 'PLAIN',
      definition_level_encoding: 'RLE',
      repetition_level_encoding: 'RLE',
    },
  })
  of.raw += out.offset - start + size
  out.appendBytes(compressed)
  of.end = out.offset
  of.slots += slots
}

const NOTHING = new Uint8Array(0)

/** Takes what has been written; offsets in the file go on counting. */
function take(out: ByteWriter): Uint8Array {
  if (out.index === 0) return NOTHING
  const bytes = out.getBytes().slice()
  out.index = 0
  return bytes
}
