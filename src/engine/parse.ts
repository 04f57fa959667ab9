import { parseWith } from '../context/parse-with.ts'
import { type Soon, whenKnown } from '../context/soon.ts'
import type { ChartEvent } from '../model/chart.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import { type Json, storableCopy } from '../model/storable.ts'

/** Parses a job's input by its type's schema. Returns a copy, because the caller may change the object later. */
export function parseInput(type: AnyJobType, input: unknown): Soon<Json | undefined> {
  const copied = (value: unknown) => (value === undefined ? undefined : storableCopy(value, 'input'))
  return type.input === undefined
    ? copied(input)
    : whenKnown<unknown, Json | undefined>(parseWith(type.input, input, 'input'), copied)
}

/** Parses a command by its type's schema. @throws {JobchartError} `INVALID_INPUT`, `NOT_STORABLE` */
export async function parseCommand(type: AnyJobType, command: ChartEvent): Promise<ChartEvent> {
  const { type: name, ...fields } = command
  const schema = typeof name === 'string' && Object.hasOwn(type.commands, name) ? type.commands[name] : undefined
  if (schema === undefined) {
    const known = Object.keys(type.commands).join(', ') || 'none'
    throw new JobchartError('INVALID_INPUT', `jobs of type "${type.type}" take these commands: ${known}`, {
      issues: [{ message: 'no such command', path: ['type'] }],
    })
  }
  const parsed = await parseWith(schema, fields, `command "${name}"`)
  const event = { ...(typeof parsed === 'object' ? parsed : {}), type: name }
  return storableCopy(event, `command "${name}"`, true) as unknown as ChartEvent
}
