import { JobchartError } from 'jobchart'
import type { z } from 'zod'

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
