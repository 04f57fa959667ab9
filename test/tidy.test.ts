import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

// Checks the source text, so that the rules of the layers are tested and not only written down.

interface Source {
  readonly file: string
  readonly text: string
  /** The text without comments and strings. */
  readonly code: string
  readonly tree: ts.SourceFile
}

const sources: readonly Source[] = globSync('src/**/*.ts')
  .sort()
  .map((file) => {
    const text = readFileSync(file, 'utf8')
    return { file, text, code: codeOf(text), tree: ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true) }
  })

/** The folders from which the files of a folder may import. */
const arrows: { readonly [room: string]: readonly string[] } = {
  model: ['model'],
  port: ['port', 'model'],
  context: ['context', 'port', 'model'],
  agents: ['agents', 'context', 'port', 'model'],
  engine: ['engine', 'context', 'port', 'model'],
  defaults: ['defaults', 'port', 'model'],
  sqlite: ['sqlite', 'port', 'model'],
  executors: ['executors', 'context', 'port', 'model'],
  presets: ['presets', 'public'],
  testing: ['testing', 'context', 'port', 'model', 'public'],
  root: ['root', 'engine', 'defaults', 'executors', 'context', 'port', 'model'],
}

/** The packages that each folder may import, besides Node's own. */
const packages: { readonly [room: string]: readonly string[] } = {
  model: ['xstate', '@standard-schema/spec', '@lukeed/ms'],
  port: [],
  context: ['@standard-schema/spec'],
  agents: ['@standard-schema/spec'],
  engine: ['croner', 'csv-stringify/sync', 'eventemitter3', 'uuid', 'zod', '@standard-schema/spec'],
  defaults: ['p-queue'],
  sqlite: [],
  executors: ['execa', 'piscina', 'zod'],
  presets: ['xstate', 'zod'],
  testing: ['xstate'],
  root: [],
}

describe('layers', () => {
  test('source files are found', () => {
    expect(sources.length).toBeGreaterThan(30)
    expect([...new Set(sources.map(({ file }) => roomOf(file)))].sort()).toEqual(Object.keys(arrows).sort())
  })

  test('no import breaks the order of the layers', () => {
    const wrong = sources.flatMap(({ file, tree }) =>
      importsOf(tree)
        .filter(({ from }) => from.startsWith('.'))
        .map(({ from }) => roomOf(normalize(join(dirname(file), from))))
        .filter((room) => !arrows[roomOf(file)]?.includes(room))
        .map((room) => `${file} imports ${room}`),
    )
    expect(wrong).toEqual([])
  })

  // This includes imports of types: shared types are in files that import nothing back.
  test('no import leads back in a circle', () => {
    const settled = sources.filter(({ file }) => roomOf(file) !== 'engine')
    const imports = new Map(
      settled.map(({ file, tree }) => [
        file,
        importsOf(tree).flatMap(({ from }) => (from.startsWith('.') ? [normalize(join(dirname(file), from))] : [])),
      ]),
    )
    expect(circlesOf(imports)).toEqual([])
  })

  test('each folder imports only its own packages, and the model nothing of Node', () => {
    const wrong = sources.flatMap(({ file, tree }) =>
      importsOf(tree)
        .filter(({ from }) => !from.startsWith('.') && !isAllowedPackage(roomOf(file), from))
        .map(({ from }) => `${file} imports ${from}`),
    )
    expect(wrong).toEqual([])
  })

  test('a port is types only: its build is empty', () => {
    const wrong = sources.flatMap(({ file, tree }) =>
      roomOf(file) === 'port'
        ? tree.statements.filter((each) => !isTypeOnly(each)).map((each) => `${file}: ${each.getText().slice(0, 60)}`)
        : [],
    )
    expect(wrong).toEqual([])
  })

  test.each([
    [
      'running a machine',
      /\bachine\.(transition|getInitialSnapshot)\(|#machine\.(transition|getInitialSnapshot)\(/,
      'src/model/xstate-internals.ts',
    ],
    ['making an actor', /\bcreateActor\(/, 'src/model/xstate-internals.ts'],
    [
      'the insides of XState',
      /\b(_nodes|_snapshot|_parent|_set|_unregister|_syncSnapshot|actionExecutor|getTransitionData|resolveState)\b/,
      'src/model/xstate-internals.ts',
    ],
    ['p-queue', /\bPQueue\b/, 'src/defaults/queue-executor.ts'],
    ['croner', /\bCron\b/, 'src/engine/schedule-times.ts'],
    ['eventemitter3', /\bEventEmitter\b/, 'src/engine/publisher.ts'],
  ])('%s stands in one file', (_, pattern, expected) => {
    const files = sources.filter(({ code, file }) => roomOf(file) !== 'testing' && pattern.test(code))
    expect(files.map(({ file }) => file)).toEqual([expected])
  })

  test('time, turns of the loop and chance have one source', () => {
    const clock =
      /\bDate\b|\bset(Timeout|Interval|Immediate)\b|\bMath\.random\b|\bAbortSignal\.timeout\b|\bcrypto\.(?!subtle)|\bperformance\b|\bnextTick\b|\bqueueMicrotask\b/
    const files = sources.filter(({ code }) => clock.test(code)).map(({ file }) => file)
    // Real processes take real time. time.ts turns a number into ISO 8601, and digest.ts turns it back: neither reads a
    // clock.
    expect(files).toEqual([
      'src/context/system-clock.ts',
      'src/executors/child-program.ts',
      'src/model/time.ts',
      'src/presets/digest.ts',
      'src/testing/executor-checks.ts',
      'src/testing/executor-code.ts',
    ])
    const time = sources.find(({ file }) => file === 'src/model/time.ts')
    expect(time?.code.match(/\bDate\b.*/g)).toEqual([
      'Date(ms).toISOString()',
      'Date.parse(text)',
      'Date {',
      'Date(ms)',
    ])
  })

  test('the model, the ports and the engine use no word of a preset', () => {
    const words = /'pending'|'uploading'|\bvalidating\b|\bfinalizing\b|\bmatatika\b|\bjmap\b|\bistari\b|\bscraperapi\b/i
    const inside = sources.filter(({ file }) => ['model', 'port', 'engine'].includes(roomOf(file)))
    expect(inside.filter(({ text }) => words.test(text)).map(({ file }) => file)).toEqual([])
  })
})

describe('sizes and names', () => {
  test('a file of more than 400 lines is one concept, and is listed here with its reason', () => {
    const concepts: { readonly [file: string]: string } = {
      'src/defaults/memory-store.ts': 'the stored data in memory, and every write to it',
      'src/engine/authorization.ts': 'all questions to the policy',
      'src/engine/dispatcher.ts': 'the table of what runs here',
      'src/engine/tick.ts': 'the path of every change of every job, on one page',
      'src/model/draft.ts': 'one job while a decision is made of it',
      'src/model/remembered-decision.ts': 'decisions of plain jobs, remembered whole',
      'src/model/xstate-internals.ts': 'all that is known of the insides of XState',
      'src/port/storage.ts': 'the storage port and its guarantees',
      'src/sqlite/storage.ts': 'every call of the storage port on one connection',
    }
    const long = sources.filter(({ text }) => text.split('\n').length > 401)
    expect(long.map(({ file }) => file)).toEqual(Object.keys(concepts))
  })

  test('no function is longer than 60 lines', () => {
    const long = sources.flatMap(({ file, tree }) =>
      functionsOf(tree)
        .filter((each) => linesOf(each) > 60)
        .map((each) => `${file}: ${linesOf(each)} lines: ${each.getText().slice(0, 60)}`),
    )
    expect(long).toEqual([])
  })

  test('no file has a meaningless name', () => {
    const vague = /\b(utils?|types|helpers?|managers?|misc|common)\b/
    expect(sources.map(({ file }) => file).filter((file) => vague.test(file))).toEqual([])
  })

  test('no type check is switched off', () => {
    const usesAny = (node: ts.Node): boolean =>
      node.kind === ts.SyntaxKind.AnyKeyword || ts.forEachChild(node, (each) => usesAny(each) || undefined) === true
    const off = sources.filter(({ text, tree }) => /@ts-(ignore|expect-error|nocheck)/.test(text) || usesAny(tree))
    expect(off.map(({ file }) => file)).toEqual([])
  })

  test('every export has a docstring', () => {
    const silent = sources.flatMap(({ file, tree }) =>
      tree.statements
        .filter((each) => isExported(each) && !ts.isExportDeclaration(each) && !isDocumented(each, tree))
        .map((each) => `${file}: ${each.getText().slice(0, 80)}`),
    )
    expect(silent).toEqual([])
  })
})

function roomOf(file: string): string {
  const [, room, rest] = file.split('/')
  return rest === undefined ? 'root' : (room ?? 'root')
}

function importsOf(tree: ts.SourceFile): readonly { readonly from: string }[] {
  return tree.statements.flatMap((each) => {
    if (!ts.isImportDeclaration(each) && !ts.isExportDeclaration(each)) return []
    return each.moduleSpecifier !== undefined && ts.isStringLiteral(each.moduleSpecifier)
      ? [{ from: each.moduleSpecifier.text }]
      : []
  })
}

/** The files that import each other, each circle in the order in which it is found. */
function circlesOf(imports: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const circles: string[] = []
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    const from = path.indexOf(file)
    if (from >= 0) circles.push([...path.slice(from), file].join(' → '))
    if (from >= 0 || done.has(file)) return
    for (const next of imports.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  for (const file of imports.keys()) visit(file, [])
  return circles
}

function isAllowedPackage(room: string, from: string): boolean {
  if (from.startsWith('node:')) return room !== 'model' && room !== 'port' && room !== 'engine'
  if (from === 'jobchart' || from.startsWith('jobchart/')) return arrows[room]?.includes('public') === true
  return packages[room]?.includes(from) === true
}

function isTypeOnly(statement: ts.Statement): boolean {
  if (ts.isImportDeclaration(statement)) return statement.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
  if (ts.isExportDeclaration(statement)) return statement.isTypeOnly
  return ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement)
}

function isExported(statement: ts.Statement): boolean {
  if (ts.isExportDeclaration(statement) || ts.isExportAssignment(statement)) return true
  const modifiers = ts.canHaveModifiers(statement) ? (ts.getModifiers(statement) ?? []) : []
  return modifiers.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
}

// Overloads share the docstring of the first.
function isDocumented(statement: ts.Statement, tree: ts.SourceFile): boolean {
  if (ts.getJSDocCommentsAndTags(statement).length > 0) return true
  if (!ts.isFunctionDeclaration(statement)) return false
  return tree.statements.some(
    (each) =>
      ts.isFunctionDeclaration(each) &&
      each.name?.text === statement.name?.text &&
      ts.getJSDocCommentsAndTags(each).length > 0,
  )
}

function functionsOf(node: ts.Node): readonly ts.Node[] {
  const found: ts.Node[] = []
  const visit = (each: ts.Node): void => {
    if (ts.isFunctionLike(each) && 'body' in each && each.body !== undefined) found.push(each)
    ts.forEachChild(each, visit)
  }
  visit(node)
  return found
}

function linesOf(node: ts.Node): number {
  return node.getText().split('\n').length
}

/** The text without comments and string contents, so that a word in prose does not count as used. */
function codeOf(text: string): string {
  const scanner = ts.createScanner(ts.ScriptTarget.Latest, false, ts.LanguageVariant.Standard, text)
  const parts: string[] = []
  for (let token = scanner.scan(); token !== ts.SyntaxKind.EndOfFileToken; token = scanner.scan()) {
    const isComment = token === ts.SyntaxKind.SingleLineCommentTrivia || token === ts.SyntaxKind.MultiLineCommentTrivia
    const isString = token === ts.SyntaxKind.StringLiteral
    if (!isComment) parts.push(isString ? "''" : scanner.getTokenText())
  }
  return parts.join('')
}
