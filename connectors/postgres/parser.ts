// Postgres's own parser, as WebAssembly. Loaded here only, and compiled by V8's baseline compiler alone: when the optimizing
// one gets at the parser's enormous functions it takes 600 MB for a few seconds (measured: peak resident memory of a
// reader 690 MB with it, 115 MB without), for a parse that takes less than a millisecond either way.
//
// The flags are the whole process's, and every other WebAssembly takes twice the time without that compiler (src/model/trees). But a
// function is compiled when it is first called, and then it is settled whether it may ever be optimized: so they are set for just
// as long as the parser runs, which nothing else does meanwhile.
import { setFlagsFromString } from 'node:v8'

optimize(false)
const { hasSqlDetails, loadModule, parseSync } = await import('libpg-query')
await loadModule()
optimize(true)

export { hasSqlDetails }

/** The statements of a text. Throws what is wrong with it. */
export function parse(query: string): ReturnType<typeof parseSync> {
  optimize(false)
  try {
    return parseSync(query)
  } finally {
    optimize(true)
  }
}

/** Both flags: at start V8 derives the one from the other, but no longer once it runs. */
function optimize(on: boolean): void {
  for (const flag of ['wasm-tier-up', 'wasm-dynamic-tiering']) setFlagsFromString(on ? `--${flag}` : `--no-${flag}`)
}
