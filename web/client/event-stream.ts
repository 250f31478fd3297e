// Server-sent events over fetch, for an EventSource cannot send the API key: the reader of the format, and a subscription
// that comes back by itself, with the id of the last event that it saw.
import { send } from './api.ts'

export interface StreamEvent {
  readonly event: string
  readonly data: string
  /** The last id that the stream has named, also by an earlier event. */
  readonly id: string
}

/** The events in a stream of bytes. Comments and fields of no meaning here are left out. */
export async function* readEvents(bytes: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent> {
  let rest = ''
  let id = ''
  let event = ''
  let data: string[] = []
  const reader = bytes.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const lines = (rest + value).split(/\r?\n/)
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (line === '') {
          if (data.length) yield { event: event || 'message', data: data.join('\n'), id }
          event = ''
          data = []
          continue
        }
        const [, field = '', text = ''] = /^([^:]*):? ?(.*)$/.exec(line) ?? []
        if (field === 'event') event = text
        if (field === 'data') data.push(text)
        if (field === 'id') id = text
      }
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}

export interface Subscription {
  readonly path: string
  readonly onEvent: (event: StreamEvent) => void
  readonly onOpen: () => void
  /** The stream broke; it is tried again at `retryAt` (ms since 1970). */
  readonly onLost: (retryAt: number) => void
  readonly signal: AbortSignal
}

const FIRST_DELAY_MS = 500
const LONGEST_DELAY_MS = 5_000
/** Each delay is so much longer than the one before: a service that is started again is found within a few seconds. */
const LONGER = 1.5
/** The API says something at least every fifteen seconds; a connection that is silent for longer is dead. */
const SILENCE_MS = 40_000

/** Follows until `signal` aborts. */
export async function follow({ path, onEvent, onOpen, onLost, signal }: Subscription): Promise<void> {
  let lastId = ''
  let delayMs = FIRST_DELAY_MS
  while (!signal.aborted) {
    const attempt = new AbortController()
    const watch = watchdog(() => attempt.abort())
    try {
      const response = await send(path, {
        headers: { accept: 'text/event-stream', ...(lastId ? { 'last-event-id': lastId } : {}) },
        signal: AbortSignal.any([signal, attempt.signal]),
      })
      if (!response.body) throw new Error('an answer without a body')
      onOpen()
      delayMs = FIRST_DELAY_MS
      for await (const event of readEvents(response.body.pipeThrough(watch.tap))) {
        lastId = event.id
        onEvent(event)
      }
    } catch {
      // Whatever it was: shown as a lost connection, and tried again.
    } finally {
      watch.stop()
    }
    if (signal.aborted) return
    onLost(Date.now() + delayMs)
    await sleep(delayMs, signal)
    delayMs = Math.min(LONGEST_DELAY_MS, delayMs * LONGER)
  }
}

/** Calls `onSilence` when nothing, not even a comment, has passed its tap for too long. */
function watchdog(onSilence: () => void): { tap: TransformStream<Uint8Array, Uint8Array>; stop(): void } {
  let timer = setTimeout(onSilence, SILENCE_MS)
  return {
    tap: new TransformStream({
      transform: (chunk, controller) => {
        clearTimeout(timer)
        timer = setTimeout(onSilence, SILENCE_MS)
        controller.enqueue(chunk)
      },
    }),
    stop: () => clearTimeout(timer),
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    const wake = (): void => {
      clearTimeout(timer)
      resolve()
    }
    signal.addEventListener('abort', wake, { once: true })
    // A laptop that is opened again does not wait out its delay.
    addEventListener('online', wake, { once: true, signal })
  })
}
