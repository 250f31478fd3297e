// CONTROLLER: owns every job of its partitions. One loop for each partition of commands.v1: take what happened, decide,
// write snapshots + read tasks + the consumed offset in one transaction, then act. A zombie is fenced by the transaction.
import { openRegistry } from '../../connectors/kafka/registry.ts'
import { commandsTopic } from '../../topics/commands.ts'
import { jobCodec } from '../../topics/job-codec.ts'
import { isTerminal, type JobSnapshot, jobsTopic } from '../../topics/jobs.ts'
import { type ProgressEntry, progressTopic } from '../../topics/progress.ts'
import { readCodec, readsTopic } from '../../topics/reads.ts'
import { scheduleCodec, schedulesTopic } from '../../topics/schedules.ts'
import { duty } from '../job/machine.ts'
import type { PlanningWorld } from '../job/plan.ts'
import { livePools } from '../job/pools.ts'
import type { Lane } from '../kafka/lane.ts'
import { consumeLanes } from '../kafka/lane-consumer.ts'
import type { OutgoingRecord } from '../kafka/producer.ts'
import { openTransactionalWriter } from '../kafka/transactions.ts'
import type { ProcessContext, RunningRole } from '../process.ts'
import { Wakeup } from '../wakeup.ts'
import { webhookProblems } from '../webhook/check.ts'
import { CommandDecoder } from './command-decoder.ts'
import { CommandIntake } from './command-intake.ts'
import { Deliveries, type DeliveryOutcome } from './deliveries.ts'
import { Duties, type DutyOutcome } from './duties.ts'
import { JobBook } from './job-book.ts'
import { forgottenWorkers } from './lost-workers.ts'
import { ScheduleBook, type ScheduleWrite } from './schedule-book.ts'
import { type CommandAccess, takeCommands } from './take-commands.ts'

const GROUP = 'controller'
/** How often counts are written into the snapshots, and deadlines looked at. */
const TICK_MS = 1_000
/**
 * How long new jobs are held back for their outputs to be prepared: most are by then, and a job's first three states go out as one
 * transaction, of which each costs every process that follows the jobs a fetch.
 */
const PREPARED_MS = 20

export async function startController(context: ProcessContext): Promise<RunningRole> {
  const { registryUrl, commandKeys, apiKeys, apiKeysFile } = context.config
  const decoder = new CommandDecoder(registryUrl === null ? null : openRegistry(registryUrl).schemaOf)
  const open = !Object.keys(commandKeys).length && !apiKeys.length && apiKeysFile === null
  const consumer = await consumeLanes(context.client, {
    group: GROUP,
    topics: [commandsTopic],
    onLane: (lane) => runPartition(lane, decoder, { keys: commandKeys, open }, context),
    onFatal: context.onFatal,
  })
  return { owned: consumer.owned, drain: consumer.drain }
}

async function runPartition(
  lane: Lane,
  decoder: CommandDecoder,
  access: CommandAccess,
  context: ProcessContext,
): Promise<void> {
  const { config, client, views } = context
  const { partition } = lane
  // Fence the partition's last owner, and only then read what it wrote.
  const writer = await openTransactionalWriter(client, `controller.${partition}`)
  await views.caughtUp()
  const book = new JobBook(views.jobsOfPartition(partition), config)
  const schedules = new ScheduleBook(views.schedulesOfPartition(partition), config)

  const wakeup = new Wakeup()
  const outcomes: (DutyOutcome | DeliveryOutcome)[] = []
  const report = (outcome: DutyOutcome | DeliveryOutcome): void => {
    outcomes.push(outcome)
    wakeup.signal()
  }
  const touched = new Set(book.active().map((job) => job.job_id))
  let ticked = false
  const duties = new Duties((tenantId) => planningWorld(context, tenantId), report, context.log)
  const deliveries = new Deliveries(config.webhooks, report)
  const onProgress = (entry: ProgressEntry): void => {
    if (!book.get(entry.job_id)) return
    touched.add(entry.job_id)
    wakeup.signal()
  }
  const timer = setInterval(() => {
    ticked = true
    wakeup.signal()
  }, TICK_MS)
  views.changes.on('progress', onProgress)
  lane.revoked.addEventListener('abort', () => wakeup.signal(), { once: true })

  try {
    wakeup.signal()
    const commands = new CommandIntake(lane, decoder, context.log)
    let arriving = commands.next()
    let woken = wakeup.wait()
    while (!lane.revoked.aborted) {
      // 1. What happened: commands, ledger entries, outcomes of duties, the clock.
      const happened = await Promise.race([arriving, woken])
      if (happened === null) break
      if (happened === 'woken') woken = wakeup.wait()
      else arriving = commands.next()
      const incoming = happened === 'woken' ? [] : happened
      const at = Date.now()
      // 2. Decide.
      const outgoing = takeCommands(incoming, lane, { book, schedules }, access, at)
      // A look at the webhooks costs something for each that waits: only when one may have become due.
      let mayTell = ticked
      const takeOutcomes = (): void => {
        if (outcomes.length) mayTell = true
        for (const { jobId, event } of outcomes.splice(0)) {
          if (event?.type === 'webhook-tried') deliveries.settled(jobId)
          else duties.settled(jobId)
          if (event?.type === 'swept') book.forget(jobId)
          else if (event && book.apply(jobId, event) && event.type === 'prepared')
            outgoing.push(readTask(book.get(jobId) as JobSnapshot, partition))
        }
      }
      takeOutcomes()
      if (ticked) for (const job of book.active()) touched.add(job.job_id)
      for (const jobId of touched) book.ledger(jobId, views.progressOf(jobId), ticked, at)
      touched.clear()
      const live = livePools(views.workers.values(), at)
      if (ticked) {
        book.lookForScorers((jobId) => views.progressOf(jobId), live, at)
        book.expire(at)
        outgoing.push(...forgottenWorkers(views.workers.values(), partition, at))
        for (const { scheduleId, error } of schedules.fire(book, at))
          context.log.error(
            { scheduleId, err: error },
            'a schedule could not fire; it is left alone until it is changed',
          )
      }
      const outlived = ticked ? book.outlived(at) : []
      ticked = false
      book.admit(views.activeJobs(), at, live)
      // A first attempt may be prepared before it is known that this controller may write: whoever may would prepare the same, and
      // nothing of it counts until it is written down.
      if (await duties.startAll(firstPrepares(book.due()), 'prepare', PREPARED_MS)) takeOutcomes()
      // 3. Write it down, all or nothing.
      const changes = book.takeChanges()
      outgoing.push(...changes.flatMap((job) => jobRecords(job, partition, views.slotsOf(job.job_id))))
      outgoing.push(...book.takeForgotten().flatMap((jobId) => tombstones(jobId, partition, views.slotsOf(jobId))))
      outgoing.push(...schedules.takeWrites().map((write) => scheduleRecord(write, partition)))
      for (const { job_id } of changes) duties.changed(job_id, book.get(job_id))
      const last = incoming.at(-1)?.record
      if (outgoing.length || last) {
        const consumed = last
          ? { groupId: client.name(GROUP), topic: lane.topic, partition, offset: last.offset + 1n }
          : null
        await writer.write(outgoing, consumed)
      }
      // 4. Act.
      for (const job of book.due()) {
        const due = duty(job)
        if (due !== null && due !== 'admit') duties.start(job, due)
      }
      for (const job of outlived) duties.start(job, 'sweep')
      if (mayTell) for (const job of book.undelivered(at)) deliveries.start(job)
    }
  } finally {
    clearInterval(timer)
    views.changes.off('progress', onProgress)
    await Promise.all([duties.stop(), deliveries.stop()])
    await writer.close()
  }
}

function firstPrepares(due: readonly JobSnapshot[]): JobSnapshot[] {
  return due.filter((job) => job.attempt === 1 && duty(job) === 'prepare')
}

/** The records that a job's new state stands for. */
function jobRecords(job: JobSnapshot, partition: number, slots: readonly string[]): OutgoingRecord[] {
  const key = job.job_id
  const snapshot = { topic: jobsTopic, partition, key, value: jobCodec.encode(job) }
  if (!isTerminal(job.status)) return [snapshot]
  // A finished job needs no read task and no ledger: its totals are in the snapshot.
  return [snapshot, { topic: readsTopic, partition, key, value: null }, ...ledgerTombstones(key, partition, slots)]
}

/** What takes a job away, with what a worker wrote of it after its end: a job of the same id may follow. */
function tombstones(jobId: string, partition: number, slots: readonly string[]): OutgoingRecord[] {
  return [{ topic: jobsTopic, partition, key: jobId, value: null }, ...ledgerTombstones(jobId, partition, slots)]
}

function ledgerTombstones(jobId: string, partition: number, slots: readonly string[]): OutgoingRecord[] {
  return slots.map((slot) => ({ topic: progressTopic, partition, key: `${jobId}/${slot}`, value: null }))
}

function scheduleRecord({ key, schedule }: ScheduleWrite, partition: number): OutgoingRecord {
  return { topic: schedulesTopic, partition, key, value: schedule && scheduleCodec.encode(schedule) }
}

function readTask({ job_id, tenant_id, attempt }: JobSnapshot, partition: number): OutgoingRecord {
  return { topic: readsTopic, partition, key: job_id, value: readCodec.encode({ job_id, tenant_id, attempt }) }
}

function planningWorld({ config, connectors, views }: ProcessContext, tenantId: string): PlanningWorld {
  return {
    source: connectors.source,
    sinkFor: connectors.sinkFor,
    findModel: (modelId, version) => views.findModel(tenantId, modelId, version),
    webhookProblems: (url) => webhookProblems(url, tenantId, config.webhooks),
    maxInputRows: config.maxInputRows,
  }
}
