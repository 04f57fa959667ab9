import { JobchartError } from '../model/error.ts'
import type { StorageConnection } from '../port/storage.ts'
import type { HealthWatch } from './health.ts'

/**
 * A storage whose calls are watched, and whose reads fail with a typed error, whatever its driver throws. What the error
 * of a commit or a claim means is not ours to say.
 */
export function guardedStorage(storage: StorageConnection, health: HealthWatch): StorageConnection {
  const watched =
    <Args extends readonly unknown[], Result>(call: 'read' | 'write', run: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      try {
        return await run(...args)
      } catch (error) {
        health.failed(error, call)
        throw error
      }
    }
  const read = <Args extends readonly unknown[], Result>(run: (...args: Args) => Promise<Result>) =>
    watched('read', typed(run))
  const write = <Args extends readonly unknown[], Result>(run: (...args: Args) => Promise<Result>) =>
    watched('write', typed(run))
  return {
    commit: watched('write', async (units) => {
      const results = await storage.commit(units)
      if (results.some(({ status }) => status === 'applied')) health.wrote()
      return results
    }),
    // One that finds nothing writes nothing, so it does not show that the storage can.
    claim: watched('write', (query, limit, transition) => storage.claim(query, limit, transition)),
    ...guardedReads(storage, read),
    // An id comes from whoever asks; what is no text names no job.
    get: read(async (id) => (typeof id === 'string' ? await storage.get(id) : undefined)),
    find: read((filter, page) => storage.find(filter, page)),
    due: read((types, at, limit, skip) => storage.due(types, at, limit, skip)),
    nextWaiting: read((types, tenant, pipeline, at) => storage.nextWaiting(types, tenant, pipeline, at)),
    admissible: read((types, at, limit, skip) => storage.admissible(types, at, limit, skip)),
    // SQLite would look for what a lone surrogate is replaced by, which may be another's id.
    pipeline: read(async (tenant, id) => (isText(id) ? await storage.pipeline(tenant, id) : undefined)),
    pipelines: read((filter, page) => storage.pipelines(filter, page)),
    held: read((instance) => storage.held(instance)),
    landed: read((units, sequence) => storage.landed(units, sequence)),
    events: read((query) => storage.events(query)),
    lastSequence: read(() => storage.lastSequence()),
    changed: () => {
      try {
        return storage.changed()
      } catch (error) {
        health.failed(error, 'read')
        throw error
      }
    },
    logs: read((jobId, after, limit) => storage.logs(jobId, after, limit)),
    steps: read((jobId, invocation) => storage.steps(jobId, invocation)),
    register: write((charts, mayReplace) => storage.register(charts, mayReplace)),
    beat: write(async () => {
      await storage.beat()
      health.wrote()
    }),
    others: read(() => storage.others()),
    forget: write((instance) => storage.forget(instance)),
    close: () => storage.close(),
  }
}

type Reads = 'head' | 'heads' | 'many' | 'count' | 'slotHolder' | 'heldUnder' | 'items'
type Guard = <Args extends readonly unknown[], Result>(
  run: (...args: Args) => Promise<Result>,
) => (...args: Args) => Promise<Result>

/** What sessions ask. */
function guardedReads(storage: StorageConnection, read: Guard): Pick<StorageConnection, Reads> {
  return {
    head: read(async (id) => (isText(id) ? await storage.head(id) : undefined)),
    heads: read((ids) => storage.heads(ids.filter(isText))),
    many: read((ids) => storage.many(ids)),
    count: read((filter) => storage.count(filter)),
    slotHolder: read((tenant, pipeline) => storage.slotHolder(tenant, pipeline)),
    heldUnder: read((key) => storage.heldUnder(key)),
    items: read((jobId, query) => storage.items(jobId, query)),
  }
}

function typed<Args extends readonly unknown[], Result>(run: (...args: Args) => Promise<Result>) {
  return async (...args: Args): Promise<Result> => {
    try {
      return await run(...args)
    } catch (error) {
      if (error instanceof JobchartError) throw error
      throw new JobchartError('STORAGE_UNAVAILABLE', 'the storage does not answer', { cause: error })
    }
  }
}

function isText(id: unknown): boolean {
  return typeof id === 'string' && id.isWellFormed()
}
