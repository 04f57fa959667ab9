import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

// The built types as users get them: installed beside xstate and zod, without access to jobchart's other dependencies.

const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly exports: object }
const modules = Object.keys(exports)
  .filter((subpath) => subpath !== './package.json')
  .map((subpath) => subpath.replace(/^\./, 'jobchart'))

const CONSUMER = `
import { createEngine, defineJob, memoryStorage, rolePolicy, task } from 'jobchart'
import { memberJobs } from 'jobchart/presets'
import { sqliteStorage } from 'jobchart/sqlite'
import { explore, virtualClock } from 'jobchart/testing'
import { setup } from 'xstate'
import { z } from 'zod'

export const plain = defineJob({ type: 'plain', execute: async () => ({ rows: 1 }) })
export const greet = defineJob({ type: 'greet', input: z.object({ name: z.string() }), execute: ({ input }) => input.name })
export const ship = task({ input: z.object({ sku: z.string() }) }, async ({ input, step }) => await step('a', () => input.sku))
export const lifecycle = setup({ types: { input: {} as { sku: string } }, actors: { ship } }).createMachine({ on: { go: {} } })
export const order = defineJob({ type: 'order', lifecycle, commands: { go: { schema: z.object({}), by: { roles: ['a'] } } } })
export const members = memberJobs()
export const load = members.defineJob({ type: 'Load', execute: () => 1 })
export const policy = rolePolicy()
export const storages = [memoryStorage(), sqliteStorage('jobs.db')]
export const clock = virtualClock()
export const map = explore(plain)
export const start = () => createEngine({ jobs: [plain, greet, order], storage: memoryStorage() })
export const engine = await start()
export const { health } = engine
export const session = engine.as({ id: 'ada' })
export const { submit, send, list, items, pipelines } = session
export const job = await session.submit(plain)
export const sent = await session.submit(order, { sku: 'book' })
export const result = await session.result(job.id)
export const done = await session.send(sent.id, { type: 'go' })
export const output = result.output
export const page = await session.list()
export const actions = await session.actions(job.id)
export const reasons = await session.explain(job.id)
export const history = await session.history(job.id)
export const lines = session.logs(job.id)
export const events = session.events()
export const pipeline = await session.pipelines.define({ id: 'nightly', job: plain })
export const report = session.report(job.id, { format: 'csv' })
export const cancelled = await session.cancelMany({ ids: [job.id], reason: 'enough' })
export const retried = await session.retryMany({ filter: { status: 'failed' }, limit: 10 })
export const outcomes = await session.submitMany([{ type: plain }])
`

/** Types that disappear once their arguments are known, and bases of exported interfaces. */
const COMPUTED: ReadonlySet<string> = new Set([
  ...['FittingMachine', 'Given', 'MachineInput', 'MachineOutput', 'Parsed', 'StorableCommands', 'StorableSchemas'],
  ...[
    'JobOptions',
    'NoMachine',
    'DefinedJob',
    'StorableObject',
    'CommonOptions',
    'WorkOptions',
    'Ports',
    'Schema',
    'Types',
  ],
])

let folder = ''
let program: ts.Program
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'jobchart-exports-'))
  const installed = join(folder, 'node_modules', 'jobchart')
  cpSync('dist', join(installed, 'dist'), { recursive: true, filter: (file) => !/\.(js|map)$/.test(file) })
  cpSync('package.json', join(installed, 'package.json'))
  for (const name of ['xstate', 'zod', '@types'])
    symlinkSync(resolve('node_modules', name), join(folder, 'node_modules', name))
  mkdirSync(join(installed, 'node_modules', '@standard-schema'), { recursive: true })
  cpSync('node_modules/@standard-schema/spec', join(installed, 'node_modules/@standard-schema/spec'), {
    recursive: true,
  })
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'consumer.ts'), CONSUMER)
  writeFileSync(join(folder, 'all.ts'), modules.map((name, index) => `export * as m${index} from '${name}'`).join('\n'))
  program = ts.createProgram([join(folder, 'consumer.ts'), join(folder, 'all.ts')], {
    strict: true,
    target: ts.ScriptTarget.ES2024,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    declaration: true,
    skipLibCheck: true,
    outDir: join(folder, 'out'),
  })
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** The names that a module exports. */
function exported(name: string): readonly ts.Symbol[] {
  const checker = program.getTypeChecker()
  const all = program.getSourceFile(join(folder, 'all.ts'))
  const own = all?.statements[modules.indexOf(name)]
  if (own === undefined || !ts.isExportDeclaration(own) || own.moduleSpecifier === undefined) throw new Error(name)
  const module = checker.getSymbolAtLocation(own.moduleSpecifier)
  if (module === undefined) throw new Error(`${name} does not resolve`)
  return checker.getExportsOfModule(module)
}

function isType(symbol: ts.Symbol): boolean {
  const isTypeOnly = symbol.declarations?.some((each) => ts.isExportSpecifier(each) && each.isTypeOnly) === true
  return isTypeOnly || (declared(symbol).flags & ts.SymbolFlags.Value) === 0
}

/** The symbol that a name stands for, where it was declared. */
function declared(symbol: ts.Symbol): ts.Symbol {
  return symbol.flags & ts.SymbolFlags.Alias ? program.getTypeChecker().getAliasedSymbol(symbol) : symbol
}

describe('the names that the package exports', () => {
  test('are those of the list; a new one is added to the list on purpose', async () => {
    const lines = modules.flatMap((name) => {
      const names = exported(name).map((symbol) => {
        return `  ${isType(symbol) ? 'type ' : ''}${symbol.name}`
      })
      return [name, ...names.sort((a, b) => (a < b ? -1 : 1)), '']
    })
    await expect(lines.join('\n')).toMatchFileSnapshot('exports.txt')
  })

  test('include every type that another exported type names', () => {
    const known = new Set(modules.flatMap((name) => exported(name).map(declared)))
    const missing = new Set<string>()
    for (const symbol of known) {
      for (const declaration of symbol.declarations ?? []) {
        for (const used of typesIn(declaration)) {
          if (!known.has(used) && !COMPUTED.has(used.name)) missing.add(`${used.name}, of ${symbol.name}`)
        }
      }
    }
    expect([...missing].sort()).toEqual([])
  })

  test('are enough to write declarations of what an app exports', () => {
    const { diagnostics } = program.emit(undefined, () => {}, undefined, true)
    const all = [...ts.getPreEmitDiagnostics(program), ...diagnostics]
    expect(all.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([])
  })
})

/** The types of this package that a declaration names, without private members of a class. */
function typesIn(declaration: ts.Node): readonly ts.Symbol[] {
  const checker = program.getTypeChecker()
  const found: ts.Symbol[] = []
  const visit = (node: ts.Node): void => {
    const name = ts.isTypeReferenceNode(node)
      ? node.typeName
      : ts.isExpressionWithTypeArguments(node)
        ? node.expression
        : undefined
    const symbol = name === undefined ? undefined : checker.getSymbolAtLocation(name)
    if (symbol !== undefined && isOurs(declared(symbol))) found.push(declared(symbol))
    ts.forEachChild(node, visit)
  }
  visit(declaration)
  return found
}

function isOurs(symbol: ts.Symbol): boolean {
  const [declaration] = symbol.declarations ?? []
  if (declaration === undefined || ts.isTypeParameterDeclaration(declaration)) return false
  return declaration.getSourceFile().fileName.includes('node_modules/jobchart/dist/')
}
