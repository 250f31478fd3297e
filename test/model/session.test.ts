// Opening models: the fixtures' signatures, every element type there and back, and what is refused with which words.
import { expect, test } from 'vitest'
import { ModelError, type Tensor } from '../../src/model/model.ts'
import { openSession } from '../../src/model/session.ts'
import { newTensorData } from '../../src/model/tensor-data.ts'
import { TENSOR_TYPES } from '../../topics/models.ts'
import { MODELS, modelBytes } from './fixtures.ts'
import { identityModel, onnxModel } from './onnx-writer.ts'

test.each(Object.keys(MODELS))('%s opens, with an open first dimension everywhere', async (file) => {
  const { signature, release } = await openSession(modelBytes(file))
  const tensors = [...signature.inputs, ...signature.outputs]
  expect(tensors.length).toBeGreaterThanOrEqual(2)
  expect(tensors.map(({ shape }) => shape[0])).toEqual(tensors.map(() => -1))
  await release()
})

test('a signature has names, types and shapes as the model declares them', async () => {
  const { signature } = await openSession(modelBytes('test/fixtures/models/per-column.onnx'))
  expect(signature).toEqual({
    inputs: [
      { name: 'amount', type: 'float32', shape: [-1, 1] },
      { name: 'visits', type: 'int64', shape: [-1, 1] },
      { name: 'plan', type: 'string', shape: [-1, 1] },
    ],
    outputs: [
      { name: 'label', type: 'string', shape: [-1] },
      { name: 'probabilities', type: 'float32', shape: [-1, 2] },
    ],
  })
})

test.each(TENSOR_TYPES)('%s elements come back as they went in', async (type) => {
  const value = { type, shape: ['N', 2] }
  const session = await openSession(
    identityModel([{ input: { name: 'x', ...value }, output: { name: 'y', ...value } }]),
  )
  const data = type === 'string' ? ['', 'a', 'ä', '😀'] : newTensorData(type, 4)
  if (!Array.isArray(data)) {
    if (type !== 'bool')
      (data as Int8Array).set(type.endsWith('64') && type !== 'float64' ? ([0n, 1n, 2n, 3n] as never) : [0, 1, 2, 3])
    else (data as Uint8Array).set([0, 1, 1, 0])
  }
  const fed: Tensor = { type, dims: [2, 2], data }
  const { y } = await session.run({ x: fed })
  expect(y?.type).toBe(type)
  expect(y?.dims).toEqual([2, 2])
  expect([...(y?.data ?? [])]).toEqual([...data])
})

test('views in the middle of a buffer are read from where they begin', async () => {
  const session = await openSession(modelBytes('test/fixtures/models/picky.onnx'))
  const data = Float32Array.of(9, 9, 1, 2, 3, 4, 9).subarray(2, 6)
  const { y } = await session.run({ x: { type: 'float32', dims: [2, 2], data } })
  expect([...(y?.data ?? [])]).toEqual([3, 7])
})

test('a run that fails throws the runtime’s words, and the session goes on', async () => {
  const session = await openSession(modelBytes('test/fixtures/models/picky.onnx'))
  const run = (first: number) => session.run({ x: { type: 'float32', dims: [1, 2], data: Float32Array.of(first, 0) } })
  await expect(run(666)).rejects.toMatchObject({
    code: 'run_failed',
    message: expect.stringContaining('out of data bounds'),
  })
  expect([...((await run(1)).y?.data ?? [])]).toEqual([1])
})

test('a released session says so; releasing twice is harmless', async () => {
  const session = await openSession(modelBytes('test/fixtures/models/picky.onnx'))
  await session.release()
  await session.release()
  await expect(session.run({})).rejects.toMatchObject({ code: 'session_released' })
})

test.each([
  ['text', modelBytes('test/fixtures/models/not-onnx.bin'), /no whole protobuf/],
  ['nothing', new Uint8Array(0), /no bytes/],
  ['half a model', modelBytes('examples/churn/churn.onnx').subarray(0, 1000), /no whole protobuf/],
  ['a pickle', Uint8Array.of(0x80, 4, 0x95, 0), /Python pickle; export the model with skl2onnx/],
  ['a zip archive', Buffer.from('PK\x03\x04'), /torch\.onnx\.export/],
  ['an .ort file', Buffer.from('\x20\0\0\0ORTM\0\0'), /send the \.onnx file/],
  ['a protobuf message of something else', Uint8Array.of(0x08, 0x01), /ONNX Runtime cannot load this model/],
])('%s is model_invalid', async (_, bytes, message) => {
  const error = await openSession(bytes).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ModelError)
  expect(error).toMatchObject({ code: 'model_invalid', message: expect.stringMatching(message) })
})

test('a model that reads other files is refused: its outputs could show what is in them', async () => {
  const bytes = onnxModel({
    inputs: [{ name: 'x', type: 'float32', shape: ['N', 1] }],
    outputs: [{ name: 'w', type: 'uint8', shape: [10] }],
    nodes: [],
    external: { name: 'w', location: 'package.json' },
  })
  await expect(openSession(bytes)).rejects.toMatchObject({
    code: 'model_invalid',
    message: expect.stringContaining('save_as_external_data=False'),
  })
})

test('elements that no column can hold are refused by name', async () => {
  const value = { type: 'complex64', shape: ['N'] } as const
  const bytes = identityModel([{ input: { name: 'x', ...value }, output: { name: 'y', ...value } }])
  await expect(openSession(bytes)).rejects.toMatchObject({ message: expect.stringMatching(/type/i) })
})

test('execution providers that are not installed are named', async () => {
  const bytes = modelBytes('test/fixtures/models/linear.onnx')
  await expect(openSession(bytes, { executionProviders: ['nonsense', 'cpu'] })).rejects.toMatchObject({
    code: 'provider_unavailable',
    message: expect.stringMatching(/provider nonsense: expected one of .*cpu/),
  })
})
