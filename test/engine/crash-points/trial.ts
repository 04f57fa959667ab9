import type { Storage } from 'jobchart'
import type { Job } from 'jobchart/port'
import { Bench } from '../bench.ts'
import { Ledger } from './ledger.ts'
import { Life, type LifeOptions } from './life.ts'
import type { Point } from './points.ts'
import type { Scenario } from './scenario.ts'

/** Seconds within which everything comes to rest. */
const REST_SECONDS_MAX = 60
/** For every other call the disk is unused for this long after the crash, so that all timers fall due meanwhile. */
const ABSENCE_MS = 10_000

/** A silent engine loses its work after 10 s (`deadAfter` of the processes). The next sweep notices it. */
const DEAD_AFTER_MS = 12_000

/** Result of one run of a scenario. */
export interface Outcome {
  readonly faults: readonly string[]
  /** The calls of the process under test, by name. */
  readonly calls: readonly string[]
  readonly how: 'done' | 'dead' | 'frozen'
  readonly ledger: Ledger
}

/** Runs a scenario on a disk, with a fault at one of its calls. */
export async function runScenario(scenario: Scenario, disk: Storage | undefined, point?: Point): Promise<Outcome> {
  const trial = new Trial(scenario, new Bench(disk))
  try {
    return await trial.run(point)
  } finally {
    await trial.bench.end()
  }
}

class Trial {
  readonly bench: Bench
  readonly #scenario: Scenario
  readonly #ledger = new Ledger()
  readonly #lives: Life[] = []

  constructor(scenario: Scenario, bench: Bench) {
    this.#scenario = scenario
    this.bench = bench
  }

  async run(point?: Point): Promise<Outcome> {
    const { before = [], isBeside = false } = this.#scenario
    for (const each of before) {
      const life = await this.#start({ isBefore: true })
      await each(life)
      await life.points.die()
    }
    const beside = isBeside ? await this.#start({ isRepeat: true }) : undefined
    const first = this.#life(point === undefined ? {} : { point })
    const course = this.#course(first)
    const how = await first.until(course)
    const calls = [...first.points.calls]
    if (how === 'dead') await this.#afterDeath(point, beside)
    if (how === 'frozen') {
      await this.#duringFreeze(beside)
      first.thaw()
      await course
    }
    await this.#check(Object.values(this.#scenario.ends).flat())
    await this.#checkEnds()
    await this.#checkTotal()
    for (const life of this.#lives) if (!life.isDead) await life.stop(1_000)
    return { faults: [...new Set(this.#ledger.faults)], calls, how, ledger: this.#ledger }
  }

  async #course(life: Life): Promise<void> {
    await life.start()
    await this.#scenario.script(life)
    await this.#rest(life)
  }

  async #afterDeath(point: Point | undefined, beside: Life | undefined): Promise<void> {
    if (beside === undefined && (point?.call ?? 0) % 2 === 1) await this.bench.clock.advance(ABSENCE_MS)
    const next = beside ?? (await this.#start({ isRepeat: true }))
    // Its client is gone. Its jobs end, or reach a state in which they wait for a client.
    await this.#rest(next)
    await this.#check(this.#scenario.waits ?? [])
    await this.#scenario.script(next)
    await this.#rest(next)
  }

  // Another engine takes over the work of the silent one, and may end it all before that one continues.
  async #duringFreeze(beside: Life | undefined): Promise<void> {
    const other = beside ?? (await this.#start({ isRepeat: true }))
    await other.advance(DEAD_AFTER_MS)
    await this.#rest(other)
    await this.#check(this.#scenario.waits ?? [])
  }

  async #start(options: LifeOptions): Promise<Life> {
    const life = this.#life(options)
    await life.start()
    return life
  }

  #life(options: LifeOptions): Life {
    const life = new Life(this.bench, this.#ledger, this.#scenario, options)
    this.#lives.push(life)
    return life
  }

  /** Time passes until nothing moves by itself any more. */
  async #rest(life: Life): Promise<void> {
    await life.advance(0)
    for (let second = 0; second < REST_SECONDS_MAX; second++) {
      if (!(await this.#rows()).some((job) => this.#moves(job))) break
      await life.advance(1_000)
    }
    await life.advance(2_000)
  }

  async #rows(): Promise<readonly Job[]> {
    const ids = new Set((await this.bench.log()).flatMap(({ jobId }) => (jobId === '' ? [] : [jobId])))
    return await Promise.all([...ids].map((id) => this.bench.row(id)))
  }

  async #check(resting: readonly string[]): Promise<void> {
    const rows = await this.#rows()
    const log = await this.bench.log()
    await this.bench.checkLog()
    this.#ledger.check(rows, log)
    // I19.
    for (const { id, phase, status, tasks } of rows) {
      const isOver = phase === 'settled' && tasks.length === 0
      const isResting = phase !== 'settled' && resting.includes(status) && tasks.every((task) => this.#isStill(task))
      if (!isOver && !isResting) this.#fault(`I19 ${id} is left ${status}: ${JSON.stringify(tasks)}`)
    }
    // I5, I40, I41: every published event was committed, and is published once.
    const stored = new Map(log.flatMap((row) => row.events.map((event, at) => [row.sequence + at, nameOf(row, event)])))
    for (const { heard } of this.#lives) {
      if (new Set(heard.map(({ sequence }) => sequence)).size < heard.length) this.#fault('I40 heard twice')
      for (const event of heard) {
        if (stored.get(event.sequence) !== nameOf(event, event)) this.#fault(`I41 ${event.type} was heard, and is not`)
      }
    }
    await this.#checkInstances()
  }

  // I47: dead instances are forgotten once they hold nothing.
  async #checkInstances(): Promise<void> {
    const others = await (await this.bench.probe()).others()
    const alive = this.#lives.filter(({ isDead }) => !isDead).length
    if (others.length > alive) this.#fault(`I47 ${others.length} engines are listed, and ${alive} live`)
  }

  async #checkEnds(): Promise<void> {
    for (const [key, ends] of Object.entries(this.#scenario.ends)) {
      const { status } = await this.bench.row(this.#ledger.id(key))
      if (!ends.includes(status)) this.#fault(`I19 "${key}" ended as ${status}, and should as ${ends.join(' or ')}`)
    }
  }

  async #checkTotal(): Promise<void> {
    const { total } = this.#scenario
    const { length } = await this.#rows()
    if (total !== undefined && total !== length) this.#fault(`I3 there are ${length} jobs, and should be ${total}`)
  }

  // It will still move without a client. A timer of a day is one that waits for a person.
  #moves({ phase, tasks, timers, updatedAt }: Job): boolean {
    if (tasks.some((task) => !this.#isStill(task))) return true
    // A follow-up waits for its turn, which comes without a client.
    if (phase === 'waiting' && this.#scenario.total !== undefined) return true
    return phase !== 'settled' && timers.some(({ dueAt }) => dueAt - updatedAt < 3_600_000)
  }

  // A child's own row shows its state. A callback runs as long as its state.
  #isStill({ child, status, executor }: Job['tasks'][number]): boolean {
    const { options, isPatient } = this.#scenario
    if (status === 'available') return options?.work === false
    const isClaimed = status === 'claimed' && (isPatient === true || executor === 'live')
    return child !== undefined || status === 'inline' || isClaimed
  }

  #fault(fault: string): void {
    this.#ledger.faults.push(fault)
  }
}

function nameOf({ jobId }: { readonly jobId: string }, { type }: { readonly type: string }): string {
  return `${jobId} ${type}`
}
