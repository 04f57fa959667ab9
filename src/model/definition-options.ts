/** Checks of the options of a job type. */

import { isLogic, isMachine } from './logic.ts'
import {
  anything,
  callback,
  checkOptions,
  duration,
  either,
  flag,
  listOf,
  names,
  type OptionRule,
  type OptionRules,
  oneOf,
  recordOf,
  required,
  schema,
  text,
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
  execute: required(callback),
  retry: anything,
  recovery: oneOf('restart', 'fail', 'await'),
  timeout: duration,
  killGrace: either(duration, oneOf('never')),
  executor: text(),
}

const OF_PROGRAM: OptionRules = { ...OF_FUNCTION, execute: anything, run: required(anything) }

const OF_AGENTS: OptionRules = { ...OF_FUNCTION, execute: anything, agent: required(anything) }

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
  const kind = KINDS.find(([option]) => option in Object(options))
  if (kind === undefined) {
    const either: OptionRule = {
      expected: 'a function, or run a program, or agent what agents run, or lifecycle a machine',
      fits: () => false,
      isRequired: true,
    }
    const all = { ...OF_PROGRAM, ...OF_AGENTS, ...OF_MACHINE }
    checkOptions(name, options, { ...all, run: anything, agent: anything, lifecycle: anything, execute: either })
  }
  const [option, rules] = kind ?? ['lifecycle', OF_MACHINE]
  checkOptions(name, options, rules)
  if (option === 'agent') checkOptions(name, agent, AGENT, { prefix: 'agent.' })
  if (labels !== undefined) checkOptions(name, labels, LABELS, { prefix: 'labels.' })
  const ofTask: OptionRules = option === 'lifecycle' ? LIMITS : { ...LIMITS, key: anything }
  if (limits !== undefined) checkOptions(name, limits, ofTask, { prefix: 'limits.' })
}

/** The options that say what kind of job type it is, and the rules for its options. */
const KINDS: readonly (readonly [option: string, rules: OptionRules])[] = [
  ['execute', OF_FUNCTION],
  ['run', OF_PROGRAM],
  ['agent', OF_AGENTS],
  ['lifecycle', OF_MACHINE],
]

function nestedIn(options: object): { readonly [Option in 'type' | 'labels' | 'limits' | 'agent']?: unknown } {
  return typeof options === 'object' && options !== null ? options : {}
}
