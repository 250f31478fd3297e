// /api/v1/models: register, list, show.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import Type, { type Static } from 'typebox'
import { type ModelRecord, TENSOR_TYPES } from '../../../topics/models.ts'
import { openModelStore } from '../../model/store.ts'
import type { ProcessContext } from '../../process.ts'
import { HttpProblem, notFound, ProblemBody } from '../problem.ts'
import type { IsolatedModels } from './isolated-models.ts'
import { ModelRegistry } from './model-registration.ts'

/** A model is held in memory while it is registered. */
const MAX_MODEL_BYTES = 512 * 1024 * 1024

const Tensor = Type.Object({
  name: Type.String(),
  type: Type.Enum([...TENSOR_TYPES]),
  shape: Type.Array(Type.Integer({ description: '-1 is any size' })),
})
const ModelBody = Type.Object(
  {
    model_id: Type.String(),
    version: Type.Integer(),
    sha256: Type.String(),
    bytes: Type.Integer(),
    inputs: Type.Array(Tensor),
    outputs: Type.Array(Tensor),
    features: Type.Array(Type.String()),
    registered_at: Type.String(),
  },
  { title: 'Model' },
)

export async function modelRoutes(
  context: ProcessContext,
  isolated: IsolatedModels,
): Promise<FastifyPluginAsyncTypebox> {
  const { views } = context
  const registry = new ModelRegistry(context, await openModelStore(context.config.modelStore), isolated)

  return async (app) => {
    app.addContentTypeParser(
      'application/octet-stream',
      { parseAs: 'buffer', bodyLimit: MAX_MODEL_BYTES },
      (_request, body, done) => done(null, body),
    )

    app.put(
      '/api/v1/models/:model_id',
      {
        config: { scope: 'admin' },
        bodyLimit: MAX_MODEL_BYTES,
        schema: {
          summary: 'Register a model: the .onnx bytes; other bytes make a new version',
          tags: ['models'],
          consumes: ['application/octet-stream'],
          params: Type.Object({ model_id: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$' }) }),
          querystring: Type.Object(
            {
              features: Type.Optional(
                Type.String({ description: 'Query columns in the order of a single tensor input, comma-separated' }),
              ),
            },
            { additionalProperties: false },
          ),
          response: { 200: ModelBody, 201: ModelBody, '4xx': ProblemBody },
        },
      },
      async (request, reply) => {
        if (!Buffer.isBuffer(request.body)) {
          throw new HttpProblem(
            415,
            'model_expected',
            'expected the bytes of an .onnx file as application/octet-stream (curl: --data-binary @model.onnx -H "content-type: application/octet-stream")',
          )
        }
        const features = request.query.features?.split(',').map((name) => name.trim())
        const { model, created } = await registry.register(
          request.tenantId,
          request.params.model_id,
          request.body,
          features,
        )
        return reply.status(created ? 201 : 200).send(toBody(model))
      },
    )

    app.get(
      '/api/v1/models',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'List models, newest version of each',
          tags: ['models'],
          response: { 200: Type.Object({ data: Type.Array(ModelBody) }), '4xx': ProblemBody },
        },
      },
      async (request) => {
        const newest = new Map<string, ModelRecord>()
        for (const model of versions(request.tenantId)) newest.set(model.model_id, model)
        return { data: [...newest.values()].map(toBody) }
      },
    )

    app.get(
      '/api/v1/models/:model_id',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'A model with all its versions, newest first',
          tags: ['models'],
          params: Type.Object({ model_id: Type.String() }),
          response: {
            200: Type.Object({ model_id: Type.String(), versions: Type.Array(ModelBody) }),
            '4xx': ProblemBody,
          },
        },
      },
      async (request) => {
        const { model_id } = request.params
        const own = versions(request.tenantId).filter((model) => model.model_id === model_id)
        if (!own.length) throw notFound(`model ${model_id}`, 'GET /api/v1/models lists yours')
        return { model_id, versions: own.reverse().map(toBody) }
      },
    )
  }

  /** A tenant's models by id and version. */
  function versions(tenantId: string): ModelRecord[] {
    return [...views.models.values()]
      .filter((model) => model.tenant_id === tenantId)
      .sort((a, b) => (a.model_id < b.model_id ? -1 : a.model_id > b.model_id ? 1 : a.version - b.version))
  }
}

function toBody(model: ModelRecord): Static<typeof ModelBody> {
  const { model_id, version, sha256, bytes, inputs, outputs, features, registered_at } = model
  return {
    model_id,
    version,
    sha256,
    bytes: Number(bytes),
    inputs,
    outputs,
    features,
    registered_at: new Date(Number(registered_at)).toISOString(),
  }
}
