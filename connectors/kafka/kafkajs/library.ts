// The Kafka client library, with five of its modules replaced before it loads them: how messages are sent to several brokers, how
// the body of a Produce request is built, how a request is framed, how it connects and what it reads into. A retry writes nothing
// twice and leaves nothing out; the bytes are the same, with one copy instead of ten, and records that are encoded already can be
// sent. Besides, it finds coordinators and joins groups with patience, asks for a transaction's coordinator once, fetches less often
// where nothing comes, gives a fetch up when it is stopped, sends what is written at once, gathers a response in one buffer, and has
// no timer on a connection that rests. Whatever needs more of the library than its types takes it from here (a test says so):
// where something else had loaded it first, it would stay as it is.
import { createRequire } from 'node:module'
import { type CoordinatorPrototype, rememberCoordinators } from './known-coordinator.ts'
import { type FetchingGroup, fetchLazily } from './lazy-fetch.ts'
import { type ClusterPrototype, seekCoordinatorsPatiently } from './patient-coordinator.ts'
import { type GroupPrototype, joinPatiently, type RunnerPrototype } from './patient-join.ts'
import { type ProduceRequest, planProduce } from './produce-request.ts'
import { promptly, type SocketFactory } from './prompt-socket.ts'
import { type StoppedGroup, type StoppedRunner, stopPromptly } from './prompt-stop.ts'
import { checkWhilePending, type QueuePrototype } from './quiet-queue.ts'
import { type CreateSocket, inFrames, type ReadingConnection, readResponses } from './read-responses.ts'
import { frame, type Request } from './request-frame.ts'
import { createSendMessages } from './send-messages.ts'

const require = createRequire(import.meta.url)

type RequestBuilder = (request: ProduceRequest) => Request

const PRODUCE = 'kafkajs/src/protocol/requests/produce/v3/request.js'
const originalProduce = require(PRODUCE) as RequestBuilder

function produce(request: ProduceRequest): Request {
  const original = originalProduce(request)
  return request.compression ? original : { ...original, encode: async () => planProduce(request) }
}

function replace(module: string, exports: unknown): void {
  require(module)
  Object.assign(require.cache[require.resolve(module)] as NodeModule, { exports })
}

// What takes the module that frames requests when it is loaded, and keeps it.
const user = require.resolve('kafkajs/src/network/connection.js')
if (!require.cache[user]) {
  replace('kafkajs/src/producer/sendMessages.js', createSendMessages)
  replace(PRODUCE, produce)
  replace('kafkajs/src/protocol/request.js', frame)
  const SOCKET = 'kafkajs/src/network/socket.js'
  replace(SOCKET, inFrames(require(SOCKET) as CreateSocket))
  const SOCKETS = 'kafkajs/src/network/socketFactory.js'
  replace(SOCKETS, promptly(require(SOCKETS) as () => SocketFactory))
  const cluster = require('kafkajs/src/cluster/index.js') as { prototype: ClusterPrototype & CoordinatorPrototype }
  seekCoordinatorsPatiently(cluster.prototype)
  rememberCoordinators(cluster.prototype)
  const group = require('kafkajs/src/consumer/consumerGroup.js') as {
    prototype: GroupPrototype & FetchingGroup & StoppedGroup
  }
  const runner = require('kafkajs/src/consumer/runner.js') as { prototype: RunnerPrototype & StoppedRunner }
  joinPatiently(group.prototype, runner.prototype)
  fetchLazily(group.prototype)
  stopPromptly(group.prototype, runner.prototype)
  readResponses((require('kafkajs/src/network/connection.js') as { prototype: ReadingConnection }).prototype)
  checkWhilePending((require('kafkajs/src/network/requestQueue/index.js') as { prototype: QueuePrototype }).prototype)
}

const kafkajs = require('kafkajs') as typeof import('kafkajs')
export const { AssignerProtocol, ConfigResourceTypes, logLevel, Partitioners } = kafkajs
export const { KafkaJSAggregateError, KafkaJSDeleteGroupsError, KafkaJSError, KafkaJSNonRetriableError } = kafkajs
export const Kafka = kafkajs.Kafka
export type Kafka = InstanceType<typeof Kafka>
