/** Checks options: an unknown name or a value of the wrong kind is refused, and the error names the option. */
import { type ErrorCode, JobchartError } from './error.ts'
import { isLogic, isMachine } from './logic.ts'
import { type Duration, durationMs } from './time.ts'

/** The valid values of an option. */
export interface OptionRule {
  /** The valid values in words, for the error message. */
  readonly expected: string
  readonly fits: (value: unknown) => boolean
  /** True: the option is required. */
  readonly isRequired?: boolean
}

/** The rules for the options of a function, by the name of the option. */
export interface OptionRules {
  readonly [option: string]: OptionRule
}

/** How to report an invalid option. */
export interface OptionContext {
  /** A text before the name of each option in errors, e.g. `retry.`. Default: empty. */
  readonly prefix?: string
  /** The code of the error. Default `'INVALID_DEFINITION'`. */
  readonly code?: ErrorCode
  /** How the options are written, e.g. `task({}, run)`, for the error if they are no object. Default: from the rules. */
  readonly form?: string
}

/**
 * Refuses options that are not an object, unknown options, and values of the wrong kind. `undefined` counts as absent.
 *
 * @param name  the function that takes the options, as the error names it.
 * @throws {JobchartError} `INVALID_DEFINITION`, or the given code; the path of its issue is the option.
 */
export function checkOptions(name: string, options: unknown, rules: OptionRules, context: OptionContext = {}): void {
  const { prefix = '', code = 'INVALID_DEFINITION' } = context
  if (!isOptions(options)) {
    const object = objectOf(options, rules)
    const { form = prefix === '' ? `${name}(${object})` : object } = context
    const what = `should be an object, e.g. ${form}; found ${shownValue(options)}`
    throw prefix === '' ? misfit(code, 'options', what, `of ${name} `) : misfit(code, prefix.slice(0, -1), what)
  }
  const unknown = Object.keys(options).find((option) => !Object.hasOwn(rules, option))
  if (unknown !== undefined) {
    throw misfit(
      code,
      prefix + unknown,
      `is not an option of ${name}; its options are ${Object.keys(rules).join(', ')}`,
    )
  }
  for (const [option, { expected, fits, isRequired = false }] of Object.entries(rules)) {
    const value = options[option]
    if (value === undefined ? !isRequired : fits(value)) continue
    throw misfit(code, prefix + option, `should be ${expected}; found ${shownValue(value)}`)
  }
}

/**
 * Whether a value is an object of options by name. A module's exports count too. A Map or a promise does not: it has no
 * properties of its own, so it would pass as an object without options.
 */
export function isOptions(value: unknown): value is { readonly [option: string]: unknown } {
  const kind = Object.prototype.toString.call(value)
  return kind === '[object Object]' || kind === '[object Module]'
}

function misfit(code: ErrorCode, option: string, what: string, of = ''): JobchartError {
  return new JobchartError(code, `${option} ${of}${what}`, { issues: [{ message: what, path: option.split('.') }] })
}

// An object of options for an error message. If a text or a number was given instead, it is shown as the first option
// that it fits, e.g. `{ limit: 3 }` for 3. Otherwise the required options are named, or the first ones.
function objectOf(given: unknown, rules: OptionRules): string {
  const all = Object.entries(rules)
  const isPlain = typeof given === 'number' || typeof given === 'string'
  const meant = all.find(([, rule]) => isPlain && rule.fits !== anything.fits && rule.fits(given))
  if (meant !== undefined) return `{ ${meant[0]}: ${shownValue(given).replaceAll('"', "'")} }`
  return objectWith(
    all.map(([option]) => option),
    all.filter(([, { isRequired = false }]) => isRequired).map(([option]) => option),
  )
}

/** An object of options, for an error message: `{ type, execute, … }`. It names those given, or else the first three. */
export function objectWith(options: readonly string[], named: readonly string[] = []): string {
  const shown = named.length > 0 ? named : options.slice(0, 3)
  return `{ ${shown.join(', ')}${shown.length < options.length ? ', …' : ''} }`
}

/**
 * Makes an option required.
 *
 * @param expected  the valid values in words, if other code checks the value.
 */
export function required(rule: OptionRule, expected: string = rule.expected): OptionRule {
  return { ...rule, expected, isRequired: true }
}

/** Text of 1 to `max` characters. Half a surrogate pair is refused, because no storage can keep it. */
export function text(max = 200): OptionRule {
  return {
    expected: `text of 1 to ${max} characters`,
    fits: (value) => typeof value === 'string' && value !== '' && value.length <= max && value.isWellFormed(),
  }
}

/** A whole number from `min`. */
export function wholeNumber(min: number): OptionRule {
  return {
    expected: `a whole number from ${min}`,
    fits: (value) => Number.isSafeInteger(value) && Number(value) >= min,
  }
}

/** One of the given strings, or null. */
export function oneOf(...values: readonly (string | null)[]): OptionRule {
  return {
    expected: values
      .map((value) => (value === null ? 'null' : `'${value}'`))
      .join(', ')
      .replace(/, ([^,]*)$/, ' or $1'),
    fits: (value) => values.some((each) => each === value),
  }
}

/** A value that fits one of two rules. */
export function either(one: OptionRule, other: OptionRule): OptionRule {
  return {
    expected: `${one.expected}, or ${other.expected}`,
    fits: (value) => one.fits(value) || other.fits(value),
  }
}

/** A list whose entries all fit a rule. */
export function listOf(rule: OptionRule, expected: string): OptionRule {
  return { expected: `a list of ${expected}`, fits: (value) => Array.isArray(value) && value.every(rule.fits) }
}

/** An object that has a function under each of these names. */
export function having(expected: string, ...methods: readonly string[]): OptionRule {
  return {
    expected,
    fits: (value) => {
      if (typeof value !== 'object' || value === null) return false
      const found = value as { readonly [method: string]: unknown }
      return methods.every((method) => typeof found[method] === 'function')
    },
  }
}

/** An object whose values all fit a rule. */
export function recordOf(rule: OptionRule, expected: string): OptionRule {
  return {
    expected,
    fits: (value) => {
      return isOptions(value) && Object.values(value).every(rule.fits)
    },
  }
}

/** True or false. */
export const flag: OptionRule = { expected: 'true or false', fits: (value) => typeof value === 'boolean' }

/** A function. */
export const callback: OptionRule = { expected: 'a function', fits: (value) => typeof value === 'function' }

/** Any value. For options that other code checks. */
export const anything: OptionRule = { expected: 'anything', fits: () => true }

/** A list of strings. */
export const names: OptionRule = listOf({ expected: 'text', fits: (value) => typeof value === 'string' }, 'texts')

/** Any Standard Schema. */
export const schema: OptionRule = {
  expected: 'a Standard Schema, as zod makes it',
  fits: (value) => (typeof value === 'object' || typeof value === 'function') && value !== null && '~standard' in value,
}

/** A duration. */
export const duration: OptionRule = {
  expected: "a duration such as '10m' or milliseconds, at least 0",
  fits: (value) => {
    if (typeof value !== 'number' && typeof value !== 'string') return false
    try {
      return durationMs(value, 'it') >= 0
    } catch {
      return false
    }
  },
}

/** A duration that is longer than 0. Without the option, the time has no limit. */
export const timeLimit: OptionRule = {
  expected: "a duration such as '10m' or milliseconds, more than 0 (leave it out for no limit)",
  fits: (value) => duration.fits(value) && durationMs(value as Duration, 'it') > 0,
}

/**
 * A value as shown in an error. Strings are quoted, so that '3' is not mistaken for 3. Of a large object, only the names
 * of its first fields are shown.
 */
export function shownValue(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'bigint' || value === undefined) return String(value)
  try {
    if (isLogic(value)) return isMachine(value) ? 'a machine' : 'actor logic'
    const text = JSON.stringify(value) ?? typeof value
    if (text.length > SHOWN_MAX && isOptions(value)) return `an object: ${objectWith(Object.keys(value))}`
    return text.slice(0, 200)
  } catch {
    return `a ${typeof value} that cannot be shown`
  }
}

/** The longest JSON text of an object that an error shows. */
const SHOWN_MAX = 80
