import { JobchartError, type Storage } from 'jobchart'
import type { StorageConnection, StorageHost } from 'jobchart/port'
import { type Method, passing } from '../passing-storage.ts'
import type { Ledger } from './ledger.ts'

/**
 * What happens at one call of an engine to its storage.
 *
 * - `crash before` the process dies, and the call is not made.
 * - `crash after` the call is made, and the process dies before it hears the answer.
 * - `frozen before` the process is suspended before the call until others have declared it dead; then it continues.
 * - `frozen after` the same after the call, whose answer it gets then.
 * - `unheard` the call is made, and fails with an error of the driver: the outcome is unknown.
 * - `deaf` the same, and neither the outcome nor the current rows can be read.
 * - `refused` STORAGE_UNAVAILABLE, and nothing is written.
 */
export const MODES = [
  'crash before',
  'crash after',
  'frozen before',
  'frozen after',
  'unheard',
  'deaf',
  'refused',
] as const

export type Mode = (typeof MODES)[number]

/** A call, counted from 1, and its fault. */
export interface Point {
  readonly call: number
  readonly mode: Mode
}

type Call = Method | 'open' | 'close'

/** Calls that an engine makes after a commit whose answer was lost. */
const ASKED_AFTER: readonly Call[] = ['landed', 'many']

/** Whether the mode differs from another one at such a call. */
export function applies(mode: Mode, call: string): boolean {
  if (mode === 'deaf') return call === 'commit' || call === 'claim'
  // A failed open or close of a file is the storage's own concern, because its caller holds nothing yet.
  if (mode === 'unheard') return call !== 'open' && call !== 'close'
  return mode !== 'refused' || call !== 'close'
}

/** One process's access to the disk. It counts its calls, and dies or fails at one of them. */
export class Points implements Storage {
  /** The calls so far, by name. */
  readonly calls: Call[] = []
  /** Resolves when the process has died. */
  readonly died: Promise<void>
  readonly #inner: Storage
  readonly #ledger: Ledger
  readonly #point: Point | undefined
  /** Resolves when the process is suspended. */
  readonly froze: Promise<void>
  #sayDied: () => void = () => {}
  #sayFroze: () => void = () => {}
  #freeze: PromiseWithResolvers<void> | undefined
  #isDead = false
  readonly #deafTo = new Set<Call>()
  #isThawed = false
  #connection: StorageConnection | undefined

  constructor(inner: Storage, ledger: Ledger, point?: Point) {
    this.#inner = inner
    this.#ledger = ledger
    this.#point = point
    this.died = new Promise((resolve) => {
      this.#sayDied = resolve
    })
    this.froze = new Promise((resolve) => {
      this.#sayFroze = resolve
    })
  }

  get isDead(): boolean {
    return this.#isDead
  }

  /** The process dies: its lock is free, and it gets no more answers. */
  async die(): Promise<void> {
    this.#isDead = true
    await this.#connection?.close()
    this.#sayDied()
  }

  /** Resolves at once, or when the process continues; never after its death. */
  async going(): Promise<void> {
    await this.#freeze?.promise
    if (this.#isDead) await never()
  }

  /** The process continues as if nothing had happened. */
  thaw(): void {
    this.#isThawed = true
    this.#freeze?.resolve()
  }

  readonly open = async (host: StorageHost): Promise<StorageConnection> => {
    const inner = await this.#pass('open', async () => {
      this.#connection = await this.#inner.open(host)
      return this.#connection
    })
    const pass = <Result>(call: Call, run: () => Promise<Result>) => this.#pass(call, run)
    return {
      ...passing(inner, pass),
      commit: (changesets, claim) =>
        pass(changesets.length === 0 ? 'claim' : 'commit', () => {
          return this.#ledger.commit(changesets, claim, (noted) => inner.commit(changesets, noted))
        }),
      changed: () => !this.#isStill && inner.changed(),
      // The test closes it after the death of its process.
      close: () => (this.#isDead ? inner.close() : pass('close', () => inner.close())),
    }
  }

  get #isStill(): boolean {
    return this.#isDead || (this.#freeze !== undefined && !this.#isThawed)
  }

  #stand(): void {
    this.#freeze = Promise.withResolvers<void>()
    this.#sayFroze()
  }

  async #pass<Result>(call: Call, run: () => Promise<Result>): Promise<Result> {
    await this.going()
    this.calls.push(call)
    const mode = this.calls.length === this.#point?.call ? this.#point.mode : undefined
    if (mode === 'crash before') await this.die()
    if (mode === 'frozen before') this.#stand()
    await this.going()
    if (mode === 'refused' || this.#deafTo.delete(call)) {
      throw new JobchartError('STORAGE_UNAVAILABLE', 'it is down')
    }
    const result = await run()
    if (mode === 'crash after') await this.die()
    if (mode === 'frozen after') this.#stand()
    await this.going()
    if (mode === 'deaf') for (const each of ASKED_AFTER) this.#deafTo.add(each)
    if (mode === 'unheard' || mode === 'deaf') throw new Error('the connection broke')
    return result
  }
}

/** A promise that a dead process waits for forever. */
export function never<Result>(): Promise<Result> {
  return new Promise(() => {})
}
