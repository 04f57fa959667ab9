/** Checks of the options of a job type. */

import { JobchartError } from './error.ts'
import { isLogic, isMachine } from './logic.ts'
import {
  anything,
  callback,
  checkOptions,
  duration,
  either,
  flag,
  isOptions,
  listOf,
  names,
  type OptionRule,
  type OptionRules,
  oneOf,
  recordOf,
  required,
  schema,
  shownValue,
  text,
  timeLimit,
  wholeNumber,
} from './option-checks.ts'

/** The rule for an option that must be a job type made by `defineJob`. */
export const jobTypeRule: OptionRule = {
  expected: 'made by defineJob',
  fits: (value) => typeof value === 'object' && value !== null && 'chart' in value && 'type' in value,
}

const COMMON: OptionRules = {
  type: required(text()),
  version: text(),
  input: schema,
  output: schema,
  labels: anything,
  safe: anything,
  previous: listOf(jobTypeRule, 'job types that defineJob has made'),
  migrate: callback,
  followUp: callback,
  startsPipelines: flag,
  aliases: names,
  notify: anything,
  facts: callback,
  assignee: callback,
  retention: anything,
  describe: callback,
  limits: anything,
}

const OF_FUNCTION: OptionRules = {
  ...COMMON,
  retry: anything,
  recovery: oneOf('restart', 'fail', 'await'),
  timeout: timeLimit,
  killGrace: either(duration, oneOf('never')),
  executor: text(),
}

const OF_MACHINE: OptionRules = {
  ...COMMON,
  lifecycle: required({
    expected: 'a machine that XState v5 has made',
    fits: (value) => isLogic(value) && isMachine(value),
  }),
  commands: recordOf(anything, 'an object of schemas by command'),
  cancel: either(text(), oneOf(null)),
}

const AGENT: OptionRules = { function: either(text(), callback), version: either(text(), callback) }
const LABELS: OptionRules = { error: text(), stopped: text(), waiting: text() }
const LIMITS: OptionRules = { concurrency: wholeNumber(1), queued: wholeNumber(1) }

/**
 * Refuses options that `defineJob` does not know, or whose values are of the wrong kind.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` names the option.
 */
export function checkJobOptions(options: object): void {
  const { type, labels, limits, agent } = nestedIn(options)
  const name = typeof type === 'string' ? `job type "${type}"` : 'defineJob'
  const kinds = Object.keys(KINDS).filter((kind) => nestedIn(options)[kind] !== undefined)
  if (kinds.length > 1) throw severalKinds(name, kinds)
  const [kind = ''] = kinds
  refuseLogic(kind, nestedIn(options)[kind])
  // The others may be there as `undefined`.
  const others = Object.fromEntries(
    Object.keys(nestedIn(options)).flatMap((each) => (each in KINDS ? [[each, anything]] : [])),
  )
  checkOptions(name, options, { ...others, ...(KINDS[kind] ?? NO_KIND) }, { form: 'defineJob({ type, execute, … })' })
  if (kind === '') throw ofNoKind(name)
  if (kind === 'agent') checkOptions(name, agent, AGENT, { prefix: 'agent.' })
  if (labels !== undefined) checkOptions(name, labels, LABELS, { prefix: 'labels.' })
  const ofTask: OptionRules = kind === 'lifecycle' ? LIMITS : { ...LIMITS, key: anything }
  if (limits !== undefined) checkOptions(name, limits, ofTask, { prefix: 'limits.' })
}

/** The options that say what kind of job type it is, and the rules for its options. */
const KINDS: { readonly [kind: string]: OptionRules } = {
  execute: { ...OF_FUNCTION, execute: required(callback) },
  run: { ...OF_FUNCTION, run: required(anything, 'a program: { command, args, … }') },
  agent: { ...OF_FUNCTION, agent: required(anything, 'an object: { function, version }') },
  lifecycle: OF_MACHINE,
}

const NO_KIND: OptionRules = {
  ...OF_FUNCTION,
  ...OF_MACHINE,
  ...{ execute: anything, run: anything, agent: anything, lifecycle: anything },
}

function ofNoKind(name: string): JobchartError {
  const message = 'needs one of execute (a function), run (a program), agent (what agents run), lifecycle (a machine)'
  return new JobchartError('INVALID_DEFINITION', `${name} ${message}`, { issues: [{ message, path: ['execute'] }] })
}

// What `batch`, `task` and the like make is logic for an invoke, and no job type by itself.
function refuseLogic(kind: string, value: unknown): void {
  if (!isLogic(value) || (kind === 'lifecycle' && isMachine(value))) return
  const hint = isMachine(value)
    ? 'give it as lifecycle'
    : 'invoke it in a machine: lifecycle: createMachine({ … invoke: { src } … })'
  const message = `should be ${KINDS[kind]?.[kind]?.expected}; found ${shownValue(value)}: ${hint}`
  throw new JobchartError('INVALID_DEFINITION', `${kind} ${message}`, { issues: [{ message, path: [kind] }] })
}

function severalKinds(name: string, found: readonly string[]): JobchartError {
  const message = `${name}: a job type has one of ${Object.keys(KINDS).join(', ')}; found ${found.join(' and ')}`
  return new JobchartError('INVALID_DEFINITION', message, { issues: found.map((kind) => ({ message, path: [kind] })) })
}

function nestedIn(options: object): { readonly [option: string]: unknown } {
  return isOptions(options) ? options : {}
}
