// A store that dies: a real one, but from its last change on nothing is done any more, as if the process had been killed.
import type { FileStore, PartFile } from '../../../connectors/files/store.ts'

export class Crash extends Error {}

export interface Life {
  /**
   * Changes that are left. With none, it dies before its first; otherwise right after its last, before anybody hears that
   * it was made. (To die before the next change would leave the store just like that.)
   */
  left: number
  /** Files that were being written at the end; to be aborted when nobody looks any more. */
  readonly abandoned: PartFile[]
}

export function lifeOf(changes: number): Life {
  return { left: changes, abandoned: [] }
}

/** Every change and look at the store goes through as long as it lives. */
export function crashingStore(store: FileStore, life: Life): FileStore {
  const alive = async <T>(work: () => Promise<T>): Promise<T> => {
    if (life.left <= 0) throw new Crash('dead')
    return work()
  }
  const change = async <T>(work: () => Promise<T>): Promise<T> => {
    const done = await alive(work)
    if (--life.left <= 0) throw new Crash('before it was heard of')
    return done
  }
  // One by one: a crash may fall between two files.
  const each = async <T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> => {
    for (const item of items) await change(() => work(item))
  }
  return {
    ...store,
    createDirectory: (name) => change(() => store.createDirectory(name)),
    list: (directory) => alive(() => store.list(directory)),
    read: (name) => alive(() => store.read(name)),
    missing: (parts) => alive(() => store.missing(parts)),
    put: (name, bytes) => change(() => store.put(name, bytes)),
    replace: (name, expected, bytes) => change(() => store.replace(name, expected, bytes)),
    remove: (names) => each(names, (name) => store.remove([name])),
    publish: (parts) => each(parts, (part) => store.publish([part])),
    withdraw: (parts) => each(parts, (part) => store.withdraw([part])),
    forget: (parts) => each(parts, (part) => store.forget([part])),
    removeDirectory: (name) => change(() => store.removeDirectory(name)),
    begin: (name, finalName) =>
      change(async () => {
        const file = await store.begin(name, finalName)
        // A process that is gone does not tidy up.
        if (life.left === 1) life.abandoned.push(file)
        return {
          write: (bytes) => change(() => file.write(bytes)),
          commit: () => change(() => file.commit()),
          abort: async () => {
            if (life.left > 0) await file.abort()
            else life.abandoned.push(file)
          },
        }
      }),
  }
}
