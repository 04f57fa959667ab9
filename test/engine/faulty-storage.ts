import { JobchartError, type Storage } from 'jobchart'
import type { StorageConnection, StorageHost } from 'jobchart/port'
import { type Method, passing } from './passing-storage.ts'

/**
 * How one call goes wrong.
 *
 * - `refused` STORAGE_UNAVAILABLE, and nothing is done: a definite error.
 * - `unsent` an error of the driver, and nothing is done: the outcome is unknown.
 * - `unheard` an error of the driver, though it is done: the outcome is unknown.
 * - `conflict` each changeset of a commit is answered so, and nothing is done.
 * - a promise: the call is made at once, its answer is held back until the promise resolves.
 */
type Fault = 'refused' | 'unsent' | 'unheard' | 'conflict' | Promise<void>

/** The calls that change what is stored. */
const WRITES: ReadonlySet<Method> = new Set(['commit', 'claim', 'beat', 'register', 'forget'])

/** A storage between an engine and the real one, whose calls a test counts, spoils and cuts off. */
export class FaultyStorage implements Storage {
  readonly #inner: Storage
  readonly #planned = new Map<Method, Fault[]>()
  readonly #calls = new Map<Method, number>()
  #failing: 'read' | 'write' | undefined
  #connection: StorageConnection | undefined
  #isCut = false
  /** The connection that was opened last has been closed. */
  isClosed = false
  /** While true, every call is refused. */
  isDown = false
  /** While true, this instance's sign of life does not arrive. */
  isMute = false

  constructor(inner: Storage) {
    this.#inner = inner
  }

  /** The next calls of the method go wrong in these ways, one each. */
  plan(method: Method, ...faults: readonly Fault[]): void {
    this.#planned.set(method, [...(this.#planned.get(method) ?? []), ...faults])
  }

  /** From now on every such call is refused, and the others work: as on a full disk, or one that cannot be read. */
  failing(calls: 'read' | 'write'): void {
    this.#failing = calls
  }

  /** Nothing goes wrong any more. */
  heal(): void {
    this.#failing = undefined
    this.#planned.clear()
    this.isDown = false
    this.isMute = false
  }

  /** How often the method was called. */
  calls(method: Method): number {
    return this.#calls.get(method) ?? 0
  }

  /** The process of the engine has died: its lock is free, and nothing that it still asks for is done. */
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
