// One transaction in one round trip: statements, COPY … FROM STDIN and its data are sent at once, as one simple query, which is one
// implicit transaction. Whatever fails, all of it is rolled back; the server skips the data of a COPY that it never began.
import type pg from 'pg'
import { COPY_END, COPY_HEADER } from './copy-encoder.ts'

/**
 * Runs `statements`, whose last is a COPY … FROM STDIN (FORMAT binary), with `messages` (from `encodeRows`) as its data.
 * Resolves when the transaction is committed; rejects with the server's error, or with the connection's, and then the outcome is unknown.
 */
export function copyIn(client: pg.ClientBase, statements: string, messages: readonly Buffer[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const query = {
      submit(connection: pg.Connection) {
        const stream = connection.stream
        // One segment for the small ones.
        stream.cork()
        connection.query(statements)
        stream.write(COPY_HEADER)
        for (const message of messages) stream.write(message)
        stream.write(COPY_END)
        stream.uncork()
      },
      handleRowDescription() {},
      handleDataRow() {},
      handleCopyInResponse() {},
      handleCommandComplete() {},
      handleReadyForQuery: () => resolve(),
      handleError: reject,
    }
    client.query(query)
  })
}
