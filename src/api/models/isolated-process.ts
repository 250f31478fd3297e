// The process that isolated-models.ts starts: inspects models and scores sample rows, one by one, until its parent is gone.
import { readFile } from 'node:fs/promises'
import { decodeColumns, encodeColumns } from '../../../topics/payload.ts'
import { readConfig } from '../../config.ts'
import { serveParent } from '../../model/isolated-child.ts'
import { ModelError } from '../../model/model.ts'
import { probeOutputs } from '../../model/probe.ts'
import { openSession } from '../../model/session.ts'
import { matchColumns, selectScored, validateFeatures } from '../../model/signature.ts'
import { openModelStore } from '../../model/store.ts'
import { scoreChunk } from '../../scorer/score-chunk.ts'
import type { Answer, Question, SampleWork } from './isolated-models.ts'

const store = await openModelStore(readConfig(process.env).modelStore)

await serveParent<Question, Answer>(async (question) => {
  try {
    return 'inspect' in question
      ? await inspect(question.inspect.path, question.inspect.features)
      : { scored: await score(question.sample) }
  } catch (error) {
    const code = error instanceof ModelError ? error.code : null
    return { error: { code, message: (error as Error).message } }
  }
})

/** Loads the model once, to know what goes in and what really comes out. */
async function inspect(path: string, features: readonly string[] | undefined): Promise<Answer> {
  const session = await openSession(await readFile(path))
  try {
    const checked = validateFeatures(session.signature, features)
    if ('problems' in checked) return checked
    const probed = await probeOutputs(session, checked.features)
    if ('problems' in probed) return probed
    return { inspected: { inputs: session.signature.inputs, outputs: probed.outputs, features: checked.features } }
  } finally {
    await session.release()
  }
}

async function score({ model, plan, payload }: SampleWork) {
  const signature = { inputs: model.inputs, outputs: model.outputs }
  const matched = matchColumns({ signature, features: model.features }, plan.query_columns)
  const selected = 'problems' in matched ? matched : selectScored(matched.plan, plan.scored_columns)
  if ('problems' in selected) throw new Error(selected.problems.map(({ detail }) => detail).join('; '))
  const session = await openSession(await store.get(model.location, model.sha256))
  try {
    const { batch, failed } = await scoreChunk(session, selected.plan, decodeColumns(payload))
    return { payload: encodeColumns(batch), failed: failed.map(({ reason }) => reason) }
  } finally {
    await session.release()
  }
}
