/**
 * The law: stored jobs, read from JSON before every event, are where one live actor of the same machine is.
 *
 * Compared after every event: states, contexts, outputs, errors, histories, emitted events in their order, the active
 * children with the same of their own, and the remaining timers.
 */
import { isDeepStrictEqual } from 'node:util'
import type { AnyStateMachine } from 'xstate'
import { LiveSide } from './live-side.ts'
import { machineOf, type Note, type PromiseCreator } from './machines.ts'
import type { Op, Plan } from './plans.ts'
import { type Model, StoredSide } from './stored-side.ts'
import { plain, type View } from './views.ts'

/** The two sides differ. */
export class LawBroken extends Error {}

/** The run cannot continue: it has ended, or both sides are right by their own rules. */
class EndOfRun extends Error {}

/** How a run went. */
export interface Run {
  readonly events: number
  /** Why it ended early, if it did: both sides are right, by their own rules. */
  readonly endOfRun: string | undefined
}

/** Observers of the constructs of a run, and of the places that it reaches. */
export interface Watch {
  readonly note?: Note
  readonly reached?: Map<string, number>
}

/**
 * Runs a plan's machine on both sides.
 *
 * @param model  the model's own functions, or those of a model with a fault.
 * @throws {LawBroken}
 */
export async function checkLaw(model: Model, plan: Plan, ops: readonly Op[], watch: Watch = {}): Promise<Run> {
  let isFirst = true
  const make = (creator: PromiseCreator) => {
    const machine = machineOf(plan, creator, isFirst ? watch.note : undefined)
    isFirst = false
    return machine
  }
  const walk = new Walk(model, make, watch.reached)
  try {
    walk.compare('the start')
    for (const op of ops) await step(walk, op)
  } catch (error) {
    if (!(error instanceof EndOfRun)) throw error
  } finally {
    walk.stop()
  }
  return { events: walk.events, endOfRun: walk.endOfRun }
}

async function step(walk: Walk, { kind, passed, event, pick, isGood }: Op): Promise<void> {
  walk.pass(passed + (kind === 'pass' ? 2_000 : 0))
  if (kind === 'pass') return
  if (kind === 'send') {
    walk.send({ type: event, value: pick, isOutside: true })
    return
  }
  const paths = walk.promises()
  const path = paths[pick % Math.max(1, paths.length)]
  if (path === undefined) return
  if (kind === 'end') await walk.end(path, isGood, { n: pick, message: `broken ${pick}`, isOutside: true })
  else walk.work(kind, path)
}

/** Both sides of a machine, driven by the same events, and compared after each. */
export class Walk {
  events = 0
  endOfRun: string | undefined
  readonly #live: LiveSide
  readonly #stored: StoredSide

  /** @param make  is called once for each side. Only the live side runs its promises. */
  constructor(model: Model, make: (creator: PromiseCreator) => AnyStateMachine, reached = new Map<string, number>()) {
    this.#live = new LiveSide(make, { n: 1 }, reached)
    this.#stored = new StoredSide(
      model,
      make(() => Promise.reject(new Error('no stored job runs it'))),
      { n: 1 } as never,
    )
  }

  send(event: { readonly type: string; readonly [field: string]: unknown }): void {
    this.#live.send(event)
    this.#stored.send(event)
    this.compare(`event ${event.type}`)
  }

  /** Ends the task at `path`, as a success or a failure. */
  async end(path: string, isGood: boolean, value: unknown): Promise<void> {
    const promise = this.#live.promises().get(path)
    if (promise === undefined) throw new Error(`no promise ${path}`)
    await this.#live.settle(promise, isGood, value)
    this.#stored.end(path, isGood, value)
    this.compare(`the ${isGood ? 'end' : 'failure'} of ${path}`)
  }

  /** An executor claims the task at `path`, or its process dies. Both are invisible to the live side. */
  work(what: 'claim' | 'lose', path: string): void {
    this.#stored[what](path)
    this.#live.note(`task ${what === 'claim' ? 'claimed' : 'lost'}`)
    this.compare(`${what} of ${path}`)
  }

  /** Lets time pass, from one due time to the next. */
  pass(ms: number): void {
    const until = this.#live.now + ms
    for (let next = this.#stored.nextDue(); next !== undefined && next.at <= until; next = this.#stored.nextDue()) {
      const [id, another] = next.ids
      if (id === undefined || another !== undefined) this.#endRun('timers of two jobs at one time')
      this.#live.set(next.at)
      this.#stored.set(next.at)
      this.#stored.fire(id)
      this.#live.note('timer fired')
      this.compare(`the timers due at ${next.at}`)
    }
    this.#live.set(until)
    this.#stored.set(until)
  }

  /** The paths of the running tasks, equal on both sides. */
  promises(): readonly string[] {
    const paths = [...this.#live.promises().keys()].sort()
    const stored = [...this.#stored.promises()].sort()
    if (!isDeepStrictEqual(paths, stored)) throw new LawBroken(`live promises ${paths}, tasks ${stored}`)
    return paths
  }

  /** @throws {LawBroken} @throws the run has ended. */
  compare(after: string): void {
    if (this.#look(after).status !== 'active') this.#endRun()
  }

  /** The state of both sides. @throws {LawBroken} */
  view(): View & { readonly emitted: { readonly [path: string]: readonly string[] } } {
    return this.#look('all')
  }

  stop(): void {
    this.#live.stop()
  }

  #look(after: string) {
    this.events++
    if (this.#live.endOfRun !== undefined) this.#endRun(this.#live.endOfRun)
    const live = plain({ ...this.#live.view(), emitted: this.#live.emitted.view() })
    const stored = plain({ ...this.#stored.view(), emitted: this.#stored.emitted.view() })
    if (!isDeepStrictEqual(live, stored)) {
      throw new LawBroken(`after ${after}:\nlive   ${JSON.stringify(live)}\nstored ${JSON.stringify(stored)}`)
    }
    if (live.status !== 'active') this.#live.note(`machine ${live.status}`)
    return live
  }

  #endRun(why?: string): never {
    this.endOfRun = why
    throw new EndOfRun(why)
  }
}
