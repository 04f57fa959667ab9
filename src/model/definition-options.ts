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

const OF_MACHINE: OptionRules = {
  ...COMMON,
  lifecycle: required({
    expected: 'a machine that XState v5 has made',
    fits: (value) => isLogic(value) && isMachine(value),
  }),
  commands: recordOf(anything, 'an object of schemas by command'),
  cancel: either(text(), oneOf(null)),
}

const LABELS: OptionRules = { error: text(), stopped: text(), waiting: text() }
const LIMITS: OptionRules = { concurrency: wholeNumber(1), queued: wholeNumber(1) }

/**
 * Refuses options that `defineJob` does not know, or whose values are of the wrong kind.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` names the option.
 */
export function checkJobOptions(options: object): void {
  const { type, labels, limits } = nestedIn(options)
  const name = typeof type === 'string' ? `job type "${type}"` : 'defineJob'
  const isFunction = 'execute' in Object(options)
  const isProgram = !isFunction && 'run' in Object(options)
  if (!isFunction && !isProgram && !('lifecycle' in Object(options))) {
    const either: OptionRule = {
      expected: 'a function, or run a program, or lifecycle a machine',
      fits: () => false,
      isRequired: true,
    }
    checkOptions(name, options, { ...OF_PROGRAM, ...OF_MACHINE, run: anything, lifecycle: anything, execute: either })
  }
  checkOptions(name, options, isFunction ? OF_FUNCTION : isProgram ? OF_PROGRAM : OF_MACHINE)
  if (labels !== undefined) checkOptions(name, labels, LABELS, { prefix: 'labels.' })
  const ofTask: OptionRules = isFunction || isProgram ? { ...LIMITS, key: anything } : LIMITS
  if (limits !== undefined) checkOptions(name, limits, ofTask, { prefix: 'limits.' })
}

function nestedIn(options: object): { readonly type?: unknown; readonly labels?: unknown; readonly limits?: unknown } {
  return typeof options === 'object' && options !== null ? options : {}
}
