// Where file results lie, seen from the sink: one directory of small whole files and of large parts that are first made
// durable out of sight and then published. Local disk (local-store.ts) is one, an object store (s3-store.ts) another.
import type { SignedUrl } from '../connector.ts'

/** A part that is durable but that no reader sees yet. `receipt` is what the store needs to publish it. */
export interface StagedPart {
  /** Path in the staging directory. */
  readonly name: string
  /** Path under which readers will find it. */
  readonly finalName: string
  readonly receipt: string
  readonly bytes: number
}

/** A part that was begun and is neither published nor taken back; `receipt` is what the store needs to forget it. */
export interface BegunPart {
  /** Path under which readers would have found it. */
  readonly finalName: string
  readonly receipt: string
}

/** A part being written. Another writer of the same name is never disturbed: each has a file of its own until `commit`. */
export interface PartFile {
  /** Appends; `bytes` may be reused when it resolves. */
  write(bytes: Uint8Array): Promise<void>
  /**
   * Makes the whole part durable under its staged name and returns its receipt. When two writers commit the same name,
   * one of the two files stays, whole.
   */
  commit(): Promise<string>
  /** Forgets what was written, unless it is committed. Never throws. */
  abort(): Promise<void>
}

/**
 * The files of one result directory. Paths are relative to it, separated by `/`; those that begin with a dot are the
 * store's own. Every change is durable when it resolves; every method may be repeated after a crash. Failures are
 * `ConnectorError`s; a file for a directory that was removed is refused with `not_prepared`, and not left behind.
 *
 * An object store has no rename: there, `begin` starts a multipart upload to `finalName`, `commit` uploads the last piece
 * and returns upload id and ETags as the receipt, `publish` completes the upload, `withdraw` aborts it.
 */
export interface FileStore {
  /** URL of the directory, ending in `/`. */
  readonly location: string
  /** Throws unless the directory can be written (made, where it is not there yet). Leaves nothing behind. */
  requireWritable(): Promise<void>
  /** Of an object store: a link by which anybody may get this file for a while. */
  link?(name: string): Promise<SignedUrl>
  /** Makes a directory and those above it. */
  createDirectory(name: string): Promise<void>
  /** Names of the files directly in a directory, sorted; none when it is not there. */
  list(directory: string): Promise<string[]>
  /** Names of the directories directly in a directory, sorted; none when it is not there. */
  directories(name: string): Promise<string[]>
  /** A small file's bytes, or null when it is not there. */
  read(name: string): Promise<Buffer | null>
  /** Writes a small file as a whole or not at all, over an older one; its directory must exist. */
  put(name: string, bytes: Uint8Array): Promise<void>
  /**
   * Writes a small file like `put`, if it still has these bytes (null: is not there); says whether it did. Of several that
   * replace the same bytes, in whatever processes, one does. A store without conditional writes does as `put`.
   */
  replace(name: string, expected: Uint8Array | null, bytes: Uint8Array): Promise<boolean>
  /** Removes files; those that are not there count as removed. */
  remove(names: readonly string[]): Promise<void>
  /** Begins a part; the directory of `name` must exist. */
  begin(name: string, finalName: string): Promise<PartFile>
  /** All parts that are begun and lie outside of the staging directory, whoever's they are: multipart uploads. */
  begun(): Promise<BegunPart[]>
  /** Nothing of these begun parts stays. What has been published meanwhile does. */
  forget(parts: readonly BegunPart[]): Promise<void>
  /** Which of these parts are neither staged nor published in their full size. */
  missing(parts: readonly StagedPart[]): Promise<StagedPart[]>
  /** Makes parts visible under their final names, over older files of that name. */
  publish(parts: readonly StagedPart[]): Promise<void>
  /** The opposite of both `begin` and `publish`: nothing of these parts stays. */
  withdraw(parts: readonly StagedPart[]): Promise<void>
  /** Removes a directory with all that is in it, and those directories above it that are empty now. */
  removeDirectory(name: string): Promise<void>
}

/** Opens the store of a result directory whose path has been checked: an absolute path, or an `s3://` URL. */
export type OpenStore = (directory: string) => FileStore | Promise<FileStore>
