/** The law over random machines. */
import fc from 'fast-check'
import { vi } from 'vitest'
import * as decision from '../../../src/model/decision.ts'
import * as definition from '../../../src/model/definition.ts'
import { checkLaw } from './law.ts'
import { ops, plans } from './plans.ts'

const SENDS_TO = ['tell', 'tellInvoke', 'tellRef', 'tellSystem', 'tellLater', 'tellSelf', 'tellSelfLater', 'forward']

/** Constructs that at least 15 % of the machines have, by the notes of machines.ts. */
export const constructs: { readonly [construct: string]: readonly string[] } = {
  parallel: ['parallel'],
  'shallow history': ['shallow history'],
  'deep history': ['deep history'],
  always: ['always'],
  'after, by number': ['after number delay'],
  'after, by name': ['after named delay'],
  'after, computed': ['after computed delay'],
  'delayed raise': ['arm', 'armUnnamed'],
  'delayed sendTo': ['tellLater', 'tellSelfLater'],
  'delayed sendParent': ['answerLater'],
  cancel: ['disarm'],
  'invoke with done and error': ['invoke with done and error'],
  'invoke of a promise': ['invoke of promise'],
  'child machine': ['child machine'],
  'child machine of a child': ['grandchild'],
  'transition logic': ['invoke of logic'],
  onSnapshot: ['onSnapshot'],
  'onDone of a state': ['onDone of a state'],
  sendTo: SENDS_TO,
  'sendTo by id': ['tellInvoke'],
  'sendTo by reference': ['tellRef'],
  'sendTo by system id': ['tellSystem'],
  sendParent: ['answer', 'answerLater'],
  forwardTo: ['forward'],
  spawn: ['spawnRef'],
  spawnChild: ['spawnNamed'],
  stopChild: ['stopNamed', 'dropRef', 'stopRef'],
  enqueueActions: ['many'],
  emit: ['emit'],
  log: ['log'],
  systemId: ['systemId'],
  'inline logic': ['inline logic'],
  'named logic': ['named logic'],
  '*': ['wildcard'],
  'A.*': ['partial wildcard'],
  'and, or, not, stateIn': ['guard both', 'guard either', 'guard not', 'guard inside'],
}

/** Places that at least this many of a hundred runs reach. */
export const places: { readonly [what: string]: number } = {
  'history restored': 15,
  'history by default': 15,
  'always taken': 15,
  'after taken': 30,
  'timer fired': 30,
  'timer cancelled': 30,
  'delayed event arrived': 10,
  'child done': 20,
  'child error': 15,
  'child snapshot': 20,
  'onDone of an invoke taken': 10,
  'onError of an invoke taken': 8,
  'onSnapshot taken': 10,
  'onDone of a state taken': 5,
  'sent to a child': 50,
  'sent to a child of a system id': 3,
  'sent to a reference': 10,
  'sent to transition logic': 10,
  'sent to a child that is over': 3,
  'sent to the parent': 10,
  'heard of a grandchild': 3,
  'taken by a wildcard': 30,
  emitted: 40,
  'task claimed': 8,
  'task lost': 8,
  'machine done': 1,
  'machine error': 5,
}

class Tally {
  machines = 0
  events = 0
  readonly #counts = new Map<string, number>()

  count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }

  percent(what: string): number {
    return (100 * (this.#counts.get(what) ?? 0)) / this.machines
  }

  lines(list: readonly string[]): string {
    return list.map((what) => `${this.percent(what).toFixed(1).padStart(6)} %  ${what}`).join('\n')
  }
}

/** Statistics of the machines. */
interface Followed {
  /** Number of machines with a construct. */
  readonly contained: Tally
  /** Number of machines that reach a place, or whose run is not followed further. */
  readonly reached: Tally
  readonly ends: ReadonlySet<string>
}

/** Runs this many machines on both sides. Throws if the sides differ. */
export async function followMachines(machines: number): Promise<Followed> {
  // XState's development build warns about events for an ended actor.
  vi.spyOn(console, 'warn').mockImplementation(() => {})
  const contained = new Tally()
  const reached = new Tally()
  const ends = new Set<string>()
  await fc.assert(
    fc.asyncProperty(plans, ops, async (plan, list) => {
      const noted = new Set<string>()
      const seen = new Map<string, number>()
      const { events, endOfRun } = await checkLaw({ ...decision, ...definition }, plan, list, {
        note: (construct) => noted.add(construct),
        reached: seen,
      })
      contained.machines++
      reached.machines++
      reached.events += events
      for (const [construct, any] of Object.entries(constructs)) {
        if (any.some((each) => noted.has(each))) contained.count(construct)
      }
      for (const what of seen.keys()) reached.count(what)
      if (endOfRun === undefined) return
      ends.add(endOfRun)
      reached.count(endOfRun)
    }),
    { numRuns: machines },
  )
  vi.restoreAllMocks()
  return { contained, reached, ends }
}
