// The library that a role works with frames its requests by our module.
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { frame } from '../../../connectors/kafka/kafkajs/request-frame.ts'
import { createSendMessages } from '../../../connectors/kafka/kafkajs/send-messages.ts'
import { createKafkaClient } from '../../../src/kafka/client.ts'

const require = createRequire(import.meta.url)

test('the replaced modules are in place once the client is loaded', () => {
  expect(createKafkaClient).toBeTypeOf('function')
  expect(require('kafkajs/src/protocol/request.js')).toBe(frame)
  expect(require('kafkajs/src/producer/sendMessages.js')).toBe(createSendMessages)
  expect(require.cache[require.resolve('kafkajs/src/network/connection.js')]?.loaded).toBe(true)
})
