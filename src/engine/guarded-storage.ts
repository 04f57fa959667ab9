import { JobchartError } from '../model/error.ts'
import type { StorageConnection } from '../port/storage.ts'

/** A storage whose reads fail with a typed error, whatever its driver throws. What a write's error means is not ours to say. */
export function guardedStorage(storage: StorageConnection): StorageConnection {
  const read =
    <Args extends readonly unknown[], Result>(run: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      try {
        return await run(...args)
      } catch (error) {
        if (error instanceof JobchartError) throw error
        throw new JobchartError('STORAGE_UNAVAILABLE', 'the storage could not be read', { cause: error })
      }
    }
  return {
    commit: (units) => storage.commit(units),
    claim: (query, limit, transition) => storage.claim(query, limit, transition),
    // An id comes from whoever asks; what is no text names no job.
    get: read(async (id) => (typeof id === 'string' ? await storage.get(id) : undefined)),
    find: read((filter, page) => storage.find(filter, page)),
    due: read((types, at, limit, skip) => storage.due(types, at, limit, skip)),
    nextWaiting: read((types, tenant, pipeline, at) => storage.nextWaiting(types, tenant, pipeline, at)),
    admissible: read((types, at, limit, skip) => storage.admissible(types, at, limit, skip)),
    pipeline: read(async (tenant, id) => (typeof id === 'string' ? await storage.pipeline(tenant, id) : undefined)),
    pipelines: read((filter, page) => storage.pipelines(filter, page)),
    held: read((instance) => storage.held(instance)),
    landed: read((units, sequence) => storage.landed(units, sequence)),
    events: read((query) => storage.events(query)),
    lastSequence: read(() => storage.lastSequence()),
    changed: () => storage.changed(),
    logs: read((jobId, after, limit) => storage.logs(jobId, after, limit)),
    steps: read((jobId, entry) => storage.steps(jobId, entry)),
    register: read((charts, mayReplace) => storage.register(charts, mayReplace)),
    beat: read(() => storage.beat()),
    others: read(() => storage.others()),
    forget: read((instance) => storage.forget(instance)),
    close: () => storage.close(),
  }
}
