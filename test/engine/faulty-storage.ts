import { JobchartError, type Storage } from 'jobchart'
import type { StorageConnection, StorageHost } from 'jobchart/port'
import { type Method, passing } from './passing-storage.ts'

/**
 * Fault of one call.
 *
 * - `refused` STORAGE_UNAVAILABLE, and nothing is written: a definite error.
 * - `unsent` an error of the driver, and nothing is written: the outcome is unknown.
 * - `unheard` an error of the driver, although the write is made: the outcome is unknown.
 * - `conflict` each changeset of a commit is a conflict, and nothing is written.
 * - a promise: the call is made at once, and its answer arrives when the promise resolves.
 */
type Fault = 'refused' | 'unsent' | 'unheard' | 'conflict' | Promise<void>

/** The calls that write. */
const WRITES: ReadonlySet<Method> = new Set([
  'commit',
  'claim',
  'beat',
  'register',
  'forget',
  'extendLeases',
  'putAgent',
  'removeAgent',
  'agentsSeen',
])

/** A storage between an engine and the real one. A test counts its calls and makes them fail. */
export class FaultyStorage implements Storage {
  readonly #inner: Storage
  readonly #planned = new Map<Method, Fault[]>()
  readonly #calls = new Map<Method, number>()
  #failing: 'read' | 'write' | undefined
  #connection: StorageConnection | undefined
  #isCut = false
  /** The connection that was opened last is closed. */
  isClosed = false
  /** While true, every call is refused. */
  isDown = false
  /** While true, this instance's heartbeats do not arrive. */
  isMute = false

  constructor(inner: Storage) {
    this.#inner = inner
  }

  /** The next calls of the method get these faults, one each. */
  plan(method: Method, ...faults: readonly Fault[]): void {
    this.#planned.set(method, [...(this.#planned.get(method) ?? []), ...faults])
  }

  /** From now on every such call is refused while others work, as on a full or unreadable disk. */
  failing(calls: 'read' | 'write'): void {
    this.#failing = calls
  }

  /** Removes all faults. */
  heal(): void {
    this.#failing = undefined
    this.#planned.clear()
    this.isDown = false
    this.isMute = false
  }

  /** Number of calls of the method. */
  calls(method: Method): number {
    return this.#calls.get(method) ?? 0
  }

  /** The process of the engine has died: its lock is free, and none of its later calls has an effect. */
  async cut(): Promise<void> {
    this.#isCut = true
    await this.#connection?.close()
  }

  readonly open = async (host: StorageHost): Promise<StorageConnection> => {
    const inner = await this.#inner.open(host)
    this.#connection = inner
    const pass = <Result>(method: Method, run: () => Promise<Result>) => this.#pass(method, run)
    return {
      ...passing(inner, pass),
      commit: (changesets, claim) => {
        const method = changesets.length === 0 ? 'claim' : 'commit'
        if (this.#planned.get(method)?.[0] !== 'conflict') return pass(method, () => inner.commit(changesets, claim))
        return pass(method, async () => ({ results: changesets.map(() => ({ status: 'conflict' })), claimed: [] }))
      },
      beat: (at) => pass('beat', async () => (this.isMute ? undefined : await inner.beat(at))),
      lastBeat: () => pass('lastBeat', () => inner.lastBeat()),
      changed: () => !this.#isCut && inner.changed(),
      close: () => {
        this.isClosed = true
        return inner.close()
      },
    }
  }

  async #pass<Result>(method: Method, run: () => Promise<Result>): Promise<Result> {
    this.#calls.set(method, this.calls(method) + 1)
    const fault = this.#planned.get(method)?.shift()
    const isFailing = this.#failing === (WRITES.has(method) ? 'write' : 'read')
    if (this.isDown || this.#isCut || isFailing || fault === 'refused')
      throw new JobchartError('STORAGE_UNAVAILABLE', 'it is down')
    if (fault === 'unsent') throw new Error('the connection broke')
    const result = await run()
    if (fault === 'unheard') throw new Error('the connection broke')
    if (typeof fault === 'object') await fault
    return result
  }
}
