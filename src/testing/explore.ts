import type { AnyJobType, InputOf } from '../model/definition.ts'
import { jobTypeRule } from '../model/definition-options.ts'
import type { Job } from '../model/job.ts'
import { anything, callback, checkOptions, type OptionRule, required, wholeNumber } from '../model/option-checks.ts'
import type { Json } from '../model/storable.ts'
import { type ExampleOptions, readExamples, type Untried } from './explore-examples.ts'
import { type JobMap, mapOf } from './explore-map.ts'
import { Walk } from './explore-walk.ts'

/** Options of {@link explore}. */
export interface ExploreOptions<Input = unknown> extends ExampleOptions<Input> {
  /**
   * How many different jobs to walk through, at most. Jobs differ by state, context, tasks and timers. Default 10,000.
   */
  readonly limit?: number
  /**
   * Returns the part of a job's context that matters. If it is equal for two jobs in the same state, only one of them
   * is walked. Default: the whole context. Give this if the context counts without end, e.g. retries; otherwise the
   * walk goes on until the limit.
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
 * Walks through everything that can happen to a job from its submit on: each command, each end of its tasks and
 * children, each event that they send, each loss and each timer. The job moves as an engine would move it, but no code
 * runs and no time passes.
 *
 * ```ts
 * const map = explore(order, { events: { approve: [{ note: 'fine' }] } })
 * expect(map.throws).toEqual([])
 * expect(map.deadEnds).toEqual([])
 * ```
 *
 * Child jobs are not walked: each one ends, fails, and sends the events that have examples in `events`. Actions do not
 * run.
 *
 * @throws {JobchartError} `INVALID_INPUT` an example or the limit is invalid. Errors that the chart's own code throws
 * are in the result instead.
 */
export function explore<Type extends AnyJobType>(type: Type, options: ExploreOptions<InputOf<Type>> = {}): JobMap {
  checkOptions('explore', { type }, { type: required(jobTypeRule) }, { code: 'INVALID_INPUT' })
  checkOptions('explore', options, OPTIONS, { code: 'INVALID_INPUT', form: 'explore(type, { inputs })' })
  const { limit = LIMIT, distinguish = ({ context }) => context } = options
  const examples = readExamples(type, options)
  const walk = new Walk({ type, examples, limit, distinguish })
  return mapOf(walk, [...examples.untried(), ...unheard(walk, options)], type.lifecycle)
}

/**
 * The snapshot events that the chart listens to and that have no examples. They were not tried, because the walk does
 * not know what a snapshot contains.
 */
function unheard({ watched }: Walk, { events = {} }: ExampleOptions): readonly Untried[] {
  const types = [...watched.observed].map((id) => `xstate.snapshot.${id}`)
  const reason = 'nobody knows what it shows; give examples in events'
  return types.filter((event) => !Object.hasOwn(events, event)).map((event) => ({ event, reason }))
}
