import type { AnyJobType, InputOf } from '../model/definition.ts'
import { jobTypeRule } from '../model/definition-options.ts'
import type { Job } from '../model/job.ts'
import { anything, callback, checkOptions, type OptionRule, required, wholeNumber } from '../model/option-checks.ts'
import type { Json } from '../model/storable.ts'
import { type ExampleOptions, readExamples, type Untried } from './explore-examples.ts'
import { type JobMap, mapOf } from './explore-map.ts'
import { Walk } from './explore-walk.ts'

/** How {@link explore} walks. */
export interface ExploreOptions<Input = unknown> extends ExampleOptions<Input> {
  /** At most so many jobs that differ by state, context, tasks or timers are looked at. Default 10,000. */
  readonly limit?: number
  /**
   * What of a job's context matters: of jobs that agree in it and stand in the same state, one is looked at. Default:
   * the whole context. A context that counts without end needs it, or is cut by the limit.
   */
  readonly distinguish?: (job: Job) => Json
}

const LIMIT = 10_000

const OPTIONS = {
  inputs: anything,
  events: anything,
  outputs: anything,
  errors: anything,
  limit: wholeNumber(1),
  distinguish: callback,
} satisfies { readonly [Option in keyof ExploreOptions]-?: OptionRule }

/**
 * Walks through all that can come of a job: from its submit, by each command, each end of its tasks and children, each
 * event that these send, each loss and each timer, as the engine would move it, but with nothing run and no time passed.
 *
 * ```ts
 * const map = explore(order, { events: { approve: [{ note: 'fine' }] } })
 * expect(map.throws).toEqual([])
 * expect(map.deadEnds).toEqual([])
 * ```
 *
 * Child jobs are not walked through: each ends, fails, and sends what `events` has examples of. Actions are not run.
 *
 * @throws {JobchartError} `INVALID_INPUT` an example or the limit does not fit. What the chart's own code throws is found,
 *   and not thrown.
 */
export function explore<Type extends AnyJobType>(type: Type, options: ExploreOptions<InputOf<Type>> = {}): JobMap {
  checkOptions('explore', { type }, { type: required(jobTypeRule) }, { code: 'INVALID_INPUT' })
  checkOptions('explore', options, OPTIONS, { code: 'INVALID_INPUT' })
  const { limit = LIMIT, distinguish = ({ context }) => context } = options
  const examples = readExamples(type, options)
  const walk = new Walk({ type, examples, limit, distinguish })
  return mapOf(walk, [...examples.untried(), ...unheard(walk, options)], type.lifecycle)
}

/** The newest values of tasks and children that the chart listens to are known to nobody here. */
function unheard({ watched }: Walk, { events = {} }: ExampleOptions): readonly Untried[] {
  const types = [...watched.observed].map((id) => `xstate.snapshot.${id}`)
  const reason = 'nobody knows what it shows; give examples in events'
  return types.filter((event) => !Object.hasOwn(events, event)).map((event) => ({ event, reason }))
}
