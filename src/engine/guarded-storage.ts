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
    // A commit that writes nothing, such as a claim that finds nothing, does not show that the storage can.
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
    // An id comes from whoever asks; what is no text names no job.
    get: read(async (id) => (typeof id === 'string' ? await storage.get(id) : undefined)),
    find: read((filter, page) => storage.find(filter, page)),
    // SQLite would look for what a lone surrogate is replaced by, which may be another's id.
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

/** What sessions and sweeps ask. */
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
