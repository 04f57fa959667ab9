/** What options must be: a name that is unknown, or a value of the wrong kind, is refused by name. */
import { type ErrorCode, JobchartError } from './error.ts'
import { durationMs } from './time.ts'

/** What the value of an option must be. */
export interface OptionRule {
  /** As the error says it. */
  readonly expected: string
  readonly fits: (value: unknown) => boolean
  /** It may not be left out. */
  readonly isRequired?: boolean
}

/** The options of one function, by name. */
export interface OptionRules {
  readonly [option: string]: OptionRule
}

/** How a misfit is told. */
export interface OptionContext {
  /** Stands before the name of an option, e.g. `retry.`. Default: nothing. */
  readonly prefix?: string
  /** Default `'INVALID_DEFINITION'`. */
  readonly code?: ErrorCode
}

/**
 * Refuses options that are no object, an option that there is not, and a value of the wrong kind. One that is undefined
 * counts as left out.
 *
 * @param name  of the function, for the error.
 * @throws {JobchartError} `INVALID_DEFINITION`, unless another code is given, with the option as the path of its issue.
 */
export function checkOptions(name: string, options: unknown, rules: OptionRules, context: OptionContext = {}): void {
  const { prefix = '', code = 'INVALID_DEFINITION' } = context
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    const what = prefix === '' ? 'options' : prefix.slice(0, -1)
    throw misfit(code, what, `should be an object; found ${shownValue(options)}`)
  }
  const unknown = Object.keys(options).find((option) => !Object.hasOwn(rules, option))
  if (unknown !== undefined) {
    throw misfit(code, prefix + unknown, `is no option of ${name}; there are ${Object.keys(rules).join(', ')}`)
  }
  const given = options as { readonly [option: string]: unknown }
  for (const [option, { expected, fits, isRequired = false }] of Object.entries(rules)) {
    const value = given[option]
    if (value === undefined ? !isRequired : fits(value)) continue
    throw misfit(code, prefix + option, `should be ${expected}; found ${shownValue(value)}`)
  }
}

function misfit(code: ErrorCode, option: string, what: string): JobchartError {
  return new JobchartError(code, `${option} ${what}`, { issues: [{ message: what, path: option.split('.') }] })
}

/** An option that may not be left out. */
export function required(rule: OptionRule): OptionRule {
  return { ...rule, isRequired: true }
}

/** Text of 1 to `max` characters. */
export function text(max = 200): OptionRule {
  return {
    expected: `text of 1 to ${max} characters`,
    fits: (value) => typeof value === 'string' && value !== '' && value.length <= max,
  }
}

/** A whole number from `min`. */
export function wholeNumber(min: number): OptionRule {
  return {
    expected: `a whole number from ${min}`,
    fits: (value) => Number.isSafeInteger(value) && Number(value) >= min,
  }
}

/** One of some texts, or null. */
export function oneOf(...values: readonly (string | null)[]): OptionRule {
  return {
    expected: values
      .map((value) => (value === null ? 'null' : `'${value}'`))
      .join(', ')
      .replace(/, ([^,]*)$/, ' or $1'),
    fits: (value) => values.some((each) => each === value),
  }
}

/** Either of two kinds. */
export function either(one: OptionRule, other: OptionRule): OptionRule {
  return {
    expected: `${one.expected}, or ${other.expected}`,
    fits: (value) => one.fits(value) || other.fits(value),
  }
}

/** A list of what a rule says of each. */
export function listOf(rule: OptionRule, expected: string): OptionRule {
  return { expected: `a list of ${expected}`, fits: (value) => Array.isArray(value) && value.every(rule.fits) }
}

/** An object that has functions of these names. */
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

/** An object, by name what a rule says of each value. */
export function recordOf(rule: OptionRule, expected: string): OptionRule {
  return {
    expected,
    fits: (value) => {
      return (
        typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(rule.fits)
      )
    },
  }
}

/** True or false. */
export const flag: OptionRule = { expected: 'true or false', fits: (value) => typeof value === 'boolean' }

/** A function. */
export const callback: OptionRule = { expected: 'a function', fits: (value) => typeof value === 'function' }

/** Anything: it is looked at elsewhere. */
export const anything: OptionRule = { expected: 'anything', fits: () => true }

/** A list of names, each a text. */
export const names: OptionRule = listOf({ expected: 'text', fits: (value) => typeof value === 'string' }, 'texts')

/** A schema, as any library makes it. */
export const schema: OptionRule = {
  expected: 'a Standard Schema, as zod makes it',
  fits: (value) => (typeof value === 'object' || typeof value === 'function') && value !== null && '~standard' in value,
}

/** A length of time. */
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

/** A value as an error names it: text in quotes, so that '3' is not taken for 3. */
export function shownValue(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'bigint' || value === undefined) return String(value)
  try {
    return (JSON.stringify(value) ?? typeof value).slice(0, 200)
  } catch {
    return `a ${typeof value} that cannot be shown`
  }
}
