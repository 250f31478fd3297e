// Parquet part files: row groups of whole chunks, one column after the other. The data path is ours; page headers and the
// footer are hyparquet-writer's. Measured with (int64, int64, float32, float32) on one core, million rows a second:
// hyparquet-writer alone 1.9 to 2.8 uncompressed, 2.0 to 2.2 with its Snappy, 2.4 to 2.6 with ZSTD (it boxes each value
// for levels, statistics and dictionary); this one 9 to 15 with ZSTD, SHA-256 and the file included, with NULLs or without.
import { constants, zstdCompressSync } from 'node:zlib'
import type { ColumnChunk, CompressionCodec, ParquetType } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { writePageHeader } from 'hyparquet-writer/src/datapage.js'
import { snappyCompress } from 'hyparquet-writer/src/snappy.js'
import { type Column, type ColumnBatch, type Vector, valueCount } from '../../topics/columns.ts'
import type { SyncPartEncoder } from './encoder.ts'
import { buildPage, PageBuffer, type Piece, plainSize } from './parquet-page.ts'
import { parquetSchema, physicalType, schemaPath } from './parquet-schema.ts'
import { columnStatistics } from './parquet-statistics.ts'

/** Raw bytes after which a page ends, at a chunk's end: what readers take as their unit of work. */
const PAGE_BYTES = 1024 ** 2

/**
 * The format's own shape of this text, "application version x": readers that parse it (parquet-java) would otherwise
 * distrust the statistics. It never changes, so that a replay by a newer release still gives the same bytes.
 */
const CREATED_BY = 'scoreline version 1.0.0'

const ZSTD = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }

/** What compresses pages: its name in the format, and how. */
interface Codec {
  readonly codec: CompressionCodec
  readonly compress: (body: Uint8Array) => Uint8Array
}

/**
 * ZSTD from Node itself: 4.7 ms for 100,000 such rows and 0.8 MB, where Snappy in JavaScript takes 19 ms for 1.2 MB.
 * Level 3 took no longer than level 1 and found the repetitions that level 1 missed.
 * In all, million rows a second of two int64 and two float32 into memory: ZSTD 12.6, Snappy 5.2 and twice the size, none 38.
 */
const CODECS = {
  zstd: { codec: 'ZSTD', compress: (body) => zstdCompressSync(body, ZSTD) },
  snappy: { codec: 'SNAPPY', compress: snappyCompress },
  none: { codec: 'UNCOMPRESSED', compress: (body) => body },
} as const satisfies Record<string, Codec>

export type ParquetCompression = keyof typeof CODECS

export function isParquetCompression(name: string): name is ParquetCompression {
  return Object.hasOwn(CODECS, name)
}

export function parquetEncoder(
  columns: readonly Column[],
  groupChunks: number,
  compression: ParquetCompression,
): SyncPartEncoder {
  const codec = CODECS[compression]
  const out = new ByteWriter()
  const file = new ParquetWriter({ writer: out, schema: parquetSchema(columns), createdBy: CREATED_BY })
  const page = new PageBuffer()
  let group: ColumnBatch[] = []

  const writeGroup = () => {
    const rows = group.reduce((sum, batch) => sum + batch.rows, 0)
    if (rows > 0) {
      const start = out.offset
      const chunks = columns.map((column, c) => writeColumn(out, codec, page, column, piecesOf(group, column, c)))
      file.row_groups.push({
        columns: chunks,
        num_rows: BigInt(rows),
        total_byte_size: chunks.reduce((sum, chunk) => sum + (chunk.meta_data?.total_uncompressed_size ?? 0n), 0n),
        total_compressed_size: BigInt(out.offset - start),
        file_offset: BigInt(start),
      })
      file.num_rows += BigInt(rows)
    }
    group = []
  }

  return {
    add(batch) {
      if (batch.vectors.length !== columns.length) {
        throw new TypeError(`expected ${columns.length} columns in each chunk, got ${batch.vectors.length}`)
      }
      group.push(batch)
      if (group.length >= groupChunks) writeGroup()
      return take(out)
    },
    finish() {
      writeGroup()
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

function writeColumn(
  out: ByteWriter,
  codec: Codec,
  page: PageBuffer,
  column: Column,
  pieces: readonly Piece[],
): ColumnChunk {
  const type = physicalType(column)
  const statistics = columnStatistics(column, type)
  const start = out.offset
  let slots = 0
  let values = 0
  let raw = 0
  for (const pagePieces of pagesOf(pieces, type)) {
    buildPage(page, column, type, pagePieces)
    statistics.add(page)
    const pageSlots = pagePieces.reduce((sum, piece) => sum + piece.slots, 0)
    raw += writePage(out, codec, page.body(), pageSlots)
    slots += pageSlots
    values += page.count
  }
  return {
    file_offset: BigInt(start),
    meta_data: {
      type,
      encodings: ['PLAIN', 'RLE'],
      path_in_schema: schemaPath(column),
      codec: codec.codec,
      num_values: BigInt(slots),
      total_uncompressed_size: BigInt(raw),
      total_compressed_size: BigInt(out.offset - start),
      data_page_offset: BigInt(start),
      statistics: { ...statistics.result(), null_count: BigInt(slots - values) },
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

/** Returns the bytes that the page would take uncompressed, its header included. */
function writePage(out: ByteWriter, { compress }: Codec, body: Uint8Array, slots: number): number {
  const compressed = compress(body)
  const start = out.offset
  writePageHeader(out, {
    type: 'DATA_PAGE',
    uncompressed_page_size: body.length,
    compressed_page_size: compressed.length,
    data_page_header: {
      num_values: slots,
      encoding: 'PLAIN',
      definition_level_encoding: 'RLE',
      repetition_level_encoding: 'RLE',
    },
  })
  const header = out.offset - start
  out.appendBytes(compressed)
  return header + body.length
}

const NOTHING = new Uint8Array(0)

/** Takes what has been written; offsets in the file go on counting. */
function take(out: ByteWriter): Uint8Array {
  if (out.index === 0) return NOTHING
  const bytes = out.getBytes().slice()
  out.index = 0
  return bytes
}
