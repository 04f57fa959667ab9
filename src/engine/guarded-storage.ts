import { JobchartError } from '../model/error.ts'
import type { StorageConnection } from '../port/storage.ts'
import type { HealthWatch } from './health.ts'

/**
 * Wraps a storage: reports its calls to the health watch, and turns any error of a read into a typed error. Errors of
 * commits are passed on, because only the caller can tell their meaning.
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
    // A commit that wrote nothing does not show that the storage can write.
    commit: async (changesets, claim) => {
      try {
        const committed = await storage.commit(changesets, claim)
        const isWritten = committed.claimed.length > 0 || committed.results.some(({ status }) => status === 'applied')
        if (isWritten) health.wrote()
        return committed
      } catch (error) {
        health.failed(error, 'write')
        throw error
      }
    },
    load: read((query) => storage.load(query)),
    ...guardedReads(storage, read),
    // Ids come from callers. A value that is not text names no job.
    get: read(async (id) => (typeof id === 'string' ? await storage.get(id) : undefined)),
    find: read((filter, page) => storage.find(filter, page)),
    // SQLite replaces a lone surrogate, and the result might be another's id.
    pipeline: read(async (tenant, id) => (isText(id) ? await storage.pipeline(tenant, id) : undefined)),
    pipelines: read((filter, page) => storage.pipelines(filter, page)),
    landed: read((changesets, sequence) => storage.landed(changesets, sequence)),
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
    steps: read((jobId, invoke, ordinal) => storage.steps(jobId, invoke, ordinal)),
    register: write((charts, mayReplace) => storage.register(charts, mayReplace)),
    lastBeat: read(() => storage.lastBeat()),
    beat: write(async (at) => {
      await storage.beat(at)
      health.wrote()
    }),
    others: read(() => storage.others()),
    forget: write((instance) => storage.forget(instance)),
    close: () => storage.close(),
  }
}

type Reads =
  | 'summary'
  | 'summaries'
  | 'many'
  | 'count'
  | 'counts'
  | 'slotHolder'
  | 'heldUnder'
  | 'due'
  | 'admissible'
  | 'held'
  | 'recorded'
  | 'items'
type Guard = <Args extends readonly unknown[], Result>(
  run: (...args: Args) => Promise<Result>,
) => (...args: Args) => Promise<Result>

/** The reads used by sessions and sweeps. */
function guardedReads(storage: StorageConnection, read: Guard): Pick<StorageConnection, Reads> {
  return {
    summary: read(async (id) => (isText(id) ? await storage.summary(id) : undefined)),
    summaries: read((ids) => storage.summaries(ids.filter(isText))),
    many: read((ids) => storage.many(ids)),
    count: read((filter) => storage.count(filter)),
    counts: read((by, filter) => storage.counts(by, filter)),
    slotHolder: read((tenant, pipeline) => storage.slotHolder(tenant, pipeline)),
    heldUnder: read((key) => storage.heldUnder(key)),
    recorded: read((jobIds) => storage.recorded(jobIds)),
    held: read((instance) => storage.held(instance)),
    admissible: read((types, at, limit, skip) => storage.admissible(types, at, limit, skip)),
    due: read((types, at, limit, skip) => storage.due(types, at, limit, skip)),
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
