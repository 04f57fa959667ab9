import { type CommandSchemas, JobchartError } from 'jobchart'
import { z } from 'zod'

/** Any Standard Schema. */
export type Schema = CommandSchemas[string]

/** The input and output types of a schema. */
export type Types<Of> = Of extends Schema ? NonNullable<Of['~standard']['types']> : { input: unknown; output: unknown }

/** The schema of an option that is not checked here. The option is passed on to jobchart, which checks it. */
export const passedOn = z.unknown().optional()

/**
 * Refuses options that a preset does not know or that have the wrong type.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` with the name of the option.
 */
export function checkBy(schema: z.ZodType, options: unknown, name: string): void {
  const { error } = schema.safeParse(options)
  if (error === undefined) return
  const issues = error.issues.map(({ message, path }) => ({ message, path: path.map(String) }))
  const said = issues.map(({ message, path }) => [...path, message].join(': '))
  throw new JobchartError('INVALID_DEFINITION', `${name}: ${said.join('; ')}`, { issues })
}

/**
 * A copy of the options without those that are undefined. To TypeScript, an absent option and an undefined one are
 * different.
 */
export function given<Fields extends object>(
  options: Fields,
): { [Key in keyof Fields]?: Exclude<Fields[Key], undefined> } {
  const set = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(set) as { [Key in keyof Fields]?: Exclude<Fields[Key], undefined> }
}
