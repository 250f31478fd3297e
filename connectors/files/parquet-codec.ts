// What compresses the pages of a Parquet file.
import { promisify } from 'node:util'
import { constants, type ZstdOptions, zstdCompress, zstdCompressSync } from 'node:zlib'
import type { CompressionCodec } from 'hyparquet'
import { snappyCompress } from 'hyparquet-writer/src/snappy.js'

export interface Codec {
  /** Its name in the format. */
  readonly codec: CompressionCodec
  /** A promise means that another thread compresses, and `body` has to stay as it is until then. What comes at once may be `body` itself. */
  readonly compress: (body: Uint8Array) => Uint8Array | Promise<Uint8Array>
}

/**
 * ZSTD from Node itself: 4.7 ms for 100,000 such rows and 0.8 MB, where Snappy in JavaScript takes 19 ms for 1.2 MB.
 * Level 3 took no longer than level 1 and found the repetitions that level 1 missed.
 * In all, million rows a second of two int64 and two float32 into memory: ZSTD 12.6, Snappy 5.2 and twice the size, none 38.
 */
const CODECS = {
  zstd: { codec: 'ZSTD', compress: zstd },
  snappy: { codec: 'SNAPPY', compress: snappyCompress },
  none: { codec: 'UNCOMPRESSED', compress: (body) => body },
} as const satisfies Record<string, Codec>

export type ParquetCompression = keyof typeof CODECS

export function isParquetCompression(name: string): name is ParquetCompression {
  return Object.hasOwn(CODECS, name)
}

export function codecOf(compression: ParquetCompression): Codec {
  return CODECS[compression]
}

const LEVEL = { [constants.ZSTD_c_compressionLevel]: 3 }

/** Below this, to pass the page to another thread takes longer than to compress it: so much took 0.1 ms here, 0.3 ms there. */
const SMALL_BYTES = 64 * 1024

/** In pieces of this size the output comes from the other thread; by default in sixty. */
const CHUNK_BYTES = 256 * 1024

const compressElsewhere = promisify<Uint8Array, ZstdOptions, Buffer>(zstdCompress)

/** What Node's stream puts behind the frame that was ended with its first and only bytes. */
const EMPTY_FRAME = zstdCompressSync(new Uint8Array(0))

/**
 * A page of a megabyte takes 1 to 4 ms. A sink that did all of them itself kept its small jobs waiting: each of their steps,
 * for the pages of a row group. The bytes are the same wherever they are made, for a replay makes the same file.
 */
function zstd(body: Uint8Array): Uint8Array | Promise<Uint8Array> {
  if (body.length < SMALL_BYTES) return zstdCompressSync(body, { params: LEVEL })
  return compressElsewhere(body, { params: LEVEL, chunkSize: CHUNK_BYTES, flush: constants.ZSTD_e_end }).then(
    (bytes) => {
      const end = bytes.length - EMPTY_FRAME.length
      return bytes.subarray(end).equals(EMPTY_FRAME) ? bytes.subarray(0, end) : bytes
    },
  )
}
