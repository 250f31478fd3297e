// Cancelling a job: asked for once more, then told.
import { request } from '../client/api.ts'
import { tellChanged } from '../client/live-jobs.ts'
import type { Job } from '../client/types.ts'
import { Question } from '../parts/dialog.tsx'
import { announce } from '../parts/notices.tsx'

export function CancelQuestion({ jobId, onDone }: { jobId: string; onDone: () => void }) {
  const answer = async (yes: boolean): Promise<void> => {
    onDone()
    if (!yes) return
    try {
      tellChanged(await request<Job>(`/api/v1/inference/batch/${jobId}/cancel`, { method: 'POST' }))
      announce(`Cancelled ${jobId}`)
    } catch (error) {
      announce(`Not cancelled: ${(error as Error).message}`, true)
    }
  }
  return (
    <Question title="Cancel this job?" action="Cancel the job" danger onAnswer={answer}>
      <p class="mono">{jobId}</p>
      <p>
        What is staged is thrown away; a table or a directory stays as it was. Rows that are in a topic already stay
        there.
      </p>
    </Question>
  )
}
