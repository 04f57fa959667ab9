import { globSync, readFileSync } from 'node:fs'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import * as actions from 'xstate/actions'
import * as actors from 'xstate/actors'
import * as guards from 'xstate/guards'

// The table of constructs must name existing tests and list every construct.

interface Row {
  readonly construct: string
  readonly cells: readonly string[]
  readonly tests: readonly string[]
}

const text = readFileSync('test/CONSTRUCTS.md', 'utf8')
const rows: readonly Row[] = text.split('\n').filter(isRow).map(rowOf)
const listed = rows.map(({ construct }) => construct).join('\n')

/** The tests that run, as `file › name`, and with blocks as `file › block › name`. */
const known: ReadonlySet<string> = new Set(
  globSync('test/**/*.test.ts').flatMap((file) =>
    testsOf(file).map((name) => `${file.slice('test/'.length)} › ${name}`),
  ),
)

describe('the table', () => {
  test('has four cells in each row, none of them empty', () => {
    expect(rows.length).toBeGreaterThan(80)
    expect(rows.filter(({ cells }) => cells.length !== 4 || cells.includes(''))).toEqual([])
  })

  test('lists no construct twice', () => {
    const names = rows.map(({ construct }) => construct)
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([])
  })

  test('names a test in each row, and each named test exists in its file and runs', () => {
    expect(rows.filter(({ tests }) => tests.length === 0)).toEqual([])
    expect(rows.flatMap(({ tests }) => tests).filter((name) => !known.has(name))).toEqual([])
  })
})

describe('a line in the table has', () => {
  // One makes an actor, the other one evaluates a guard. Neither is part of a machine.
  const outside = ['createEmptyActor', 'evaluateGuard']
  const exported = [actions, actors, guards].flatMap((each) => Object.keys(each))

  test.each(exported.filter((name) => !outside.includes(name)))('XState’s %s', (name) => {
    expect(listed).toContain(`\`${name}\``)
  })

  // These fields give a state's place in its machine, not its behaviour.
  const places = ['id', 'order', 'parent', 'states', 'type']
  const fields = membersOf('node_modules/xstate/dist/declarations/src/types.d.ts', 'StateNodeConfig')

  test.each(fields.filter((name) => !places.includes(name)))('the field %s of a state', (name) => {
    expect(listed).toMatch(new RegExp(`\`${name}\\b`))
  })

  test.each(membersOf('src/model/task.ts', 'TaskOptions'))('the option %s of a task', (name) => {
    expect(listed).toMatch(new RegExp(`\`${name}\\b`))
  })
})

function isRow(line: string): boolean {
  return line.startsWith('|') && !line.startsWith('|---') && !line.startsWith('| construct |')
}

function rowOf(line: string): Row {
  const cells = line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim())
  const [construct = '', , , tests = ''] = cells
  return { construct, cells, tests: tests.split('<br>').filter(Boolean).map(withoutMarks) }
}

// The file of a test is marked as code; the text after it is the name as it is written.
function withoutMarks(cell: string): string {
  return cell.replace(/^`(.*?)`/, '$1')
}

function sourceOf(file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
}

/** A test that is skipped, todo or expected to fail does not count, and neither does anything inside it. */
function testsOf(file: string): readonly string[] {
  const walk = (node: ts.Node, block: readonly string[]): readonly string[] => {
    const called = ts.isCallExpression(node) ? calledOf(node) : undefined
    if (called !== undefined && /^(?:describe|test|fidelity)\.(?:skip|todo|fails|only)/.test(called)) return []
    const name = ts.isCallExpression(node) ? nameOf(node) : undefined
    const isBlock = called === 'describe' && name !== undefined
    const isTest = name !== undefined && /^(?:test|fidelity)(?:\.each)?$/.test(called ?? '')
    const inner = isBlock ? [name] : block
    const own = isTest ? [name, [...block, name].join(' › ')] : []
    const nested: string[] = [...own]
    ts.forEachChild(node, (child) => {
      nested.push(...walk(child, inner))
    })
    return nested
  }
  return walk(sourceOf(file), [])
}

/** `test` of `test(…)`, `test.each` of `test.each(…)(…)`. */
function calledOf({ expression }: ts.CallExpression): string {
  return ts.isCallExpression(expression) ? expression.expression.getText() : expression.getText()
}

/** The name as in the source, with its placeholders. */
function nameOf({ arguments: [name] }: ts.CallExpression): string | undefined {
  if (name === undefined) return undefined
  if (ts.isStringLiteralLike(name)) return name.text
  return ts.isTemplateExpression(name) ? name.getText().slice(1, -1) : undefined
}

/** The members of an interface, as its file declares them. */
function membersOf(file: string, name: string): readonly string[] {
  const found = sourceOf(file).statements.find((each) => ts.isInterfaceDeclaration(each) && each.name.text === name)
  if (found === undefined || !ts.isInterfaceDeclaration(found)) throw new Error(`${file} declares no interface ${name}`)
  return found.members.flatMap((member) => (member.name === undefined ? [] : [member.name.getText()]))
}
