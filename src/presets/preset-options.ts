import { type CommandSchemas, JobchartError } from 'jobchart'
import { z } from 'zod'

/** Any Standard Schema. */
export type Schema = CommandSchemas[string]

/** What a schema takes and gives. */
export type Types<Of> = Of extends Schema ? NonNullable<Of['~standard']['types']> : { input: unknown; output: unknown }

/** An option that jobchart's own functions check. */
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

/** Options without those that were not given, which is not the same as undefined. */
export function given<Fields extends object>(
  options: Fields,
): { [Key in keyof Fields]?: Exclude<Fields[Key], undefined> } {
  const set = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(set) as { [Key in keyof Fields]?: Exclude<Fields[Key], undefined> }
}
