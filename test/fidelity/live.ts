import { type AnyActorRef, type AnyStateMachine, createActor, SimulatedClock } from 'xstate'
import { Outside } from './outside.ts'
import { errorText, type Picture, plain } from './picture.ts'
import type { Happening } from './script.ts'

/** Makes a machine anew for an outside, as a new process does. */
export type Build = (outside: Outside) => AnyStateMachine

/** The results of a run to compare: the state after each happening, the emitted events, and the effects of actions. */
export interface Trace {
  readonly pictures: readonly Picture[]
  readonly emitted: readonly unknown[]
  readonly effects: readonly string[]
}

/** XState's own simulated clock, which also knows when its next timer fires. */
class SteppedClock extends SimulatedClock {
  readonly #due = new Map<number, number>()

  override setTimeout(ring: (...args: unknown[]) => void, timeout: number): number {
    const id = super.setTimeout(ring, timeout)
    this.#due.set(id, this.now() + timeout)
    return id
  }

  override clearTimeout(id: number): void {
    this.#due.delete(id)
    super.clearTimeout(id)
  }

  /** Advances the clock timer by timer, with all that follows from each. */
  async pass(ms: number): Promise<void> {
    const until = this.now() + ms
    for (let next = this.#next(until); next !== undefined; next = this.#next(until)) {
      for (const [id, at] of this.#due) if (at <= next) this.#due.delete(id)
      this.set(Math.max(next, this.now()))
      await settled()
    }
    this.set(until)
    await settled()
  }

  #next(until: number): number | undefined {
    const due = [...this.#due.values()].filter((at) => at <= until)
    return due.length === 0 ? undefined : Math.min(...due)
  }
}

/** Runs a script with a live actor, without interruptions. */
export async function runLive(build: Build, input: unknown, script: readonly Happening[]): Promise<Trace> {
  const outside = new Outside()
  const clock = new SteppedClock()
  const emitted: unknown[] = []
  const machine = build(outside)
  const actor = createActor(machine, { id: machine.id, clock, input, logger: () => {} })
  // Without an observer XState rethrows an error of the machine as an uncaught error of the process.
  actor.subscribe({ error: () => {} })
  actor.on('*', (event: unknown) => {
    emitted.push(plain(event))
  })
  actor.start()
  await settled()
  const pictures = [pictureOf(actor)]
  for (const happening of script) {
    if (happening.kind === 'command') actor.send(happening.event)
    else if (happening.kind === 'outside') happening.happen(outside)
    else await clock.pass(happening.ms)
    await settled()
    pictures.push(pictureOf(actor))
  }
  actor.stop()
  return { pictures, emitted, effects: [...outside.effects] }
}

/** Number of turns of the event loop in which the longest chain of promises of these machines settles. */
const TURNS = 5

async function settled(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await new Promise((resume) => setImmediate(resume))
}

interface MachineSnapshot {
  readonly status: Picture['status']
  readonly value: unknown
  readonly context: unknown
  readonly output: unknown
  readonly error: unknown
  readonly children: { readonly [id: string]: AnyActorRef & { readonly logic: { readonly start?: unknown } } }
}

function pictureOf(actor: { getSnapshot(): unknown }): Picture {
  const { status, value, context, output, error, children } = actor.getSnapshot() as MachineSnapshot
  const isActive = status === 'active'
  return {
    status,
    value: plain(value),
    context: plain(withoutRefs(context)),
    ...(output === undefined ? {} : { output: plain(output) }),
    ...(status === 'error' ? { error: errorText(error) } : {}),
    children: isActive ? Object.fromEntries(Object.entries(children).flatMap(childOf)) : {},
  }
}

function childOf([id, child]: [string, MachineSnapshot['children'][string]]): [string, Picture['children'][string]][] {
  const snapshot = child.getSnapshot() as Partial<MachineSnapshot>
  if (snapshot.status !== 'active') return []
  if (snapshot.value !== undefined) return [[id, pictureOf(child)]]
  return [[id, child.logic.start === undefined ? (plain(snapshot.context) as Picture) : null]]
}

// A reference to an actor as a stored job keeps it, without its path in the tree.
function withoutRefs(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if ('sessionId' in value && 'send' in value && 'id' in value) return { xstate$$type: 1, id: value.id }
  if (Array.isArray(value)) return value.map(withoutRefs)
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withoutRefs(each)]))
}
