// Loaded before a role (`node --import`): while the file that BENCH_UNMEASURED names is there, the role keeps no figures for its
// heartbeats. What it costs then is what it costs without measuring.
import { existsSync } from 'node:fs'
import { Activity } from '../src/kafka/activity.ts'

const FILE = process.env.BENCH_UNMEASURED ?? ''
const LOOK_MS = 100

let off = false
setInterval(() => {
  off = existsSync(FILE)
}, LOOK_MS).unref()

const nothing = (): void => {}
const { begin, hold, chunk } = Activity.prototype

Activity.prototype.begin = function () {
  return off ? nothing : begin.call(this)
}
Activity.prototype.hold = function () {
  return off ? nothing : hold.call(this)
}
Activity.prototype.chunk = function (jobId, rows, ms) {
  if (!off) chunk.call(this, jobId, rows, ms)
}
