// Pages are compressed to the same bytes on this thread and on another: whoever writes a part again writes the same file.
import { constants, zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { codecOf } from '../../../connectors/files/parquet-codec.ts'

const LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }

/** Bytes that repeat themselves somewhat, the same in every run. */
function page(size: number, period: number): Buffer {
  const bytes = Buffer.alloc(size)
  for (let i = 0, state = 1; i < size; i++) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    bytes[i] = i % period === 0 ? state >> 16 : (bytes[i - 1] as number) + (state >> 28)
  }
  return bytes
}

test('a page has the bytes of one frame of ZSTD, wherever it was compressed', async () => {
  const { compress } = codecOf('zstd')
  for (const period of [1, 7, 1000]) {
    const small = page(65_535, period)
    expect(compress(small)).toEqual(zstdCompressSync(small, LEVEL))
    for (const size of [65_536, 1_000_001, 3_000_000]) {
      const body = page(size, period)
      const compressed = compress(body)
      expect(compressed).toBeInstanceOf(Promise)
      expect(Buffer.compare(await compressed, zstdCompressSync(body, LEVEL)), `${size} bytes, ${period}`).toBe(0)
    }
  }
})
