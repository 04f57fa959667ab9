import { JobchartError } from '../model/error.ts'
import type { StorageConnection } from '../port/storage.ts'
import type { HealthWatch } from './health.ts'

const READS = [
  'load',
  'many',
  'find',
  'count',
  'counts',
  'slotHolder',
  'heldUnder',
  'pipelines',
  'duePipelines',
  'dependants',
  'landed',
  'events',
  'lastSequence',
  'logs',
  'steps',
  'items',
  'itemKeys',
  'recorded',
  'held',
  'admissible',
  'due',
  'lastBeat',
  'others',
  'notifications',
  'notification',
  'lastNotification',
  'subscriptions',
  'subscribers',
  'pausedTypes',
  'expiredLeases',
  'leasesOf',
  'agents',
  'agentByCredential',
] as const
const WRITES = [
  'register',
  'forget',
  'prune',
  'pauseType',
  'resumeType',
  'markRead',
  'subscribe',
  'unsubscribe',
  'extendLeases',
  'putAgent',
  'removeAgent',
  'agentsSeen',
] as const

type Call = 'read' | 'write'
type Guarded = Pick<StorageConnection, (typeof READS)[number] | (typeof WRITES)[number]>

/**
 * Wraps a storage: reports its calls to the health watch, and turns any error of a read into a typed error. Errors of
 * commits are passed on, because only the caller can tell their meaning.
 */
export function guardedStorage(storage: StorageConnection, health: HealthWatch): StorageConnection {
  const failed = (error: unknown, call: Call): unknown => {
    health.failed(error, call)
    return error
  }
  const guard = async <Result>(call: Call, run: () => Result): Promise<Awaited<Result>> => {
    try {
      return await run()
    } catch (error) {
      throw failed(typed(error), call)
    }
  }
  const guarded = (call: Call, names: readonly (keyof Guarded)[]) =>
    names.map((name) => {
      return [name, (...args: unknown[]) => guard(call, () => Reflect.apply(storage[name], storage, args))] as const
    })
  return {
    // The cast is safe: each call has the arguments and the result of the storage's own call.
    ...(Object.fromEntries([...guarded('read', READS), ...guarded('write', WRITES)]) as unknown as Guarded),
    // A commit that wrote nothing does not show that the storage can write, so it does not count as a write.
    commit: async (changesets, claim) => {
      try {
        const committed = await storage.commit(changesets, claim)
        const isWritten = committed.claimed.length > 0 || committed.results.some(({ status }) => status === 'applied')
        if (isWritten) health.wrote()
        return committed
      } catch (error) {
        throw failed(error, 'write')
      }
    },
    // Ids come from callers. A value that is not text names no job. Neither does text with a lone surrogate: SQLite
    // replaces the surrogate, and the result might be the id of another job or pipeline.
    get: (id) => guard('read', () => (isText(id) ? storage.get(id) : undefined)),
    summary: (id) => guard('read', () => (isText(id) ? storage.summary(id) : undefined)),
    summaries: (ids) => guard('read', () => storage.summaries(ids.filter(isText))),
    pipeline: (tenant, id) => guard('read', () => (isText(id) ? storage.pipeline(tenant, id) : undefined)),
    agent: (key) => guard('read', () => (isText(key.id) ? storage.agent(key) : undefined)),
    changed: () => {
      try {
        return storage.changed()
      } catch (error) {
        throw failed(error, 'read')
      }
    },
    beat: async (at) => {
      await guard('write', () => storage.beat(at))
      health.wrote()
    },
    // The target of a backup is no part of the storage, so a failure there does not count.
    ...(storage.backup === undefined ? {} : { backup: storage.backup }),
    close: () => storage.close(),
  }
}

function typed(error: unknown): JobchartError {
  if (error instanceof JobchartError) return error
  return new JobchartError('STORAGE_UNAVAILABLE', 'the storage does not answer', { cause: error })
}

function isText(id: unknown): boolean {
  return typeof id === 'string' && id.isWellFormed()
}
