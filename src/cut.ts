// Text of anybody's making, in a length that one record of Kafka can hold beside everything else. Pure.

/** Reasons and error messages. */
export const MESSAGE_CHARS = 10_000

/** The text, or its beginning and a sign that more has been there. */
export function cut(text: string, chars: number): string {
  return text.length > chars ? `${text.slice(0, chars)}…` : text
}
