// Flags of Node for the processes of the roles.

/**
 * Chunks live in array buffers outside the heap, and V8 answers their coming and going with collections of the whole heap,
 * some twenty a second. Its helper threads took 2.5 of the 10 CPU seconds of a 2 M row job for that, from roles that have
 * one core each at best; on the thread itself a collection takes 5 ms. A small young generation lets go of the buffers
 * before they count, and keeps the heap at 30 MB instead of 90. deploy/Dockerfile has the same flags.
 */
export const ROLE_FLAGS = ['--single-threaded-gc', '--max-semi-space-size=4'] as const
