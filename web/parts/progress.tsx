// How far a job is: rows scored as the bar, rows that are durable in it as the darker part.
import type { Job } from '../client/types.ts'
import { count } from './format.ts'

export function Progress({ job, large = false }: { job: Job; large?: boolean }) {
  const { percentage, processed_rows, total_rows, written_rows } = job.progress
  const written = total_rows > 0 ? Math.min(percentage, (written_rows / total_rows) * 100) : percentage
  const tone =
    job.status === 'completed' ? 'good' : job.status === 'failed' ? 'bad' : job.status === 'cancelled' ? 'calm' : 'live'
  return (
    <div class={`progress ${tone} ${large ? 'large' : ''}`}>
      <div
        class="track"
        role="progressbar"
        aria-label={`Progress of ${job.job_id}`}
        aria-valuenow={percentage}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuetext={`${percentage} %, ${count(processed_rows)} of ${count(total_rows)} rows scored, ${count(written_rows)} written`}
      >
        <div class="scored" style={{ transform: `scaleX(${percentage / 100})` }} />
        <div class="written" style={{ transform: `scaleX(${job.status === 'completed' ? 1 : written / 100})` }} />
      </div>
      <span class="number">{percentage} %</span>
    </div>
  )
}
