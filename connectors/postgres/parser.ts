// Postgres's own parser, as WebAssembly. Loaded here only, and compiled by V8's baseline compiler alone: when the optimizing
// one gets at the parser's enormous functions it takes 600 MB for a few seconds (measured: peak resident memory of a
// reader 690 MB with it, 115 MB without), for a parse that takes less than a millisecond either way.
import { setFlagsFromString } from 'node:v8'

// Both: at start V8 derives the one from the other, but no longer once it runs.
setFlagsFromString('--no-wasm-tier-up')
setFlagsFromString('--no-wasm-dynamic-tiering')

export const { parse, hasSqlDetails } = await import('libpg-query')
