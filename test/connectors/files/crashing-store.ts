// A store that dies: a real one, but from its last step on nothing is done any more, as if the process had been killed.
import type { FileStore, PartFile } from '../../../connectors/files/store.ts'

export interface Life {
  /** Steps that are left. Every change takes two, so that a crash falls before it or right after it. */
  left: number
  /** Files that were being written at the end; to be aborted when nobody looks any more. */
  readonly abandoned: PartFile[]
}

class Crash extends Error {}

/** Every change and look at the store goes through as long as there are steps. */
export function crashingStore(store: FileStore, life: Life): FileStore {
  const step = (when: string) => {
    if (life.left-- <= 0) throw new Crash(when)
  }
  const change = async <T>(work: () => Promise<T>): Promise<T> => {
    step('before')
    const done = await work()
    step('after')
    return done
  }
  const alive = async <T>(work: () => Promise<T>): Promise<T> => {
    if (life.left < 0) throw new Crash('long ago')
    return work()
  }
  return {
    ...store,
    createDirectory: (name) => change(() => store.createDirectory(name)),
    list: (directory) => alive(() => store.list(directory)),
    read: (name) => alive(() => store.read(name)),
    put: (name, bytes) => change(() => store.put(name, bytes)),
    replace: (name, expected, bytes) => change(() => store.replace(name, expected, bytes)),
    // One by one: a crash may fall between two files.
    remove: async (names) => {
      for (const name of names) await change(() => store.remove([name]))
    },
    missing: (parts) => alive(() => store.missing(parts)),
    publish: async (parts) => {
      for (const part of parts) await change(() => store.publish([part]))
    },
    withdraw: async (parts) => {
      for (const part of parts) await change(() => store.withdraw([part]))
    },
    forget: async (parts) => {
      for (const part of parts) await change(() => store.forget([part]))
    },
    removeDirectory: (name) => change(() => store.removeDirectory(name)),
    begin: async (name, finalName): Promise<PartFile> => {
      step('before')
      const file = await store.begin(name, finalName)
      return {
        write: (bytes) => change(() => file.write(bytes)),
        commit: () => change(() => file.commit()),
        // A process that is gone does not tidy up.
        abort: async () => {
          if (life.left >= 0) await file.abort()
          else life.abandoned.push(file)
        },
      }
    },
  }
}
