import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import ts from 'typescript'
import { expect, test } from 'vitest'

// Compiles programs with one mistake each against the shipped types. TypeScript 7 shows the errors of the last overload
// only, so the functions that users call most have no overloads.

const PRELUDE = `import { defineJob, type Session } from 'jobchart'
import { createMachine } from 'xstate'
import { z } from 'zod'
declare const ada: Session
const input = z.object({ name: z.string() })
const lifecycle = createMachine({ on: { approve: {} } })
const greet = defineJob({ type: 'greet', input, execute: ({ input }) => input.name })
`

const MISTAKES: readonly (readonly [what: string, program: string, message: string])[] = [
  ['a misspelt option', `defineJob({ type: 't', execute: () => 1, retries: 3 })`, `'retries' does not exist`],
  [
    'an option of the wrong kind',
    `defineJob({ type: 't', input, retry: { limit: '3' }, execute: ({ input }) => input.name })`,
    `'string' is not assignable to type 'number'`,
  ],
  [
    'a misspelt field of the input',
    `defineJob({ type: 't', input, execute: ({ input }) => input.nam })`,
    `Did you mean 'name'?`,
  ],
  [
    'a result that is not JSON',
    `defineJob({ type: 't', execute: () => new Date() })`,
    'a Date is not JSON: use date.toISOString()',
  ],
  ['no type', `defineJob({ input, execute: ({ input }) => input.name })`, `'type' is missing`],
  ['a misspelt part of a program', `defineJob({ type: 't', run: { comand: 'ls' } })`, `'comand' does not exist`],
  [
    'no machine',
    `defineJob({ type: 't', lifecycle: { initial: 'a' } })`,
    `'initial' does not exist in type 'StateMachine`,
  ],
  [
    'a command that is not an event',
    `defineJob({ type: 't', lifecycle: createMachine({ types: {} as { events: { type: 'go' } } }), commands: { stop: z.object({}) } })`,
    "the machine's types.events should include each command",
  ],
  [
    'an option of a task beside a machine',
    `defineJob({ type: 't', lifecycle, retry: { limit: 3 } })`,
    'give it to task()',
  ],
  [
    'commands beside a function',
    `defineJob({ type: 't', execute: () => 1, commands: { approve: z.object({}) } })`,
    'only a job with a lifecycle has commands of its own',
  ],
  [
    'a function and a machine',
    `defineJob({ type: 't', lifecycle, execute: () => 1 })`,
    'a job has only one of execute, run, agent and lifecycle',
  ],
  ['an input of the wrong kind', `ada.submit(greet, { name: 7 })`, `'number' is not assignable to type 'string'`],
  ['a misspelt field of a submitted input', `ada.submit(greet, { nam: 'x' })`, `Did you mean to write 'name'?`],
  ['no input', 'ada.submit(greet)', 'Expected 2-3 arguments, but got 1'],
  [
    'a misspelt option of submit',
    `ada.submit('greet', { name: 'x' }, { pipline: 'p' })`,
    `Did you mean to write 'pipeline'?`,
  ],
]

test('the error of a plain mistake is about that mistake, and the only one', () => {
  mkdirSync('.jobchart', { recursive: true })
  // Inside the repository, where the packages can be resolved.
  const folder = mkdtempSync(resolve('.jobchart', 'mistakes-'))
  try {
    const files = MISTAKES.map(([, program], index) => {
      const file = join(folder, `${index}.ts`)
      writeFileSync(file, `${PRELUDE}${program}\n`)
      return file
    })
    const errors = new Map<string, readonly string[]>(files.map((file) => [file, []]))
    for (const { file, messageText } of ts.getPreEmitDiagnostics(ts.createProgram(files, options()))) {
      const name = file?.fileName ?? ''
      errors.set(name, [...(errors.get(name) ?? []), ts.flattenDiagnosticMessageText(messageText, '\n')])
    }
    const found = files.map((file) => errors.get(file))
    expect(found).toEqual(MISTAKES.map(([, , message]) => [expect.stringContaining(message)]))
    expect(JSON.stringify(found)).not.toContain('overload')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

function options(): ts.CompilerOptions {
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile)
  const paths = { jobchart: ['./dist/index.d.ts'], 'jobchart/*': ['./dist/*/index.d.ts'] }
  const ofConfig = { ...config, compilerOptions: { ...config.compilerOptions, paths }, files: [] }
  return ts.parseJsonConfigFileContent(ofConfig, ts.sys, resolve('.')).options
}
